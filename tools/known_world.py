"""Pretrain the models behind nbs/paper/09_known_world.ipynb and study them: `python tools/known_world.py runs/known`.

Name some of the worlds to compute only those; two processes with different worlds do not get in each other's way. A
few hours on one core without bfloat16; stop it and start it again as you like. The table of a world is written when all
of its models have been studied.
"""
import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from e2h.icl import ICL, ZeroShot
from e2h.known_world import OFTEN, born_world, make_world, pretrain, world_items
from e2h.lm import LM
from e2h.model_hardness import learning_splits
from e2h.probe import LinearProbe
from e2h.qlora import QLoRA
from e2h.splits import Split
from e2h.store import atomic, open_store, pack
from e2h.study import Study

RESULTS = Path(__file__).parents[1] / "nbs" / "paper" / "results"
ADAPTERS = QLoRA(epochs=10, lr=3e-3)  # models this small need more and larger steps than the paper's
SMALL, ALL = ("0.1M", "0.3M", "1M"), (1, 2, 3)
LADDER = (*SMALL, "3M")
WORLDS = {  # name -> (seed of world and weights, ambiguous, hops practised, epochs, sizes)
    "clear_0": (0, False, ALL, 10, LADDER), "one_0": (0, False, (1,), 10, ("1M",)), "none_0": (0, False, (), 10, ("1M",)),
    "ambiguous_0": (0, True, ALL, 6, LADDER), "ambiguous_1": (1, True, ALL, 6, SMALL)}


def arms(items, seeds=5, sizes=(5, 40)):
    "Training on one kind of question about half of the blocks; all questions about the other half are tested."
    often, single, splits = items["exposure"] >= OFTEN, items["hops"] == 1, {}
    kinds = {f"exposure {n}": single & (items["exposure"] == n) for n in sorted(items["exposure"].unique())}
    kinds |= {f"hops {hops}": often & (items["hops"] == hops) for hops in ALL}
    kinds["two continents"] = often & single & items["continent"].isin(sorted(items["continent"].unique())[:2])
    for seed in range(seeds):
        rng, tested = np.random.default_rng([seed, 72]), []
        for _, some in items.groupby("exposure"):
            blocks = rng.permutation(some["cluster"].unique())
            tested += blocks[:len(blocks) // 2].tolist()
        is_tested = items["cluster"].isin(tested)
        test_ids = sorted(items.loc[is_tested, "item_id"])
        for name, rows in kinds.items():
            order = rng.permutation(items.loc[rows & ~is_tested, "item_id"]).tolist()
            splits |= {(None, seed, name, n): Split(order[:n], test_ids) for n in sizes}
    return splits


def turned(items, places):
    "Other labels for the same questions: answers of the people so many places before in their block; 1 is birthplaces."
    return items.assign(answer=items.groupby(["cluster", "hops"])["answer"].transform(np.roll, places))


def label_runs(splits, pages, seed):
    "Method, name, training items and places turned of every run that `told` makes with one seed."
    few, many = ({name: split.train_ids for (_, s, name, n), split in splits.items() if (s, n) == (seed, size)}
                 for size in (5, 40))
    page = np.random.default_rng([seed, 73]).permutation(pages)[:5]
    runs = [(ADAPTERS, f"{name} born", ids, 1) for name, ids in many.items() if name.startswith("exposure")]
    runs += [(ADAPTERS, f"exposure 0 turned {places}", many["exposure 0"], places) for places in (2, 3)]
    for places, meant in enumerate(("home", "born")):
        runs += [(ADAPTERS, f"five {meant}", few["exposure 64"], places), (ICL(k=5), f"page {meant}", page, places)]
    return runs


def told(world, splits, lm):
    "Are answers what labels mean? The same questions with other labels, and pages about shown people in a prompt."
    everyone = pd.concat([world_items(world), world_items(world, shown=True)]).query("hops == 1").reset_index(drop=True)
    labels = [turned(everyone, places).set_index("item_id", drop=False) for places in range(4)]
    pages, frames = sorted(world_items(world, shown=True).query("hops == 1")["item_id"]), []
    for seed, test in {seed: split.test_ids for (_, seed, _, _), split in splits.items()}.items():
        asked = everyone[everyone["item_id"].isin(test)].reset_index(drop=True)
        for method, name, ids, places in label_runs(splits, pages, seed):
            found = method.fit(lm, labels[places].loc[ids].reset_index(drop=True), seed).predict(asked)
            frames.append(found.assign(model=lm.name, dtype=lm.dtype, method=method.name, train_on=name, n_train=len(ids),
                                       seed=seed))
    return pd.concat(frames)


def run_world(name, out):
    "Pretrain the models of one world, study each, and write who was right."
    seed, ambiguous, practised, epochs, sizes = WORLDS[name]
    world = make_world(seed=seed, ambiguous=ambiguous)
    items = world_items(world)
    items.attrs["dataset"] = f"known_world_{name}"
    splits, extra = arms(items), []
    few, many = ({key: split for key, split in splits.items() if key[3] == n} for n in (5, 40))
    methods = [LinearProbe(), ADAPTERS] + [replace(ADAPTERS, labels="random")] * ambiguous
    for size in sizes:
        lm = LM.load(str(pretrain(world, out / "models" / name / size, size, practised, epochs, seed)), dtype="float32")
        Study(items, lm, "rarity", [ICL(k=5), ZeroShot()], arms=few).run(out / name)
        Study(items, lm, "rarity", methods, arms=many).run(out / name)
        if ambiguous: extra.append(told(world, splits, lm))
    write(name, world, pd.concat([open_store(out / name).records(), *extra]))


def write(name, world, records):
    "Who was right, who gave the birthplace, by what it was trained on."
    born = pd.concat([world_items(born_world(world), shown) for shown in (False, True)]).set_index("item_id")
    born = pd.Series([c[a] for c, a in zip(born["choices"], born["answer"])], born.index)
    table = records[["item_id", "model", "dtype", "method", "train_on", "n_train", "seed", "correct"]].reset_index(drop=True)
    table["born"] = (records["pred"].to_numpy() == born[records["item_id"]].to_numpy()).astype("int8")
    table = table.sort_values(["model", "method", "train_on", "seed", "item_id"], ignore_index=True)
    kinds = {column: "category" for column in ("item_id", "model", "dtype", "method", "train_on")}
    with atomic(RESULTS / f"known_world_{name}.parquet") as part:
        table.astype(kinds | {"correct": "int8", "n_train": "int16", "seed": "int8"}).to_parquet(
            part, index=False, compression="zstd", compression_level=19)


def run_mdl(out):
    "MDL by the probe and by adapters, in the clear world."
    items = world_items(make_world())
    items.attrs["dataset"] = "known_world_mdl"
    _, _, practised, epochs, sizes = WORLDS["clear_0"]
    lms = [LM.load(str(pretrain(make_world(), out / "models" / "clear_0" / size, size, practised, epochs)), dtype="float32")
           for size in sizes]
    Study(items, lms, "rarity", [LinearProbe(), ADAPTERS, ZeroShot()], arms=learning_splits(items, (5, 20, 80), 2)
          ).run(out / "mdl")
    pack(open_store(out / "mdl"), RESULTS / "known_world_mdl.parquet", digits=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="folder for models and run folders")
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(WORLDS)}, mdl; by default all")
    args = parser.parse_args()
    for name in args.names or [*WORLDS, "mdl"]:
        if name == "mdl": run_mdl(args.out)
        else: run_world(name, args.out)


if __name__ == "__main__":
    main()
