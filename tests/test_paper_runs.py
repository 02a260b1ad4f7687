"""The arms behind the paper pages that are drawn in tools/paper.py, on the real data."""
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from e2h.data import load_items
from e2h.hardness import answer_texts, item_levels
from e2h.splits import draw_split
from e2h.store import is_packed, open_store

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "nbs" / "paper" / "results"
sys.path.insert(0, str(ROOT / "tools"))
import paper  # noqa: E402


NO_DATA = pytest.mark.skipif("E2H_DATA" not in os.environ, reason="E2H_DATA does not name a folder with the real data sets")


def apart(items, split):
    "Do training and tests share no item and no cluster?"
    cluster = items.set_index("item_id")["cluster"]
    return not set(cluster[split.train_ids]) & set(cluster[split.test_ids])


@NO_DATA
def test_balanced_arms_have_each_answer_as_often_and_test_the_usual_items():
    items = load_items("strategyqa")
    levels, answers = item_levels(items, "steps"), answer_texts(items).set_axis(items["item_id"])
    level_of = levels.set_axis(items["item_id"])
    for (_, seed, level, n), split in paper.balanced_arms(items, "steps", seeds=3).items():
        assert answers[split.train_ids].value_counts().to_dict() == {"yes": n // 2, "no": n // 2}
        assert set(level_of[split.train_ids]) == {level} and apart(items, split)
        assert split.test_ids == draw_split(items, levels, level, 160, seed=seed).test_ids
    again = paper.balanced_arms(items, "steps", seeds=1)
    assert again == {key: split for key, split in paper.balanced_arms(items, "steps", seeds=2).items() if key[1] == 0}


@NO_DATA
def test_stages_of_school_share_their_tests_and_no_cluster_with_them():
    items = paper.school()
    arms = paper.school_arms(items, 10, seeds=2)
    years = items.set_index("item_id")["years"]
    for seed in range(2):
        mine = {stage: split for (_, s, stage, _), split in arms.items() if s == seed}
        assert set(mine) == set(paper.STAGES) and len({tuple(split.test_ids) for split in mine.values()}) == 1
        for stage, split in mine.items():
            assert len(split.train_ids) == 10 and set(years[split.train_ids]) == {paper.STAGES[stage]}
            assert set(years[split.test_ids]) == {paper.STAGES["college"]} and apart(items, split)
    assert set(paper.used_items(items, arms)["item_id"]) == {i for s in arms.values() for i in [*s.train_ids, *s.test_ids]}


@NO_DATA
def test_the_length_rule_sees_lengths_alone_and_reproduces_what_is_recorded():
    pair = pd.DataFrame({"choices": [["a cat", "a", "dogs!"], ["x ray", "y", "zebra"]]})
    one, two = paper.length_features(pair)
    np.testing.assert_array_equal(one, two)  # other words, the same lengths
    assert one.shape == (3, 5) and one[:, 3].tolist() == [1, 0, 1] and one[:, 4].tolist() == [0, 1, 0]
    found = paper.length_rule(None, None, seeds=1)
    kept = pd.read_parquet(RESULTS / "length_rule.parquet").query("seed == 0")
    both = found.merge(kept, on=["dataset", "item_id", "train_on", "seed"], suffixes=("", "_kept"))
    assert len(both) == len(found) == len(kept)
    assert (abs(both["correct"] - both["correct_kept"]) < 1e-5).mean() > .999  # linear algebra may break a tie elsewhere


@NO_DATA
def test_codes_agree_where_texts_do():
    codes = pd.read_parquet(RESULTS / "answer_codes.parquet").astype({"item_id": str, "dataset": str})
    for name in paper.ITEMS:
        items, mine = load_items(name), codes[codes["dataset"] == name]
        offered = items.set_index("item_id")["choices"].str.len()
        assert mine.groupby("item_id").size().reindex(offered.index).eq(offered).all()
        right = mine[mine["right"]].set_index("item_id")["code"].reindex(items["item_id"])
        texts = answer_texts(items).str.strip().str.lower()
        assert right.notna().all() and pd.crosstab(right.to_numpy(), texts.to_numpy()).gt(0).sum().eq(1).all()


@pytest.mark.parametrize("file", sorted(file.stem for file in RESULTS.glob("*.parquet") if is_packed(file)))
def test_recorded_arms_never_train_on_what_they_test(file):
    store = open_store(RESULTS / f"{file}.parquet")
    known = dict(zip(store.items["item_id"].astype(str), store.items["cluster"].astype(str)))
    def clusters(ids): return {known.get(i, i) for i in ids}  # items set aside for hardness stand for themselves

    trained, seen = store.cells().query("train_on != 'none'").set_index("run_id")["train_ids"], set()
    for measure in store.settings["measures"]:
        records = store.records(measure, columns=["item_id", "run_id"])
        for run, tested in records.groupby("run_id", observed=True)["item_id"]:
            if run in trained.index: assert len(tested) and not clusters(trained[run]) & clusters(tested)
            seen.add(run)
    assert seen == set(store.cells()["run_id"])  # no cell was left out
