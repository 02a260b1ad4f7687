"""Numbers for the interactive page (nbs/explore.md) from the recorded curves: `python tools/explore.py`, two minutes."""
import json
from pathlib import Path

import numpy as np

from e2h.costs import Labels, arm_at, compare_costs
from e2h.sgr import item_clusters, sgr, to_matrix
from e2h.store import atomic, open_store

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "nbs" / "explore_data.js"
COSTS = [1, 1.5, 2, 3, 4, 6, 8]
ERRORS = [(0, 0), (.05, .05), (.05, .1), (.05, .2), (.1, .1), (.1, .2), (.1, .4), (.2, .2), (.2, .4)]  # easy, hard
CURVES = {("World Quiz", "fame"): "worldquiz_fame", ("World Quiz", "hops"): "worldquiz_hops",
          ("ARC", "grade"): "curves_arc", ("ARC", "difficulty"): "curves_arc", ("ARC", "bloom"): "curves_arc",
          ("MMLU-STEM-5", "college"): "curves_mmlu_stem5", ("StrategyQA", "steps"): "curves_strategyqa"}


def ratio(records, zero, errors):
    "Accuracies and SGR with so many wrong easy and hard labels, at the size that was run with wrong labels."
    n = records.loc[records["noise"] > 0, "n_train"].max()
    easy, hard = (arm_at(records, level, n, error).clip(0, 1) for level, error in zip(("easy", "hard"), errors))
    found = sgr(zero, easy, hard, item_clusters(records))
    gap = found.gap.point, found.gap.low, found.gap.high
    numbers = found.zero_shot, found.easy, found.hard, *gap, found.point, found.low, found.high
    return dict(regime=found.regime, numbers=[rounded(number) for number in numbers])


def rounded(number):
    "Four decimals; None where there is no number."
    return round(float(number), 4) if np.isfinite(number) else None


def entry(data, measure, file):
    "Everything that the page shows for one data set and measure."
    records = open_store(file).records(measure)
    hard = records[records["level"] == "hard"]
    zero = to_matrix(hard[(hard["method"] == "zeroshot") & (hard["quant"] == "none")].drop_duplicates("item_id"))
    probe = hard[(hard["method"] == "probe") & hard["train_on"].isin(["easy", "hard"])]
    budget = int(probe.loc[probe["noise"] > 0, "n_train"].max())
    prices = [[compare_costs(probe, budget, Labels(cost, *errors)) for cost in COSTS] for errors in ERRORS]
    return dict(data=data, measure=measure, method="linear probe", budget=budget, hard_items=int(probe["item_id"].nunique()),
                seeds=int(probe["seed"].nunique()), sgr=[ratio(probe, zero, errors) for errors in ERRORS],
                prices=[[[rounded(c[what]) for what in ("difference", "low", "high")] for c in row] for row in prices])


def main():
    results = ROOT / "nbs" / "paper" / "results"
    entries = [entry(data, measure, results / f"{name}.parquet") for (data, measure), name in CURVES.items()
               if (results / f"{name}.parquet").exists()]
    text = json.dumps(dict(costs=COSTS, errors=ERRORS, entries=entries), separators=(",", ":"))
    with atomic(OUT) as part: part.write_text(f"window.e2hExplore = {text};\n", "utf-8")
    print(OUT.relative_to(ROOT))


if __name__ == "__main__":
    main()
