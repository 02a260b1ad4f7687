"""Splits are disjoint in items and clusters, nested, common to all arms of a seed, and a matter of the seed alone."""
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2h.data import load_items
from e2h.hardness import LEVELS, item_levels
from e2h.splits import draw_split

ARMS = [*LEVELS, "all"]


def random_items(seed, n_items=900, n_clusters=120, no_level=0.1):
    "Items with clusters of many sizes and levels at random, some without a level."
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n_clusters, 1.5))
    frame = pd.DataFrame({
        "item_id": [f"q{row}" for row in range(n_items)],
        "cluster": [f"c{number}" for number in rng.choice(n_clusters, n_items, p=weights)],
    })
    level = rng.choice([*LEVELS, None], n_items, p=[*(3 * [(1 - no_level) / 3]), no_level])
    return frame, pd.Series(pd.Categorical(level, LEVELS, ordered=True))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(ARMS), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_sides_are_disjoint_and_draws_nested(data_seed, seed, train_on, n_train):
    items, level = random_items(data_seed)
    split = draw_split(items, level, train_on, n_train, n_test=60, seed=seed)
    cluster = items.set_index("item_id")["cluster"]
    level_of = pd.Series(level.to_numpy(), index=items["item_id"])
    assert set(split.train_ids).isdisjoint(split.test_ids)
    assert set(cluster[split.train_ids]).isdisjoint(cluster[split.test_ids])
    assert len(set(split.train_ids)) == n_train == len(split.train_ids)
    assert train_on == "all" or set(level_of[split.train_ids]) == {train_on}
    assert level_of[split.train_ids + split.test_ids].notna().all()
    assert level_of[split.test_ids].value_counts().to_dict() == {name: 60 for name in LEVELS}
    fewer = draw_split(items, level, train_on, max(1, n_train // 3), n_test=60, seed=seed)
    assert fewer.train_ids == split.train_ids[: max(1, n_train // 3)] and fewer.test_ids == split.test_ids


@given(st.integers(0, 10**6), st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_only_seed_and_items_matter(data_seed, seed):
    items, level = random_items(data_seed)
    splits = [draw_split(items, level, arm, 10, n_test=50, seed=seed) for arm in ARMS]
    assert all(split.test_ids == splits[0].test_ids for split in splits)
    order = np.random.default_rng(seed).permutation(len(items))
    np.random.seed(data_seed % 1000)  # the global generator has no say
    again = draw_split(items.iloc[order], level.iloc[order], "hard", 10, n_test=50, seed=seed)
    assert again == splits[2]
    assert draw_split(items, level, "hard", 10, n_test=50, seed=seed + 1) != splits[2]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("measure", ["fame", "hops"])
def test_worldquiz_leaves_enough_to_train_on(measure, seed):
    items = load_items("worldquiz")
    level = item_levels(items, measure)
    split = draw_split(items, level, "hard", 160, seed=seed)
    level_of = pd.Series(level.to_numpy(), index=items["item_id"])
    tested = level_of[split.test_ids].value_counts()
    assert (tested == (level.value_counts() // 2).clip(upper=600)[tested.index]).all()
    cluster = items.set_index("item_id")["cluster"]
    assert set(cluster[split.train_ids]).isdisjoint(cluster[split.test_ids])


def test_five_seeds_test_500_hard_cities_of_worldquiz():
    items = load_items("worldquiz")
    level = item_levels(items, "fame")
    tested = set().union(*(draw_split(items, level, "easy", 160, seed=seed).test_ids for seed in range(5)))
    hard = set(items["item_id"][level == "hard"])
    assert len(tested & hard) >= min(500, 0.9 * len(hard))


def test_at_most_600_of_a_level_are_tested_by_default():
    n = 3 * 2000
    ids = [f"q{row}" for row in range(n)]
    items = pd.DataFrame({"item_id": ids, "cluster": ids})
    split = draw_split(items, LEVELS * 2000, "easy", 160)
    assert len(split.test_ids) == 3 * 600


def test_two_levels_are_enough():
    ids = [f"q{row}" for row in range(400)]
    items = pd.DataFrame({"item_id": ids, "cluster": ids})
    split = draw_split(items, ["easy", "hard"] * 200, "hard", 80)
    assert len(split.test_ids) == 200 and len(split.train_ids) == 80


def test_the_originals_way():
    items, level = random_items(1)
    easy = draw_split(items, level, "easy", 100, seed=3, original=True)
    hard = draw_split(items, level, "hard", 100, seed=3, original=True)
    assert len(easy.train_ids) + len(easy.test_ids) == level.notna().sum()
    assert set(easy.train_ids).isdisjoint(easy.test_ids) and easy.test_ids != hard.test_ids
    assert draw_split(items, level, "easy", 40, seed=3, original=True).train_ids == easy.train_ids[:40]
    some = draw_split(items, level, "easy", 100, n_test=50, seed=3, original=True)
    assert some.train_ids == easy.train_ids and len(some.test_ids) == 150
    assert set(some.test_ids) <= set(easy.test_ids)


def test_a_level_too_small():
    items, level = random_items(2, no_level=0)
    n_hard = (level == "hard").sum()
    room = n_hard - 50
    said = f"level 'hard' holds {n_hard} items: .* leaves {room} to train on .*, not 290; give n_train={room} or f"
    with pytest.raises(ValueError, match=said):
        draw_split(items, level, "hard", 290, original=True)


def test_a_level_that_the_fold_leaves_too_little_of():
    items, level = random_items(2, no_level=0)
    with pytest.raises(ValueError, match="level 'hard' holds .* leaves .*, not 200; give n_train=") as error:
        draw_split(items, level, "hard", 200)
    most = int(str(error.value).split("give n_train=")[1].split()[0])
    assert len(draw_split(items, level, "hard", most).train_ids) == most


def test_an_absent_level():
    ids = [f"q{row}" for row in range(400)]
    items = pd.DataFrame({"item_id": ids, "cluster": ids})
    with pytest.raises(ValueError, match="no item is 'medium'; give other cut-offs"):
        draw_split(items, ["easy", "hard"] * 200, "medium", 10)
    with pytest.raises(ValueError, match="no item has a level; give other cut-offs"):
        draw_split(items, [None] * 400, "all", 10)


def test_an_unknown_level():
    items, level = random_items(2)
    with pytest.raises(KeyError, match="no level 'simple' to train on; give one of .*'easy', 'medium', 'hard', 'all'"):
        draw_split(items, level, "simple", 10)


@pytest.mark.parametrize("numbers", [{"n_train": 0}, {"n_train": -3}, {"n_train": 10, "n_test": 0}])
def test_numbers_below_one(numbers):
    items, level = random_items(2)
    with pytest.raises(ValueError, match="give 1 or more"):
        draw_split(items, level, "hard", **numbers)


def test_levels_of_other_items():
    items, level = random_items(2)
    with pytest.raises(ValueError, match="900 items but 899 levels; give one level per item"):
        draw_split(items, level.iloc[1:], "hard", 10)


def test_seeds_that_share_most_training_items_are_a_warning():
    ids = [f"q{row}" for row in range(600)]
    items, level = pd.DataFrame({"item_id": ids, "cluster": ids}), LEVELS * 200
    with pytest.warns(UserWarning, match="level 'easy' holds 200 items, fewer than 1.5 times n_train=140"):
        draw_split(items, level, "easy", 140, n_test=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_split(items, level, "easy", 130, n_test=50)
