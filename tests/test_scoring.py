"""Shared scoring against one full row per choice: the real model, and tiny random ones of other families."""
import copy
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2h.data import load_items
from e2h.lm import LM
from e2h.prompts import choice_strings, prompts
from e2h.scoring import Row, _score_packed, choice_logprobs, common_prefix, grow, packable, score_choices, score_row, tokenise

pytest.importorskip("torch")
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
def test_random_prompts(random_lm, seed):
    rng = np.random.default_rng(seed)
    words = ["a", " the", "Que", "stion", "\n", " 42", "é", "  ", "ing", " un", "happy", "?"]
    text = lambda low: "".join(rng.choice(words, rng.integers(low, 9)))  # noqa: E731
    head = text(0)
    texts = [head + text(1) for _ in range(3)]
    choices = [[text(1) for _ in range(rng.integers(2, 5))] for _ in texts]
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


def is_packable(lm, texts, choices):
    return packable(lm, max(len(row.tokens) for item in tokenise(lm, texts, choices) for row in item))


def forced(lm, texts, choices):
    "What packing gives, whatever `packable` says."
    return [logprobs for logprobs, _ in _score_packed(lm, tokenise(lm, texts, choices), (), 768)]


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "llama"])
def test_families_that_are_packed(tiny, family):
    lm = tiny(family)
    found, lengths = passes(lm, TEXTS, CHOICES)
    assert is_packable(lm, TEXTS, CHOICES) and len(lengths) == 2  # the shared prefix, then all trees
    same(found, reference(lm, TEXTS, CHOICES))


@pytest.mark.parametrize("family", ["mistral", "mpt"])
def test_families_that_are_scored_row_by_row(tiny, family):
    "A window shorter than the rows, and ALiBi: packing would be wrong, so it is not done."
    lm = tiny(family)
    found, lengths = passes(lm, TEXTS, CHOICES)
    rows = [row for item in tokenise(lm, TEXTS, CHOICES) for row in item]
    assert not is_packable(lm, TEXTS, CHOICES) and lengths == [len(row.tokens) for row in rows]
    same(found, reference(lm, TEXTS, CHOICES))
    assert gap(forced(lm, TEXTS, CHOICES), reference(lm, TEXTS, CHOICES)) > 1e-2


def test_rows_within_the_window_are_packed(tiny):
    "Each row fits into the window; all of them side by side do not."
    lm, texts, choices = tiny("mistral"), ["Is Lyon in", "Is Osaka in", "Is Graz in"], CHOICES
    found, lengths = passes(lm, texts, choices)
    longest = max(len(row.tokens) for item in tokenise(lm, texts, choices) for row in item)
    assert longest <= 8 < max(lengths) and packable(lm, longest) and len(lengths) == 2
    same(found, reference(lm, texts, choices))
    wide = tiny("mistral", sliding_window=32)
    assert is_packable(wide, TEXTS, CHOICES)
    same(choice_logprobs(wide, TEXTS, CHOICES), reference(wide, TEXTS, CHOICES))


@pytest.mark.parametrize("family, changes", [("lfm2", {}), ("gpt_neo", dict(window_size=8))])
def test_convolutions_and_windows_by_place_go_row_by_row(tiny, family, changes):
    "Two questions that share no prefix; a convolution over neighbours, and a window by place in the sequence."
    lm = tiny(family, **changes)
    assert not packable(lm, 20)
    texts = ["Question: where is Lyon?\nAnswer:", "A: where is Osaka?\nAnswer:"]
    choices = [[" in the Kingdom of the Netherlands", " far away in the south of France", " on an island of Japan"]] * 2
    same(choice_logprobs(lm, texts, choices), reference(lm, texts, choices))


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
