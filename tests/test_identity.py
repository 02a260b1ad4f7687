"""Nothing that determines an outcome may change without changing a cell's name."""
import dataclasses
import os

import pytest

from e2h import prompts, study as studies
from e2h.data import load_items
from e2h.icl import ICL
from e2h.probe import LinearProbe
from e2h.qlora import QLoRA
from e2h.store import cell_hash, open_store
from e2h.study import Study, code_version, find_cell, identity, item_digests, levelled_items

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def items():
    return load_items("worldquiz").dropna(subset="fame").iloc[::8].reset_index(drop=True)


@pytest.fixture
def study(items, tiny):
    return Study(items.copy(), tiny("qwen2"), "fame", [ICL(2)], n_train=10, n_test=5, seeds=2)


def names(study):
    "The names of all cells of a study, in the order of its plan."
    lm, found = study.lm, []
    for cell in study.cells():
        digests = item_digests(levelled_items(study), cell.method.format, lm)
        found.append(cell_hash(identity(cell, lm, digests)))
    return found


def with_items(study, change):
    "The study after a change of one of the items that its first trained cell uses."
    cell = study.cells()[1]
    other = study.items.copy()
    other.attrs = study.items.attrs
    change(other, other.index[other["item_id"] == cell.train_ids[0]][0])
    return dataclasses.replace(study, items=other)


def edit(column, value):
    def change(frame, row): frame.at[row, column] = value(frame.at[row, column])
    return change


ITEM = {  # an ingredient of one item: a change that is as small as can be
    "a character of the question": edit("question", lambda q: q + " "),
    "a choice": edit("choices", lambda c: [c[0] + ".", *c[1:]]),
    "the order of choices": edit("choices", lambda c: [*c[1:], c[0]]),
    "the right answer": edit("answer", lambda a: (a + 1) % 4),
    "the cluster": edit("cluster", lambda c: f"{c} too"),
    "the rationale": edit("rationale", lambda r: "because"),
}


@pytest.mark.parametrize("what", ITEM)
def test_an_item(study, what):
    assert not set(names(study)[1:2]) & set(names(with_items(study, ITEM[what])))


def test_a_weight(study):
    import torch
    before = names(study)
    weight = next(iter(study.lm.model.parameters())).data.view(-1)
    with torch.no_grad(): weight[-1] = torch.nextafter(weight[-1], weight[-1] + 1)  # the smallest step that there is
    study.lm.__dict__.pop("fingerprint")
    assert not set(before) & set(names(study))


MODEL = {"quant": "nf4", "dtype": "bfloat16", "name": "tinier"}


@pytest.mark.parametrize("what", MODEL)
def test_quantisation_number_format_and_name(study, what):
    before = names(study)
    setattr(study.lm, what, MODEL[what])
    assert not set(before) & set(names(study))


def test_the_tokenizer(study, smollm2):
    from copy import deepcopy
    before = names(study)
    study.lm.tokenizer = deepcopy(smollm2.tokenizer)
    study.lm.tokenizer.add_tokens(["oneword"])
    study.lm.__dict__.pop("fingerprint")
    assert not set(before) & set(names(study))


@pytest.mark.parametrize("function", ["question_text", "answer_line", "answer_text"])
def test_a_token_of_the_prompt(study, monkeypatch, function):
    before, real = names(study), getattr(prompts, function)
    monkeypatch.setattr(prompts, function, lambda *args: real(*args) + " ")
    assert not set(before) & set(names(study))


def test_what_stands_between_shots(study, monkeypatch):
    before, real = names(study), prompts.shots_text
    monkeypatch.setattr(studies, "shots_text", lambda *args: real(*args) + "\n")
    assert not set(before) & set(names(study))


def test_the_format(study):
    assert not set(names(study)) & set(names(dataclasses.replace(study, format="paper")))


OTHER = {
    "a shot": lambda cell: dataclasses.replace(cell, train_ids=[*cell.train_ids[:-1], cell.test_ids[0]]),
    "the order of shots": lambda cell: dataclasses.replace(cell, train_ids=cell.train_ids[::-1]),
    "a test item": lambda cell: dataclasses.replace(cell, test_ids=cell.test_ids[:-1]),
    "the seed": lambda cell: dataclasses.replace(cell, seed=7),
    "the level": lambda cell: dataclasses.replace(cell, train_on="medium"),
    "the measure": lambda cell: dataclasses.replace(cell, measure="hops"),
    "the data set": lambda cell: dataclasses.replace(cell, dataset="other"),
}


@pytest.mark.parametrize("what", OTHER)
def test_a_part_of_the_cell(study, what):
    digests, cell = item_digests(levelled_items(study), "cloze", study.lm), study.cells()[1]
    assert identity(cell, study.lm, digests) == identity(cell, study.lm, digests)
    assert cell_hash(identity(cell, study.lm, digests)) != cell_hash(identity(OTHER[what](cell), study.lm, digests))


METHODS = [ICL(2), LinearProbe(), QLoRA()]
OTHERS = dict(k=3, labels="random", prior=True, layers=(1,), l2=.5, r=8, alpha=16, dropout=.2, targets=("q_proj",),
              epochs=2, lr=2e-3, batch=4, solver="original", cot=True, shuffle=False, checkpointing=True)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_every_hyper_parameter(study, method):
    digests, cell = item_digests(levelled_items(study), "cloze", study.lm), study.cells()[1]
    seen = {cell_hash(identity(dataclasses.replace(cell, method=method), study.lm, digests))}
    fields = [f.name for f in dataclasses.fields(method) if f.name != "format"]
    for name in fields:
        assert OTHERS[name] != getattr(method, name)
        other = dataclasses.replace(method, **{name: OTHERS[name]})
        seen.add(cell_hash(identity(dataclasses.replace(cell, method=other), study.lm, digests)))
    assert len(seen) == len(fields) + 1


def test_the_code(study, tmp_path, monkeypatch):
    "One operator in the method's module."
    import importlib.util
    import sys
    source = "from dataclasses import dataclass\nfrom e2h.icl import ICL\n@dataclass(frozen=True)\nclass Mine(ICL):\n" \
             "    def fit(self, lm, items, seed=0): return super().fit(lm, items, seed {} 1)\n"
    found = []
    for sign in ("+", "-", "+  # and a comment"):
        file = tmp_path / f"mine{len(found)}.py"
        file.write_text(source.format(sign.split("#")[0].strip()) + (f"# {sign}\n" if "#" in sign else ""))
        spec = importlib.util.spec_from_file_location(file.stem, file)
        monkeypatch.setitem(sys.modules, file.stem, importlib.util.module_from_spec(spec))
        spec.loader.exec_module(sys.modules[file.stem])
        found.append(code_version(sys.modules[file.stem].Mine))
    assert found[0] != found[1] and found[0] == found[2]  # a comment computes nothing


def test_any_module_of_the_library_makes_another_version(tmp_path):
    "What a worker compares: one number in a method's module changes it, a comment does not."
    import shutil
    import subprocess
    import sys
    from pathlib import Path
    shutil.copytree(Path(studies.__file__).parent, tmp_path / "e2h")
    probe = tmp_path / "e2h" / "probe.py"
    found, source = [], probe.read_text()
    assert "range(200)" in source
    for text in (source, source + "\n# a comment\n", source.replace("range(200)", "range(201)")):
        probe.write_text(text)
        p = subprocess.run([sys.executable, "-c", "from e2h.study import library_version; print(library_version())"],
                           cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
        found.append(p.stdout)
    assert len(found[0]) > 20 and found[0] == found[1] != found[2]
    assert found[0].strip() == studies.library_version()


def test_a_change_misses_in_a_real_store(study, tmp_path):
    "Not only is the name another: the cell is computed again, and the old one is not served."
    study.run(tmp_path / "run", progress=False)
    worker = studies.Worker({"worldquiz": studies.Part(levelled_items(study), open_store(tmp_path / "run"))})
    assert all(find_cell(worker, cell)[1] for cell in study.cells())
    for change in (dict(methods=[ICL(3)]), dict(format="paper"), dict(methods=[ICL(2, prior=True)])):
        other = dataclasses.replace(study, **change)
        assert not any(find_cell(worker, cell)[1] for cell in other.cells() if cell.train_ids)
