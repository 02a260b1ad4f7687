"""Every method learns what it should, answers by its seed alone, and leaves the model and the world as they were."""
import dataclasses
import hashlib
import random
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2h.data import cache_dir, check_items, load_items
from e2h.baselines import AnswerPrior
from e2h.icl import ICL, ZeroShot, fitting_prompts
from e2h.lm import LM, fingerprint
from e2h.plots import plot_accuracy
from e2h.probe import PENALTIES, LinearProbe, choice_loss, choose_l2, differences, features, fit_rows, original_weights, \
    probe_layers
from e2h.prompts import FORMATS, blind, choice_strings, prompts
from e2h.qlora import Diverged, QLoRA, adapter, batch_loss
from e2h.scoring import choice_logprobs, rescore, score_row, scoring_path, tokenise
from e2h.sgr import sgr_table
from e2h.study import Study

torch = pytest.importorskip("torch")
WORDS = "red blue green black white gold pink brown grey silver orange purple".split()  # the earliest is right
METHODS = {
    "zeroshot": ZeroShot(),
    "icl": ICL(3),
    "placebo": ICL(3, "random"),
    "probe": LinearProbe(),
    "qlora": QLoRA(r=8, lr=3e-2, epochs=3, batch=8),
    "other_task": ICL(3, "arithmetic"),
    "blind": ZeroShot(blind=True),
    "probe_placebo": LinearProbe(labels="random"),
    "qlora_placebo": QLoRA(r=8, lr=3e-2, epochs=1, batch=8, labels="random"),
    "answer_prior": AnswerPrior(),
    "position_prior": AnswerPrior("position"),
}


def toy(n, seed, n_choices=(3, 4, 5)):
    "Questions whose right answer stands first in a hidden order of words."
    rng, rows = np.random.default_rng(seed), []
    for number in range(n):
        words = rng.permutation(WORDS)[:rng.choice(n_choices)].tolist()
        rows.append(dict(item_id=f"{seed}-{number}", question=f"What colour is box {rng.integers(1000)}?", choices=words,
                         answer=min(range(len(words)), key=lambda c: WORDS.index(words[c])), cluster=f"c{number % 10}"))
    return check_items(pd.DataFrame(rows), dataset="toy")


@pytest.fixture(scope="module", autouse=True)
def own_cache(smollm2, tmp_path_factory):
    "Hidden states of these models go to a folder of their own; the converted model stays where it is."
    folder = tmp_path_factory.mktemp("cache")
    (folder / "models").symlink_to(cache_dir() / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2H_CACHE", str(folder))
        yield


@pytest.fixture(scope="module")
def lm(tiny):
    "A tiny model with one frozen weight, to see that frozen stays frozen."
    lm = tiny("llama")
    lm.model.lm_head.weight.requires_grad_(False)
    return lm


@pytest.fixture(scope="module")
def train(): return toy(32, seed=0)


@pytest.fixture(scope="module")
def test(): return toy(24, seed=1)


def far(one, other):
    "Largest difference of two predictions' log-probabilities."
    return max(np.abs(np.subtract(a, b)).max() for a, b in zip(one["logprobs"], other["logprobs"], strict=True))


def base(lm, items):
    "What must not change in a model: weights, layers, flags, mode, answers."
    flags = [(name, weight.requires_grad, weight.grad is None) for name, weight in lm.model.named_parameters()]
    modes = [(name, type(module).__name__, module.training) for name, module in lm.model.named_modules()]
    answers = ZeroShot().fit(lm).predict(items).to_json()
    return fingerprint(lm.model, lm.tokenizer), flags, modes, sorted(lm.model.__dict__), answers


def reseed(seed):
    "Set the global random generators, which have no say."
    torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)


def world():
    "The global random generators."
    state = random.getstate(), np.random.get_state(), torch.get_rng_state().numpy().tobytes()
    return hashlib.sha256(repr(state).encode()).hexdigest()


@pytest.mark.parametrize("name", METHODS)
def test_trained_twice(lm, train, test, name):
    "Predict, fit, predict, fit again: each time the same, from the seed alone; model and generators stay as they were."
    reseed(5)
    method, before, generators = METHODS[name], base(lm, test), world()
    first = method.fit(lm, train, 0)
    once = first.predict(test)
    assert world() == generators
    reseed(7)
    again = method.fit(lm, train, 0)
    assert again.predict(test).equals(once) and again.log == first.log
    method.fit(lm, train, 1).predict(test)
    assert first.predict(test).equals(once)  # later fits do not reach into an earlier predictor
    assert base(lm, test) == before
    assert method.name == name and once["item_id"].tolist() == test["item_id"].tolist()
    assert [len(row) for row in once["logprobs"]] == [len(choices) for choices in test["choices"]]
    if name != "zeroshot": assert far(once, ZeroShot().fit(lm).predict(test)) > 1e-2


def test_another_seed_shows_other_answers_in_the_placebo_alone(lm, train, test):
    placebos = [ICL(8, "random").fit(lm, train, seed) for seed in (0, 1)]
    assert placebos[0].log["shown"] != placebos[1].log["shown"]
    assert far(*(p.predict(test) for p in placebos)) > 1e-2
    assert all(shown in choices for p in placebos for shown, choices in zip(p.log["shown"], train["choices"]))
    gold = [ICL(8).fit(lm, train, seed) for seed in (0, 1)]
    assert gold[0].log["shown"] == [c[a] for c, a in zip(train["choices"], train["answer"])][:8]
    assert gold[0].predict(test).equals(gold[1].predict(test))


def test_another_seed_folds_the_probe_otherwise():
    "On a weak signal the folds decide about the penalty."
    rng = np.random.default_rng(0)
    x, gold = rng.normal(size=(40, 3, 8)), rng.integers(0, 3, 40)
    x[np.arange(40), gold, 0] += .8
    d, item = differences(list(x), gold)
    chosen = [choose_l2(d @ d.T, item, list(range(40)), seed) for seed in range(8)]
    assert len(set(chosen)) > 1
    assert chosen == [choose_l2(d @ d.T, item, list(range(40)), seed) for seed in range(8)]


@pytest.mark.parametrize("signal", [0, .5, 1, 3])
def test_the_penalty_is_that_of_a_full_search(signal):
    "The path ends early and its fits are rough; that changes no choice against all penalties fitted to the end."
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, gold = rng.normal(size=(60, 4, 80)) * np.arange(1, 81) ** -.5, rng.integers(0, 4, 60)
        x[np.arange(60), gold] += signal * rng.normal(size=80) * np.arange(1, 81) ** -1.
        d, item = differences(list(x), gold)
        K, fold = d @ d.T, {c: i % 5 for i, c in enumerate(np.random.default_rng([seed, 5]).permutation(60))}
        fold_R, losses = np.array([fold[i] for i in item]), np.zeros(len(PENALTIES))
        for f, (g, l2) in product(range(5), enumerate(PENALTIES)):
            inside, outside = fold_R != f, fold_R == f
            here, there = (np.unique(item[rows], return_inverse=True)[1] for rows in (inside, outside))
            a, _ = fit_rows(K[np.ix_(inside, inside)], here, l2)
            losses[g] += choice_loss(K[np.ix_(outside, inside)] @ a, there)[0].sum()
        assert choose_l2(K, item, list(range(60)), seed) == PENALTIES[losses.argmin()]


def test_a_probe_of_two_choices_is_logistic_regression():
    "scikit-learn fits the same loss: sum of losses / C with C = 1 / (n l2), without intercept."
    from sklearn.linear_model import LogisticRegression
    rng = np.random.default_rng(0)
    x, gold = rng.normal(size=(90, 2, 12)), rng.integers(0, 2, 90)
    x[np.arange(90), gold, 3] += .7
    d, item = differences(list(x), gold)
    a, info = fit_rows(d @ d.T, item, l2=.05)
    sides = np.where(rng.random(90) < .5, 1, -1)  # it wants two classes
    theirs = LogisticRegression(C=1 / (90 * .05), fit_intercept=False, tol=1e-10, max_iter=10_000)
    theirs.fit(-d * sides[:, None], sides)
    assert d.T @ a == pytest.approx(theirs.coef_[0], abs=1e-5) and info["gradient"] < 1e-6


@given(seed=st.integers(0, 1000), l2=st.floats(1e-3, 10))
@settings(max_examples=20, deadline=None)
def test_probes_converge_whatever_the_number_of_choices(seed, l2):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 6, 30)
    x, gold = [rng.normal(size=(size, 50)) * rng.uniform(.1, 5) for size in sizes], rng.integers(0, sizes)
    d, item = differences(x, gold)
    a, info = fit_rows(d @ d.T, item, l2)
    w = a @ d
    probs = [np.exp(f @ w - (f @ w).max()) for f in x]
    probs = [p / p.sum() for p in probs]
    slope = sum((p @ f - f[g] for p, f, g in zip(probs, x, gold)), np.zeros(50)) / 30 + l2 * w
    assert np.linalg.norm(slope) < 1e-6
    assert info["loss"] == pytest.approx(-np.mean([np.log(p[g]) for p, g in zip(probs, gold)]) + l2 / 2 * w @ w)


def test_the_originals_recipe_is_pytorchs():
    "The same first weights, steps, clipping and schedule with torch.optim.SGD."
    import torch
    rng = np.random.default_rng(0)
    x, gold = rng.normal(size=(40, 4, 30)), rng.integers(0, 4, 40)
    w, _ = original_weights(list(x), gold, seed=3)
    start = np.random.default_rng([3, 6]).uniform(-30**-.5, 30**-.5, 30)
    weight, features = torch.tensor(start, requires_grad=True), torch.tensor(x)
    optimiser = torch.optim.SGD([weight], lr=.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1., .1, total_iters=100)
    for _ in range(100):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(features @ weight, torch.tensor(gold)) + weight.norm()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([weight], 1.)
        optimiser.step()
        schedule.step()
    assert w == pytest.approx(weight.detach().numpy(), abs=1e-6)


def test_adapters_learn(lm, train, test):
    fits = [QLoRA(r=8, lr=3e-2, epochs=6, batch=8).fit(lm, train, seed) for seed in (0, 1)]
    for fitted in fits:
        loss = fitted.log["loss"]
        assert len(loss) == 6 * 4 and np.mean(loss[-4:]) < np.mean(loss[:4]) - .3
        assert all(w.abs().max() > 1e-4 for name, w in fitted.weights.items())
        assert {name.split(".")[-2] for name in fitted.weights} == {"lora_A", "lora_B"}
    assert fits[0].log["loss"] != fits[1].log["loss"] and far(*(f.predict(test) for f in fits)) > 1e-2


def test_first_weights_are_a_matter_of_the_seed(lm, train):
    def drawn(seed):
        with adapter(lm, METHODS["qlora"], seed) as model:
            return [w.detach().clone() for name, w in model.named_parameters() if "lora_A" in name]

    zero, again, one = drawn(0), drawn(0), drawn(1)
    assert all(torch.equal(a, b) and not torch.equal(a, c) for a, b, c in zip(zero, again, one, strict=True))
    still = [QLoRA(epochs=1, lr=0.).fit(lm, train, seed).weights for seed in (0, 1)]
    assert all(not torch.equal(still[0][name], still[1][name]) for name in still[0] if "lora_A" in name)


def test_an_untrained_adapter_changes_nothing(lm, test):
    idle = QLoRA(epochs=1, lr=0.).fit(lm, toy(8, seed=3))
    assert far(idle.predict(test), ZeroShot().fit(lm).predict(test)) < 1e-4


def interrupted(lm, after):
    "A hook that stops the model in its n-th pass, as Ctrl-C would."
    left = [after]

    def stop(*args):
        left[0] -= 1
        if left[0] < 0: raise KeyboardInterrupt

    return lm.model.model.layers[1].register_forward_pre_hook(stop)


def test_training_that_breaks_leaves_the_base(lm, train, test):
    before, generators, method = base(lm, test), world(), METHODS["qlora"]
    fitted = method.fit(lm, train, 0)
    hook = interrupted(lm, after=5)
    with pytest.raises(KeyboardInterrupt): method.fit(lm, train, 0)
    hook.remove()
    assert base(lm, test) == before
    hook = interrupted(lm, after=0)
    with pytest.raises(KeyboardInterrupt): fitted.predict(test)
    hook.remove()
    assert base(lm, test) == before
    with pytest.raises(Diverged, match="loss of update 2 of 12 is no number .items 0-.*; lower lr") as caught:
        QLoRA(lr=1e30, batch=8).fit(lm, train, 0)
    good = caught.value.predictor  # the adapters that gave the last loss that was a number
    assert len(good.log["loss"]) == 1 and all(w.isfinite().all() for w in good.weights.values())
    assert far(good.predict(test), ZeroShot().fit(lm).predict(test)) < 1e-4
    assert base(lm, test) == before
    with pytest.raises(ZeroDivisionError):
        with adapter(lm, method, weights=fitted.weights): raise ZeroDivisionError
    assert base(lm, test) == before and world() == generators
    assert method.fit(lm, train, 0).log == fitted.log


@pytest.mark.parametrize("method", [ICL(3), LinearProbe(l2=1.)], ids=lambda m: m.name)
def test_reading_that_breaks_leaves_the_base(tiny, train, test, method):
    lm = tiny("llama", seed=5)  # no hidden state of it is known yet
    before = base(lm, test)
    hook = interrupted(lm, after=1)
    with pytest.raises(KeyboardInterrupt): method.fit(lm, train, 0).predict(test)
    hook.remove()
    assert base(lm, test) == before


def test_a_layer_that_takes_no_adapter_leaves_the_base(tiny, train, test):
    lm = tiny("llama")
    before = base(lm, test)
    with pytest.raises(ValueError): QLoRA(targets=("q_proj", "input_layernorm")).fit(lm, train)
    assert base(lm, test) == before


@pytest.mark.parametrize("targets, named", [
    (("Wqkv",), "['Wqkv']"), (("q_proj", "c_attn"), "['c_attn']"), ("proj", "['proj']")])
def test_adapters_without_a_place(lm, train, test, targets, named):
    before = base(lm, test)
    with pytest.raises(ValueError) as caught: QLoRA(targets=targets).fit(lm, train)
    assert str(caught.value) == (f"tiny has no linear layers named {named}; QLoRA(targets=...) can be: "
                                 "down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj")
    assert base(lm, test) == before


def reference_loss(lm, rows, gold):
    "The paper's loss from one plain row per choice."
    parts = [-torch.tensor([score_row(lm, row)[0] for row in item]).log_softmax(0)[g] for item, g in zip(rows, gold)]
    return float(torch.stack(parts).mean())


@pytest.mark.parametrize("family", ["llama", "mistral", "mpt"])
def test_the_loss_is_the_papers(tiny, train, family):
    lm, items = tiny(family), train.iloc[:8]
    rows, gold = tokenise(lm, prompts(items), choice_strings(items)), items["answer"].tolist()
    packed = scoring_path(lm, 60) == "packed"
    assert packed == (family != "mpt")
    assert batch_loss(lm, rows, gold, packed, budget=64) == pytest.approx(reference_loss(lm, rows, gold), abs=1e-4)


def test_probe_learns_and_is_at_its_optimum(lm):
    "Items with 3, 4 and 5 choices; the optimum is checked against torch, item by item."
    train, test = toy(150, seed=2), toy(100, seed=3)
    probe = LinearProbe(l2=.01).fit(lm, train)
    assert probe.log["gradient"] < 1e-6 and probe.log["loss"] < np.mean([np.log(len(c)) for c in train["choices"]])
    found = probe.predict(test)
    assert found["correct"].mean() > .8 and np.allclose([np.exp(s).sum() for s in found["logprobs"]], 1)
    assert {len(s) for s in found["logprobs"]} == {3, 4, 5}
    x_N = features(lm, train, probe_layers(lm, "paper"), "cloze")
    scale = np.concatenate(x_N).std(0, ddof=1)
    w = torch.tensor(probe.weights * np.where(scale == 0, 1, scale), requires_grad=True)
    nll = [-(torch.tensor(x / np.where(scale == 0, 1, scale)) @ w).log_softmax(0)[a] for x, a in zip(x_N, train["answer"])]
    loss = torch.stack(nll).mean() + .01 / 2 * w @ w
    loss.backward()
    assert w.grad.abs().max() < 1e-6 and loss.item() == pytest.approx(probe.log["loss"], abs=1e-8)


def test_probe_of_one_cluster(lm, train, test):
    "The items are folded where the clusters cannot be."
    one = train.assign(cluster="one")
    probe = LinearProbe().fit(lm, one, 0)
    assert probe.log["gradient"] < 1e-6 and len(probe.predict(test)) == len(test)
    alone = LinearProbe().fit(lm, train.assign(cluster=[f"{n:02d}" for n in range(len(train))]), 0)
    assert probe.log == alone.log


def test_probe_of_one_item(lm, train, test):
    assert len(LinearProbe().fit(lm, train.iloc[:1], 0).predict(test)) == len(test)


def test_probe_on_random_labels_is_near_chance(lm):
    "Countries of other continents, so that nothing but a leak could help; five draws of labels."
    quiz = load_items("worldquiz").dropna(subset="fame")
    held = quiz["cluster"].str.contains("Africa|Asia")
    train, test = quiz[~held].sample(120, random_state=0), quiz[held].sample(300, random_state=0)
    right = []
    for seed in range(5):
        labels = np.random.default_rng(seed).integers(0, 4, len(train))
        probe = LinearProbe().fit(lm, train.assign(answer=labels), seed)
        assert probe.log["loss"] < np.log(4)
        right.append(probe.predict(test)["correct"].mean())
    assert abs(np.mean(right) - 1 / 4) < 3 * np.sqrt(3 / 16 / len(test))


class Narrow(LM):
    "A model that takes 100 tokens."
    context = 100


@pytest.mark.parametrize("format", [name for name, format in FORMATS.items() if not format.chat])
def test_shots_that_do_not_fit_are_dropped_from_the_end(lm, train, format):
    "The prompt that is kept is that of fewer shots, and one shot more would not fit."
    narrow, items = Narrow(lm.model, lm.tokenizer, lm.name), toy(6, seed=4)
    items["question"] = [q + " It is a box." * n for n, q in enumerate(items["question"])]
    icl = ICL(8, format=format).fit(narrow, train)
    texts, dropped = fitting_prompts(narrow, items, icl.shots, format)
    found, join = icl.predict(items), FORMATS[format].join
    assert found["n_dropped"].tolist() == dropped and len(set(dropped)) > 1 and min(dropped) > 0

    def longest(item, text):
        return max(len(row.tokens) for row in tokenise(lm, [text], choice_strings(item, format), join)[0])

    for n, (text, d) in enumerate(zip(texts, dropped)):
        item = items.iloc[[n]]
        assert text == prompts(item, train.iloc[:8 - d], format)[0]
        assert longest(item, text) <= 100 < longest(item, prompts(item, train.iloc[:9 - d], format)[0])
        fewer = ICL(8 - d, format=format).fit(lm, train) if d < 8 else ZeroShot(format).fit(lm)
        assert far(found.iloc[[n]], fewer.predict(item)) < 1e-4
    assert (ICL(8, format=format).fit(lm, train).predict(items)["n_dropped"] == 0).all()


def test_shots_that_just_fit(lm, train, test):
    "A row may be as long as the context, and not a token longer."
    item, icl = test.iloc[[0]], ICL(4)
    [text], _ = fitting_prompts(lm, item, train.iloc[:4], "cloze")
    longest = max(len(row.tokens) for row in tokenise(lm, [text], choice_strings(item))[0])
    for spare in (0, -1):
        exact = type("Exact", (LM,), {"context": longest + spare})(lm.model, lm.tokenizer, lm.name)
        assert icl.fit(exact, train).predict(item)["n_dropped"].tolist() == [-spare]


@pytest.mark.parametrize("name", [name for name in METHODS if not name.endswith("prior")])  # those read no question
def test_questions_longer_than_the_context(lm, train, test, name):
    narrow = Narrow(lm.model, lm.tokenizer, lm.name)
    long, before = test.assign(question=test["question"] + " box" * 120), base(lm, test)
    fitted = METHODS[name].fit(narrow, train, 0)
    sentence = r"prompts\[0\] has 1\d\d tokens with its choice but tiny takes 100; shorten it or use fewer shots"
    if name == "blind": assert len(fitted.predict(long)) == len(long)
    else:
        with pytest.raises(ValueError, match=sentence): fitted.predict(long)
    assert base(lm, test) == before
    if name in ("probe", "qlora"):
        with pytest.raises(ValueError, match=sentence): METHODS[name].fit(narrow, long, 0)
        assert base(lm, test) == before


@pytest.mark.parametrize("k", [0, -1])
def test_icl_without_examples(k):
    with pytest.raises(ValueError, match=rf"ICL\(k={k}\): k is the number of examples, a whole number of at least 1"): ICL(k)


@pytest.mark.parametrize("k", [2.5, "3", None])
def test_icl_with_a_k_that_is_no_number(train, k):
    with pytest.raises(ValueError, match="ICL"): ICL(k).fit(None, train)


@pytest.mark.parametrize("labels", ["wrong", None, "Gold"])
def test_icl_with_unknown_labels(labels):
    with pytest.raises(ValueError, match=rf"ICL\(labels={labels!r}\) is unknown: choose one of 'gold', 'random', 'ari"):
        ICL(labels=labels)


def small(lm, **changes):
    items = toy(160, seed=6).assign(steps=np.arange(160.))
    items.attrs["dataset"] = "toy"
    return Study(**{**dict(items=items, lm=lm, measure="steps", methods=[ICL(2)], n_train=5, n_test=4, seeds=1), **changes})


@pytest.mark.parametrize("changes, sentence", [
    (dict(methods=["icl"]), "methods holds 'icl', which is no method: give ICL(k=10), LinearProbe(), ..."),
    (dict(methods="icl"), "methods holds 'icl', which is no method"),
    (dict(methods=[ICL(2), ICL(2)]), "methods holds the same method twice"),
    (dict(n_train=0), "n_train=0; give a whole number, 1 or more"),
    (dict(n_train=2.5), "n_train=2.5; give a whole number"),
    (dict(seeds=0), "seeds=0; give a whole number, 1 or more"),
    (dict(n_test=0), "n_test=0; give a whole number"),
    (dict(train_on="tricky"), "give one of ['easy', 'medium', 'hard', 'all']"),
    (dict(methods=[ICL]), "which is no method"),
])
def test_studies_that_cannot_be(lm, changes, sentence):
    with pytest.raises((ValueError, KeyError)) as caught: small(lm, **changes).cells()
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_bare_method_and_a_bare_level(lm, tmp_path):
    bare = small(lm, methods=ICL(2), train_on="hard").run(tmp_path / "bare", progress=False)
    listed = small(lm, methods=[ICL(2)], train_on=["hard"]).run(tmp_path / "listed", progress=False)
    pd.testing.assert_frame_equal(bare, listed)
    assert set(bare["train_on"]) == {"none", "hard"} and set(bare["method"]) == {"zeroshot", "icl"}


def test_qlora_on_the_quantised_model(smollm2):
    "The order in which a 4-bit layer could be repacked for good: predict, fit, predict, fit."
    nf4 = LM.load("smollm2", quant="nf4")
    quiz = load_items("worldquiz").dropna(subset="fame")
    held = quiz["cluster"].str.contains("Africa|Asia")
    train, test = quiz[~held].sample(32, random_state=0), quiz[held].sample(12, random_state=0)
    before, generators, method = base(nf4, test), world(), QLoRA(epochs=2, batch=8)
    first = method.fit(nf4, train, 0)
    once = first.predict(test)
    assert base(nf4, test) == before and world() == generators
    hook = interrupted(nf4, after=2)
    with pytest.raises(KeyboardInterrupt): method.fit(nf4, train, 0)
    hook.remove()
    second = method.fit(nf4, train, 1)
    for fitted in (first, second):
        loss = fitted.log["loss"]
        assert len(loss) == 8 and np.mean(loss[-4:]) < np.mean(loss[:4])
        assert max(w.abs().max() for name, w in fitted.weights.items() if "lora_B" in name) > 0
    assert first.log["loss"] != second.log["loss"] and first.predict(test).equals(once)
    assert far(once, ZeroShot().fit(nf4).predict(test)) > .1 and far(once, second.predict(test)) > .1
    assert base(nf4, test) == before and world() == generators


# Priors and letters

@pytest.mark.parametrize("method", [ZeroShot(prior=True), ICL(3, prior=True), ICL(2, "random", format="paper", prior=True)])
def test_the_prior_is_what_an_empty_question_gives(lm, train, test, method):
    fitted = method.fit(lm, train)
    found, format = fitted.predict(test), method.format
    texts = prompts(blind(test), fitted.shots, format)
    asked = choice_logprobs(lm, texts, choice_strings(test, format))
    assert all(np.abs(np.array(p) - a).max() < 1e-4 for p, a in zip(found["prior"], asked, strict=True))
    plain = dataclasses.replace(method, prior=False).fit(lm, train).predict(test)
    assert found.drop(columns="prior").equals(plain)  # nothing else is changed, and nothing is run unasked


def test_the_prior_sees_the_shots_that_the_question_left(lm, train, test):
    class Narrow(LM):
        context = 60
    long = test.head(2).assign(question=[test["question"].iloc[0], " ".join(["word"] * 24)])
    fitted = ICL(3, prior=True).fit(Narrow(lm.model, lm.tokenizer, "narrow"), train)
    found = fitted.predict(long)
    dropped = found["n_dropped"].iloc[1]
    assert 0 < dropped < 3
    text = prompts(blind(long.tail(1)), fitted.shots.iloc[:3 - dropped])
    [asked] = choice_logprobs(lm, text, choice_strings(long.tail(1)))
    assert np.abs(np.array(found["prior"].iloc[1]) - asked).max() < 1e-4


def test_a_study_that_asks_for_priors(lm, tmp_path):
    "Zero-shot is asked for its prior too, the store keeps it, and picking by PMI needs no model."
    items = load_items("worldquiz").dropna(subset="fame").iloc[::8].reset_index(drop=True)
    records = Study(items, lm, "fame", ICL(2, prior=True), n_train=10, n_test=8, seeds=1).run(tmp_path / "r", progress=False)
    assert records["prior"].notna().all() and set(records["method"]) == {"zeroshot", "icl"}
    by_pmi = rescore(records, items, "pmi")
    best = [int(np.argmax(np.subtract(s, p))) for s, p in zip(records["logprobs"], records["prior"], strict=True)]
    texts = items.set_index("item_id")["choices"]
    assert by_pmi["pred"].tolist() == [texts[i][b] for i, b in zip(records["item_id"], best, strict=True)]
    assert (by_pmi["pred"] != records["pred"]).any()
    with pytest.raises(ValueError, match="needs the column prior"): rescore(records.drop(columns="prior"), items, "pmi")


def test_priors_asked_for_later(lm, tmp_path):
    "A folder then holds zero-shot with and without a prior: the same answers, counted once."
    items = load_items("worldquiz").dropna(subset="fame").iloc[::8].reset_index(drop=True)
    def run(prior):
        study = Study(items, lm, "fame", ICL(2, prior=prior), n_train=10, n_test=8, seeds=1)
        return study.run(tmp_path, progress=False)
    alone, both = run(False), run(True)
    assert (both["method"] == "zeroshot").sum() == 2 * (alone["method"] == "zeroshot").sum()
    table = sgr_table(both)
    assert len(table) == 2 and table["zero_shot"].tolist() == sgr_table(alone)["zero_shot"].tolist() * 2
    assert len(plot_accuracy(both).axes) == 2


def test_letters(lm, train, test):
    found = ICL(3, format="letter").fit(lm, train).predict(test)
    letters = [[f" {letter}" for letter in "ABCDE"[:len(choices)]] for choices in test["choices"]]
    asked = choice_logprobs(lm, prompts(test, train.iloc[:3], "letter"), letters)
    assert all(np.abs(np.array(f) - a).max() < 1e-4 for f, a in zip(found["logprobs"], asked, strict=True))
    assert [p in c for p, c in zip(found["pred"], test["choices"], strict=True)] == [True] * len(test)
