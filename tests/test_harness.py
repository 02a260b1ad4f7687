"""The model class for lm-evaluation-harness against the harness's own HFLM, on its own tasks with local data."""
import copy
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

lm_eval = pytest.importorskip("lm_eval")
Instance = pytest.importorskip("lm_eval.api.instance").Instance
TaskManager = pytest.importorskip("lm_eval.tasks").TaskManager
HFLM = pytest.importorskip("lm_eval.models.huggingface").HFLM
api = pytest.importorskip("lm_eval.api.model")
yaml = pytest.importorskip("yaml")

from e2h.data import load_items  # noqa: E402
from e2h.harness import by_context, families, harness_model, main, request_rows, why_not  # noqa: E402

LOCAL = {"arc_easy": ("arc/easy", "arc/arc_easy.yaml", ["train", "validation", "test"]),
         "gsm8k": ("gsm8k", "gsm8k/gsm8k.yaml", ["train", "test"])}


def hflm(lm, **options):
    return HFLM(pretrained=lm.model, tokenizer=copy.deepcopy(lm.tokenizer), **options)


@pytest.fixture(scope="module")
def ours(smollm2): return harness_model()(pretrained=smollm2)


@pytest.fixture(scope="module")
def theirs(smollm2): return hflm(smollm2)


def instances(kind, requests):
    return [Instance(kind, {}, tuple(request), i) for i, request in enumerate(requests)]


def agree(ours, theirs, kind, requests):
    "Both classes give equal numbers -> those of ours."
    asked = instances(kind, requests)
    fast, slow = (getattr(model, kind)(asked, disable_tqdm=True) for model in (ours, theirs))
    assert np.abs(np.array([f[0] for f in fast]) - [s[0] for s in slow]).max() < 1e-3
    assert [f[1] for f in fast] == [s[1] for s in slow]
    return fast


def local_task(name, folder, data, **changes):
    "One of the harness's own tasks, with its data read from files."
    where, path, splits = LOCAL[name]
    config = yaml.safe_load((Path(lm_eval.__file__).parent / "tasks" / path).read_text())
    files = {split: folder / f"{split}.jsonl" for split in splits}
    for split, file in files.items():  # the shortest questions, because HFLM is slow on one thread
        lines = gzip.decompress((data / where / f"{split}.jsonl.gz").read_bytes()).decode().strip().split("\n")
        file.write_text("\n".join(sorted(lines, key=len)[:40]), encoding="utf-8")
    del config["dataset_name"], config["tag"]
    read = dict(data_files={split: str(file) for split, file in files.items()}, cache_dir=str(folder / "cache"))
    return {**config, "dataset_path": "json", "dataset_kwargs": read, **changes}


def evaluate(model, config, **options):
    "Metrics and samples of a task, in the order of its documents."
    none = TaskManager(include_defaults=False)  # reading all of its tasks takes seconds
    out = lm_eval.simple_evaluate(model, tasks=[copy.deepcopy(config)], task_manager=none, bootstrap_iters=0, **options)
    metrics = {k: v for k, v in out["results"][config["task"]].items() if "stderr" not in k and not isinstance(v, str)}
    return metrics, sorted(out["samples"][config["task"]], key=lambda sample: sample["doc_id"])


@pytest.fixture
def data():
    if not os.environ.get("E2H_DATA"): pytest.skip("needs real ARC and GSM8k: set E2H_DATA to a folder with both")
    return Path(os.environ["E2H_DATA"])


@pytest.mark.parametrize("shots", [dict(num_fewshot=5), dict(num_fewshot=3, fewshot_config=dict(sampler="first_n"))])
def test_arc_easy(ours, theirs, data, tmp_path, shots):
    task = local_task("arc_easy", tmp_path, data, **shots)
    (fast, fast_samples), (slow, slow_samples) = (evaluate(model, task, limit=6) for model in (ours, theirs))
    assert fast == slow and {"acc,none", "acc_norm,none"} <= set(fast)
    for f, s in zip(fast_samples, slow_samples, strict=True):
        assert f["doc_id"] == s["doc_id"] and f["arguments"] == s["arguments"]
        assert np.abs(np.array([r[0] for r in f["filtered_resps"]]) - [r[0] for r in s["filtered_resps"]]).max() < 1e-3
        assert [r[1] for r in f["filtered_resps"]] == [r[1] for r in s["filtered_resps"]]


def test_gsm8k(ours, theirs, data, tmp_path, recwarn):
    options = dict(until=["Question:", "</s>", "<|im_end|>"], do_sample=False, temperature=0.0, max_gen_toks=20)
    task = local_task("gsm8k", tmp_path, data, num_fewshot=2, generation_kwargs=options)
    (fast, fast_samples), (slow, slow_samples) = (evaluate(model, task, limit=3) for model in (ours, theirs))
    assert fast == slow
    assert [s["resps"] for s in fast_samples] == [s["resps"] for s in slow_samples]
    assert not [w for w in recwarn if "written by transformers" in str(w.message)]


def test_one_token_group_and_order(ours, theirs):
    quiz = load_items("worldquiz").iloc[::900]
    requests = [(f"Question: {q}\nAnswer:", f" {c}") for q, cs in zip(quiz["question"], quiz["choices"]) for c in cs]
    requests += [("The capital of France is", c) for c in (" Paris", " Rome", " the", " Paris, which", " Paris")]
    fast = agree(ours, theirs, "loglikelihood", requests)
    shuffled = np.random.default_rng(0).permutation(len(requests))
    again = ours.loglikelihood(instances("loglikelihood", [requests[i] for i in shuffled]), disable_tqdm=True)
    assert np.abs(np.array([fast[i][0] for i in shuffled]) - [a[0] for a in again]).max() < 1e-4
    assert fast[-1][1] and not fast[-4][1] and fast[-1] == fast[-5]


def test_empty_context_and_seams(ours, theirs):
    agree(ours, theirs, "loglikelihood", [("", "Paris is a city."), ("", "<|im_start|>user"), ("It is ", "cold"),
                                          ("un", "happily so"), ("Hello\n", "World"), ("Tab\t", " x"), ("", "Rome is")])
    with pytest.raises(ValueError, match="0 of continuation"):
        ours.loglikelihood(instances("loglikelihood", [("He was so unhapp", "y")]), disable_tqdm=True)


@pytest.mark.parametrize("length", [9, 12])
def test_too_long_loses_its_beginning(smollm2, length):
    ours, theirs = harness_model()(pretrained=smollm2, max_length=length), hflm(smollm2, max_length=length)
    context = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    requests = [(context, c) for c in (" seventeen", " eighteen nineteen twenty", " a")] + [("One two three", " four")]
    with pytest.warns(UserWarning, match="3 of 4 requests have more than"):
        agree(ours, theirs, "loglikelihood", requests)


def test_whole_context(tiny):
    "A row may have one token more than the model takes, because its last token is not fed."
    lm = tiny("gpt2", n_positions=32)
    ours, theirs = harness_model()(pretrained=lm), hflm(lm)
    assert ours.max_length == theirs.max_length == lm.context == 32
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [" ".join(some) for some in (letters + letters[::-1], "ab", letters[:16] * 2, letters + letters[:7], letters * 4)]
    asked = instances("loglikelihood_rolling", [(text,) for text in texts])
    assert np.allclose(ours.loglikelihood_rolling(asked), theirs.loglikelihood_rolling(asked), atol=1e-3)


def test_rolling(smollm2, monkeypatch):
    ours, theirs = harness_model()(pretrained=smollm2, max_length=24, batch_size="auto"), hflm(smollm2, max_length=24)
    texts = [" ".join(load_items("worldquiz")["question"].iloc[i:i + n]) for i, n in [(0, 1), (10, 6), (20, 3)]] + ["Hi"]
    asked, kept = instances("loglikelihood_rolling", [(text,) for text in texts]), []
    monkeypatch.setattr(ours.cache_hook, "add_partial", lambda *entry: kept.append(entry))
    fast, slow = ours.loglikelihood_rolling(asked), theirs.loglikelihood_rolling(asked)
    assert np.allclose(fast, slow, atol=1e-3)
    assert [entry[:2] for entry in kept] == [("loglikelihood_rolling", (text,)) for text in texts]
    assert ours.batch_size == "auto"


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma2", "bloom", "mamba"])
@pytest.mark.filterwarnings("ignore:.*is scored by the")
def test_other_families(tiny, family):
    lm = tiny(family)
    requests = [(f"one two {a} three", f" {b} {c}") for a in "abc" for b, c in ("de", "fg", "dh")]
    agree(harness_model()(pretrained=lm), hflm(lm), "loglikelihood", requests)


def test_caches_are_filled(ours, tmp_path):
    caching = api.CachingLM(ours, str(tmp_path / "cache.db"))
    try:
        asked = instances("loglikelihood", [("The sky is", " blue"), ("The sky is", " green")])
        first = caching.loglikelihood(asked)
        assert len(caching.dbdict) == 2 and [tuple(a) for a in caching.loglikelihood(asked)] == first
    finally: ours.set_cache_hook(api.CacheHook(None))


def test_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "docs.jsonl").write_text('{"q": "The capital of France is", "c": ["Rome", "Paris"], "a": 1}\n')
    task = dict(task="capital", dataset_path="json", output_type="multiple_choice", test_split="test", doc_to_text="{{q}}",
                doc_to_choice="{{c}}", doc_to_target="{{a}}", metric_list=[dict(metric="acc")],
                dataset_kwargs=dict(data_files=dict(test=str(tmp_path / "docs.jsonl")), cache_dir=str(tmp_path / "cache")))
    (tmp_path / "capital.yaml").write_text(yaml.safe_dump(task))
    monkeypatch.setattr(sys, "argv", ["e2h.harness", "run", "--model", "e2h", "--tasks", str(tmp_path / "capital.yaml"),
                                      "--model_args", "pretrained=smollm2,dtype=float32"])
    main()
    assert "|capital|" in capsys.readouterr().out.replace(" ", "")


def test_generation_equals_hflm(ours, theirs):
    shots = "Q: 2 + 3\nA: 5\n\nQ: 4 + 4\nA: 8\n\n"
    chat = ours.apply_chat_template([dict(role="user", content="Say hello.")])
    options = [dict(until=["\n\n"], max_gen_toks=6), dict(until=["Q:", "5"], max_gen_toks=9, do_sample=False),
               dict(until=["\n"], max_gen_toks=5, num_beams=2), dict(max_gen_toks=4, repetition_penalty=1.5)]
    asked = [(f"{shots}Q: {a} + 1\nA:", options[a % 4]) for a in range(6)] + [(chat, options[0]), ("Dogs are ", options[0])]
    with pytest.warns(UserWarning, match="3 of 8 generation requests.*num_beams.*repetition_penalty.*special tokens"):
        fast = ours.generate_until(instances("generate_until", asked), disable_tqdm=True)
    assert fast == theirs.generate_until(instances("generate_until", asked), disable_tqdm=True)


def test_what_is_left_to_hflm(smollm2, monkeypatch):
    model = harness_model()(pretrained=smollm2, think_end_token="</think>")
    assert why_not(model, {}) == "they think first"
    model.think_end_token = None
    assert why_not(model, dict(until=["<|im_start|>"])) == why_not(model, dict(until=[""])) == "they stop at special tokens"
    assert why_not(model, dict(until=["<|im_end|>"], top_p=.9, repetition_penalty=1.0)) == ""
    assert why_not(model, dict(temperature=.7)) == "they sample"
    config = copy.deepcopy(smollm2.model.generation_config)
    config.repetition_penalty = 1.1
    monkeypatch.setattr(smollm2.model, "generation_config", config)
    assert why_not(model, {}) == "the model's generation config sets repetition_penalty"


def test_items_and_families():
    rows = request_rows([(None, [1], [2] * 300), (None, [1], [3] * 300), (None, [1], [4])], 400)
    assert by_context(rows) == [[0], [1, 2]]
    rng = np.random.default_rng(0)
    heads = [rng.integers(0, 9, 20).tolist() for _ in range(3)]
    contexts = [heads[i % 3] + [100 + i] * 5 for i in range(30)] + [[200 + i] * 9 for i in range(5)]
    found = families(contexts)
    assert sorted(i for f in found for i in f) == list(range(35)) and sorted(map(len, found)) == [5, 10, 10, 10]
    assert all(len({i % 3 for i in f}) == 1 for f in found if len(f) == 10)
    assert families([]) == [] and families([[1]]) == [[0]]


def test_the_users_tokenizer_stays_as_it_is(smollm2):
    before = smollm2.tokenizer.backend_tokenizer.to_str()
    model = harness_model()(pretrained=smollm2)
    model.tok_batch_encode(["a", "a longer text"])
    assert smollm2.tokenizer.backend_tokenizer.to_str() == before


@pytest.mark.parametrize("options", [dict(peft="adapter"), dict(load_in_4bit=True), dict(parallelize=True)])
def test_options_without_effect_are_refused(smollm2, options):
    with pytest.raises(ValueError, match="has no effect with --model e2h"): harness_model()(pretrained=smollm2, **options)


def test_nothing_is_imported_before_it_is_used():
    code = "import sys, e2h.harness; sys.exit(any(m in sys.modules for m in ('lm_eval', 'torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
