"""The command line: what it refuses, what it prints, and what it never reads."""
import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from e2h.cli import load_data, main, make_studies, parser
from e2h.data import from_csv, from_jsonl, load_items
from e2h.hardness import hardness_measures
from e2h.sgr import BASE, simulate_records
from e2h.store import claim, log_event, open_store, pack, write_cell


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    "Tables as a pipe gets them, wherever the tests run."
    monkeypatch.setenv("COLUMNS", "10000")


@pytest.fixture
def run(tmp_path):
    "A run folder with made-up answers."
    store, records = open_store(tmp_path / "runs" / "one"), simulate_records(n_items=60, n_seeds=2)
    items = records.drop_duplicates("item_id")[["item_id", "cluster", "level", "value"]]
    claim(store, {"dataset": "simulated", "measures": ["fame"], "n_test": 100, "levels": "none"},
          items.rename(columns={"value": "fame", "level": "level_fame"}))
    for run_id, rows in records.groupby("run_id", sort=False):
        first, n_train = rows.iloc[0], int(rows["n_train"].iloc[0])
        write_cell(store.file(run_id), rows[["item_id", "pred", "correct"]], {
            **{name: first[name] for name in [*BASE, "method", "train_on"]}, "settings": json.loads(first["settings"]),
            "n_train": n_train, "seed": int(first["seed"]), "noise": 0., "measure": "fame" if n_train else None,
            "run_id": run_id, "n_test": len(rows), "seconds": 2.5, "peak_mb": 900, "fingerprint": "0123abcd",
            "train_ids": items["item_id"].tolist()[:n_train], "log": {}, "versions": {"e2h": "0.1.0"},
            "created": "2026-01-01", "accuracy": .5})
    return store.path


def e2h(capsys, *args):
    "Exit code, standard output and error stream of a command."
    code = main([str(arg) for arg in args])
    return code, *capsys.readouterr()


@pytest.mark.parametrize("command", [["sgr"], ["report"], ["runs", "show"]])
def test_text_and_json(run, tmp_path, capsys, command):
    packed = pack(open_store(run), tmp_path / "packed.parquet")
    for source in (run, packed, run.parent):
        code, out, err = e2h(capsys, *command, source)
        assert code == 0 and "ICL" in out, err
        code, out, err = e2h(capsys, *command, source, "--json", "--quiet")
        assert code == 0 and json.loads(out) and err == ""
    assert {p.name for p in run.glob("*.html")} == ({"report.html"} if command == ["report"] else set())


def test_a_run_is_shown_by_its_name_below_runs(run, capsys, monkeypatch):
    monkeypatch.chdir(run.parent.parent)
    assert e2h(capsys, "runs", "show", "one") == e2h(capsys, "runs", "show", "runs/one")


def test_tables_fit_the_screen(run, capsys, monkeypatch):
    whole = e2h(capsys, "sgr", run)[1]
    monkeypatch.setenv("COLUMNS", "80")
    narrow = e2h(capsys, "sgr", run)[1]
    tables = narrow.split("recovered, ")[1].split("\nOn ")[0]
    assert max(map(len, narrow.split("\nOn ")[1].splitlines())) <= 80
    assert max(map(len, tables.splitlines()[1:])) <= 80 < max(map(len, whole.splitlines()))
    values = [word for line in whole.split("recovered, ")[1].split("\nOn ")[0].splitlines()[3:] for word in line.split()]
    assert values and set(values) <= set(tables.split())  # nothing is left out


def test_an_unfinished_run_says_so(run, capsys):
    log_event(open_store(run), "study started", cells=20)
    log_event(open_store(run), "study stopped", finished=13)
    for command in (["sgr"], ["report"]):
        assert "its last study, of 20 cells, did not end" in e2h(capsys, *command, run)[2]
    assert "did not end" in (run / "report.html").read_text()
    assert json.loads(e2h(capsys, "runs", "ls", run.parent, "--json")[1])["runs"][0]["ended"] == "no"
    log_event(open_store(run), "study finished", finished=20)
    assert "did not end" not in e2h(capsys, "sgr", run)[2]


def test_two_studies_of_one_data_set_are_told_apart(run, capsys):
    shutil.copytree(run, run.parent / "two")
    code, _, err = e2h(capsys, "sgr", run.parent)
    assert code == 1 and "several studies of one data set" in err and str(run.parent / "two") in err
    shutil.move(run.parent / "two", run / "inner")  # a run folder is one run, whatever else lies in it
    assert e2h(capsys, "sgr", run)[0] == 0


def test_two_studies_of_one_data_set_by_other_measures(run, capsys):
    other = run.parent / "two"
    shutil.copytree(run, other)
    for file in (other / "cells").iterdir(): file.unlink()
    items = open_store(run).items.rename(columns={"fame": "hops", "level_fame": "level_hops"})
    (other / "study.json").unlink(), (other / "items.parquet").unlink()
    claim(open_store(other), open_store(run).settings | {"measures": ["hops"]}, items)
    shutil.copytree(run / "cells", other / "cells", dirs_exist_ok=True)
    assert e2h(capsys, "sgr", run.parent, "--measure", "fame")[:2] == e2h(capsys, "sgr", run, "--measure", "fame")[:2]


def test_a_study_of_several_data_sets_logs_above_its_runs(run, capsys):
    log_event(open_store(run.parent), "study started", cells=30)
    assert f"{run.parent} is not finished: its last study, of 30 cells, did not end" in e2h(capsys, "sgr", run)[2]


def test_a_torn_log_stops_nothing(run, capsys):
    (run / "events.jsonl").write_text('{"event": "study star\n{"time": "now", "event": "study stopped", "finished": 3}\n')
    code, _, err = e2h(capsys, "sgr", run)
    assert code == 0 and "its last study did not end" in err
    (run / "events.jsonl").write_text('{"time": "now"}\n')
    assert e2h(capsys, "runs", "ls", run.parent)[0] == 0


def test_runs_ls(run, tmp_path, capsys):
    pack(open_store(run), tmp_path / "packed.parquet")
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "study.json").write_text("{}")
    rows = json.loads(e2h(capsys, "runs", "ls", tmp_path, "--json")[1])["runs"]
    assert [row["run"] for row in rows] == ["packed.parquet", "runs/damaged", "runs/one"]
    assert rows[1]["dataset"].startswith("damaged: ") and rows[0]["cells"] == rows[2]["cells"] == 13
    assert e2h(capsys, "runs", "ls", tmp_path / "nothing")[1].strip().startswith("no runs below")


def test_a_foreign_run_reads_no_local_file(run, tmp_path, capsys):
    "The name of a data set in somebody's run is no path."
    secret = tmp_path / "secret.csv"
    ids = open_store(run).items["item_id"]
    pd.DataFrame(dict(item_id=ids, question="SECRET", choice_a="right", choice_b="wrong", answer="right")).to_csv(secret)
    settings = open_store(run).settings | {"dataset": str(secret)}
    (run / "study.json").write_text(json.dumps(settings))
    code, _, err = e2h(capsys, "report", run)
    assert code == 0 and "no questions on the page" in err and "SECRET" not in (run / "report.html").read_text()
    code, _, err = e2h(capsys, "report", run, "--dataset", secret)  # its owner may
    assert code == 0 and "SECRET" in (run / "report.html").read_text()


BAD = [
    (["plan", "--n-test", "-3", "--methods", "icl", "--train-on", "all"], "n_test=-3; give a whole number"),
    (["plan", "--measure", "charm"], "charm"),
    (["plan", "--format", "verse"], "cloze"),
    (["check", "nowhere.jsonl"], "there is no such file"),
    (["check", "worldquiz", "--cutoffs", "hops=1:2"], "--cutoffs is of hops, but --measure is fame"),
    (["plan", "--cutoffs", "hops=1:2"], "--cutoffs is of hops, but --measure is fame"),
    (["hardness", "nowhere"], "worldquiz"),
    (["hardness", "worldquiz", "--add", "charm"], "no model gives the measure 'charm'"),
    (["hardness", "worldquiz", "--add", "mdl", "--out", "items.csv"], "name a .parquet file"),
    (["sgr", "nowhere"], "is not a run folder"),
    (["runs", "show", "nowhere"], "is not a run folder"),
]


@pytest.mark.parametrize("args, sentence", BAD)
def test_mistakes(capsys, args, sentence):
    code, out, err = e2h(capsys, *args)
    assert code == 1 and out == "" and err.startswith("e2h: ") and sentence in err and err.count("\n") == 1


@pytest.mark.parametrize("args", [["study"], ["plan", "--seeds", "many"], ["plan", "--n-train", "a,b"],
                                  ["plan", "--cutoffs", "2:4"], ["dance"], ["--dance"], ["check", "worldquiz", "--dance"]])
def test_wrong_arguments(capsys, args):
    with pytest.raises(SystemExit) as caught: main(args)
    usage = "usage: e2h " + ("[-h] [--version]" if "dance" in args[0] else args[0])
    assert caught.value.code == 2 and capsys.readouterr().err.startswith(usage)


def test_a_number_that_prompts_do_not_take(capsys):
    said = "e2h: note: prompts take no --n-train: they show --shots examples"
    for methods, heard in (("icl,placebo", True), ("icl,probe", False)):
        assert (said in e2h(capsys, "plan", "--methods", methods, "--n-train", 20)[2]) == heard
    assert said not in e2h(capsys, "plan", "--methods", "icl", "--seeds", 1)[2]


def test_no_command_shows_those_there_are(capsys):
    code, out, err = e2h(capsys)
    assert code == 2 and out == "" and "worldquiz" not in err
    assert all(f"\n    {command} " in err for command in ("check", "plan", "study", "hardness", "sgr", "report", "runs"))


def test_a_plan_of_a_model_without_a_size(capsys):
    grid = ["plan", "--methods", "icl", "--seeds", "1", "--model"]
    assert "GPU-hours unknown (no size in the name of mymodel)" in e2h(capsys, *grid, "mymodel,Llama-2-7b")[1]
    assert json.loads(e2h(capsys, *grid, "mymodel", "--json")[1])["total"]["GPU-hours"] is None
    assert json.loads(e2h(capsys, *grid, "Llama-2-7b", "--json")[1])["total"]["GPU-hours"] > 0


def test_a_reader_that_has_seen_enough():
    p = subprocess.run(["sh", "-c", '"$PY" -c "$E2H" plan --methods icl --seeds 1 --json | true'], capture_output=True,
                       text=True, env={**os.environ, "PY": sys.executable,
                                       "E2H": "from e2h.cli import main; raise SystemExit(main())"})
    assert "Traceback" not in p.stderr and "Error" not in p.stderr


def test_a_damaged_cell_is_said_in_one_line(run, capsys):
    victim = sorted((run / "cells").glob("*.parquet"))[0]
    victim.write_bytes(b"no more")
    code, _, err = e2h(capsys, "sgr", run, "--quiet")
    first, *more = err.splitlines()
    assert code == 0 and first.startswith("e2h: note: ") and "set aside" in first
    assert all("items in common" in line for line in more)  # without the cell, the arms answered different items


def test_hardness_that_a_model_gives(tmp_path, capsys, tiny):
    "Added to the items, kept with its error, and taken by the next study as any measure."
    from e2h.lm import LM
    from e2h.model_hardness import model_hardness
    items = load_items("worldquiz").dropna(subset="fame").groupby("cluster").head(6)
    items[["item_id", "question", "choices", "answer", "fame", "cluster"]].to_parquet(tmp_path / "some.parquet")
    tiny("llama").model.save_pretrained(tmp_path / "model")
    tiny("llama").tokenizer.save_pretrained(tmp_path / "model")
    asked = ["hardness", tmp_path / "some.parquet", "--model", tmp_path / "model", "--add", "mdl,question_bits", "--seeds", 2]
    code, out, err = e2h(capsys, *asked, "--out", tmp_path / "items.parquet")
    assert code == 0 and "question_bits" in out, err
    kept, levels = pd.read_parquet(tmp_path / "items.parquet"), json.loads(e2h(capsys, *asked, "--json")[1])["levels"]
    assert {row["measure"] for row in levels} >= {"fame", "mdl", "question_bits"} and kept["mdl_se"].gt(0).all()
    lm = LM.load(str(tmp_path / "model"))
    assert model_hardness(load_data(tmp_path / "some.parquet"), lm, "mdl", seeds=2)["mdl"].tolist() == kept["mdl"].tolist()
    again = load_data(tmp_path / "items.parquet")
    assert hardness_measures(again)[:3] == ["fame", "mdl", "question_bits"]


def test_the_next_command_after_a_study_of_ones_own_file(tmp_path, capsys, tiny):
    items = load_items("worldquiz").dropna(subset="fame").iloc[::4]
    items[["item_id", "question", "choices", "answer", "fame", "cluster"]].to_parquet(tmp_path / "mine.parquet")
    tiny("llama").model.save_pretrained(tmp_path / "model")
    tiny("llama").tokenizer.save_pretrained(tmp_path / "model")
    code, out, err = e2h(capsys, "study", "--dataset", tmp_path / "mine.parquet", "--model", tmp_path / "model", "--measure",
                         "fame", "--methods", "probe", "--n-train", 20, "--seeds", 1, "--out", tmp_path / "run", "--quiet")
    assert code == 0, err
    following = out.split("next: ")[1].split()
    assert following[:2] == ["e2h", "report"]
    code, out, err = e2h(capsys, *following[1:])
    page = next((tmp_path / "run").glob("*.html")).read_text("utf-8")
    assert code == 0 and "no questions" not in err and sum(q in page for q in items["question"]) > 10
    assert "the page that is replaced had them" in e2h(capsys, "report", tmp_path / "run")[2]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_files_of_ones_own(tmp_path, ending):
    items = load_items("worldquiz").dropna(subset="fame").iloc[::20]
    file = tmp_path / f"mine.{ending}"
    frame = items[["item_id", "question", "choices", "answer", "fame", "cluster"]]
    if ending == "parquet": frame.to_parquet(file)
    elif "jsonl" in ending: frame.to_json(file, orient="records", lines=True)
    else:
        wide = frame.assign(answer=[c[a] for c, a in zip(frame["choices"], frame["answer"])],
                            **{f"choice_{i}": [c[i] for c in frame["choices"]] for i in range(4)})
        wide.drop(columns="choices").to_csv(file, index=False)
    found = load_data(str(file))
    assert found["choices"].tolist() == items["choices"].tolist() and found["answer"].tolist() == items["answer"].tolist()
    assert np.allclose(found["fame"], items["fame"]) and found.attrs["dataset"] == "mine"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_cut_off_file(tmp_path, capsys, ending):
    data = gzip.compress(b"question,answer,choice_a,choice_b\nwhat,a,a,b\n" * 50)
    (tmp_path / f"cut.{ending}.gz").write_bytes(data[:len(data) // 2])
    code, _, err = e2h(capsys, "check", tmp_path / f"cut.{ending}.gz")
    assert code == 1 and err.count("\n") == 1 and "cut." in err


def test_check_says_what_is_wrong(tmp_path, capsys):
    items = load_items("worldquiz").dropna(subset="fame")
    code, out, _ = e2h(capsys, "check", "worldquiz", "--json")
    assert code == 0 and json.loads(out)["verdict"] == "ready"
    few = items.iloc[::20][["question", "choices", "answer", "fame"]]
    few.to_json(tmp_path / "few.jsonl", orient="records", lines=True)
    code, out, _ = e2h(capsys, "check", tmp_path / "few.jsonl")
    assert code == 3 and "not ready" in out


def test_a_study_says_what_check_would_stop_at(tmp_path, capsys, tiny):
    items = load_items("worldquiz").dropna(subset="fame").iloc[::4]
    twice = pd.concat([items, items.assign(item_id=items["item_id"] + "-again", cluster=items["item_id"])])
    twice = twice.reset_index(drop=True).assign(turn=np.arange(len(twice)) % 3)
    twice.loc[twice["turn"] == 2, "answer"] = 0  # by this measure, hard answers stand in one place
    twice[["item_id", "question", "choices", "answer", "fame", "turn", "cluster"]].to_parquet(tmp_path / "twice.parquet")
    tiny("llama").model.save_pretrained(tmp_path / "model")
    tiny("llama").tokenizer.save_pretrained(tmp_path / "model")
    code, _, err = e2h(capsys, "study", "--dataset", tmp_path / "twice.parquet", "--model", tmp_path / "model", "--methods",
                       "answer_prior", "--n-train", 20, "--seeds", 1, "--out", tmp_path / "run", "--quiet", "--measure",
                       "fame,turn")
    assert code == 0 and err.count("items share question and answer with an item of another cluster") == 1
    assert "is right in 100.0 % of hard items" in err  # by the second measure alone


def test_ids_and_choices_by_their_usual_names(tmp_path):
    items = load_items("worldquiz").dropna(subset="fame").iloc[::20].reset_index(drop=True)
    frame = items[["question", "choices", "answer", "fame"]].assign(id=[f"w{row:03}" for row in range(len(items))])
    frame.to_json(tmp_path / "mine.jsonl", orient="records", lines=True)
    assert load_data(str(tmp_path / "mine.jsonl"))["item_id"].tolist() == frame["id"].tolist()
    wide = frame.drop(columns="choices").assign(**{f"choice_{i}": items["choices"].str[i] for i in range(4)})
    wide.assign(answer=["ABCD"[a] for a in items["answer"]]).to_csv(tmp_path / "mine.csv", index=False)
    for found in (from_jsonl(tmp_path / "mine.jsonl"), from_csv(tmp_path / "mine.csv")):
        assert found["choices"].tolist() == items["choices"].tolist() and found["answer"].tolist() == items["answer"].tolist()
        assert found["item_id"].tolist() == frame["id"].tolist()
    wide.assign(answer=["E", *("ABCD"[a] for a in items["answer"][1:])]).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(ValueError, match="answer is 'E', which is none of its 4 choices"): from_csv(tmp_path / "mine.csv")


def test_files_that_are_no_runs(run, tmp_path, capsys):
    code, _, err = e2h(capsys, "report", tmp_path / "nowhere.parquet")
    assert code == 1 and "there is no file" in err
    with pytest.raises(FileNotFoundError, match="there is no such file"): open_store(tmp_path / "nowhere.parquet")
    rows = open_store(run).records().drop(columns="logprobs", errors="ignore")
    rows.assign(level="medium").to_csv(tmp_path / "medium.csv", index=False)
    code, out, err = e2h(capsys, "sgr", tmp_path / "medium.csv")
    assert code == 1 and out == "" and "no answer to hard items; levels are medium" in err
    (tmp_path / "empty.csv").write_text(""), (tmp_path / "empty.jsonl").write_text("")
    for name, command in (("empty.csv", "check"), ("empty.jsonl", "check"), ("empty.csv", "sgr")):
        assert "is empty; give it" in e2h(capsys, command, tmp_path / name)[2]
    assert "there is no format 'foo'" in e2h(capsys, "check", "worldquiz", "--format", "foo")[2]
    assert "leave out --measure" in e2h(capsys, "sgr", tmp_path / "medium.csv", "--measure", "fame")[2]
    assert "is a folder: name a .csv, .jsonl or .parquet file in it" in e2h(capsys, "check", tmp_path)[2]
    code, _, err = e2h(capsys, "runs", "show", tmp_path / "medium.csv")
    assert code == 1 and "e2h sgr reads other records" in err


def test_a_file_without_hardness_says_which_measure_is_taken(tmp_path, capsys):
    items = load_items("worldquiz").dropna(subset="fame").iloc[::4]
    items[["item_id", "question", "choices", "answer", "cluster"]].to_parquet(tmp_path / "plain.parquet")
    assert "there is no column of hardness; the measure is " in e2h(capsys, "check", tmp_path / "plain.parquet")[2]


def test_a_broken_csv_names_its_line(tmp_path, capsys):
    head = "question,choice_a,choice_b,answer\n" + "what,a,b,A\n" * 3
    for line, words in (("1,000?,a,b,A\n", "line 5 has 5 cells, not 4; put text with commas in double quotes"),
                        ('"what,a,b,A\n', "a quote that opens on line 5 is never closed"),
                        ('"two\nlines",a,b,A\n1,000?,a,b,A\n', "line 7 has 5 cells, not 4")):
        (tmp_path / "broken.csv").write_text(head + line)
        code, _, err = e2h(capsys, "check", tmp_path / "broken.csv")
        assert code == 1 and f"broken.csv: {words}" in err
    (tmp_path / "broken.csv").write_text("question,choice_a,choice_b,answer\n1,000?,a,b,A\n1,001?,a,b,A\n")  # all of them
    assert "line 2 has 5 cells, not 4" in e2h(capsys, "check", tmp_path / "broken.csv")[2]


def test_cutoffs_of_ones_own(capsys):
    fame = load_items("worldquiz")["fame"]
    low, high = fame.quantile([.4, .6])
    cuts = ["--cutoffs", f"fame={low}:{high}"]
    facts = json.loads(e2h(capsys, "check", "worldquiz", "--json", *cuts)[1])
    assert facts["facts"]["easy_max"] == fame[fame <= low].max() and facts["facts"]["hard_min"] == fame[fame >= high].min()
    study = make_studies(parser().parse_args(["plan", "--methods", "answer_prior", *cuts]))[0]
    counts = study.levels["fame"].value_counts()
    assert counts.to_dict() == {"easy": (fame <= low).sum(), "medium": fame.between(low, high, "neither").sum(),
                                "hard": (fame >= high).sum()}


@pytest.mark.parametrize("size, words", [(["--items", "300", "--gap", ".05", "--seeds", "3"], "cannot separate; needs about"),
                                         (["--items", "2000", "--gap", ".1"], "that easy data keep at least"),
                                         (["--items", "200", "--gap", ".05", "--clusters", "20"], "clusters for 80 %")])
def test_plan_of_a_size(capsys, size, words):
    code, out, _ = e2h(capsys, "plan", *size)
    assert code == 0 and words in out
    separated = json.loads(e2h(capsys, "plan", *size, "--json")[1])["power"]["separated"]
    assert f"{separated:.0%}" in out


@pytest.mark.parametrize("wrong, words", [(["--items", "1"], "items=1 is no number"), (["--gap", ".1"], "give --items too"),
                                          (["--items", "100", "--gap", "0"], "gap=0"),
                                          (["--items", "100", "--sgr", "80"], "sgr=80")])
def test_plan_of_no_size(capsys, wrong, words):
    code, _, err = e2h(capsys, "plan", *wrong)
    assert code == 1 and words in err


def test_questions_are_no_records(capsys, tmp_path):
    (tmp_path / "mine.csv").write_text("question,choice_a,choice_b,answer\nwhat,a,b,A\n")
    for command in ("sgr", "report"):
        code, _, err = e2h(capsys, command, tmp_path / "mine.csv")
        assert code == 1 and "holds questions, no answers: ask them first, with e2h study --dataset" in err
    with pytest.raises(SystemExit): main(["plan", "mine.csv"])
    assert "data are named with --dataset" in capsys.readouterr().err


def test_sgr_of_a_file_that_is_not_there_or_empty(capsys, tmp_path):
    (tmp_path / "empty.csv").write_text("item_id,arm,seed,correct\n")
    for name, words in (("empty.csv", "there are no answers"), ("missing.csv", "there is no file")):
        code, _, err = e2h(capsys, "sgr", tmp_path / name)
        assert code == 1 and words in err and "Traceback" not in err


def test_hardness_names_what_cannot_be_cut(tmp_path, capsys):
    rows = pd.DataFrame({"question": "Which is it?", "choice_a": "1st", "choice_b": "2nd", "answer": ["A", "B"] * 20,
                         "effort": np.arange(40) % 4})
    rows.to_csv(tmp_path / "same.csv", index=False)
    out = e2h(capsys, "hardness", tmp_path / "same.csv")[1]
    assert "the items differ too little: question_words, answer_chars, answer_words" in out and "effort  " in out


def test_hardness_names_its_measures(capsys):
    text, data = e2h(capsys, "hardness", "worldquiz")[1], json.loads(e2h(capsys, "hardness", "worldquiz", "--json")[1])
    assert {"fame": 616, "hops": 316}.items() <= {row["measure"]: row["easy"] for row in data["levels"]}.items()
    fame = next(line.split() for line in text.splitlines() if line.split()[:1] == ["fame"])
    assert fame[3] == "616"


def test_help_reads_well(capsys):
    for command in ["study", "plan", "hardness", "sgr", "report", "runs", "check"]:
        with pytest.raises(SystemExit): main([command, "--help"])
        assert "--json" in capsys.readouterr().out


@pytest.mark.skipif("E2H_DATA" not in os.environ, reason="E2H_DATA does not name a folder with the real data sets")
@pytest.mark.parametrize("page", ["paper/08_the_paper_table_by_table", "guides/cluster"])
def test_the_commands_on_a_page_are_studies(page):
    cells = json.loads((Path(__file__).parents[1] / "nbs" / f"{page}.ipynb").read_text("utf-8"))["cells"]
    text = "".join(line for cell in cells if cell["cell_type"] == "markdown" for line in cell["source"])
    commands = re.findall(r"^ *e2h (study --.*)$", text.replace("\\\n", " "), re.M)
    assert len(commands) >= 5
    for command in commands:
        args = parser().parse_args([*shlex.split(command), "--seeds", "1"])
        for study in make_studies(args):
            assert all(part.splits for part in study.parts) and study.original == page.startswith("paper")
        if args.dataset == "gsm8k": assert len(next(iter(study.splits.values())).test_ids) == 501  # 500 in the paper
