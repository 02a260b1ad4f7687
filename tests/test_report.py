"""The report page and the figures, on a made-up study whose truth is known."""
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from e2h.plots import bin_centres, figure_svg, hardness_bins, plot_accuracy, plot_hardness, plot_levels, plot_sgr
from e2h.report import inline_svg, methods_paragraph, report
from e2h.sgr import BASE, sentence, sgr_table, simulate_records
from e2h.store import claim, open_store, write_cell

NASTY = '<script>alert("x")</script> & "quoted"'
LOSSES = {"probe": .8, "qlora": [1.4, .6]}


def make_store(folder, records, measure="fame"):
    "A real run folder with made-up answers."
    store, rng = open_store(folder), np.random.default_rng(0)
    items = records.drop_duplicates("item_id")[["item_id", "cluster", "level", "value"]]
    claim(store, {"dataset": "simulated", "measures": [measure], "n_test": 300, "levels": "none"},
          items.rename(columns={"value": measure, "level": f"level_{measure}"}))
    for run_id, rows in records.groupby("run_id", sort=False):
        first, n_train = rows.iloc[0], int(rows["n_train"].iloc[0])
        log = {} if not n_train else {"shown": ["right"] * 10} if n_train == 10 else {"loss": LOSSES[first["method"]]}
        write_cell(store.file(run_id), rows[["item_id", "pred", "correct"]], {
            **{name: first[name] for name in [*BASE, "method", "train_on"]}, "settings": json.loads(first["settings"]),
            "n_train": n_train, "seed": int(first["seed"]), "noise": 0., "measure": measure if n_train else None,
            "run_id": run_id, "n_test": len(rows), "seconds": 2.5, "peak_mb": 900, "fingerprint": "0123abcd",
            "train_ids": rng.choice(items["item_id"], n_train).tolist(), "log": log,
            "versions": {"e2h": "0.1.0", "numpy": "2"}, "created": "2026-01-01"})
    return store


def with_texts(items):
    return items.assign(question=[f"Question {n}: {NASTY}?" for n in range(len(items))], answer=0,
                        choices=[["right", "wrong", "<b>neither</b>", "both"]] * len(items))


@pytest.fixture(scope="module")
def records():
    world = simulate_records(n_items=150, n_seeds=3)
    flat = simulate_records(n_items=150, n_seeds=2, accuracies={"qlora": (.45, .45)}, seed=1).assign(quant="nf4")
    flat["run_id"] = "nf4-" + flat["run_id"]  # its own zero-shot, on the nf4 base
    return pd.concat([world, flat], ignore_index=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory, records): return make_store(tmp_path_factory.mktemp("run"), records)


def test_a_measure_of_ones_own_keeps_its_name(tmp_path, records):
    "ARC's difficulty is that of experts; a column of that name in other data is not."
    store = make_store(tmp_path / "own", records, "difficulty")
    text = report(store).read_text("utf-8")
    assert text.count("difficulty (harder to the right)") == 2 and "expert" not in text


@pytest.fixture(scope="module")
def page(store): return report(store, items=with_texts(store.items)).read_text(encoding="utf-8")


class Page(HTMLParser):
    "Collects ids, links, and whether tags close."
    VOID = {"meta", "link", "br", "hr", "img", "input"}

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.open, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if "id" in attrs: self.ids.append(attrs["id"])
        for name in ("href", "src", "xlink:href"):
            if name in attrs: self.links.append(attrs[name])
        if tag not in self.VOID: self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID: self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_in_the_store_and_is_self_contained(store, page):
    assert (store.path / "report.html").exists()
    parsed = Page(page)
    assert parsed.open == []
    assert all(link.startswith("#") for link in parsed.links)
    assert not re.search(r"url\((?!#)", page) and "@import" not in page
    assert not [tag for tag, _ in parsed.tags if tag in ("script", "iframe", "object", "link", "img")]


def test_ids_are_unique_and_every_link_leads_somewhere(page):
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {link[1:] for link in parsed.links} <= set(parsed.ids)
    assert any(link.startswith("#shots-") for link in parsed.links)


def test_texts_from_data_are_escaped(page):
    assert NASTY not in page and "&lt;script&gt;" in page and "<b>neither" not in page


def test_the_page_holds_table_figures_questions_and_methods(page, records):
    assert "gap not separated" in page and "Linear probe (n = 160)" in page and "QLoRA (n = 160)" in page
    assert page.count("<svg") == 4
    figures = [attrs for _, attrs in Page(page).tags if attrs.get("role") == "img"]
    assert len(figures) == 4 and all(len(attrs["aria-label"]) > 15 for attrs in figures)
    assert page.count('class="choices"') == 60  # 20 items of each of three levels
    assert "All arms of a seed answered the same hard test items" not in page  # qlora's folds differ here
    for words in ("0123abcd", "loss 1.40 to 0.60", "loss 0.80", "prefers-color-scheme: dark", 'name="viewport"'):
        assert words in page


def test_without_items_no_question_text_is_shown(tmp_path, store):
    text = report(store, tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    assert "Question 0" not in text and "A run folder holds no questions" in text


def test_the_page_is_the_same_each_time(tmp_path, store):
    named = ((store, "a.html"), (str(store.path), "b.html"))
    first, second = (report(of, tmp_path / name).read_bytes() for of, name in named)
    assert first == second


@pytest.mark.parametrize("keep", ["method == 'zeroshot'", "train_on != 'hard'",
                                  "method == 'zeroshot' or level != 'hard'"])
def test_an_unfinished_run_still_has_a_page(tmp_path, records, keep):
    partial = make_store(tmp_path, records.query(keep))
    page = report(partial, items=with_texts(partial.items)).read_text(encoding="utf-8")
    assert "No comparison yet" in page and "nothing to compare" in page


def test_the_methods_paragraph_follows_the_records(records):
    world = records.query("quant == 'none'")
    items, table = world.drop_duplicates("item_id"), sgr_table(world)
    text = methods_paragraph(world, items, table, "fame")
    assert "150 easy, 150 medium, 150 hard items by fame" in text and "Fieller's" in text
    tested = world.query("level == 'hard' and method != 'zeroshot'")["item_id"].nunique()
    assert f"All arms of a seed answered the same hard test items; over the seeds {tested} different ones" in text
    assert f"zero-shot {table['zero_shot'][0]:.1%}" in text
    grouped = world.assign(cluster=world["item_id"].str[-1])
    assert "10 clusters of items" in methods_paragraph(grouped, items, table, "fame")


def test_headlines_name_the_regime(records):
    row = dict(sgr_table(records).iloc[0])
    assert "easy data recovered" in sentence(row | {"regime": "ok"})
    assert "not separated from zero" in sentence(row | {"regime": "gap not separated"})
    assert "lower accuracy" in sentence(row | {"regime": "reversed"})


def test_figures_give_the_same_bytes(records):
    for draw in (plot_hardness, plot_accuracy):
        assert figure_svg(draw(records)) == figure_svg(draw(records))


def test_a_bar_is_as_high_as_the_accuracy(records):
    axes = plot_accuracy(records).axes
    rows = records.query("method == 'icl' and train_on == 'easy' and level == 'hard'")
    zero = records.query("method == 'zeroshot' and quant == 'none' and level == 'hard'")
    zero = zero[zero["item_id"].isin(records.query("train_on != 'none' and quant == 'none' and level == 'hard'")["item_id"])]
    assert [bar.get_height() for bar in axes[0].patches][:2] == pytest.approx(
        [100 * zero["correct"].mean(), 100 * rows["correct"].mean()])
    assert len(axes) == 4  # icl, placebo, probe, qlora


def test_hardness_is_drawn_over_the_items_that_were_tested(records):
    more = records.query("method == 'zeroshot'").assign(correct=0, cluster=None)
    more["item_id"] = "untested/" + more["item_id"]
    for draw in (plot_hardness, plot_accuracy):
        assert figure_svg(draw(pd.concat([records, more]))) == figure_svg(draw(records))
    assert plot_hardness(records).get_suptitle() == plot_hardness(pd.concat([records, more])).get_suptitle()


def test_chance_is_drawn_and_said_where_records_tell_it(records):
    known = records.assign(n_chars=[[3, 4, 5, 6]] * len(records))
    figure = plot_accuracy(known)
    assert "chance" in [text.get_text() for text in figure.axes[-1].texts]
    assert "chance" not in [text.get_text() for text in plot_accuracy(records).axes[-1].texts]
    assert all("chance 25.0%" in line for line in sgr_table(known).describe().splitlines())
    assert "chance" not in sgr_table(records).describe()


def test_a_sentence_says_how_many_labels_are_wrong(records):
    assert "QLoRA (n = 160) with 20% wrong labels" in sgr_table(records.assign(noise=records["noise"].where(
        records["method"] != "qlora", .2))).describe()


def test_plot_sgr_takes_records_or_a_table_and_writes_words(records):
    table = sgr_table(records)
    for figure in (plot_sgr(records), plot_sgr(table)):
        words = [text.get_text() for text in figure.axes[0].texts]
        assert "gap not separated" in words
        assert [label.get_text() for label in figure.axes[0].get_yticklabels()][2] == "QLoRA (n = 160), nf4"
    endless = table.assign(low=-np.inf, high=np.inf, regime="ok", sgr=table["sgr"].fillna(40.))
    assert "<svg" in figure_svg(plot_sgr(endless))


def test_bins_hold_equally_many_items(records):
    zero = records.query("method == 'zeroshot' and quant == 'none'")
    points = hardness_bins(zero, bin_centres(records, bins=5))
    assert points["n_items"].tolist() == [90] * 5
    assert np.average(points["accuracy"], weights=points["n_items"]) == pytest.approx(zero["correct"].mean())
    assert points["value"].is_monotonic_increasing


def test_items_without_a_value_are_not_drawn(records):
    holes = records.assign(value=records["value"].where(records["level"] != "easy"))
    zero = holes.query("method == 'zeroshot' and quant == 'none'")
    assert hardness_bins(zero)["n_items"].sum() == 300


def test_bad_input_to_figures_is_named(records):
    with pytest.raises(ValueError, match="no answer to extreme items"): plot_accuracy(records, test="extreme")
    with pytest.raises(KeyError, match="column 'value' is missing"): plot_hardness(records.drop(columns="value"))
    with pytest.raises(ValueError, match="only zero-shot"): plot_accuracy(records.query("method == 'zeroshot'"))


def test_svg_of_a_page_takes_its_text_colour(store):
    svg = inline_svg(plot_levels(store.records().drop_duplicates("item_id")), "levels")
    assert "currentColor" in svg and 'id="levels-' in svg
    assert set(re.findall(r'(?:url\(|href=")#(\w+)-', svg)) <= {"levels"}
