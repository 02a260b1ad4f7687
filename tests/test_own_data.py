"""Bring your own: frames, files and hub data sets whose columns have other names, and what bad input gets to hear."""
import gzip
import hashlib
import json
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2h.cli import load_data
from e2h.data import (answer_readings, check_items, content_digest, download, fetch, from_csv, from_frame, from_hub,
                      from_jsonl, from_parquet, hub_rows, load_items, load_measures, plain_number, read_answers,
                      read_jsonl, read_text)

NAMES = {"question": "stem", "choices": "options", "answer": "key"}


def frame(answers=("B", "C", "A"), options=None):
    "Three made-up questions with answers as given."
    options = options or [["red", "blue", "green"], ["Mars", "Io", "Earth"], ["up", "down", "left"]]
    return pd.DataFrame({"stem": ["What is the sky?", "Where are we?", "Where is north?"], "options": options,
                         "key": pd.Series(list(answers), dtype=object), "hard": [1, 2.5, None]})


@pytest.mark.parametrize("answers", [
    [1, 2, 0], [1.0, 2.0, 0.0], np.array([1, 2, 0]), ["1", "2", "0"], ["B", "C", "A"], ["b", "c", "a"], ["2", "3", "1"],
    ["B", "3", "A"], ["blue", "Earth", "up"], [" blue ", "Earth", "up"],
])
def test_every_way_of_writing_the_answer_down(answers):
    assert from_frame(frame(answers), **NAMES)["answer"].tolist() == [1, 2, 0]


@pytest.mark.parametrize("answers", [[True, False], ["true", "False"], ["yes", "NO"], [np.True_, np.False_]])
@pytest.mark.parametrize("options, expected", [
    (None, [0, 1]), ([["yes", "no"], ["no", "yes"]], [0, 0]), ([["False", "True"]] * 2, [1, 0])])
def test_yes_and_no(answers, options, expected):
    rows = pd.DataFrame({"question": ["Is it?", "Was it?"], "answer": pd.Series(list(answers), dtype=object)})
    given_choices = {} if options is None else {"choices": "options"}
    rows = rows if options is None else rows.assign(options=options)
    items = from_frame(rows, **given_choices)
    assert items["answer"].tolist() == expected
    assert options is not None or items["choices"].tolist() == [["yes", "no"]] * 2


@pytest.mark.parametrize("answers, options, said", [
    (["1", "2", "1"], None, "items[0] ('mine/0'): answer '1' may be read as index from 0 or as letter or number from 1"),
    ([2, 2, 2], [["4", "3", "2"], ["2", "1", "0"], ["a", "b", "2"]], "which differ; give letters, or the text of the"),
    (["B", "E", "A"], None, "items[1] ('mine/1'): answer is 'E', which is none of its 3 choices; give"),
    ([1, 3, 0], None, "items[1] ('mine/1'): answer is 3, which is no index from 0, unlike others; give an index (0-2)"),
    ([1, 2, 3], None, "items[2] ('mine/2'): answer is 3"),
    (["purple", "x", "y"], None, "items[0] ('mine/0'): answer is 'purple', which is none of its 3 choices; give an index"),
    (["blue", "mars", "up"], None, "items[1] ('mine/1'): answer is 'mars'"),
    (["B", None, "A"], None, "items[1] ('mine/1'): answer is missing; give the right answer or drop the item"),
    (["B", np.nan, "A"], None, "answer is missing"),
    (["B", " ", "A"], None, "answer is missing"),
    ([1, 0.5, 0], None, "items[1] ('mine/1'): answer is 0.5"),
    (["B", "C", "A"], ["a/b", ["x", "y", "z"], ["x", "y"]], "items[0] ('mine/0'): choices is 'a/b', not a list"),
    (["B", "C", "A"], [["a", "b"], ["x"], ["x", "y"]], "items[1] ('mine/1'): choices holds 1 choice(s)"),
    (["B", "C", "A"], [["a", "b"], ["x", "", "y"], ["x", "y"]], "items[1] ('mine/1'): choices[1] is empty"),
    (["red", "Io", "up"], [["red", "red", "blue"], ["Io", "Mars"], ["up", "down"]], "items[0]"),
])
def test_answers_and_choices_that_cannot_be_read(answers, options, said):
    with pytest.raises(ValueError) as caught:
        from_frame(frame(answers, options), **NAMES)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_numbers_as_choices_are_settled_by_other_items():
    options = [["4", "3", "2"], ["2", "1", "0"], ["a", "b", "c"]]
    assert from_frame(frame([2, 2, 2], options), **NAMES)["answer"].tolist() == [2, 2, 2]
    assert answer_readings("2", ["4", "3", "2"]) == {
        "index from 0": 2, "letter or number from 1": 1, "text of the choice": 2}


@given(st.data())
@settings(max_examples=60)
def test_answers_come_back_whichever_way_they_are_written(data):
    words = st.lists(st.text("qrstuv", min_size=2, max_size=5), min_size=2, max_size=5, unique=True)
    choices = data.draw(st.lists(words, min_size=1, max_size=6))
    answers = [data.draw(st.integers(0, len(listed) - 1)) for listed in choices]
    names = [f"items[{row}]" for row in range(len(choices))]
    for written in [answers, ["ABCDE"[answer] for answer in answers],
                    [listed[answer] for listed, answer in zip(choices, answers)]]:
        assert read_answers(written, choices, names) == answers
    if any(answer == len(listed) - 1 for listed, answer in zip(choices, answers)):
        assert read_answers([str(answer + 1) for answer in answers], choices, names) == answers


def test_choices_in_columns_lists_and_nested_fields():
    wide = pd.DataFrame({"question": ["Which?", "What?"], "a": ["x", "3"], "b": ["y", 4], "c": [5, None],
                         "answer": ["A", "B"]})
    assert from_frame(wide, choices=["a", "b", "c"])["choices"].tolist() == [["x", "y", "5"], ["3", "4"]]
    padded = frame(options=[["red", "blue", "", ""], np.array(["Mars", "Io", "Earth", None], dtype=object), ("up", "down")])
    assert from_frame(padded, **NAMES)["choices"].str.len().tolist() == [2, 3, 2]
    nested = frame().assign(options=[{"text": listed, "deep": {"er": listed}} for listed in frame()["options"]])
    for column in ["options.text", "options.deep.er"]:
        assert from_frame(nested, **NAMES | {"choices": column})["choices"].tolist() == frame()["options"].tolist()
    dotted = frame().rename(columns={"options": "a.b"})
    assert from_frame(dotted, **NAMES | {"choices": "a.b"})["answer"].tolist() == [1, 2, 0]


def test_three_to_five_choices_live_together():
    items = from_frame(frame(["C", "D", "E"], [list("pqr"), list("pqrs"), list("pqrst")]), **NAMES)
    assert items["answer"].tolist() == [2, 3, 4] and items["choices"].str.len().tolist() == [3, 4, 5]


def test_free_text():
    items = from_frame(pd.DataFrame({"question": ["6 x 7?", "1 + 1?"], "answer": ["42", 2]}), free_text=True)
    assert items["choices"].tolist() == [["42"], ["2"]] and items["answer"].tolist() == [0, 0]
    again = check_items(items)
    assert again.attrs["free_text"] and again.attrs["dataset"] == "mine"
    with pytest.raises(ValueError, match="choices holds 1 choice.*free_text=True"):
        check_items(items, free_text=False)
    with pytest.raises(ValueError, match="items.1. .*answer is missing"):
        from_frame(pd.DataFrame({"question": ["6 x 7?", "1 + 1?"], "answer": ["42", None]}), free_text=True)
    with pytest.raises(ValueError, match="choices is not given.*free_text=True"):
        from_frame(pd.DataFrame({"question": ["6 x 7?"], "answer": ["42"]}))


def test_choices_that_are_alike():
    bad = pd.DataFrame({"item_id": ["i"], "question": ["Which?"], "choices": [["x", "y", "x "]], "answer": [1]})
    known = bad.copy()
    known.attrs["alike"] = 1  # said by a loader: a wrong choice is repeated
    assert check_items(known)["answer"].tolist() == [1] and check_items(check_items(known)).attrs["alike"] == 1
    for frame in [bad, bad.assign(answer=0), known.assign(answer=0), known.assign(answer=2)]:
        with pytest.raises(ValueError, match=r"choices\[0\] and choices\[2\] are both 'x'; make them different"):
            check_items(frame)


def test_measures_named_in_three_ways_with_nan_counted():
    assert from_frame(frame(), **NAMES).attrs["no_hardness"] == {}
    for hardness, name in [("hard", "hard"), (["hard"], "hard"), ({"effort": "hard"}, "effort")]:
        items = from_frame(frame(), hardness=hardness, **NAMES)
        assert items[name].tolist()[:2] == [1.0, 2.5] and np.isnan(items[name][2])
        assert items.attrs["no_hardness"] == {name: 1} and len(items) == 3
        assert check_items(items).attrs["no_hardness"] == {name: 1}
    text = from_frame(frame().assign(hard=["3", "", " 4.5"]), hardness="hard", **NAMES)
    assert text["hard"].tolist()[::2] == [3.0, 4.5] and text.attrs["no_hardness"] == {"hard": 1}
    with pytest.raises(ValueError, match=r"items\[1\] \(.*\): hard is 'Grade 4', not a number"):
        from_frame(frame().assign(hard=[3, "Grade 4", None]), hardness="hard", **NAMES)
    with pytest.raises(ValueError, match="hardness cannot be called 'answer'"):
        from_frame(frame(), hardness={"answer": "hard"}, **NAMES)


def test_identifiers_rationales_clusters():
    rich = frame().assign(id=[7, 8, 9], why=["Rayleigh.", None, ""], page=["p", "p", None])
    items = from_frame(rich, item_id="id", rationale="why", cluster="page", dataset="rich", **NAMES)
    assert items["item_id"].tolist() == ["7", "8", "9"] and items["cluster"].tolist() == ["p", "p", "9"]
    assert items["rationale"].tolist()[:2] == ["Rayleigh.", None] and items.attrs["dataset"] == "rich"
    with pytest.raises(ValueError, match="item_id is already that of"):
        from_frame(rich.assign(id=1), item_id="id", **NAMES)


@pytest.mark.parametrize("renamed, close", [({"question": "stm"}, "stem"), ({"choices": "option"}, "options"),
                                            ({"answer": "keys"}, "key"), ({"hardness": "hardness"}, "hard")])
def test_a_missing_column_lists_those_there_are_and_the_closest(renamed, close):
    with pytest.raises(ValueError) as caught:
        from_frame(frame(), **NAMES | renamed)
    assert f"no column '{next(iter(renamed.values()))}'" in str(caught.value)
    assert "['stem', 'options', 'key', 'hard']" in str(caught.value) and f"did you mean '{close}'?" in str(caught.value)


def test_a_missing_field_lists_the_fields():
    nested = frame().assign(options=[{"text": listed} for listed in frame()["options"]])
    with pytest.raises(ValueError, match="no column 'options.txt' .*options.text.*did you mean 'options.text'"):
        from_frame(nested, **NAMES | {"choices": "options.txt"})


def test_empty_data(tmp_path):
    with pytest.raises(ValueError, match="the data are empty"):
        from_frame(frame().head(0), **NAMES)
    (tmp_path / "none.jsonl").write_text("\n\n")
    with pytest.raises(ValueError, match="the data are empty"):
        from_jsonl(tmp_path / "none.jsonl", **NAMES)


def test_files_give_what_the_frame_gives(tmp_path):
    want = content_digest(from_frame(frame(), hardness="hard", dataset="quiz", **NAMES))
    lines = "".join(json.dumps(row) + "\n" for row in json.loads(frame().to_json(orient="records")))
    (tmp_path / "quiz.jsonl").write_text(lines)
    (tmp_path / "quiz.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    frame().to_parquet(tmp_path / "quiz.parquet")
    wide = pd.DataFrame(frame()["options"].tolist(), columns=["o1", "o2", "o3"]).join(frame().drop(columns="options"))
    wide.to_csv(tmp_path / "quiz.csv", index=False)
    wide.to_csv(tmp_path / "quiz.csv.gz", index=False)
    columns = NAMES | {"hardness": "hard"}
    for read, name in [(from_jsonl, "quiz.jsonl"), (from_jsonl, "quiz.jsonl.gz"), (from_parquet, "quiz.parquet")]:
        items = read(tmp_path / name, **columns)
        assert content_digest(items) == want and items.attrs["dataset"] == "quiz"
    for name in ["quiz.csv", "quiz.csv.gz"]:
        assert content_digest(from_csv(tmp_path / name, **columns | {"choices": ["o1", "o2", "o3"]})) == want


def test_csv_keeps_text_as_it_is(tmp_path):
    rows = ["question,a,b,c,answer", '"Which,\none?",007,None,NA,2', "Which?,1.50,1e3,,1", "Who?,x,y,z,3"]
    (tmp_path / "odd.csv").write_text("\n".join(rows))
    items = from_csv(tmp_path / "odd.csv", choices=["a", "b", "c"])
    assert items["choices"].tolist() == [["007", "None", "NA"], ["1.50", "1e3"], ["x", "y", "z"]]
    assert items["answer"].tolist() == [1, 0, 2] and items["question"][0] == "Which,\none?"


@pytest.mark.parametrize("name", ["bad.csv", "bad.jsonl"])
def test_a_file_that_is_not_utf8_names_the_line(tmp_path, name):
    text = "question,answer\nWhy?,yes\nIs a café open?,no\n" if "csv" in name else '{"a": "x"}\n\n{"a": "é"}\n'
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="line 3 is not UTF-8 .*0xe9.*save the file as UTF-8"):
        {"bad.csv": from_csv, "bad.jsonl": from_jsonl}[name](tmp_path / name)
    (tmp_path / name).write_bytes(gzip.compress(text.encode("latin-1")))
    with pytest.raises(ValueError, match="line 3 is not UTF-8"):
        read_text(tmp_path / name)


def test_a_byte_order_mark_is_no_letter(tmp_path):
    (tmp_path / "bom.csv").write_text("question,answer\nIs it?,yes\n", encoding="utf-8-sig")
    assert from_csv(tmp_path / "bom.csv")["question"].tolist() == ["Is it?"]


@pytest.mark.parametrize("line, said", [('{"question": ', "line 2 is not JSON"), ("[1, 2]", "line 2 is not a JSON object"),
                                        ("null", "line 2 is not a JSON object")])
def test_broken_json_names_the_line(tmp_path, line, said):
    (tmp_path / "torn.jsonl").write_text('{"a": 1}\n' + line + "\n")
    with pytest.raises(ValueError, match=said):
        read_jsonl(tmp_path / "torn.jsonl")


def test_json_lines_are_split_at_newlines_alone(tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"a": "x\u2028y\u0085z"}\r\n{"a": 2}', encoding="utf-8", newline="")
    assert read_jsonl(tmp_path / "odd.jsonl") == [{"a": "x\u2028y\u0085z"}, {"a": 2}]


def test_a_damaged_gzip_file(tmp_path):
    whole = gzip.compress(b'{"a": 1}\n' * 50)
    for content in [whole[:-9], whole[:15] + b"\0\0\0" + whole[18:]]:
        (tmp_path / "torn.jsonl.gz").write_bytes(content)
        with pytest.raises(ValueError, match="the gzip file is damaged"):
            read_jsonl(tmp_path / "torn.jsonl.gz")


def test_from_hub(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "hub").mkdir()
    frame().to_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet")
    items = from_hub(str(tmp_path / "hub"), columns=NAMES | {"hardness": "hard", "dataset": "quiz"})
    assert content_digest(items) == content_digest(from_frame(frame(), hardness="hard", dataset="quiz", **NAMES))
    for wrong, said in [({"split": "dev"}, r"Unknown split .dev.*\['train'\]"), ({"config": "x"}, "'x' not found.*default")]:
        with pytest.raises(ValueError, match=said) as caught:
            from_hub(str(tmp_path / "hub"), columns=NAMES, **wrong)
        assert "\n" not in str(caught.value)


def test_datasets_is_imported_only_when_the_hub_is_asked():
    code = "import sys, e2h.data; e2h.data.load_items('worldquiz'); assert 'datasets' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_hub_that_cannot_be_reached(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.delenv("E2H_DATA", raising=False)
    for call in [lambda: hub_rows("e2h-nobody/nothing"), lambda: from_hub("e2h-nobody/nothing"), lambda: load_items("gsm8k")]:
        with pytest.raises(OSError, match="could not be read from the Hugging Face hub") as caught:
            call()
        assert "E2H_DATA or folder=" in str(caught.value) and "\n" not in str(caught.value)


def test_fetched_files_are_verified_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("E2H_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = tmp_path / "file.json"
    source.write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    with pytest.raises(ValueError, match=f"expected {'0' * 12}"):
        fetch(source.as_uri(), "0" * 64)
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert fetch(source.as_uri(), digest) == b"{}"
    source.unlink()
    assert fetch(source.as_uri(), digest) == b"{}"
    kept, = (tmp_path / "cache" / "data").iterdir()
    kept.write_text("tampered")
    with pytest.raises(OSError, match="could not be fetched.*E2H_DATA or folder="):
        fetch(source.as_uri(), digest)
    with pytest.raises(OSError, match="HF_HUB_OFFLINE is set.*E2H_DATA or folder="):
        download("https://raw.githubusercontent.com/e2h/none/file.json")


@pytest.mark.parametrize("written, plain", [("1,234", "1234"), (" -5 ", "-5"), ("$1,200.50", "1200.50"), ("\u22127", "-7")])
def test_plain_numbers(written, plain):
    assert plain_number(written) == plain


@pytest.mark.parametrize("written", ["", "five", "1.2.3", "3 4", "1/2", "-"])
def test_what_is_no_number(written):
    with pytest.raises(ValueError, match="is not a number"):
        plain_number(written)


@pytest.mark.parametrize("options, error, said", [
    (dict(name="worldquiz", part="all"), ValueError, "worldquiz has no parts, splits or folder"),
    (dict(name="worldquiz", splits=["test"]), ValueError, "worldquiz has no parts, splits or folder"),
    (dict(name="arc", part="training"), ValueError, "no part 'training'; give one of .*hardness_training"),
    (dict(name="strategyqa", part="hardness_training"), ValueError, "strategyqa has no items set aside"),
    (dict(name="mmlu_stem5", part="hardness_training"), ValueError, "mmlu_stem5 has no items set aside"),
    (dict(name="arc", splits=["dev"]), ValueError, r"arc has no split 'dev'; give some of \['train', 'validation', 'test'\]"),
    (dict(name="gsm8k", splits="validation"), ValueError, "gsm8k has no split 'validation'"),
    (dict(name="gsm8k", splits=[]), ValueError, "splits is empty"),
    (dict(name="mmlu"), KeyError, "no data set 'mmlu'; give one of .*'mmlu_stem5'.*from_frame"),
    (dict(name="gsm8k", folder="no/such/folder"), FileNotFoundError, "no/such/folder holds no file gsm8k/train.jsonl.gz"),
])
def test_load_items_says_what_it_cannot_do(options, error, said):
    with pytest.raises(error, match=said):
        load_items(**options)


def test_measures_ship_with_the_package():
    sizes = {name: len(load_measures(name)) for name in ["arc", "mmlu_stem5", "strategyqa", "gsm8k"]}
    assert sizes == {"arc": 4521, "mmlu_stem5": 1746, "strategyqa": 2290, "gsm8k": 8792}
    with pytest.raises(KeyError, match="no table of measures 'worldquizz'"):
        load_measures("worldquizz")


def test_columns_with_the_librarys_names_are_found_by_them(tmp_path):
    "From Python as from the command line, clusters above all: a study without them trains on what it tests."
    rows = pd.DataFrame({"question": [f"What is {i}?" for i in range(40)], "choice_a": "x", "choice_b": "y",
                         "answer": ["A", "B"] * 20, "cluster": [f"c{i // 4}" for i in range(40)], "rationale": "Because."})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    for items in (from_frame(rows), from_csv(tmp_path / "rows.csv"), load_data(tmp_path / "rows.csv")):
        assert items["cluster"].tolist() == rows["cluster"].tolist() and set(items["rationale"]) == {"Because."}
    named = from_frame(rows.assign(block=[f"b{i // 10}" for i in range(40)]), cluster="block", rationale="question")
    assert named["cluster"].nunique() == 4 and named["rationale"].tolist() == rows["question"].tolist()


def test_all_faulty_questions_are_named_at_once(tmp_path):
    rows = pd.DataFrame({"id": list("pqrstuvwxyz"), "question": "Which?", "choice_a": "1st", "choice_b": "2nd",
                         "choice_c": "3rd", "answer": "A"})
    bad = rows.copy()
    bad.loc[2, "choice_b"], bad.loc[3, "choice_b"], bad.loc[4, "answer"] = "", "1st", ""
    bad.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(ValueError) as caught: from_csv(tmp_path / "bad.csv")
    assert str(caught.value) == (f"{tmp_path / 'bad.csv'}: question 3 ('r'): choice_b is empty; every choice must be "
                                 "non-empty text; also to mend: question 4 ('s'), question 5 ('t')")
    with pytest.raises(ValueError, match="'D', which is none of its 3 choices; .*'t'.*'x'.* and 2 more$"):
        from_frame(rows.assign(answer=["A"] * 3 + ["D"] * 8))


def test_a_last_choice_that_is_empty_in_few_rows():
    rows = pd.DataFrame({"id": range(40), "question": "Which?", "choice_a": "1st", "choice_b": "2nd", "choice_c": "3rd",
                         "answer": "A"})
    rows.loc[7, "choice_c"] = ""
    with pytest.warns(UserWarning, match="^1 of 40 questions have fewer choices than the usual 3, the first is '7': fill"):
        assert from_frame(rows)["choices"].str.len().value_counts().to_dict() == {3: 39, 2: 1}
    rows.loc[::2, "choice_c"] = ""  # half of them: that is how the data are
    with warnings.catch_warnings(action="error"): from_frame(rows)


@pytest.mark.parametrize("column, values, said", [
    ("cluster", [["a", "b"]] * 2, "items[0] ('p'): cluster is ['a', 'b'], not text or a number; write it as text or a "
     "number, or leave the cell empty; also to mend: items[1] ('q')"),
    ("rationale", ["Because.", 7], "items[1] ('q'): rationale is 7, not text; write it as text, or leave the cell empty"),
])
def test_clusters_and_rationales_of_other_kinds_are_refused(column, values, said):
    rows = pd.DataFrame({"id": ["p", "q"], "question": "Which?", "choices": [["x", "y"]] * 2, "answer": ["A", "B"]})
    with pytest.raises(ValueError) as caught: from_frame(rows.assign(**{column: values}))
    assert str(caught.value) == said
    blank = from_frame(rows.assign(**{column: [" ", None]}))
    assert blank["cluster"].tolist() == ["p", "q"] and blank["rationale"].tolist() == [None, None]
    with pytest.raises(ValueError, match="^there are two columns 'cluster'; rename one$"):
        from_frame(pd.concat([rows, pd.DataFrame({"a": [1, 2], "b": [1, 2]}).set_axis(["cluster"] * 2, axis=1)], axis=1))


def test_choices_in_a_record_name_its_field(tmp_path):
    row = {"question": "Which?", "options": {"label": ["A", "B"], "text": ["x", "y"]}, "answer": "A"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match="options is a record of label and text; name the field .* such as 'options.text'"):
        from_jsonl(tmp_path / "rows.jsonl", choices="options")
    assert from_jsonl(tmp_path / "rows.jsonl", choices="options.text")["choices"].tolist() == [["x", "y"]]
    with pytest.raises(ValueError, match=r"name them in Python, from_jsonl\(path"): load_data(tmp_path / "rows.jsonl")


def test_choices_in_columns_however_they_are_named():
    rows = pd.DataFrame({"question": "Which?", "a": "1st", "b": "2nd", "c": ["3rd", ""] + ["3rd"] * 38, "answer": "A"})
    for columns in (["a", "b", "c"], ("a", "b", "c"), rows.columns[1:4]):
        with pytest.warns(UserWarning, match="^1 of 40 questions have fewer choices"): from_frame(rows, choices=columns)
        with pytest.raises(ValueError, match=": a and b are both"): from_frame(rows.assign(b="1st"), choices=columns)
