"""The house rules of the notebooks: `python tools/check.py [NOTEBOOK...]` prints every breach and exits 1 if any.

In step: e2h/ is what the notebooks export, the notebooks are clean, README.md is what nbs/index.ipynb gives.
Readable: export cells are short, documented, and followed by a visible example; figures have alt text.
Safe: nothing unpickles, evaluates strings, runs a shell or trusts remote code.
"""
import ast
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from notebooks import ROOT, notebooks
from readme import option, stale

LONGEST, P90, MEDIAN = 30, 20, 10  # lines of an export cell; the aim is 30, 18, 8
BAD_IMPORTS = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
BAD_CALLS = {"eval", "exec", "os.system", "os.popen", "torch.load"}
BAD_KEYWORDS = {"shell", "trust_remote_code", "allow_pickle"}
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|work|Users|private|opt)/|[A-Z]:\\\\?Users")


def lines(source):
    "The code lines of `source`: not blank, no `#|` directive."
    return [x for x in source.splitlines() if x.strip() and not x.startswith("#|")]


def directives(source):
    "The names of the `#|` directives of a cell."
    return set(re.findall(r"^#\|\s*(\w+)", source, re.M))


def parse(source):
    "The syntax tree of a cell, without its magics."
    return ast.parse("\n".join("pass" if re.match(r"\s*[%!]", x) else x for x in source.splitlines()))


def forbidden(tree):
    "What `tree` does that this project never does, one sentence each."
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
            [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"imports {n}" for n in names if n.split(".")[0] in BAD_IMPORTS)
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) in BAD_CALLS:
                yield f"calls {ast.unparse(node.func)}()"
            yield from (f"passes {k.arg}=True" for k in node.keywords if k.arg in BAD_KEYWORDS
                        and not (isinstance(k.value, ast.Constant) and not k.value.value))


def undocumented(node, source):
    "Arguments (and the return) of a public function that have no comment on their line."
    body = source.splitlines()
    args = [a for a in node.args.posonlyargs + node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")]
    yield from (f"{node.name}: argument {a.arg} has no comment" for a in args if "#" not in body[a.end_lineno - 1])
    if ast.get_docstring(node) is None:
        yield f"{node.name} has no docstring"
    signature = "\n".join(body[node.lineno - 1:node.body[0].lineno - 1])
    returns = any(isinstance(n, ast.Return) and n.value for n in ast.walk(node))
    if args and returns and not re.search(r"\)\s*(->.*)?:\s*#", signature):
        yield f"{node.name}: the return has no comment"


def check_export(cells, i):
    "Problems of export cell `i`: length, one public name, documents, used visibly on the page."
    source, tree = cells[i]["source"], parse(cells[i]["source"])
    defs = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and not n.name.startswith("_")]
    if len(lines(source)) > LONGEST:
        yield f"export cell of {len(lines(source))} lines (at most {LONGEST})"
    if len(defs) > 1:
        yield "more than one public name in a cell: " + ", ".join(d.name for d in defs)
    others = [c["source"] for n, c in enumerate(cells) if c["cell_type"] == "code" and n != i]
    for d in defs:
        if isinstance(d, ast.FunctionDef):
            yield from undocumented(d, source)
        if not any(re.search(rf"\b{d.name}\b", s) and "hide" not in directives(s) for s in others):
            yield f"{d.name} is used nowhere on its page"


def check_outputs(cell):
    "Problems of the stored outputs of a code cell."
    source, outs = cell["source"], cell.get("outputs", [])
    kinds = {k for o in outs for k in o.get("data", {})}
    figures = any("<Figure" in "".join(o.get("data", {}).get("text/plain", "")) for o in outs)
    images = any(k.startswith("image/") for k in kinds)
    if any(o["output_type"] == "error" or o.get("name") == "stderr" for o in outs):
        yield "an error or stderr output"
    if cell.get("execution_count") or any(o.get("execution_count") for o in outs):
        yield "an execution count"
    if any("widget" in k for k in kinds):
        yield "a widget or progress bar in the outputs"
    if (figures or option(source, "fig-alt")) and not images:
        yield "a figure without its picture"
    if images and "hide" not in directives(source) and not option(source, "fig-alt"):
        yield "a figure without `#| fig-alt:`"


def check_imports(cell):
    "nbdev runs every cell that imports when it builds the site, so such a cell must hold imports alone."
    tree = parse(cell["source"])
    imports = (ast.Import, ast.ImportFrom)
    if any(isinstance(n, imports) for n in ast.walk(tree)) and not all(isinstance(n, imports) for n in tree.body):
        if not directives(cell["source"]) & {"export", "exports"}:
            yield "imports and other code in one cell: give the imports a cell of their own"


def check_notebook(path):
    "All problems of one notebook, as (cell number, sentence)."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for c in cells:
        c["source"] = "".join(c["source"])
    if cells[0]["cell_type"] != "markdown" or not re.fullmatch(r"# .+\n+> .+\s*", cells[0]["source"]):
        yield 0, "the first cell is not `# Title` and `> one line` alone (nbdev drops the rest of it from the site)"
    for i, c in enumerate(cells):
        if MACHINE_PATH.search(c["source"]) or MACHINE_PATH.search(json.dumps(c.get("outputs", []))):
            yield i, "a path of this machine"
        if c["cell_type"] == "code":
            yield from ((i, x) for x in check_outputs(c))
            yield from ((i, x) for x in check_imports(c))
            yield from ((i, x) for x in forbidden(parse(c["source"])))
            if directives(c["source"]) & {"export", "exports"}:
                yield from ((i, x) for x in check_export(cells, i))


def shape(path):
    "Counts of one notebook: export lines per cell, prose words, code lines, test cells, hidden test cells."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    words = sum(len("".join(c["source"]).split()) for c in cells if c["cell_type"] == "markdown")
    export = [len(lines(s)) for s in code if directives(s) & {"export", "exports"}]
    tests = [s for s in code if re.search(r"\btest_\w+\(|\bassert\b", s) and not directives(s) & {"export"}]
    return export, words, sum(len(lines(s)) for s in code), len(tests), sum("hide" in directives(s) for s in tests)


def print_shapes(paths):
    "The reading shape of the notebooks as a table -> problems of the whole."
    rows = [(p.name, *shape(p)) for p in paths]
    print(f"  {'notebook':24} export cells: n  median  max   words per code line   hidden tests")
    for name, export, words, code, tests, hidden in rows:
        med, top = (statistics.median(export), max(export)) if export else (0, 0)
        print(f"  {name:24} {len(export):15} {med:7g} {top:4} {words / max(code, 1):21.1f} {f'{hidden}/{tests}':>14}")
        if words < code:
            yield f"{name}: fewer words of prose ({words}) than lines of code ({code})"
    every = sorted(n for r in rows for n in r[1]) or [0]
    p90 = every[int(.9 * (len(every) - 1))]
    print(f"  all export cells: median {statistics.median(every):g}, 90th percentile {p90}, longest {every[-1]}")
    if statistics.median(every) > MEDIAN or p90 > P90:
        yield f"export cells are long: the median may be {MEDIAN}, the 90th percentile {P90}"
    if sum(r[5] for r in rows) > .1 * sum(r[4] for r in rows):
        yield "more than 10 % of the test cells are hidden"


def drift(root=ROOT):
    "Files that nbdev_export or nbdev_clean would change, found in a copy so that nothing here is touched."
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp) / "copy"
        copy.mkdir()
        for name in ["settings.ini", "_quarto.yml"]:
            shutil.copy(root / name, copy)
        for name in ["nbs", "e2h"]:
            shutil.copytree(root / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        [p.unlink() for p in (copy / "e2h").glob("*.py") if p.name != "__init__.py"]
        for module, call in [("doclinks", "nbdev_export"), ("clean", "nbdev_clean")]:
            code = f"from nbdev.{module} import {call}; {call}()"
            subprocess.run([sys.executable, "-c", code], cwd=copy, check=True)
        pairs = {p.relative_to(r) for r in (root, copy) for p in [*(r / "e2h").glob("*.py"), *notebooks(r)]}
        text = {p: [(r / p).read_bytes() if (r / p).exists() else None for r in (root, copy)] for p in sorted(pairs)}
    return [str(p) for p, (here, there) in text.items() if here != there]


def main(names):
    "Check `names`, or every notebook and file of the project."
    paths = [Path(n).resolve() for n in names] or notebooks()
    problems = [f"{p.relative_to(ROOT)} cell {i}: {x}" for p in paths for i, x in check_notebook(p)]
    problems += print_shapes(paths)
    if not names:
        code = [p for d in ("*.py", "e2h/*.py", "tests/*.py", "tools/*.py", "benchmarks/**/*.py") for p in ROOT.glob(d)]
        problems += [f"{p.relative_to(ROOT)} {x}" for p in code for x in forbidden(ast.parse(p.read_text("utf-8")))]
        problems += [f"{p} is not in step: run `make notebooks`" for p in drift()]
        problems += [f"{p.relative_to(ROOT)} is not in step with nbs/index.ipynb: run `make readme`" for p in stale()]
    print("".join(f"  {x}\n" for x in problems), end="")
    print(f"  {len(paths)} notebooks checked, {len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
