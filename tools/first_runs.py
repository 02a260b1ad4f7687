"""Compute the runs behind nbs/paper/10_first_runs.ipynb and pack them: `python tools/first_runs.py runs/first`.

About an hour on one core; stop it and start it again as you like.
"""
import argparse
from pathlib import Path

from e2h.baselines import AnswerPrior
from e2h.data import load_items
from e2h.icl import ICL, ZeroShot
from e2h.lm import LM, LMSource
from e2h.probe import LinearProbe
from e2h.qlora import QLoRA
from e2h.store import open_store, pack
from e2h.study import Study

RESULTS = Path(__file__).parents[1] / "nbs" / "paper" / "results"


def measure_runs(items, what, n, out):
    "All studies by one measure, in one folder."
    base = dict(measure=what, n_train=n, seeds=5)
    lm, icl, half = LM.load("smollm2"), ICL(10, prior=True), {"easy": .5, "hard": .5}
    floors = [ZeroShot(prior=True), ZeroShot(blind=True), AnswerPrior(), AnswerPrior("position")]
    shown = [icl, ICL(10, "random", prior=True), ICL(10, "arithmetic", prior=True)]
    sizes = [m for m in (10, 20, 40, 80, 160) if m <= n]
    order = [f"easy:0.5+hard:0.5 {first}" for first in ("easy-first", "hard-first")]
    studies = [
        dict(methods=[*floors, *shown, LinearProbe(), LinearProbe(labels="random")]),
        dict(methods=[LinearProbe()], n_train=sizes),
        dict(methods=[LinearProbe()], noise=[.05, .1, .2, .4, .6]),
        dict(methods=[ICL(k) for k in (1, 3, 30)]),
        dict(methods=[icl], noise=[.2, .6]),
        dict(methods=[LinearProbe(), icl], train_on=[half, "all"]),
        dict(methods=[icl], train_on=order)]
    for study in studies: Study(items, lm, **(base | study)).run(out)
    adapters = dict(methods=[QLoRA(), QLoRA(labels="random")], seeds=2)
    Study(items, LM.load("smollm2", quant="nf4"), **(base | adapters)).run(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="folder for the run folders")
    out, items = parser.parse_args().out, load_items("worldquiz")
    for what, n in (("fame", 160), ("hops", 80)): measure_runs(items, what, n, out / what)
    few = items.dropna(subset="fame").iloc[::3].reset_index(drop=True)
    few.attrs = dict(items.attrs)
    kinds = ((None, "float32"), (None, "bfloat16"), ("int8", "float32"), ("nf4", "bfloat16"))
    Study(few, [LMSource("smollm2", *kind) for kind in kinds], "fame", [], n_train=100).run(out / "precision")
    for name in ("fame", "hops", "precision"):
        pack(open_store(out / name), RESULTS / f"worldquiz_{name}.parquet", digits=2)


if __name__ == "__main__":
    main()
