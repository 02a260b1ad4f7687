"""Studies that are killed: `python tests/survival.py kills|twice|limit FOLDER [N] [SEED]` prints what happened as JSON.

The models and what runs them are real, if tiny and random. A study is forked from this process, so that killing it
two hundred times does not take two hundred starts of Python.
"""
import functools
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def make_study():
    "13 cells of a fraction of a second each."
    import torch
    import transformers

    from e2h.data import load_items
    from e2h.icl import ICL
    from e2h.lm import LM, LMSource
    from e2h.study import Study
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model("qwen2", vocab_size=49152, hidden_size=32, num_hidden_layers=2,
                                               num_attention_heads=4, num_key_value_heads=2, intermediate_size=64)
    lm = LM(transformers.AutoModelForCausalLM.from_config(config).eval(), LMSource("smollm2").load().tokenizer, "tiny")
    items = load_items("worldquiz").dropna(subset="fame").iloc[::8]
    return Study(items, lm, "fame", [ICL(2), ICL(2, "random")], n_train=10, n_test=3, seeds=3)


def die_in(call):
    "Arrange that this process is killed in the middle of its n-th step of writing."
    steps = {"n": 0}

    def count(function, half=None):
        def stepped(*args, **kwargs):
            steps["n"] += 1
            if steps["n"] == call:
                if half: half(*args, **kwargs)
                os.kill(os.getpid(), signal.SIGKILL)
            found = function(*args, **kwargs)
            steps["n"] += 1
            if steps["n"] == call: os.kill(os.getpid(), signal.SIGKILL)
            return found
        return stepped

    write = Path.write_bytes
    Path.write_bytes = count(write, lambda path, data: write(path, data[:len(data) // 2]))
    for module, name in [(tempfile, "mkstemp"), (os, "fsync"), (os, "chmod"), (os, "replace")]:
        setattr(module, name, count(getattr(module, name)))


def fork(work, *args):
    "Do something in a process of its own -> its pid. This process starts no threads, so that forks of it are sound."
    pid = os.fork()
    if pid: return pid
    code = 1
    try:
        work(*args)
        code = 0
    except OSError as e:
        print(e.strerror, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(pid):
    "Wait for a process -> whether it ended by itself and well."
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def run(study, folder, prepare=None):
    "Run the study, prepared for trouble."
    if prepare: prepare()
    study.run(folder, progress=False)


def check(folder, whole=None):
    "Every cell that can be seen is whole; and a finished study has the records of one that nothing happened to."
    from e2h.store import open_store, read_cell
    for file in (folder / "cells").glob("[!.]*"): read_cell(file)
    if whole: assert open_store(folder).records().equals(open_store(whole).records()), f"{folder}: other records"


def sure(work, *args):
    "Do something in a process of its own, which must end well."
    assert ended(fork(work, *args)), f"{work.__name__} failed"


def files(folder):
    "Name -> bytes and time of every cell that can be seen."
    return {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in (folder / "cells").glob("[!.]*")}


def kills(study, folder, n, rng):
    "Kill a study n times, half of them inside a write; it must lose nothing and end as one that was never killed."
    began, whole = time.time(), folder / "whole"
    sure(run, study, whole)
    seconds, steps = time.time() - began, 6 * 2 * (len(files(whole)) + 3)
    found, round_, before = dict(killed=0, in_writes=0, finished=0), 0, {}
    while found["killed"] < n:
        here, inside = folder / f"run{round_}", rng.random() < .5
        pid = fork(run, study, here, functools.partial(die_in, rng.randrange(1, steps)) if inside else None)
        if not inside:
            time.sleep(rng.uniform(0, seconds))
            os.kill(pid, signal.SIGKILL)
        done = ended(pid)
        found["killed"] += not done
        found["in_writes"] += inside and not done
        after = files(here)
        assert before.items() <= after.items(), "a finished cell was lost or written again"
        sure(check, here, whole if done else None)
        before = after
        if done:
            found["finished"] += 1
            round_, before = round_ + 1, {}
    sure(run, study, folder / f"run{round_}")
    sure(check, folder / f"run{round_}", whole)
    return dict(found, cells=len(files(whole)))


def twice(study, folder):
    "Two processes compute one study in one folder at the same time."
    sure(run, study, folder / "whole")
    pids = [fork(run, study, folder / "both") for _ in range(2)]
    well = [ended(pid) for pid in pids]
    sure(check, folder / "both", folder / "whole")
    return dict(well=well, cells=len(files(folder / "both")))


def limit(study, folder):
    "A file may not grow beyond 8,000 bytes: the disk is full, as far as the study can see."
    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, resource.RLIM_INFINITY))
    here = folder / "run"
    stopped = not ended(fork(run, study, here, small))
    sure(check, here)
    there, hidden = len(files(here)), [f.name for f in here.rglob(".*")]
    for each in (here, folder / "whole"): sure(run, study, each)
    sure(check, here, folder / "whole")
    return dict(stopped=stopped, cells=there, hidden=hidden)


if __name__ == "__main__":
    warnings.simplefilter("error", UserWarning)  # a cell set aside is a failure here
    verb, folder, *numbers = sys.argv[1:]
    study, extra = make_study(), []
    if verb == "kills": extra = [int(numbers[0]), random.Random(int(numbers[1]))]
    print(json.dumps({"kills": kills, "twice": twice, "limit": limit}[verb](study, Path(folder), *extra)))
