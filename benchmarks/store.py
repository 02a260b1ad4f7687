"""Seconds and megabytes of a store with many cells: `python benchmarks/store.py --help`.

Cells are written as a study writes them (no model runs), listed, read as records, packed, and read again.
"""
import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from e2h.store import claim, open_store, pack, write_cell


def cell(number, items, rng):
    "Predictions and manifest of one made-up cell: one of five methods, eight models, three levels, many seeds."
    ids = sorted(rng.choice(items["item_id"], 100, replace=False))
    logprobs = rng.normal(-8, 2, (len(ids), 4))
    predictions = pd.DataFrame(dict(
        item_id=ids, pred="an answer", correct=(logprobs.argmax(1) == 0).astype(int), logprobs=logprobs.tolist(),
        n_tokens=rng.integers(1, 5, (len(ids), 4)).tolist(), n_chars=rng.integers(4, 20, (len(ids), 4)).tolist(),
        logp_gold=logprobs[:, 0], n_dropped=0))
    train_on, method = ["easy", "medium", "hard"][number % 3], ["icl", "placebo", "probe", "qlora", "cot"][number // 3 % 5]
    model = number // 15 % 8
    manifest = dict(run_id=f"{number:024x}", dataset="toy", model=f"model-{model}", quant="none", dtype="float32",
                    format="cloze", method=method, settings={"k": 10}, train_on=train_on, measure="steps", n_train=160,
                    seed=number // 120, noise=0., fingerprint=str(model), created="2026-01-01", code="1", seconds=1.,
                    train_ids=rng.choice(items["item_id"], 160).tolist(), versions={"e2h": "0"}, accuracy=.25,
                    n_test=len(ids))
    return predictions, manifest


def clock(name, do):
    "Print the seconds that a function takes -> what it gives."
    start = time.perf_counter()
    found = do()
    print(f"{name:34} {time.perf_counter() - start:7.2f} s", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--cells", type=int, default=5000, help="cells in the store, of 100 answers each")
    n, rng = parser.parse_args().cells, np.random.default_rng(0)
    items = pd.DataFrame({"item_id": [f"toy/train/{i}" for i in range(3000)], "steps": rng.integers(1, 9, 3000) + 0.})
    items = items.assign(cluster=items["item_id"], level_steps=np.select([items["steps"] < 3, items["steps"] > 6],
                                                                          ["easy", "hard"], "medium"))
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "run")
        claim(store, dict(dataset="toy", measures=["steps"], levels="none"), items)

        def fill():
            for number in range(n): write_cell(store.file(f"{number:024x}"), *cell(number, items, rng))

        clock(f"writing {n:,} cells", fill)
        clock("listing them", store.cells)
        records = clock("reading their records", store.records)
        clock("reading what the SGR table needs",
              lambda: store.records(columns=["item_id", "correct", "method", "train_on", "seed", "level", "cluster"]))
        clock("reading one method's records", lambda: store.records(method="icl"))
        file = clock("packing", lambda: pack(store, Path(folder) / "study.parquet"))
        packed = clock("reading the records of the pack", lambda: open_store(file).records())
        clock("of it what the SGR table needs", lambda: open_store(file).records(
            columns=["item_id", "correct", "method", "train_on", "seed", "level", "cluster"]))
        pd.testing.assert_frame_equal(packed, records)
        size = sum(f.stat().st_size for f in (store.path / "cells").iterdir())
        print(f"{len(records):,} answers: {size / 1e6:.1f} MB in cells, {file.stat().st_size / 1e6:.1f} MB packed; "
              f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
