"""Shared scoring against one full row per choice: the real model, and tiny random ones of other families."""
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2h.data import load_items
from e2h.lm import LM
from e2h.prompts import choice_strings, prompts
from e2h.scoring import choice_logprobs, common_prefix, grow, score_choices, score_row, tokenise

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def lm():
    return LM.load("smollm2", dtype="float32")


def reference(lm, texts, choices, join="whole"):
    return [np.array([score_row(lm, row)[0] for row in item]) for item in tokenise(lm, texts, choices, join)]


def same(fast, slow, tolerance=1e-4):
    assert all(np.abs(f - s).max() <= tolerance and f.argmax() == s.argmax() for f, s in zip(fast, slow, strict=True))


@pytest.mark.parametrize("format", ["cloze", "paper", "paper-original"])
def test_equals_one_row_per_choice(lm, format):
    items = load_items("worldquiz").iloc[::400]
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


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000))
def test_random_prompts(lm, seed):
    rng = np.random.default_rng(seed)
    words = ["a", " the", "Que", "stion", "\n", " 42", "é", "  ", "ing", " un", "happy", "?"]
    text = lambda low: "".join(rng.choice(words, rng.integers(low, 9)))  # noqa: E731
    head = text(0)
    texts = [head + text(1) for _ in range(3)]
    choices = [[text(1) for _ in range(rng.integers(2, 5))] for _ in texts]
    same_up_to_ties = zip(choice_logprobs(lm, texts, choices), reference(lm, texts, choices), strict=True)
    assert all(np.abs(f - s).max() <= 1e-4 for f, s in same_up_to_ties)


FAMILIES = {
    "gpt2": dict(n_embd=32, n_layer=2, n_head=4),
    "qwen2": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                  intermediate_size=64),
    "mistral": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                    intermediate_size=64, head_dim=8, sliding_window=8),
    "mpt": dict(d_model=32, n_layers=2, n_heads=4),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_tiny_random_models(lm, family):
    "Families that can be packed are; ALiBi and a short sliding window fall back to rows."
    config = transformers.AutoConfig.for_model(family, vocab_size=49152, **FAMILIES[family])
    torch.manual_seed(0)
    tiny = LM(transformers.AutoModelForCausalLM.from_config(config).eval(), lm.tokenizer, family)
    texts = [f"Question: where is {c} in the wide world?\nAnswer:" for c in ("Lyon", "Osaka", "Graz")]
    choices = [[" France", " Japan", " the Netherlands"]] * 3
    same(choice_logprobs(tiny, texts, choices), reference(tiny, texts, choices))


def test_tree_shares_what_begins_alike():
    tree = grow([[1, 2, 3], [1, 2, 4], [1, 5]])
    assert len(tree.token) == 5
    for row, path in zip([[1, 2, 3], [1, 2, 4], [1, 5]], tree.path, strict=True):
        assert [tree.token[n] for n in path] == row


def test_prefix_never_holds_a_scored_tokens_predecessor(lm):
    rows = [r for item in tokenise(lm, ["The answer is"], [[" yes", " no"]]) for r in item]
    assert common_prefix(rows) <= min(r.start for r in rows) - 1


def test_prompt_longer_than_the_context(lm):
    with pytest.raises(ValueError, match="tokens with its choice but .* takes 8192; shorten it or use fewer shots"):
        choice_logprobs(lm, ["word " * 9000], [[" a", " b"]])


def test_empty_choice(lm):
    with pytest.raises(ValueError, match=r"prompts\[0\]: choice '' adds no token"):
        choice_logprobs(lm, ["Q"], [[" a", ""]])
