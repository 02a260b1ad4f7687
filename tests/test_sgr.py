"""Accuracy, differences and SGR: against closed forms, scipy, enumeration, simulation, and by how they must change."""
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from e2h.sgr import (
    accuracy,
    accuracy_table,
    adjusted_p,
    combine_draws,
    difference,
    format_sgr_table,
    gains,
    level_difference,
    level_noise,
    luck_covariance,
    pgr,
    pool,
    post_stratify,
    power,
    read_records,
    sgr,
    sgr_table,
    simulate_records,
    to_matrix,
)

NAN = np.nan
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def arms_of(records):
    "Zero-shot, easy and hard matrices of in-context learning on hard items."
    chosen = records.query("level == 'hard' and method in ('zeroshot', 'icl')")
    return [to_matrix(chosen[chosen["train_on"] == level]) for level in ("none", "easy", "hard")]


@pytest.fixture(scope="module")
def world(): return simulate_records(n_items=400)


@pytest.fixture(scope="module")
def arms(world): return arms_of(world)


def random_arms(rng, n=60, seeds=(1, 3, 3), holes=.3, means=(.4, .55, .6)):
    "Zero-shot, easy and hard answers with holes."
    arms = [(rng.random((n, k)) < mean).astype(float) for k, mean in zip(seeds, means, strict=True)]
    for arm in arms[1:]: arm[rng.random(arm.shape) < holes] = NAN
    return arms


# --- against closed forms, scipy and enumeration ---------------------------------------------------

def test_points_are_the_plain_means_where_nothing_is_missing():
    rng = np.random.default_rng(0)
    zero, easy, hard = (rng.integers(0, 2, (40, n)).astype(float) for n in (1, 4, 5))
    result = sgr(zero, easy, hard)
    assert result.point == pytest.approx((easy.mean() - zero.mean()) / (hard.mean() - zero.mean()))
    assert (result.zero_shot, result.easy, result.hard) == pytest.approx((zero.mean(), easy.mean(), hard.mean()))
    assert difference(hard, easy).point == pytest.approx(hard.mean() - easy.mean())
    assert (result.n_items, result.n_seeds) == (40, 4)


def test_one_seed_is_the_paired_t_test():
    rng = np.random.default_rng(2)
    after, before = (rng.random(200) < .7).astype(float), (rng.random(200) < .5).astype(float)
    ours, theirs = difference(after, before), stats.ttest_rel(after, before)
    interval = theirs.confidence_interval()
    assert (ours.p, ours.low, ours.high) == pytest.approx((theirs.pvalue, interval.low, interval.high))
    result = sgr(before, after, after)
    assert result.gap.p == pytest.approx(theirs.pvalue) and result.p_zero == pytest.approx(theirs.pvalue)


def test_equal_clusters_are_the_t_test_of_their_means():
    rng = np.random.default_rng(3)
    after, before, groups = rng.random(120), rng.random(120), np.arange(120) // 6
    theirs = stats.ttest_1samp((after - before).reshape(20, 6).mean(1), 0)
    assert difference(after, before, clusters=groups).p == pytest.approx(theirs.pvalue)


def test_the_ratio_of_paired_means_is_fiellers_formula():
    "One seed, nothing missing: the closed form for the ratio of two dependent means (Fieller 1954)."
    rng = np.random.default_rng(4)
    zero, easy, hard = (rng.random(150) < p for p in (.3, .5, .6))
    d = np.array([easy * 1. - zero, hard * 1. - zero])
    (a, b), cov, t2 = d.mean(1), np.cov(d) / 150, stats.t.ppf(.975, 149)**2
    g, centre = t2 * cov[1, 1] / b**2, a * b - t2 * cov[0, 1]
    root = np.sqrt(centre**2 - (a**2 - t2 * cov[0, 0]) * (b**2 - t2 * cov[1, 1]))
    ends = (centre - root) / (b**2 * (1 - g)), (centre + root) / (b**2 * (1 - g))
    result = sgr(zero, easy, hard)
    assert (result.low, result.high) == pytest.approx(ends) and result.kind == "bounded"


def test_luck_on_a_full_grid_is_the_analysis_of_variance():
    rng = np.random.default_rng(5)
    x = rng.random((50, 1)) + rng.normal(0, .1, 4) + rng.normal(0, .2, (50, 4))
    rows, columns = x.mean(1, keepdims=True), x.mean(0)
    residual = ((x - rows - columns + x.mean())**2).sum() / (49 * 3)
    component = (50 * ((columns - x.mean())**2).sum() / 3 - residual) / 50
    arm = x - x.mean(), np.ones_like(x)
    assert luck_covariance(arm, arm) == pytest.approx(component)


def test_the_variance_over_items_is_unbiased_by_enumeration():
    "All 3^3 equally likely samples of three items: the mean of the estimated variance is the variance of the mean."
    population = [0., 1., 1.]
    samples = [np.array(rows) for rows in product(population, repeat=3)]
    estimates = [float(gains(np.zeros((3, 1)), [rows[:, None]]).estimate(np.ones(1))[1])**2 for rows in samples]
    assert np.mean(estimates) == pytest.approx(np.var([rows.mean() for rows in samples]))


def test_a_seed_with_few_answers_does_not_spoil_the_luck_of_the_others():
    rng, few, none = np.random.default_rng(7), [], []
    for _ in range(200):
        x = (rng.random((300, 5)) < .6).astype(float)
        x[3:, 4] = NAN
        for found, columns in ((few, 5), (none, 4)):
            [luck] = gains(np.zeros((300, 1)), [x[:, :columns]]).luck
            found.append(luck.cov[0, 0])
    assert np.mean(few) < 2 * np.mean(none)


def test_unequal_clusters_are_worth_fewer_and_cover():
    "Forty clusters, one of which has half of the items."
    rng, hits = np.random.default_rng(8), 0
    groups = np.r_[np.zeros(200, int), np.repeat(np.arange(1, 41), 5)]
    assert gains(np.zeros((400, 1)), [rng.random((400, 1))], groups).worth == pytest.approx(1 / (.25 + 40 * .0125**2))
    for _ in range(300):
        common = rng.normal(0, .2, 41)[groups][:, None]
        found = difference((rng.random((400, 3)) < .6 + common.clip(-.3, .3)) * 1., np.zeros(400), clusters=groups)
        hits += found.low <= .6 <= found.high
    assert hits / 300 > .9


def test_variance_and_degrees_of_freedom_are_those_of_the_formulas():
    x = np.random.default_rng(6).random((80, 3)) + [0, .2, .3]
    item = ((x.mean(1) - x.mean())**2).sum() / 79 / 80
    tau = luck_covariance((x - x.mean(), np.ones_like(x)), (x - x.mean(), np.ones_like(x))) / 3
    spread = 3 / 2 * sum((column.mean() - x.mean())**2 / 9 for column in x.T)
    point, error, df = (float(v) for v in gains(np.zeros((80, 1)), [x]).estimate(np.ones(1)))
    assert (point, error**2) == pytest.approx((x.mean(), item + tau))
    assert df == pytest.approx((item + tau)**2 / (item**2 / 79 + ((spread + tau) / 2)**2 / 2))
    assert not gains(np.zeros((80, 1)), [x[:, :1]]).luck


def test_accuracy_of_one_seed_is_wilsons_interval():
    answers = np.r_[np.ones(240), np.zeros(160)]
    n, t = 399., stats.t.ppf(.975, 399)  # the effective number of answers: p (1 - p) / V
    centre, half = .6 + t**2 / (2 * n), t * np.sqrt(.24 / n + t**2 / (4 * n**2))
    found = accuracy(answers)
    assert (found.low, found.high) == pytest.approx(((centre - half) / (1 + t**2 / n), (centre + half) / (1 + t**2 / n)))
    for certain in (np.ones(50), np.zeros(50)):
        found = accuracy(certain)
        assert 0 <= found.low <= certain[0] <= found.high <= 1 and .05 < found.high - found.low < .1


def test_accuracies_cover_the_truth():
    rng, hits = np.random.default_rng(8), 0
    for _ in range(400):
        easiness, luck = rng.normal(0, .15, (120, 1)), rng.normal(0, .02, 4)
        found = accuracy((rng.random((120, 4)) < .8 + easiness.clip(-.2, .2) + luck).astype(float))
        hits += found.low <= .8 <= found.high
    assert .92 <= hits / 400 <= .985


# --- the set and its p-values ----------------------------------------------------------------------

@given(seed=st.integers(0, 10_000), gap=st.floats(0, .4), share=st.floats(-.5, 1.5))
@settings(max_examples=40, deadline=None)
def test_the_set_is_where_the_p_value_is_above_5_percent(seed, gap, share):
    result = sgr(*random_arms(np.random.default_rng(seed), means=(.4, .4 + share * gap, .4 + gap)))
    for low, high in result.sets:
        for end in (low, high):
            if np.isfinite(end): assert result.p(end) == pytest.approx(.05, abs=1e-5)
    for ratio in np.tan(np.linspace(-1.5, 1.5, 41)):
        inside = any(low <= ratio <= high for low, high in result.sets)
        assert (result.p(ratio) >= .05) == inside or abs(result.p(ratio) - .05) < 1e-6
    assert (result.p_zero, result.p_one) == (result.p(0), result.p(1))
    assert (result.kind == "bounded") == (result.gap.p < .05) == (result.regime != "gap not separated")
    assert (result.low, result.high) == (result.sets[0][0], result.sets[-1][1])
    assert {"bounded": 1, "unbounded": 1, "exclusive": 2}[result.kind] <= len(result.sets)  # rarely a piece is cut in two


def test_the_three_kinds():
    rng = np.random.default_rng(0)
    zero = (rng.random((400, 1)) < .4).astype(float)
    lifted = np.where(rng.random((400, 1)) < .2, 1., zero)
    assert sgr(zero, lifted, lifted).kind == "bounded"
    assert sgr(zero, zero, (rng.random((400, 1)) < .4) * 1.).kind == "unbounded"
    beside = sgr(zero, lifted, rng.permutation(zero))  # easy data help, and there is no gap
    assert beside.kind == "exclusive" and beside.sets[0][0] == -np.inf and beside.sets[1][1] == np.inf
    assert beside.sets[0][1] < beside.sets[1][0] and beside.regime == "gap not separated"


def test_retention_is_one_side_of_the_same_test(arms):
    result = sgr(*arms)
    below, above = result.point - .1, result.point + .1
    assert result.p_retains(below) == pytest.approx(result.p(below) / 2)
    assert result.p_retains(above) == pytest.approx(1 - result.p(above) / 2)
    assert result.p_retains(result.low) == pytest.approx(.025, abs=1e-6)


# --- coverage --------------------------------------------------------------------------------------

@pytest.mark.parametrize("change", [{"items": 350}, {"seeds": 2, "seed_sd": .025}, {"holes": .5, "seeds": 3, "seed_sd": .025},
                                    {"cluster": 7, "icc": .3, "items": 350, "seed_sd": .01}], ids=str)
def test_the_set_covers_the_truth(change):
    sys.path.insert(0, str(BENCHMARKS))
    from coverage_study import USUAL, draw_study
    design, rng, hits = USUAL | change, np.random.default_rng(1), 0
    for _ in range(600):
        *arms, clusters, truth = draw_study(design, rng)
        hits += any(low <= truth <= high for low, high in sgr(*arms, clusters).sets)
    assert .92 <= hits / 600 <= .99  # 93.5 to 98.5 %, give or take the error of 600 studies


def test_the_table_of_the_benchmark_is_what_was_asked():
    table = pd.read_csv(BENCHMARKS / "coverage.csv")
    several = table[table["seeds"] > 1]
    assert len(table) >= 24 and (table["studies"] == 4000).all()
    assert several["default"].between(.935, .985).all()
    wide, narrow = several[several["percentile"] > .97], several[several["percentile"] < .935]
    assert wide.loc[wide["width / percentile"] >= 1, "design"].tolist() == ["2 seeds, seed sd 1.0%"]  # the page says so
    assert len(narrow) and (narrow["width / percentile"] > 1).all()


# --- how results must change ----------------------------------------------------------------------

def shuffled(matrix, rng): return matrix.iloc[rng.permutation(len(matrix)), rng.permutation(matrix.shape[1])]


def test_order_of_items_and_seeds_does_not_matter(arms):
    rng = np.random.default_rng(0)
    one, two = sgr(*arms), sgr(*(shuffled(arm, rng) for arm in arms))
    for name in ("point", "low", "high", "p_zero", "p_one"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-9)


def test_frames_are_joined_on_item_id(arms):
    zero, easy, hard = arms
    aligned = [arm.reindex(zero.index) for arm in arms]
    assert sgr(*arms) == sgr(zero, easy, hard.iloc[::-1])
    assert sgr(*arms) == sgr(*(arm.to_numpy() for arm in aligned))


def test_more_items_of_zero_shot_change_nothing(arms):
    zero, easy, hard = arms
    extra = pd.DataFrame({0: np.ones(50)}, index=[f"extra/{n}" for n in range(50)])
    before, after = sgr(zero, easy, hard), sgr(pd.concat([zero, extra]), easy, hard)
    assert after.n_dropped == before.n_dropped + 50
    for name in ("point", "low", "high", "zero_shot", "gap"):
        assert getattr(after, name) == getattr(before, name)


def test_swapping_easy_and_hard_turns_the_set_upside_down(arms):
    zero, easy, hard = arms
    one, other = sgr(zero, easy, hard), sgr(zero, hard, easy)
    assert other.point == pytest.approx(1 / one.point) and other.p(1 / .9) == pytest.approx(one.p(.9))
    assert (other.low, other.high) == pytest.approx((1 / one.high, 1 / one.low))


def test_counting_wrong_answers_instead_of_right_ones_keeps_sgr(arms):
    result, mirrored = sgr(*arms), sgr(*(1 - arm for arm in arms))
    assert (mirrored.point, mirrored.low, mirrored.high) == pytest.approx((result.point, result.low, result.high))
    assert (mirrored.gap.low, mirrored.gap.high) == pytest.approx((-result.gap.high, -result.gap.low))
    assert (result.regime, mirrored.regime) == ("ok", "reversed")


def test_adding_a_constant_changes_nothing():
    rng = np.random.default_rng(1)
    arms = [arm * .5 for arm in random_arms(rng)]
    one, other = sgr(*arms), sgr(*(arm + .3 for arm in arms))
    assert (one.point, one.low, one.high) == pytest.approx((other.point, other.low, other.high))


def test_items_doubled_as_clusters_change_nothing_and_doubled_as_items_narrow_the_set():
    arms = random_arms(np.random.default_rng(2), n=150, means=(.3, .6, .7))
    twice = [np.repeat(arm, 2, axis=0) for arm in arms]
    once, clustered, naive = sgr(*arms), sgr(*twice, clusters=np.arange(300) // 2), sgr(*twice)
    assert (once.point, once.low, once.high) == pytest.approx((clustered.point, clustered.low, clustered.high))
    assert naive.high - naive.low < .85 * (once.high - once.low)


def test_the_same_seeds_give_the_same_bytes(arms):
    assert sgr(*arms) == sgr(*arms)
    one, again, other = (sgr(*arms, interval="percentile", n_boot=500, seed=seed) for seed in (3, 3, 4))
    assert one == again and one.low != other.low


def test_weights_of_whole_numbers_repeat_items():
    rng = np.random.default_rng(3)
    arms, weight = random_arms(rng, holes=0.), rng.integers(1, 4, 60)
    repeated = [np.repeat(arm, weight, axis=0) for arm in arms]
    one = sgr(*arms, weight=weight)
    other = sgr(*repeated, clusters=np.repeat(np.arange(60), weight))
    assert (one.point, one.p_zero, one.easy, one.hard) == pytest.approx(
        (other.point, other.p_zero, other.easy, other.hard), rel=.02)
    assert one.point == pytest.approx(other.point)


# --- invariants of the ratio ----------------------------------------------------------------------

@given(seed=st.integers(0, 10_000), holes=st.floats(0, .5))
@settings(max_examples=25, deadline=None)
def test_known_ratios(seed, holes):
    rng = np.random.default_rng(seed)
    zero, hard = (rng.random((25, 1)) < .4).astype(float), (rng.random((25, 3)) < .8).astype(float)
    hard[rng.random(hard.shape) < holes] = NAN
    assume(not np.isnan(hard).all(axis=0).any() and np.nansum(hard - zero) != 0)
    assert sgr(zero, hard, hard).point == 1
    assert sgr(zero, np.where(np.isnan(hard), NAN, zero), hard).point == 0
    nothing = sgr(zero, hard, np.where(np.isnan(hard), NAN, zero))
    assert np.isnan(nothing.point) and nothing.regime == "gap not separated" and nothing.low == -np.inf


def test_constant_conditions_have_sets_without_width():
    result = sgr(np.zeros((30, 1)), np.ones((30, 2)), np.ones((30, 3)))
    assert (result.point, result.regime, result.p_zero, result.p_one) == (1, "ok", 0, 1)
    assert (result.low, result.high) == pytest.approx((1, 1))
    assert (result.gap.low, result.gap.high) == (1, 1)


def test_without_a_gap_the_regime_says_so():
    flat = arms_of(simulate_records(n_items=200, accuracies={"icl": (.45, .45)}))
    assert sgr(*flat).regime == "gap not separated"


# --- floors with seeds, pooling --------------------------------------------------------------------

def test_a_floor_with_seeds_brings_its_own_luck():
    "Three arms with real luck: the floor's moves both gains together, and not at all where the ratio is 1."
    rng, hits = np.random.default_rng(4), 0
    for _ in range(300):
        easiness = rng.choice([-.2, .2], (200, 1))
        weak, taught, ceiling = ((rng.random((200, 3)) < mean + easiness + rng.normal(0, .03, 3)).astype(float)
                                 for mean in (.3, .5, .6))
        hits += any(low <= 2 / 3 <= high for low, high in pgr(weak, taught, ceiling).sets)
    assert .91 <= hits / 300 <= .99
    found = pgr(weak, taught, ceiling).gains
    floor = found.luck[-1]
    assert np.allclose(floor.cov, floor.cov[0, 0]) and len(found.luck) == 3
    assert np.array([1., -1.]) @ floor.cov @ np.array([1., -1.]) == pytest.approx(0)


def named(arm, name="q"): return pd.DataFrame(arm, index=[f"{name}{n}" for n in range(len(arm))])


def test_pooling_disjoint_items_is_pooling_their_gains():
    rng = np.random.default_rng(5)
    frames = [[named(arm, name) for arm in random_arms(rng, n=200, holes=0., means=(.3, .5, .6))] for name in "ab"]
    cells = [sgr(*arms) for arms in frames]
    pooled = pool(cells)
    joined = sgr(*(pd.concat(pair) for pair in zip(*frames)))  # as many items in both: the same means
    assert pooled.point == pytest.approx(joined.point) and (pooled.n_clusters, pooled.n_items) == (400, 400)
    assert pooled.high - pooled.low < max(cell.high - cell.low for cell in cells)
    assert pool([cells[0], cells[0]]).sets[0] == pytest.approx(cells[0].sets[0])
    with pytest.raises(ValueError, match="there are none"): pool([])
    with pytest.raises(ValueError, match="items without names"): pool([sgr(*random_arms(rng))] * 2)


@pytest.mark.parametrize("common", [0., 1.], ids=["luck of its own", "the same luck"])
def test_pooled_sets_cover_the_truth_where_cells_share_items_and_draws(common):
    rng, hits = np.random.default_rng(6), 0
    for _ in range(300):
        easiness, luck = rng.choice([-.25, .25], (250, 1)), rng.normal(0, .025, (3, 2, 3))
        luck = np.sqrt(common) * luck[:1] + np.sqrt(1 - common) * luck
        zero = (rng.random((250, 1)) < .3 + easiness).astype(float)
        cells = [sgr(*(named(arm) for arm in (zero, *((rng.random((250, 3)) < .3 + lift + easiness + shift).astype(float)
                                                      for lift, shift in zip(pair, shifts)))))
                 for pair, shifts in zip(((.16, .2), (.08, .2), (.12, .2)), luck)]
        hits += any(low <= .6 <= high for low, high in pool(cells).sets)
    assert .92 <= hits / 300 <= 1


def test_a_placebo_of_the_same_draws_shares_their_luck():
    "Random-label shots are as lucky as the shots they were made from: the difference of the two is known better."
    rng, hits, widths = np.random.default_rng(9), np.zeros(2), np.zeros(2)
    for _ in range(300):
        luck, easiness = rng.normal(0, .04, 5), rng.choice([-.2, .2], (200, 1))
        placebo, hard = ((rng.random((200, 5)) < mean + luck + easiness) * 1. for mean in (.4, .5))
        found = [difference(hard, placebo, shared=shared) for shared in (False, True)]
        hits += [estimate.low <= .1 <= estimate.high for estimate in found]
        widths += [estimate.high - estimate.low for estimate in found]
    assert .91 <= hits[1] / 300 <= .985 and hits[0] >= hits[1] and widths[1] < .8 * widths[0]


def test_both_levels_of_one_model_share_its_luck():
    rng, hits = np.random.default_rng(10), 0
    ids = [f"i{n}" for n in range(400)]
    for _ in range(150):
        luck, easiness = rng.normal(0, .05, 4), rng.choice([-.2, .2], 400)
        correct = rng.random((4, 400)) < .5 + luck[:, None] + easiness + np.repeat([.1, 0], 200)
        records = pd.concat([pd.DataFrame({"item_id": ids, "seed": seed, "correct": correct[seed] * 1}) for seed in range(4)])
        records = records.assign(level=np.tile(np.repeat(["easy", "hard"], 200), 4), method="icl", train_on="hard")
        found = level_difference(records)
        hits += found.low <= .1 <= found.high
    assert .91 <= hits / 150 <= .99


# --- clusters -------------------------------------------------------------------------------------

def test_items_as_their_own_clusters_change_nothing(arms):
    own = pd.Series(arms[0].index, index=arms[0].index)
    assert sgr(*arms) == sgr(*arms, clusters=own)


def test_clusters_that_agree_inside_count_once():
    rng = np.random.default_rng(0)
    alike = np.repeat((rng.random(60) < .6).astype(float), 8)
    by_cluster, one_each = accuracy(alike, clusters=np.repeat(np.arange(60), 8)), accuracy(alike[::8])
    assert (by_cluster.low, by_cluster.high) == pytest.approx((one_each.low, one_each.high))


def test_tables_take_clusters_from_the_records(world):
    grouped = world.assign(cluster=world["item_id"].str[-1])
    narrow, wide = (sgr_table(records) for records in (world, grouped))
    assert narrow["sgr"].to_numpy() == pytest.approx(wide["sgr"].to_numpy()) and (narrow["gap_low"] != wide["gap_low"]).all()
    assert "worth 10 equal ones" in wide.describe() and "rough" not in narrow.describe()
    few = sgr_table(world[world["item_id"].isin(world["item_id"].unique()[::20])])
    assert "there are few items, and intervals from fewer than 30 are rough" in few.describe()


def test_shared_draws_are_as_many_on_both_sides(arms):
    _, easy, hard = arms
    with pytest.raises(ValueError, match="^condition has 1 seeds and floor .*; shared=True needs the same draws of both$"):
        difference(easy.iloc[:, :1], hard, shared=True)


def test_three_means_are_no_arms():
    for mean in (.28, np.float64(.28), np.array(.28)):
        with pytest.raises(ValueError, match="^zero_shot is 0.28; give right or wrong for every item"): sgr(mean, .31, .45)


# --- tables ---------------------------------------------------------------------------------------

def test_table_has_the_columns_of_the_design(world):
    table = sgr_table(world)
    assert table.columns.tolist() == (
        "dataset model quant dtype format method settings n_train noise n_items n_clusters worth n_seeds chance "
        "zero_shot easy hard gap gap_low gap_high placebo_share placebo_low placebo_high over_placebo "
        "over_placebo_low over_placebo_high p_placebo net_sgr net_low net_high net_regime sgr low high sets kind "
        "p_zero p_one p_retains regime").split()
    assert table["method"].tolist() == ["icl", "probe"] and table["placebo_share"].notna().tolist() == [True, False]
    assert table["regime"].eq("ok").all()
    assert table["gap"].to_numpy() == pytest.approx((table["hard"] - table["zero_shot"]).to_numpy())
    assert ((table["easy"] - table["zero_shot"]) / table["gap"]).to_numpy() == pytest.approx(table["sgr"].to_numpy())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_table_of_a_file_is_the_table_of_the_frame(world, tmp_path, ending):
    path = tmp_path / f"records.{ending}"
    getattr(world, f"to_{ending}")(path, index=False)
    pd.testing.assert_frame_equal(sgr_table(path), sgr_table(world))


def test_levels_may_be_categorical(world):
    levels = pd.Categorical(world["level"], ["easy", "medium", "hard"], ordered=True)
    pd.testing.assert_frame_equal(sgr_table(world.assign(level=levels)), sgr_table(world))
    assert len(accuracy_table(world.assign(level=levels))) == 28


@pytest.mark.parametrize("column, old, word, near", [
    ("method", "zeroshot", "zero-shot", True), ("method", "icl", "my own", False),
    ("train_on", "easy", "Easy", True), ("train_on", "easy", "easy:0.5+hard:0.5", False)])
def test_near_misses_of_names(world, column, old, word, near):
    some = world.replace({column: {old: word}})
    assert (some[column] == word).any()
    if not near: assert read_records(some) is some
    else:
        with pytest.raises(ValueError, match=f"^records: {column} '{word}' is written '{old}' here; rename it$"):
            read_records(some)


def test_zero_shot_is_that_of_the_same_quantisation(world):
    other = world.query("method in ('zeroshot', 'icl')").assign(quant="nf4")
    other.loc[other["method"] == "zeroshot", "correct"] = 0
    table = sgr_table(pd.concat([world, other])).set_index("quant")
    assert table.loc["nf4", "zero_shot"] == 0 and (table.loc["none", "zero_shot"] > .3).all()
    alone = pd.concat([world, world.query("method == 'icl'").assign(quant="int8")])
    with pytest.raises(ValueError, match="no zero-shot answers.*quant int8"): sgr_table(alone)


def test_placebo_twin_has_the_same_settings_but_for_the_labels(world):
    assert 0 < sgr_table(world)["placebo_share"][0] < .5
    other_k = world.assign(settings=world["settings"].str.replace('{"k": 10, "labels": "random"}',
                                                                  '{"k": 5, "labels": "random"}', regex=False))
    assert np.isnan(sgr_table(other_k)["placebo_share"][0])


def test_a_probe_has_a_placebo_of_its_own(world):
    twin = world.query("method == 'probe'").assign(method="probe_placebo", settings='{"labels": "random"}')
    both = world.assign(settings=world["settings"].where(world["method"] != "probe", '{"labels": "gold"}'))
    table = sgr_table(pd.concat([both, twin])).set_index("method")
    assert table.index.tolist() == ["icl", "probe"]  # a placebo is compared with, not compared
    assert table.loc["probe", "placebo_share"] == pytest.approx(1) and table.loc["probe", "over_placebo"] == 0


def test_gap_not_separated_gives_words_and_no_number():
    flat = simulate_records(n_items=100, accuracies={"icl": (.45, .45), "placebo": (.45, .45)})
    table = sgr_table(flat)
    assert table["regime"][0] == "gap not separated"
    assert table[["sgr", "placebo_share", "net_sgr"]].isna().all(axis=None)
    assert table["low"][0] == -np.inf and table["kind"][0] != "bounded"
    assert "not separated from zero" in table.describe() and "would fit the data" in table.describe()
    text = format_sgr_table(table)
    assert text["SGR [95 %]"][0] == "gap not separated" and text["placebo share"][0] == ""
    assert np.isfinite(table["gap"][0]) and table["p_one"].notna().all()


def test_tables_do_not_depend_on_the_order_of_the_records(world):
    mixed = world.sample(frac=1, random_state=0)
    table, same = sgr_table(world), sgr_table(mixed)
    assert table["method"].tolist() == same["method"].tolist() == ["icl", "probe"]
    pd.testing.assert_frame_equal(table, same)
    names = accuracy_table(mixed).query("test == 'hard'")[["method", "train_on"]].agg(" ".join, axis=1)
    assert names.tolist() == ["zeroshot none", "icl easy", "icl hard", "placebo easy", "placebo hard",
                              "probe easy", "probe hard"]


def test_a_method_without_an_easy_arm_is_left_out_and_named(world):
    half = world.query("not (method == 'probe' and train_on == 'easy')")
    table = sgr_table(half)
    assert table["method"].tolist() == ["icl"] and table.attrs["skipped"][0]["method"] == "probe"


def test_format_is_printable(world):
    text = format_sgr_table(sgr_table(pd.concat([world, world.assign(model="another")])))
    assert text.columns[0] == "model" and text["method"][0] == "ICL (n = 10)"
    assert text.map(lambda value: isinstance(value, str)).all(axis=None)
    assert all(len(line) < 200 for line in text.to_string(index=False).splitlines())


def test_accuracy_table_counts_and_averages(world):
    table = accuracy_table(world)
    row = table.query("method == 'icl' and train_on == 'easy' and test == 'hard'").iloc[0]
    chosen = world.query("method == 'icl' and train_on == 'easy' and level == 'hard'")
    assert row["accuracy"] == pytest.approx(chosen["correct"].mean())
    assert (row["n_items"], row["n_seeds"]) == (chosen["item_id"].nunique(), 5)
    assert table["low"].le(table["accuracy"]).all() and table["high"].ge(table["accuracy"]).all()


def test_the_sentence_says_what_the_table_says(world):
    row, text = sgr_table(world).iloc[0], sgr_table(world).describe().splitlines()[0]
    assert f"On {row['n_items']:,} hard items and 5 seeds" in text and f"recovered {row['sgr']:.0%} [" in text
    assert f"random labels recover {row['placebo_share']:.0%}" in text and "net SGR" in text
    assert len(sgr_table(world).describe().splitlines()) == 2
    one = sgr_table(world.query("seed == 0")).describe()
    assert "one training draw (for which alone this holds)" in one


def test_arms_of_anyone_in_one_line(world, tmp_path):
    names = {("zeroshot", "none"): "zero_shot", ("icl", "easy"): "easy", ("icl", "hard"): "hard",
             ("placebo", "hard"): "placebo"}
    hard = world.query("level == 'hard'")
    file = hard.assign(arm=[names.get(pair) for pair in zip(hard["method"], hard["train_on"])]).dropna(subset="arm")
    file["seed"] = file["seed"].where(file["arm"] != "zero_shot")  # blank, as people leave it
    file[["item_id", "arm", "seed", "correct"]].to_csv(tmp_path / "results.csv", index=False)
    numbers = ["sgr", "low", "high", "gap", "placebo_share", "net_sgr", "p_one"]
    ours, theirs = sgr_table(world)[numbers].iloc[0], sgr_table(tmp_path / "results.csv")[numbers].iloc[0]
    assert theirs.to_numpy(float) == pytest.approx(ours.to_numpy(float))
    with pytest.raises(ValueError, match="arm 'Easy' is unknown; there are: zero_shot, easy, hard, placebo"):
        sgr_table(file.drop(columns=["method", "train_on", "level"]).replace({"arm": {"easy": "Easy"}}))


def test_net_sgr_is_the_sgr_over_the_placebo(world):
    row = sgr_table(world).iloc[0]
    hard = world.query("level == 'hard'")
    matrices = [to_matrix(hard.query(f"method == '{method}' and train_on == '{level}'"))
                for method, level in (("placebo", "hard"), ("icl", "easy"), ("icl", "hard"))]
    net = sgr(*matrices, shared=True)
    assert (row["net_sgr"], row["net_low"], row["net_high"]) == (net.point, net.low, net.high)
    assert [luck.arm for luck in net.gains.luck] == [0, -1]  # easy by itself, placebo and hard together


def test_sets_of_draws_grow_by_what_moves_between_them():
    "Rubin: draws whose gains differ by a known amount, each with the same variance inside."
    rng = np.random.default_rng(0)
    arms = [arm * 1. for arm in random_arms(rng, n=300, holes=0., means=(.3, .5, .6))]
    plain = sgr(*arms)
    shifted = [sgr(arms[0], arms[1] * .9, arms[2] * .9 + shift) for shift in (.0, .05, .1)]
    together = combine_draws(shifted)
    moved = np.var([result.gap.point for result in shifted], ddof=1) * 4 / 3
    inside = np.mean([float(result.gains.estimate(np.array([0., 1.]))[1])**2 for result in shifted])
    assert float(together.gains.estimate(np.array([0., 1.]))[1])**2 == pytest.approx(inside + moved)
    assert combine_draws([plain, plain]).sets[0] == pytest.approx(plain.sets[0], rel=1e-3)


def test_easy_and_hard_on_other_items_is_said(arms):
    zero, easy, hard = arms
    half = len(zero) // 2
    with pytest.warns(UserWarning, match="easy and hard answered 0 of"):
        sgr(zero, easy.loc[easy.index.isin(zero.index[:half])], hard.loc[hard.index.isin(zero.index[half:])])


def test_rounding_makes_no_gap():
    result = sgr(np.full((40, 1), .3), np.full((40, 2), .5), np.full((40, 2), .1 + .2))
    assert np.isnan(result.point) and result.regime == "gap not separated"


def test_weights_reach_the_difference_of_levels(world):
    records = world.query("method == 'zeroshot'").assign(subject=lambda r: r["correct"].map({0: "a", 1: "b"}))
    assert level_difference(post_stratify(records, "subject")).point == pytest.approx(0)  # the subject is all there is
    assert level_difference(records).point > .1


def test_adjusted_p_values_are_those_of_scipy_and_of_the_definition():
    p = np.random.default_rng(0).random(12)**2
    assert adjusted_p(p, "bh") == pytest.approx(stats.false_discovery_control(p))
    holm = [max(min(1, (12 - k) * np.sort(p)[k]) for k in range(rank + 1)) for rank in stats.rankdata(p).astype(int) - 1]
    assert adjusted_p(p) == pytest.approx(holm)
    with pytest.raises(ValueError, match="method 'bonferroni' is not known"): adjusted_p(p, "bonferroni")


def test_tables_leave_out_what_no_trained_model_was_asked(world):
    trained = world["train_on"] != "none"
    halved = world[~trained | world["item_id"].str[-1].isin(list("02468"))]
    row = accuracy_table(halved).query("method == 'zeroshot' and test == 'hard'").iloc[0]
    asked = set(halved.loc[halved["train_on"] != "none", "item_id"])
    same = halved.query("method == 'zeroshot' and level == 'hard'")
    assert row["accuracy"] == pytest.approx(same.loc[same["item_id"].isin(asked), "correct"].mean())
    assert row["n_items"] < same["item_id"].nunique()
    alone = world[~trained].assign(dataset="another")  # never trained on: whole
    both = accuracy_table(pd.concat([world.assign(dataset="one"), alone])).query("dataset == 'another' and test == 'hard'")
    assert both["n_items"].iloc[0] == same["item_id"].nunique()


def test_post_stratified_levels_have_the_same_mix(world):
    digit = world["item_id"].str[-1].astype(int)
    records = world.assign(subject=np.where(digit < 3 + 3 * (world["level"] == "hard"), "a", "b"))
    weighted = post_stratify(records, "subject")
    items = weighted.drop_duplicates("item_id")
    mix = items.groupby("level").apply(lambda r: r.loc[r["subject"] == "a", "weight"].sum() / r["weight"].sum())
    assert mix.to_numpy() == pytest.approx((items["subject"] == "a").mean())
    row = accuracy_table(weighted.query("method == 'zeroshot'")).query("test == 'hard'").iloc[0]
    hard = records.query("method == 'zeroshot' and level == 'hard'")
    share, means = (items["subject"] == "a").mean(), hard.groupby("subject")["correct"].mean()
    assert row["accuracy"] == pytest.approx(share * means["a"] + (1 - share) * means["b"])


def test_noise_in_the_measure_widens_the_set_and_none_changes_nothing(world):
    cut = world.assign(level=pd.cut(world["value"], [-1, .6, 1.3, 9], labels=["easy", "medium", "hard"]).astype(str))
    ids = cut["item_id"].unique()
    exact, noisy = (level_noise(cut, pd.Series(size, ids), draws=8) for size in (0., .3))
    plain, same = (exact[[f"{name}low", f"{name}high"]].to_numpy(float) for name in ("", "noisy_"))
    assert same == pytest.approx(plain, rel=1e-4)
    wider = [(noisy[f"{name}high"] - noisy[f"{name}low"]).iloc[0] for name in ("", "noisy_")]
    assert wider[1] > wider[0] and (noisy["noisy_sgr"] != noisy["sgr"]).all()
    with pytest.raises(KeyError, match="error: item .* has none"): level_noise(cut, pd.Series(.1, ids[:5]))
    with pytest.raises(ValueError, match="takes two of them"): level_noise(cut, pd.Series(.1, ids), draws=1)
    with pytest.raises(ValueError, match="levels must be cut from `value`"): level_noise(world, pd.Series(.1, ids))


@pytest.mark.parametrize("size", [dict(seeds=2), dict(seeds=3), dict(seeds=5, items=500, gap=.05, seed_sd=.01)], ids=str)
def test_power_is_what_simulated_studies_have(size, monkeypatch):
    sys.path.insert(0, str(BENCHMARKS))
    from coverage_study import USUAL, draw_study
    design, rng, separated, changes, alike = USUAL | dict(items=250, gap=.06) | size, np.random.default_rng(2), 0, [], []
    for _ in range(400):
        zero, easy, hard, _, _ = draw_study(design, rng)
        gain = hard - zero
        separated += sgr(zero, easy, hard).regime == "ok"
        changes.append((gain**2).mean())
        alike.append(np.mean((gain - gain.mean())[:, 0] * (gain - gain.mean())[:, 1]) / gain.var())
    for name, value in [("DISCORDANT", np.mean(changes)), ("SAME_ITEM", np.mean(alike)), ("SAME_CLUSTER", 0.)]:
        monkeypatch.setattr("e2h.sgr." + name, value)  # those of the made-up answers: what is tested is the arithmetic
    planned = power(design["items"], design["gap"], design["seeds"], seed_sd=design["seed_sd"])
    assert separated / 400 == pytest.approx(planned.separated, abs=.075)
    again = power(int(planned.items_needed), design["gap"], design["seeds"], seed_sd=design["seed_sd"])
    assert again.separated == pytest.approx(.8, abs=.01)


@pytest.mark.parametrize("change", [dict(items=1), dict(gap=0), dict(gap=2), dict(seeds=0), dict(clusters=900),
                                    dict(tested=0)], ids=str)
def test_impossible_designs_are_named(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}={next(iter(change.values()))} is no number for a study"):
        power(**dict(items=700, gap=.1) | change)


def test_simulated_truth_is_what_was_asked():
    big = simulate_records(n_items=4_000, n_seeds=10, seed_sd=0, accuracies={"icl": (.57, .60)})
    zero, easy, hard = (np.nanmean(arm) for arm in arms_of(big))
    assert [zero, easy, hard] == pytest.approx([.45, .57, .60], abs=.02)


# --- bad input ------------------------------------------------------------------------------------

def test_arms_with_different_items_are_warned_of(world):
    gone = world["item_id"].isin(world.loc[world["level"] == "hard", "item_id"].unique()[:150])
    with pytest.warns(UserWarning, match="in common: their gains are over different items"):
        sgr_table(world[~(gone & (world["train_on"] == "hard"))])


def test_training_that_changes_nothing_has_no_interval(world):
    zero = world.query("method == 'zeroshot'").set_index("item_id")["correct"]
    same = world.query("method != 'placebo'").copy()
    same["correct"] = same["item_id"].map(zero)
    table = sgr_table(same)
    said, n = table.describe(), table["n_items"].iloc[0]
    assert "every answer as right or wrong as it was, so no ratio is given" in said and "[0.0, 0.0]" not in said
    unseen = stats.binomtest(0, int(n), alternative="less").proportion_ci(.95, method="exact").high
    assert f"a change in up to {100 * unseen:.1f} % of answers could go unseen here" in said
    blocks = sgr_table(same.assign(cluster=same["item_id"].str[-1])).describe()
    assert "leaves accuracy in every cluster as it was" in blocks and "% of clusters could go unseen" in blocks


@pytest.mark.parametrize("change, error, words", [
    (lambda r: r.drop(columns="correct"), KeyError, "column 'correct' is missing"),
    (lambda r: r.drop(columns="level"), KeyError, "column 'level' is missing"),
    (lambda r: r.assign(correct=1.5), ValueError, "correct of item 'item/0' is 1.5"),
    (lambda r: r.assign(level=r["level"].where(r["train_on"] != "hard", "easy")), ValueError, "has several levels"),
    (lambda r: r.replace({"train_on": {"easy": "eazy"}}), ValueError, "there are: .*icl on eazy"),
    (lambda r: r.assign(correct="yes"), ValueError, "correct of item 'item/0' is yes"),
    (lambda r: r.assign(correct=np.inf), ValueError, "correct of item 'item/0' is inf"),
    (lambda r: pd.concat([r, r]), ValueError, "item 'item/800' is answered twice with seed 0"),
    (lambda r: r.query("method != 'zeroshot'"), ValueError, "no zero-shot answers"),
    (lambda r: r.query("train_on != 'hard'"), ValueError, "nothing to compare"),
    (lambda r: r.query("level != 'hard'"), ValueError, "no answer to hard items; levels are easy, medium"),
    (lambda r: r.query("method == 'zeroshot'"), ValueError, "nothing to compare"),
])
def test_bad_records_are_named(world, change, error, words):
    with pytest.raises(error, match=words): sgr_table(change(world))


def test_bad_matrices_are_named(arms):
    zero, easy, hard = arms
    with pytest.raises(ValueError, match="easy: item 'item/.*', seed . is 2"):
        sgr(zero, easy.where(easy.isna(), 2), hard)
    with pytest.raises(ValueError, match="zero_shot: item 'item/.*' occurs twice"):
        sgr(pd.concat([zero, zero]), easy, hard)
    with pytest.raises(ValueError, match="do not line up"): sgr(np.zeros(3), np.zeros((4, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="do not line up"): sgr(zero, easy, hard.to_numpy())
    with pytest.raises(ValueError, match="no answer to the items of the other conditions"):
        sgr(zero, easy, hard.rename(index="other {}".format))
    with pytest.raises(KeyError, match="clusters: item .* has none"):
        sgr(zero, easy, hard, clusters=pd.Series({"item/0": "a"}))
    with pytest.raises(ValueError, match="clusters: 2 given for 3 items"): accuracy([1, 0, 1], clusters=[1, 2])
    with pytest.raises(ValueError, match="interval 'fieller' is not known"): sgr(zero, easy, hard, interval="fieller")
    with pytest.raises(ValueError, match="one item or cluster"): sgr([0.], [[1., 1.]], [[1., 1.]])
    with pytest.raises(ValueError, match="one item or cluster"): sgr(zero, easy, hard, clusters=pd.Series("a", zero.index))
    with pytest.raises(ValueError, match="easy: there are no answers"): sgr(zero, pd.DataFrame(), hard)
    with pytest.raises(ValueError, match="easy: no answer to the items"): sgr(zero, easy * NAN, hard)
    with pytest.raises(ValueError, match="weight: .* need as many numbers above 0"): sgr(zero, easy, hard, weight=[1., 2.])
    with pytest.raises(ValueError, match="bootstraps .* know no weights"):
        sgr(zero, easy, hard, interval="percentile", weight=pd.Series(1., zero.index))
    with pytest.raises(ValueError, match="no item was answered in both"):
        difference(pd.Series({"a": 1.}), pd.Series({"b": 1.}))


def test_import_is_light():
    code = ("import pandas, sys; before = set(sys.modules); import e2h.sgr, e2h.plots, e2h.report; "
            "heavy = {'torch', 'matplotlib', 'seaborn', 'scipy.stats', 'jinja2'} & (set(sys.modules) - before); "
            "assert not heavy, heavy")
    subprocess.run([sys.executable, "-c", code], check=True)
