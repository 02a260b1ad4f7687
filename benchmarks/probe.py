"""Converged fits of the linear probe a second, against L-BFGS: `python benchmarks/probe.py --help`.

Both minimise the same loss on the same made-up features. The probe's fits share the inner products of a training set;
L-BFGS (scipy's) starts anew for every penalty, in the space of features.
"""
import argparse
import time

import numpy as np
from scipy.optimize import minimize

from e2h.probe import PENALTIES, choice_loss, differences, fit_rows


def training_set(n, choices, width, rng):
    "Features as hidden states are, a few directions with most of the variance, and right choices that depend on them."
    rank = 300
    strength = np.arange(1, rank + 1) ** -1.
    latent = (rng.normal(size=(n, 1, rank)) + rng.normal(size=(n, choices, rank))) * strength
    x = latent @ rng.normal(size=(rank, width)) + .01 * rng.normal(size=(n, choices, width))
    gold = (latent / strength @ rng.normal(size=rank) / rank**.5 * 2 + rng.gumbel(size=(n, choices))).argmax(1)
    return list(x / x.std((0, 1))), gold


def by_rows(sets):
    "Every penalty on every training set, by Newton's method on inner products."
    found = []
    for x, gold in sets:
        d, item = differences(x, gold)
        K, fits = d @ d.T, [(None, None)]
        for l2 in PENALTIES: fits.append(fit_rows(K, item, l2, fits[-1][0], tol=1e-6))
        weights = np.array([a for a, _ in fits[1:]]) @ d
        found += [(w, info["gradient"]) for w, (_, info) in zip(weights, fits[1:])]
    return found


def by_lbfgs(x, gold, l2):
    "One fit in the space of features."
    d, item = differences(x, gold)

    def objective(w):
        losses, p = choice_loss(d @ w, item)
        return losses.mean() + l2 / 2 * w @ w, p @ d / len(gold) + l2 * w
    return minimize(objective, np.zeros(d.shape[1]), jac=True, method="L-BFGS-B",
                    options=dict(maxiter=20_000, maxfun=40_000, ftol=0, gtol=1e-8))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--sets", type=int, default=15, help="training sets, such as 5 seeds on 3 levels")
    parser.add_argument("--items", type=int, default=160, help="items of a training set")
    parser.add_argument("--width", type=int, default=4096, help="features")
    asked, rng = parser.parse_args(), np.random.default_rng(0)
    sets = [training_set(asked.items, 4, asked.width, rng) for _ in range(asked.sets)]
    start = time.perf_counter()
    ours = by_rows(sets)
    mine = (time.perf_counter() - start) / len(ours)
    start = time.perf_counter()
    theirs = [by_lbfgs(*sets[0], l2).x for l2 in PENALTIES]
    other = (time.perf_counter() - start) / len(theirs)
    gap = max(np.abs(w - v).max() / np.abs(v).max() for (w, _), v in zip(ours, theirs))
    print(f"{len(ours)} fits of {asked.items} items x 4 choices x {asked.width} features, {len(PENALTIES)} penalties: "
          f"{1 / mine:.0f} a second, gradient at most {max(g for _, g in ours):.0e}")
    print(f"L-BFGS, one after another: {1 / other:.1f} a second, {other / mine:.0f} x as long; "
          f"largest difference of a weight {gap:.0e} of the largest weight")


if __name__ == "__main__":
    main()
