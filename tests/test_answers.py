"""Which answer a text gives: a table of hard cases for both readers, round trips, any text at all, and real gold answers."""
import os
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from e2h.data import load_items
from e2h.generation import (
    find_answer, first_answer, marked_lines, number_text, number_value, original_answer, read_number, same_answer,
    same_answer_original,
)

NO_DATA = pytest.mark.skipif("E2H_DATA" not in os.environ, reason="E2H_DATA does not name a folder with the real data sets")
YES_NO = ["yes", "no"]
ASTRAY = "\n\nQ: Ann has 3 pears. How many has she?\nA: So the answer is 3"


# The table: what follows "So the answer is ", what we read, and what the original reads

SAID = [
    # plain, and what may stand around a number
    ("18", "18", "18"),
    ("18.", "18", "18"),
    ("18\n\nQ: Ann has 3 pears.", "18", "18"),
    (" **18**", "18", "18"),
    (": 18", "18", "18"),
    ('"18"', "18", "18"),
    ("$18$.", "18", "18"),
    ("18 (eighteen).", "18", "18"),
    ("18! Now rest", "18", "18"),
    ("18. Now we rest", "18", "18."),
    ("18. Rest", "18", "18."),
    ("18. Now let us rest", "18", "18."),
    ("\n18", "18", ""),
    (":\n\n18", "18", ""),
    ("therefore 18.", "18", "18"),
    ("018", "18", "018"),
    ("0", "0", "0"),
    ("-0", "0", "0"),
    # signs
    ("-7", "-7", "7"),
    ("−7", "-7", "7"),
    ("–7", "-7", "7"),
    ("minus 7", "-7", "7"),
    ("negative 7 degrees", "-7", "7"),
    ("+7", "7", "7"),
    ("- 7", "7", "7"),
    # thousands
    ("1,080", "1080", "1080"),
    ("1,234,567.", "1234567", "1234567"),
    ("1 234", "1234", "1234"),
    ("1\u202f234", "1234", "1234"),
    ("1,23", "", "123"),
    ("1,2345", "", "12345"),
    # decimals
    ("18.00", "18", "18.00"),
    ("18.50", "18.5", "18.50"),
    (".5", "0.5", "5"),
    ("0.333", "0.333", "0.333"),
    ("3,5", "", "35"),
    ("1.2.3", "", "1.2.3"),
    # money, percentages, units
    ("$18", "18", "18"),
    ("$1,234.50 in all", "1234.5", "1234.50"),
    ("-$5", "-5", "5"),
    ("$-5", "-5", "5"),
    ("€18 or £15", "", "15"),
    ("US$18", "18", "18"),
    (r"\$18", "18", "18"),
    ("50%", "50", "50"),
    ("18 dollars", "18", "18"),
    ("18 dollars per day", "18", "18"),
    ("18kg", "18", "18"),
    ("25 m²", "25", "25"),
    ("18-year-old", "18", "18"),
    ("18/hour", "18", "18"),
    ("H2O", "", "2"),
    # scales
    ("1.2 million", "1200000", "1.2"),
    ("$3 thousand", "3000", "3"),
    ("5k", "5", "5"),
    ("2 dozen", "2", "2"),
    # fractions
    ("3/4", "0.75", "34"),
    ("1/3", "1/3", "13"),
    ("1 1/2", "1.5", "112"),
    ("½", "0.5", ""),
    ("3½ hours", "3.5", "3"),
    (r"\frac{3}{4}", "0.75", "34"),
    ("48/2", "24", "482"),
    ("3/0", "", "30"),
    # powers of ten
    ("1.2e3", "1200", "1.23"),
    ("1.2 x 10^3", "1200", "103"),
    (r"$1.2 \times 10^{3}$", "1200", "103"),
    ("3 × 10⁶", "3000000", "10"),
    ("5^2", "", "52"),
    ("5²", "", "5"),
    ("1e999", "", "1999"),
    # equations
    ("12 x 3 = 36", "36", "36"),
    ("12 eggs x 3 = 36 eggs.", "36", "36"),
    ("x = 5", "5", "5"),
    ("18 = 9 x 2", "18", "2"),
    ("$20 - $2 = $18", "18", "18"),
    ("12 times 3 equals 36", "36", "36"),
    ("48/2 = <<48/2=24>>24", "24", "4822424"),
    ("<<8=8>>8", "8", "888"),
    ("18, because 18 = 2 x 9", "18", "9"),
    ("18 since 9 + 9 = 18 and 4 = 4", "18", "4"),
    ("20 - 2", "", "2"),
    ("2 * 9", "", "9"),
    # several numbers
    ("5 apples and 3 pears", "5", "3"),
    ("5 3", "5", "53"),
    ("3 out of 4", "3", "4"),
    ("5, not 6", "5", "6"),
    ("not 5 but 6", "6", "6"),
    ("5-6", "", "56"),
    ("5–6 hours", "", "56"),
    ("5 to 6", "", "6"),
    ("between 5 and 6", "5", "6"),
    ("5 or 6", "", "6"),
    ("3:4", "", "34"),
    # times and dates
    ("2:00 pm", "2", "200"),
    ("3:30", "", "330"),
    ("3:30 pm", "", "330"),
    ("2024-01-15", "", "20240115"),
    ("1/5/2024", "", "152024"),
    ("May 5, 2024", "5", "52024"),
    # none
    ("", "", ""),
    ("eighteen", "", ""),
    ("unknown", "", ""),
    ("clear to 12 of us now", "12", "12"),
]

# Whole texts: kind, what we read, and what the original reads

TEXTS = [
    ("48 / 2 = 24. So the answer is 24" + ASTRAY, "number", "24", "24"),
    ("48 / 2 = 24. So the answer is 24 Q: Ann has 3 pears. A: So the answer is 3", "number", "24", "24"),
    ("48 / 2 = 24. So the answer is 24\nQuestion: How many?\nAnswer: 3", "number", "24", "24"),
    ("So the answer is 24\nQ2: How many?\nA: So the answer is 3", "number", "24", "24"),
    ("\nQ: Ann has 3 pears?\nA: So the answer is 3", "number", "", "3"),
    ("The answer is <<8=8>>8. So the answer is 8", "number", "8", "888."),
    ("The answer is therefore 3. So the answer is 3", "number", "3", "3."),
    ("The answer is not simply 5, as 2 are added. So the answer is 7", "number", "7", "5"),
    ("The answer is 18. I hope that the answer is clear.", "number", "18", "18."),
    ("THE ANSWER IS 18", "number", "18", "18"),
    ("The answer would be 18", "number", "18", ""),
    ("The answers are 18 and 3", "number", "3", ""),
    ("The answer isn't 3, it has to be 18", "number", "18", "18"),
    ("5 + 3 = 8. So the answer is", "number", "", ""),
    ("5 + 3 = 8", "number", "8", ""),
    ("She has 20, gives 5, and keeps 15.\n", "number", "15", ""),
    ("So 20 + 5 = 25 for 14 peaches.\nThat is all.", "number", "25", ""),
    ("She keeps 5 to 6 of them", "number", "", ""),
    ("18", "number", "18", ""),
    ("Nothing here", "number", "", ""),
    ("", "number", "", ""),
    ("He pays 18 dollars.\n#### 18", "number", "18", ""),
    ("He pays 1,080 dollars.\n#### 1,080", "number", "1080", ""),
    ("#### Step 1: add\n5 + 3 = 8\n#### Step 2: be glad of all", "number", "8", ""),
    (r"Thus $\boxed{18}$ is right, as 2 x 9 = 18.", "number", "18", ""),
    (r"Thus \boxed{1{,}234}", "number", "1234", ""),
    (r"The answer is $\boxed{\frac{1}{2}}$", "number", "0.5", "12"),
    (r"\boxed{-\$7.50}", "number", "-7.5", ""),
    ("**Answer:** 18 dollars", "number", "18", ""),
    ("Final answer: 18", "number", "18", ""),
    ("Answer: Tom has 5 apples and buys 3 more. 5 + 3 = 8", "number", "8", ""),
    ("The answer is 18\nThat makes 5 for each", "number", "18", "18"),
    ("Fish swim. So the answer is yes", YES_NO, "yes", "yes"),
    ("Fish swim. So the answer is yes.\n\nQ: Do fish fly?\nA: So the answer is no", YES_NO, "yes", "yes"),
    ("So the answer is YES!", YES_NO, "yes", "yes!"),
    ("So the answer is **yes**", YES_NO, "yes", "**yes**"),
    ('So the answer is "no".', YES_NO, "no", '"no"'),
    ("So the answer is yes, because fish swim", YES_NO, "yes", "yes, because fish swim"),
    ("So the answer is no. Yes would be silly.", YES_NO, "no", "no. yes would be silly"),
    ("So the answer is no, not yes", YES_NO, "no", "no, not yes"),
    ("So the answer is:\nno", YES_NO, "no", ":"),
    ("So the answer is not yes", YES_NO, "", "not yes"),
    ("So the answer is yes or no", YES_NO, "", "yes or no"),
    ("So the answer is yes/no", YES_NO, "", "yes/no"),
    ("So the answer is neither yes nor no", YES_NO, "", "neither yes nor no"),
    ("So the answer is not known", YES_NO, "", "not known"),
    ("So the answer is", YES_NO, "", ""),
    ("Yes, fish swim.", YES_NO, "yes", ""),
    ("No", YES_NO, "no", ""),
    ("No.\nQ: Do fish fly?", YES_NO, "no", ""),
    ("No one knows whether yes is right.", YES_NO, "", ""),
    ("Nobody knows. Yes, nobody.", YES_NO, "", ""),
    ("Yes and no. So the answer is no", YES_NO, "no", "no"),
    (r"\boxed{\text{no}}", YES_NO, "no", ""),
    ("The answer is Iron.", ["iron", "wood"], "iron", "iron"),
    ("The answer is B) a New York minute", ["York", "New York"], "New York", "b) a new york minute"),
    ("The answer is 1.5 metres", ["1", "1.5", "5"], "1.5", "1.5 metres"),
    ("The answer is C++, not C", ["C", "C++"], "C++", "c++, not c"),
    ("The answer is STRASSE", ["straße", "weg"], "straße", "strasse"),
]


@pytest.mark.parametrize("said, ours, original", SAID)
def test_numbers_behind_the_phrase(said, ours, original):
    text = f"One step. So the answer is {said}"
    assert (find_answer(text, "number"), original_answer(text, "number")) == (ours, original)


@pytest.mark.parametrize("text, kind, ours, original", TEXTS)
def test_whole_texts(text, kind, ours, original):
    assert (find_answer(text, kind), original_answer(text, kind)) == (ours, original)


@pytest.mark.parametrize("text, kind, cut, whole", [
    ("So the answer is 18", "number", "18", "18"),
    ("So the answer is\n18", "number", "", "18"),
    ("So the answer is 18\nAnn has 3 pears", "number", "18", "3"),
    ("So the answer is 18\n\nQ: How many?", "number", "18", "18"),
    ("So the answer is 18.\n\nQ: How many?", "number", "18", "18."),
    ("So the answer is yes\n\nQ: Do fish fly?", YES_NO, "yes", "yes\n\nq: do fish fly?"),
])
def test_the_original_cuts_at_the_end_of_the_line_unless_finetuned(text, kind, cut, whole):
    assert (original_answer(text, kind), original_answer(text, kind, finetuned=True)) == (cut, whole)


# Comparing

@pytest.mark.parametrize("pred, gold, ours, original", [
    ("18", "18", True, True), ("18", "18.", True, True), ("18", " 18 ", True, True),
    ("18.00", "18", True, False), ("018", "18", True, False), ("18.", "18", True, False),
    ("1080", "1,080", True, False), ("1080", "1080", True, True),
    ("-7", "-7", True, True), ("7", "-7", False, False), ("-7", "−7", True, False),
    ("0.5", "1/2", True, False), ("1/3", "0.333", False, False), ("1/3", "2/6", True, False),
    ("0.1", "0.10000000000000000001", False, False),
    ("50%", "50", True, False), ("50%", "0.5", False, False), ("50", "50%", True, False),
    ("", "0", False, False), ("", "18", False, False), ("5-6", "5", False, False),
])
def test_comparing_numbers(pred, gold, ours, original):
    assert (same_answer(pred, gold, "number"), same_answer_original(pred, gold)) == (ours, original)


@pytest.mark.parametrize("pred, gold, ours, original", [
    ("yes", "yes", True, True), ("yes", "Yes.", True, True), ("Yes", "yes", True, False),
    ("no", "yes", False, False), ("", "no", False, False), ("not", "no", False, False),
])
def test_comparing_choices(pred, gold, ours, original):
    assert (same_answer(pred, gold, YES_NO), same_answer_original(pred, gold)) == (ours, original)


@pytest.mark.parametrize("gold, kind, what", [
    ("five", "number", "not one number"), ("", "number", "not one number"), ("5-6", "number", "not one number"),
    ("maybe", YES_NO, r"not one of \['yes', 'no'\]"), ("yes or no", YES_NO, "not one of"),
])
def test_a_gold_answer_that_cannot_be_read_is_an_error(gold, kind, what):
    with pytest.raises(ValueError, match=what):
        same_answer("5", gold, kind)


@pytest.mark.parametrize("kind", ["choice", "", [], [""], ["yes", 5], ["yes", " "]])
def test_a_kind_that_cannot_be_read_is_an_error(kind):
    for read in [find_answer, original_answer]:
        with pytest.raises(ValueError, match="give 'number', or a list of choices"):
            read("So the answer is 5", kind)


# Properties

ANY_NUMBER = st.decimals(min_value=-10**9, max_value=10**9, places=2) | st.integers(-10**12, 10**12).map(Decimal)
BEFORE = ["So the answer is ", "The answer is: ", "#### ", "$\\boxed{", "**Answer:** ", "I think the answer is\n"]
BEHIND = ["", ".", " ", "\n", "%", "}$", "**", "\n\nQ: Ann has 3 pears?\nA: So the answer is 3"]
UNITS = [" dollars", "kg", " eggs and 2 hens.", ", because 1 = 1.", "! Ann has 3.", " (and not 3)"]


@given(ANY_NUMBER, st.sampled_from(["", ","]), st.sampled_from(["", "$", "€", "£"]), st.booleans(), st.data())
def test_a_written_number_is_found_again(number, comma, currency, unicode_minus, data):
    sign = "" if number >= 0 else "−" if unicode_minus else "-"
    before = data.draw(st.sampled_from(BEFORE))
    worded = before != "#### " and not before.startswith("**")  # these two marks stand on short lines
    behind = data.draw(st.sampled_from(BEHIND + UNITS if worded else BEHIND))
    text = f"It takes 4 steps. Here are 2.\n{before}{sign}{currency}{abs(number):{comma}f}{behind}"
    found = find_answer(text, "number")
    assert Fraction(found) == Fraction(number)
    assert same_answer(found, str(number), "number")


@given(st.integers(-10**6, 10**6), st.integers(1, 10**6))
def test_a_fraction_is_found_again(above, below):
    found = find_answer(f"So the answer is {above}/{below} of it", "number")
    assert Fraction(found) == Fraction(above, below)
    assert number_value(found) == Fraction(above, below)


@given(st.fractions(max_denominator=10**6, min_value=-10**6, max_value=10**6))
def test_a_value_has_one_text(value):
    assert Fraction(number_text(value)) == value == number_value(number_text(value))
    assert read_number(number_text(value)) == number_text(value)


PIECES = st.sampled_from([
    "the answer is", "So the answer is ", "####", "\\boxed{", "}", "Answer:", "\nQ:", "=", "<<", ">>", "not ", "yes", "no",
    " or ", "-", "−", "$", "%", ",", ".", "/", "1/0", "½", "10^", "e", "²", "٣", "５", " ", "\n", "18", "1,080",
    " million", "3:30", "\\frac{", "{", "\x00", "ſ", "İ"])


@given(st.text() | st.lists(PIECES, max_size=20).map("".join), st.sampled_from(["number", YES_NO, ["1", "1.5", "(a)"]]))
@example("9" * 5000, "number")
@example("the answer is " + "9" * 5000, "number")
@example("the answer is 1e-99/" + "7" * 58, "number")
@example("the answer is " + "(" * 5000, "number")
@example("the answer is 5" + " " * 5000 + "x", "number")
@example("the answer is " + "1 " * 5000, "number")
@example("the answer is " * 500, ["yes", "no"])
def test_any_text_can_be_read(text, kind):
    found = find_answer(text, kind)
    assert found == "" or (read_number(found) == found if kind == "number" else found in kind)
    assert all(isinstance(original_answer(text, kind, finetuned), str) for finetuned in [False, True])
    assert first_answer(text) in text and all(line in text for line in marked_lines(text))
    if found:
        assert same_answer(found, found, kind)


@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["number", YES_NO]))
def test_what_a_model_invents_after_its_answer_changes_nothing(text, kind):
    assert find_answer(text + "." + ASTRAY, kind) == find_answer(text + ".", kind)


# Real gold answers

@pytest.fixture(scope="module")
def gsm8k():
    "Rationales and gold answers as published."
    items = load_items("gsm8k", part="all")
    return list(zip(items["rationale"], items["answer_raw"], [choices[0] for choices in items["choices"]]))


@NO_DATA
@pytest.mark.parametrize("ending", [
    " So the answer is {}", " So the answer is {}." + ASTRAY, "\n#### {}", "\nThus $\\boxed{{{}}}$.",
    " The answer is ${} dollars."])
def test_every_gold_answer_of_gsm8k_is_found(gsm8k, ending):
    for rationale, raw, plain in gsm8k:
        for gold in [raw, plain]:
            found = find_answer(rationale + ending.format(gold), "number")
            assert found == plain and same_answer(found, raw, "number")


@NO_DATA
def test_which_gold_answers_of_gsm8k_the_original_cannot_find(gsm8k):
    read = [original_answer(f"{rationale} So the answer is {raw}", "number") for rationale, raw, _ in gsm8k]
    missed = [number for number, (_, raw, _) in zip(range(len(read)), gsm8k) if not same_answer_original(read[number], raw)]
    commas = {number for number in missed if "," in gsm8k[number][1]}
    minus = {number for number in missed if gsm8k[number][1].startswith("-")}
    twice = {number for number in missed if "the answer is" in gsm8k[number][0].lower()}
    assert (len(gsm8k), len(commas), len(minus), len(twice)) == (8792, 93, 5, 3)
    assert commas | minus | twice == set(missed) and len(missed) == 101
    assert len(commas) == sum("," in raw for _, raw, _ in gsm8k)
    assert len(minus) == sum(raw.startswith("-") for _, raw, _ in gsm8k)


@NO_DATA
def test_rationales_of_gsm8k_mostly_end_with_the_answer(gsm8k):
    unmarked = [(rationale, plain) for rationale, _, plain in gsm8k if not marked_lines(rationale)]
    found = [find_answer(rationale, "number") for rationale, _ in unmarked]
    right = sum(answer == plain for answer, (_, plain) in zip(found, unmarked))
    assert len(gsm8k) - len(unmarked) == 5 and right / len(unmarked) > 0.98


@NO_DATA
def test_every_gold_answer_of_strategyqa_is_found():
    items = load_items("strategyqa", part="all")
    for rationale, choices, answer in zip(items["rationale"], items["choices"], items["answer"]):
        gold, other = choices[answer], choices[1 - answer]
        text = f"{rationale} So the answer is {gold}\n\nQ: And?\nA: So the answer is {other}"
        assert find_answer(text, choices) == original_answer(text, choices) == gold
        assert not re.match(r"(yes|no)\b[.,;]", rationale.lower()) and find_answer(rationale, choices) == ""
