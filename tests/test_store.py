"""A run folder keeps what is whole, sets aside what is damaged, and refuses what belongs to another study."""
import base64
import dataclasses
import errno
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2h.data import load_items
from e2h.icl import ICL
from e2h.sgr import sgr_table
from e2h.store import atomic, claim, open_store, pack, read_cell, seal, squeeze, write_cell
from e2h.study import Study, items_table, study_settings

pytest.importorskip("torch")
CELLS = 5  # zero-shot, and 2 seeds on easy and on hard


@pytest.fixture(scope="module")
def items():
    return load_items("worldquiz").dropna(subset="fame").iloc[::8].reset_index(drop=True)


@pytest.fixture(scope="module")
def study(items, tiny):
    return Study(items, tiny("qwen2"), "fame", ICL(2), n_train=10, n_test=5, seeds=2)


@pytest.fixture(scope="module")
def original(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "run"
    study.run(folder, progress=False)
    return folder


@pytest.fixture
def store(original, tmp_path):
    "A run folder of one's own."
    return open_store(shutil.copytree(original, tmp_path / "run"))


def snapshot(folder):
    "Every file with its bytes and its time; the log of events may always grow."
    return {str(f.relative_to(folder)): (f.read_bytes(), f.stat().st_mtime_ns) for f in folder.rglob("*")
            if f.is_file() and f.name != "events.jsonl"}


def first(store):
    "One of the trained cells."
    return min((store.path / "cells").glob("*.parquet"), key=lambda f: (f.stat().st_size, f.name))


def flip(data, at, bit=0):
    data = bytearray(data)
    data[at] ^= 1 << bit
    return bytes(data)


def columns(file):
    group = pq.ParquetFile(file).metadata.row_group(0)
    return [group.column(number) for number in range(group.num_columns)]


def page_end(file, column=0):
    chunk = columns(file)[column]
    return (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1


def rewritten(file, change):
    "The same table with other metadata."
    table, buffer = pq.read_table(file), io.BytesIO()
    pq.write_table(table.replace_schema_metadata(change(table.schema.metadata)), buffer)
    return buffer.getvalue()


DAMAGE = {
    "data page": lambda file, data: flip(data, page_end(file)),
    "last data page": lambda file, data: flip(data, page_end(file, -1), 7),
    "dictionary page": lambda file, data: flip(data, columns(file)[0].data_page_offset - 1),
    "manifest in the footer": lambda file, data: flip(data, data.rindex(b'"fingerprint": "') + 20),
    "manifest changed by hand": lambda file, data: rewritten(file, lambda meta: {
        **meta, b"e2h.manifest": meta[b"e2h.manifest"].replace(b'"seed": ', b'"seed": 1')}),
    "no manifest": lambda file, data: rewritten(file, lambda meta: None),
    "length of the footer": lambda file, data: flip(data, -8),
    "closing mark": lambda file, data: flip(data, -1),
    "first half": lambda file, data: data[:len(data) // 2],
    "without its end": lambda file, data: data[:-1],
    "empty": lambda file, data: b"",
    "garbage": lambda file, data: b"PAR1 not any more",
    "noise": lambda file, data: np.random.default_rng(0).bytes(len(data)),
    "another cell": lambda file, data: next(f for f in file.parent.glob("*.parquet") if f != file).read_bytes(),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_cell_is_set_aside_and_comes_back(store, study, how):
    whole, victim = store.records(), first(store)
    damaged = DAMAGE[how](victim, victim.read_bytes())
    assert damaged != victim.read_bytes()
    victim.write_bytes(damaged)
    before, name = snapshot(store.path), f"cells/{victim.name}"
    with pytest.warns(UserWarning) as said:
        cells = store.cells()
    assert len(said) == 1 and "\n" not in str(said[0].message)
    assert str(said[0].message).startswith(f"{victim.name} is damaged: ")
    assert str(said[0].message).endswith(f"; set aside as {victim.stem}.damaged, the next run computes it again")
    assert len(cells) == CELLS - 1 and victim.stem not in set(cells["run_id"])
    aside = {f"cells/{victim.stem}.damaged": before.pop(name)}
    assert snapshot(store.path) == {**before, **aside}  # not a byte is lost
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(store.cells()) == CELLS - 1  # said once
        healed = study.run(store.path, progress=False)
    pd.testing.assert_frame_equal(healed, whole)
    after = snapshot(store.path)
    after.pop(name)
    assert after == {**before, **aside}  # nothing else was computed


def test_no_bit_flips_unnoticed(store):
    file = first(store)
    data, rng = file.read_bytes(), np.random.default_rng(0)
    for at, bit in [*zip(rng.integers(0, len(data), 500), rng.integers(0, 8, 500)), *((-at, 0) for at in range(1, 200))]:
        file.write_bytes(flip(data, at, bit))
        with pytest.raises(ValueError, match=f"^{file.name} is damaged: its checksum does not match$"): read_cell(file)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_trouble_of_the_system_is_not_damage(store, monkeypatch, code):
    def refuse(*args, **kwargs): raise OSError(code, os.strerror(code))

    before = snapshot(store.path)
    with warnings.catch_warnings(), monkeypatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(pathlib.Path, "read_bytes", refuse)
        with pytest.raises(OSError) as caught: store.manifests()
    assert caught.value.errno == code and snapshot(store.path) == before


def starved(read):
    "Call `read` while the process may open no further file."
    resource = pytest.importorskip("resource")
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try: return read()
    finally: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_really_too_many_open_files(store):
    before, file = snapshot(store.path), first(store)
    with pytest.raises(OSError) as caught:
        starved(lambda: read_cell(file))
    assert caught.value.errno == errno.EMFILE and snapshot(store.path) == before
    assert len(read_cell(file)[0])


def test_items_and_too_many_open_files(store):
    with pytest.raises(OSError):
        starved(lambda: store.items)


def reversed_column(items, name):
    return items.assign(**{name: items[name].to_numpy()[::-1]})


OTHERS = {  # what is different: how, and what the sentence has to name
    "n_test": (lambda s: dict(n_test=6), "with n_test=5, not 6"),
    "no n_test": (lambda s: dict(n_test=None), "with n_test=5, not None"),
    "original": (lambda s: dict(original=True), "with original=False, not True"),
    "questions": (lambda s: dict(items=s.items.assign(question=s.items["question"] + " ")),
                  "other questions: choose another folder, or the questions it was made with"),
    "fewer questions": (lambda s: dict(items=s.items.iloc[:-1]), "other questions"),
    "answers": (lambda s: dict(items=s.items.assign(answer=(s.items["answer"] + 1) % 4)), "other questions"),
    "levels": (lambda s: dict(cutoffs={"fame": (-5.2, -4.3)}), "other levels"),
    "hardness": (lambda s: dict(items=reversed_column(s.items, "fame")), "other levels"),
    "clusters": (lambda s: dict(items=reversed_column(s.items, "cluster")), "other levels"),  # its digest holds both
    "data set": (lambda s: dict(items=with_dataset(s.items, "mine")), "with dataset='worldquiz', not 'mine'"),
    "measure": (lambda s: dict(measure="answer_chars"), "with measures=['fame'], not ['answer_chars']"),
}


def with_dataset(items, name):
    items = items.copy()
    items.attrs["dataset"] = name
    return items


def refused(study, folder):
    "The sentence that refuses a study, and how often a model ran before it."
    ran = []
    hooks = [lm.model.register_forward_pre_hook(lambda *args: ran.append(1))
             for lm in (study.lm if isinstance(study.lm, list) else [study.lm])]
    try:
        with pytest.raises(ValueError) as caught: study.run(folder, progress=False)
    finally:
        for hook in hooks: hook.remove()
    return str(caught.value), len(ran)


@pytest.mark.parametrize("what", OTHERS)
def test_another_study_is_refused(store, study, what):
    change, named = OTHERS[what]
    other, before = dataclasses.replace(study, **change(study)), snapshot(store.path)
    said, ran = refused(other, store.path)
    assert ran == 0 and snapshot(store.path) == before
    assert said.startswith(f"{store.path} was made ") and named in said and "\n" not in said


def test_more_of_the_same_study_is_welcome(store, study):
    before = snapshot(store.path)
    more = dataclasses.replace(study, seeds=3, n_train=12, methods=[ICL(2), ICL(1, "random")]).run(store.path, progress=False)
    assert more["run_id"].nunique() == 1 + 3 * 2 * 2
    assert {name: content for name, content in snapshot(store.path).items() if name in before} == before


def test_two_models_of_one_name_in_one_call(study, tiny, tmp_path):
    twins = dataclasses.replace(study, lm=[study.lm, tiny("qwen2", seed=1)])
    said, ran = refused(twins, tmp_path / "run")
    assert ran == 0 and not (tmp_path / "run").exists()
    assert said.startswith("another model called 'tiny' (none, float32)") and "\n" not in said and "lm.name = ..." in said


def test_another_model_of_the_same_name_later(store, study, tiny):
    before, twin = snapshot(store.path), tiny("qwen2", seed=1)
    said, ran = refused(dataclasses.replace(study, lm=twin), store.path)
    assert ran == 0 and snapshot(store.path) == before and str(store.path) in said
    twin.name = "its twin"
    both = dataclasses.replace(study, lm=twin).run(store.path, progress=False)
    assert both.groupby("model")["run_id"].nunique().to_dict() == {"its twin": CELLS, "tiny": CELLS}


def add(store, run_id, **changes):
    "A copy of the first cell with another manifest."
    predictions, manifest = read_cell(first(store))
    write_cell(store.file(run_id), predictions, {**manifest, "run_id": run_id, **changes})


def test_two_models_of_one_name_found_in_a_folder(store):
    add(store, "x", fingerprint="another", seed=9)
    with pytest.raises(ValueError, match=r"two different models are called 'tiny' \(none, float32\) here: .*name"):
        store.records()


def test_code_of_two_versions_is_said(store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.records()
    seed = read_cell(first(store))[1]["seed"]
    add(store, "older", code="of last month", created="2020-01-01")  # replaced by today's: nothing to say
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "older" not in set(store.records()["run_id"])
    add(store, "mixed", code="of last month", seed=seed + 7)
    with pytest.warns(UserWarning, match="were made by different versions of the code: run the study again"):
        assert "mixed" in set(store.records()["run_id"])


@pytest.mark.parametrize("text", [b"", b"{", b'{"n_test": 5', b"null", b"[1, 2]", b"\xff\xfe", b'{"n_test": 5}\x00'])
def test_damaged_settings(store, study, text):
    good = store.settings
    (store.path / "study.json").write_bytes(text)
    before = snapshot(store.path)
    for read in (lambda: store.settings, store.records, lambda: study.run(store.path, progress=False)):
        with pytest.raises(ValueError) as caught: read()
        said = str(caught.value)
        assert str(store.path / "study.json") in said and "\n" not in said and "delete it" in said
    assert snapshot(store.path) == before
    (store.path / "study.json").unlink()  # as it says
    assert study.run(store.path, progress=False)["run_id"].nunique() == CELLS and store.settings == good


@pytest.mark.parametrize("damage", ["first half", "without its end", "empty", "garbage", "noise", None])
def test_damaged_items(store, study, damage):
    whole, file = store.records(), store.path / "items.parquet"
    if damage is None: file.unlink()
    else: file.write_bytes(DAMAGE[damage](file, file.read_bytes()))
    before = snapshot(store.path)
    for read in (lambda: store.items, store.records):
        with pytest.raises(ValueError) as caught: read()
        said = str(caught.value)
        assert str(file) in said and "\n" not in said and "delete study.json" in said
    assert snapshot(store.path) == before
    (store.path / "study.json").unlink()  # as it says
    pd.testing.assert_frame_equal(study.run(store.path, progress=False), whole)


def test_no_bit_of_the_items_flips_unnoticed(store):
    file = store.path / "items.parquet"
    data, rng = file.read_bytes(), np.random.default_rng(0)
    for at, bit in zip(rng.integers(0, len(data), 300), rng.integers(0, 8, 300)):
        file.write_bytes(flip(data, at, bit))
        with pytest.raises(ValueError, match="is missing or damaged"): _ = store.items


def test_items_of_another_study(store, study, tmp_path):
    other = dataclasses.replace(study, cutoffs={"fame": (-5.2, -4.3)}, n_test=3, n_train=5, seeds=1)
    other.run(tmp_path / "other", progress=False)
    shutil.copy(tmp_path / "other" / "items.parquet", store.path / "items.parquet")
    with pytest.raises(ValueError, match="is missing or damaged"): store.records()


def test_a_mistyped_path_stays_empty(tmp_path):
    store = open_store(tmp_path / "wroldquiz" / "run")
    assert store.settings == {} and len(store.cells()) == 0 and store.manifests() == []
    with pytest.raises(ValueError, match="holds no finished cell yet: run the study first"):
        store.records()
    with pytest.raises(ValueError, match="is missing or damaged"):
        _ = store.items
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file, no packed study; give a run folder"):
        open_store(tmp_path / "file")


def test_claimed_twice(store, study, tmp_path):
    before = snapshot(store.path)
    claim(store, study_settings(study), items_table(study))
    assert snapshot(store.path) == before
    (store.path / "study.json").unlink()  # as if stopped between its two files
    claim(store, study_settings(study), items_table(study))
    assert {name: content for name, (content, _) in snapshot(store.path).items()} == {
        name: content for name, (content, _) in before.items()}


def test_packed_and_read_back(store, tmp_path):
    file, records = pack(store, tmp_path / "new" / "one.parquet"), store.records()
    packed = open_store(file)
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["one.parquet"]
    pd.testing.assert_frame_equal(packed.records(), records)
    pd.testing.assert_frame_equal(packed.records(columns=["correct", "seed"], method="icl", seed=1),
                                  store.records(columns=["correct", "seed"], method="icl", seed=1))
    assert packed.settings == store.settings and len(packed.cells()) == CELLS
    pd.testing.assert_frame_equal(packed.items, store.items[store.items["item_id"].isin(records["item_id"])]
                                  .sort_values("item_id", ignore_index=True)[list(packed.items)])
    again = pack(store, tmp_path / "two.parquet")
    assert again.read_bytes() == file.read_bytes()
    plain = pd.read_parquet(file)  # any tool reads it
    assert {"item_id", "correct", "method", "train_on", "fame", "level_fame"} <= set(plain) and len(plain) == len(records)


def test_packed_without_texts_and_rounded(store, tmp_path):
    packed, records = open_store(pack(store, tmp_path / "small.parquet", texts=False, digits=2)), store.records()
    found = packed.records()
    assert "pred" not in found and found["logp_gold"].tolist() == [round(x, 2) for x in records["logp_gold"]]
    assert all(f == [round(x, 2) for x in r] for f, r in zip(found["logprobs"], records["logprobs"]))


def test_packed_without_scores(store, tmp_path):
    small, whole = pack(store, tmp_path / "small.parquet", scores=False), pack(store, tmp_path / "whole.parquet")
    found, records = open_store(small).records(), open_store(whole).records()
    assert not {"logprobs", "logp_gold", "gold", "prior"} & set(found) and len(found.columns) > 10
    pd.testing.assert_frame_equal(found, records[list(found)])
    pd.testing.assert_frame_equal(sgr_table(found), sgr_table(records))
    assert small.stat().st_size < whole.stat().st_size


def test_a_damaged_pack(store, tmp_path):
    file = pack(store, tmp_path / "one.parquet")
    data, rng = file.read_bytes(), np.random.default_rng(0)
    for at, bit in zip(rng.integers(4, len(data) - 8, 100), rng.integers(0, 8, 100)):
        file.write_bytes(flip(data, at, bit))
        with pytest.raises(ValueError): open_store(file).records()


def test_records_of_some_cells(store):
    whole = store.records()
    some = store.records(method="icl", seed=[1], train_on="hard")
    meant = whole.query("method == 'icl' and seed == 1 and train_on == 'hard'")
    assert len(some) and some.equals(meant.reset_index(drop=True))
    assert list(store.records(columns=["item_id", "level"])) == ["item_id", "level"]
    with pytest.raises(ValueError, match="no finished cell with seed=7 yet"): store.records(seed=7)
    with pytest.raises(KeyError, match="cells have no setting 'colour'"): store.records(colour="red")
    with pytest.raises(KeyError, match="knows no measure 'grade'; it has"): store.records("grade")


def crafted(store, **changes):
    "A whole file of ours, sealed again after a change by somebody who knows how."
    file = first(store)
    predictions, manifest = read_cell(file)
    table = pa.Table.from_pandas(predictions, preserve_index=False)
    return file, table, {"e2h.manifest": json.dumps({**manifest, **changes})}


def test_a_pickle_in_the_metadata_is_never_opened(store, tmp_path):
    trace = tmp_path / "opened"
    bomb = f"cbuiltins\nopen\n(V{trace}\nVw\ntR.".encode()  # a pickle that opens a file for writing
    file, table, meta = crafted(store)
    field = pa.field("item_id", pa.string(), metadata={b"ARROW:extension:name": b"arrow.py_extension_type",
                                                       b"ARROW:extension:metadata": bomb})
    schema = pa.schema([field, *list(table.schema)[1:]])
    stored = base64.b64encode(schema.serialize().to_pybytes()).decode()
    for more in ({"pickle": base64.b64encode(bomb).decode()}, {"ARROW:schema": stored}, {"pandas": json.dumps({"index": 1})}):
        file.write_bytes(seal(table, {**meta, **more}))
        with pytest.raises(ValueError, match=f"^{file.name} is refused: its metadata hold .*{list(more)[0]}"): read_cell(file)
    (tmp_path / "bomb").write_bytes(bomb)
    subprocess.run([sys.executable, "-m", "pickle", tmp_path / "bomb"], check=True, capture_output=True)
    assert trace.exists()  # it would have gone off
    trace.unlink()
    with pytest.warns(UserWarning, match="is refused"): assert len(store.cells()) == CELLS - 1
    assert not trace.exists()


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "..", "a/b", "x\x00y"])
def test_a_path_in_a_manifest_leads_nowhere(store, tmp_path, name):
    file, table, meta = crafted(store, run_id=name)
    file.write_bytes(seal(table, meta))
    before = snapshot(tmp_path)
    with pytest.warns(UserWarning, match="it holds another cell than its name says"): records = store.records()
    assert records["run_id"].nunique() == CELLS - 1
    after = snapshot(tmp_path)
    assert set(after) - set(before) == {str((file.with_suffix(".damaged")).relative_to(tmp_path))}


def test_a_path_in_the_settings_leads_nowhere(store, study, tmp_path):
    settings = store.settings | {"dataset": "../../outside"}
    (store.path / "study.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="was made with dataset='../../outside'"): study.run(store.path, progress=False)


def test_a_huge_declared_size_is_refused(store):
    file, table, meta = crafted(store)
    huge = pa.table({"item_id": pa.nulls(60_000_000, pa.int8())})  # 60 million rows in a few hundred bytes
    file.write_bytes(seal(huge, meta))
    assert file.stat().st_size < 200_000
    with pytest.raises(ValueError, match=f"^{file.name} is refused: .* bytes declare 60,000,000 rows"): read_cell(file)
    bomb = pa.table({"item_id": pa.array(["\0" * 200_000_000])})  # compresses to next to nothing
    file.write_bytes(seal(bomb, meta))
    assert file.stat().st_size < 200_000
    with pytest.raises(ValueError, match=f"^{file.name} is refused: .* declare 1 rows of"): read_cell(file)


def test_a_text_a_million_times_is_refused(store):
    file, table, meta = crafted(store)
    many = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3_000_000, "int32")), pa.array(["x" * 1000]))
    file.write_bytes(seal(pa.table({"item_id": many}), meta))
    with pytest.raises(ValueError, match=f"^{file.name} is refused: column 'item_id' would hold 3,000,000,000 bytes"):
        read_cell(file)


ODD = {"no object": [1], "seed": dict(seed="0"), "settings": dict(settings=[1]), "created": dict(created=3),
       "versions": dict(versions=3), "n_train": dict(n_train=None), "measure": dict(measure=["fame"])}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_manifest_is_refused(store, tmp_path, what):
    file, table, meta = crafted(store, **(ODD[what] if isinstance(ODD[what], dict) else {}))
    if what == "no object": meta = {"e2h.manifest": "[1]"}
    file.write_bytes(seal(table, meta))
    with pytest.raises(ValueError, match=f"^{file.name} is damaged: .*its manifest"): read_cell(file)
    packed = pack(store, tmp_path / "one.parquet") if not file.unlink() else None
    whole = open_store(packed)
    cells = [ODD[what]] if what == "no object" else [{**whole.manifests()[0], **ODD[what]}]
    packed.write_bytes(seal(pq.read_table(packed), {"e2h.study": json.dumps(whole.settings), "e2h.cells": squeeze(cells)}))
    with pytest.raises(ValueError, match="^one.parquet is damaged: "): open_store(packed).records()


@pytest.mark.parametrize("change", [[], {}, {"dataset": "worldquiz", "measures": 5}, {"dataset": 1, "measures": ["fame"]}])
def test_odd_settings_of_a_pack_are_refused(store, tmp_path, change):
    packed = pack(store, tmp_path / "one.parquet")
    cells = squeeze(open_store(packed).manifests())
    packed.write_bytes(seal(pq.read_table(packed), {"e2h.study": json.dumps(change), "e2h.cells": cells}))
    with pytest.raises(ValueError, match="^one.parquet is damaged: its study is damaged"): open_store(packed).records()


def test_a_right_answer_that_is_no_choice(store, tmp_path):
    packed = pack(store, tmp_path / "one.parquet")
    table, whole = pq.read_table(packed), open_store(packed)
    at = table.column_names.index("gold")
    meta = {"e2h.study": json.dumps(whole.settings), "e2h.cells": squeeze(whole.manifests())}
    packed.write_bytes(seal(table.set_column(at, "gold", pa.array([99] * len(table))), meta))
    with pytest.raises(ValueError, match="^one.parquet is damaged: "): open_store(packed).records()


def test_a_pack_is_read_only(store, study, tmp_path):
    packed = pack(store, tmp_path / "one.parquet")
    with pytest.raises(ValueError, match="is a packed study, which is read only"): study.run(packed, progress=False)
    assert store.pack(tmp_path / "two.parquet").read_bytes() == packed.read_bytes()


def test_measures_with_names_of_columns(items, tiny, tmp_path):
    "Left out where they are only there, refused where they are asked for."
    odd = items.assign(gold=1., seed=np.arange(len(items)) * 1., n_tokens=2.)
    odd.attrs = items.attrs
    study = Study(odd, tiny("qwen2"), "fame", ICL(2), n_test=5, seeds=1)
    study.run(tmp_path / "run", progress=False)
    store = open_store(tmp_path / "run")
    pd.testing.assert_frame_equal(open_store(store.pack(tmp_path / "one.parquet")).records(), store.records())
    with pytest.raises(ValueError, match="a measure cannot be called 'seed', a column of records"):
        dataclasses.replace(study, measure="seed", n_test=3).run(tmp_path / "other", progress=False)


def test_several_studies_in_one_folder(original, tmp_path):
    for name in ("a", "b"): shutil.copytree(original, tmp_path / "all" / name)
    both, one = open_store(tmp_path / "all"), open_store(original).records()
    assert len(both.records()) == 2 * len(one)
    shutil.rmtree(tmp_path / "all" / "b" / "cells")  # as if stopped before its first cell
    assert both.records().equals(one) and both.records(dataset="worldquiz").equals(one)
    with pytest.raises(KeyError, match="no study in .* knows measure 'grade'; they have"): both.records("grade")
    with pytest.raises(ValueError, match="holds several studies: pack each"): both.pack(tmp_path / "one.parquet")


def test_a_damaged_study_among_several_is_not_left_out(original, tmp_path):
    for name in ("a", "b"): shutil.copytree(original, tmp_path / "all" / name)
    both, file = open_store(tmp_path / "all"), tmp_path / "all" / "b" / "items.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="items.parquet is missing or damaged"): both.records()
    file.write_bytes(whole)
    add(open_store(tmp_path / "all" / "b"), "x", fingerprint="another", seed=9)
    with pytest.raises(ValueError, match="two different models are called 'tiny'"): both.records()
    (tmp_path / "all" / "b" / "study.json").write_text("{}")
    with pytest.raises(ValueError, match="study.json is damaged"): both.records()


def test_manifests_that_swell(store, tmp_path):
    file = pack(store, tmp_path / "one.parquet")
    text = base64.b64encode(zlib.compress(b"[" + b" " * 300_000_000 + b"]", 9)).decode()
    file.write_bytes(seal(pq.read_table(file), {"e2h.study": json.dumps(store.settings), "e2h.cells": text}))
    with pytest.raises(ValueError, match="hold more than 268,435,456 bytes"): open_store(file).records()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_failed_block_leaves_nothing(tmp_path, error):
    file = tmp_path / "a.txt"
    with pytest.raises(error):
        with atomic(file) as path:
            path.write_text("half")
            raise error
    assert list(tmp_path.iterdir()) == []
    with atomic(file) as path: path.write_text("whole")
    with pytest.raises(error):
        with atomic(file) as path:
            path.write_text("half of the next")
            raise error
    assert snapshot(tmp_path).keys() == {"a.txt"} and file.read_text() == "whole"


def test_a_failed_move_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        with atomic(tmp_path / "taken") as path: path.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"] and (tmp_path / "taken").is_dir()


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path):
    store = open_store(tmp_path / "run")
    mixed = pd.DataFrame({"item_id": ["a", 1]})
    with pytest.raises(Exception, match="item_id"):
        write_cell(store.file("c"), mixed, {"run_id": "c"})
    assert snapshot(tmp_path) == {}
