"""Levels are a partition by value; measures come from columns or from the text."""
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from e2h.data import check_items, from_frame, load_items
from e2h.hardness import CUTOFFS, LEVELS, hardness_measures, item_levels, levels, measure

numbers = st.one_of(st.integers(0, 6).map(float), st.floats(-1e6, 1e6), st.just(float("nan")))


def tiny():
    return check_items(pd.DataFrame({
        "item_id": ["a", "b", "c"],
        "question": ["Is it far from here?", "Why?", "Who was it?"],
        "choices": [["yes", "no"], ["no idea", "it is"], ["me", "you"]],
        "answer": [0, 1, 1],
        "grade": [3, 5, 8],
    }))


@given(st.lists(numbers, min_size=1, max_size=60))
def test_levels_follow_values_or_refuse(values):
    try:
        cut = levels(values)
    except ValueError as error:
        known = pd.Series(values).dropna()
        too_few = known.nunique() < 2
        assert too_few or np.quantile(known, 0.3) == np.quantile(known, 0.7)
        assert "give" in str(error) or "choose" in str(error)
        return
    frame = pd.DataFrame({"value": values, "level": cut})
    assert (frame["value"].isna() == frame["level"].isna()).all()
    known = frame.dropna().sort_values("value")
    assert known["level"].cat.codes.is_monotonic_increasing
    assert (known.groupby("value")["level"].nunique() == 1).all()  # ties stay together
    assert {"easy", "hard"} <= set(known["level"])
    assert (known["level"] == "easy").mean() >= 0.3 - 1 / len(known)
    assert (known["level"] == "hard").mean() >= 0.3 - 1 / len(known)


@given(st.lists(numbers, min_size=1, max_size=40), st.floats(-10, 10), st.floats(-10, 10))
def test_given_cut_offs_are_obeyed(values, easy_max, hard_min):
    assume(easy_max < hard_min and not np.isnan(values).all())
    cut = levels(values, easy_max, hard_min)
    for value, level in zip(values, cut, strict=True):
        if np.isnan(value):
            assert pd.isna(level)
        else:
            assert (level == "easy") == (value <= easy_max) and (level == "hard") == (value >= hard_min)


@given(st.permutations([1, 1, 2, 3, 5, 8, 13, 21, 34, 55]))
def test_levels_do_not_depend_on_order_or_index(values):
    index = [f"q{value}" for value in range(len(values))]
    cut = levels(pd.Series(values, index=index))
    assert cut.index.tolist() == index and cut.cat.ordered and cut.cat.categories.tolist() == LEVELS
    by_value = dict(zip(values, cut, strict=True))
    assert [by_value[value] for value in (1, 2, 3, 8, 21, 55)] == ["easy", "easy", "medium", "medium", "hard", "hard"]


def test_three_values_are_the_levels_however_many_each_has():
    cut = levels([1, 2, 2, 2, 2, 2, 3, None])
    assert cut.tolist()[:7] == ["easy", *["medium"] * 5, "hard"] and cut.isna().sum() == 1
    assert levels([1, 1, 1, 1, 5]).tolist() == ["easy"] * 4 + ["hard"]
    assert levels([1, 2, 3] * 5).tolist() == LEVELS * 5


@pytest.mark.parametrize("values, cuts, said", [
    ([4, 4, 4, None], {}, "too few distinct hardness values: all 3 are 4;"),
    ([4], {"easy_max": 4}, "too few distinct hardness values"),
    ([None, None], {}, "all 2 hardness values are missing"),
    ([], {}, "missing"),
    ([0, 1, *[2] * 9, 3, 4], {}, "easy_max=2 is not below hard_min=2.*choose another measure"),
    ([1, 2, 3], {"easy_max": 2, "hard_min": 2}, "one item would be in two levels"),
    ([1, 2, 3], {"easy_max": 3}, "easy_max=3 is not below hard_min"),
])
def test_values_that_cannot_be_cut(values, cuts, said):
    with pytest.raises(ValueError, match=said):
        levels(pd.Series(values, dtype=float), **cuts)


def test_one_level_alone_is_fine_with_given_cut_offs():
    assert levels([8, 8, 8], easy_max=5, hard_min=8).tolist() == ["hard"] * 3


def test_percentiles_are_those_of_the_paper():
    values = pd.Series([*range(1, 101)])
    counts = levels(values).value_counts()
    assert counts.to_dict() == {"easy": 30, "medium": 40, "hard": 30}


def test_measures_of_columns_and_text():
    items = tiny()
    assert hardness_measures(items) == ["grade", "question_words", "answer_chars", "answer_words"]
    assert measure(items, "grade").tolist() == [3, 5, 8]
    assert measure(items, "question_words").tolist() == [5, 1, 3]
    assert measure(items, "answer_chars").tolist() == [3, 5, 3]
    assert measure(items, "answer_words").tolist() == [1, 2, 1]
    assert measure(items.assign(question_words=[9, 9, 8]), "question_words").tolist() == [9, 9, 8]
    reasoned = items.assign(rationale=["one two", None, ""])
    assert measure(reasoned, "reasoning_words").fillna(-1).tolist() == [2, -1, 0]


@pytest.mark.parametrize("name", ["bloom", "answer", "question", "reasoning_words"])
def test_an_unknown_measure_lists_what_exists(name):
    with pytest.raises(KeyError, match=f"no hardness measure '{name}'.*'grade', 'question_words'"):
        measure(tiny(), name)


def test_a_data_set_has_its_own_cut_offs():
    assert all(easy_max < hard_min for easy_max, hard_min in CUTOFFS.values())
    items = tiny().assign(hops=[1, 2, np.nan])
    items.attrs["dataset"] = "worldquiz"
    cut = item_levels(items, "hops")
    assert cut.tolist()[:2] == ["easy", "hard"] and cut.isna().tolist() == [False, False, True]
    assert item_levels(tiny(), "grade").tolist() == ["easy", "medium", "hard"]


def test_every_country_of_worldquiz_gives_as_many_cities_to_each_level():
    items = load_items("worldquiz")
    per_country = pd.crosstab(items["country"], item_levels(items, "fame"))
    assert per_country.columns.tolist() == LEVELS and (per_country.nunique(axis=1) == 1).all()


def test_a_measure_that_was_not_kept_is_told_to_those_who_read_a_file():
    rows = pd.DataFrame({"question": ["How?", "Why?"], "answer": ["yes", "no"], "effort": [1, 2]})
    with pytest.raises(KeyError, match="columns that hardness= names are kept"): measure(from_frame(rows), "effort")
    with pytest.raises(KeyError) as caught: measure(load_items("worldquiz"), "effort")
    assert "hardness=" not in str(caught.value)
