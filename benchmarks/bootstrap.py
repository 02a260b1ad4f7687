"""Seconds for a table of two-way bootstraps, against the plain loop: `python benchmarks/bootstrap.py --help`.

A table of the paper has some thirty SGRs with 100,000 resamples each. Both ways see the same answers, in one run.
"""
import argparse
import resource
import time

import numpy as np

from e2h.bootstrap import percentile_interval, resampled_differences, resampled_ratios
from e2h.sgr import sgr


def clock(do):
    "Seconds that a function takes, and what it gives."
    start = time.perf_counter()
    found = do()
    return time.perf_counter() - start, found


def plain_loop(zero, easy, hard, n_boot, rng):
    "SGR of every resample, one at a time."
    ratios = []
    for _ in range(n_boot):
        rows = rng.integers(len(zero), size=len(zero))
        gains = [np.nanmean(arm[rows][:, rng.integers(arm.shape[1], size=arm.shape[1])] - zero[rows]) for arm in (easy, hard)]
        ratios.append(gains[0] / gains[1])
    return np.array(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--cells", type=int, default=30, help="SGRs in the table")
    parser.add_argument("--items", type=int, default=583, help="hard test items")
    parser.add_argument("--n-boot", type=int, default=100_000, help="resamples of each SGR")
    parser.add_argument("--loop", type=int, default=1_000, help="resamples that the plain loop does")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    zero = (rng.random((asked.items, 1)) < .4).astype(float)
    for holes in (0., .3):
        def arm(mean, holes=holes):
            answers = (rng.random((asked.items, 5)) < mean).astype(float)
            return np.where(rng.random(answers.shape) < holes, np.nan, answers)
        cells = [(arm(.55), arm(.6)) for _ in range(asked.cells)]
        seconds, pairs = clock(lambda cells=cells: resampled_differences(zero, [a for cell in cells for a in cell],
                                                                         n_boot=asked.n_boot))
        more, ends = clock(lambda pairs=pairs: [percentile_interval(resampled_ratios(*pairs[i:i + 2])[0])
                                                for i in range(0, len(pairs), 2)])
        loop, ratios = clock(lambda cells=cells: plain_loop(zero, *cells[0], asked.loop, rng))
        whole = loop / asked.loop * asked.n_boot * asked.cells
        fieller, _ = clock(lambda cells=cells: [sgr(zero, *cell) for cell in cells])
        print(f"{asked.cells} SGRs, {asked.items} items x 5 seeds, {holes:.0%} holes, {asked.n_boot:,} resamples: "
              f"{seconds:.2f} s to resample, {more:.2f} s for the percentiles; the loop would take {whole:,.0f} s "
              f"({whole / (seconds + more):,.0f} x); Fieller's sets {fieller:.2f} s")
        print(f"  first SGR: {ends[0][0]:.3f} to {ends[0][1]:.3f}, by the loop {percentile_interval(ratios)[0]:.3f} "
              f"to {percentile_interval(ratios)[1]:.3f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
