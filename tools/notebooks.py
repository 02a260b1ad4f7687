"""Run the notebooks: `test` runs each in a fresh process with nbdev_test, `run` in place, keeping the outputs.

    python tools/notebooks.py test [NOTEBOOK...]
    python tools/notebooks.py run  [NOTEBOOK...]
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORKERS = min(2, os.cpu_count() or 1)
LIMIT = 45  # seconds that one notebook may take on 2 cores


def notebooks(root=ROOT):
    "Every notebook of the project, in the order of its name."
    found = (p.relative_to(root) for p in (root / "nbs").rglob("*.ipynb"))
    return sorted(root / p for p in found if not any(part[0] in "._" for part in p.parts))


def test_one(nb):
    "Run `nb` with nbdev_test -> (name, passed, seconds, peak memory in MB, what it printed)."
    threads = str(max(1, (os.cpu_count() or 1) // WORKERS))
    env = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    start = time.time()
    with tempfile.TemporaryFile("w+") as out:
        command = [Path(sys.executable).parent / "nbdev_test", "--path", nb, "--flags", "slow"]
        p = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    # nbdev_test says Success only after it ran the notebook
    passed = p.returncode == 0 and "Success." in text
    return nb.name, passed, time.time() - start, usage.ru_maxrss / 1024, text


def test(nbs):
    "Run `nbs`, two at a time -> one row per notebook; prints each as it ends."
    rows = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for row in pool.map(test_one, nbs):
            name, passed, seconds, mb, text = row
            slow = f"  (over {LIMIT} s)" if seconds > LIMIT else ""
            print(f"  {'ok    ' if passed else 'FAILED'} {name:32} {seconds:6.1f} s {mb:7.0f} MB{slow}", flush=True)
            if not passed:
                print(text)
            rows.append(row)
    return rows


def run(nbs):
    "Export the library, then execute `nbs` in place, each in a fresh kernel, and clean them."
    import nbformat
    from nbclient import NotebookClient
    from nbdev.clean import nbdev_clean
    from nbdev.doclinks import nbdev_export

    nbdev_export()
    for path in nbs:
        start, nb = time.time(), nbformat.read(path, 4)
        NotebookClient(nb, timeout=600, kernel_name="python3", extra_arguments=["--log-level=ERROR"],
                       resources={"metadata": {"path": str(path.parent)}}).execute()
        nb.metadata.pop("widgets", None)
        for cell in nb.cells:  # progress bars, which only a slow machine shows
            kept = [o for o in cell.get("outputs", []) if not any("widget" in kind for kind in o.get("data", {}))]
            if cell.cell_type == "code": cell.outputs = kept
        nbformat.write(nb, path)
        nbdev_clean(str(path))
        print(f"  ran {path.relative_to(ROOT)} in {time.time() - start:.1f} s", flush=True)


if __name__ == "__main__":
    os.chdir(ROOT)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["test", "run"])
    parser.add_argument("notebooks", nargs="*", help="by default all")
    args = parser.parse_args()
    chosen = [Path(n).resolve() for n in args.notebooks] or notebooks()
    if args.verb == "run":
        run(chosen)
    elif not all(row[1] for row in test(chosen)):
        sys.exit(1)
