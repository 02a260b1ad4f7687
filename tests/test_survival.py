"""What a study survives: being killed, a second writer, a full disk, a folder that cannot be written, a dead worker."""
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from e2h.data import load_items
from e2h.icl import ICL
from e2h.store import open_store, read_events
from e2h.study import Study

pytest.importorskip("torch")
SCRIPT = Path(__file__).with_name("survival.py")


def survival(*args, before=()):
    "What tests/survival.py found; it asserts that nothing is lost, torn or different."
    p = subprocess.run([*before, sys.executable, SCRIPT, *map(str, args)], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return json.loads(p.stdout)


def test_killed_at_random_moments(tmp_path):
    found = survival("kills", tmp_path, 20, 0)
    assert found["killed"] == 20 and found["in_writes"] >= 5 and found["finished"] >= 1


@pytest.mark.slow
def test_killed_two_hundred_times(tmp_path):
    found = survival("kills", tmp_path, 200, 1)
    assert found["killed"] == 200 and found["in_writes"] >= 50 and found["finished"] >= 20


def test_two_writers_at_once(tmp_path):
    assert survival("twice", tmp_path) == {"well": [True, True], "cells": 13}


def test_files_may_not_grow(tmp_path):
    found = survival("limit", tmp_path)
    assert found["stopped"] and found["cells"] < 13 and found["hidden"] == []


def namespace():
    "A command that gives a process mounts of its own, or a skip where the system refuses."
    command = ["unshare", "-rm"]
    probe = [*command, "sh", "-c", "mount -t tmpfs none /mnt"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("this system lets nobody mount file systems of their own")
    return command


E2H = "from e2h.cli import main; raise SystemExit(main())"
STUDY = ["study", "--methods", "icl", "--shots", "2", "--n-test", "4", "--seeds", "2", "--quiet"]


def shell(script, **values):
    "Run a shell script in a mount namespace -> exit code, error stream."
    p = subprocess.run([*namespace(), "sh", "-c", script], capture_output=True, text=True,
                       env={**os.environ, **{name: str(value) for name, value in values.items()}})
    return p.returncode, p.stderr.strip()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    "A small data set as a file, for the command."
    file = tmp_path_factory.mktemp("data") / "small.jsonl"
    items = load_items("worldquiz").dropna(subset="fame").groupby("cluster").head(6)
    items[["question", "choices", "answer", "fame"]].to_json(file, orient="records", lines=True)
    return file


def test_a_full_disk(tmp_path, small):
    args = " ".join([*STUDY, "--dataset", str(small), "--out", f"{tmp_path}/disk/run"])
    (tmp_path / "disk").mkdir()
    script = (f'mount -t tmpfs -o size=28k none {tmp_path}/disk && "$PY" -c "$E2H" {args}; code=$?; '
              f'cp -r {tmp_path}/disk/run {tmp_path}/saved; exit $code')
    code, said = shell(script, PY=sys.executable, E2H=E2H)
    assert code == 1 and "Traceback" not in said, said
    sentence = said.splitlines()[-1]
    assert "cannot write in" in sentence and "No space left on device" in sentence and "make room" in sentence
    saved = open_store(tmp_path / "saved")
    assert not list(saved.path.rglob(".writing*"))
    there = saved.manifests()  # each is whole, or this warns
    p = subprocess.run([sys.executable, "-c", E2H, *STUDY, "--dataset", small, "--out", saved.path],
                       capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    assert {m["run_id"] for m in there} < {m["run_id"] for m in saved.manifests()}


def test_a_folder_that_cannot_be_written(tmp_path, small):
    run = tmp_path / "run"
    args = " ".join([*STUDY, "--dataset", str(small), "--out", str(run)])
    (run / "cells").mkdir(parents=True)
    script = f'mount --bind {run} {run} && mount -o remount,ro,bind {run} && "$PY" -c "$E2H" {args}'
    code, said = shell(script, PY=sys.executable, E2H=E2H)
    assert code == 1 and "Traceback" not in said, said
    assert f"cannot write in {run}" in said.splitlines()[-1] and "Read-only file system" in said
    assert [p.name for p in run.rglob("*")] == ["cells"]


def test_control_c(tmp_path, small):
    args = [*STUDY, "--dataset", small, "--out", tmp_path / "run"]
    process = subprocess.Popen([sys.executable, "-c", E2H, *map(str, args)], stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a job behind & ignores it
    while not (tmp_path / "run" / "events.jsonl").exists() and process.poll() is None: pass
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130 and "run the same study there again to go on" in said and "Traceback" not in said
    assert read_events(open_store(tmp_path / "run"))["event"].tolist()[-1] == "study stopped"
    assert not list(tmp_path.rglob(".writing*"))
    done = subprocess.run([sys.executable, "-c", E2H, *map(str, args), "--json"], capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["accuracy"]


def workers():
    "Process ids of the Ray workers of this machine that compute cells."
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try: name = (folder / "cmdline").read_bytes()
        except OSError: continue
        if name.startswith(b"ray::Worker"): found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    "A tiny model in a folder, so that workers can load it."
    from e2h.lm import LM
    folder, lm = tmp_path_factory.mktemp("model") / "tiny", tiny("qwen2")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return LM.load(str(folder), dtype="float32")


def test_ray_gives_the_same_records_though_a_worker_is_killed(saved, tmp_path):
    ray = pytest.importorskip("ray")
    items = load_items("worldquiz").dropna(subset="fame").iloc[::4]
    study = Study(items, saved, "fame", [ICL(2), ICL(2, "random")], n_train=10, n_test=20, seeds=3)
    here, heard = study.run(tmp_path / "here", progress=False), []

    def listen(event):
        heard.append(event)
        third = event["event"] == "cell finished" and [h["event"] for h in heard].count("cell finished") == 3
        if third: os.kill(workers()[0], signal.SIGKILL)

    there = study.run(tmp_path / "there", progress=False, executor="ray", callback=listen)
    assert there.equals(here) and not ray.is_initialized()
    names = [h["event"] for h in heard]
    assert names[0] == "study started" and "worker died" in names and names[-1] == "study finished"
    again = study.run(tmp_path / "there", progress=False)  # here, on what was computed there: nothing to do
    assert again.equals(here)


def test_ray_says_what_went_wrong_in_a_worker(saved, tmp_path):
    pytest.importorskip("ray")
    items = load_items("worldquiz").dropna(subset="fame").iloc[::4]
    items.loc[items.index[0], "question"] = "word " * 100_000
    study = Study(items, saved, "fame", [ICL(2)], n_train=10, n_test=20, seeds=1)
    with pytest.raises(ValueError, match="tokens") as caught:
        study.run(tmp_path / "run", progress=False, executor="ray")
    assert any("in cell: worldquiz" in note for note in caught.value.__notes__)


MINE = """
import sys
from dataclasses import dataclass
from e2h.data import load_items
from e2h.icl import ICL
from e2h.lm import LM
from e2h.store import open_store
from e2h.study import Study
@dataclass(frozen=True)
class Mine(ICL):
    def fit(self, lm, items, seed=0): return super().fit(lm, items, seed + STEP)
items = load_items("worldquiz").dropna(subset="fame").iloc[::8]
if __name__ == "__main__":
    study = Study(items, LM.load(sys.argv[1], dtype="float32"), "fame", [Mine(2, "random")], n_test=4, seeds=1)
    study.run(sys.argv[2], progress=False, executor=sys.argv[3])
    print(*sorted(m["run_id"] for m in open_store(sys.argv[2]).manifests()))
"""


def test_ray_knows_the_code_of_a_method_in_a_script(saved, tmp_path):
    "A worker has no such script; what it computes is still named by the source that was started."
    pytest.importorskip("ray")
    names = {}
    for step, executor in [(1, "serial"), (1, "ray"), (2, "ray")]:
        script = tmp_path / f"mine{step}.py"
        script.write_text(MINE.replace("STEP", str(step)))
        command = [sys.executable, script, saved.source.name, tmp_path / f"{executor}{step}", executor]
        p = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert p.returncode == 0, p.stderr
        names[executor, step] = set(p.stdout.split())
    assert names["serial", 1] == names["ray", 1] and len(names["ray", 1]) == 3
    assert len(names["ray", 1] & names["ray", 2]) == 1  # zero-shot


LOST = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
import ray
from ray.cluster_utils import Cluster
from e2h.study import _assign
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=1))
second = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
class Slow:
    def ready(self): pass
    def compute(self, title):
        time.sleep(1)
        return dict(event="cell finished", run_id=title)
class Cell(str):
    title, lm, dataset = property(str), "m", "d"
parts, done = {"d": SimpleNamespace(store=SimpleNamespace(file=Path))}, []
def hire(): return ray.remote(Slow).options(num_cpus=1).remote()
for event in _assign(ray, [Cell(name) for name in sys.argv[1:]], hire, 2, parts):
    print(event["event"], event.get("run_id", ""), flush=True)
    done.append(event["event"])
    if done.count("cell finished") == 2 and done[-1] == "cell finished": cluster.remove_node(second)
"""


def test_a_machine_is_lost(tmp_path):
    "Cells of a machine that goes away are done by those that stay."
    pytest.importorskip("ray")
    files = [tmp_path / name for name in "abcdef"]
    for file in files: file.write_text("")  # what a worker would have written
    p = subprocess.run([sys.executable, "-c", LOST, *map(str, files)], capture_output=True, text=True, timeout=120)
    lines = p.stdout.splitlines()
    assert p.returncode == 0, p.stderr
    assert {line.split()[-1] for line in lines if line.startswith("cell finished")} == {str(file) for file in files}
    assert any(line.startswith("worker died") for line in lines)


@pytest.mark.slow
def test_five_thousand_cells(tmp_path):
    "All that is written is listed and read again, from the folder and from the pack."
    benchmark = Path(__file__).parents[1] / "benchmarks" / "store.py"
    p = subprocess.run([sys.executable, benchmark], capture_output=True, text=True)  # it compares what it reads
    assert p.returncode == 0 and "500,000 answers" in p.stdout, p.stderr
