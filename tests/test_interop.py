"""Logs of lm-evaluation-harness become records, and records survive CSV and parquet."""
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2h.data import load_items, load_results
from e2h.prompts import prompts
from e2h.scoring import choice_logprobs
from e2h.sgr import sgr_table
from e2h.store import from_lm_eval, load_records, read_samples, save_records, scored_requests, typed_records

FIXTURE = Path(__file__).parent / "fixtures" / "lm_eval"
RUNS = {"zeroshot": "none", "easy-0": "easy", "easy-1": "easy", "hard-0": "hard", "hard-1": "hard"}
FIELDS = dict(item_id="item_id", level="level", value="value", cluster="cluster")
CHOICES = ["red", "green", "blue"]


def log_of(run):
    [file] = (FIXTURE / run).glob("samples_*.jsonl")
    return file


@pytest.fixture(scope="module")
def records():
    return pd.concat([from_lm_eval(log_of(run), train_on, **FIELDS) for run, train_on in RUNS.items()], ignore_index=True)


def sample(doc_id=0, target="1", logprobs=(-2., -1., -3.), choices=CHOICES, **more):
    asked = {f"gen_args_{i}": {"arg_0": "Q\nA:", "arg_1": f" {choice}"} for i, choice in enumerate(choices)}
    return {"doc_id": doc_id, "doc": {"id": f"q{doc_id}", "level": "hard", "value": 1.5}, "target": target,
            "arguments": asked, "filtered_resps": [[str(x), "False"] for x in logprobs], "filter": "none", **more}


def without(field):
    return {key: value for key, value in sample().items() if key != field}


@pytest.fixture
def read(tmp_path):
    "Writes samples (or lines) to a log and reads it."
    def read(*samples, name="samples_toy_2026-01-01T00-00-00.jsonl", **options):
        lines = [x if isinstance(x, str) else json.dumps(x) for x in samples]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        known = dict(train_on="easy", model="m", n_train=3, item_id="id", level="level", value="value")
        return from_lm_eval(tmp_path / name, **{**known, **options})
    return read


# the recorded runs

@pytest.mark.parametrize("run", RUNS)
def test_as_the_harness_has_it(records, run):
    [file] = (FIXTURE / run).glob("results_*.json")
    recorded = json.loads(file.read_text(encoding="utf-8"))["results"]["worldquiz"]
    ours = from_lm_eval(log_of(run), RUNS[run], **FIELDS)
    samples = [s for _, s in read_samples(log_of(run))]
    assert ours["correct"].mean() == pytest.approx(recorded["acc,none"], abs=1e-12)
    assert ours["correct"].tolist() == [int(s["acc"]) for s in samples]
    assert ours["pred"].tolist() == [s["doc"]["choices"][int(np.argmax(x))] for s, x in zip(samples, ours["logprobs"])]
    assert ours["logp_gold"].tolist() == [x[s["doc"]["answer"]] for s, x in zip(samples, ours["logprobs"])]
    by_length = [np.argmax(np.divide(x, n)) for x, n in zip(ours["logprobs"], ours["n_chars"])]
    assert np.mean([p == s["doc"]["answer"] for p, s in zip(by_length, samples)]) == pytest.approx(recorded["acc_norm,none"])


def test_settings_of_the_recorded_runs(records):
    one = records.drop_duplicates("run_id").set_index(["train_on", "seed"]).sort_index()
    assert list(one.index) == [("easy", 0), ("easy", 1), ("hard", 0), ("hard", 1), ("none", 0)]
    assert one["n_train"].tolist() == [3, 3, 3, 3, 0] and one["method"].tolist() == ["icl"] * 4 + ["zeroshot"]
    same = one[["dataset", "model", "quant", "dtype"]].drop_duplicates()
    assert same.values.tolist() == [["worldquiz", "SmolLM2-135M-Instruct", "none", "float32"]]


def test_one_comparison(records):
    [row] = sgr_table(records).itertuples()
    assert (row.method, row.n_items, row.n_seeds) == ("icl", 36, 2) and row.n_clusters < 36
    hard, none = (records[records["train_on"] == x]["correct"].mean() for x in ("hard", "none"))
    assert row.gap == pytest.approx(hard - none) and row.zero_shot == pytest.approx(none)


@pytest.mark.parametrize("run", ["zeroshot", "hard-1"])
def test_the_engine_gives_the_same(smollm2, run):
    asked = [scored_requests(s) for _, s in read_samples(log_of(run))[:5]]
    ours = choice_logprobs(smollm2, [rows[0][0] for rows in asked], [[row[1] for row in rows] for rows in asked])
    theirs = from_lm_eval(log_of(run), RUNS[run], **FIELDS)["logprobs"][:5]
    assert max(np.abs(a - b).max() for a, b in zip(ours, theirs)) < 1e-3


def test_the_recorded_prompts_are_ours():
    items = load_items("worldquiz").set_index("item_id", drop=False)
    samples = [s for _, s in read_samples(log_of("zeroshot"))]
    assert [scored_requests(s)[0][0] for s in samples] == prompts(items.loc[[s["doc"]["item_id"] for s in samples]])


def test_nothing_of_a_machine_is_recorded():
    for file in FIXTURE.rglob("*.json*"):
        text = file.read_text(encoding="utf-8")
        assert not any(word in text for word in ("/root", "/home", "/tmp", "/work", "CPU", "pretty_env_info", "git_hash"))
    assert sum(f.stat().st_size for f in FIXTURE.rglob("*.*")) < 400_000


# what a log may be

def test_forms_of_a_log(read):
    plain = read(sample(acc=1.0), sample(1, "0", acc=0.0))
    listed = dict(arguments=[["Q\nA:", f" {choice}"] for choice in CHOICES],
                  filtered_resps=[[-2., False], [-1., False], [-3., False]])
    older = read(sample(acc=1.0, **listed), sample(1, "0", acc=0.0, **listed))
    assert plain.drop(columns="run_id").equals(older.drop(columns="run_id")) and plain["correct"].tolist() == [1, 0]
    named = read(sample(target="green"), sample(1, "red"))
    assert named["correct"].tolist() == [1, 0] and named["logp_gold"].tolist() == [-1., -2.]
    mixed = read(sample(), sample(1, "4", [-5, -4, -3, -2, -1.], list("vwxyz")))
    assert mixed["logprobs"].str.len().tolist() == [3, 5] and mixed["correct"].tolist() == [1, 1]
    tied = read(sample(target="0", logprobs=[-1., -1., -2.]))
    assert tied["pred"].tolist() == ["red"] and tied["correct"].tolist() == [1]


def test_more_than_ten_choices_in_any_order(read):
    letters = [chr(97 + i) for i in range(12)]
    one = sample(target="11", logprobs=np.arange(-12., 0), choices=letters)
    one["arguments"] = dict(sorted(one["arguments"].items()))  # gen_args_10 before gen_args_2
    assert read(one)["pred"].tolist() == ["l"] and read(one)["correct"].tolist() == [1]


def test_targets_that_are_numbers(read):
    "Whether '1' is the second choice or the choice '1' is settled by the recorded accuracy of any line."
    years = ["1", "2", "0"]
    by_text = read(sample(0, "1", [-3., -1., -2.], years, acc=0.0), sample(1, "2", [-2., -1., -3.], years, acc=1.0))
    assert by_text["correct"].tolist() == [0, 1] and by_text["logp_gold"].tolist() == [-3., -1.]
    by_number = read(sample(0, "1", [-3., -1., -2.], years, acc=1.0), sample(1, "2", [-2., -1., -3.], years, acc=0.0))
    assert by_number["correct"].tolist() == [1, 0] and by_number["logp_gold"].tolist() == [-1., -3.]


def test_one_continuation_and_mutual_information(read):
    alone = [sample(i, "Paris", [-1.], ["Paris"], filtered_resps=[["-1.0", greedy]], acc=float(greedy == "True"))
             for i, greedy in enumerate(["True", "False"])]
    assert read(*alone)[["pred", "correct"]].values.tolist() == [["Paris", 1], ["", 0]]
    twice = sample(logprobs=[-2., -1., -3., -.1, -9., -9.], choices=CHOICES * 2, acc=1.0)
    for i in (3, 4, 5): twice["arguments"][f"gen_args_{i}"]["arg_0"] = ""
    assert read(twice)["logprobs"].tolist() == [[-2., -1., -3.]]


def test_filters(read):
    with pytest.warns(UserWarning, match="2 of 4 lines have another filter than 'none' and are left out"):
        found = read(*(sample(i, filter=name) for name in ("none", "strict") for i in (0, 1)))
    assert found["item_id"].tolist() == ["q0", "q1"]


def test_items_from_elsewhere(read):
    items = pd.DataFrame(dict(item_id=[0, 1, 7], depth=["easy", "hard", "hard"], steps=[1, 2, 9], place=["a", None, "a"]))
    found = read(sample(), sample(1), item_id=None, items=items, level="depth", value="steps", cluster="place")
    assert found["level"].tolist() == ["easy", "hard"] and found["value"].tolist() == [1., 2.]
    assert found["cluster"].isna().tolist() == [False, True] and found["item_id"].tolist() == ["0", "1"]
    with pytest.raises(ValueError, match="line 2: item '3' is not in items"):
        read(sample(), sample(3), item_id=None, items=items, level="depth", value=None)


def test_packed_with_gzip(read, tmp_path):
    plain = read(sample())
    file = tmp_path / "samples_toy_2026-01-01T00-00-00.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(sample()).encode()))
    packed = from_lm_eval(file, "easy", model="m", n_train=3, item_id="id", level="level", value="value")
    assert packed.drop(columns="run_id").equals(plain.drop(columns="run_id"))


BAD = {
    "line 2 is not JSON": ['{"doc_id": 0', ],
    "line 3: there is no 'filtered_resps'; write it with lm_eval --log_samples": [sample(1), without("filtered_resps")],
    "line 2: there is no 'doc'": [without("doc")],
    "line 2: it has no log-probability for each choice; log a task of output_type multiple_choice":
        [sample(1, arguments={"gen_args_0": {"arg_0": "2 + 10 =", "arg_1": {"until": ["\n"]}}}, filtered_resps=["12"])],
    "line 2: it has no log-probability ":
        [sample(1, arguments={"gen_args_0": {"arg_0": "A text."}}, filtered_resps=["-12.5"])],
    "line 3: it has no log-probability": [sample(1), sample(2, filtered_resps=[["-1.0", "False"]])],
    "line 2: it has no log-probability for": [sample(1, arguments={"first": "Q"}, filtered_resps=["-1.0"])],
    "line 2: the log-probability of choice 1 is nan; score it again": [sample(1, logprobs=[-1, np.nan, -2])],
    "line 2: the log-probability of choice 0 is -inf": [sample(1, logprobs=[-np.inf, -1, -2])],
    r"line 3: target '3' is neither number nor text of one of \['red', 'green', 'blue'\]": [sample(1), sample(2, "3")],
    r"line 2: target '\[0, 1\]' is neither .* one right choice": [sample(1, "[0, 1]")],
    "line 2: target '1' does not agree with acc 0.0 and picked choice 1": [sample(1, acc=0.0)],
    "line 2: its choices stand in the prompts": [sample(1, choices=["same"] * 3)],
    "line 3: item 'q1' stands on line 2 already; name another item_id": [sample(1), sample(1)],
    "line 2: the data have no column 'level'": [sample(1, doc={"id": "q1", "value": 1})],
    "line 2: level is 'Hard'; give easy, medium or hard": [sample(1, doc={"id": "q1", "level": "Hard", "value": 1})],
    "line 2: value is '2 steps'; give a number": [sample(1, doc={"id": "q1", "level": "hard", "value": "2 steps"})],
}


@pytest.mark.parametrize("match", BAD)
def test_bad_lines(read, match):
    with pytest.raises(ValueError, match=match): read(sample(), *BAD[match])


@pytest.mark.parametrize("match, options", {
    "nothing beside it says the model; give model=": dict(model=None),
    "train_on is 'Easy'; give none": dict(train_on="Easy"),
    "train_on is 'none' but n_train is 3": dict(train_on="none"),
    "train_on is 'hard' but n_train is 0; give .* of a tuned model": dict(train_on="hard", n_train=0),
    "no column 'sead'.*did you mean 'seed'": dict(sead=1),
    "no column 'idd'.*did you mean 'id'": dict(item_id="idd"),
}.items())
def test_bad_settings(read, match, options):
    with pytest.raises((ValueError, KeyError), match=match): read(sample(), **options)


def test_files_that_are_no_logs(read, tmp_path):
    with pytest.raises(ValueError, match="holds no sample"): read("")
    with pytest.raises(ValueError, match="nothing beside it says the dataset"): read(sample(), name="log.jsonl")
    (tmp_path / "results_2026-01-01T00-00-00.json").write_text("{}")
    with pytest.raises(ValueError, match="results_2026-01-01T00-00-00.json is not as lm_eval writes it"): read(sample())


def test_quantised_runs_are_told_apart(read, tmp_path):
    for arguments, quant in [({"pretrained": "me/m"}, "none"), ("pretrained=me/m,load_in_4bit=True", "load_in_4bit=True"),
                             ({"pretrained": "me/m", "load_in_8bit": False}, "none"),
                             ({"pretrained": "me/m", "quant": "nf4"}, "quant=nf4")]:
        config = {"model_args": arguments, "model_dtype": "torch.float16", "fewshot_seed": 3}
        beside = tmp_path / "results_2026-01-01T00-00-00.json"
        beside.write_text(json.dumps({"config": config, "n-shot": {"toy": 5}}))
        found = read(sample()).iloc[0]
        assert (found["quant"], found["dtype"], found["seed"]) == (quant, "float16", 3)


# what the harness itself writes, with a model that guesses

def run_harness(folder, tasks):
    "Logs of some tasks -> task -> file."
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.api.model import LM
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    class Guess(LM):
        def loglikelihood(self, requests, **kwargs):
            rng = np.random.default_rng(0)
            return [(float(-rng.exponential()), bool(rng.integers(2))) for _ in requests]

        def loglikelihood_rolling(self, requests, **kwargs): return [-1.5 for _ in requests]

        def generate_until(self, requests, **kwargs): return ["12" for _ in requests]

    docs = [dict(q=f"Question {i}?", c=CHOICES[:2 + i % 2], n=i % 2, t=CHOICES[i % 2], id=f"q{i}") for i in range(8)]
    (folder / "docs.jsonl").write_text("\n".join(map(json.dumps, docs)))
    base = dict(dataset_path="json", test_split="test", doc_to_text="{{q}}", doc_to_target="n",
                dataset_kwargs=dict(data_files=dict(test=str(folder / "docs.jsonl")), cache_dir=str(folder / "cache")))
    out = lm_eval.simple_evaluate(Guess(), tasks=[dict(base, task=name, **task) for name, task in tasks.items()],
                                  task_manager=TaskManager(include_defaults=False), bootstrap_iters=0)
    tracker, samples = EvaluationTracker(output_path=str(folder / "out")), out.pop("samples")
    tracker.general_config_tracker.model_name_sanitized = "guess"
    tracker.save_results_aggregated(out, samples)
    for name in samples: tracker.save_results_samples(name, samples[name])
    return {name: next((folder / "out" / "guess").glob(f"samples_{name}_*.jsonl")) for name in tasks}, out["results"]


def test_kinds_of_tasks(tmp_path):
    choice = dict(output_type="multiple_choice", doc_to_choice="c", metric_list=[dict(metric="acc")])
    generate = dict(output_type="generate_until", metric_list=[dict(metric="exact_match")])
    two = [dict(name=name, filter=[dict(function="take_first")]) for name in ("one", "other")]
    logs, results = run_harness(tmp_path, {
        "number": choice, "text": choice | dict(doc_to_target="{{t}}"), "filters": choice | dict(filter_list=two),
        "mutual": choice | dict(metric_list=[dict(metric="acc"), dict(metric="acc_mutual_info")]),
        "alone": dict(output_type="loglikelihood", doc_to_target=" {{t}}", metric_list=[dict(metric="acc")]),
        "several": choice | dict(doc_to_target="{{[0, 1]}}"), "generated": generate,
        "rolling": dict(output_type="loglikelihood_rolling", doc_to_target="{{q}}",
                        metric_list=[dict(metric="byte_perplexity")])})
    known = dict(train_on="none", model="guess", n_train=0)
    for name, key in {"number": "acc,none", "text": "acc,none", "mutual": "acc,none", "alone": "acc,none"}.items():
        assert from_lm_eval(logs[name], **known)["correct"].mean() == results[name][key], name
    with pytest.warns(UserWarning, match="8 of 16 lines have another filter than 'one'"):
        assert from_lm_eval(logs["filters"], **known)["correct"].mean() == results["filters"]["acc,one"]
    for name, match in {"several": "one right choice", "generated": "no log-prob", "rolling": "no log-prob"}.items():
        with pytest.raises(ValueError, match=f"line 1: .*{match}"): from_lm_eval(logs[name], **known)


# records in files

@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_recorded_results_come_back(tmp_path, suffix):
    recorded = load_results("worldquiz")
    recorded = recorded[recorded["cluster"].str.endswith("01")].reset_index(drop=True)
    back = load_records(save_records(recorded, tmp_path / f"records{suffix}"))
    pd.testing.assert_frame_equal(back, typed_records(recorded), check_exact=True)
    for name in recorded.columns[recorded.notna().all()]:
        assert [list(x) if name in ("logprobs", "n_tokens", "n_chars") else x for x in recorded[name]] == back[name].tolist()
    assert sgr_table(back).equals(sgr_table(recorded))
    assert sgr_table(tmp_path / f"records{suffix}").equals(sgr_table(recorded))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
HOLE = st.none()
ROW = st.fixed_dictionaries(dict(
    item_id=TEXT.filter(bool), pred=TEXT | HOLE, correct=st.sampled_from([0, 1, True, False, 1.0]), method=TEXT.filter(bool),
    train_on=st.sampled_from(["none", "easy"]), logprobs=st.lists(NUMBER, min_size=1, max_size=4) | HOLE,
    logp_gold=NUMBER | HOLE, seed=st.integers(-2**31, 2**31), cluster=TEXT | HOLE, value=NUMBER | HOLE,
    noise=st.sampled_from([0.0, .1, 1e-320]), level=st.sampled_from(["easy", "medium", "hard", None]), other=TEXT | HOLE))


def one_level_each(rows):
    "An item has one level, wherever it stands."
    first = {}
    return [row | {"level": first.setdefault(row["item_id"], row["level"])} for row in rows]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@settings(deadline=None, max_examples=60)
@given(rows=st.lists(ROW, min_size=1, max_size=4).map(one_level_each))
def test_any_records_come_back(tmp_path_factory, suffix, rows):
    file, records = tmp_path_factory.mktemp("any") / f"records{suffix}", pd.DataFrame(rows)
    back = load_records(save_records(records, file))
    pd.testing.assert_frame_equal(back, typed_records(records), check_exact=True)
    once = file.read_bytes()
    assert save_records(back, file).read_bytes() == once == save_records(records, file).read_bytes()
    assert [x if x else None for x in back["item_id"]] == [row["item_id"] for row in rows]
    assert [None if pd.isna(x) else x for x in back["value"]] == [row["value"] for row in rows]


def small(**changes):
    return pd.DataFrame(dict(item_id=["a", "b"], method="icl", train_on="easy", seed=0, correct=[0, 1], level="hard",
                             logprobs=[[-1., -2.], [-3., -4.]], n_chars=[[1, 2], [3, 4]])).assign(**changes)


@pytest.mark.parametrize("match, changes", {
    "correct of item 'b' is 2": dict(correct=[0, 2]),
    "level 'Hard' is unknown": dict(level="Hard"),
    r"logprobs of item 'a' is \[-1.0, nan\]": dict(logprobs=[[-1., np.nan], [-3., -4.]]),
    r"logprobs of item 'a' is \[-1.0, -2.0\]; give a list": dict(logprobs="[-1.0, -2.0]"),
    "logprobs, n_chars of item 'b' differ in length": dict(n_chars=[[1, 2], [3]]),
}.items())
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_bad_records_are_not_written(tmp_path, suffix, match, changes):
    file = tmp_path / f"x{suffix}"
    with pytest.raises(ValueError, match=match): save_records(small(**changes), file)
    with pytest.raises(KeyError, match="column 'seed' is missing"): save_records(small().drop(columns="seed"), file)
    with pytest.raises(ValueError, match="x.xlsx: write records to a .csv or"): save_records(small(), tmp_path / "x.xlsx")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = save_records(small(), tmp_path / "x.parquet")
    before = file.read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda self, path, **options: Path(path).write_bytes(b"half") / 0)
    with pytest.raises(ZeroDivisionError): save_records(small(correct=1), file)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def test_tables_of_other_programs(tmp_path):
    "What a spreadsheet or pandas writes: a byte order mark, other line ends, True and False, columns of its own."
    file = tmp_path / "theirs.csv"
    file.write_bytes("\ufeffitem_id,method,train_on,seed,correct,level,note,score\r\n"
                     "01,zeroshot,none,0,True,hard,12,0.1\r\nNA,zeroshot,none,0,False,,twelve,\r\n".encode())
    found = load_records(file)
    assert found["item_id"].tolist() == ["01", "NA"] and found["correct"].tolist() == [1, 0]
    assert found["note"].tolist() == ["12", "twelve"] and found["level"].isna().tolist() == [False, True]
    pd.testing.assert_frame_equal(load_records(save_records(found, tmp_path / "ours.parquet")), found)
    file.write_text("item_id,method,train_on,seed,correct,level\na,icl,easy,0,1\n")
    with pytest.raises(ValueError, match="theirs.csv: line 2: it has 5 fields but 6 columns are named"): load_records(file)
    file.write_text("item_id,method,train_on,seed,correct,level\na,icl,easy,0,yes,hard\n")
    with pytest.raises(ValueError, match="correct of item 'a' is yes; give 1 for right and 0 for wrong"): load_records(file)
