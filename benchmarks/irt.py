"""How well item response theory recovers planted items, and what it costs: `python benchmarks/irt.py --help`.

Recovery is measured against an oracle that is given the true abilities and estimates each item alone.
"""
import argparse
import os
import resource
import time

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import spearmanr

from e2h.irt import chance_correct, fit_irt


def draw(n_takers, n_items, seed, log_a_sd=0., guess=0., holes=.15):
    "Planted items (frame), abilities and answers (takers x items, with holes); difficulties have sd 1.5."
    rng = np.random.default_rng(seed)
    items = pd.DataFrame({"difficulty": rng.normal(0, 1.5, n_items),
                          "discrimination": np.exp(rng.normal(0, log_a_sd, n_items))})
    ability_T = rng.standard_normal(n_takers)
    chance_TI = chance_correct(ability_T[:, None], items["difficulty"].to_numpy(), items["discrimination"].to_numpy(), guess)
    right_TI = rng.random(chance_TI.shape) < chance_TI
    return items, ability_T, pd.DataFrame(np.where(rng.random(chance_TI.shape) < holes, np.nan, right_TI))


def oracle(responses, ability_T, model, guess):
    "Difficulty of each item given the true abilities: most likely under N(0, 3^2), and log a under N(0, .5^2) in the 2PL."
    values_TI = responses.to_numpy()
    answered_TI, right_TI = ~np.isnan(values_TI), np.nan_to_num(values_TI)
    n_items = values_TI.shape[1]

    def loss(x):
        b_I, log_a_I = (x[:n_items], x[n_items:]) if model == "2pl" else (x, np.zeros(n_items))
        logit_TI = np.exp(log_a_I) * (ability_T[:, None] - b_I)
        s_TI = expit(logit_TI)
        p_TI = guess + (1 - guess) * s_TI
        value = (right_TI * np.log(p_TI) + (answered_TI - right_TI) * np.log1p(-p_TI)).sum()
        by_logit_TI = (right_TI / p_TI - (answered_TI - right_TI) / (1 - p_TI)) * (1 - guess) * s_TI * (1 - s_TI)
        by_b_I = -np.exp(log_a_I) * by_logit_TI.sum(0) - b_I / 9
        by_a_I = (by_logit_TI * logit_TI).sum(0) - log_a_I / .25
        gradient = np.concatenate([by_b_I, by_a_I]) if model == "2pl" else by_b_I
        return (b_I ** 2).sum() / 18 + (log_a_I ** 2).sum() / .5 - value, -gradient

    first = np.zeros(n_items * (2 if model == "2pl" else 1))
    return minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "maxfun": 4000}).x[:n_items]


def clock(*args, **kwargs):
    "A fit and its seconds."
    start = time.perf_counter()
    fit = fit_irt(*args, **kwargs)
    return fit, time.perf_counter() - start


def recovery(n_seeds):
    "Rank correlations with planted difficulties, 1,000 items x 50 takers, 15 % holes."
    print(f"1,000 items x 50 takers, 15 % holes, {n_seeds} draws: rank correlation with the planted difficulty, "
          "mean (smallest)\n  model  guess   fit              oracle           fit / oracle     steps  seconds (largest)")
    for model, log_a_sd in [("1pl", 0.), ("2pl", .3)]:
        for guess in (0., .25):
            rows = []
            for seed in range(n_seeds):
                items, ability_T, responses = draw(50, 1000, seed, log_a_sd, guess)
                fit, seconds = clock(responses, model, guess)
                found, best = (spearmanr(x, items["difficulty"]).statistic
                               for x in (fit.difficulty, oracle(responses, ability_T, model, guess)))
                rows.append([found, best, found / best, fit.n_steps, seconds])
            mean, low, high = np.mean(rows, 0), np.min(rows, 0), np.max(rows, 0)
            print(f"  {model}    {guess:4.2f}   " + "".join(f"{mean[i]:.4f} ({low[i]:.4f})  " for i in range(3))
                  + f"{mean[3]:5.1f}  {mean[4]:.2f} ({high[4]:.2f})", flush=True)


def coverage(n_draws):
    "How often 1.96 standard errors reach the planted difficulty, 200 takers."
    print(f"200 takers, 15 % holes, {n_draws} draws: share of difficulties within 1.96 standard errors")
    for n_items in (20, 100, 400):
        for model, log_a_sd in [("1pl", 0.), ("2pl", .3)]:
            for guess in (0., .25):
                inside = []
                for seed in range(n_draws):
                    items, _, responses = draw(200, n_items, 1000 + seed, log_a_sd, guess)
                    fit = fit_irt(responses, model, guess)
                    inside.append(((fit.difficulty - items["difficulty"]).abs() < 1.96 * fit.difficulty_se).mean())
                error = np.std(inside, ddof=1) / n_draws ** .5
                print(f"  {n_items:4} items  {model}  guess {guess:4.2f}  {np.mean(inside):.1%} (+- {error:.1%})", flush=True)


def agreement():
    "Difficulties of girth on the same answers, items that 2 to 98 % get right; its scale is ours."
    import girth
    print("agreement with girth, no holes: correlation, and largest difference after a line through both")
    for model, log_a_sd, n_items, n_takers in [("1pl", 0., 60, 300), ("1pl", 0., 200, 300), ("2pl", .3, 60, 300),
                                               ("2pl", .3, 60, 2000)]:
        _, _, responses = draw(n_takers, n_items, 0, log_a_sd, holes=0.)
        mixed = responses.loc[:, responses.mean().between(.02, .98)]
        fit = fit_irt(mixed, model)
        theirs = (girth.onepl_mml if model == "1pl" else girth.twopl_mml)(mixed.to_numpy().T.astype(int))
        ours, b = fit.difficulty.to_numpy(), np.asarray(theirs["Difficulty"])
        line = np.polyval(np.polyfit(b, ours, 1), b)
        slopes, a = np.log(fit.discrimination.to_numpy()), np.log(theirs["Discrimination"])
        also = np.exp([slopes[0], np.mean(a)]) if model == "1pl" else np.corrcoef(slopes, a)[0, 1]
        print(f"  {model}  {n_takers:,} takers, {mixed.shape[1]:3} items: difficulty {np.corrcoef(ours, b)[0, 1]:.6f}, "
              f"{np.abs(ours - line).max():.3f} logits ({np.abs(ours - b).max():.3f} without the line); "
              f"{'discrimination' if model == '1pl' else 'correlation of log a'} {np.round(also, 4)}", flush=True)


def size(n_takers, n_items, model):
    "Time and memory of one table."
    items, _, responses = draw(n_takers, n_items, 0, .3 if model == "2pl" else 0.)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fit, seconds = clock(responses, model)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rho = spearmanr(fit.difficulty, items["difficulty"]).statistic
    print(f"{n_items:,} items x {n_takers:,} takers, {model}: {seconds:.1f} s, {fit.n_steps} steps, peak memory "
          f"{after / 2**20:.2f} GB ({before / 2**20:.2f} GB before), rank correlation {rho:.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["size", "recovery", "agreement", "coverage"],
                        help="any of size, large, recovery, agreement, coverage")
    parser.add_argument("--seeds", type=int, default=10, help="draws of the recovery table")
    parser.add_argument("--draws", type=int, default=50, help="draws of the coverage table")
    parser.add_argument("--model", default="2pl", help="of the large table")
    asked = parser.parse_args()
    print(f"threads: {os.environ.get('OMP_NUM_THREADS', 'not set')}")
    for part in asked.parts:
        {"recovery": lambda: recovery(asked.seeds), "coverage": lambda: coverage(asked.draws), "agreement": agreement,
         "size": lambda: size(50, 1000, asked.model), "large": lambda: size(2000, 10_000, asked.model)}[part]()


if __name__ == "__main__":
    main()
