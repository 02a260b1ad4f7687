"""Compute the runs behind nbs/paper/02_model_hardness.ipynb and pack them: `python tools/model_hardness.py runs/hardness`.

Name some of the runs to compute only those. About two hours on one core without bfloat16; stop it and start it again
as you like. Needs the data sets (see `load_items`).
"""
import argparse
import os
from pathlib import Path

import pandas as pd

from e2h.data import load_items
from e2h.hardness import PAPER_MEASURES
from e2h.icl import ICL, ZeroShot
from e2h.lm import LM
from e2h.model_hardness import KEYS, gold_logprob, learning_outcomes, learning_splits, mdl, model_hardness
from e2h.probe import LinearProbe
from e2h.prompts import blind
from e2h.qlora import QLoRA
from e2h.splits import Split
from e2h.store import open_store, pack
from e2h.study import Study

RESULTS = Path(__file__).parents[1] / "nbs" / "paper" / "results"


def write(name, table):
    "Keep ids and numbers of outcomes, or of any table."
    if "logprobs" in table:  # how likely the right answer is among the choices is all that the page reads
        table = table[["item_id", *KEYS]].assign(logp_gold=gold_logprob(table).astype("float32"), logprobs=None)
    table.to_parquet(RESULTS / f"{name}.parquet", index=False, compression="zstd", compression_level=19)


def up_to(splits, n, seeds, scored=None):
    "The splits of small training sets and few seeds, with fewer items to score."
    return {key: Split(split.train_ids, [i for i in split.test_ids if scored is None or i in scored])
            for key, split in splits.items() if key[1] < seeds and key[3] <= n}


def arc(lm, out):
    "The probe's MDL with and without questions; QLoRA's on 600 of the items."
    every, scored, pool = (load_items("arc", part=part) for part in ("all", "experiment", "hardness_training"))
    splits, base = learning_splits(scored, pool=pool), dict(lm=lm, measure=PAPER_MEASURES["arc"])
    Study(every, methods=[LinearProbe()], arms=splits, **base).run(out / "arc")
    write("blind_arc", learning_outcomes(blind(scored), lm, LinearProbe(), splits, blind(pool)))
    some = set(scored["item_id"].sample(600, random_state=0))
    for n in (80, 340): Study(every, methods=[QLoRA()], arms=up_to(splits, n, 2, some), **base).run(out / "arc")


def worldquiz(lm, out):
    "The same with five folds of countries, on the questions about cities."
    items = load_items("worldquiz").dropna(subset="fame").reset_index(drop=True)
    splits, base = learning_splits(items, sizes=(5, 20, 80, 340)), dict(lm=lm, measure="fame")
    Study(items, methods=[LinearProbe(), ZeroShot()], arms=splits, **base).run(out / "worldquiz")
    write("blind_worldquiz", learning_outcomes(blind(items), lm, LinearProbe(), splits))
    some = set(items["item_id"].sample(600, random_state=0))
    Study(items, methods=[QLoRA()], arms=up_to(splits, 80, 2, some), **base).run(out / "worldquiz")


def worldquiz_by_mdl(lm, out):
    "Studies by two MDLs of the run before: the prompt's own, and the probe's."
    items, records = load_items("worldquiz").dropna(subset="fame"), open_store(out / "worldquiz").records()
    for name, method in (("mdl_prompt", "zeroshot"), ("mdl_probe", "probe")):
        found = mdl(records[records["method"] == method]).loc[items["item_id"]].to_numpy()
        items = items.assign(**{name: found[:, 0], f"{name}_se": found[:, 1]})
    items = items.reset_index(drop=True)
    Study(items, lm, ["mdl_prompt", "mdl_probe"], [LinearProbe()], n_train=80).run(out / "worldquiz_by_mdl")


def gsm8k(lm, out):
    "Code lengths of written answers: a learning curve of prompts, on every fortieth item."
    items, pool = (load_items("gsm8k", part=part) for part in ("experiment", "hardness_training"))
    items, frames = items.iloc[::40].reset_index(drop=True), []
    for method in (ZeroShot(), ICL(1), ICL(4)):
        splits = learning_splits(items, (method.k,), 2, pool) if hasattr(method, "k") else \
            {(None, 0, "none", 0): Split([], items["item_id"].tolist())}
        frames.append(learning_outcomes(items, lm, method, splits, pool))
    write("code_gsm8k", pd.concat(frames, ignore_index=True))


def takers(lm, out):
    "Who of four models was right on the test problems of GSM8k (Cobbe et al. 2021, MIT licence): ids and outcomes alone."
    rows = pd.read_json(Path(os.environ["E2H_DATA"]) / "extra" / "gsm8k_test_model_correctness.jsonl.gz", lines=True)
    right = rows.drop(columns=["test_index", "question"]).astype("int8")
    write("takers_gsm8k", right.assign(item_id=[f"test/{index}" for index in rows["test_index"]]))


def texts(lm, out):
    "Bits of questions and answers by themselves."
    for dataset in ("worldquiz", "arc"):
        items = load_items(dataset)
        bits = {name: model_hardness(items, lm, name)[name].round(2) for name in ("question_bits", "answer_bits")}
        write(f"text_bits_{dataset}", pd.DataFrame({"item_id": items["item_id"], **bits}))


RUNS = dict(arc=arc, worldquiz=worldquiz, worldquiz_by_mdl=worldquiz_by_mdl, texts=texts, gsm8k=gsm8k,
            takers=takers)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="folder for the run folders")
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(RUNS)}; by default all")
    args = parser.parse_args()
    lm = LM.load("smollm2")
    for name in args.names or RUNS:
        RUNS[name](lm, args.out)
        if (args.out / name).is_dir():
            pack(open_store(args.out / name), RESULTS / f"mdl_{name}.parquet", texts=name != "arc", digits=2)


if __name__ == "__main__":
    main()
