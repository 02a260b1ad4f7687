"""The paper's four data sets, counted: both routes, checksums, parts and splits. Needs the real data in E2H_DATA."""
import gzip
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from e2h import data
from e2h.data import arc_annotations, check_items, content_digest, load_items, load_measures, official_items

if not os.environ.get("E2H_DATA"):
    pytest.skip("E2H_DATA names no folder with ARC, MMLU, StrategyQA and GSM8k", allow_module_level=True)

FOLDER = Path(os.environ["E2H_DATA"])
NAMES = ["arc", "mmlu_stem5", "strategyqa", "gsm8k"]
SPLITS = [(subset, split) for subset in ["ARC-Challenge", "ARC-Easy"] for split in ["train", "validation", "test"]]


@pytest.fixture(scope="module")
def everything():
    "All measured items of each data set."
    return {name: load_items(name, part="all") for name in NAMES}


@pytest.fixture(scope="module")
def annotated():
    "The words of ARC's annotations beside the set and split of their items."
    words = pd.DataFrame({key[6:]: value for key, value in arc_annotations(FOLDER).items()}).T
    items = load_items("arc", part="all", keep_unmeasured=True).set_index("item_id")[["subset", "split"]]
    return words.join(items, how="inner")


# Sizes (A.1)

@pytest.mark.parametrize("name, every, experiment", [
    ("arc", 4521, 3521), ("mmlu_stem5", 1746, 1746), ("strategyqa", 2290, 2290), ("gsm8k", 8792, 7792)])
def test_sizes(name, every, experiment):
    items = load_items(name)
    assert (len(load_items(name, part="all")), len(items)) == (every, experiment)
    assert items.attrs["dataset"] == name and items["item_id"].is_unique
    assert items.index.equals(pd.RangeIndex(len(items)))
    pd.testing.assert_frame_equal(check_items(items), items)
    assert check_items(items).attrs == items.attrs


def test_arc_before_and_after_dropping():
    whole = load_items("arc", part="all", keep_unmeasured=True)
    assert len(whole) == 7787 and whole.attrs["dropped"] == {}
    assert load_items("arc").attrs["dropped"] == {"no annotation": 2667, "no grade (course name)": 599}
    assert whole["difficulty"].isna().sum() == 2667 and whole["grade"].isna().sum() == 2667 + 599
    official = whole.groupby(["subset", "split"]).size()
    assert official.loc["ARC-Easy"].to_dict() == {"test": 2376, "train": 2251, "validation": 570}
    assert official.loc["ARC-Challenge"].to_dict() == {"test": 1172, "train": 1119, "validation": 299}
    order = list(dict.fromkeys(zip(whole["subset"], whole["split"])))
    assert order == [(subset, split) for subset in ["ARC-Easy", "ARC-Challenge"] for split in ["train", "validation", "test"]]


@pytest.mark.parametrize("name, n", [("arc", 4521), ("gsm8k", 8792)])
def test_a_thousand_items_are_set_aside_as_in_the_original(name, n, everything):
    aside = load_items(name, part="hardness_training")
    drawn = np.random.default_rng(0).choice(n, 1000, replace=False)
    assert aside["item_id"].tolist() == everything[name]["item_id"].iloc[sorted(drawn)].tolist()
    experiment = load_items(name)
    assert not set(aside["item_id"]) & set(experiment["item_id"])
    assert set(aside["item_id"]) | set(experiment["item_id"]) == set(everything[name]["item_id"])


# ARC (A.2, B.3)

def test_arc_by_set_and_split(annotated, everything):
    def by_split(table):
        return [len(table[(table["subset"] == subset) & (table["split"] == split)]) for subset, split in SPLITS]
    assert by_split(annotated) == [734, 215, 810, 1417, 409, 1535]
    assert by_split(everything["arc"]) == [654, 186, 731, 1236, 346, 1368]


def test_every_annotated_arc_item_has_four_choices(everything, annotated):
    raw = data.raw_rows("arc", FOLDER).set_index("id").loc[annotated.index]
    assert all(item_id.startswith("Mercury") for item_id in annotated.index)
    assert all(list(choices["label"]) == list("ABCD") for choices in raw["choices"])
    assert set(everything["arc"]["choices"].str.len()) == {4}


def test_raw_arc_has_three_to_five_choices():
    whole = load_items("arc", part="all", keep_unmeasured=True)
    raw = data.raw_rows("arc", FOLDER)
    assert set(whole["choices"].str.len()) == {3, 4, 5}
    assert {key for key in raw["answerKey"]} == set("ABCDE1234")
    for row, answer in zip(raw.itertuples(), whole["answer"]):
        assert row.choices["label"][answer] == row.answerKey


B3 = {  # Challenge train, validation, test; Easy train, validation, test
    "grade": {"Grade 03": [34, 8, 28, 45, 12, 67], "Grade 04": [41, 8, 44, 71, 19, 94],
              "Grade 05": [115, 27, 166, 268, 69, 318], "Grade 06": [27, 5, 52, 72, 5, 102],
              "Grade 07": [143, 45, 129, 203, 60, 212],
              "Grade 08": [294, 93, 312, 577, 181, 575], "Biology": [48, 21, 52, 130, 41, 116],
              "Earth and Space Sciences": [32, 8, 27, 51, 22, 51]},
    "difficulty": {"Low": [130, 32, 147, 335, 94, 380], "Medium": [491, 145, 539, 908, 269, 972],
                   "High": [113, 38, 124, 174, 46, 183]},
    "bloom": {"Remembering": [106, 28, 124, 400, 117, 405], "Understanding": [196, 52, 212, 407, 116, 434],
              "Applying": [239, 69, 258, 369, 103, 415], "Analyzing": [150, 47, 161, 196, 58, 224],
              "Evaluating": [43, 19, 55, 45, 15, 57]},
    "depth_of_knowledge": {"I": [302, 80, 333, 807, 233, 838], "II": [389, 116, 422, 563, 161, 638],
                           "III": [43, 19, 55, 47, 15, 59]},
}
ALL = {  # Challenge, Easy, both
    "grade": {"Grade 03": [70, 124, 194], "Grade 04": [93, 184, 277], "Grade 05": [308, 655, 963], "Grade 06": [84, 179, 263],
              "Grade 07": [317, 475, 792], "Grade 08": [699, 1333, 2032], "Biology": [121, 287, 408],
              "Earth and Space Sciences": [67, 124, 191]},
    "difficulty": {"Low": [309, 809, 1118], "Medium": [1175, 2149, 3324], "High": [275, 403, 678]},
    "bloom": {"Remembering": [258, 922, 1180], "Understanding": [460, 957, 1417], "Applying": [566, 887, 1453],
              "Analyzing": [358, 478, 836], "Evaluating": [117, 117, 234]},
    "depth_of_knowledge": {"I": [715, 1878, 2593], "II": [927, 1362, 2289], "III": [117, 121, 238]},
}


def test_annotation_file_schema():
    annotations = arc_annotations(FOLDER)
    assert len(annotations) == 5120 and Counter(key[:6] for key in annotations) == {"ARCCH_": 1759, "ARCEZ_": 3361}
    assert len({key[6:] for key in annotations}) == 5120
    for values in annotations.values():
        assert set(values) == set(B3) and all(isinstance(value, str) and value for value in values.values())


@pytest.mark.parametrize("measure", B3)
def test_annotations_by_set_and_split(annotated, measure):
    counts = pd.crosstab(annotated[measure], [annotated["subset"], annotated["split"]])
    assert {word: [int(counts.loc[word, place]) for place in SPLITS] for word in counts.index} == B3[measure]
    whole = pd.crosstab(annotated[measure], annotated["subset"])[["ARC-Challenge", "ARC-Easy"]]
    assert {word: [*row, sum(row)] for word, row in zip(whole.index, whole.to_numpy().tolist())} == ALL[measure]
    prefixes = Counter((key[:6], value[measure]) for key, value in arc_annotations(FOLDER).items())
    assert all([prefixes["ARCCH_", word], prefixes["ARCEZ_", word]] == ALL[measure][word][:2] for word in ALL[measure])


@pytest.mark.parametrize("measure, counts", [
    ("grade", {3: 194, 4: 277, 5: 963, 6: 263, 7: 792, 8: 2032}), ("difficulty", {1: 1056, 2: 2878, 3: 587}),
    ("bloom", {1: 1118, 2: 1239, 3: 1314, 4: 660, 5: 190}), ("depth_of_knowledge", {1: 2353, 2: 1974, 3: 194})])
def test_measures_of_the_kept_arc_items(everything, measure, counts):
    assert everything["arc"][measure].value_counts().to_dict() == counts


# MMLU (A.3)

MMLU = {  # dev, validation, test
    "high_school_mathematics": [5, 29, 270], "high_school_physics": [5, 17, 151], "high_school_chemistry": [5, 22, 203],
    "high_school_biology": [5, 32, 310], "high_school_computer_science": [5, 9, 100], "college_mathematics": [5, 11, 100],
    "college_physics": [5, 11, 102], "college_chemistry": [5, 8, 100], "college_biology": [5, 16, 144],
    "college_computer_science": [5, 11, 100],
}


def test_mmlu_by_subject_and_split(everything):
    whole = load_items("mmlu_stem5", splits=["dev", "validation", "test"])
    counts = whole.groupby(["subject", "split"]).size()
    assert {subject: [int(counts[subject, split]) for split in ["dev", "validation", "test"]] for subject in MMLU} == MMLU
    assert len(whole) == 1796 and set(everything["mmlu_stem5"]["split"]) == {"validation", "test"}
    pooled = everything["mmlu_stem5"].groupby("subject").size().to_dict()
    assert pooled == {subject: sum(counts[1:]) for subject, counts in MMLU.items()}
    assert everything["mmlu_stem5"]["college"].value_counts().to_dict() == {0: 1143, 1: 603}
    assert len(load_items("mmlu_stem5", splits="dev")) == 50


def test_mmlu_identifiers_are_row_numbers(everything):
    items = everything["mmlu_stem5"].set_index("item_id")
    raw = data.raw_rows("mmlu_stem5", FOLDER)
    place = raw[(raw["subject"] == "college_physics") & (raw["split"] == "test")].iloc[17]
    assert items.loc["college_physics/test/17", "answer"] == place["answer"]
    assert items.loc["college_physics/test/17", "choices"] == place["choices"]


def test_duplicates_share_a_cluster_across_splits():
    whole = official_items("mmlu_stem5", FOLDER)
    physics = whole[whole["subject"] == "college_physics"]
    rows = physics[["question", "choices", "answer"]].itertuples(index=False)
    same = pd.Series([json.dumps([*row]) for row in rows], index=physics.index)
    for _, twins in physics.groupby(same):
        assert twins["cluster"].nunique() == 1
    repeated = {split: int(same[physics["split"] == split].duplicated().sum()) for split in ["test", "dev"]}
    assert repeated == {"test": 11, "dev": 1}
    clusters = {split: set(rows["cluster"]) for split, rows in physics.groupby("split")}
    assert len(clusters["validation"] & (clusters["test"] | clusters["dev"])) == 7
    text = whole["question"].str.split().str.join(" ").str.casefold()
    assert whole["cluster"].nunique() == text.nunique() and (whole.groupby(text)["cluster"].nunique() == 1).all()


def test_line_ends_are_plain():
    for name in NAMES:
        items = official_items(name, FOLDER)
        assert not items["question"].str.contains("\r").any()
        assert not any("\r" in choice for choices in items["choices"] for choice in choices)


# StrategyQA and GSM8k (A.4, A.5)

def test_strategyqa(everything):
    items = everything["strategyqa"]
    assert items["answer"].value_counts().to_dict() == {1: 1219, 0: 1071}
    assert all(choices == ["yes", "no"] for choices in items["choices"]) and set(items["split"]) == {"train"}
    assert items["steps"].value_counts().to_dict() == {1: 18, 2: 626, 3: 1219, 4: 342, 5: 85}
    assert (items["steps"] >= 4).sum() == 427 and (items["steps"] <= 2).sum() == 644
    raw = data.raw_rows("strategyqa", FOLDER)
    assert items["rationale"].tolist() == [" ".join(facts) for facts in raw["facts"]]
    assert items["item_id"].tolist() == raw["qid"].tolist()
    assert items["cluster"].nunique() == 2289


def test_gsm8k(everything):
    items = everything["gsm8k"]
    assert items["split"].value_counts().to_dict() == {"train": 7473, "test": 1319}
    assert items["steps"].value_counts().to_dict() == {
        2: 2286, 3: 2519, 4: 1958, 5: 1128, 6: 507, 7: 268, 8: 110, 9: 15, 10: 1}
    assert [(items["steps"] <= 4).sum(), (items["steps"] >= 7).sum()] == [6763, 394]
    gold = items["choices"].str[0]
    assert items.attrs["free_text"] and (items["answer"] == 0).all() and set(items["choices"].str.len()) == {1}
    assert items["answer_raw"].str.contains(",").sum() == 93 and not gold.str.contains(",").any()
    assert items["answer_raw"].str.startswith("-").sum() == 5 == gold.str.startswith("-").sum()
    assert (gold == items["answer_raw"].str.replace(",", "")).all()
    assert items["rationale"].str.contains("<<").any() and not items["rationale"].str.contains("####").any()
    assert items["item_id"].tolist()[:2] == ["train/0", "train/1"] and items["item_id"].iloc[-1] == "test/1318"


# Options

@pytest.mark.parametrize("name", ["arc", "gsm8k"])
@pytest.mark.parametrize("part", ["experiment", "hardness_training", "all"])
def test_splits_filter_what_was_drawn_from_the_whole_pool(name, part):
    whole = load_items(name, part=part)
    pieces = [load_items(name, part=part, splits=[split]) for split in data.SOURCES[name]["pooled"]]
    assert sorted(pd.concat(pieces)["item_id"]) == sorted(whole["item_id"])
    assert all(piece["split"].nunique() == 1 for piece in pieces)
    if name == "arc":
        lost = [Counter(piece.attrs["dropped"]) for piece in pieces]
        assert dict(sum(lost, Counter())) == whole.attrs["dropped"]


def test_unmeasured_items_are_never_set_aside():
    kept = {part: load_items("arc", part=part, keep_unmeasured=True) for part in ["experiment", "hardness_training", "all"]}
    assert {part: len(items) for part, items in kept.items()} == {"experiment": 6787, "hardness_training": 1000, "all": 7787}
    pd.testing.assert_frame_equal(kept["hardness_training"], load_items("arc", part="hardness_training"))
    assert kept["experiment"].dropna(subset=["grade"])["item_id"].tolist() == load_items("arc")["item_id"].tolist()


# Two routes, one result

@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    "The four repositories as the hub has them: parquet files, a configuration each, StrategyQA as the hub converted it."
    root = tmp_path_factory.mktemp("hub")
    for name in NAMES:
        source, repo, configs = data.SOURCES[name], root / data.SOURCES[name]["repo"], {}
        raw = data.raw_rows(name, FOLDER)
        for (config, split), rows in raw.groupby(["config", "split"]):
            converted = f"strategyQA/{source['splits'][split]}/0000"
            place = converted if name == "strategyqa" else f"{config}/{split}-00000-of-00001"
            (repo / place).parent.mkdir(parents=True, exist_ok=True)
            added = ["config", "split", "evidence", "baseline_split", "baseline_qid"]  # not in the hub's rows
            rows.drop(columns=added, errors="ignore").to_parquet(repo / f"{place}.parquet", index=False)
            configs[config] = configs.get(config, f"- config_name: {config}\n  data_files:\n") + (
                f"  - split: {split}\n    path: {place}.parquet\n")
        if name != "strategyqa":
            lines = "".join(configs.values())
            (repo / "README.md").write_text(f"---\nconfigs:\n{lines}---\n")
    return root


@pytest.mark.parametrize("name", NAMES)
def test_the_hub_gives_what_the_folder_gives(name, hub, monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder_items = load_items(name, folder=FOLDER)
    cache = tmp_path / "cache" / "data" / f"{data.ARC_ANNOTATIONS['sha256'][:16]}-arc-challenge-easy-annotations.json"
    cache.parent.mkdir(parents=True)
    cache.write_bytes(gzip.decompress((FOLDER / "arc" / "annotations.json.gz").read_bytes()))
    monkeypatch.setenv("E2H_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("E2H_DATA")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setitem(data.SOURCES[name], "repo", str(hub / data.SOURCES[name]["repo"]))
    monkeypatch.setitem(data.SOURCES[name], "revision", None)  # a folder has none
    hub_items = load_items(name)
    pd.testing.assert_frame_equal(hub_items, folder_items)
    assert hub_items.attrs == folder_items.attrs and content_digest(hub_items) == content_digest(folder_items)


def tampered(tmp_path, file, change):
    "A copy of the folder in which one file's text is changed."
    copy = tmp_path / "copy"
    shutil.copytree(FOLDER, copy, copy_function=shutil.copyfile)
    for place in [copy, *copy.rglob("*")]:
        place.chmod(0o755)
    text = gzip.decompress((copy / file).read_bytes()).decode()
    assert change(text) != text
    (copy / file).write_bytes(gzip.compress(change(text).encode()))
    return copy


def swap_first_lines(text):
    "Exchange the first two lines."
    first, second, rest = text.split("\n", 2)
    return "\n".join([second, first, rest])


@pytest.mark.parametrize("name, file, change", [
    ("arc", "arc/easy/train.jsonl.gz", lambda text: text.replace("the", "teh", 1)),
    ("arc", "arc/challenge/test.jsonl.gz", swap_first_lines),
    ("arc", "arc/annotations.json.gz", lambda text: text.replace("Grade 04", "Grade 05", 1)),
    ("mmlu_stem5", "mmlu_stem/dev.jsonl.gz", lambda text: text.replace('"answer": 3', '"answer": 2', 1)),
    ("strategyqa", "strategyqa/train.jsonl.gz", lambda text: text.replace('"answer": true', '"answer": false', 1)),
    ("gsm8k", "gsm8k/test.jsonl.gz", lambda text: text.replace("#### 18", "#### 19", 1)),
])
def test_a_changed_file_is_noticed(name, file, change, tmp_path):
    with pytest.raises(ValueError) as caught:
        load_items(name, folder=tampered(tmp_path, file, change))
    said = str(caught.value)
    expected = data.ARC_ANNOTATIONS["sha256"] if "annotations" in file else data.CHECKSUMS[name]
    assert name in said and f"expected {expected[:12]}" in said and "get the official files again" in said


@pytest.mark.parametrize("file, field", [("gsm8k/train.jsonl.gz", "question"), ("strategyqa/train.jsonl.gz", "facts")])
def test_a_renamed_field_is_named(file, field, tmp_path):
    copy = tampered(tmp_path, file, lambda text: text.replace(f'"{field}":', f'"{field}s":'))
    (copy / "gsm8k" / "test.jsonl.gz").write_bytes((copy / "gsm8k" / "train.jsonl.gz").read_bytes())
    with pytest.raises(ValueError, match=f"no column '{field}'.*did you mean '{field}s'"):
        load_items(file.split("/")[0], folder=copy)


def test_a_folder_without_the_annotations(tmp_path):
    shutil.copytree(FOLDER / "arc" / "easy", tmp_path / "arc" / "easy", copy_function=shutil.copyfile)
    with pytest.raises(FileNotFoundError, match="holds no file arc/challenge/train.jsonl.gz; .*E2H_DATA or folder="):
        load_items("arc", folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no file arc/annotations.json.gz; .*E2H_DATA or folder="):
        arc_annotations(tmp_path)


# The same files by the generic route, as if nobody had prepared them

@pytest.mark.parametrize("name, file, columns", [
    ("arc", "arc/easy/test", {"item_id": "id", "choices": "choices.text", "answer": "answerKey"}),
    ("arc", "arc/challenge/train", {"item_id": "id", "choices": "choices.text", "answer": "answerKey"}),
    ("mmlu_stem5", "mmlu_stem/test", {"choices": "choices"}),
    ("strategyqa", "strategyqa/train", {"item_id": "qid"}),
    ("gsm8k", "gsm8k/test", {"free_text": True}),
])
def test_the_generic_route_reads_the_same_answers(name, file, columns):
    rows = pd.DataFrame(data.read_jsonl(FOLDER / f"{file}.jsonl.gz"))
    if name == "mmlu_stem5":  # four official items repeat a wrong choice; a stranger's file with such items is refused
        with pytest.raises(ValueError, match="are both .*; make them different"):
            data.from_frame(rows, **columns)
        rows = rows[rows["choices"].map(lambda choices: len({c.strip() for c in choices}) == 4)]
        assert len(rows) == 1580 - 2
    own = data.from_frame(rows, **columns)
    official = official_items(name, FOLDER).set_index("question")
    for question, choices, answer in own[["question", "choices", "answer"]].itertuples(index=False):
        twins = official.loc[[question]]
        if name == "gsm8k":
            assert choices[0].split("####")[1].strip() == twins["answer_raw"].iloc[0]
        else:
            assert (choices, answer) in zip(twins["choices"], twins["answer"])


# The tables of measures that ship

@pytest.mark.parametrize("name", NAMES)
def test_shipped_measures_are_those_of_the_data(name, everything):
    from e2h.hardness import measures_table
    shipped = load_measures(name)
    pd.testing.assert_frame_equal(shipped, measures_table(everything[name]), check_dtype=False)
    assert shipped["item_id"].tolist() == everything[name]["item_id"].tolist()
    assert not {"question", "choices", "rationale"} & set(shipped.columns)


def test_repeated_wrong_choices_are_counted(everything):
    kept = {name: items.attrs.get("alike") for name, items in everything.items()}
    assert kept == {"arc": None, "mmlu_stem5": 3, "strategyqa": None, "gsm8k": None}
    assert load_items("mmlu_stem5", splits=["dev", "validation", "test"]).attrs["alike"] == 4
    assert load_items("mmlu_stem5", splits="test").attrs["alike"] == 2
