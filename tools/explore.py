"""Numbers for the interactive page (nbs/explore.md) from the recorded curves: `python tools/explore.py`, two minutes."""
import json
from pathlib import Path

import numpy as np

from e2h.costs import Labels, arm_at, compare_costs
from e2h.report import MEASURE_WORDS
from e2h.sgr import chance_accuracy, item_clusters, sgr, to_matrix
from e2h.store import atomic, open_store

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "nbs" / "explore_data.js"
COSTS = [1, 1.5, 2, 3, 4, 6, 8]
ERRORS = [(.05, .1), (.05, .05), (.05, .2), (.05, .4), (0, 0), (0, .05), (0, .1), (0, .2), (0, .4),
          (.1, .1), (.1, .2), (.1, .4), (.2, .2), (.2, .4)]  # shares of wrong easy and hard labels; the paper's come first
CURVES = {("World Quiz", "fame"): "worldquiz_fame", ("World Quiz", "hops"): "worldquiz_hops",
          ("ARC", "grade"): "curves_arc", ("ARC", "difficulty"): "curves_arc", ("ARC", "bloom"): "curves_arc",
          ("MMLU-STEM-5", "college"): "curves_mmlu_stem5", ("StrategyQA", "steps"): "curves_strategyqa"}


def ratio(records, zero, clusters, errors):
    "Accuracies and SGR with so many wrong easy and hard labels, at the size that was run with wrong labels."
    n = records.loc[records["noise"] > 0, "n_train"].max()
    easy, hard = (arm_at(records, level, n, error).clip(0, 1) for level, error in zip(("easy", "hard"), errors))
    found = sgr(zero, easy, hard, clusters)
    gap = found.gap.point, found.gap.low, found.gap.high
    numbers = found.zero_shot, found.easy, found.hard, *gap, found.point, found.low, found.high
    return dict(regime=found.regime, numbers=[rounded(number) for number in numbers])


def rounded(number):
    "Six decimals; None where there is no number."
    return round(float(number), 6) if np.isfinite(number) else None


def entries(data, measure, file):
    "Everything that the page shows for one data set and measure, method by method."
    records = open_store(file).records(measure)
    hard = records[records["level"] == "hard"]
    zero = to_matrix(hard[(hard["method"] == "zeroshot") & (hard["quant"] == "none")].drop_duplicates("item_id"))
    for method, title in (("probe", "linear probe"), ("icl", "examples in the prompt")):
        r = hard[(hard["method"] == method) & hard["train_on"].isin(["easy", "hard"])]
        if not (r["noise"] > 0).any(): continue
        budget = int(r.loc[r["noise"] > 0, "n_train"].max())
        prices = [[compare_costs(r, budget, Labels(cost, *errors)) for cost in COSTS] for errors in ERRORS]
        yield dict(data=data, measure=MEASURE_WORDS[measure], method=title, budget=budget,
                   chance=rounded(chance_accuracy(hard)), hard_items=int(r["item_id"].nunique()),
                   seeds=int(r["seed"].nunique()),
                   sgr=[ratio(r, zero, item_clusters(hard), errors) for errors in ERRORS],
                   prices=[[[rounded(c[what]) for what in ("difference", "low", "high")] for c in row] for row in prices])


def main():
    results = ROOT / "nbs" / "paper" / "results"
    found = [entry for (data, measure), name in CURVES.items() if (results / f"{name}.parquet").exists()
             for entry in entries(data, measure, results / f"{name}.parquet")]
    text = json.dumps(dict(costs=COSTS, errors=ERRORS, entries=found), separators=(",", ":"))
    with atomic(OUT) as part: part.write_text(f"window.e2hExplore = {text};\n", "utf-8")
    print(OUT.relative_to(ROOT))


if __name__ == "__main__":
    main()
