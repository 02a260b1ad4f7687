"""Build the site into _docs/ from the stored outputs of the notebooks (nothing is executed but imports).

With Quarto where it is installed, otherwise with smalldocs. Both read _quarto.yml. smalldocs needs three bridges:
pages take the names that nbdev links to (api/00_data.ipynb -> api/data.html), formulas become MathML at build time
(no network), and links become relative, so that the site works under any address and from a folder.
"""
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urldefrag

import yaml
from latex2mathml.converter import convert

ROOT = Path(__file__).resolve().parents[1]
PROC, OUT = ROOT / "_proc", ROOT / "_docs"
NUMBERED = re.compile(r"\d+[a-z]?_(\w+)\.ipynb")
MATH = re.compile(r'<span class="math (inline|display)">\s*\\[(\[](.*?)\\[)\]]\s*</span>', re.S)
CDN = re.compile(r"<(script|link)\b[^>]*https://cdn\.[^>]*>(</script>)?")


def process():
    "Notebooks -> _proc: nbdev's filters, docments tables, links of backticked names."
    from nbdev.serve import proc_nbs

    shutil.rmtree(PROC, ignore_errors=True)
    proc_nbs(n_workers=0, force=True)
    return sorted(p.relative_to(PROC) for p in PROC.rglob("*.ipynb"))


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


def rename_pages(pages):
    "Give the processed notebooks, the links between them and the sidebar the names that nbdev uses."
    config = yaml.safe_load((PROC / "_quarto.yml").read_text("utf-8"))
    sidebar = config["website"]["sidebar"]
    sidebar["contents"] = list(sidebar_pages(sidebar["contents"]))
    config["format"]["html"].pop("html-math-method")  # Quarto's; here latex2mathml does it
    (PROC / "_quarto.yml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    for page in pages:
        text = re.sub(r"(\]\([^)\s]*?)\d+[a-z]?_(\w+\.ipynb)", r"\1\2", (PROC / page).read_text("utf-8"))
        text = re.sub(r'"output-file: [^"]*",\s*', "", text)
        (PROC / page).unlink()
        (PROC / page.parent / NUMBERED.sub(r"\1.ipynb", page.name)).write_text(text, "utf-8")


def mathml(html):
    "Formulas between TeX delimiters -> MathML."
    kinds = {"inline": "inline", "display": "block"}
    return CDN.sub("", MATH.sub(lambda m: convert(unescape(m[2]), display=kinds[m[1]]), html))


def relative_links(html, depth, base):
    "Links to `base` or to the root of the site -> links relative to a page `depth` folders down."
    up = "../" * depth
    return re.sub(rf'\b(href|src)="(?:{re.escape(base)}/?|/(?!/))', rf'\1="{up or "./"}', html)


def broken_links():
    "Links and anchors inside _docs that lead nowhere, as 'page -> target'."
    pages = {p: p.read_text("utf-8") for p in OUT.rglob("*.html")}
    anchors = {p: set(re.findall(r'\b(?:id|name)="([^"]+)"', t)) for p, t in pages.items()}
    for page, text in pages.items():
        text = re.sub(r"<(script|pre|code)\b.*?</\1>", "", text, flags=re.S)
        for link in set(re.findall(r'\b(?:href|src)="([^"]+)"', text)):
            path, anchor = urldefrag(unescape(link))
            if re.match(r"[a-z]+:|//", link):
                continue
            target = (page.parent / unquote(path)).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (anchor and target in anchors and unquote(anchor) not in anchors[target]):
                yield f"{page.relative_to(OUT)} -> {link}"


def build():
    "Build _docs/ -> problems."
    from nbdev.config import get_config

    config = get_config()
    pages = process()
    quarto = shutil.which("quarto")
    if not quarto:
        rename_pages(pages)
    smalldocs = [sys.executable, "-m", "smalldocs.cli", "render", "--quiet"]
    subprocess.run([quarto, "render", "--no-execute"] if quarto else smalldocs, cwd=PROC, check=True)
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.move(PROC / "_docs", OUT)
    for page in OUT.rglob("*.html"):
        html = page.read_text("utf-8")
        html = relative_links(mathml(html), len(page.relative_to(OUT).parts) - 1, config.doc_host + config.doc_baseurl)
        page.write_text(html, "utf-8")
    home = (OUT / "index.html").read_text("utf-8")
    names = [str(p.with_name(NUMBERED.sub(r"\1.ipynb", p.name)).with_suffix(".html")) for p in pages]
    yield from (f"{n} is not in the sidebar of _quarto.yml" for n in names if n not in home)
    yield from (f"broken link: {x}" for x in sorted(broken_links()))
    print(f"  {len(names)} pages built with {'Quarto' if quarto else 'smalldocs'}: {OUT.relative_to(ROOT)}/index.html")


if __name__ == "__main__":
    os.chdir(ROOT)
    found = list(build())
    print("".join(f"  {x}\n" for x in found), end="")
    sys.exit(bool(found))
