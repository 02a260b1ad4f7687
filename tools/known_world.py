"""Pretrain the models behind nbs/paper/09_known_world.ipynb and pack their studies: `python tools/known_world.py runs/known`.

Name some of the worlds to compute only those. About two hours on two cores without bfloat16 (two processes with different
worlds), most of it for the three million parameters; stop it and start it again as you like.
"""
import argparse
from pathlib import Path

import numpy as np

from e2h.icl import ICL, ZeroShot
from e2h.known_world import OFTEN, make_world, pretrain, world_items
from e2h.lm import LM
from e2h.model_hardness import learning_splits
from e2h.probe import LinearProbe
from e2h.qlora import QLoRA
from e2h.splits import Split
from e2h.store import open_store, pack
from e2h.study import Study

RESULTS = Path(__file__).parents[1] / "nbs" / "paper" / "results"
ADAPTERS = QLoRA(epochs=10, lr=3e-3)  # models this small need more and larger steps than the paper's
LADDER = ("0.1M", "0.3M", "1M")
WORLDS = {  # name -> (seed, in doubt, hops practised, sizes)
    "clear": (0, False, (1, 2, 3), LADDER), "clear_one": (0, False, (1,), ("1M",)), "clear_none": (0, False, (), ("1M",)),
    "doubt_0": (0, True, (1, 2, 3), (*LADDER, "3M")), "doubt_1": (1, True, (1, 2, 3), LADDER),
    "doubt_2": (2, True, (1, 2, 3), LADDER)}


def arms(items, seeds=3, sizes=(5, 40)):
    "Training on one kind of question about half of the blocks; all questions about the other half are tested."
    often, single, splits = items["exposure"] >= OFTEN, items["hops"] == 1, {}
    kinds = {f"exposure {n}": single & (items["exposure"] == n) for n in sorted(items["exposure"].unique())}
    kinds |= {f"hops {hops}": often & (items["hops"] == hops) for hops in (1, 2, 3)}
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


def run_world(name, out):
    "Pretrain the models of one world and study them."
    seed, doubt, practised, sizes = WORLDS[name]
    world = make_world(seed=seed, doubt=doubt)
    items = world_items(world)
    items.attrs["dataset"] = f"known_world_{name}"
    folders = [pretrain(world, out / "models" / name / size, size, practised, 6 if doubt else 8, seed) for size in sizes]
    lms = [LM.load(str(folder), dtype="float32") for folder in folders]
    methods = [ICL(k=5), LinearProbe(), ADAPTERS]
    if doubt: methods.append(QLoRA(epochs=10, lr=3e-3, labels="random"))
    splits = arms(items)
    of_n = {n: {key: split for key, split in splits.items() if key[3] == n} for n in (5, 40)}
    for n, some in ((5, methods[:1]), (40, methods[1:])):
        Study(items, lms, "rarity", [*some, ZeroShot()], arms=of_n[n]).run(out / name)
    pack(open_store(out / name), RESULTS / f"known_world_{name}.parquet", digits=2)


def run_mdl(out):
    "MDL by the probe and by adapters, in the clear world."
    world = make_world()
    items = world_items(world)
    items.attrs["dataset"] = "known_world_mdl"
    lms = [LM.load(str(out / "models" / "clear" / size), dtype="float32") for size in LADDER]
    some = learning_splits(items, (5, 20, 80, 340), 2)
    Study(items, lms, "rarity", [LinearProbe(), ZeroShot()], arms=some).run(out / "mdl")
    few = {key: split for key, split in learning_splits(items, (5, 20, 80), 2, folds=2).items()}
    Study(items, lms, "rarity", [ADAPTERS], arms=few).run(out / "mdl")
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
