"""Shared scoring against one full row per choice: the real model, and tiny random ones of other families."""
import copy
import itertools
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from e2h.data import cache_dir, load_items
from e2h.lm import LM
from e2h.prompts import choice_strings, prompts
from e2h.scoring import (PATHS, Row, choice_logprobs, choice_states, common_prefix, grow, likely_path, path_error,
                         score_choices, score_row, score_rows, scoring_path, tokenise)

torch = pytest.importorskip("torch")
Replace = pytest.importorskip("tokenizers.normalizers").Replace
TemplateProcessing = pytest.importorskip("tokenizers.processors").TemplateProcessing


@pytest.fixture(scope="module")
def lm(smollm2): return smollm2


def reference(lm, texts, choices, join="whole"):
    return [np.array([score_row(lm, row)[0] for row in item]) for item in tokenise(lm, texts, choices, join)]


def same(fast, slow, tolerance=1e-4):
    assert all(np.abs(f - s).max() <= tolerance and f.argmax() == s.argmax() for f, s in zip(fast, slow, strict=True))


def gap(fast, slow):
    return max(np.abs(f - s).max() for f, s in zip(fast, slow, strict=True))


@pytest.mark.parametrize("format", ["cloze", "paper", "paper-original"])
def test_equals_one_row_per_choice(lm, format):
    items = load_items("worldquiz").iloc[::800]
    texts, choices = prompts(items, items.iloc[:3], format), choice_strings(items, format)
    join = "apart" if format == "paper-original" else "whole"
    same(choice_logprobs(lm, texts, choices, join), reference(lm, texts, choices, join))


def test_choices_that_merge_with_the_prompt(lm):
    texts = ["He was so unhapp", "He was so unhapp", "The answer is"]
    choices = [["y", "ily married", "iness"], ["y", " y"], ["n't", " 12", "land"]]
    rows = [r.tokens for r in tokenise(lm, texts[:1], choices[:1])[0]]
    assert rows[0] == lm.tokenizer("He was so unhappy")["input_ids"]
    same(choice_logprobs(lm, texts, choices), reference(lm, texts, choices))


def test_order_and_budget_do_not_matter(lm):
    items = load_items("worldquiz").iloc[::300]
    texts, choices = prompts(items), choice_strings(items)
    whole = choice_logprobs(lm, texts, choices)
    for budget in (1, 64, 4096):
        some = [s.logprobs for s in score_choices(lm, texts, choices, budget=budget)]
        assert max(np.abs(a - b).max() for a, b in zip(whole, some, strict=True)) <= 5e-5
    back = choice_logprobs(lm, texts[::-1], choices[::-1])[::-1]
    assert max(np.abs(a - b).max() for a, b in zip(whole, back, strict=True)) <= 5e-5


@pytest.fixture(scope="module")
def random_lm(tiny): return tiny("llama")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
@example(1197)  # a prompt and a choice that are one token together
def test_random_prompts(random_lm, seed):
    rng = np.random.default_rng(seed)
    words = ["a", " the", "Que", "stion", "\n", " 42", "é", "  ", "ing", " un", "happy", "?"]
    text = lambda low: "".join(rng.choice(words, rng.integers(low, 9)))  # noqa: E731
    head = text(0)
    texts = [head + text(1) for _ in range(3)]
    choices = [[text(1) for _ in range(rng.integers(2, 5))] for _ in texts]
    rows = random_lm.tokenizer([head + choice for head, own in zip(texts, choices) for choice in own])["input_ids"]
    if min(map(len, rows)) == 1:  # nothing is left to be given: refused, not scored as something else
        with pytest.raises(ValueError, match="adds no token to score"): choice_logprobs(random_lm, texts, choices)
        return
    assert gap(choice_logprobs(random_lm, texts, choices), reference(random_lm, texts, choices)) <= 1e-4  # ties may flip


TEXTS = [f"Question: where is {c} in the wide world?\nAnswer:" for c in ("Lyon", "Osaka", "Graz")]
CHOICES = [[" France", " Japan", " the Netherlands"]] * 3


def passes(lm, *args):
    "Log-probabilities of prompts, and the lengths of the model's passes that they took."
    lengths = []
    hook = lm.model.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["input_ids"].shape[1]), with_kwargs=True)
    try: return choice_logprobs(lm, *args), lengths
    finally: hook.remove()


def longest(lm, texts, choices):
    return max(len(row.tokens) for item in tokenise(lm, texts, choices) for row in item)


ODD = {"falcon-alibi": ("falcon", dict(alibi=True)), "longrope": ("llama", dict(
    max_position_embeddings=64, rope_parameters={"rope_type": "longrope", "factor": 8., "rope_theta": 10000.,
    "original_max_position_embeddings": 8, "short_factor": [1.] * 4, "long_factor": [1., 2., 4., 8.]}))}
FAMILY_PATHS = {
    "llama": "packed", "mistral": "packed", "mixtral": "packed", "qwen2": "packed", "qwen3": "packed", "falcon": "packed",
    "gpt2": "packed", "gemma": "packed", "gemma2": "packed", "gemma3_text": "packed",
    "mpt": "prefix", "bloom": "prefix", "falcon-alibi": "prefix", "gpt_neo": "prefix",
    "lfm2": "plain", "mamba": "plain", "longrope": "plain",
}


@pytest.mark.filterwarnings("ignore:.* is scored by the")
@pytest.mark.parametrize("family", FAMILY_PATHS)
def test_every_family_by_its_path(tiny, family):
    "Rows are two to four times as long as the windows of those models that have one."
    name, changes = ODD.get(family, (family, {}))
    lm = tiny(name, **changes)
    slow, (found, lengths) = reference(lm, TEXTS, CHOICES), passes(lm, TEXTS, CHOICES)
    same(found, slow)
    path, rows = scoring_path(lm, longest(lm, TEXTS, CHOICES)), [r for item in tokenise(lm, TEXTS, CHOICES) for r in item]
    assert path == FAMILY_PATHS[family]
    shared = common_prefix(rows)
    lengths = passes(lm, TEXTS, CHOICES)[1]  # without the trial
    if path == "plain": assert sorted(lengths) == sorted(len(row.tokens) for row in rows)
    else: assert lengths[0] == shared
    assert len(lengths) == {"packed": 2, "prefix": 1 + len(rows), "plain": len(rows)}[path]
    for budget in (1, 64, 4096):
        some = [s.logprobs for s in score_choices(lm, TEXTS[::-1], CHOICES, budget=budget)][::-1]
        assert gap(some, found) <= 1e-5


@pytest.mark.parametrize("family", [family for family in FAMILY_PATHS if family != "mamba"])  # counts its states otherwise
def test_states_of_every_family(tiny, family):
    name, changes = ODD.get(family, (family, {}))
    lm = tiny(name, **changes)
    items = tokenise(lm, TEXTS, CHOICES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = dict(score_rows(lm, items, layers=(0, 1, 2)))
    for i, item in enumerate(items):
        for row, states in zip(item, found[i].states, strict=True):
            assert np.abs(states - score_row(lm, row, (0, 1, 2))[1]).max() <= 1e-4 * np.abs(states).max()


@pytest.mark.parametrize("family", ["mpt", "bloom", "gpt_neo", "lfm2"])
def test_the_trial_finds_what_the_configuration_hides(tiny, monkeypatch, family):
    "Packing these would be wrong: were the configuration silent, the trial would still say so."
    lm = tiny(family, **dict(gpt_neo=dict(window_size=8)).get(family, {}))
    long = [[" in the Kingdom of the Netherlands", " far away in the south of France", " on an island of Japan"]] * 3
    items = tokenise(lm, TEXTS, long)
    assert path_error(lm, "packed", items) > 1e-2 and path_error(lm, "plain", items) <= 1e-4
    monkeypatch.setattr("e2h.scoring.likely_path", lambda *args: "packed")
    with pytest.warns(UserWarning, match=f"tiny is scored by the {FAMILY_PATHS[family]} path, .* failed its trial"):
        same(choice_logprobs(lm, TEXTS, long), reference(lm, TEXTS, long))


def test_rotary_embeddings_that_stretch(tiny):
    name, changes = ODD["longrope"]
    lm = tiny(name, **changes)
    assert likely_path(lm, 8) == "packed" and likely_path(lm, 9) == "plain"
    with pytest.warns(UserWarning, match="tiny is scored by the plain path"):
        for n in (7, 8, 9, 10, 20):  # around the length from which the embeddings stretch
            items = [[Row(list(range(5, 5 + n)), n - 2)]]
            [(_, found)] = score_rows(lm, items)
            assert found.logprobs[0] == pytest.approx(score_row(lm, items[0][0])[0], abs=1e-4)


def test_the_paths_agree_on_the_real_model(lm):
    items = load_items("worldquiz").iloc[::1000]
    rows = tokenise(lm, prompts(items, items.iloc[:2]), choice_strings(items))
    assert max(path_error(lm, path, rows) for path in PATHS) <= 1e-4


def with_template(lm, template):
    "The same model, with a tokenizer that puts special tokens around a text."
    tokenizer = copy.deepcopy(lm.tokenizer)
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<|im_start|>", "<|im_end|>")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=special)
    return LM(lm.model, tokenizer, lm.name)


@pytest.mark.parametrize("begin", ["", "<|im_start|> "])
def test_a_tokenizer_that_appends_eos(lm, begin):
    "The EOS behind a prompt and behind a choice is left away; a BOS in front stays."
    ends, does_not = with_template(lm, begin + "$A <|im_end|>"), with_template(lm, begin + "$A")
    eos = lm.tokenizer.eos_token_id
    assert ends.tokenizer("The answer")["input_ids"] == [*does_not.tokenizer("The answer")["input_ids"], eos]
    texts, choices = ["The answer is", "He was so unhapp", "Say <|im_end|>"], [[" yes", " no no"], ["y", "ily"], [" a", "a"]]
    rows = tokenise(ends, texts, choices)
    assert rows == tokenise(does_not, texts, choices) and all(eos not in row.tokens for item in rows for row in item)
    assert all((row.tokens[0] == lm.tokenizer.bos_token_id) == bool(begin) for item in rows for row in item)
    found = choice_logprobs(ends, texts, choices)
    assert all((f == s).all() for f, s in zip(found, choice_logprobs(does_not, texts, choices), strict=True))
    same(found, reference(does_not, texts, choices))
    if not begin: same(found, choice_logprobs(lm, texts, choices))


def test_empty_prompt(lm):
    "Nothing stands before the first token of a choice, unless the tokenizer begins with a BOS."
    with pytest.raises(ValueError, match=r"prompts\[1\] is empty and .* begins with no token of its own; give"):
        choice_logprobs(lm, ["Q", ""], [[" a", " b"]] * 2)
    bos = with_template(lm, "<|im_start|> $A")
    assert [row.start for row in tokenise(bos, [""], [[" a", " the end"]])[0]] == [1, 1]
    same(choice_logprobs(bos, ["Q", ""], [[" a", " the end"]] * 2), reference(bos, ["Q", ""], [[" a", " the end"]] * 2))
    same(choice_logprobs(lm, [""], [["a", " the end"]], "apart"), reference(lm, [""], [["a", " the end"]], "apart"))


def test_apart_begins_with_bos(lm):
    "As in the original: a BOS in front, unless it is the padding, and no merging at the seam."
    plain, bos = lambda text: lm.tokenizer(text, add_special_tokens=False)["input_ids"], lm.tokenizer.bos_token_id
    [row] = tokenise(lm, ["He was so unhapp"], [["y"]], "apart")[0]
    assert row == Row([bos, *plain("He was so unhapp"), *plain("y")], 1 + len(plain("He was so unhapp")))
    assert tokenise(lm, ["He was so unhapp"], [["y"]])[0][0].tokens == plain("He was so unhappy")
    padded = with_template(lm, "<|im_start|> $A")
    [row] = tokenise(padded, ["The answer is"], [["yes"]], "apart")[0]
    assert row.tokens == [bos, *plain("The answer is"), *plain("yes")]  # one BOS, not two
    padded.tokenizer.pad_token = padded.tokenizer.bos_token
    [row] = tokenise(padded, ["The answer is"], [["yes"]], "apart")[0]
    assert row == Row([*plain("The answer is"), *plain("yes")], len(plain("The answer is")))


def test_tree_shares_what_begins_alike():
    tree = grow([[1, 2, 3], [1, 2, 4], [1, 5]])
    assert len(tree.token) == 5
    for row, path in zip([[1, 2, 3], [1, 2, 4], [1, 5]], tree.path, strict=True):
        assert [tree.token[n] for n in path] == row


@pytest.mark.parametrize("rows, shared", [
    ([([5, 6, 7, 8], 3), ([5, 6, 7, 9], 3)], 2),               # 5 6 7 is shared, but 7 predicts the first scored token
    ([([5, 6, 7, 8], 3), ([5, 6, 7, 8], 3)], 2),               # one row twice
    ([([5, 6, 7, 8], 3), ([5, 6, 7, 8, 9], 4)], 2),            # the earliest start counts
    ([([5, 6, 7, 8, 9], 4), ([5, 6, 3, 8, 9], 4)], 2),         # they part at the third token
    ([([5, 1, 1], 2), ([5, 2, 9, 9], 3), ([5, 3], 1)], 0),     # a prompt of one token
    ([([5, 1, 1, 1], 3), ([4, 1, 1, 1], 3)], 0),               # nothing is shared
    ([([5, 6, 7], 2), ([5, 6, 7, 8, 9], 2), ([5, 6], 1)], 0),  # a row that begins another
    ([([9, 9, 2, 1], 3), ([9, 9, 1, 2], 3), ([9, 9, 3, 3], 3)], 2),
])
def test_prefix_ends_before_the_first_scored_tokens_predecessor(rows, shared):
    for order in itertools.permutations(rows):
        assert common_prefix([Row(tokens, start) for tokens, start in order]) == shared


def test_prefix_of_real_rows(lm):
    rows = tokenise(lm, ["The answer is"], [[" yes", " no"]])[0]
    assert [[lm.tokenizer.decode(token) for token in row.tokens] for row in rows] == [
        ["The", " answer", " is", " yes"], ["The", " answer", " is", " no"]]
    assert [row.start for row in rows] == [3, 3] and common_prefix(rows) == 2  # "The answer"


def test_prompt_longer_than_the_context(lm):
    with pytest.raises(ValueError, match="tokens with its choice but .* takes 8192; shorten it or use fewer shots"):
        choice_logprobs(lm, ["word " * 9000], [[" a", " b"]])


def test_empty_choice(lm):
    with pytest.raises(ValueError, match=r"prompts\[0\]: choice '' adds no token"):
        choice_logprobs(lm, ["Q"], [[" a", ""]])


def test_a_choice_that_the_tokenizer_drops(lm):
    deaf = with_template(lm, "$A")
    deaf.tokenizer.backend_tokenizer.normalizer = Replace("\u200b", "")
    with pytest.raises(ValueError, match=r"prompts\[1\]: choice '\\u200b' adds no token to score; give it some text"):
        choice_logprobs(deaf, ["Q", "R"], [[" a"], ["\u200b"]])


def test_no_choices(lm):
    with pytest.raises(ValueError, match=r"prompts\[1\] has no choices"):
        choice_logprobs(lm, ["Q", "R"], [[" a"], []])
    assert choice_logprobs(lm, [], []) == []


def test_numbers_that_are_none(tiny):
    lm = tiny("llama")
    bad = lm.tokenizer(" Japan")["input_ids"][0]
    with torch.no_grad(): lm.model.get_input_embeddings().weight[bad] = float("nan")
    texts = ["Where is Lyon?", "Where is Osaka in Japan?"]
    with pytest.raises(ValueError, match=r"prompts\[1\]: the model gives .*nan.*, not finite log-probabilities"):
        choice_logprobs(lm, texts, [[" a", " b"], [" yes", " no"]])


@pytest.mark.parametrize("what", ["bos_token", "pad_token", "eos_token"])
def test_a_tokenizer_without_special_tokens(lm, what):
    bare = with_template(lm, "$A")
    setattr(bare.tokenizer, what, None)
    same(choice_logprobs(bare, TEXTS, CHOICES), choice_logprobs(lm, TEXTS, CHOICES), 1e-5)


def test_special_tokens_in_a_question_are_text(lm):
    [row] = tokenise(lm, ["Is <|im_end|> a word?"], [[" yes"]])[0]
    assert lm.tokenizer.convert_tokens_to_ids("<|im_end|>") not in row.tokens
    assert lm.tokenizer.decode(row.tokens) == "Is <|im_end|> a word? yes"


# Number formats, devices, memory

@pytest.mark.parametrize("quant, dtype, tolerance", [("nf4", "float32", 1e-4), ("int8", "float32", None),
                                                     (None, "bfloat16", None)])
def test_number_formats(smollm2, quant, dtype, tolerance):
    "NF4 in float32 is as exact as float32; for int8 and bfloat16 the difference is reported, not promised."
    lm = LM.load("smollm2", quant=quant, dtype=dtype)
    items = load_items("worldquiz").iloc[::1000]
    texts, choices = prompts(items, items.iloc[:2]), choice_strings(items)
    found, slow = choice_logprobs(lm, texts, choices), reference(lm, texts, choices)
    print(f"{quant or 'none'} {dtype}: {gap(found, slow):.1e}")
    print(f"from float32 without quantisation: {gap(found, choice_logprobs(smollm2, texts, choices)):.1e}")
    assert lm.paths[("packed", False)] == "packed" and gap(found, slow) <= (tolerance or 2)
    if tolerance: same(found, slow, tolerance)


def test_layers_on_several_devices(smollm2, tmp_path):
    "A model that accelerate has spread out: half of its layers come from disk when they are needed."
    from accelerate import dispatch_model
    model = copy.deepcopy(smollm2.model)
    n = model.config.num_hidden_layers
    places = {"model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu",
              **{f"model.layers.{i}": "disk" if i % 2 else "cpu" for i in range(n)}}
    model = dispatch_model(model, places, main_device="cpu", offload_dir=tmp_path, force_hooks=True)
    spread = LM(model, smollm2.tokenizer, "spread")
    assert spread.model.model.layers[1].mlp.up_proj.weight.device.type == "meta"
    same(choice_logprobs(spread, TEXTS, CHOICES), choice_logprobs(smollm2, TEXTS, CHOICES), 1e-5)


def test_layers_on_two_accelerators(tiny):
    "Where the last layer is on another device than the first, logits are selected behind the model."
    lm, kept = tiny("llama"), []
    one = choice_logprobs(lm, TEXTS, CHOICES)
    lm.model.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
    hook = lm.model.register_forward_pre_hook(
        lambda m, args, kwargs: kept.append(kwargs.get("logits_to_keep")), with_kwargs=True)
    try: same(choice_logprobs(lm, TEXTS, CHOICES), one, 1e-5)
    finally: hook.remove()
    assert kept == [1, None]  # an integer is a slice and needs no device


def test_half_as_many_tokens_where_memory_is_short(tiny, monkeypatch):
    "Passes of more than 60 tokens fail half-way, in the second layer; nothing of them is left in the prefix's cache."
    lm, made = tiny("llama"), []
    def small(module, args, kwargs):
        states = args[0] if args else kwargs["hidden_states"]
        made.append(states.shape[1])
        if states.shape[1] > 60: raise torch.OutOfMemoryError("out of memory")
    texts = [f"Question: where is town {i}, by the way?\nAnswer:" for i in range(20)]
    choices = [[" here", " over there"]] * 20
    whole = choice_logprobs(lm, texts, choices)
    hook = lm.model.model.layers[1].register_forward_pre_hook(small, with_kwargs=True)
    try: found = choice_logprobs(lm, texts, choices)
    finally: hook.remove()
    assert max(made) > 60 and len([n for n in made if n <= 60]) > 2
    same(found, whole, 1e-5)


def test_one_item_that_does_not_fit(tiny):
    lm = tiny("llama")
    choice_logprobs(lm, TEXTS, CHOICES)  # the trial
    def never(*args): raise RuntimeError("[enforce fail at alloc_cpu.cpp:130] DefaultCPUAllocator: can't allocate memory")
    hook = lm.model.model.layers[1].register_forward_pre_hook(never)
    try:
        with pytest.raises(MemoryError, match=r"prompts\[0\] does not fit into memory by itself; take a smaller model"):
            list(score_rows(lm, [[Row([5, 6, 7], 1)]]))
        with pytest.raises(MemoryError, match="the prompts' common beginning does not fit into memory by itself"):
            list(score_rows(lm, [[Row([5, 6, 7], 2)]]))
    finally: hook.remove()


CPU_MEMORY = """
import resource, sys, torch
from e2h.lm import LM
from e2h.scoring import Row, score_rows
torch.set_num_threads(1)
lm = LM.load("smollm2", dtype="float32")
items = [[Row(list(range(1000 + i, 1240 + i)), 40)] for i in range(6)]
few = dict(score_rows(lm, items, budget=240))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 250 * 2**20, resource.RLIM_INFINITY))
calls = []
lm.model.register_forward_pre_hook(lambda module, args, kwargs: calls.append(kwargs["input_ids"].shape[1]), with_kwargs=True)
found = dict(score_rows(lm, items, budget=5000))
assert max(calls) > 1400 > 800 > min(calls), calls
assert all(abs(found[i].logprobs - few[i].logprobs).max() < 1e-3 for i in few), "other numbers"
print("passes", calls)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc")
def test_a_real_shortage_of_memory():
    "An address space that is too small for a pass of fifteen hundred tokens: torch's own allocator refuses."
    done = subprocess.run([sys.executable, "-c", CPU_MEMORY], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_states_are_streamed_to_disk(tmp_path):
    "3,600 items are 900 MB on disk; what grows in memory is one pass, some 260 MB with bfloat16 in hardware."
    script = Path(__file__).parents[1] / "benchmarks" / "states.py"
    (tmp_path / "models").symlink_to(cache_dir() / "models")
    done = subprocess.run([sys.executable, script, "3600"], capture_output=True, text=True, timeout=1200,  # only for a hang
                          env={**os.environ, "E2H_CACHE": str(tmp_path)})
    assert done.returncode == 0 and "DAMAGED" not in done.stdout, done.stderr[-2000:]
    on_disk, grown = (int(re.search(rf"{what} (\d+) MB|(\d+) MB {what}", done.stdout).group(g)) for what, g in
                      [("on disk", 2), ("grew by", 1)])
    assert on_disk == 900 and grown < 450
    assert 900 * 2**20 + 128 in [file.stat().st_size for file in (tmp_path / "states").iterdir()]


def test_an_interrupted_call_leaves_no_states(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("E2H_CACHE", str(tmp_path))
    lm = tiny("llama")
    choice_logprobs(lm, TEXTS, CHOICES)
    with monkeypatch.context() as m:
        m.setattr("e2h.scoring.score_group", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt): choice_states(lm, TEXTS, CHOICES, (1,))
    assert not list((tmp_path / "states").iterdir())
    found = [np.array(states) for states in choice_states(lm, TEXTS, CHOICES, (1,))]
    lm.memo.clear()
    [file] = (tmp_path / "states").iterdir()
    file.write_bytes(file.read_bytes()[:-100])  # damaged: computed again
    again = choice_states(lm, TEXTS, CHOICES, (1,))
    assert all((a == b).all() for a, b in zip(found, again, strict=True))


def test_a_layer_that_is_not_there(tiny):
    lm = tiny("llama")
    for odd, layers in ((3, (1, 3)), (-1, (1, -1))):
        with pytest.raises(ValueError, match=f"tiny has hidden states 0 to 2, not {odd}; give others"):
            choice_states(lm, TEXTS, CHOICES, layers)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in lm.model.modules())


def test_the_context_of_mpt(tiny):
    lm = tiny("mpt", max_seq_len=64)
    with pytest.raises(ValueError, match="tokens with its choice but tiny takes 64"):
        choice_logprobs(lm, ["word " * 80], [[" a"]])
