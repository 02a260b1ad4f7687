"""The wheel in an empty environment, without extras: what a reader gets from `pip install e2h`."""
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    "A function that runs a program of an environment holding the wheel and nothing else of ours."
    tmp = tmp_path_factory.mktemp("wheel")
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*command, check=True):
        p = subprocess.run([str(c) for c in command], cwd=tmp, env=env, text=True, capture_output=True)
        assert not check or p.returncode == 0, p.stdout + p.stderr
        return p

    run(sys.executable, "-m", "build", "--outdir", tmp, ROOT)  # the sdist, and the wheel from it
    venv.create(tmp / "env", with_pip=True)
    [wheel] = tmp.glob("*.whl")
    run(tmp / "env/bin/python", "-m", "pip", "install", "-qq", "-c", ROOT / "constraints.txt", wheel)
    return lambda program, *args, check=True: run(tmp / "env/bin" / program, *args, check=check)


def test_no_torch(light):
    "The light installation has no language-model library, and every module imports without one."
    names = sorted(p.stem for p in (ROOT / "e2h").glob("[a-z]*.py"))
    light("python", "-c", f"""
import importlib, importlib.util, sys
for name in {names}: importlib.import_module("e2h." + name)
for name in ["torch", "transformers", "peft", "bitsandbytes", "fastcore", "nbdev"]:
    assert importlib.util.find_spec(name) is None, name
""")


def test_command(light):
    assert "study" in light("e2h", "--help").stdout


def test_recorded_results(light):
    "The shipped records give the SGR table without a model."
    table = light("python", "-c", """
from e2h.data import load_results
from e2h.sgr import sgr_table
print(sgr_table(load_results("worldquiz")).to_string())
""").stdout
    assert "probe" in table and "icl" in table


def test_a_folder_of_its_name_hides_nothing(tmp_path):
    "A clone e2h/ lies where Python starts: no package, and not to be taken for one."
    (tmp_path / "e2h").mkdir()
    script = "import e2h; from e2h.data import load_items; print(e2h.__version__, len(load_items('worldquiz')))"
    p = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert p.returncode == 0 and p.stdout, p.stderr


def test_model_without_the_extra(light):
    "Asking for a model says which extra to install."
    p = light("python", "-c", "from e2h.lm import LM; LM.load('smollm2')", check=False)
    assert p.returncode != 0 and "pip install '.[lm]'" in p.stderr, p.stderr
