"""check_items: what it fills in, what it refuses, and what the digest of items depends on."""
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2h.data import check_items, items_digest, load_items

words = st.text(alphabet="abcdefg 7é", min_size=1, max_size=8).filter(str.strip)


@st.composite
def frames(draw):
    "Good items of 1 to 8 questions, each with 2 to 5 different choices."
    ids = draw(st.lists(words, min_size=1, max_size=8, unique=True))
    rows = []
    for item_id in ids:
        choices = draw(st.lists(words, min_size=2, max_size=5, unique_by=str.strip))
        answer = draw(st.integers(0, len(choices) - 1))
        rows.append({"item_id": item_id, "question": draw(words), "choices": choices, "answer": answer})
    return pd.DataFrame(rows)


def good():
    return pd.DataFrame({
        "item_id": ["sky", "moon", "sea"],
        "question": ["What colour is the sky?", "What does the moon go around?", "Is the sea salty?"],
        "choices": [["red", "blue", "green"], ["Mars", "the Earth"], ["yes", "no"]],
        "answer": [1, 1, 0],
    })


@given(frames())
def test_good_items_pass_and_are_left_alone(frame):
    before = frame.copy(deep=True)
    checked = check_items(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert checked["item_id"].tolist() == frame["item_id"].tolist()
    assert checked["choices"].tolist() == frame["choices"].tolist()
    assert checked["cluster"].tolist() == frame["item_id"].tolist()
    assert checked["rationale"].tolist() == [None] * len(frame)
    pd.testing.assert_frame_equal(check_items(checked), checked)


@given(frames(), st.data())
def test_an_answer_outside_its_choices_is_named(frame, data):
    row = data.draw(st.integers(0, len(frame) - 1))
    size = len(frame["choices"][row])
    answer = data.draw(st.one_of(st.integers(size, size + 3), st.integers(-3, -1)))
    frame.loc[row, "answer"] = answer
    with pytest.raises(ValueError) as caught:
        check_items(frame)
    item_id = frame["item_id"][row]
    expected = f"items[{row}] ({item_id!r}): answer is {answer} but there are {size} choices (0-{size - 1})"
    assert str(caught.value) == expected


@given(frames(), st.randoms())
@settings(max_examples=40)
def test_the_digest_ignores_row_order_and_measures(frame, random):
    checked = check_items(frame)
    order = list(range(len(checked)))
    random.shuffle(order)
    assert items_digest(checked.iloc[order]) == items_digest(checked)
    assert items_digest(checked.assign(grade=3)) == items_digest(checked)


@pytest.mark.parametrize("change", [
    {"item_id": ["sky", "moon", "lake"]},
    {"question": ["What colour is the sky", "What does the moon go around?", "Is the sea salty?"]},
    {"choices": [["red", "green", "blue"], ["Mars", "the Earth"], ["yes", "no"]]},
    {"answer": [1, 1, 1]},
    {"rationale": [None, "It is near.", None]},
])
def test_the_digest_sees_all_that_a_model_sees(change):
    assert items_digest(check_items(good().assign(**change))) != items_digest(check_items(good()))


@pytest.mark.parametrize("column", ["item_id", "question", "choices", "answer"])
def test_a_missing_column(column):
    with pytest.raises(ValueError, match=f"no column '{column}'.*rename"):
        check_items(good().drop(columns=column))


@pytest.mark.parametrize("change, row, said", [
    ({"item_id": ["sky", "moon", "sky"]}, "items[2] ('sky')", "already that of items[0]; make it unique"),
    ({"item_id": ["sky", None, "sea"]}, "items[1]", "give every item a unique item_id"),
    ({"question": ["Why?", " ", "Is it?"]}, "items[1] ('moon')", "question is empty; give its text or drop the item"),
    ({"question": ["Why?", "How?", np.nan]}, "items[2] ('sea')", "question is nan, not text; give the text"),
    ({"question": ["Why?", "How?", 7]}, "items[2] ('sea')", "question is 7, not text; give the text"),
    ({"choices": [["a", "b"], ["a", "b"], ["yes"]]}, "items[2] ('sea')", "1 choice(s); give at least two"),
    ({"choices": [["a", "b"], ["a", "b"], []]}, "items[2] ('sea')", "0 choice(s); give at least two"),
    ({"choices": [["a", "b"], ["x", "y", "x "], ["a", "b"]]}, "items[1] ('moon')",
     "choices[0] and choices[2] are both 'x'; make them different"),
    ({"choices": [["a", "b"], "x/y", ["a", "b"]]}, "items[1] ('moon')", "choices is 'x/y', not a list; give a list"),
    ({"choices": [["a", "b"], ["x", ""], ["a", "b"]]}, "items[1] ('moon')", "choices[1] is empty; every choice must be"),
    ({"choices": [["a", "b"], None, ["a", "b"]]}, "items[1] ('moon')", "choices are missing; give a list of strings"),
    ({"answer": [1, 3, 0]}, "items[1] ('moon')", "answer is 3 but there are 2 choices (0-1)"),
    ({"answer": [1, -1, 0]}, "items[1] ('moon')", "answer is -1 but there are 2 choices (0-1)"),
    ({"answer": [1, np.nan, 0]}, "items[1] ('moon')", "answer is missing; give the index"),
    ({"answer": [1, 0.5, 0]}, "items[1] ('moon')", "answer is 0.5; give the index"),
    ({"answer": [1, np.inf, 0]}, "items[1] ('moon')", "answer is inf; give the index"),
    ({"answer": [1, "B", 0]}, "items[1] ('moon')", "answer is 'B'; give the index"),
    ({"answer": pd.array([1, None, 0], dtype="Int64")}, "items[1] ('moon')", "give the index"),
])
def test_bad_items_get_one_sentence(change, row, said):
    frame = good().assign(**change)
    before = frame.copy(deep=True)
    with pytest.raises(ValueError) as caught:
        check_items(frame)
    sentence = str(caught.value)
    assert sentence.startswith(row) and said in sentence and "\n" not in sentence
    pd.testing.assert_frame_equal(frame, before)


def test_an_empty_frame():
    with pytest.raises(ValueError, match="items is empty; give"):
        check_items(good().head(0))


def test_whole_floats_arrays_and_numbered_ids_are_welcome():
    frame = good().assign(item_id=[10, 11, 12], answer=[1.0, 1.0, 0.0])
    frame["choices"] = pd.Series([np.array(choices, dtype=object) for choices in frame["choices"]], dtype=object)
    checked = check_items(frame)
    assert checked["item_id"].tolist() == ["10", "11", "12"]
    assert checked["answer"].tolist() == [1, 1, 0]
    assert all(type(choices) is list for choices in checked["choices"])


def test_clusters_rationales_measures_and_name_are_kept():
    frame = good().assign(cluster=["c", None, "c"], rationale=["Because.", None, None], grade=[3.0, None, 5.0])
    frame = frame.set_index(pd.Index([7, 7, 9]))
    checked = check_items(frame, dataset="mine")
    assert checked["cluster"].tolist() == ["c", "moon", "c"]
    assert checked["rationale"].tolist() == ["Because.", None, None]
    assert checked["grade"].isna().tolist() == [False, True, False]
    assert checked.attrs["dataset"] == "mine" and check_items(checked).attrs["dataset"] == "mine"
    assert check_items(good()).attrs["dataset"] == "custom"


def test_a_frame_survives_parquet(tmp_path):
    checked = check_items(good())
    checked.to_parquet(tmp_path / "items.parquet")
    again = check_items(pd.read_parquet(tmp_path / "items.parquet"))
    assert items_digest(again) == items_digest(checked)


def test_an_unknown_data_set_lists_what_exists():
    with pytest.raises(KeyError, match="no data set 'worldquizz'; give one of.*'worldquiz'"):
        load_items("worldquizz")


def test_worldquiz_loads_as_checked_items():
    items = load_items("worldquiz")
    assert items.attrs["dataset"] == "worldquiz"
    pd.testing.assert_frame_equal(check_items(items), items)
