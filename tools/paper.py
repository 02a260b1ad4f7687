"""The runs behind nbs/paper, each into OUT/NAME and packed into nbs/paper/results/NAME.parquet.

    python tools/paper.py runs/paper                 # everything that is missing; stop it and start it again
    python tools/paper.py runs/paper probe_arc       # some of them, by name

Two processes with different names do not get in each other's way. The data sets have to be there (see `load_items`).
"""
import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from e2h.baselines import AnswerPrior
from e2h.data import load_items
from e2h.hardness import LEVELS, PAPER_MEASURES, item_levels
from e2h.icl import ICL, ZeroShot
from e2h.lm import LM
from e2h.probe import LinearProbe
from e2h.splits import Split
from e2h.store import open_store, pack
from e2h.study import Study

RESULTS = Path(__file__).resolve().parents[1] / "nbs" / "paper" / "results"
HEADLINE = {"arc": ["grade", "difficulty", "bloom"], "mmlu_stem5": ["college"], "strategyqa": ["steps"]}
SHOTS = {"arc": 10, "mmlu_stem5": 10, "strategyqa": 8}
HALF = {"easy": .5, "hard": .5}
STAGES = {"third grade": 3, "eighth grade": 8, "high school": 10, "college": 13}


def zero_shot(out, lm, name, format):
    "The model without training, in one prompt format."
    measures = ["fame", "hops"] if name == "worldquiz" else PAPER_MEASURES[name]
    Study(load_items(name), lm, measures, [], format=format).run(out)


def probe(out, lm, name):
    "The linear probe on every level by every measure, with its placebo and what needs no question or no label."
    items, measures = load_items(name), PAPER_MEASURES[name]
    floors = [ZeroShot(), ZeroShot(blind=True), AnswerPrior(), AnswerPrior("position")]
    medium = [measure for measure in measures if (item_levels(items, measure) == "medium").any()]
    Study(items, lm, measures, [*floors, LinearProbe()], ["easy", "hard", "all", HALF]).run(out)
    Study(items, lm, medium, [LinearProbe()], ["medium"]).run(out)
    Study(items, lm, measures, [LinearProbe(labels="random")]).run(out)


def curves(out, lm, name):
    "The linear probe from 10 items on, and with wrong labels; ten draws where the paper has ten."
    items = load_items(name)
    for measure in HEADLINE[name]:
        sizes = [10, 20, 40, 80, 160] + [320] * (measure in ("grade", "bloom"))  # others have too few hard items
        Study(items, lm, measure, [ZeroShot(), LinearProbe()], n_train=sizes, seeds=10).run(out)
        Study(items, lm, measure, [LinearProbe()], noise=[.05, .1, .2, .3, .4, .6]).run(out)


def icl(out, lm, name, measure):
    "Prompts with solved questions of every level, with random labels, and with sums in their place."
    items, k = load_items(name), SHOTS[name]
    there = [level for level in LEVELS if (item_levels(items, measure) == level).any()]
    Study(items, lm, measure, [ZeroShot(), ICL(k)], [*there, "all"]).run(out)
    Study(items, lm, measure, [ICL(k, "random"), ICL(k, "arithmetic")]).run(out)


def school():
    "ARC by grade and MMLU by school, with the years of school that a question is for."
    arc, mmlu = load_items("arc", part="all"), load_items("mmlu_stem5")
    years = [arc["grade"], mmlu["college"].map({0: STAGES["high school"], 1: STAGES["college"]})]
    items = pd.concat([part[["item_id", "question", "choices", "answer", "cluster"]].assign(years=year)
                       for part, year in zip((arc, mmlu), years)], ignore_index=True)
    items.attrs = mmlu.attrs | {"dataset": "arc_and_mmlu_stem5"}
    return items


def school_arms(items, n, seeds=5):
    "Training on one stage of school, tested on half of the college questions."
    splits, is_college = {}, items["years"] == STAGES["college"]
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 10])
        tested = rng.permutation(items.loc[is_college, "cluster"].unique())
        tested = set(tested[:len(tested) // 2])
        held = items["cluster"].isin(tested)
        test_ids = sorted(items.loc[held & is_college, "item_id"])
        for stage, years in STAGES.items():
            pool = items.loc[(items["years"] == years) & ~held, "item_id"]
            splits[None, seed, stage, n] = Split(rng.permutation(pool)[:n].tolist(), test_ids)
    return splits


def college(out, lm):
    "From third grade to college: tested on college questions, trained on four stages of school."
    items = school()
    for n, methods in ((160, [ZeroShot(), LinearProbe(), LinearProbe(labels="random")]), (10, [ICL(10)])):
        Study(items, lm, "years", methods, arms=school_arms(items, n)).run(out)


ITEMS = ("arc", "mmlu_stem5", "strategyqa")
RUNS = {f"zero_shot_{name}_{format}": (zero_shot, name, format) for name in (*ITEMS, "worldquiz")
        for format in ("cloze", "paper")}
RUNS |= {f"probe_{name}": (probe, name) for name in ITEMS} | {f"curves_{name}": (curves, name) for name in ITEMS}
RUNS |= {"college": (college,)}
RUNS |= {f"icl_{name}_{measure}": (icl, name, measure) for name in ITEMS for measure in HEADLINE[name]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the run folders")
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(RUNS)}; by default all")
    args = parser.parse_args()
    lm = LM.load("smollm2")
    for name in args.names or RUNS:
        run, *settings = RUNS[name]
        run(args.out / name, lm, *settings)
        scores = run in (zero_shot, icl)  # the probe's runs are many: who was right is enough
        pack(open_store(args.out / name), RESULTS / f"{name}.parquet", texts=False, digits=2, scores=scores)
        print(name, flush=True)


if __name__ == "__main__":
    main()
