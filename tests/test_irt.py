"""Item response theory: against integration, scipy, an oracle and girth, and by how it must change."""
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm, spearmanr

from e2h.data import load_measures
from e2h.irt import (
    DIFFICULTY_SD,
    DISCRIMINATION_SD,
    LEVEL_SD,
    Parameters,
    chance_correct,
    fit_irt,
    fit_statistics,
    known_items,
    log_prior,
    posterior,
    prepare,
    response_table,
    standard_errors,
)

NAN = np.nan
KINDS = [("1pl", 0.), ("2pl", 0.), ("1pl", .25), ("2pl", .25)]


def planted_items(n_items, rng, log_a_sd=0., sd=1.5):
    "Items with normal difficulties and lognormal discriminations."
    values = {"difficulty": rng.normal(0, sd, n_items), "discrimination": np.exp(rng.normal(0, log_a_sd, n_items))}
    return pd.DataFrame(values, index=[f"q{i}" for i in range(n_items)])


def draw(items, ability_T, rng, guess=0., holes=.15):
    "Answers of takers to items, with holes."
    a_I, b_I = items["discrimination"].to_numpy(), items["difficulty"].to_numpy()
    chance_TI = guess + (1 - guess) / (1 + np.exp(-a_I * (ability_T[:, None] - b_I)))
    right_TI = (rng.random(chance_TI.shape) < chance_TI).astype(float)
    return pd.DataFrame(np.where(rng.random(chance_TI.shape) < holes, NAN, right_TI), columns=items.index,
                        index=[f"t{t}" for t in range(len(ability_T))])


def small(seed=0, n_takers=40, n_items=8, **kwargs):
    "A small table of answers."
    rng = np.random.default_rng(seed)
    return draw(planted_items(n_items, rng, .3), rng.standard_normal(n_takers), rng, **kwargs)


def parts(responses, model="2pl", guess=0., anchors=None):
    "What a fit works on."
    return prepare(responses, model, guess, known_items(anchors, responses.columns, model))


def integrated(responses, b_I, a_I, guess_I):
    "Marginal log-likelihood by adaptive integration."
    total = 0.
    for row in responses.to_numpy():
        def density(x, row=row):
            chance_I = guess_I + (1 - guess_I) / (1 + np.exp(-a_I * (x - b_I)))
            return norm.pdf(x) * np.prod(np.where(np.isnan(row), 1, np.where(row == 1, chance_I, 1 - chance_I)))
        total += np.log(quad(density, -10, 10, epsabs=1e-13, epsrel=1e-12, limit=200)[0])
    return total


# --- the likelihood and its maximum -----------------------------------------------------------------

TINY = pd.DataFrame([[1, 0, 1, NAN], [1, 1, 0, 0], [0, 0, 1, 1]], columns=list("abcd"), index=["x", "y", "z"], dtype=float)


@pytest.mark.parametrize("guess", [0., pd.Series({"a": 0., "b": .25, "c": .5, "d": .2})])
def test_likelihood_is_the_integral(guess):
    b_I, a_I = np.array([-.5, .3, 1.2, 2.]), np.array([.7, 1., 2.5, 1.4])
    guess_I = guess.to_numpy() if isinstance(guess, pd.Series) else np.zeros(4)
    found = posterior(parts(TINY, guess=guess), Parameters(b_I, np.log(a_I)))[1]
    assert abs(found - integrated(TINY, b_I, a_I, guess_I)) < 1e-6


@pytest.mark.parametrize("model", ["1pl", "2pl"])
def test_loglik_of_a_fit_is_the_integral(model):
    fit = fit_irt(TINY, model)
    assert abs(fit.loglik - integrated(TINY, fit.difficulty.to_numpy(), fit.discrimination.to_numpy(), np.zeros(4))) < 1e-6


@pytest.mark.parametrize("model,guess", KINDS)
def test_optimum_is_that_of_scipy(model, guess):
    "All parameters at once by a quasi-Newton method, on the objective written anew."
    responses = small(3, n_takers=30, n_items=5)
    answers, n = parts(responses, model, guess), 5

    def unpack(x):
        return Parameters(x[:n], np.full(n, x[n]) if model == "1pl" else x[n:2 * n], *x[-2:])

    def loss(x):
        now = unpack(x)
        away_I = np.exp(now.level) * (now.difficulty_I - now.centre) / DIFFICULTY_SD
        tilt_I = (now.slope_I - now.level) / DISCRIMINATION_SD
        return -posterior(answers, now)[1] + (away_I @ away_I + tilt_I @ tilt_I + (now.level / LEVEL_SD) ** 2) / 2

    tie = (lambda x: np.r_[x[:n], x[n], x[n], x[n + 1]]) if model == "1pl" else (lambda x: x)
    best = minimize(lambda x: loss(tie(x)), np.zeros(n + 2 if model == "1pl" else 2 * n + 2), method="BFGS",
                    options={"gtol": 1e-6})
    fit = fit_irt(responses, model, guess, tolerance=1e-11, max_steps=5000)
    assert abs(fit.trace[-1] + best.fun) < 1e-5
    np.testing.assert_allclose(fit.difficulty, unpack(tie(best.x)).difficulty_I, atol=5e-3)
    np.testing.assert_allclose(np.log(fit.discrimination), unpack(tie(best.x)).slope_I, atol=5e-3)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS), anchored=st.booleans())
def test_no_step_lowers_the_objective(seed, kind, anchored):
    responses = small(seed, n_takers=25)
    anchors = pd.Series({"q0": -1., "q1": .5}) if anchored else None
    fit = fit_irt(responses, *kind, anchors=anchors, max_steps=25)
    assert np.diff(fit.trace).min(initial=0) > -1e-7


def test_objective_is_likelihood_with_penalties():
    responses = small(1)
    fit = fit_irt(responses, tolerance=1e-10)
    b_I, log_a_I = fit.difficulty.to_numpy(), np.log(fit.discrimination.to_numpy())
    answers = parts(responses)
    best = max(log_prior(answers, Parameters(b_I, log_a_I, level, b_I.mean())) for level in np.linspace(-1, 1, 2001))
    assert abs(fit.loglik + best - fit.trace[-1]) < 1e-5


# --- recovery ---------------------------------------------------------------------------------------

def oracle(responses, ability_T, model, guess):
    "Difficulties given the true abilities: most likely under N(0, 3^2), in the 2PL with log a under N(0, .5^2)."
    values_TI = responses.to_numpy()
    answered_TI, right_TI, n = ~np.isnan(values_TI), np.nan_to_num(values_TI), values_TI.shape[1]

    def loss(x):
        b_I, log_a_I = x[:n], x[n:] if model == "2pl" else np.zeros(n)
        logit_TI = np.exp(log_a_I) * (ability_T[:, None] - b_I)
        rise_TI = expit(logit_TI)
        p_TI = guess + (1 - guess) * rise_TI
        value = np.log(np.where(right_TI == 1, p_TI, 1 - p_TI))[answered_TI].sum()
        slope_TI = answered_TI * np.where(right_TI == 1, 1 / p_TI, -1 / (1 - p_TI)) * (1 - guess) * rise_TI * (1 - rise_TI)
        slopes = [-np.exp(log_a_I) * slope_TI.sum(0) - b_I / 9, (slope_TI * logit_TI).sum(0) - log_a_I / .25]
        return (b_I @ b_I) / 18 + (log_a_I @ log_a_I) / .5 - value, -np.concatenate(slopes[:len(x) // n])

    return minimize(loss, np.zeros(n if model == "1pl" else 2 * n), jac=True, method="L-BFGS-B").x[:n]


@pytest.mark.parametrize("model,guess", KINDS)
def test_recovers_planted_difficulties_as_an_oracle_does(model, guess):
    "1,000 items, 50 takers, 15 % holes. With guessing the oracle itself stays below .95."
    rng = np.random.default_rng(20)
    items, ability_T = planted_items(1000, rng, .3 if model == "2pl" else 0.), rng.standard_normal(50)
    responses = draw(items, ability_T, rng, guess)
    fit = fit_irt(responses, model, guess)
    found, best = (spearmanr(x, items["difficulty"]).statistic for x in
                   (fit.difficulty, oracle(responses, ability_T, model, guess)))
    assert found >= .98 * best
    assert found >= (.92 if guess else .95)
    assert fit.converged and spearmanr(fit.ability, ability_T).statistic > .97


def test_scale_is_that_of_the_population():
    "A standard normal population: the unit and zero of planted abilities come back, and with them the discriminations."
    rng = np.random.default_rng(4)
    items = planted_items(40, rng, .3).assign(discrimination=lambda x: 2 * x["discrimination"])
    fit = fit_irt(draw(items, rng.standard_normal(2000), rng))
    np.testing.assert_allclose(np.polyfit(items["difficulty"], fit.difficulty, 1), [1, 0], atol=.08)
    assert np.corrcoef(np.log(fit.discrimination), np.log(items["discrimination"]))[0, 1] > .85
    assert abs(np.log(fit.discrimination / items["discrimination"]).mean()) < .08


@pytest.mark.parametrize("shift", [0., 3.])
def test_many_items_do_not_outvote_few_takers(shift):
    "The penalties of a thousand items move the scale of forty takers by little, even for items that are all hard."
    rng = np.random.default_rng(5)
    items, ability_T = planted_items(1000, rng, sd=1.), rng.standard_normal(40)
    ability_T = (ability_T - ability_T.mean()) / ability_T.std()
    fit = fit_irt(draw(items.assign(difficulty=items["difficulty"] + shift), ability_T, rng), "1pl")
    assert abs(fit.ability.mean()) < .02 and abs(fit.ability.std() - 1) < .03
    assert abs(np.log(fit.discrimination.iloc[0])) < .15
    assert abs(fit.difficulty.mean() - items["difficulty"].mean() - shift) < .3


@pytest.mark.parametrize("model,guess", [("1pl", 0.), ("2pl", .25)])
def test_intervals_cover(model, guess):
    inside = []
    for seed in range(20):
        rng = np.random.default_rng([6, seed])
        items = planted_items(50, rng, .3 if model == "2pl" else 0.)
        fit = fit_irt(draw(items, rng.standard_normal(200), rng, guess), model, guess)
        inside.append(((fit.difficulty - items["difficulty"]).abs() < 1.96 * fit.difficulty_se).mean())
    assert .92 < np.mean(inside) < .98


def test_errors_shrink_with_takers():
    rng = np.random.default_rng(7)
    items = planted_items(30, rng)
    few, many = (fit_irt(draw(items, rng.standard_normal(n), rng), "1pl").difficulty_se.median() for n in (100, 1600))
    assert 3 < few / many < 5


def test_common_slope_error_against_the_whole_information():
    responses = small(2, n_takers=15, n_items=6)
    answers, fit = parts(responses, "1pl"), fit_irt(responses, "1pl", tolerance=1e-9)
    a, b_I, able_T = fit.discrimination.iloc[0], fit.difficulty.to_numpy(), fit.ability.to_numpy()
    now = Parameters(b_I, np.full(6, np.log(a)), np.log(a), b_I.mean())
    whole = np.diag(np.r_[np.zeros(6), LEVEL_SD ** -2, np.ones(15)])
    for i in range(6):  # the penalty on a (b - centre), with its Gauss-Newton information
        by = np.zeros(22)
        by[[i, 6]] = a / DIFFICULTY_SD, a * (b_I[i] - b_I.mean()) / DIFFICULTY_SD
        whole += np.outer(by, by)
    for t, i in np.argwhere(responses.notna().to_numpy()):
        p, by = chance_correct(able_T[t], b_I[i], a), np.zeros(22)
        by[[i, 6, 7 + t]] = -a, a * (able_T[t] - b_I[i]), a
        whole += p * (1 - p) * np.outer(by, by)
    errors = np.sqrt(np.diag(np.linalg.inv(whole)))
    found_b, found_a = standard_errors(answers, now, able_T)
    np.testing.assert_allclose(found_b, errors[:6], rtol=1e-6)
    np.testing.assert_allclose(found_a, errors[6], rtol=1e-6)


# --- against another implementation -----------------------------------------------------------------

def test_girth_agrees_on_the_1pl():
    girth = pytest.importorskip("girth")
    responses = small(8, n_takers=300, n_items=60, holes=0.)
    fit, theirs = fit_irt(responses, "1pl"), girth.onepl_mml(responses.to_numpy().T.astype(int))
    assert np.corrcoef(fit.difficulty, theirs["Difficulty"])[0, 1] > .9999
    assert np.abs(fit.difficulty - theirs["Difficulty"]).max() < .15  # at an item that 98 % get right, the prior shows
    assert np.abs(fit.difficulty - theirs["Difficulty"]).median() < .02
    assert abs(fit.discrimination.iloc[0] / theirs["Discrimination"] - 1) < .02


def test_girth_agrees_on_the_2pl():
    girth = pytest.importorskip("girth")
    rng = np.random.default_rng(9)
    items = planted_items(20, rng, .3, sd=1.)
    responses = draw(items, rng.standard_normal(1000), rng, holes=0.)
    fit, theirs = fit_irt(responses), girth.twopl_mml(responses.to_numpy().T.astype(int))
    assert np.corrcoef(fit.difficulty, theirs["Difficulty"])[0, 1] > .999
    assert np.corrcoef(fit.discrimination, theirs["Discrimination"])[0, 1] > .98


# --- what must not matter, and what must ------------------------------------------------------------

@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(KINDS))
def test_order_does_not_matter(seed, kind):
    responses, rng = small(seed), np.random.default_rng(seed)
    shuffled = responses.iloc[rng.permutation(len(responses)), rng.permutation(responses.shape[1])]
    one, other = (fit_irt(x, *kind, tolerance=1e-8) for x in (responses, shuffled))
    np.testing.assert_allclose(other.difficulty[one.difficulty.index], one.difficulty, atol=1e-3)
    np.testing.assert_allclose(other.ability[one.ability.index], one.ability, atol=1e-3)
    assert other.difficulty.index.tolist() == shuffled.columns.tolist()


def test_same_call_same_bytes():
    one, other = (fit_irt(small(1), guess=.2) for _ in range(2))
    for name in ["difficulty", "difficulty_se", "discrimination", "discrimination_se", "ability", "ability_se"]:
        assert getattr(one, name).to_numpy().tobytes() == getattr(other, name).to_numpy().tobytes()


def test_kinds_of_columns_do_not_matter():
    responses = small(1, holes=0.)
    expected = fit_irt(responses).difficulty
    for kind in (bool, "int8", "Int64", object):
        pd.testing.assert_series_equal(fit_irt(responses.astype(kind)).difficulty, expected)
    holes = small(1)
    pd.testing.assert_series_equal(fit_irt(holes.astype("Int64")).difficulty, fit_irt(holes).difficulty)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), guess=st.sampled_from([0., .25]))
def test_1pl_orders_items_by_their_share_of_right_answers(seed, guess):
    "Without holes and with one floor of zero, the number of right answers is all that a Rasch model reads."
    responses = small(seed, n_takers=30, holes=0.)
    fit, share = fit_irt(responses, "1pl", guess, tolerance=1e-9), responses.mean()
    for one in responses:
        for other in responses:
            if share[one] > share[other] and guess == 0: assert fit.difficulty[one] < fit.difficulty[other]
            if share[one] == share[other] and guess == 0: assert abs(fit.difficulty[one] - fit.difficulty[other]) < 1e-2
    assert spearmanr(fit.difficulty, share).statistic < -.8


def test_holes_are_not_wrong_answers():
    rng = np.random.default_rng(10)
    items, ability_T = planted_items(100, rng), np.sort(rng.standard_normal(200))
    responses = draw(items, ability_T, rng, holes=0.)
    responses.iloc[:100, :50] = np.where(rng.random((100, 50)) < .8, NAN, responses.iloc[:100, :50])  # weak takers skip
    fit = fit_irt(responses, "1pl")
    bias = (fit.difficulty - items["difficulty"])[:50].mean() - (fit.difficulty - items["difficulty"])[50:].mean()
    naive = -np.log(responses.mean() / (1 - responses.mean()))
    naive_bias = (naive - items["difficulty"])[:50].mean() - (naive - items["difficulty"])[50:].mean()
    assert abs(bias) < .1 < .3 < abs(naive_bias)


def test_a_hole_counts_as_nothing():
    "A taker more, who answered one item, changes others little; a column of holes for half the takers is no evidence."
    responses = small(11, n_takers=100, holes=0.)
    extra = pd.DataFrame(NAN, index=["late"], columns=responses.columns)
    extra["q0"] = 1.
    one, other = fit_irt(responses, "1pl"), fit_irt(pd.concat([responses, extra]), "1pl")
    assert np.abs(one.difficulty - other.difficulty).drop("q0").max() < .01
    assert 0 < one.difficulty["q0"] - other.difficulty["q0"] < .1
    assert .8 < other.ability_se["late"] < 1 and 0 < other.ability["late"]


def test_guessing_raises_difficulty():
    responses = small(12, n_takers=100)
    assert (fit_irt(responses, "1pl", .2).difficulty > fit_irt(responses, "1pl").difficulty).all()
    by_item = fit_irt(responses, "1pl", pd.Series(.2, responses.columns[::-1]))
    pd.testing.assert_series_equal(by_item.difficulty, fit_irt(responses, "1pl", .2).difficulty)


@pytest.mark.parametrize("model,guess", KINDS)
def test_all_right_and_all_wrong(model, guess):
    responses = small(13, n_takers=60, holes=0.).assign(gift=1., wall=0.)
    responses.loc["ace"], responses.loc["dunce"] = 1., 0.
    responses.loc["ace", "wall"], responses.loc["dunce", "gift"] = NAN, NAN
    fit = fit_irt(responses, model, guess)
    usual = fit.difficulty_se.drop(["gift", "wall"])
    assert np.isfinite(fit.difficulty).all() and np.isfinite(fit.ability).all()
    assert fit.difficulty.idxmin() == "gift" and fit.difficulty.idxmax() == "wall"
    assert fit.difficulty_se[["gift", "wall"]].min() > usual.median()
    assert fit.ability.idxmax() == "ace" and fit.ability.idxmin() == "dunce"
    told = "\n".join(fit.notes)
    for sentence in ["taker right: 1 (gift)", "taker wrong: 1 (wall)", "item right: 1 (ace)", "item wrong: 1 (dunce)"]:
        assert sentence in told
    assert told in str(fit)


def test_items_below_the_floor_are_named():
    responses = small(14, n_takers=60, holes=0.)
    responses["trap"] = (np.arange(60) % 10 == 0) * 1.
    assert "right no oftener than by guessing: 2 (q5, trap)" in "\n".join(fit_irt(responses, guess=.25).notes)


def test_unsettled_fits_say_so():
    fit = fit_irt(small(), max_steps=2)
    assert not fit.converged and fit.n_steps == 2 and "did not settle in 2 steps" in fit.notes[-1]


# --- anchors ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("model,with_slopes", [("1pl", True), ("1pl", False), ("2pl", True), ("2pl", False)])
def test_anchors_put_two_groups_on_one_scale(model, with_slopes):
    rng = np.random.default_rng(15)
    items = planted_items(90, rng, .3 if model == "2pl" else 0.)
    first, second, new = items.index[:60], items.index[30:], items.index[60:]
    one = fit_irt(draw(items.loc[first], rng.standard_normal(400), rng), model)
    answers = draw(items.loc[second], rng.normal(1., .7, 400), rng)
    two = fit_irt(answers, model, anchors=one.items if with_slopes else one.difficulty)
    assert abs(two.mean - 1.) < .2 and abs(two.sd - .7) < .1
    np.testing.assert_allclose(np.polyfit(items["difficulty"][new], two.difficulty[new], 1), [1, 0], atol=.2)
    assert abs((fit_irt(answers, model).difficulty - items["difficulty"])[new].mean()) > .8
    pd.testing.assert_series_equal(two.difficulty[first[30:]], one.difficulty[first[30:]])
    assert (two.difficulty_se[first[30:]] == 0).all() and (two.difficulty_se[new] > 0).all()
    assert "anchors that are items of this table: 30 of 60" in two.notes
    if with_slopes: np.testing.assert_allclose(two.discrimination[first[30:]], one.discrimination[first[30:]])


def test_few_anchors_among_many_items():
    "The free items outnumber the anchors fifty to one, and still the scale is that of the anchors."
    rng = np.random.default_rng(16)
    items = planted_items(510, rng)
    fit = fit_irt(draw(items, rng.normal(1.5, 1, 300), rng), "1pl", anchors=items["difficulty"].iloc[:10])
    assert fit.converged and abs(fit.mean - 1.5) < .3 and abs((fit.difficulty - items["difficulty"])[10:].mean()) < .25


def test_anchors_link_pieces():
    rng = np.random.default_rng(17)
    items = planted_items(40, rng)
    table = pd.concat([draw(items.iloc[:20], rng.standard_normal(300), rng),
                       draw(items.iloc[20:], rng.normal(1, 1, 300), rng).rename(index="other {}".format)])
    with pytest.raises(ValueError, match=r"2 pieces .* cannot be compared"): fit_irt(table)
    with pytest.raises(ValueError, match="2 pieces"): fit_irt(table, anchors=items.iloc[:5])
    linked = fit_irt(table, anchors=items.iloc[[0, 3, 6, 9, 12, 15, 22, 25, 28, 31, 34, 37]])
    free = linked.difficulty_se > 0
    assumed = fit_irt(table, one_population=True)
    def apart(fit): return np.subtract(*((fit.difficulty - items["difficulty"])[free][part].mean() for part in
                                         (slice(14), slice(14, None))))
    assert .8 < apart(assumed) < 1.4  # the pieces' means of ability differ by 1, which their difficulties must bear
    assert 0 < apart(linked) < .8 * apart(assumed)  # one population for all still draws them together
    alone = [fit_irt(table.iloc[rows, columns], anchors=items.iloc[::3]) for rows, columns in
             [(slice(300), slice(20)), (slice(300, None), slice(20, None))]]
    for fit in alone:
        known = fit.difficulty_se == 0
        assert known.any() and abs((fit.difficulty - items["difficulty"][known.index])[~known].mean()) < .3


def test_everything_anchored():
    responses = small(18, n_takers=100)
    items = fit_irt(responses).items
    fit = fit_irt(responses, anchors=items)
    pd.testing.assert_frame_equal(fit.items, items)
    assert abs(fit.mean) < .1 and abs(fit.sd - 1) < .1 and (fit.difficulty_se == 0).all()


# --- fit statistics ---------------------------------------------------------------------------------

def test_fit_statistics_find_the_odd_ones():
    rng = np.random.default_rng(19)
    responses = draw(planted_items(60, rng), rng.standard_normal(300), rng)
    responses["q7"] = 1 - responses["q7"]
    responses.loc["t3"] = np.where(rng.random(60) < .5, 1., 0.)
    fit = fit_irt(responses, "1pl")
    items, takers = (fit_statistics(fit, responses, of) for of in ("items", "takers"))
    assert items["infit"].idxmax() == "q7" == items["outfit"].idxmax() and items["infit"]["q7"] > 1.2
    assert abs(items["infit"].median() - 1) < .05 and abs(takers["infit"].median() - 1) < .1
    assert takers["infit"]["t3"] > takers["infit"].quantile(.95)
    assert (items["answers"] == responses.notna().sum()).all() and (takers["answers"] == responses.notna().sum(axis=1)).all()


def test_fit_statistics_by_hand():
    fit = fit_irt(TINY)
    p = chance_correct(fit.ability, fit.difficulty["d"], fit.discrimination["d"])[["y", "z"]]
    square, variance = (np.array([0, 1]) - p) ** 2, p * (1 - p)
    found = fit_statistics(fit, TINY).loc["d"]
    np.testing.assert_allclose(found, [square.sum() / variance.sum(), (square / variance).mean(), 2])
    shuffled = fit_statistics(fit, TINY.iloc[::-1, ::-1])
    pd.testing.assert_frame_equal(shuffled.loc[TINY.columns], fit_statistics(fit, TINY))


# --- records ----------------------------------------------------------------------------------------

RECORDS = pd.DataFrame({"item_id": ["a", "b", "a", "a"], "correct": [1, 0, 0, 1], "run_id": ["r", "r", "s", "s"],
                        "model": ["m", "m", "m", "n"]})


def test_response_table():
    table = response_table(RECORDS, ["run_id", "model"])
    assert table.index.tolist() == ["r / m", "s / m", "s / n"] and table.columns.tolist() == ["a", "b"]
    np.testing.assert_array_equal(table, [[1, 0], [0, NAN], [1, NAN]])
    same = response_table(pd.concat([RECORDS.iloc[:3], RECORDS.iloc[:1]], ignore_index=True))
    np.testing.assert_array_equal(same, [[1, 0], [0, NAN]])


@pytest.mark.parametrize("records,taker,sentence", [
    (RECORDS, "run_id", "taker 's' answered item 'a' more than once"),
    (RECORDS, ["model"], "taker 'm' answered item 'a' more than once"),
    (RECORDS.drop(columns="run_id"), "run_id", "records have no column 'run_id'"),
    (RECORDS.drop(columns="correct"), "run_id", "records have no column 'correct'"),
    (RECORDS, ["run_id", "seed"], "records have no column 'seed'"),
    (RECORDS.assign(run_id=["r", None, "s", "t"]), "run_id", "run_id of row 1 is missing"),
    (RECORDS.assign(item_id=["a", "b", "a", None]), "run_id", "item_id of row 3 is missing"),
])
def test_records_that_are_no_table(records, taker, sentence):
    with pytest.raises(ValueError, match=sentence): response_table(records, taker)


# --- bad input --------------------------------------------------------------------------------------

GOOD = small(1)
BAD_CELL = GOOD.astype(object)
BAD_CELL.iloc[2, 3] = "yes"


@pytest.mark.parametrize("responses,sentence", [
    (GOOD.to_numpy(), "responses are a ndarray; give a pandas frame"),
    (GOOD.iloc[:2], "2 takers, 8 items; give at least 3 takers"),
    (GOOD.iloc[:, :0], "0 items"),
    (GOOD.replace(1., 2.), "is 2.0; give 1 for right"),
    (BAD_CELL, "taker 't2', item 'q3' is yes; give 1 for right"),
    (GOOD.replace(1., .5), "is 0.5"),
    (GOOD.replace(1., np.inf), "is inf"),
    (GOOD.assign(empty=NAN), r"item 'empty' was answered by no taker \(1 such\); leave it out"),
    (pd.concat([GOOD, pd.DataFrame(NAN, ["idle"], GOOD.columns)]), "taker 'idle' answered no item"),
    (GOOD.rename(columns={"q1": "q0"}), "item 'q0' is there twice"),
    (GOOD.rename(index={"t1": "t0"}), "taker 't0' is there twice"),
])
def test_tables_that_are_none(responses, sentence):
    with pytest.raises(ValueError, match=sentence): fit_irt(responses)


@pytest.mark.parametrize("arguments,error,sentence", [
    (dict(model="3pl"), ValueError, "there is no model '3pl'"),
    (dict(guess=1.), ValueError, "guess of item 'q0' is 1.0"),
    (dict(guess=-.1), ValueError, "guess of item 'q0' is -0.1"),
    (dict(guess=NAN), ValueError, "guess of item 'q0' is nan"),
    (dict(guess=pd.Series({"q0": .1})), KeyError, "guess has no value for item 'q1'"),
    (dict(guess=pd.Series(.1, ["q0", *GOOD.columns])), ValueError, "guess names 'q0' twice"),
    (dict(anchors=pd.Series({"z": 0.})), ValueError, "none of the anchors is an item"),
    (dict(anchors=pd.Series({"q0": 0., "q1": NAN})), ValueError, "difficulty of item 'q1' is nan"),
    (dict(anchors=pd.Series({"q0": 0., "q1": 1500.})), ValueError, "difficulty of item 'q1' is 1500.0"),
    (dict(anchors=pd.Series({"q0": 1., "q1": 1.})), ValueError, "cannot fix the unit"),
    (dict(anchors=pd.Series([0., 1.], ["q0", "q0"])), ValueError, "anchors name 'q0' twice"),
    (dict(anchors=pd.DataFrame({"b": [1.]}, ["q0"])), KeyError, "no column 'difficulty'"),
    (dict(anchors=pd.DataFrame({"difficulty": [1.], "discrimination": [0.]}, ["q0"])), ValueError,
     "discrimination of item 'q0' is 0.0"),
    (dict(model="1pl", anchors=pd.DataFrame({"difficulty": [1., 2.], "discrimination": [1., 2.]}, ["q0", "q1"])), ValueError,
     "discriminations go from 1 to 2, but the 1PL has one"),
])
def test_arguments_that_are_none(arguments, error, sentence):
    with pytest.raises(error, match=sentence): fit_irt(GOOD, **arguments)


def test_of_what():
    with pytest.raises(ValueError, match="give 'items' or 'takers'"): fit_statistics(fit_irt(GOOD), GOOD, "runs")


def test_pieces_are_counted():
    rng = np.random.default_rng(0)
    blocks = [draw(planted_items(3, rng).rename("{} of ".format), rng.standard_normal(10), rng, holes=0.)
              .rename(columns=lambda x, n=n: f"{n}{x}", index=lambda x, n=n: f"{n}{x}") for n in range(3)]
    with pytest.raises(ValueError, match="3 pieces"): fit_irt(pd.concat(blocks))
    bridge = pd.concat(blocks)
    bridge.iloc[0] = 1.  # one taker who answered everything
    assert len(fit_irt(bridge).difficulty) == 9


@pytest.mark.skipif("E2H_DATA" not in os.environ, reason="E2H_DATA names no folder with the published data")
def test_four_models_on_gsm8k():
    "A table of real takers: the larger model and the verifier help, and longer solutions are harder."
    rows = pd.read_json(Path(os.environ["E2H_DATA"]) / "extra" / "gsm8k_test_model_correctness.jsonl.gz", lines=True)
    taken = rows.drop(columns=["test_index", "question"]).astype(float).T
    taken.columns = [f"test/{index}" for index in rows["test_index"]]
    fit = fit_irt(taken, "1pl")
    for size in ("6b", "175b"): assert fit.ability[f"{size}_verification"] > fit.ability[f"{size}_finetuning"]
    assert fit.ability.rank().tolist() == taken.mean(axis=1).rank().tolist()
    steps = load_measures("gsm8k").set_index("item_id")["steps"][taken.columns]
    assert fit.difficulty.corr(steps, method="spearman") > .3
    assert fit.difficulty_se.median() > .5  # four takers do not say much of one problem
