"""Write README.md and its figures (images/) from nbs/index.ipynb; with --check, say whether they are in step."""
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]


def option(source, name):
    "The value of the cell option `#| name: value` in `source`, or an empty string."
    found = re.search(rf"^#\|\s*{name}:?\s*(.*)$", source, re.M)
    return found[1].strip().strip("\"'") if found else ""


def readme(root=ROOT):
    "The files that belong to the README: {path: bytes}."
    nb = nbformat.read(root / "nbs" / "index.ipynb", 4)
    nb.cells = [c for c in nb.cells if not re.search(r"^#\|\s*(hide\b|include:\s*false)", c.source, re.M)]
    nb.metadata.language_info = {"name": "python"}
    alts = []
    for c in nb.cells:
        alts += [option(c.source, "fig-alt")] * sum("image/png" in o.get("data", {}) for o in c.get("outputs", []))
        c.source = "" if option(c.source, "echo") == "false" else re.sub(r"^#\|.*\n?", "", c.source, flags=re.M)
    body, res = MarkdownExporter().from_notebook_node(nb, {"unique_key": "index", "output_files_dir": "images"})
    body = re.sub(r"```python\n+```\n", "", body)                      # cells with echo: false
    body = re.sub(r"<style.*?</style>\n?", "", body, flags=re.S)       # GitHub shows it as text
    body = re.sub(r"^:::.*\n", "", body, flags=re.M)                   # callouts of the site
    body = re.sub(r"!\[png\]", lambda _: f"![{alts.pop(0)}]", body)
    body = re.sub(r"\]\((?!https?:|#|images/|mailto:)", "](nbs/", body)  # links in nbs/index.ipynb start from nbs/
    body = re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"
    note = "<!-- Written by `make readme` from nbs/index.ipynb: edit that. -->\n\n"
    files = {root / name: data for name, data in res["outputs"].items()}
    return {root / "README.md": (note + body).encode(), **files}


def stale(root=ROOT):
    "The README files that are missing, out of date or left over."
    want = readme(root)
    left = set((root / "images").glob("index_*")) - set(want)
    return sorted(p for p, data in want.items() if not p.exists() or p.read_bytes() != data) + sorted(left)


if __name__ == "__main__":
    old = stale()
    if "--check" in sys.argv and old:
        sys.exit("Not in step with nbs/index.ipynb (run `make readme`): " + ", ".join(p.name for p in old))
    if "--check" not in sys.argv:
        for path in (ROOT / "images").glob("index_*"):
            path.unlink()
        for path, data in readme().items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        print(f"Wrote README.md and {len(readme()) - 1} figures")
