"""The runs behind nbs/paper, each into runs/paper/NAME and packed into nbs/paper/results/NAME.parquet.

    python tools/paper.py             # everything that is missing; stop it and start it again
    python tools/paper.py arc_cloze   # one of them

zero_shot_*: SmolLM2 without training on four data sets in two prompt formats. Needs the data sets (see `load_items`).
"""
import sys
from pathlib import Path

from e2h.data import load_items
from e2h.hardness import PAPER_MEASURES
from e2h.lm import LM
from e2h.store import open_store, pack
from e2h.study import Study

ROOT = Path(__file__).resolve().parents[1]
RUNS = {f"zero_shot_{name}_{format}": (name, format) for name in ("arc", "mmlu_stem5", "strategyqa", "worldquiz")
        for format in ("cloze", "paper")}


def main(names):
    "Run and pack `names`, or all."
    lm = LM.load("smollm2")
    for run in names or RUNS:
        name, format = RUNS[run]
        measures = ["fame", "hops"] if name == "worldquiz" else PAPER_MEASURES[name]
        folder = ROOT / "runs" / "paper" / run
        Study(load_items(name), lm, measures, [], format=format).run(folder)
        file = ROOT / "nbs" / "paper" / "results" / f"{run}.parquet"
        print(pack(open_store(folder), file, texts=False, digits=2).relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
