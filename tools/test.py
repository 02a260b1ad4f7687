"""What `make test` runs after the set-up: every step, the time each took, and a closing count.

A step that fails does not stop the others; the exit code is 1 if any failed.
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from notebooks import ROOT, WORKERS, notebooks, test


def step(*command):
    "Run a command of this environment -> (passed, failed)."
    ok = subprocess.run([sys.executable, *command], cwd=ROOT).returncode == 0
    return int(ok), int(not ok)


def run_notebooks():
    "Run every notebook -> (passed, failed)."
    rows = test(notebooks())
    bad = sum(not r[1] for r in rows)
    return len(rows) - bad, bad


def run_pytest():
    "Run tests/ -> (passed, failed), read from pytest's own report."
    with tempfile.TemporaryDirectory() as tmp:
        report = Path(tmp) / "report.xml"
        command = [sys.executable, "-m", "pytest", f"-n{WORKERS}", "--dist=loadfile", "--no-loadscope-reorder",
                   "--durations=5", f"--junitxml={report}"]
        code = subprocess.run(command, cwd=ROOT).returncode
        suite = ElementTree.parse(report).getroot().find("testsuite").attrib if report.exists() else {}
    count = {k: int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped")}
    bad = count["failures"] + count["errors"]
    return count["tests"] - bad - count["skipped"], max(bad, int(code != 0))


STEPS = {
    "ruff": lambda: step("-m", "ruff", "check", ".", "--output-format", "concise"),
    "notebook rules, library in step": lambda: step("tools/check.py"),
    "notebooks": run_notebooks,
    "pytest, with the wheel and the site": run_pytest,
}


def main():
    "Run the steps -> exit code."
    start = time.time()
    rows = [("set-up", start - float(os.environ.get("E2H_START", start)), 0, 0)]
    for name, run in STEPS.items():
        print(f"\n== {name}", flush=True)
        start = time.time()
        good, bad = run()
        rows.append((name, time.time() - start, good, bad))
    print("\n| step | seconds | passed | failed |\n|---|---:|---:|---:|")
    print(*(f"| {name} | {seconds:.0f} | {good} | {bad} |" for name, seconds, good, bad in rows), sep="\n")
    seconds, good, bad = (sum(r[i] for r in rows) for i in (1, 2, 3))
    print(f"| all | {seconds:.0f} | {good} | {bad} |\n\n{good} passed, {bad} failed")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
