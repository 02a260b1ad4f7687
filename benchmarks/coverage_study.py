"""How often 95 % sets of SGR hold the truth: `python benchmarks/coverage_study.py --help`.

Studies are drawn from designs whose truth is known. A trained model answers item i right with seed s if a latent number is
below a threshold; the latent number has parts that belong to the item (shared by all arms), to the item within the arm, and
to the single answer, so that answers of two seeds to one item agree more than answers to two items. Where items come in
clusters, equal or of log-normal size, part of what belongs to an item is shared by its cluster. A seed
shifts the accuracy of its arm by a normal number. Thresholds are set so that accuracies, and so the SGR, are exactly those
asked for. With one seed the truth is that of the training draw that was made.
"""
import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from e2h.bootstrap import percentile_interval, published_interval, resampled_differences, resampled_ratios
from e2h.sgr import sgr

USUAL = dict(items=700, seeds=5, gap=.10, sgr=.8, seed_sd=0., holes=0., cluster=1, icc=0., uneven=0., own=.25, shared=.45)
CHANGES = [
    {}, dict(gap=.30), dict(gap=.05), dict(gap=.05, items=350), dict(gap=.02, items=2000), dict(items=350), dict(items=2000),
    dict(sgr=0.), dict(sgr=.5, seeds=10), dict(sgr=1.), dict(sgr=1.2, seed_sd=.01),
    dict(seeds=2), dict(seeds=3), dict(seeds=10), dict(seeds=2, seed_sd=.01), dict(seeds=2, seed_sd=.025),
    dict(seeds=2, seed_sd=.025, items=2000), dict(seeds=3, seed_sd=.025), dict(seed_sd=.01), dict(seed_sd=.025),
    dict(seeds=10, seed_sd=.025),
    dict(holes=.4), dict(holes=.7), dict(holes=.5, seed_sd=.025), dict(holes=.5, seeds=3, seed_sd=.025),
    dict(cluster=7, icc=.15), dict(cluster=7, icc=.3), dict(cluster=7, icc=.3, items=350, seed_sd=.01),
    dict(cluster=7, icc=.2, items=210, seeds=3, holes=.4), dict(cluster=7, icc=.15, uneven=1.),
    dict(own=.45, shared=.2), dict(own=.05, shared=.85, gap=.05),
    dict(seeds=1), dict(seeds=1, seed_sd=.025),
]
NAMES = {"items": "{:.0f} items", "seeds": "{:.0f} seeds", "gap": "gap {:.0%}", "sgr": "SGR {:g}",
         "seed_sd": "seed sd {:.1%}", "holes": "{:.0%} holes", "cluster": "clusters of {:.0f}", "icc": "icc {:g}",
         "uneven": "of uneven size {:g}", "own": "own {:g}", "shared": "shared {:g}"}


def named(change):
    "A design in words: how it differs from the usual one."
    text = ", ".join(NAMES[key].format(value) for key, value in change.items())
    return text.replace("1 seeds", "1 seed") or "usual: " + ", ".join(
        NAMES[key].format(USUAL[key]) for key in ("items", "seeds", "gap", "sgr"))


def draw_study(design, rng):
    "Zero-shot, easy and hard answers, clusters of the items, and the true SGR."
    n, seeds, n_groups = design["items"], design["seeds"], design["items"] // design["cluster"]
    sizes = np.exp(design["uneven"] * rng.standard_normal(n_groups))  # log-normal: the largest is many times the smallest
    groups = np.arange(n) // design["cluster"] if not design["uneven"] else rng.choice(n_groups, n, p=sizes / sizes.sum())

    def item_part():
        common = rng.standard_normal(groups.max() + 1)[groups]
        return np.sqrt(design["icc"]) * common + np.sqrt(1 - design["icc"]) * rng.standard_normal(n)

    def answers(accuracy, columns):
        latent = (np.sqrt(design["shared"]) * item + np.sqrt(design["own"]) * item_part())[:, None]
        latent = latent + np.sqrt(1 - design["shared"] - design["own"]) * rng.standard_normal((n, columns))
        return (latent < ndtri(accuracy)).astype(float)

    item, luck = item_part(), design["seed_sd"] * rng.standard_normal((2, seeds))
    gain = design["sgr"] * design["gap"]
    zero, easy, hard = answers(.45, 1), answers(.45 + gain + luck[0], seeds), answers(.45 + design["gap"] + luck[1], seeds)
    untested = rng.random((n, seeds)) < design["holes"]
    easy[untested] = hard[untested] = np.nan
    truth = design["sgr"] if seeds > 1 else (gain + luck[0, 0]) / (design["gap"] + luck[1, 0])
    return zero, easy, hard, groups if design["cluster"] > 1 else None, truth


def try_study(design, rng, n_boot):
    "For one study: does each set hold the truth, is the gap separated, and how wide are the sets?"
    zero, easy, hard, clusters, truth = draw_study(design, rng)
    keep = ~np.isnan(easy).all(axis=1)
    zero, easy, hard = (arm[keep] for arm in (zero, easy, hard))
    clusters = clusters if clusters is None else clusters[keep]
    ours = sgr(zero, easy, hard, clusters)
    ratios, _ = resampled_ratios(*resampled_differences(zero, [easy, hard], clusters, n_boot, int(rng.integers(2**32))))
    percentile, published = percentile_interval(ratios), published_interval(ratios)
    finite = ours.kind == "bounded"
    return {"default": any(low <= truth <= high for low, high in ours.sets), "ok": ours.regime == "ok",
            "percentile": percentile[0] <= truth <= percentile[1], "published": published[0] <= truth <= published[1],
            "width": ours.high - ours.low if finite else np.nan, "other": percentile[1] - percentile[0] if finite else np.nan}


def coverage_row(change, studies=4000, n_boot=1000, seed=0):
    "One row of the table."
    design, rng = USUAL | change, np.random.default_rng([seed, CHANGES.index(change)])
    found = pd.DataFrame([try_study(design, rng, n_boot) for _ in range(studies)])
    ok = found[found["ok"]]
    return {"design": named(change)} | {key: design[key] for key in list(USUAL)[:9]} | {
        "studies": studies, **found[["default", "percentile", "published"]].mean(),
        "separated": len(ok) / studies, "default if ok": ok["default"].mean(), "percentile if ok": ok["percentile"].mean(),
        "width / percentile": (found["width"] / found["other"]).median()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000, help="studies of each design")
    parser.add_argument("--n-boot", type=int, default=1000, help="resamples of each bootstrap")
    parser.add_argument("--workers", type=int, default=2, help="processes; the table does not depend on them")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("coverage.csv"), help="the table")
    asked = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(asked.workers) as pool:
        for row in pool.map(coverage_row, CHANGES, [asked.studies] * len(CHANGES), [asked.n_boot] * len(CHANGES)):
            rows.append(row)
            print(f"{row['design']:60} default {row['default']:.3f}  percentile {row['percentile']:.3f}  "
                  f"published {row['published']:.3f}  width {row['width / percentile']:.2f}  "
                  f"separated {row['separated']:.2f}", flush=True)
    pd.DataFrame(rows).round(4).to_csv(asked.out, index=False)


if __name__ == "__main__":
    main()
