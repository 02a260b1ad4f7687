"""Accuracy, differences and SGR: against exact enumeration, a plain loop, scipy, and by how they must change."""
import subprocess
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from e2h.sgr import (
    accuracy,
    accuracy_table,
    difference,
    format_sgr_table,
    resample_rows,
    resampled_differences,
    sgr,
    sgr_table,
    simulate_records,
    to_matrix,
    two_sided_p,
)

NAN = np.nan
ZERO, EASY, HARD = (np.array(rows, float) for rows in (
    [[0], [0], [1]], [[1, 0], [0, 0], [1, 1]], [[1, 1], [0, NAN], [1, 1]]))


def arms_of(records):
    "Zero-shot, easy and hard matrices of in-context learning on hard items."
    chosen = records.query("level == 'hard' and method in ('zeroshot', 'icl')")
    return [to_matrix(chosen[chosen["train_on"] == level]) for level in ("none", "easy", "hard")]


def every_resample(zero, easy, hard):
    "Gap of easy and gap of hard in all equally likely two-way resamples: the definition, written as a loop."
    rows = list(product(range(len(zero)), repeat=len(zero)))
    columns = [list(product(range(arm.shape[1]), repeat=arm.shape[1])) for arm in (zero, easy, hard)]
    for row, *drawn in product(rows, *columns):
        u, e, h = (arm[np.ix_(row, column)] for arm, column in zip((zero, easy, hard), drawn))
        yield [cell_mean(e, u), cell_mean(h, u)]


def cell_mean(condition, floor):
    "Sum and number of the paired differences that are there."
    pairs = condition[:, :, None] - floor[:, None, :]
    return np.nansum(pairs), np.sum(~np.isnan(pairs))


@pytest.fixture(scope="module")
def world(): return simulate_records(n_items=400)


@pytest.fixture(scope="module")
def arms(world): return arms_of(world)


# --- against exact enumeration, a loop, theory and scipy ------------------------------------------

@pytest.mark.parametrize("zero", [ZERO, np.array([[0., 1.], [0., 0.], [1., 1.]])], ids=["one floor seed", "two"])
def test_bootstrap_has_the_exact_distribution_on_a_3x2_grid(zero):
    exact = np.array(list(every_resample(zero, EASY, HARD)), float).reshape(-1, 4)
    drawn = resampled_differences(zero, [EASY, HARD], n_boot=200_000)
    draws = np.column_stack([part for pair in drawn for part in pair])
    frequencies = [pd.Series(list(map(tuple, values))).value_counts(normalize=True)
                   for values in (exact, draws)]
    table = pd.concat(frequencies, axis=1).fillna(0).to_numpy()
    assert len(frequencies[0]) >= len(frequencies[1])
    assert np.abs(table[:, 0] - table[:, 1]).max() < .003


def test_sgr_is_read_off_the_exact_distribution():
    exact = np.array(list(every_resample(ZERO, EASY, HARD)), float).reshape(-1, 4)
    some = (exact[:, 1] > 0) & (exact[:, 3] > 0)
    finite = some & (exact[:, 2] != 0)
    ratios = exact[finite, 0] * exact[finite, 3] / (exact[finite, 2] * exact[finite, 1])
    result = sgr(ZERO, EASY, HARD, n_boot=200_000)
    assert [result.low, result.high] == pytest.approx(np.quantile(ratios, [.025, .975]))
    assert result.n_zero / 200_000 == pytest.approx((some & (exact[:, 2] == 0)).mean(), abs=.003)
    gaps = exact[some, 2] / exact[some, 3]
    assert [result.gap.low, result.gap.high] == pytest.approx(np.quantile(gaps, [.025, .975]))
    p_value = (np.abs(gaps - gaps.mean()) >= abs(gaps.mean()) - 1e-12).mean()
    assert result.gap.p == pytest.approx(p_value, abs=.02)


def test_points_are_the_plain_means_where_nothing_is_missing():
    rng = np.random.default_rng(0)
    zero, easy, hard = (rng.integers(0, 2, (40, n)).astype(float) for n in (1, 4, 5))
    result = sgr(zero, easy, hard, n_boot=200)
    assert result.point == pytest.approx((easy.mean() - zero.mean()) / (hard.mean() - zero.mean()))
    assert (result.zero_shot, result.easy, result.hard) == pytest.approx((zero.mean(), easy.mean(), hard.mean()))
    assert difference(hard, easy, n_boot=200).point == pytest.approx(hard.mean() - easy.mean())
    assert (result.n_items, result.n_seeds) == (40, 4)


def test_same_distribution_as_a_loop_over_resamples():
    rng = np.random.default_rng(1)
    zero, easy, hard = (np.where(rng.random((30, n)) < .3, NAN, rng.random((30, n)) < mean).astype(float)
                        for n, mean in ((1, .3), (3, .6), (3, .7)))
    zero = (rng.random((30, 1)) < .3).astype(float)
    fast = [total / cells for total, cells in resampled_differences(zero, [easy, hard], n_boot=4_000)]
    slow = []
    for _ in range(2_000):
        row = rng.integers(30, size=30)
        slow.append([np.divide(*cell_mean(arm[np.ix_(row, rng.integers(3, size=3))], zero[row]))
                     for arm in (easy, hard)])
    for ours, theirs in zip(fast, np.transpose(slow)):
        assert stats.ks_2samp(ours, theirs).pvalue > .01


def test_one_seed_agrees_with_scipy():
    rng = np.random.default_rng(2)
    answers = (rng.random(200) < .7).astype(float)
    theirs = stats.bootstrap((answers,), np.mean, method="percentile", n_resamples=20_000, rng=rng).confidence_interval
    ours = accuracy(answers, n_boot=20_000)
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=.006)
    before = (rng.random(200) < .5).astype(float)
    theirs = stats.bootstrap((answers, before), lambda a, b, axis: (a - b).mean(axis=axis), paired=True,
                             method="percentile", n_resamples=20_000, rng=rng).confidence_interval
    ours = difference(answers, before, n_boot=20_000)
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=.006)
    test = stats.ttest_rel(answers, before)
    assert ours.p == pytest.approx(test.pvalue, abs=.01)


def test_p_of_a_normal_mean():
    draws = np.random.default_rng(0).normal(1.5, 1, 200_000)
    assert two_sided_p(draws) == pytest.approx(2 * stats.norm.sf(1.5), abs=.004)


# --- how results must change ----------------------------------------------------------------------

def shuffled(matrix, rng): return matrix.iloc[rng.permutation(len(matrix)), rng.permutation(matrix.shape[1])]


def test_order_of_items_and_seeds_does_not_matter(arms):
    rng = np.random.default_rng(0)
    one, two = sgr(*arms, n_boot=20_000), sgr(*(shuffled(arm, rng) for arm in arms), n_boot=20_000)
    assert one.point == two.point and one.gap.point == two.gap.point
    assert [one.gap.low, one.gap.high] == pytest.approx([two.gap.low, two.gap.high], abs=.006)


def test_frames_are_joined_on_item_id(arms):
    zero, easy, hard = arms
    aligned = [arm.reindex(zero.index) for arm in arms]
    assert sgr(*arms, n_boot=500) == sgr(zero, easy, hard.iloc[::-1], n_boot=500)
    assert sgr(*arms, n_boot=500) == sgr(*(arm.to_numpy() for arm in aligned), n_boot=500)


def test_more_items_of_zero_shot_change_nothing(arms):
    zero, easy, hard = arms
    extra = pd.DataFrame({0: np.ones(50)}, index=[f"extra/{n}" for n in range(50)])
    before, after = sgr(zero, easy, hard, n_boot=500), sgr(pd.concat([zero, extra]), easy, hard, n_boot=500)
    assert after.n_dropped == before.n_dropped + 50
    for name in ("point", "low", "high", "zero_shot", "gap"):
        assert getattr(after, name) == getattr(before, name)


def test_swapping_easy_and_hard_inverts_the_point(arms):
    zero, easy, hard = arms
    assert sgr(zero, hard, easy, n_boot=200).point == pytest.approx(1 / sgr(zero, easy, hard, n_boot=200).point)


def test_counting_wrong_answers_instead_of_right_ones_keeps_sgr(arms):
    result, mirrored = sgr(*arms, n_boot=500), sgr(*(1 - arm for arm in arms), n_boot=500)
    assert (mirrored.point, mirrored.low, mirrored.high) == (result.point, result.low, result.high)
    assert (mirrored.gap.low, mirrored.gap.high) == pytest.approx((-result.gap.high, -result.gap.low))
    assert (result.regime, mirrored.regime) == ("ok", "reversed")


def test_every_item_twice_narrows_the_interval_by_the_root_of_two():
    answers = (np.random.default_rng(0).random(150) < .6).astype(float)
    once, twice = accuracy(answers, n_boot=20_000), accuracy(np.tile(answers, 2), n_boot=20_000)
    assert once.point == pytest.approx(twice.point)
    assert (once.high - once.low) / (twice.high - twice.low) == pytest.approx(np.sqrt(2), rel=.06)


def test_a_seed_of_the_generator_gives_one_result_whatever_the_block(arms):
    assert sgr(*arms, n_boot=500, seed=3) == sgr(*arms, n_boot=500, seed=3)
    assert sgr(*arms, n_boot=500, seed=3).low != sgr(*arms, n_boot=500, seed=4).low
    sums = np.arange(12.).reshape(6, 2)
    blocks = [resample_rows(sums, 300, np.random.default_rng(0), block=block) for block in (1, 50, 7_777)]
    assert (blocks[0] == blocks[1]).all() and (blocks[0] == blocks[2]).all()


# --- invariants of the ratio ----------------------------------------------------------------------

@given(seed=st.integers(0, 10_000), holes=st.floats(0, .5))
@settings(max_examples=25, deadline=None)
def test_known_ratios(seed, holes):
    rng = np.random.default_rng(seed)
    zero, hard = (rng.random((25, 1)) < .4).astype(float), (rng.random((25, 3)) < .8).astype(float)
    hard[rng.random(hard.shape) < holes] = NAN
    assume(not np.isnan(hard).all(axis=0).any() and np.nansum(hard - zero) != 0)
    assert sgr(zero, hard, hard, n_boot=20).point == 1
    assert sgr(zero, np.where(np.isnan(hard), NAN, zero), hard, n_boot=20).point == 0
    nothing = sgr(zero, hard, np.where(np.isnan(hard), NAN, zero), n_boot=20)
    assert np.isnan(nothing.point) and nothing.regime == "gap not separated" and nothing.n_zero == 20
    assert (nothing.low, nothing.high, nothing.kind) == (-np.inf, np.inf, "unbounded")


def test_constant_conditions_have_intervals_without_width():
    zero, easy, hard = np.zeros((30, 1)), np.ones((30, 2)), np.ones((30, 3))
    result = sgr(zero, easy, hard, n_boot=200)
    assert (result.point, result.low, result.high, result.n_zero, result.regime) == (1, 1, 1, 0, "ok")
    assert (result.gap.low, result.gap.high, result.p_one) == (1, 1, 1) and result.p_zero == pytest.approx(1 / 201)


def test_zero_denominators_are_exact_with_many_holes():
    rng = np.random.default_rng(0)
    zero, hard = (rng.random((7, 1)) < .5).astype(float), (rng.random((7, 3)) < .5).astype(float)
    hard[rng.random(hard.shape) < .3] = NAN
    [(total, cells)] = resampled_differences(zero, [hard], n_boot=20_000)
    assert (total == np.round(total)).all() and (cells == np.round(cells)).all()
    assert sgr(zero, hard, hard, n_boot=20_000).n_zero > 1_000
    assert np.abs(total[total != 0]).min() == 1


def test_without_a_gap_the_regime_says_so():
    flat = arms_of(simulate_records(n_items=200, accuracies={"icl": (.45, .45)}))
    assert sgr(*flat, n_boot=2_000).regime == "gap not separated"


# --- clusters -------------------------------------------------------------------------------------

def test_items_as_their_own_clusters_change_nothing(arms):
    own = pd.Series(arms[0].index, index=arms[0].index)
    assert sgr(*arms, n_boot=300) == sgr(*arms, clusters=own, n_boot=300)


def test_clusters_that_agree_inside_widen_the_interval():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 8)
    alike = np.repeat((rng.random(30) < .6).astype(float), 8)
    by_item, by_cluster = accuracy(alike, n_boot=5_000), accuracy(alike, clusters=groups, n_boot=5_000)
    assert (by_cluster.high - by_cluster.low) / (by_item.high - by_item.low) == pytest.approx(np.sqrt(8), rel=.15)
    one_each = accuracy(alike[::8], n_boot=5_000)
    assert (by_cluster.high - by_cluster.low) == pytest.approx(one_each.high - one_each.low, rel=.1)


def test_tables_take_clusters_from_the_records(world):
    grouped = world.assign(cluster=world["item_id"].str[-1])
    narrow, wide = (sgr_table(records, n_boot=1_000) for records in (world, grouped))
    assert (narrow["sgr"] == wide["sgr"]).all() and (narrow["gap_low"] != wide["gap_low"]).all()


# --- tables ---------------------------------------------------------------------------------------

def test_table_has_the_columns_of_the_design(world):
    table = sgr_table(world, n_boot=500)
    assert table.columns.tolist() == (
        "dataset model quant dtype format method settings n_train noise n_items n_clusters n_seeds zero_shot easy hard gap "
        "gap_low gap_high placebo_share "
        "over_placebo over_placebo_low over_placebo_high p_placebo sgr low high kind p_zero p_one regime").split()
    assert table["method"].tolist() == ["icl", "probe"] and table["placebo_share"].notna().tolist() == [True, False]
    assert table["regime"].eq("ok").all()
    assert table["gap"].to_numpy() == pytest.approx((table["hard"] - table["zero_shot"]).to_numpy())
    assert ((table["easy"] - table["zero_shot"]) / table["gap"]).to_numpy() == pytest.approx(table["sgr"].to_numpy())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_table_of_a_file_is_the_table_of_the_frame(world, tmp_path, ending):
    path = tmp_path / f"records.{ending}"
    getattr(world, f"to_{ending}")(path, index=False)
    pd.testing.assert_frame_equal(sgr_table(path, n_boot=300), sgr_table(world, n_boot=300))


def test_levels_may_be_categorical(world):
    levels = pd.Categorical(world["level"], ["easy", "medium", "hard"], ordered=True)
    pd.testing.assert_frame_equal(sgr_table(world.assign(level=levels), n_boot=100), sgr_table(world, n_boot=100))
    assert len(accuracy_table(world.assign(level=levels), n_boot=10)) == 28


def test_zero_shot_is_that_of_the_same_quantisation(world):
    other = world.query("method in ('zeroshot', 'icl')").assign(quant="nf4")
    other.loc[other["method"] == "zeroshot", "correct"] = 0
    table = sgr_table(pd.concat([world, other]), n_boot=100).set_index("quant")
    assert table.loc["nf4", "zero_shot"] == 0 and (table.loc["none", "zero_shot"] > .3).all()
    alone = pd.concat([world, world.query("method == 'icl'").assign(quant="int8")])
    with pytest.raises(ValueError, match="no zero-shot answers.*'quant': 'int8'"): sgr_table(alone, n_boot=100)


def test_placebo_twin_has_the_same_settings_but_for_the_labels(world):
    assert 0 < sgr_table(world, n_boot=100)["placebo_share"][0] < .5
    other_k = world.assign(settings=world["settings"].str.replace('{"k": 10, "labels": "random"}',
                                                                  '{"k": 5, "labels": "random"}', regex=False))
    assert np.isnan(sgr_table(other_k, n_boot=100)["placebo_share"][0])


def test_gap_not_separated_gives_words_and_no_number():
    flat = simulate_records(n_items=100, accuracies={"icl": (.45, .45), "placebo": (.45, .45)})
    table = sgr_table(flat, n_boot=1_000)
    assert table["regime"][0] == "gap not separated"
    assert table[["sgr", "low", "high", "placebo_share"]].isna().all(axis=None)
    text = format_sgr_table(table)
    assert text["SGR [95 %]"][0] == "gap not separated" and text["placebo share"][0] == ""
    assert np.isfinite(table["gap"][0]) and table["p_one"].notna().all()


def test_tables_do_not_depend_on_the_order_of_the_records(world):
    mixed = world.sample(frac=1, random_state=0)
    table, same = sgr_table(world, n_boot=2_000), sgr_table(mixed, n_boot=2_000)
    assert table["method"].tolist() == same["method"].tolist() == ["icl", "probe"]
    pd.testing.assert_frame_equal(table, same)
    names = accuracy_table(mixed, n_boot=10).query("test == 'hard'")[["method", "train_on"]].agg(" ".join, axis=1)
    assert names.tolist() == ["zeroshot none", "icl easy", "icl hard", "placebo easy", "placebo hard",
                              "probe easy", "probe hard"]


def test_a_method_without_an_easy_arm_is_left_out_and_named(world):
    half = world.query("not (method == 'probe' and train_on == 'easy')")
    table = sgr_table(half, n_boot=100)
    assert table["method"].tolist() == ["icl"] and table.attrs["skipped"][0]["method"] == "probe"


def test_format_is_printable(world):
    text = format_sgr_table(sgr_table(pd.concat([world, world.assign(model="another")]), n_boot=100))
    assert text.columns[0] == "model" and text["method"][0] == "ICL (n = 10)"
    assert text.map(lambda value: isinstance(value, str)).all(axis=None)
    assert all(len(line) < 200 for line in text.to_string(index=False).splitlines())


def test_accuracy_table_counts_and_averages(world):
    table = accuracy_table(world, n_boot=200)
    row = table.query("method == 'icl' and train_on == 'easy' and test == 'hard'").iloc[0]
    chosen = world.query("method == 'icl' and train_on == 'easy' and level == 'hard'")
    assert row["accuracy"] == pytest.approx(chosen["correct"].mean())
    assert (row["n_items"], row["n_seeds"]) == (chosen["item_id"].nunique(), 5)
    assert table["low"].le(table["accuracy"]).all() and table["high"].ge(table["accuracy"]).all()


def test_simulated_truth_is_what_was_asked():
    big = simulate_records(n_items=4_000, n_seeds=10, seed_sd=0, accuracies={"icl": (.57, .60)})
    zero, easy, hard = (np.nanmean(arm) for arm in arms_of(big))
    assert [zero, easy, hard] == pytest.approx([.45, .57, .60], abs=.02)


# --- bad input ------------------------------------------------------------------------------------

@pytest.mark.parametrize("change, error, words", [
    (lambda r: r.drop(columns="correct"), KeyError, "column 'correct' is missing"),
    (lambda r: r.drop(columns="level"), KeyError, "column 'level' is missing"),
    (lambda r: r.assign(correct=.5), ValueError, "correct of item 'item/0' is 0.5"),
    (lambda r: pd.concat([r, r]), ValueError, "item 'item/800' is answered twice with seed 0"),
    (lambda r: r.query("method != 'zeroshot'"), ValueError, "no zero-shot answers"),
    (lambda r: r.query("train_on != 'hard'"), ValueError, "nothing to compare"),
    (lambda r: r.query("level != 'hard'"), ValueError, "nothing to compare"),
    (lambda r: r.query("method == 'zeroshot'"), ValueError, "nothing to compare"),
])
def test_bad_records_are_named(world, change, error, words):
    with pytest.raises(error, match=words): sgr_table(change(world), n_boot=50)


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
    with pytest.raises(ValueError, match="no item was answered in both"):
        difference(pd.Series({"a": 1.}), pd.Series({"b": 1.}))


def test_import_is_light():
    code = ("import pandas, sys; before = set(sys.modules); import e2h.sgr, e2h.plots, e2h.report; "
            "heavy = {'torch', 'matplotlib', 'seaborn', 'scipy.stats', 'jinja2'} & (set(sys.modules) - before); "
            "assert not heavy, heavy")
    subprocess.run([sys.executable, "-c", code], check=True)
