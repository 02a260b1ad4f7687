"""QLoRA: packing, precision, layers, schedule, memory, saving; chains of thought; noise, mixtures; samples in manifests."""
import copy
import json
import math
import os

import numpy as np
import pandas as pd
import pytest

from e2h.baselines import AnswerPrior
from e2h.cli import tables
from e2h.data import check_items, load_items
from e2h.icl import ICL, ZeroShot
from e2h.lm import LM
from e2h.probe import LinearProbe
from e2h.prompts import FORMATS, prompts, reasoned
from e2h.qlora import Diverged, QLoRA, adapter, batch_loss, load_adapter, paper_schedule, target_layers, training_rows
from e2h.scoring import Row, encode, score_row
from e2h.sgr import sgr, sgr_table, to_matrix
from e2h.splits import arm_name, draw_split, noisy_labels
from e2h.store import load_records, open_store, pack, save_records
from e2h.study import Study

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def lm(tiny): return tiny("llama")


@pytest.fixture(scope="module")
def quiz(): return load_items("worldquiz").dropna(subset="fame").reset_index(drop=True)


def gradients(lm, rows, gold, packed, budget=512):
    "Loss and adapter gradients of a batch."
    with adapter(lm, QLoRA(dropout=0.), seed=3) as model:
        for name, weight in model.named_parameters():
            if "lora_B" in name: torch.nn.init.normal_(weight, std=.1, generator=torch.Generator().manual_seed(len(name)))
        loss = batch_loss(lm, rows, gold, packed, budget)
        return loss, {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "falcon"])
@pytest.mark.parametrize("cot", [False, True])
def test_packed_training_is_that_of_plain_rows(tiny, quiz, family, cot):
    "The same loss and the same gradients to 1e-4 of the largest, in one pass, in many, and one row a choice."
    lm, items = tiny(family, scale=2), quiz.head(6).assign(rationale=[f"Reason {n}." * (n + 1) for n in range(6)])
    rows, gold = training_rows(QLoRA(cot=cot), lm, items), items["answer"].tolist()
    packed, slow = gradients(lm, rows, gold, True), gradients(lm, rows, gold, False)
    pieces = gradients(lm, rows, gold, True, budget=70)
    for loss, grads in (packed, pieces):
        assert loss == pytest.approx(slow[0], abs=1e-4) and set(grads) == set(slow[1]) and len(grads) > 3
        scale = max(g.abs().max() for g in slow[1].values())
        assert scale > 0 and max((grads[name] - slow[1][name]).abs().max() for name in grads) < 1e-4 * max(1, scale)


def test_the_loss_on_a_rationale_is_the_language_models(lm, quiz):
    items = quiz.head(3).assign(rationale="Since maps say so.")
    rows = training_rows(QLoRA(cot=True), lm, items)
    for [row], text, prompt in zip(rows, reasoned(items, FORMATS["cloze"]), prompts(items)):
        assert row.tokens == encode(lm, [f"{prompt} {text}"])[0] + [lm.tokenizer.eos_token_id]
    expected = -np.mean([score_row(lm, row)[0] / (len(row.tokens) - row.start) for [row] in rows])
    assert batch_loss_of(lm, rows) == pytest.approx(expected, abs=1e-4)


def batch_loss_of(lm, rows):
    with adapter(lm, QLoRA(dropout=0.)): return batch_loss(lm, rows, [0] * len(rows), True)


def test_the_papers_schedule():
    "Table of the original: epochs by training items; updates with a chain of thought; every item counts."
    table = {5: 10, 20: 10, 40: 10, 80: 5, 160: 3, 320: 3, 340: 3, 900: 3}
    assert {n: paper_schedule(n, False)[0] for n in table} == table
    assert paper_schedule(160, True) == (38, 50)
    for n in range(1, 400):
        for cot, least in ((False, 10), (True, 150)):
            epochs, batch = paper_schedule(n, cot)
            assert batch == min(n, 50) and epochs * math.ceil(n / batch) >= least and epochs >= 3


def test_the_papers_schedule_is_followed(lm, quiz):
    fitted = QLoRA.paper(format="cloze").fit(lm, quiz.head(60))
    assert fitted.method.lr == 1e-4 and len(fitted.log["loss"]) == 5 * 2  # 60 items: two updates an epoch


@pytest.mark.parametrize("family, names", [
    ("llama", ["q_proj", "v_proj"]), ("gpt2", ["c_attn"]), ("falcon", ["query_key_value"]), ("mpt", ["Wqkv"]),
    ("mixtral", ["q_proj", "v_proj"]), ("gemma2", ["q_proj", "v_proj"])])
def test_layers_by_family(tiny, family, names):
    lm = tiny(family)
    assert target_layers(lm, "family") == names
    with adapter(lm, QLoRA()) as model:
        adapted = {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in model.named_parameters() if "lora_A" in name}
    assert adapted == set(names)


def test_all_linear_layers(lm):
    with adapter(lm, QLoRA(targets="all-linear")) as model:
        adapted = {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in model.named_parameters() if "lora_A" in name}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize("quant", ["int8", None])
def test_int8_and_plain_lora_learn_too(quant, quiz):
    "Loss falls, predictions change, also after predicting in between; the base answers as before."
    lm = LM.load("smollm2", quant=quant, dtype="float32")
    train, test, method = quiz.iloc[::60].head(16), quiz.iloc[5::60].head(8), QLoRA(epochs=3, batch=8)
    floor = ZeroShot().fit(lm).predict(test)
    fits = [method.fit(lm, train, seed) for seed in (0, 1)]
    for fitted in fits:
        assert np.mean(fitted.log["loss"][-2:]) < np.mean(fitted.log["loss"][:2])
        found = fitted.predict(test)
        assert max(np.abs(np.subtract(a, b)).max() for a, b in zip(found["logprobs"], floor["logprobs"])) > .1
    assert ZeroShot().fit(lm).predict(test).equals(floor)


def test_checkpointing_changes_memory_alone(lm, quiz):
    plain, saving = (QLoRA(epochs=2, batch=8, dropout=0., checkpointing=on).fit(lm, quiz.head(16)) for on in (False, True))
    assert plain.log["loss"] == pytest.approx(saving.log["loss"], abs=1e-5)
    assert not lm.model.is_gradient_checkpointing


def test_memory_that_does_not_suffice(lm, quiz, monkeypatch):
    "Passes that are too large are halved; the losses are those of training with room."
    import e2h.qlora as page
    whole, sizes, run = QLoRA(epochs=1, batch=8, dropout=0.).fit(lm, quiz.head(16)), [], page.tree_logprobs

    def narrow(lm, rows, **more):
        sizes.append(sum(len(row.tokens) for row in rows))
        if sizes[-1] > 200: raise MemoryError
        return run(lm, rows, **more)

    monkeypatch.setattr(page, "tree_logprobs", narrow)
    tight = QLoRA(epochs=1, batch=8, dropout=0.).fit(lm, quiz.head(16))
    assert max(sizes) > 200 and tight.log["loss"] == pytest.approx(whole.log["loss"], abs=1e-4)
    monkeypatch.setattr(page, "tree_logprobs", lambda *args, **more: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError, match="one item does not fit into memory; take checkpointing=True"):
        QLoRA(epochs=1).fit(lm, quiz.head(4))


def test_adapters_that_were_saved(lm, tiny, quiz, tmp_path):
    fitted = QLoRA(epochs=1, targets=("q_proj", "o_proj")).fit(lm, quiz.head(16))
    fitted.save(tmp_path / "a")
    assert sorted(p.suffix for p in (tmp_path / "a").iterdir() if "adapter" in p.name) == [".json", ".safetensors"]
    loaded = load_adapter(lm, tmp_path / "a")
    assert loaded.method == fitted.method and loaded.log == fitted.log
    assert loaded.predict(quiz.tail(8)).equals(fitted.predict(quiz.tail(8)))
    with pytest.raises(ValueError, match="were trained on another base than other: load that one"):
        load_adapter(tiny("llama", seed=9, name="other"), tmp_path / "a")
    (tmp_path / "a" / "e2h.json").unlink()
    with pytest.raises(ValueError, match="holds no finished adapters"): load_adapter(lm, tmp_path / "a")


def test_order_without_shuffling(lm, quiz):
    "The same items in another order give other losses; with shuffle=False the first update is that of the first items."
    items = quiz.head(16)
    first = QLoRA(epochs=1, batch=8, shuffle=False, dropout=0.).fit(lm, items).log["loss"][0]
    rows = training_rows(QLoRA(), lm, items.head(8))
    with adapter(lm, QLoRA(dropout=0.)): alone = batch_loss(lm, rows, items["answer"].head(8).tolist(), True)
    assert first == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("wrong, sentence", [
    (dict(epochs=0), "QLoRA(epochs=0): give a whole number of at least 1"),
    (dict(batch=0), "QLoRA(batch=0)"), (dict(r=1.5), "QLoRA(r=1.5)"), (dict(labels="none"), "give 'gold' or 'random'")])
def test_settings_that_cannot_be(wrong, sentence):
    with pytest.raises(ValueError) as caught: QLoRA(**wrong)
    assert sentence in str(caught.value)


# Chains of thought

def yes_no(n):
    "Questions with rationales and the choices yes and no."
    rows = [dict(item_id=f"y{k}", question=f"Is {k} even?", choices=["yes", "no"], answer=k % 2, steps=float(k),
                 rationale=f"{k} divided by two leaves {k % 2}.") for k in range(n)]
    return check_items(pd.DataFrame(rows), dataset="even")


def sums(n):
    "Word problems whose answer is a number."
    rows = [dict(item_id=f"s{k}", question=f"Ann has {k} pears and gets {k % 7}. How many has she?", choices=[str(k + k % 7)],
                 answer=0, rationale=f"{k} + {k % 7} = {k + k % 7}.", steps=float(k)) for k in range(n)]
    return check_items(pd.DataFrame(rows), dataset="sums", free_text=True)


def test_adapters_learn_to_reason(smollm2):
    "After training, texts have the form of the rationales, and end."
    items = yes_no(24)
    fitted = QLoRA(cot=True, epochs=4, batch=8, lr=2e-3, format="paper").fit(smollm2, items.head(16))
    assert np.mean(fitted.log["loss"][-2:]) < .5 * np.mean(fitted.log["loss"][:2])
    found = fitted.predict(items.tail(6))
    assert found["text"].str.contains(r"divided by two leaves \d\. So the answer is (?:yes|no)$").mean() > .8
    assert set(found["pred"]) <= {"yes", "no", ""} and found["logp_gold"].isna().all()


def test_a_study_with_chains_of_thought(lm, smollm2, tmp_path):
    "Choices get both floors; each method is compared with the one that answers as it does, or with the paper's."
    study = Study(yes_no(180), lm, "steps", [ICL(3, cot=True), ICL(3)], n_train=8, n_test=6, seeds=2, format="paper")
    assert [c.method.name for c in study.cells()[:2]] == ["zeroshot", "zeroshot_cot"]
    records = study.run(tmp_path / "r", progress=False)
    assert set(records["method"]) == {"zeroshot", "zeroshot_cot", "icl", "icl_cot"}
    written = records[records["method"] == "icl_cot"]
    assert written["logprobs"].isna().all() and written["text"].notna().all()
    assert records.loc[records["method"] == "icl", "logprobs"].notna().all()
    def floor(table, method): return table.set_index("method").loc[method, "zero_shot"]
    hard = records[records["level"] == "hard"]
    def arm(method, level): return to_matrix(hard[(hard["method"] == method) & (hard["train_on"] == level)])
    expected = sgr(arm("zeroshot_cot", "none"), arm("icl_cot", "easy"), arm("icl_cot", "hard")).zero_shot
    same, paper = sgr_table(records), sgr_table(records, floor="paper")
    assert floor(same, "icl") == floor(paper, "icl") == floor(paper, "icl_cot") != expected
    assert floor(same, "icl_cot") == expected
    for name, table in (("same", same), ("paper", paper)):  # of the command
        text, found = tables(tmp_path / "r", floor=name)
        assert ("Chains of thought are compared with zero-shot choices." in text) == (name == "paper")
        printed = {row["method"]: row["zero_shot"] for row in found["sgr"]}
        assert printed["icl_cot"] == pytest.approx(floor(table, "icl_cot"), abs=1e-4)
    for texts in (True, False):
        pack(open_store(tmp_path / "r"), tmp_path / "p.parquet", texts=texts, digits=2)
        packed = open_store(tmp_path / "p.parquet")
        assert packed.records()["correct"].tolist().count(1) == records["correct"].sum()
        assert ("text" in packed.records()) == ("answers" in packed.manifests()[-1]["sample"]["test"]) == texts
    save_records(records, tmp_path / "r.csv")
    assert load_records(tmp_path / "r.csv")["correct"].tolist() == records["correct"].tolist()


def test_word_problems_are_written(lm, tmp_path):
    "Free text has one floor, in words; methods that choose say that there is nothing to choose."
    study = Study(sums(180), lm, "steps", ICL(3, cot=True), n_train=8, n_test=5, seeds=1, format="paper")
    assert {c.method.name for c in study.cells()} == {"zeroshot_cot", "icl_cot"}
    assert set(study.run(tmp_path / "r", progress=False)["method"]) == {"zeroshot_cot", "icl_cot"}
    items = sums(20)
    for method in (ICL(3), ZeroShot(), LinearProbe(), QLoRA(epochs=1)):
        with pytest.raises(ValueError, match="one choice|fewer than two choices"): method.fit(lm, items, 0).predict(items)
    with pytest.raises(ValueError, match="format 'letter' asks for the letter"): prompts(items, format="letter")
    with pytest.raises(ValueError, match="no labels to draw at random"): ICL(3, "random", cot=True).fit(lm, items)


def test_an_item_without_a_rationale(lm):
    items = yes_no(6)
    items.loc[2, "rationale"] = None
    for method in (ICL(4, cot=True), QLoRA(cot=True, epochs=1)):
        with pytest.raises(ValueError, match="item 'y2' has no rationale, which cot=True needs"):
            method.fit(lm, items, 0).predict(items)


@pytest.mark.parametrize("name, method", [
    (data, method) for data in ("arc", "mmlu_stem5", "strategyqa") for method in ("icl", "probe", "qlora")]
    + [(data, method) for data in ("strategyqa", "gsm8k") for method in ("icl_cot", "qlora_cot")])
def test_every_cell_of_the_papers_table_runs(lm, own_data, name, method, tmp_path):
    "Which methods run on which data (spec E.5): one call each."
    items = own_data(name)
    measure = "steps" if name in ("strategyqa", "gsm8k") else "question_words"
    made = dict(icl=ICL(3), probe=LinearProbe(l2=1.), qlora=QLoRA(epochs=1), icl_cot=ICL(3, cot=True),
                qlora_cot=QLoRA(cot=True, epochs=1))[method]
    study = Study(items, lm, measure, made, n_train=6, n_test=3, seeds=1, format="paper")
    records = study.run(tmp_path / "r", progress=False)
    assert set(records["train_on"]) == {"none", "easy", "hard"} and method in set(records["method"])


@pytest.fixture(scope="module")
def own_data():
    "A few dozen items of each published data set; skipped where no folder has them."
    if "E2H_DATA" not in os.environ: pytest.skip("E2H_DATA names no folder with the published data")
    def some(name):
        items = load_items(name)
        few = items.sample(240, random_state=0).reset_index(drop=True)
        few.attrs["dataset"] = name
        return few
    return some


# Chat templates

def test_a_chat_puts_the_same_text_into_the_models_template(smollm2):
    items = load_items("worldquiz").dropna(subset="fame").head(4)
    found = ICL(2, format="cloze-chat").fit(smollm2, items.tail(2)).predict(items.head(2))
    text = prompts(items.head(2), items.tail(2))[0]
    message, _, opening = text.rpartition("\n")
    tok = smollm2.tokenizer
    head = tok.apply_chat_template([dict(role="user", content=message)], add_generation_prompt=True)["input_ids"]
    head = head + tok(opening, add_special_tokens=False)["input_ids"]
    choices = [tok(f" {choice}", add_special_tokens=False)["input_ids"] for choice in items["choices"].iloc[0]]
    rows = [Row(head + choice, len(head)) for choice in choices]
    assert found["logprobs"].iloc[0] == pytest.approx([score_row(smollm2, row)[0] for row in rows], abs=1e-3)
    written = ICL(2, format="cloze-chat", cot=True).fit(smollm2, items.assign(rationale="Maps tell.")).predict(items.head(1))
    assert "<|im" not in written["text"].iloc[0]


def test_a_model_that_cannot_talk(smollm2, quiz):
    mute = LM(smollm2.model, copy.copy(smollm2.tokenizer), "mute")
    mute.tokenizer.chat_template = None
    with pytest.raises(ValueError, match="has no chat template: take a format without -chat"):
        ZeroShot("cloze-chat").fit(mute).predict(quiz.head(1))


# Noise, mixtures and order

@pytest.mark.parametrize("n_choices", [2, 3, 4, 5])
def test_noise_is_wrong_at_the_rate_that_was_asked(n_choices):
    answer = [n % n_choices for n in range(1000)]
    items = pd.DataFrame(dict(item_id=range(1000), choices=[list("abcde")[:n_choices]] * 1000, answer=answer))
    for rate in (0, .05, .3, 1):
        wrong = [set(np.flatnonzero(noisy_labels(items, rate, seed)["answer"] != items["answer"])) for seed in (0, 1)]
        assert [len(w) for w in wrong] == [1000 * rate] * 2 and (wrong[0] != wrong[1]) == (0 < rate < 1)
        expected = rate * (1 - 1 / n_choices)
        paper = [(noisy_labels(items, rate, seed, original=True)["answer"] != items["answer"]).mean() for seed in (0, 1)]
        assert paper[0] == paper[1] == pytest.approx(expected, abs=4 * np.sqrt(.25 / 1000))
    with pytest.raises(ValueError, match="share between 0 and 1"): noisy_labels(items, 1.2)


def test_noise_of_a_few_items_is_right_on_average():
    items = pd.DataFrame(dict(item_id=range(10), choices=[["yes", "no"]] * 10, answer=0, rationale="r"))  # all answers alike
    wrong = [(noisy_labels(items, .05, seed)["answer"] != 0).sum() for seed in range(200)]
    assert set(wrong) == {0, 1} and .35 < np.mean(wrong) < .65
    nested = [set(np.flatnonzero(noisy_labels(items, rate, 3)["answer"])) for rate in (.05, .15, .35, 1)]
    assert nested == sorted(nested, key=len) and all(a <= b for a, b in zip(nested, nested[1:])) and len(nested[-1]) == 10
    assert noisy_labels(items.head(1), 1.)["answer"].tolist() == [1]


def test_placebos_of_chains_of_thought_reason_about_other_items(lm):
    items = yes_no(12)
    shots = ICL(8, "random", cot=True).fit(lm, items, 0).shots
    assert (shots["rationale"].to_numpy() != items["rationale"].head(8).to_numpy()).all()
    assert set(shots["rationale"]) == set(items["rationale"].head(8))


def test_a_letter_is_no_chain_of_thought(lm):
    with pytest.raises(ValueError, match="format 'letter' answers with a letter"):
        ICL(3, format="letter", cot=True).fit(lm, yes_no(6)).predict(yes_no(6))


def test_studies_in_words_are_checked_before_they_run(lm):
    bare = yes_no(180).assign(rationale=None)
    names = sums(180).assign(choices=[["Paris"]] * 180)
    for items in (bare, names): items.attrs.update(yes_no(2).attrs if items is bare else sums(2).attrs)
    with pytest.raises(ValueError, match="has no rationales to learn a chain of thought from"):
        Study(bare, lm, "steps", ICL(3, cot=True), n_train=8, n_test=5, seeds=1).cells()
    with pytest.raises(ValueError, match="'Paris' is not one number"):
        Study(names, lm, "steps", ICL(3, cot=True), n_train=8, n_test=5, seeds=1).cells()


def test_an_error_of_training_travels_without_the_model(lm):
    error = copy.copy(Diverged("the loss is no number", lm))
    assert isinstance(error, Diverged) and str(error) == "the loss is no number" and error.predictor is None


def test_an_answer_never_met_is_no_favourite():
    "Paris was right in 16 of 40 offers, more than chance: it is picked before answers that nobody has seen."
    answer = [0] * 16 + [1] * 8 + [2] * 16
    train = pd.DataFrame(dict(item_id=range(40), choices=[["Paris", "a", "b", "c"]] * 40, answer=answer))
    test = pd.DataFrame(dict(item_id=["t"], choices=[["new", "other", "Paris", "else"]], answer=[2]))
    assert AnswerPrior().fit(None, train).predict(test)["pred"].tolist() == ["Paris"]
    assert AnswerPrior().fit(None, train.assign(answer=1)).predict(test)["pred"].tolist() == ["new"]


def test_floors_are_looked_for_in_their_own_data_set():
    rng, rows = np.random.default_rng(0), []
    for data, floors, method in (("a", ["zeroshot", "zeroshot_cot"], "icl_cot"), ("b", ["zeroshot_cot"], "icl_cot")):
        for name, train_on in [(f, "none") for f in floors] + [(method, "easy"), (method, "hard")]:
            rows.append(pd.DataFrame(dict(item_id=[f"{data}{n}" for n in range(80)], dataset=data, method=name, seed=0,
                                          train_on=train_on, level="hard", correct=rng.integers(0, 2, 80))))
    records = pd.concat(rows, ignore_index=True)
    means = records.groupby(["dataset", "method"])["correct"].mean()
    found = {floor: sgr_table(records, floor=floor).set_index("dataset")["zero_shot"] for floor in ("same", "paper")}
    assert found["same"].to_dict() == pytest.approx({d: means[d, "zeroshot_cot"] for d in "ab"})
    assert found["paper"].to_dict() == pytest.approx({"a": means["a", "zeroshot"], "b": means["b", "zeroshot_cot"]})


def test_noise_reaches_labels_rationales_and_free_text():
    items = yes_no(20)
    noisy = noisy_labels(items, .5, seed=2)
    wrong = noisy["answer"] != items["answer"]
    assert wrong.sum() == 10 and (noisy["rationale"] != items["rationale"])[wrong].all()
    assert (noisy["rationale"] == items["rationale"])[~wrong].all()
    answers = noisy_labels(sums(20), .5)["choices"].str[0] != sums(20)["choices"].str[0]
    assert answers.sum() == 10


def test_a_noisy_study_keeps_its_noise_apart(lm, tmp_path):
    methods = [ICL(6), LinearProbe(l2=1.), LinearProbe(l2=1., labels="random")]
    study = Study(yes_no(180), lm, "steps", methods, n_train=6, n_test=5, seeds=2, noise=[0, .5])
    records = study.run(tmp_path / "r", progress=False)
    for method in ("icl", "probe"):
        clean, noisy = (records[(records["method"] == method) & (records["noise"] == rate)] for rate in (0, .5))
        assert len(clean) == len(noisy) > 0 and clean["logprobs"].tolist() != noisy["logprobs"].tolist()
    assert set(records.loc[records["method"] == "probe_placebo", "noise"]) == {0}  # it has no labels to spoil
    table = sgr_table(records).set_index("method")
    assert table["noise"].tolist() == [0, .5] * 2 and table.loc["probe", "over_placebo"].notna().all()
    paper = Study(yes_no(180), lm, "steps", ICL(6), n_train=6, n_test=5, seeds=1, noise=.5, original=True)
    assert {c.noise_rule for c in paper.cells()} == {"exact", "paper"}  # zero-shot has no noise
    easy = next(c for c in paper.cells() if c.train_on == "easy")
    by_id, at = paper.items.set_index("item_id", drop=False), paper.run(tmp_path / "p", progress=False)
    shown = next(c for c in open_store(tmp_path / "p").manifests() if c["train_on"] == "easy")["log"]["shown"]
    ruled = noisy_labels(by_id.loc[easy.train_ids].reset_index(drop=True), .5, 0, original=True)
    assert shown == [c[a] for c, a in zip(ruled["choices"], ruled["answer"])] and len(at)
    cells = open_store(tmp_path / "r").manifests()
    shown = {(c["train_on"], c["seed"], c["noise"]): c["log"]["shown"] for c in cells if c["method"] == "icl"}
    assert sum(a != b for a, b in zip(shown["easy", 0, 0.], shown["easy", 0, .5])) == 3
    with pytest.raises(ValueError, match=r"noise=1\.5; give a share"):
        Study(yes_no(180), lm, "steps", ICL(6), n_train=6, n_test=5, noise=1.5)


def test_mixtures_are_made_of_the_arms(quiz):
    from e2h.hardness import item_levels
    level = item_levels(quiz, "fame")
    arms = {name: draw_split(quiz, level, name, 60, seed=1) for name in ("easy", "hard", "medium")}
    for shares in ({"easy": .5, "hard": .5}, {"easy": .25, "medium": .25, "hard": .5}, {"easy": .9, "hard": .1}):
        for n in (1, 7, 20, 60):
            mixed = draw_split(quiz, level, shares, n, seed=1)
            of = level[quiz["item_id"].isin(mixed.train_ids)].value_counts()
            assert all(abs(of[name] - share * n) <= 1 for name, share in shares.items())
            assert mixed.test_ids == arms["easy"].test_ids
            on = {name: set(quiz["item_id"][level == name]) & set(mixed.train_ids) for name in shares}
            assert all(on[name] <= set(arms[name].train_ids) for name in shares)
            larger = draw_split(quiz, level, shares, n + 9, seed=1).train_ids
            assert larger[:n] == mixed.train_ids


def test_a_study_of_mixtures_in_order(lm, tmp_path):
    arms = ["easy", "hard", {"easy": .5, "hard": .5}, "easy:0.5+hard:0.5 easy-first", "easy:0.5+hard:0.5 hard-first"]
    study = Study(yes_no(180), lm, "steps", ICL(6), train_on=arms, n_train=6, n_test=5, seeds=1)
    cells = {c.train_on: c for c in study.cells()}
    steps = study.items.set_index("item_id")["steps"]
    first, last = (cells[f"easy:0.5+hard:0.5 {order}"].train_ids for order in ("easy-first", "hard-first"))
    assert steps[first].is_monotonic_increasing and steps[last].is_monotonic_decreasing
    assert set(first) == set(last) == set(cells["easy:0.5+hard:0.5"].train_ids)
    records = study.run(tmp_path / "r", progress=False)
    assert set(records["train_on"]) == {"none", "easy", "hard", *(arm_name(a) for a in arms[2:])}
    assert len(sgr_table(records)) == 1


@pytest.mark.parametrize("arm", [{"easy": .5, "tricky": .5}, {"easy": .7, "hard": .7}, "all sideways", "easy:x", ""])
def test_arms_that_cannot_be(arm):
    with pytest.raises((ValueError, KeyError)) as caught: arm_name(arm)
    assert "\n" not in str(caught.value)


def test_a_manifest_says_what_was_in_the_sample(lm, quiz, tmp_path):
    study = Study(quiz, lm, "fame", ICL(4), n_train=4, n_test=20, seeds=1)
    records = study.run(tmp_path / "r", progress=False)
    manifest = next(c for c in open_store(tmp_path / "r").manifests() if c["method"] == "icl" and c["train_on"] == "hard")
    sample, by_id = manifest["sample"], quiz.set_index("item_id")
    train = by_id.loc[manifest["train_ids"]]
    expected = dict(mean=train["fame"].mean(), std=train["fame"].std())
    assert sample["train"]["hardness"]["fame"] == pytest.approx(expected, abs=1e-6)
    assert sample["train"]["relation"] == {"city_country": 4} and sum(sample["test"]["answer_places"].values()) == 60
    mine = records[records["run_id"] == manifest["run_id"]]
    known = {c[a] for c, a in zip(train["choices"], train["answer"])}
    seen = mine[[by_id["choices"][i][by_id["answer"][i]] in known for i in mine["item_id"]]]
    assert sample["answers_in_training"]["seen"]["n"] == len(seen)
    assert sample["answers_in_training"]["unseen"]["n"] == 60 - len(seen)
    json.dumps(sample, allow_nan=False)
