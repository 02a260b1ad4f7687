"""The preflight names every planted fault, finds none in World Quiz, and prints a page about anything that is valid."""
import json
import os
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from e2h.data import SOURCES, check_items, load_items
from e2h.hardness import LEVELS, item_levels
from e2h.preflight import GATE, choice_rows, guess_hits, model_floor, plain_text, preflight, wilson
from e2h.sgr import DISCORDANT, SAME_CLUSTER, SAME_ITEM, Design, effective_number, gap_error

NO_DATA = pytest.mark.skipif("E2H_DATA" not in os.environ, reason="E2H_DATA does not name a folder with the real data sets")


def sums(n=900, seed=0):
    "Clean items: sums with four choices, in clusters of five, harder the larger they are."
    rng, rows = np.random.default_rng(seed), []
    for number in range(n):
        a, b = 100 + number, int(rng.integers(100, 900))
        choices = [str(a + b + off) for off in rng.permutation([0, *rng.permutation([-20, -10, 10, 20])[:3]])]
        rows.append({"item_id": f"sum/{number:03d}", "question": f"What is {a} + {b}?", "choices": choices,
                     "answer": choices.index(str(a + b)), "cluster": f"c{number // 5}", "size": number})
    return check_items(pd.DataFrame(rows), dataset="sums")


def gold(items):
    return [choices[answer] for choices, answer in zip(items["choices"], items["answer"])]


def look(items, **plan):
    return preflight(items, **{"measure": "size", "n_train": 60} | plan)


# What is sound

@pytest.mark.parametrize("measure, n_train", [(None, 160), ("hops", 120)])
def test_world_quiz_is_ready(measure, n_train):
    check = preflight(load_items("worldquiz"), measure, n_train)
    assert check.verdict == "ready" and check.problems.empty
    assert check.facts["measure"] == (measure or "fame")
    assert (check.blind["accuracy"] - check.blind["chance"]).max() < GATE
    lines = str(check).splitlines()
    assert 45 <= len(lines) <= 75 and max(map(len, lines)) <= 100


@pytest.mark.parametrize("seed", range(3))
def test_clean_items_have_no_problem(seed):
    assert look(sums(seed=seed)).problems.to_dict("records") == []


# One planted fault at a time

def leak(items, n):
    copies = items.head(n).assign(item_id=[f"copy/{row}" for row in range(n)], cluster="elsewhere",
                                  question=[text.lower().replace("?", " ?") for text in items["question"].head(n)])
    return pd.concat([items, copies], ignore_index=True)


def contradict(items, n):
    copies = items.head(n).assign(item_id=[f"copy/{row}" for row in range(n)], answer=(items["answer"] + 1) % 4)
    return pd.concat([items, copies], ignore_index=True)


def favourite_answers(items):
    "In every second item the right answer is one of three words, which are wrong nowhere."
    choices = [[f"word {row % 3}" if row % 2 and place == answer else choice for place, choice in enumerate(listed)]
               for row, (listed, answer) in enumerate(zip(items["choices"], items["answer"]))]
    return items.assign(choices=choices)


def unseen_answers(items):
    "Every name is right once; wrong choices are names that are right elsewhere, so in training or not yet at all."
    rng, level, choices = np.random.default_rng(1), item_levels(items, "size"), []
    for row, answer in enumerate(items["answer"]):
        others = [other for other in np.flatnonzero(level == level[row]) if other != row]
        listed = [f"name {other:03d}" for other in rng.choice(others, 4, replace=False)]
        choices.append([*listed[:answer], f"name {row:03d}", *listed[answer + 1:]])
    return items.assign(choices=choices)


def careful_answers(items):
    choices = [[f"{choice}, exactly" if row % 2 and place == answer else choice for place, choice in enumerate(listed)]
               for row, (listed, answer) in enumerate(zip(items["choices"], items["answer"]))]
    return items.assign(choices=choices)


def first_place(items):
    choices = [[listed[answer], *listed[:answer], *listed[answer + 1:]] if row % 2 else listed
               for row, (listed, answer) in enumerate(zip(items["choices"], items["answer"]))]
    return items.assign(choices=choices, answer=[listed.index(text) for listed, text in zip(choices, gold(items))])


def answer_in_question(items):
    return items.assign(question=[f"{text} Not {int(right) - 1}, but {right}, or so?" if row % 2 else text
                                  for row, (text, right) in enumerate(zip(items["question"], gold(items)))])


def right_choice_twice(items):
    wrong = (items["answer"] + 1) % 4
    choices = [[listed[answer] + "." if row < 30 and place == other else choice for place, choice in enumerate(listed)]
               for row, (listed, answer, other) in enumerate(zip(items["choices"], items["answer"], wrong))]
    return items.assign(choices=choices)


def two_choices_when_hard(items):
    hard = item_levels(items, "size") == "hard"
    choices = [[right, str(int(right) + 10)] if short else listed
               for listed, right, short in zip(items["choices"], gold(items), hard)]
    answer = np.random.default_rng(0).integers(2, size=len(items))
    choices = [listed[::-1] if short and place else listed for listed, short, place in zip(choices, hard, answer)]
    return items.assign(choices=choices, answer=[listed.index(right) for listed, right in zip(choices, gold(items))])


@pytest.mark.parametrize("plant, grade, said, mend", [
    (lambda items: leak(items, 3), "mind", r"^6 items share question and answer with an item of another cluster "
     r"\(copy/0 and sum/000, ", "one cluster"),
    (lambda items: leak(items, 30), "stop", "^60 items share question and answer", "one cluster"),
    (lambda items: contradict(items, 2), "mind", "^4 items have equal questions and choices but different right answers",
     "correct"),
    (favourite_answers, "stop", "by 'answer .*' .* is right in .* chance 25.0 %", "one set of choices"),
    (favourite_answers, "mind", r"^3 answers are right in most items that offer them \(450 items\)", "where they are wrong"),
    (unseen_answers, "stop", "by 'answer least often right'", "one set of choices"),
    (careful_answers, "stop", "by 'longest choice'", "as long as the right"),
    (first_place, "stop", "by 'place most often right'", "random order"),
    (answer_in_question, "stop", "by 'choice that stands in the question'", "reword"),
    (right_choice_twice, "stop", "^30 items offer their right choice twice", "different"),
    (two_choices_when_hard, "mind", "chance differs between levels: .*25.0 % on easy.*50.0 % on hard", "compare gaps"),
    (lambda items: items.assign(size=7), "stop", "^size cannot be cut into levels: there are too few distinct",
     "choose another measure"),
    (lambda items: items.assign(size=[1] * 800 + [2, 3, 4, 5] * 25), "stop",
     "^size cannot be cut into levels: easy_max=1 is not", "give other cut-offs"),
    (lambda items: items.assign(cluster=[f"c{row % 8}" for row in range(len(items))]), "mind",
     "a gap of 10 points would be missed more often than found", "test more items or clusters"),
])
def test_a_planted_fault_is_named_with_its_mend(plant, grade, said, mend):
    check = look(plant(sums()))
    named = check.problems[check.problems["problem"].str.contains(said)]
    assert len(named) and named["grade"].iloc[0] == grade and mend in named["mend"].iloc[0], str(check.problems)
    assert check.verdict.startswith("not ready" if "stop" in set(check.problems["grade"]) else "ready, with")
    assert named["problem"].iloc[0][:30] in " ".join(str(check).split())


def test_a_level_that_is_too_small_is_named_with_numbers_that_work(monkeypatch):
    items, cuts = sums(), {("school", "grade"): (1, 3)}
    monkeypatch.setattr("e2h.hardness.CUTOFFS", cuts)
    items = check_items(items.assign(grade=[1] * 400 + [2] * 420 + [3] * 80), "school")
    check = preflight(items, "grade")
    [problem], [mend] = (check.problems.loc[check.problems["grade"] == "stop", name] for name in ["problem", "mend"])
    assert problem.startswith("level 'hard' holds 80 items: 50 are kept from training unless") and problem.endswith("not 160")
    assert check.verdict.startswith("not ready for 160 training items: 1 to mend first")
    room = int(mend.removeprefix("give n_train=").split()[0])
    assert check.levels["left"].iloc[-1] >= room > 0
    assert "stop" not in set(preflight(items, "grade", n_train=room).problems["grade"])
    assert "stop" in set(preflight(items, "grade", n_train=room + 1).problems["grade"])


def test_one_mend_of_two_levels_is_said_once():
    items = sums().assign(size=[1, 2, 3] * 300, cluster=lambda frame: frame["item_id"])
    check = preflight(items, "size", n_train=400)
    assert check.problems["problem"].str.contains("which leaves").sum() == 2
    said = " ".join(str(check).split())
    assert said.count("Mend: the same.") == 1 and "it holds once what stops the study is mended" in said
    assert "once what stops" not in " ".join(str(preflight(items, "size", n_train=10)).split())


def test_faults_do_not_hide_each_other():
    check = look(leak(first_place(careful_answers(sums())), 3))
    assert check.problems["problem"].str.extract("(longest|place|share question)")[0].nunique() == 3


# What the numbers are

@given(st.integers(1, 60), st.data())
@settings(max_examples=30, deadline=None)
def test_the_interval_is_wilsons(n, data):
    hits = data.draw(st.integers(0, n))
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_ties_of_a_guess_are_split():
    rng = np.random.default_rng(0)
    items = pd.DataFrame([{"item_id": f"q{row}", "question": "?", "choices": list("abcd")[:size],
                           "answer": int(rng.integers(size))} for row, size in enumerate(rng.integers(2, 5, 50))])
    rows = choice_rows(items)
    score = pd.Series(rng.integers(3, size=len(rows)))
    hits = guess_hits(rows, score)
    for item in items.itertuples():
        own = score[rows["item_id"] == item.item_id].tolist()
        best = [place for place, value in enumerate(own) if value == max(own)]
        assert hits[item.item_id] == pytest.approx((item.answer in best) / len(best))


def test_the_foretold_error_is_that_of_simulated_studies():
    rng = np.random.default_rng(0)
    tested = pd.concat([pd.DataFrame({"item_id": rng.permutation(120)[:60]}) for _ in range(4)], ignore_index=True)
    tested["cluster"] = tested["item_id"] ** 2 // 1500  # of unequal size
    sizes = {name: tested[name].max() + 1 for name in ["item_id", "cluster"]}
    gaps = []
    for _ in range(4000):
        value = (np.sqrt(SAME_CLUSTER) * rng.normal(size=sizes["cluster"])[tested["cluster"]]
                 + np.sqrt(SAME_ITEM - SAME_CLUSTER) * rng.normal(size=sizes["item_id"])[tested["item_id"]]
                 + np.sqrt(1 - SAME_ITEM) * rng.normal(size=len(tested)))
        gaps.append(np.sqrt(DISCORDANT) * value.mean())
    counts = Design(len(tested), *(effective_number(tested[name]) for name in ["item_id", "cluster"]), 4)
    assert np.std(gaps) == pytest.approx(gap_error(counts), rel=.04)


def test_more_seeds_and_more_items_narrow_what_can_be_seen():
    gaps = [look(sums(n), seeds=seeds).power["smallest_gap"] for n, seeds in [(450, 2), (900, 2), (900, 8)]]
    assert gaps == sorted(gaps, reverse=True)


@pytest.mark.parametrize("one, other, same", [
    ("Who is it?", "who  is it", True), ("x + 1", "x - 1", False), ("It is 3.5", "It is 35", False),
    ("Wait... what?", "Wait, what", True),
])
def test_what_counts_as_the_same_question(one, other, same):
    assert (plain_text(one.casefold()) == plain_text(other.casefold())) == same


# Any valid frame

text = st.text("abc ?é1+中", min_size=1, max_size=8).filter(str.strip)


@st.composite
def frames(draw):
    "Valid items of every kind: few or many choices, free text, no levels, repeated questions, shared clusters."
    free, rows = draw(st.booleans()), []
    for row in range(draw(st.integers(1, 14))):
        choices = draw(st.lists(text, min_size=1 if free else 2, max_size=4, unique_by=str.strip))
        rows.append({"item_id": f"q{row}", "question": draw(text), "choices": choices,
                     "answer": draw(st.integers(0, len(choices) - 1)), "cluster": draw(st.sampled_from(["a", "b", None])),
                     "grade": draw(st.sampled_from([1., 2., 3., np.nan]))})
    return check_items(pd.DataFrame(rows), draw(st.sampled_from(["mine", "arc"])), free_text=free)


@given(frames(), st.sampled_from([None, "grade"]), st.integers(1, 3), st.sampled_from([None, 2]))
@settings(max_examples=40, deadline=None)
def test_every_valid_frame_has_a_page(items, measure, seeds, n_test):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check = preflight(items, measure, n_train=2, n_test=n_test, seeds=seeds)
    assert max(map(len, str(check).splitlines())) <= 100
    assert str(check).count("\n\n") == 8 and check.verdict in str(check)
    json.dumps(check.to_dict(), allow_nan=False)


def test_the_order_of_the_file_changes_nothing():
    items = leak(careful_answers(sums(300)), 4)
    shuffled = items.sample(frac=1, random_state=1)
    assert str(look(items)) == str(look(shuffled))


def test_free_text_has_no_choice_checks():
    items = check_items(pd.DataFrame([{"item_id": f"q{row}", "question": f"What is {row} + {row}?", "choices": [str(2 * row)],
                                       "answer": 0, "steps": row % 7} for row in range(900)]), "mine", free_text=True)
    check = preflight(items, "steps", n_train=60)
    assert str(check).count("choice checks do not apply") == 2 and check.blind.empty and check.facts["chance"] == 0
    assert check.verdict == "ready"


def test_no_long_text_is_printed():
    items = careful_answers(sums(300))
    long = items.assign(question=[f"{text} {'so ' * 40}" for text in items["question"]],
                        choices=[[f"{choice} {'and so on ' * 20}" for choice in listed] for listed in items["choices"]])
    said = str(look(leak(long, 4))) + json.dumps(look(leak(long, 4)).to_dict())
    assert "so so so" not in said and "and so on " * 7 not in said and "and so on" in said


@pytest.mark.parametrize("change, said", [
    (dict(seeds=0), "seeds is 0; give 1 or more"), (dict(n_test=0), "n_test is 0; give 1 or more"),
    (dict(measure="fame"), "there is no hardness measure 'fame'"),
])
def test_what_is_refused(change, said):
    with pytest.raises((KeyError, ValueError), match=said):
        look(sums(60), **change)


def test_bad_items_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"items\[1\] \('sum/001'\): answer is 4 but there are 4 choices"):
        look(sums(60).assign(answer=[0, 4, *[1] * 58]))


# The paper's data sets, and a model

@NO_DATA
@pytest.mark.parametrize("name", SOURCES)
def test_the_papers_data_sets(name):
    items = load_items(name)
    check = preflight(items)
    said = str(check) + json.dumps(check.to_dict(), ensure_ascii=False)
    texts = {*items["question"], *(choice for choices in items["choices"] for choice in choices)}
    assert not [text for text in texts if len(text) > 12 and text in said]
    assert not (check.problems["grade"] == "stop").any()
    problems = " ".join(check.problems["problem"])
    if name == "mmlu_stem5":  # more than a third of the college answers stand in the last place
        assert "'place most often right' (learned from hard)" in problems
        assert "2 items share question and answer" in problems and "college_physics/test/19" in problems
    assert ("choice checks do not apply" in said) == (name == "gsm8k")


def test_the_floor_is_that_of_the_model(smollm2):
    from e2h.icl import ZeroShot
    from e2h.prompts import blind
    quiz = load_items("worldquiz")
    level = item_levels(quiz, "fame")
    few = pd.concat([quiz[level == name].iloc[::41] for name in LEVELS])  # 16 of each level
    check = preflight(few, "fame", n_train=4, n_test=4, seeds=2, lm=smollm2)
    assert check.floor["level"].tolist() == LEVELS and (check.floor["n"] == 16).all()
    predict = ZeroShot().fit(smollm2).predict
    for column, asked in {"zero_shot": few, "blind": blind(few)}.items():
        correct = predict(asked).groupby(level[few.index].to_numpy(dtype=object))["correct"].mean()
        assert check.floor.set_index("level")[column].to_dict() == pytest.approx(correct.to_dict())
        assert (check.floor[f"{column}_low"] < check.floor[column]).all()
    assert f"4  Zero-shot floor of {smollm2.name}" in str(check) and "not measured" not in str(check)
    assert model_floor(few, level[few.index], smollm2, most=2)["n"].tolist() == [2, 2, 2]
