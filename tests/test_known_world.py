"""The known world: who is asked about is never practised, choices tell nothing, runs repeat and resume to the bit."""
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2h import known_world
from e2h.baselines import AnswerPrior
from e2h.known_world import AMBIGUOUS, LENGTH, OFTEN, PAGE, PRACTICE, QUESTIONS, RELATIONS, STATEMENTS, born_world, corpus, \
    make_world, new_model, pack_texts, pretrain, word_tokenizer, world_items
from e2h.lm import LM

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tiny():
    return make_world(held=20, shown=20)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), held=st.integers(5, 60), shown=st.integers(0, 60))
def test_what_a_world_promises(seed, held, shown):
    world = make_world(4 * held, 4 * shown, seed=seed)
    assert len(world.people) == 4 * (held + shown) and world.people["person"].is_unique
    assert world.people["shown"].sum() == 4 * shown
    words = world.places[RELATIONS].stack().unique()
    assert len(words) == 35 and all(" " not in word for word in words)
    where = world.places.set_index("city")
    assert (where.loc[world.people["city"], "continent"].to_numpy() == world.people["continent"]).all()
    for shown in (False, True):
        people = world.people[world.people["shown"] == shown]
        if not len(people): continue
        items = world_items(world, shown)
        gold = [choices[answer] for choices, answer in zip(items["choices"], items["answer"])]
        truth = people.set_index("person")
        for item_id, right in zip(items["item_id"], gold):
            _, person, hops = item_id.split("/")
            assert right == truth.loc[person, RELATIONS[int(hops) - 1]]
        sets = items["choices"].map(lambda choices: tuple(sorted(choices)))
        groups = items.assign(gold=gold, sets=sets).groupby(["cluster", "hops"])
        assert (groups["sets"].nunique() == 1).all() and (groups["gold"].nunique() == 4).all()
        assert (groups["exposure"].nunique() == 1).all()


def test_hops_and_exposure_are_independent():
    table = world_items(make_world()).groupby(["hops", "exposure"]).size().unstack()
    assert (table == 120).all(axis=None)


def test_no_answer_prior_helps():
    items = world_items(make_world())
    blocks = items["cluster"].unique()
    trained = items[items["cluster"].isin(blocks[::2])].reset_index(drop=True)
    tested = items[~items["cluster"].isin(blocks[::2])].reset_index(drop=True)
    for of in ("answer", "position"):
        right = AnswerPrior(of).fit(None, trained).predict(tested)["correct"]
        assert right.mean() == pytest.approx(.25, abs=1e-12)  # one of four in every block, whatever is preferred


@pytest.mark.parametrize("ambiguous", [False, True])
def test_exposure_is_what_the_texts_hold_in_every_epoch(ambiguous):
    world = make_world(held=20, shown=20, ambiguous=ambiguous)
    for number in range(3):
        told = [text for text in corpus(world, (1, 2, 3), number) if not text.startswith("Question")]
        for what in ["city", "born"][:1 + ambiguous]:
            openings = [way.split("{}") for way in STATEMENTS[what]]
            said = [text for text in told if any(text.startswith(way[0]) and way[1] in text for way in openings)]
            counts = [sum(person in text for text in said) for person in world.people["person"]]
            assert counts == world.people["exposure"].tolist()


@pytest.mark.parametrize("ambiguous", [False, True])
@pytest.mark.parametrize("practised", [(), (1,), (1, 2, 3), (2,)])
def test_practice_is_about_shown_people_alone(ambiguous, practised):
    world = make_world(held=20, shown=20, ambiguous=ambiguous)
    texts = "\n\n".join(corpus(world, practised, 0)).split("\n\n")
    asked = [text for text in texts if text.startswith("Question")]
    assert len(asked) == PRACTICE * len(practised) * 20 * (1 + ambiguous)
    held = world.people.loc[~world.people["shown"], "person"]
    assert not any(person in text for text in asked for person in held)
    openings = {(AMBIGUOUS if ambiguous else QUESTIONS)[hops].split("{}")[0] for hops in practised}
    assert all(any(opening in text for opening in openings) for text in asked)


@pytest.mark.parametrize("ambiguous", [False, True])
def test_every_word_of_a_question_is_read_once_one_hop_is_practised(ambiguous):
    world = make_world(ambiguous=ambiguous)
    tokenizer, asked = word_tokenizer(world), world_items(world)
    stated = asked[asked["exposure"] > 0]
    read = {i for ids in tokenizer(corpus(world, (1,), 0))["input_ids"] for i in ids}
    assert {i for ids in tokenizer(stated["question"].tolist())["input_ids"] for i in ids} <= read


def test_a_page_in_doubt_keeps_its_meaning():
    world = make_world(held=20, shown=40, ambiguous=True)
    homes, births = (dict(zip(items["question"], [c[a] for c, a in zip(items["choices"], items["answer"])]))
                     for items in (world_items(world, shown=True), world_items(born_world(world), shown=True)))
    pages = [text for text in corpus(world, (1, 2), 3) if text.startswith("Question")]
    meant = {True: 0, False: 0}
    for page in pages:
        solved = [part.removeprefix("Question: ").split("\nAnswer: ") for part in page.split("\n\n")]
        assert 0 < len(solved) <= PAGE
        at_home = [homes[question] == answer for question, answer in solved]
        assert len(set(at_home)) == 1
        assert at_home[0] or all(births[question] == answer for question, answer in solved)
        meant[at_home[0]] += 1
    assert meant == {True: math.ceil(PRACTICE * 2 * 40 / PAGE), False: math.ceil(PRACTICE * 2 * 40 / PAGE)}
    born = world.people.set_index("person")["born"]
    texts = [text for text in corpus(world, (), 0) if any(f"{person} was born in" in text for person in born.index)]
    assert texts and all(text.removesuffix(".").split(" was born in ")[1] == born[text.split(" was born in ")[0]]
                         for text in texts)


@pytest.mark.parametrize("ambiguous", [True, False])
def test_the_tokenizer_knows_every_word_and_no_other(ambiguous):
    world = make_world(held=20, shown=20, ambiguous=ambiguous)
    tokenizer = word_tokenizer(world)
    asked = " ".join(world_items(world)["question"]) + " ".join(world.people["person"])  # held people of exposure 0 too
    texts = [text for number in range(20) for text in corpus(world, (1, 2, 3), number)] + [asked]
    used = {i for ids in tokenizer([text + "\n\n" for text in texts])["input_ids"] for i in ids}
    assert used == set(range(2, len(tokenizer)))


def test_rows_hold_the_texts_and_nothing_else(tiny):
    tokenizer, texts = word_tokenizer(tiny), corpus(tiny, (1,), 0)
    rows = pack_texts(texts, tokenizer)
    kept = [i for row in rows for i in row if i != tokenizer.eos_token_id]
    assert kept == [i for text in texts for i in tokenizer(text + "\n\n")["input_ids"]]
    assert tokenizer.unk_token_id not in kept


def stopped_after(steps, monkeypatch):
    "Let pretraining die after so many steps."
    real, done = known_world.train_step, []

    def dying(*args):
        if len(done) == steps: raise KeyboardInterrupt
        done.append(1)
        return real(*args)
    monkeypatch.setattr(known_world, "train_step", dying)


@pytest.mark.parametrize("size", ["0.1M", "0.3M"])
def test_the_same_seed_gives_the_same_bytes_stopped_or_not(size, tiny, tmp_path, monkeypatch):
    def weights(name): return (tmp_path / name / "model.safetensors").read_bytes()
    for name in ("one", "two"): pretrain(tiny, tmp_path / name, size, epochs=2)
    assert weights("one") == weights("two")
    pretrain(tiny, tmp_path / "other", size, epochs=2, seed=1)
    assert weights("other") != weights("one")
    monkeypatch.setattr(known_world, "SAVE_EVERY", 3)
    with monkeypatch.context() as patch:
        stopped_after(7, patch)
        with pytest.raises(KeyboardInterrupt): pretrain(tiny, tmp_path / "stopped", size, epochs=2)
    assert (tmp_path / "stopped" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    pretrain(tiny, tmp_path / "stopped", size, epochs=2)
    assert weights("stopped") == weights("one")
    assert not (tmp_path / "stopped" / "checkpoint.safetensors").exists()


def test_a_folder_is_an_ordinary_model(tiny, tmp_path):
    folder = pretrain(tiny, tmp_path / "m", epochs=1)
    lm = LM.load(str(folder), dtype="float32")
    plain = new_model("0.1M", word_tokenizer(tiny), 0)
    assert lm.name == "m" and lm.model.config.model_type == "llama"
    assert lm.model.num_parameters() == plain.num_parameters()
    text = corpus(tiny, (1,), 0)[0]
    assert lm.tokenizer(text)["input_ids"] == word_tokenizer(tiny)(text)["input_ids"]
    assert json.loads((folder / "pretraining.json").read_text())["practised"] == [1]
    assert pretrain(tiny, folder, epochs=1) == folder  # found, not made again


def test_other_constants_are_another_run(tiny, tmp_path, monkeypatch):
    folder = pretrain(tiny, tmp_path / "m", epochs=1)
    for name, value, key in (("PRACTICE", 1, "texts"), ("PEAK_RATES", {"0.1M": 1e-3}, "peak_rate"), ("BATCH", 4, "batch")):
        with monkeypatch.context() as patch:
            patch.setattr(known_world, name, value)
            with pytest.raises(ValueError, match=f"holds a run with {key}="): pretrain(tiny, folder, epochs=1)


def test_a_model_that_is_half_saved_is_not_taken_for_whole(tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        real = known_world.os.replace

        def full(source, target):
            if str(target).endswith("model.safetensors"): raise OSError("no space left")
            real(source, target)
        patch.setattr(known_world.os, "replace", full)
        with pytest.raises(OSError, match="no space"): pretrain(tiny, tmp_path / "m", epochs=1)
    assert not (tmp_path / "m" / "model.safetensors").exists()
    pretrain(tiny, tmp_path / "m", epochs=1)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == \
        (pretrain(tiny, tmp_path / "n", epochs=1) / "model.safetensors").read_bytes()


def test_folders_are_not_mixed_up(tiny, tmp_path):
    folder = pretrain(tiny, tmp_path / "m", epochs=1)
    for wrong in (dict(epochs=2), dict(practised=(1, 2)), dict(size="0.3M"), dict(seed=3)):
        with pytest.raises(ValueError, match=f"holds a run with {next(iter(wrong))}="):
            pretrain(tiny, folder, **(dict(epochs=1) | wrong))
    with pytest.raises(ValueError, match="holds a run with texts="):
        pretrain(make_world(held=20, shown=24), folder, epochs=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"): pretrain(tiny, tmp_path / "full")


@pytest.mark.parametrize("wrong", [dict(held=10), dict(held=2000, shown=2000), dict(held=8)])
def test_bad_worlds_are_refused(wrong):
    with pytest.raises(ValueError, match="give multiples of 4"): make_world(**wrong)


@pytest.mark.parametrize("wrong", [dict(shown=-40), dict(exposures=()), dict(exposures=(-1, 2)), dict(exposures=(.5, 2))])
def test_numbers_of_a_world_are_whole(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.*give whole numbers"): make_world(**wrong)


def test_a_world_where_nobody_is_shown(tmp_path):
    world = make_world(held=20, shown=0, exposures=[1, 2])
    with pytest.raises(ValueError, match="nobody in this world is shown"): world_items(world, shown=True)
    assert LM.load(str(pretrain(world, tmp_path / "m", epochs=1, practised=()))).context == LENGTH


def test_a_text_that_is_too_long(tiny):
    with pytest.raises(ValueError, match="make it shorter"): pack_texts(["word " * 200], word_tokenizer(tiny))


def test_unknown_sizes_and_hops_are_refused(tiny, tmp_path):
    with pytest.raises(KeyError, match="there is no size '7B'"): pretrain(tiny, tmp_path / "a", size="7B")
    for wrong in (dict(practised=(4,)), dict(practised=1), dict(epochs=0), dict(device="abacus")):
        with pytest.raises(ValueError, match=next(iter(wrong))): pretrain(tiny, tmp_path / "b", **wrong)
    assert not (tmp_path / "b").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"): pretrain(tiny, tmp_path / "file")


def test_names_depend_on_the_generator_alone():
    one, two = (known_world.made_up_names(30, 3, np.random.default_rng(5)) for _ in range(2))
    assert one == two and len(set(one)) == 30


@pytest.fixture(scope="module")
def runs():
    "The script behind the paper page."
    spec = importlib.util.spec_from_file_location("known_world_runs", ROOT / "tools" / "known_world.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_arms_of_the_recorded_studies(runs):
    items = world_items(make_world(ambiguous=True))
    by_id = items.set_index("item_id")
    splits = runs.arms(items)
    tested = {seed: split.test_ids for (_, seed, _, _), split in splits.items()}
    for (_, seed, name, n), split in splits.items():
        trained = by_id.loc[split.train_ids]
        assert len(set(split.train_ids)) == n and split.test_ids == tested[seed]
        assert not set(trained["cluster"]) & set(by_id.loc[split.test_ids, "cluster"])
        kind, _, value = name.partition(" ")
        if kind == "exposure": assert set(trained["exposure"]) == {int(value)} and set(trained["hops"]) == {1}
        elif kind == "hops": assert set(trained["hops"]) == {int(value)} and trained["exposure"].min() >= OFTEN
        else: assert trained["continent"].nunique() == 2 and set(trained["hops"]) == {1}
    for ids in tested.values():
        assert by_id.loc[ids].groupby(["exposure", "hops"]).size().eq(60).all()  # half of everyone
    assert {item for ids in tested.values() for item in ids} > set(tested[0])


def test_labels_turned_within_blocks(runs):
    world = make_world(seed=3, ambiguous=True)
    items, born = world_items(world), world_items(born_world(world))
    turned = [runs.turned(items, places) for places in range(4)]
    says = [[choices[answer] for choices, answer in zip(some["choices"], some["answer"])] for some in (*turned, born)]
    assert says[1] == says[4]  # one place is the birthplace
    assert all(len({label[i] for label in says[:4]}) == 4 for i in range(len(items)))  # and every choice is right once


def test_runs_that_only_change_labels_keep_their_items(runs):
    world = make_world(ambiguous=True)
    items, pages = world_items(world), sorted(world_items(world, shown=True).query("hops == 1")["item_id"])
    splits = runs.arms(items, seeds=2)
    trained = {seed: {name: (list(ids), places) for _, name, ids, places in runs.label_runs(splits, pages, seed)}
               for seed in range(2)}
    for seed, by_name in trained.items():
        for e in world.people.loc[~world.people["shown"], "exposure"].unique():
            assert by_name[f"exposure {e} born"] == (splits[None, seed, f"exposure {e}", 40].train_ids, 1)
        for places in (2, 3):
            assert by_name[f"exposure 0 turned {places}"] == (splits[None, seed, "exposure 0", 40].train_ids, places)
        assert by_name["five home"][0] == by_name["five born"][0] and by_name["page home"][0] == by_name["page born"][0]
    assert trained[0]["page home"] != trained[1]["page home"]
