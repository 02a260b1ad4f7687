"""Generation behind shared examples, against `model.generate` on full rows; the parsers are in test_answers.py."""
import pytest

from e2h.generation import end_of_answer, generate, text_of
from e2h.scoring import scoring_path

torch = pytest.importorskip("torch")

SHOTS = ("Q: Ann has 3 bags of 4 apples. How many apples has she?\nA: 3 * 4 = 12. So the answer is 12\n\n"
         "Q: A pen costs 2 dollars. What do 5 pens cost?\nA: 5 * 2 = 10. So the answer is 10\n\n")
QUESTIONS = ["Tom reads 6 pages a day. How many in 3 days?", "Kim had 9 eggs and broke 2. How many are left?",
             "A box holds 8 cups, and each cup holds 3 balls. How many balls are in 4 boxes of that kind?", "What is 5 + 3?"]
PROMPTS = [f"{SHOTS}Q: {question}\nA:" for question in QUESTIONS]


def never(text): return None


def alone(lm, prompt, n, ended=never):
    "What the model writes behind one full row."
    ids = torch.tensor([lm.tokenizer(prompt, split_special_tokens=True)["input_ids"]])
    out = lm.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False, pad_token_id=0)
    text = text_of(lm, ids[0, -1].item(), out[0, ids.shape[1]:].tolist())
    return text[:ended(text)]


@pytest.mark.parametrize("text, kept", [
    (" 3 * 6 = 18. So the answer is 18\n\nQ: Next", " 3 * 6 = 18. So the answer is 18"),
    (" The Answer Is\n18\n", None),                      # the answer itself is still to come
    (" So the answer is 18", None),                      # it may go on: 180
    (" So the answer is 18.\n", " So the answer is 18."),
    (" I cannot say.\n\nQ: Next", " I cannot say."),
    (" I cannot say.\nQuestion: Next", " I cannot say."),
    (" line one\nline two", None),
    ("", None),
])
def test_where_an_answer_ends(text, kept):
    assert end_of_answer(text) == (None if kept is None else len(kept))
    if kept is not None: assert text[:end_of_answer(text)] == kept


@pytest.mark.parametrize("at_once", [1, 3, 16])
def test_equals_generate_on_full_rows(smollm2, at_once):
    assert generate(smollm2, PROMPTS, 40, at_once=at_once) == [alone(smollm2, p, 40, end_of_answer) for p in PROMPTS]


@pytest.mark.filterwarnings("ignore:.* is scored by the")
@pytest.mark.parametrize("family, path", [
    ("llama", "packed"), ("mistral", "packed"), ("gemma2", "packed"), ("gpt2", "packed"), ("mixtral", "packed"),
    ("mpt", "prefix"), ("gpt_neo", "prefix"), ("lfm2", "plain")])
def test_families(tiny, family, path):
    "Random models write nonsense; it is the same nonsense, also beyond the window of eight tokens."
    lm = tiny(family)
    assert generate(lm, PROMPTS, 12, never) == [alone(lm, p, 12) for p in PROMPTS]
    assert scoring_path(lm, 200) == path


def test_rows_leave_when_they_have_ended(tiny):
    "Passes hold one token for each row that still writes."
    lm, widths = tiny("llama"), []
    limits = dict(zip(PROMPTS, [2, 5, 9, 5], strict=True))
    texts = {p: alone(lm, p, 30) for p in PROMPTS}

    def ended(text):
        whole = next(p for p, t in texts.items() if t.startswith(text))
        return len(text) if len(lm.tokenizer(text)["input_ids"]) >= limits[whole] else None

    generate(lm, PROMPTS, 1)  # the trial
    hook = lm.model.register_forward_pre_hook(
        lambda m, a, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True)
    try: found = generate(lm, PROMPTS, 30, ended)
    finally: hook.remove()
    assert all(texts[p].startswith(text) and text for p, text in zip(PROMPTS, found, strict=True))
    steps = widths[2:]  # behind the examples and the questions
    assert steps[0] == 4 and steps[-1] == 1 and steps == sorted(steps, reverse=True) and len(steps) < 30


def test_end_of_sequence(tiny):
    lm = tiny("llama")
    written = alone(lm, PROMPTS[0], 10)
    token = lm.tokenizer(PROMPTS[0] + written)["input_ids"][len(lm.tokenizer(PROMPTS[0])["input_ids"]) + 3]
    lm.model.generation_config.eos_token_id = [token]
    assert generate(lm, PROMPTS, 10, never) == [alone(lm, p, 10) for p in PROMPTS]
    assert len(generate(lm, PROMPTS[:1], 10, never)[0]) < len(written)


def test_nothing_shared_one_prompt_and_none(smollm2):
    apart = ["Once upon a time", "The capital of France is", "The capital of France is"]
    assert generate(smollm2, apart, 8, never) == [alone(smollm2, p, 8) for p in apart]
    assert generate(smollm2, apart[1:2], 8, never) == [alone(smollm2, apart[1], 8)]
    assert generate(smollm2, []) == []


def test_an_empty_prompt_and_numbers_that_are_none(tiny):
    lm = tiny("llama")
    with pytest.raises(ValueError, match=r"prompts\[1\] is empty and tiny begins with no token of its own"):
        generate(lm, ["a", ""])
    generate(lm, ["a"], 1)
    with torch.no_grad(): lm.model.lm_head.weight[7] = float("nan")
    with pytest.raises(ValueError, match="tiny gives logits that are not finite"): generate(lm, ["a"], 1)


def test_the_context_ends(tiny):
    lm = tiny("llama", max_position_embeddings=64)
    prompt = "word " * 60
    n = len(lm.tokenizer(prompt)["input_ids"])
    assert n < 64 and generate(lm, [prompt], 300, never) == [alone(lm, prompt, 64 - n)]
    short = "word word"
    found = generate(lm, [prompt, short], 30, never)
    assert found == [alone(lm, prompt, 64 - n), alone(lm, short, 30)]  # one long prompt shortens no other's answer
    full = lm.tokenizer.decode(lm.tokenizer("word " * 80)["input_ids"][:64])
    assert generate(lm, [full, short], 5, never) == ["", alone(lm, short, 5)]
    with pytest.raises(ValueError, match=r"prompts\[1\] has .* tokens .* takes 64; shorten it"):
        generate(lm, [prompt, prompt + "word " * 9])
