"""The tools that guard the notebooks: each must turn red on what it is there to find."""
import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import check  # noqa: E402
import docs  # noqa: E402
import notebooks  # noqa: E402

TITLE = new_markdown_cell("# Title\n\n> One line.")
GOOD = """#| export
def double(
    x:int,  # a number
) -> int:  # twice `x`
    "Twice `x`."
    return 2 * x"""


def output(kind, *args, **kwargs):
    "A code cell with one output."
    return new_code_cell("f()", outputs=[new_output(kind, *args, **kwargs)])


def problems(tmp_path, *cells):
    "What the notebook rules say of a notebook with these code cells."
    path = tmp_path / "nb.ipynb"
    cells = [new_code_cell(c) if isinstance(c, str) else c for c in cells]
    nbformat.write(new_notebook(cells=[TITLE, *cells]), path)
    return [x for _, x in check.check_notebook(path)]


def test_a_good_notebook_passes(tmp_path):
    assert problems(tmp_path, GOOD, "assert double(2) == 4", "model.eval()") == []


@pytest.mark.parametrize("cells, words", [
    ([GOOD], "used nowhere"),
    ([GOOD, "#| hide\nassert double(2) == 4"], "used nowhere"),
    ([GOOD.replace("  # a number", ""), "double(2)"], "argument x has no comment"),
    ([GOOD.replace("  # twice `x`", ""), "double(2)"], "return has no comment"),
    ([GOOD + "\n    x" * 30, "double(2)"], "at most 30"),
    ([GOOD + "\ndef triple(): pass", "double(triple())"], "more than one public name"),
    (["import os\nx = 1"], "imports and other code"),
    (["open('/home/me/x')"], "path of this machine"),
    (["import pickle"], "imports pickle"),
    (["eval('1')"], "calls eval()"),
    (["np.load(f, allow_pickle=True)"], "allow_pickle"),
    ([output("stream", name="stderr", text="!")], "stderr"),
    ([new_code_cell("f()", execution_count=3)], "execution count"),
    ([output("display_data", {"image/png": "", "text/plain": "<Figure>"})], "fig-alt"),
    ([output("display_data", {"text/plain": "<Figure>"})], "without its picture"),
])
def test_each_rule_finds_its_breach(tmp_path, cells, words):
    assert any(words in p for p in problems(tmp_path, *cells))


@pytest.mark.parametrize("code", [
    "os.system('ls')", "subprocess.run(c, shell=True)", "torch.load(f)", "from dill import loads",
    "AutoModel.from_pretrained(n, trust_remote_code=flag)"])
def test_forbidden_code_is_found(code):
    assert list(check.forbidden(ast.parse(code)))


def test_a_failing_assert_turns_the_notebooks_red(tmp_path):
    "The same call as `make test`, on two notebooks of which one fails."
    rows = {}
    for name, code in [("good", "assert 1 + 1 == 2"), ("bad", "assert 1 + 1 == 3")]:
        nbformat.write(new_notebook(cells=[TITLE, new_code_cell(code)]), tmp_path / f"{name}.ipynb")
        command = [sys.executable, "tools/notebooks.py", "test", tmp_path / f"{name}.ipynb"]
        rows[name] = subprocess.run(command, cwd=ROOT).returncode
    assert rows == {"good": 0, "bad": 1}


def test_every_notebook_is_found():
    assert {p.name for p in (ROOT / "nbs" / "api").glob("*.ipynb")} <= {p.name for p in notebooks.notebooks()}


def test_formulas_become_mathml():
    tex = r'<span class="math inline">\(a &lt; b\)</span>'
    html = docs.mathml(tex + '<script src="https://cdn.x/katex.js" defer></script>')
    assert "<math" in html and "cdn" not in html and "\\(" not in html


def test_captions_are_valid_yaml():
    source = docs.quoted('#| fig-cap: A "b": c\n#| echo: false\nplot()')
    assert source == '#| fig-cap: "A \\"b\\": c"\n#| echo: false\nplot()'


@pytest.mark.parametrize("code, linked", [
    ("sgr(x)", True), ("sgr <span class=\"op\">==</span> 1", True), ("sgr <span class=\"op\">=</span> 1", False),
    ("row.sgr", False), ("sgr_table()", False), ("<span class=\"st\">the sgr</span>", False)])
def test_names_in_code_link_to_their_place(code, linked):
    html = f'<pre class="sourceCode python"><code>{code}</code></pre> sgr'
    assert ('<a href="/api/sgr.html#sgr">sgr</a>' in docs.link_code(html, {"sgr": "api/sgr.html#sgr"})) == linked


@pytest.mark.parametrize("html, linked", [
    ("<code>sgr_table(records)</code>", True), ("<code>unknown(x)</code>", False),
    ('<a href="x"><code>sgr_table(x)</code></a>', False)])
def test_calls_in_prose_link_to_their_place(html, linked):
    assert ("tables.html#sgr_table" in docs.link_calls(html)) == linked


@pytest.mark.parametrize("css", ["@import url(https://x.org/css2?a:wght@3;4);", '@import"https://x.org/a;b";'])
def test_fonts_of_other_hosts_are_left_out(css):
    assert docs.FONTS.sub("", css + "p{}") == "p{}"


@pytest.mark.parametrize("link, page_depth, want", [
    ("https://e2h.org/e2h/api/data.html#x", 1, "../api/data.html#x"), ("/api/data.html", 0, "./api/data.html"),
    ("//other.org/x", 1, "//other.org/x"), ("https://other.org/", 1, "https://other.org/")])
def test_links_become_relative(link, page_depth, want):
    assert docs.relative_links(f'<a href="{link}">', page_depth, "https://e2h.org/e2h") == f'<a href="{want}">'
