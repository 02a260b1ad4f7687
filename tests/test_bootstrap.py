"""The two-way bootstrap: against exact enumeration, plain loops with fixed and with random indices, and scipy."""
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from e2h.bootstrap import (
    draw_counts,
    paired_cells,
    percentile_interval,
    published_interval,
    resample_rows,
    resampled_differences,
    resampled_ratios,
    two_sided_p,
    weigh_columns,
)
from e2h.sgr import sgr

NAN = np.nan
ZERO, EASY, HARD = (np.array(rows, float) for rows in (
    [[0], [0], [1]], [[1, 0], [0, 0], [1, 1]], [[1, 1], [0, NAN], [1, 1]]))


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


def test_percentile_sgr_is_read_off_the_exact_distribution():
    exact = np.array(list(every_resample(ZERO, EASY, HARD)), float).reshape(-1, 4)
    some = (exact[:, 1] > 0) & (exact[:, 3] > 0)
    finite = some & (exact[:, 2] != 0)
    ratios = exact[finite, 0] * exact[finite, 3] / (exact[finite, 2] * exact[finite, 1])
    result = sgr(ZERO, EASY, HARD, interval="percentile", n_boot=200_000)
    assert [result.low, result.high] == pytest.approx(np.quantile(ratios, [.025, .975]))
    assert result.n_zero / 200_000 == pytest.approx((some & (exact[:, 2] == 0)).mean(), abs=.003)
    printed = sgr(ZERO, EASY, HARD, interval="published", n_boot=200_000)
    half = np.diff(np.quantile(ratios, [.025, .975]))[0] / 2
    assert [printed.low, printed.high] == pytest.approx([ratios.mean() - half, ratios.mean() + half], abs=.01)


def test_four_items_with_ties_and_a_count_of_zero_gaps_known_by_hand():
    """Hard gains +1, -1, 0, 0 on four items, one seed: a resample has no gap if it draws the first two equally often.

    Of 256 draws of four items, none of the two: 2^4 = 16; once each: 4 * 3 * 2^2 = 48; twice each: 6. Together 70.
    """
    zero, hard = np.array([[0.], [1.], [1.], [0.]]), np.array([[1.], [0.], [1.], [0.]])
    result = sgr(zero, np.ones((4, 1)), hard, interval="percentile", n_boot=100_000)
    assert result.n_zero / 100_000 == pytest.approx(70 / 256, abs=.006)


def test_fixed_indices_give_what_the_original_computes():
    "The original's function written as its loop, on given rows and columns, against sums over counts."
    rng = np.random.default_rng(5)
    zero = (rng.random((40, 1)) < .4).astype(float)
    easy, hard = (np.where(rng.random((40, 4)) < .3, NAN, rng.random((40, 4)) < p).astype(float) for p in (.5, .6))
    rows = rng.integers(40, size=(200, 40))
    columns = [rng.integers(4, size=(200, 4)) for _ in range(2)]
    loop = []
    for row, easy_columns, hard_columns in zip(rows, *columns, strict=True):
        gains = [arm[np.ix_(row, drawn)] - zero[row] for arm, drawn in ((easy, easy_columns), (hard, hard_columns))]
        loop.append(np.nanmean(gains[0]) / np.nanmean(gains[1]))
    blocks = [paired_cells(arm, zero) for arm in (easy, hard)]
    counts = draw_counts(rows, 40)
    parts = [tuple(counts @ block for block in pair) for pair in blocks]
    pairs = weigh_columns(parts, [draw_counts(drawn, 4) for drawn in columns], np.ones((200, 1), int))
    ratios, _ = resampled_ratios(*pairs)
    assert ratios == pytest.approx(np.array(loop))
    low, high = np.quantile(loop, [.025, .975])
    assert percentile_interval(ratios) == pytest.approx((low, high))
    error = np.mean(np.abs(np.array([low, high]) - np.mean(loop)))  # the original's error bar
    assert (published_interval(ratios)[1] - published_interval(ratios)[0]) / 2 == pytest.approx(error)


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
    after, before = (rng.random(200) < .7).astype(float), (rng.random(200) < .5).astype(float)
    theirs = stats.bootstrap((after, before), lambda a, b, axis: (a - b).mean(axis=axis), paired=True,
                             method="percentile", n_resamples=20_000, rng=rng).confidence_interval
    [(total, cells)] = resampled_differences(before[:, None], [after[:, None]], n_boot=20_000)
    assert percentile_interval(total / cells) == pytest.approx([theirs.low, theirs.high], abs=.006)
    assert two_sided_p(total / cells) == pytest.approx(stats.ttest_rel(after, before).pvalue, abs=.01)


def test_p_of_a_normal_mean():
    draws = np.random.default_rng(0).normal(1.5, 1, 200_000)
    assert two_sided_p(draws) == pytest.approx(2 * stats.norm.sf(1.5), abs=.004)


def test_zero_denominators_are_exact_with_many_holes():
    rng = np.random.default_rng(0)
    zero, hard = (rng.random((7, 1)) < .5).astype(float), (rng.random((7, 3)) < .5).astype(float)
    hard[rng.random(hard.shape) < .3] = NAN
    [(total, cells)] = resampled_differences(zero, [hard], n_boot=20_000)
    assert (total == np.round(total)).all() and (cells == np.round(cells)).all()
    assert sgr(zero, hard, hard, interval="percentile", n_boot=20_000).n_zero > 1_000
    assert np.abs(total[total != 0]).min() == 1


def test_draws_do_not_depend_on_blocks_or_on_other_conditions():
    sums = np.arange(12.).reshape(6, 2)
    blocks = [np.vstack(list(resample_rows(sums, 300, np.random.default_rng(0), block=block))) for block in (1, 50, 7_777)]
    assert (blocks[0] == blocks[1]).all() and (blocks[0] == blocks[2]).all()
    alone, beside = (resampled_differences(ZERO, arms, n_boot=50) for arms in ([EASY], [EASY, HARD]))
    assert (alone[0][0] == beside[0][0]).all() and (alone[0][1] == beside[0][1]).all()


def test_fractions_and_sums_too_large_for_single_precision_are_exact():
    rng = np.random.default_rng(0)
    for data in (rng.random((50, 3)), np.full((50, 3), 2.**20)):
        [sums] = resample_rows(data, 20, np.random.default_rng(7))
        again = draw_counts(np.random.default_rng(7).integers(50, size=(20, 50), dtype=np.int32), 50) @ data
        assert sums.dtype == float and (sums == again).all()


def test_no_resamples_are_an_error():
    with pytest.raises(ValueError, match="n_boot=0; give the number of resamples"):
        sgr(ZERO, EASY, HARD, interval="percentile", n_boot=0)
