"""Measures that models give: each against a plain loop over the same outcomes, and against sources whose answer is known."""
import copy
import math
import os
from itertools import product

import numpy as np
import pandas as pd
import pytest

from e2h.baselines import AnswerPrior
from e2h.data import check_items, load_items
from e2h.hardness import hardness_measures, item_levels, levels
from e2h.icl import ICL, ZeroShot
from e2h.lm import LMSource
from e2h.model_hardness import PAPER_SIZES, answer_loss, answer_margin, answered, block_shares, choice_entropy, code_length, \
    data_map, epoch_outcomes, learning_curves, learning_outcomes, learning_splits, mdl, model_hardness, over_seeds, pvi, \
    text_bits
from e2h.probe import LinearProbe
from e2h.prompts import blind, model_prompts
from e2h.qlora import QLoRA
from e2h.sgr import level_noise, sgr_table
from e2h.splits import Split
from e2h.store import open_store, pack
from e2h.study import Study


def made_up(n_items=6, models=("a", "b"), seeds=(0, 1, 2), sizes=(0, 5, 20), rng=None, most=5):
    "Outcomes with random scores over 2 to 5 choices; zero-shot has one seed."
    rng, rows = rng or np.random.default_rng(0), []
    n_choices = rng.integers(2, most + 1, n_items)
    for model, seed, n in product(models, seeds, sizes):
        if n == 0 and seed: continue
        for i, c in enumerate(n_choices):
            scores, gold = rng.normal(-3, 2, c), int(rng.integers(c))
            rows.append(dict(item_id=f"i{i}", model=model, quant="none", seed=seed, n_train=n, logprobs=scores.tolist(),
                             logp_gold=float(scores[gold]), gold=gold, correct=int(scores.argmax() == gold)))
    return pd.DataFrame(rows)


def plain(outcomes, item, seed, of):
    "Mean of a function of (probabilities, gold) over models and sizes for one item and one seed, without pandas' help."
    values = {}
    for row in outcomes.to_dict("records"):
        if row["item_id"] != item or row["seed"] != (0 if row["n_train"] == 0 else seed): continue
        p = [math.exp(s) for s in row["logprobs"]]
        values[row["model"], row["n_train"]] = of([x / sum(p) for x in p], row["gold"])
    return sum(values.values()) / len(values)


ORACLES = {
    "mdl": (mdl, lambda p, gold: 1 - p[gold]),
    "loss": (answer_loss, lambda p, gold: -math.log2(p[gold])),
    "margin": (answer_margin, lambda p, gold: max(x for i, x in enumerate(p) if i != gold) - p[gold]),
    "entropy": (choice_entropy, lambda p, gold: -sum(x * math.log2(x) for x in p)),
}


@pytest.mark.parametrize("name", ORACLES)
def test_measures_against_a_plain_loop(name):
    measure, of = ORACLES[name]
    outcomes = made_up().sample(frac=1, random_state=0)  # rows in any order
    found = measure(outcomes)
    each = {item: [plain(outcomes, item, seed, of) for seed in range(3)] for item in found.index}
    all_items = np.mean([np.var(values, ddof=1) for values in each.values()])
    for item, values in each.items():
        assert found.loc[item, name] == pytest.approx(np.mean(values))
        variance = (2 * np.var(values, ddof=1) + 4 * all_items) / 6  # two degrees of freedom of its own, four of all items'
        assert found.loc[item, f"{name}_se"] == pytest.approx((variance / 3)**.5)


@pytest.mark.parametrize("c", [2, 3, 4, 5])
def test_uniform_and_perfect(c):
    base = dict(item_id="x", model="m", quant="none", seed=0, n_train=0)
    uniform = pd.DataFrame([base | dict(logprobs=[-7.] * c, logp_gold=-7.)])
    perfect = pd.DataFrame([base | dict(logprobs=[-1.] + [-200.] * (c - 1), logp_gold=-1.)])
    wrong = pd.DataFrame([base | dict(logprobs=[-1.] + [-200.] * (c - 1), logp_gold=-200.)])
    for measure, values in {mdl: (1 - 1 / c, 0, 1), answer_margin: (0, -1, 1), choice_entropy: (math.log2(c), 0, 0),
                            code_length: (math.log2(c), 0, 199 / math.log(2))}.items():
        found = [measure(outcomes).iloc[0, 0] for outcomes in (uniform, perfect, wrong)]
        assert found == pytest.approx(values, abs=1e-9), measure


def test_pvi_and_data_map_against_a_plain_loop():
    seen = made_up()
    unseen = seen.assign(logp_gold=[scores[0] for scores in seen["logprobs"]], gold=0)
    found = pvi(seen, unseen)
    loss = ORACLES["loss"][1]
    for item in found.index:
        each = [plain(seen, item, seed, loss) - plain(unseen, item, seed, loss) for seed in range(3)]
        assert found.loc[item, "pvi"] == pytest.approx(np.mean(each))
    charted = data_map(seen)
    for item, rows in seen.groupby("item_id"):
        p = [np.exp(s[g]) / np.exp(s).sum() for s, g in zip(rows["logprobs"], rows["gold"])]
        assert charted.loc[item].tolist() == pytest.approx([np.mean(p), np.std(p), rows["correct"].mean()])


def test_code_length_against_a_message_sent_label_by_label():
    "The expected length over all orders of the items is the sum of the items' lengths."
    outcomes, sizes, n_items = made_up(seeds=(0,), models=("a",), sizes=(0, 1, 3)), [0, 1, 3], 6
    bits = {(row["item_id"], row["n_train"]): -math.log2(math.exp(row["logp_gold"]) / sum(map(math.exp, row["logprobs"])))
            for row in outcomes.to_dict("records")}
    orders = [np.random.default_rng(s).permutation(n_items) for s in range(4000)]
    sent = [sum(bits[f"i{i}", max(n for n in sizes if n <= place)] for place, i in enumerate(order)) for order in orders]
    assert code_length(outcomes)["code_length"].sum() == pytest.approx(np.mean(sent), abs=5 * np.std(sent) / 4000**.5)
    for total in (1, 2, 6, 100):
        assert block_shares(sizes, total).sum() == pytest.approx(1)
    without = code_length(outcomes[outcomes["n_train"] > 0])["code_length"]
    uniform = outcomes.drop_duplicates("item_id").set_index("item_id")["logprobs"].str.len().map(math.log2)
    later = sum(share * np.array([bits[i, n] for i in without.index]) for n, share in ((1, 2 / 6), (3, 3 / 6)))
    assert np.allclose(without, uniform[without.index] / 6 + later)


@pytest.mark.parametrize("q", [.5, .7, .95])
def test_the_code_of_a_known_source(q):
    "A learner that counts comes down to the entropy of the source, and costs log(n)/2n bits a label more on the way."
    rng = np.random.default_rng(1)
    coins = check_items(pd.DataFrame({"item_id": [f"{i:05}" for i in range(1000)], "question": "?",
                                      "choices": [["head", "tail"]] * 1000, "answer": (rng.random(1000) > q).astype(int)}))
    class Nobody:
        name, quant = "nobody", None
    sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256, 500)
    found = learning_outcomes(coins, Nobody(), AnswerPrior("position"), learning_splits(coins, sizes, 3, folds=2))
    share = (coins["answer"] == 0).mean()
    entropy = -sum(p * math.log2(p) for p in (share, 1 - share))
    length = code_length(found)["code_length"].mean()
    assert entropy < length < entropy + .03
    assert answer_loss(found[found["n_train"] == 500])["loss"].mean() == pytest.approx(entropy, abs=.006)


def test_a_message_of_another_length():
    "The first labels by what came before any training, the others by the largest model that had enough."
    outcomes, sizes = made_up(seeds=(0,), models=("a",), sizes=(0, 5, 20)), (0, 5, 20)
    bits = {(row["item_id"], row["n_train"]): -(row["logp_gold"] - np.logaddexp.reduce(row["logprobs"])) / math.log(2)
            for row in outcomes.to_dict("records")}
    for total in (3, 5, 12, 400):
        found = code_length(outcomes, total)["code_length"]
        for item in found.index:
            sent = [bits[item, max(n for n in sizes if n <= place)] for place in range(total)]
            assert found[item] == pytest.approx(np.mean(sent))
    with pytest.raises(ValueError, match="total=0"): code_length(outcomes, 0)


def test_zero_shot_is_the_same_under_any_seed():
    outcomes = made_up()
    moved = outcomes.assign(seed=np.where((outcomes["n_train"] == 0) & (outcomes["model"] == "b"), 7, outcomes["seed"]))
    assert mdl(moved).equals(mdl(outcomes))
    repeated = pd.concat([outcomes, outcomes[outcomes["n_train"] == 0].assign(seed=1)])
    assert mdl(repeated).equals(mdl(outcomes))
    other = outcomes[outcomes["n_train"] == 0].assign(seed=1, logp_gold=lambda f: f["logp_gold"] - 1)
    with pytest.raises(ValueError, match="two outcomes"): mdl(pd.concat([outcomes, other]))


def test_what_is_refused():
    outcomes = made_up()
    for change, sentence in [
        (lambda f: f[~((f["model"] == "b") & (f["item_id"] == "i3"))],
         "b (n_train=20, seed 2) has no outcome for 1 of 6 items, such as 'i3'"),
        (lambda f: f[~((f["model"] == "b") & (f["n_train"] == 5))], "b lacks 3 of 9 pairs of seed and training size"),
        (lambda f: f[~((f["seed"] == 1) & (f["n_train"] == 5))], "a lacks 1 of 9 pairs"),
        (lambda f: pd.concat([f, f.tail(1)]), "'i5' has two outcomes of one model, size and seed"),
        (lambda f: f.assign(logp_gold=f["logp_gold"].where(f["item_id"] != "i2")),
         "1 items have no probability, such as 'i2'"),
        (lambda f: f[:0], "there are no outcomes"),
    ]:
        with pytest.raises(ValueError) as e: mdl(change(outcomes))
        assert sentence in str(e.value)
    with pytest.raises(ValueError, match="with the same splits"): pvi(outcomes, outcomes[outcomes["seed"] == 0])
    written = outcomes.assign(logprobs=pd.Series([None] * len(outcomes), dtype=object))
    for measure in (answer_margin, choice_entropy):
        with pytest.raises(ValueError, match="free text has no choices"): measure(written)
    with pytest.raises(ValueError, match="no uniform code"): code_length(written[written["n_train"] > 0])


@pytest.fixture(scope="module")
def quiz():
    "A few cities of each country."
    items = load_items("worldquiz").dropna(subset="fame").sort_values("item_id").groupby("cluster").head(8)
    return items.reset_index(drop=True)


def test_splits_are_nested_and_apart(quiz):
    splits = learning_splits(quiz, sizes=(5, 20, 80), seeds=3, folds=4)
    cluster = quiz.set_index("item_id")["cluster"]
    for seed in range(3):
        for n in (5, 20, 80):
            tested = [i for key, s in splits.items() if key[1] == seed and key[3] == n for i in s.test_ids]
            assert sorted(tested) == sorted(quiz["item_id"])
    for (_, seed, arm, n), split in splits.items():
        assert not set(cluster[split.train_ids]) & set(cluster[split.test_ids])
        assert len(set(split.train_ids)) == n and split.train_ids == splits[None, seed, arm, 80].train_ids[:n]
    shuffled = learning_splits(quiz.sample(frac=1, random_state=0), sizes=(5, 20, 80), seeds=3, folds=4)
    assert shuffled == splits
    pool, scored = quiz[quiz["cluster"] <= "M"], quiz[quiz["cluster"] > "L"]
    for (_, _, arm, _), split in learning_splits(scored, (5, 20), 2, pool).items():
        assert arm == "pool" and split.test_ids == sorted(scored["item_id"])
        assert not set(cluster[split.train_ids]) & set(scored["cluster"])
    draws = [learning_splits(scored, (20,), 3, pool)[None, seed, "pool", 20].train_ids for seed in range(3)]
    assert len({tuple(sorted(ids)) for ids in draws}) == 3
    dealt = learning_splits(quiz, (5,), 2)
    assert dealt[None, 0, "fold 0", 5].test_ids != dealt[None, 1, "fold 0", 5].test_ids
    assert {n for *_, n in learning_splits(quiz)} == {n for n in PAPER_SIZES if n <= 100}


@pytest.mark.parametrize("change, options, sentence", [
    (dict(), dict(sizes=(9000,)), "too few for sizes"),
    (dict(), dict(folds=50), "cannot be dealt into 50 folds"),
    (dict(), dict(folds=1), "folds=0: give whole numbers"),
    (dict(), dict(sizes=(0,)), "sizes=0: give whole numbers"),
    (dict(), dict(seeds=0), "seeds=0: give whole numbers"),
    (dict(cluster=None), dict(), "items lack some cluster"),
    (dict(item_id="same"), dict(), "items hold 'same' twice"),
])
def test_splits_that_are_none(quiz, change, options, sentence):
    with pytest.raises(ValueError, match=sentence): learning_splits(quiz.assign(**change), **options)


def test_pools_that_are_none(quiz):
    scored, pool = quiz[quiz["cluster"] > "M"], quiz[quiz["cluster"] <= "M"]
    with pytest.raises(ValueError, match="among the items and in the pool"): learning_splits(scored, (5,), pool=quiz)
    bare = pool.drop(columns="cluster")
    with pytest.raises(ValueError, match="pool lack some cluster"): learning_splits(scored, (5,), pool=bare)
    near = pd.concat([pool, scored.head(3).assign(item_id=["x", "y", "z"])])
    with pytest.warns(UserWarning, match=f"3 of {len(near)} items of the pool"): learning_splits(scored, (5,), pool=near)


def test_uneven_clusters_fill_every_fold_and_get_the_same_sizes():
    sizes = [80, 10, 10, *[1] * 20]
    items = pd.DataFrame({"item_id": [f"{c}/{i}" for c, size in enumerate(sizes) for i in range(size)],
                          "cluster": [f"c{c:02}" for c, size in enumerate(sizes) for _ in range(size)]})
    for seeds in range(1, 8):
        splits = learning_splits(items, seeds=seeds, folds=3)
        assert {name for _, _, name, _ in splits} == {"fold 0", "fold 1", "fold 2"}
        by_arm = {}
        for _, seed, name, n in splits: by_arm.setdefault((seed, name), set()).add(n)
        assert len(set(map(frozenset, by_arm.values()))) == 1 and all(s.test_ids for s in splits.values())


@pytest.fixture(scope="module")
def lm(tiny):
    "Knows nothing, and says it sharply."
    return tiny("llama")


@pytest.mark.parametrize("method", [LinearProbe(l2=1.), QLoRA(epochs=1), ICL(3)])
def test_a_study_gives_the_same_outcomes(lm, quiz, method, tmp_path):
    items = quiz[quiz["cluster"].isin(sorted(quiz["cluster"].unique())[:6])].reset_index(drop=True)
    items.attrs = dict(quiz.attrs)
    splits = learning_splits(items, sizes=(3,), seeds=1, folds=2)
    study = Study(items, lm, "fame", [method], arms=splits)
    records = study.run(tmp_path / "run", progress=False)
    kept = records[records["method"] == method.name]
    here = learning_outcomes(items, lm, method, splits)
    assert mdl(kept)["mdl"].tolist() == mdl(here)["mdl"].tolist()
    pack(open_store(tmp_path / "run"), tmp_path / "p.parquet", texts=False)
    packed = open_store(tmp_path / "p.parquet").records()
    assert np.allclose(mdl(packed[packed["method"] == method.name])["mdl"], mdl(here)["mdl"])
    with pytest.raises(ValueError, match="nothing to compare"): sgr_table(records)  # no easy and hard arms


def test_zero_shot_is_asked_what_arms_of_ones_own_test(lm, quiz, tmp_path):
    ids = quiz["item_id"].tolist()
    arms = {(None, 0, "x", 3): Split(ids[:3], ids[5:9]), (None, 1, "x", 3): Split(ids[5:8], ids[8:12])}
    records = Study(quiz, lm, "fame", [ZeroShot(), ICL(3)], arms=arms).run(tmp_path / "run", progress=False)
    assert sorted(records.query("method == 'zeroshot'")["item_id"]) == sorted(ids[5:12])


def test_arms_of_ones_own_are_checked(lm, quiz):
    splits = learning_splits(quiz, sizes=(3,), seeds=1, folds=2)
    with pytest.raises(KeyError, match="names .* items that the study has not, such as"):
        Study(quiz.head(20), lm, "fame", [LinearProbe()], arms=splits)
    ids = quiz["item_id"].tolist()
    for arm, sentence in [((None, 0, "x", 2, ids[:2], ids[:4]), "trains on what it tests"),
                          ((None, 0, "x", 3, ids[:2], ids[2:4]), "has 2 training items"),
                          ((None, 0, "x", 2, [ids[0]] * 2, ids[2:4]), "has 2 training items"),
                          ((None, 0, "x", 2, ids[:2], []), "tests nobody"),
                          (("charm", 0, "x", 2, ids[:2], ids[2:4]), "charm")]:
        with pytest.raises((ValueError, KeyError), match=sentence):
            Study(quiz, lm, "fame", [LinearProbe()], arms={arm[:4]: Split(*arm[4:])})
    with pytest.raises(ValueError, match=r"ICL\(k=10.* has no arm of its size: arms have \[3\]"):
        Study(quiz, lm, "fame", [ICL(10), ICL(3)], arms=splits)
    other = quiz.copy()
    other.attrs["dataset"] = "other"
    with pytest.raises(ValueError, match="go with one data set"): Study([quiz, other], lm, "fame", [ICL(3)], arms=splits)


def test_one_call_is_the_long_way(lm, quiz):
    few = quiz.groupby("cluster").head(2).reset_index(drop=True)
    few.index += 100  # an index of one's own
    splits = learning_splits(few, (4, 8), 2, folds=3)
    probe = LinearProbe(l2=1.)
    for name, read in {"mdl": mdl, "code_length": code_length}.items():
        found = model_hardness(few, lm, name, probe, sizes=(4, 8), seeds=2, folds=3)
        expected = read(learning_outcomes(few, lm, probe, splits)).loc[few["item_id"]]
        assert found.index.tolist() == few.index.tolist() and found.to_numpy().tolist() == expected.to_numpy().tolist()
    found = model_hardness(few, lm, "pvi", probe, sizes=(4, 8), seeds=2, folds=3)["pvi"]
    both = [learning_outcomes(items, lm, probe, splits) for items in (few, blind(few))]
    assert found.tolist() == pvi(*both).loc[few["item_id"], "pvi"].tolist()
    pool = quiz[~quiz["cluster"].isin(few["cluster"][:6])]
    scored = few[few["cluster"].isin(few["cluster"][:6])]
    splits = learning_splits(scored, (4, 8), 2, pool)
    for name in ("mdl", "pvi"):
        found = model_hardness(scored, lm, name, probe, pool=pool, sizes=(4, 8), seeds=2)
        parts = [learning_outcomes(see(scored), lm, probe, splits, see(pool)) for see in (lambda frame: frame, blind)]
        expected = mdl(parts[0]) if name == "mdl" else pvi(*parts)
        assert found.to_numpy().tolist() == expected.loc[scored["item_id"]].to_numpy().tolist()
    zero = {(None, 0, "none", 0): Split([], few["item_id"].tolist())}
    asked = [learning_outcomes(items, lm, ZeroShot(), zero) for items in (few, blind(few))]
    assert model_hardness(few, lm, "pvi")["pvi"].tolist() == pvi(*asked).loc[few["item_id"], "pvi"].tolist()
    once, again = (model_hardness(few, lm, "mdl", probe, seeds=2, sizes=(4,)) for _ in range(2))
    assert once.equals(again)


def test_several_models_are_averaged(tiny, quiz):
    few, lms = quiz.groupby("cluster").head(1), [tiny("llama"), tiny("gpt2", name="other")]
    both = model_hardness(few, lms, "loss")["loss"]
    assert np.allclose(both, np.mean([model_hardness(few, lm, "loss")["loss"] for lm in lms], axis=0))
    with pytest.raises(ValueError, match="two outcomes"): model_hardness(few, [lms[0], lms[0]], "loss")
    bits = [text_bits(lm, list(few["question"])) for lm in lms]
    assert np.allclose(model_hardness(few, lms, "question_bits")["question_bits"], np.mean(bits, axis=0))
    assert not np.allclose(*bits)
    for wrong in ("smollm2", []):
        with pytest.raises(ValueError, match="give LM.load"): model_hardness(few, wrong, "loss")
    for wrong in ("probe", LinearProbe):
        with pytest.raises(ValueError, match="method is"): model_hardness(few, lms[0], "mdl", wrong)
    for wrong in (ICL(3), [QLoRA(), QLoRA(r=2)]):
        with pytest.raises(ValueError, match="the epochs of one QLoRA"): model_hardness(few, lms[0], "confidence", wrong)
    with pytest.raises(OSError, match="is neither 'smollm2' nor a folder"): model_hardness(few, LMSource("no/model"), "loss")


def test_a_source_is_loaded_when_its_turn_comes(quiz, smollm2):
    few = quiz.groupby("cluster").head(1).head(6)
    found = model_hardness(few, [LMSource("smollm2", dtype="float32")], "loss")
    assert np.allclose(found["loss"], model_hardness(few, smollm2, "loss")["loss"])


def test_free_text_has_a_code_length(lm):
    sums = check_items(pd.DataFrame([dict(item_id=f"s{i:02}", question=f"What is {i} plus 1?", choices=[str(i + 1)], answer=0)
                                     for i in range(12)]), free_text=True)
    found = model_hardness(sums, lm, "code_length", [ZeroShot(), ICL(1), ICL(3)], seeds=2, folds=2)
    assert found["code_length"].gt(0).all() and found["code_length_se"].notna().all()
    alone = model_hardness(sums, lm, "loss")["loss"]
    import torch
    for i in (0, 11):  # by a plain pass of the model
        prompt = model_prompts(lm, sums.iloc[[i]])[0]
        ids = lm.tokenizer(f"{prompt} {i + 1}", return_tensors="pt")["input_ids"]
        start = len(lm.tokenizer(prompt)["input_ids"])
        with torch.no_grad(): logp = lm.model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[start - 1:]
        assert alone[i] == pytest.approx(-float(logp.sum()) / math.log(2), rel=1e-4)
    both = [answered(ZeroShot(blind=hidden).fit(lm), sums)["logp_gold"].tolist() for hidden in (False, True)]
    assert both[0] != both[1]
    mixed = pd.concat([sums, sums.head(1).assign(item_id="m", choices=[["1", "2"]])])
    with pytest.raises(ValueError, match="item 'm' has choices and others are free"): answered(ZeroShot().fit(lm), mixed)
    with pytest.raises(ValueError, match="a probe needs some"): model_hardness(sums, lm, "mdl", LinearProbe(), sizes=(3,))
    with pytest.raises(ValueError, match="free text has no choices"): model_hardness(sums, lm, "margin")


def test_texts_by_themselves(lm, smollm2):
    import torch
    texts = ["Rivers flow downhill.", "Zxq!", "a"]
    bits = text_bits(smollm2, texts)
    for text, found in zip(texts, bits):
        ids = torch.tensor([[smollm2.tokenizer.bos_token_id, *smollm2.tokenizer(text)["input_ids"]]])
        with torch.no_grad(): logp = smollm2.model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
        assert found == pytest.approx(-float(logp.sum()) / math.log(2), rel=1e-4)
    bare = copy.copy(smollm2)  # a tokenizer without a token that begins a text
    bare.tokenizer = copy.deepcopy(smollm2.tokenizer)
    bare.tokenizer.bos_token = None
    ids = torch.tensor([[bare.tokenizer.eos_token_id, *bare.tokenizer(texts[0])["input_ids"]]])
    with torch.no_grad(): logp = bare.model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
    assert text_bits(bare, texts[:1])[0] == pytest.approx(-float(logp.sum()) / math.log(2), rel=1e-4)
    items = check_items(pd.DataFrame({"item_id": ["a", "b"], "question": ["Is it?", "Why is it so?"], "answer": [0, 1],
                                      "choices": [["yes", "no"]] * 2, "rationale": ["Because.", None]}))
    assert model_hardness(items, lm, "reasoning_bits")["reasoning_bits"].isna().tolist() == [False, True]


def test_epochs_are_those_of_one_training(lm, quiz):
    few, method = quiz.head(12), QLoRA(epochs=3, batch=5, lr=1e-2)
    outcomes = epoch_outcomes(few, lm, method, seed=1)
    last = outcomes[outcomes["epoch"] == 3].drop(columns="epoch").reset_index(drop=True)
    assert last.equals(method.fit(lm, few, 1).predict(few))
    assert outcomes["epoch"].tolist() == [1] * 12 + [2] * 12 + [3] * 12
    found = model_hardness(few, lm, "confidence", method, seeds=2)
    each = [data_map(epoch_outcomes(few, lm, method, s)).loc[few["item_id"], "confidence"] for s in (0, 1)]
    assert np.allclose(found["confidence"], -np.mean(each, axis=0))
    spread = [data_map(epoch_outcomes(few, lm, method, s)).loc[few["item_id"], "variability"] for s in (0, 1)]
    assert np.allclose(model_hardness(few, lm, "variability", method, seeds=2)["variability"], np.mean(spread, axis=0))


def test_standard_errors_travel(lm, quiz, tmp_path):
    items = quiz.assign(**model_hardness(quiz, lm, "mdl", LinearProbe(l2=1.), sizes=(4, 8), seeds=3))
    items.attrs = dict(quiz.attrs)
    assert "mdl" in hardness_measures(items) and "mdl_se" not in hardness_measures(items)
    assert (levels(items["mdl"], se=items["mdl_se"])["level"] == item_levels(items, "mdl")).all()
    records = Study(items, lm, "mdl", [ICL(2)], n_train=2, seeds=2, n_test=20).run(tmp_path / "r", progress=False)
    table = open_store(tmp_path / "r").items.set_index("item_id")
    assert table["mdl_se"].tolist() == items.set_index("item_id")["mdl_se"][table.index].tolist()
    assert level_noise(records, table["mdl_se"], draws=3)["noisy_low"].notna().all()


@pytest.mark.parametrize("draws, size", [(2, .5), (5, .5), (5, 1.), (20, 1.)])
def test_levels_are_right_as_often_as_they_say(draws, size):
    "True values, and a few draws around each, whose mean and standard error are all that is known."
    rng = np.random.default_rng(0)
    true = rng.normal(size=4000)
    drawn = pd.DataFrame(true[:, None] + rng.normal(size=(4000, draws)) * size * draws**.5)
    known = over_seeds(drawn.rename_axis(columns="seed"), "x")
    said = levels(known["x"], -.5, .5, known["x_se"])
    right = (said["level"].to_numpy() == levels(true, -.5, .5).to_numpy())
    assert said["probability"].mean() == pytest.approx(right.mean(), abs=.03)
    for low, high in ((.4, .6), (.6, .8), (.8, 1)):
        some = said["probability"].between(low, high)
        if some.sum() > 100: assert said["probability"][some].mean() == pytest.approx(right[some].mean(), abs=.08)


def test_levels_of_exact_and_of_unknown_values():
    exact = levels([1., 2., 3., None], 1, 3, 0.)
    assert exact["probability"].tolist()[:3] == [1, 1, 1] and math.isnan(exact["probability"][3])
    assert (levels([1., 2., 3.], 1, 3, 1e-17)["probability"] == 1).all()  # what rounding makes of nothing
    values = pd.Series(np.arange(9.), index=list("abcdefghi"))
    se = pd.Series(np.linspace(.1, 2, 9), index=values.index)
    assert levels(values, se=se).equals(levels(values, se=se[::-1]))  # by index, not by position
    for wrong, sentence in (([-1.] * 9, "9 standard errors"), ([1.] * 4, "9 standard errors"), (se[1:], "lacks some rows")):
        with pytest.raises(ValueError, match=sentence): levels(values, se=wrong)


@pytest.mark.skipif("E2H_DATA" not in os.environ, reason="E2H_DATA names no folder with the published data")
def test_the_papers_pool(lm):
    scored, pool = load_items("arc"), load_items("arc", part="hardness_training")
    splits = learning_splits(scored, pool=pool)
    assert len(splits) == 25 and {n for *_, n in splits} == set(PAPER_SIZES)
    for split in splits.values():
        assert set(split.train_ids) <= set(pool["item_id"]) and len(split.test_ids) == 3521


def test_curves_do_not_depend_on_the_order_of_rows():
    outcomes = made_up()
    assert learning_curves(outcomes.sample(frac=1, random_state=3)).equals(learning_curves(outcomes))
