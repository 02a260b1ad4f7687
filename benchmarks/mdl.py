"""Time of the paper's MDL of ARC with the probe (5 sizes x 5 draws, 3,521 items): `python benchmarks/mdl.py`.

Needs ARC (see `load_items`). The hidden states are computed first, once, and kept in the cache folder.
"""
import time

import torch

from e2h.data import load_items
from e2h.lm import LM
from e2h.model_hardness import learning_outcomes, learning_splits, mdl
from e2h.probe import LinearProbe


def main():
    scored, pool = load_items("arc"), load_items("arc", part="hardness_training")
    lm, start = LM.load("smollm2"), time.time()
    LinearProbe().prepare(lm, load_items("arc", part="all"))
    print(f"features of {len(scored) + len(pool):,} items in {lm.dtype}: {time.time() - start:.1f} s")
    start = time.time()
    splits = learning_splits(scored, pool=pool)
    outcomes = learning_outcomes(scored, lm, LinearProbe(), splits, pool)
    found = mdl(outcomes)
    print(f"{len(splits)} fits, {len(outcomes):,} outcomes, MDL of {len(found):,} items (mean {found['mdl'].mean():.3f}): "
          f"{time.time() - start:.1f} s on {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
