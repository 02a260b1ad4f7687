"""Prompt strings, byte for byte."""
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2h.prompts import FORMATS, blind, choice_strings, prompts

four = pd.DataFrame({"question": ["Q"], "choices": [["a", "b", "c", "d"]], "answer": [3]})
shots = pd.DataFrame({"question": ["Q2?", "Q3?"], "choices": [["e", "f", "g", "h"], ["i", "j", "k"]], "answer": [0, 2]})
yes_no = pd.DataFrame({"question": ["Q"], "choices": [["yes", "no"]], "answer": [1]})
TEST_0040 = "Question: Q \nA) a\nB) b\nC) c\nD) d\nAnswer:"


def test_cloze():
    assert prompts(four, shots) == [
        "Question: Q2?\nAnswer: e\n\nQuestion: Q3?\nAnswer: k\n\nQuestion: Q\nAnswer:"
    ]
    assert prompts(yes_no) == ["Question: Q\nAnswer:"]


def test_paper_0040():
    assert prompts(four, format="paper") == [TEST_0040]
    shown = "Question: Q2? \nA) e\nB) f\nC) g\nD) h\nAnswer: e\n\nQuestion: Q3? \nA) i\nB) j\nC) k\nAnswer: k\n\n"
    assert prompts(four, shots, "paper") == [shown + TEST_0040]
    assert prompts(four, shots, "paper", model_name="anything") == [shown + TEST_0040]


def test_paper_original_0040():
    shown = "Question: Q2? \nA) e\nB) f\nC) g\nD) h \nAnswer: e\n\nQuestion: Q3? \nA) i\nB) j\nC) k \nAnswer: k\n\n"
    assert prompts(four, shots, "paper-original", model_name="meta-llama/Llama-2-70b-hf") == [shown + TEST_0040]
    assert prompts(four, shots, "paper-original", model_name="mistralai/Mistral-7B") == [shown + TEST_0040 + " "]
    assert FORMATS["paper-original"].join == "apart"


def test_paper_0306():
    assert prompts(yes_no, format="paper") == ["Q: Q\nA:"]
    assert prompts(yes_no, yes_no, "paper") == ["Q: Q\nA: no\n\nQ: Q\nA:"]
    assert prompts(yes_no, yes_no, "paper-original", model_name="llama") == ["Q: Q \nA: no\n\nQ: Q\nA:"]
    assert prompts(yes_no, yes_no, "paper-original", model_name="falcon") == ["Q: Q \nA: no\n\nQ: Q\nA: "]


def test_choices_carry_their_space_except_in_the_original():
    assert choice_strings(four, "paper") == choice_strings(four, "cloze") == [[" a", " b", " c", " d"]]
    assert choice_strings(four, "paper-original") == [["a", "b", "c", "d"]]


def test_shots_show_the_label_they_are_given():
    assert prompts(four, shots.assign(answer=[1, 0])) == [
        "Question: Q2?\nAnswer: f\n\nQuestion: Q3?\nAnswer: i\n\nQuestion: Q\nAnswer:"
    ]


def test_no_shots_is_zero_shot():
    assert prompts(four, shots.head(0)) == prompts(four)


def test_blind_prompts_hold_no_double_space():
    for name in ["cloze", "paper"]:
        assert "  " not in prompts(blind(four), format=name)[0]
        assert prompts(blind(four), format=name)[0].startswith("Question:")
    assert four["question"].tolist() == ["Q"]


def test_an_unknown_format_lists_what_exists():
    for call in [prompts, choice_strings]:
        with pytest.raises(KeyError, match="no format 'chat'; give one of.*'cloze', 'paper', 'paper-original'"):
            call(four, format="chat")


@given(st.text(min_size=1), st.lists(st.text(min_size=1), min_size=2, max_size=5), st.data())
def test_a_prompt_with_its_choice_reads_like_a_shot(question, choices, data):
    answer = data.draw(st.integers(0, len(choices) - 1))
    item = pd.DataFrame({"question": [question], "choices": [choices], "answer": [answer]})
    for name in ["cloze", "paper"]:
        solved = prompts(item, format=name)[0] + choice_strings(item, name)[0][answer]
        assert prompts(item, item, name)[0] == solved + "\n\n" + prompts(item, format=name)[0]
