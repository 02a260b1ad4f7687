"""A run folder keeps what is whole, sets aside what is damaged, and refuses what belongs to another study."""
import base64
import dataclasses
import errno
import io
import os
import re
import shutil
import warnings

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from e2h.data import load_items
from e2h.icl import ICL
from e2h.store import atomic, claim, finished, intact, open_store, pack, read_cell, write_cell
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
    "Every file with its bytes and its time."
    return {str(f.relative_to(folder)): (f.read_bytes(), f.stat().st_mtime_ns) for f in folder.rglob("*") if f.is_file()}


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


def footer_start(data):
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def manifest_spot(data):
    "Where a digit of the fingerprint stands in the footer's Arrow schema, which is base64."
    begin = re.search(rb"ARROW:schema[^A-Za-z0-9+/]+", data).end()
    schema = base64.b64decode(re.match(rb"[A-Za-z0-9+/]+=*", data[begin:])[0])
    return begin + (schema.index(b'"fingerprint": "') + 20) * 4 // 3


def rewritten(file, change):
    "The same table with other metadata."
    table, buffer = pq.read_table(file), io.BytesIO()
    pq.write_table(table.replace_schema_metadata(change(table.schema.metadata)), buffer)
    return buffer.getvalue()


DAMAGE = {
    "data page": lambda file, data: flip(data, page_end(file)),
    "last data page": lambda file, data: flip(data, page_end(file, -1), 7),
    "dictionary page": lambda file, data: flip(data, columns(file)[0].data_page_offset - 1),
    "manifest in the footer": lambda file, data: flip(data, manifest_spot(data)),
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


def test_no_bit_of_the_data_flips_unnoticed(store):
    "Either a flip is found out, or it was in a part of a page's head that changes nothing."
    file = first(store)
    data, (whole, manifest) = file.read_bytes(), read_cell(file)
    rng, noticed = np.random.default_rng(0), 0
    for at, bit in zip(rng.integers(0, footer_start(data), 500), rng.integers(0, 8, 500)):
        file.write_bytes(flip(data, at, bit))
        try:
            found = read_cell(file)
            assert found[0].equals(whole) and found[1] == manifest, (at, bit)
        except ValueError as e:
            assert str(e).startswith(f"{file.name} is damaged: ")
            noticed += 1
    assert noticed > 350


def changed_footers(file, positions):
    "Cells that are read as something else after one bit in these bytes was flipped."
    data, (whole, manifest) = file.read_bytes(), read_cell(file)
    for at in positions:
        for bit in range(8):
            file.write_bytes(flip(data, at, bit))
            try:
                found, known = read_cell(file)
            except ValueError:
                continue
            if known != manifest or not found.equals(whole): yield at, bit, len(found), dict(found.dtypes)


def test_lost_rows_are_noticed(store):
    file = first(store)
    data, n_rows = file.read_bytes(), len(read_cell(file)[0])
    varint = bytes([n_rows * 2]) if n_rows < 64 else bytes([n_rows * 2 % 128 + 128, n_rows * 2 // 128])
    start = footer_start(data)
    places = [at for at in range(start, len(data) - 8) if data[at:at + len(varint)] == varint]
    assert places and not list(changed_footers(file, [at + n for at in places for n in range(len(varint))]))


def test_changed_types_are_noticed(store):
    file = first(store)
    start = footer_start(file.read_bytes())
    assert not list(changed_footers(file, range(start, start + 240)))


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_trouble_of_the_system_is_not_damage(store, monkeypatch, code):
    def refuse(*args, **kwargs): raise OSError(code, os.strerror(code))

    before = snapshot(store.path)
    monkeypatch.setattr(pq, "read_table", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OSError) as caught:
            finished(store)
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
        starved(lambda: intact(file))
    assert caught.value.errno == errno.EMFILE and snapshot(store.path) == before
    assert len(intact(file)[0])


def test_items_and_too_many_open_files(store):
    with pytest.raises(OSError):
        starved(lambda: store.items)


def reversed_column(items, name):
    return items.assign(**{name: items[name].to_numpy()[::-1]})


OTHERS = {  # what is different: how, and what the sentence has to name
    "n_test": (lambda s: dict(n_test=6), "with n_test=5, not 6"),
    "no n_test": (lambda s: dict(n_test=None), "with n_test=5, not None"),
    "original": (lambda s: dict(original=True), "with original=False, not True"),
    "questions": (lambda s: dict(items=s.items.assign(question=s.items["question"] + " ")), "other questions"),
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
    predictions, manifest = finished(store)[0]
    write_cell(store.file(run_id), predictions, {**manifest, "run_id": run_id, **changes})


def test_two_models_of_one_name_found_in_a_folder(store):
    add(store, "x", fingerprint="another", seed=9)
    with pytest.raises(ValueError, match=r"two different models are called 'tiny' \(none, float32\) here: .*name"):
        store.records()


def test_code_of_two_versions_is_said(store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.records()
    seed = finished(store)[0][1]["seed"]
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
    data, whole, rng = file.read_bytes(), store.items, np.random.default_rng(0)
    for at, bit in zip(rng.integers(0, len(data), 300), rng.integers(0, 8, 300)):
        file.write_bytes(flip(data, at, bit))
        try: found = store.items
        except ValueError as e: assert str(file) in str(e)
        else: pd.testing.assert_frame_equal(found, whole)


def test_a_mistyped_path_stays_empty(tmp_path):
    store = open_store(tmp_path / "wroldquiz" / "run")
    assert store.settings == {} and len(store.cells()) == 0 and finished(store) == []
    with pytest.raises(ValueError, match="holds no finished cell yet: run the study first"):
        store.records()
    with pytest.raises(ValueError, match="is missing or damaged"):
        _ = store.items
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; a study needs a folder of its own"):
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
    records = store.records()
    packed = pd.read_parquet(pack(store, tmp_path / "new" / "one.parquet"))
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["one.parquet"]
    key = ["run_id", "item_id"]
    records, packed = (frame.sort_values(key, ignore_index=True) for frame in (records, packed))
    assert len(packed) == len(records) and "logp_gold" not in packed
    gold = [row[at] for row, at in zip(packed["logprobs"], packed["gold"])]
    assert gold == [round(x, 2) for x in records["logp_gold"]]
    assert all(list(p) == [round(x, 2) for x in r] for p, r in zip(packed["logprobs"], records["logprobs"]))
    same = ["pred", "correct", "method", "settings", "train_on", "seed", "cluster", "value", "model", "n_dropped"]
    pd.testing.assert_frame_equal(packed[key + same], records[key + same], check_dtype=False)
    assert packed["level"].astype(object).equals(records["level"].astype(object))
    made, cells = packed.attrs["made"], store.cells()
    assert made["cells"] == CELLS and made["fingerprints"] == [cells["fingerprint"][0]] and made["n_test"] == 5
    assert made["from"] == min(cells["created"]) and made["to"] == max(cells["created"])


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
