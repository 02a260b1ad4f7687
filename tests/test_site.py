"""The site as a reader meets it: built once, served from this machine, and every page opened once in Chromium.

A page is measured as it loads, then under the other theme, then at the width of a telephone.
"""
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from nbformat import v4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import docs  # noqa: E402
import notebooks  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}

# Text that is hard to read: the colour of each kind of element that has text of its own, against what lies behind it.
CONTRAST = r"""() => {
  const rgba = s => { const n = (s.match(/[\d.]+(e-\d+)?/g) || [0, 0, 0, 0]).map(Number);
    return [...(s.startsWith("color(") ? n.slice(0, 3).map(x => 255 * x) : n.slice(0, 3)), n.length > 3 ? n[3] : 1]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = c => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => { const v = c[i] / 255;
    return sum + w * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
  const behind = e => { if (!e) return [255, 255, 255, 1]; const c = rgba(getComputedStyle(e).backgroundColor);
    return c[3] === 1 ? c : over(c, behind(e.parentElement)); };
  const faint = e => e ? getComputedStyle(e).opacity * faint(e.parentElement) : 1;
  const kind = e => [e.tagName, e.className.baseVal ?? e.className, e.getAttribute("style"), /^T_/.test(e.id) && e.id];
  const seen = new Set(), bad = [];
  for (const e of document.querySelectorAll("main *, nav *, footer *, #TOC *, #quarto-margin-sidebar *")) {
    const text = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join("");
    const key = text && String([e, e.parentElement, e.parentElement.parentElement].map(kind));
    if (!text || seen.has(key) || !e.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    seen.add(key);
    const style = getComputedStyle(e), size = parseFloat(style.fontSize), back = behind(e), front = rgba(style.color);
    front[3] *= faint(e);
    const [a, b] = [light(over(front, back)), light(back)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    if (ratio < (size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5))
      bad.push(`${ratio.toFixed(2)} ${e.tagName}.${e.className} "${text.slice(0, 30)}"`);
  }
  return bad; }"""

# What sticks out at the right without a box of its own to scroll in.
TOO_WIDE = r"""() => {
  const boxed = e => e !== document.body && (/auto|scroll/.test(getComputedStyle(e).overflowX) || boxed(e.parentElement));
  const wide = [...document.querySelectorAll("header *, main *, footer *")].filter(e =>
    e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1 && !boxed(e));
  const page = document.documentElement.scrollWidth;
  return [...(page > innerWidth ? [`the page is ${page} wide`] : []),
          ...wide.slice(0, 3).map(e => `${e.tagName}.${e.className} "${e.textContent.trim().slice(0, 30)}"`)]; }"""

IMAGES = r"""async () => {
  const images = [...document.querySelectorAll("main img")];
  await Promise.all(images.map(i => { i.loading = "eager"; return i.decode().catch(() => 0); }));
  return images.filter(i => !i.alt.trim() || !i.naturalWidth).map(i => `"${i.alt}" ${i.src.slice(0, 60)}`); }"""

RAW_TEX = r"""() => {
  const found = [], walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) if (!walk.currentNode.parentElement.closest("pre, code, script, style, .dataframe")
    && /\$[^\s$][^$]*\$|\\[(\[a-zA-Z]/.test(walk.currentNode.data)) found.push(walk.currentNode.data.slice(0, 60));
  return found.concat([...document.querySelectorAll("merror")].map(e => e.textContent)); }"""

BACKGROUND = "getComputedStyle(document.body).backgroundColor"
DARK = "!!document.querySelector('.quarto-dark')"  # which styles.css goes by


@pytest.fixture(scope="session")
def built():
    "Builds the site -> the finished process."
    return subprocess.run([sys.executable, "tools/docs.py"], cwd=ROOT, text=True, capture_output=True)


@pytest.fixture(scope="session")
def address(built):
    "Serves _docs on a free port -> its address."
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args): pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=docs.OUT))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="session")
def tab():
    "A tab of Chromium; a missing browser is a skip that says so."
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM: pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    with api.sync_playwright() as p:
        root = os.geteuid() == 0  # Chromium refuses its sandbox to root
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if root else [])
        page = browser.new_page(viewport=DESK, color_scheme="light", reduced_motion="reduce")
        page.set_default_timeout(10_000)
        yield page
        browser.close()


def toggle(tab):
    "Click the theme toggle and wait for the page to change -> the background."
    before = tab.evaluate(f"[{BACKGROUND}, {DARK}]")
    tab.locator(".quarto-color-scheme-toggle").first.click()
    tab.wait_for_function(f"([colour, dark]) => {BACKGROUND} !== colour && {DARK} !== dark", arg=before)
    return tab.evaluate(BACKGROUND)


@pytest.fixture(scope="session")
def visits(address, tab):
    "What is wrong with each page of the site, and its formulas and themes: {page: {kind: findings}}."
    noise = {"console": [], "foreign": []}
    tab.on("console", lambda m: noise["console"].append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda e: noise["console"].append(str(e)))
    tab.on("requestfailed", lambda r: noise["console"].append(f"{r.url} {r.failure}"))
    tab.on("response", lambda r: noise["console"].append(f"{r.status} {r.url}") if r.status >= 400 else None)
    tab.on("request", lambda r: None if r.url.startswith((address, "data:")) else noise["foreign"].append(r.url))
    found = {}
    for file in sorted(docs.OUT.rglob("*.html")):
        for seen in noise.values(): seen.clear()
        tab.set_viewport_size(DESK)
        tab.goto(address + str(file.relative_to(docs.OUT)), wait_until="load")
        one = {"images": tab.evaluate(IMAGES), "tex": tab.evaluate(RAW_TEX), "themes": [tab.evaluate(BACKGROUND)],
               "formulas": tab.locator("main math").count(), "contrast": tab.evaluate(CONTRAST)}
        one["themes"].append(toggle(tab))
        one["contrast"] += tab.evaluate(CONTRAST)
        tab.set_viewport_size(PHONE)
        one["wide"] = tab.evaluate(TOO_WIDE)
        found[str(file.relative_to(docs.OUT))] = {**one, **{k: list(v) for k, v in noise.items()}}
    return found


def test_the_site_builds_without_problems(built):
    assert built.returncode == 0, built.stdout + built.stderr
    assert list(docs.broken_links()) == []


@pytest.mark.parametrize("kind", ["console", "foreign", "images", "tex", "contrast", "wide"])
def test_no_page_has_findings(visits, kind):
    assert {page: one[kind] for page, one in visits.items() if one[kind]} == {}


def test_every_page_has_two_themes(visits):
    assert {tuple(sorted(one["themes"])) for one in visits.values()} == {("rgb(255, 255, 255)", "rgb(34, 34, 34)")}


def test_formulas_are_mathml(visits):
    written = {str(docs.page_name(p.relative_to(ROOT / "nbs"))) for p in notebooks.notebooks()
               if any("$$" in c.source for c in v4.reads(p.read_text("utf-8")).cells if c.cell_type == "markdown")}
    assert len(written) > 3 and {page for page in written if not visits[page]["formulas"]} == set()


def test_the_theme_is_kept_on_the_next_page(address, tab, visits):
    tab.set_viewport_size(DESK)
    tab.goto(address)
    chosen = toggle(tab)
    tab.goto(f"{address}api/sgr.html")
    assert tab.evaluate(BACKGROUND) == chosen


def test_search_leads_to_the_page(address, tab, built):
    tab.set_viewport_size(DESK)
    tab.goto(address)
    for _ in range(2):  # both themes
        toggle(tab)
        tab.locator("#quarto-search input").fill("")
        tab.locator("#quarto-search input").fill("sgr")
        tab.locator(".search-result-text").first.wait_for()
        assert tab.evaluate(CONTRAST) == []
    found = tab.locator("#quarto-search a[href*='api/sgr.html']").first
    found.evaluate("link => link.click()")  # at once: between press and release the list may be renewed
    tab.wait_for_url("**/api/sgr.html*")


@pytest.mark.parametrize("words, first, among", [
    ("sgr_table", "api/tables.html#sgr_table", "paper/easy_to_hard.html"),  # a function by its name, then prose
    ("Fieller", None, "about/related_work.html"), ("GPU cost", None, "guides/cluster.html"),
    ("fieler", None, "api/sgr.html")])  # what stands nowhere is looked for in words that are spelt alike
def test_search_looks_for_every_word(address, tab, built, words, first, among):
    tab.goto(address)
    tab.locator("#quarto-search input").fill(words)
    tab.locator(".search-result").first.wait_for()
    places = [one.get_attribute("href") for one in tab.locator(".search-result").all()]
    assert any(among in place for place in places) and (first is None or places[0].endswith(first))
    assert not any("#teller" in place for place in places)  # a class that is spelt like Fieller


def test_a_wide_figure_can_be_read_on_a_phone(address, tab, built):
    tab.set_viewport_size(PHONE)
    tab.goto(f"{address}paper/the_question.html")
    box = tab.locator("main .full-size img").first.bounding_box()
    assert box["height"] >= 200 and box["width"] > PHONE["width"] and tab.evaluate(TOO_WIDE) == []
    picture = tab.locator("main .full-size").first.get_attribute("href")
    assert tab.request.get(f"{address}paper/{picture}").headers["content-type"] == "image/png"


def test_printed_sentences_wrap(address, tab, built):
    tab.set_viewport_size(DESK)
    tab.goto(address)
    boxes = tab.evaluate("[...document.querySelectorAll('main pre.prose')].map(e => [e.scrollWidth, e.clientWidth])")
    assert boxes and all(wide <= box for wide, box in boxes)


def explore_data():
    "What the interactive page reads."
    return json.loads((ROOT / "nbs" / "explore_data.js").read_text("utf-8").removeprefix("window.e2hExplore = ")[:-2])


def test_intervals_in_cells_stay_whole(built):
    cells = {"<td>+8.0 [+5.6, +10.3]</td>": "<td>+8.0 [+5.6,&nbsp;+10.3]</td>",
             '<td class="data">122% [101, 167]</td>': '<td class="data">122% [101,&nbsp;167]</td>'}
    for cell, whole in cells.items(): assert docs.unbroken(f"<p>[1, 2]</p>{cell}") == f"<p>[1, 2]</p>{whole}"
    for other in ("<td>[1, 2, 3]</td>", "<code>x[1, 2]</code>", "<td>word [a, b]</td>"): assert docs.unbroken(other) == other
    assert ",&nbsp;" in (docs.OUT / "paper" / "easy_to_hard.html").read_text("utf-8")


def test_the_interactive_page_follows_its_controls(address, tab, built):
    found = explore_data()
    tab.set_viewport_size(DESK)
    tab.goto(f"{address}explore.html")
    for entry in found["entries"][::2]:
        tab.locator("#explore-data").select_option(f"{entry['data']}, {entry['measure']}")
        tab.locator("#explore-method").select_option(entry["method"])
        tab.locator("#explore-easy").select_option("0.05")
        tab.locator("#explore-hard").select_option("0.1")
        tab.locator("#explore-cost").fill("4")
        which = found["errors"].index([.05, .1])
        difference, low, high = entry["prices"][which][4]
        said = tab.locator("#explore-buy").inner_text().replace("−", "-")
        shown = [float(number) for number in re.findall(r"[+-]\d+\.\d", said)]
        assert np.allclose(shown, [100 * difference, 100 * low, 100 * high], atol=.051)  # as rounded there
        assert ("easy labels" in said, "hard labels are" in said) == (low > 0, high < 0)
        assert (entry["sgr"][which]["regime"] == "ok") == (
            "recovered: not given" not in tab.locator("#explore-ratio").inner_text())
        assert tab.locator("#explore-figure circle").count() == len(found["costs"])


def test_the_numbers_of_the_interactive_page_are_those_of_the_runs():
    spec = importlib.util.spec_from_file_location("explore", ROOT / "tools" / "explore.py")
    explore = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(explore)
    found = explore_data()
    words = explore.MEASURE_WORDS
    results = ROOT / "nbs/paper/results"
    there = {(data, words[by]) for (data, by), name in explore.CURVES.items() if (results / f"{name}.parquet").exists()}
    assert {(e["data"], e["measure"]) for e in found["entries"]} == there
    again = next(explore.entries("World Quiz", "hops", ROOT / "nbs/paper/results/worldquiz_hops.parquet"))
    assert json.loads(json.dumps(again)) == next(e for e in found["entries"] if e["measure"] == words["hops"])


def test_every_notebook_runs_in_colab(built):
    commit = docs.commit("main")
    for path in notebooks.notebooks():
        page = docs.page_name(path.relative_to(ROOT / "nbs"))
        [copy] = re.findall(r'href="https://colab[^"]*/gh-pages/(colab/[^"]*)"', (docs.OUT / page).read_text("utf-8"))
        cells = v4.reads((docs.OUT / copy).read_text("utf-8")).cells
        assert f"git checkout -q {commit} &&" in cells[0].source and f"nbs/{page.parent}" in cells[0].source
        assert [c.source for c in cells[1:]] == [c.source for c in v4.reads(path.read_text("utf-8")).cells]
        assert not any(c.get("outputs") for c in cells)


def test_a_page_of_the_api_shows_sources_and_links_its_code(built):
    page = (docs.OUT / "api/sgr.html").read_text("utf-8")
    sources = re.findall(r"<summary>Source</summary>(.*?)</details>", page, re.S)
    assert len(sources) == page.count(">source</a>") > 20 and "def</span>" in sources[0]
    assert 'href="../api/tables.html#sgr_table">sgr_table</a>' in (docs.OUT / "guides/own_data.html").read_text("utf-8")


def test_the_page_of_figures_has_every_figure(built):
    shown = sum(cell.get("outputs", []) != [] and len(list(docs.figures_of(cell))) for path in notebooks.notebooks()
                for cell in v4.reads(path.read_text("utf-8")).cells if cell.cell_type == "code")
    assert (docs.OUT / "about/figures.html").read_text("utf-8").count("<img ") == shown > 40


def test_the_measurements_find_what_is_wrong(tab):
    "A page with one fault of each kind."
    tab.set_viewport_size(PHONE)
    tab.set_content("""<main style="background: #777"><p style="color: #888">grey on grey</p><p>cost: $x$ and \\alpha</p>
      <div style="width: 600px">wide</div><div style="overflow-x: auto"><div style="width: 600px">boxed</div></div>
      <img src="data:image/png;base64,AA" alt="broken"></main>""")
    assert [len(tab.evaluate(x)) for x in (CONTRAST, RAW_TEX, IMAGES)] == [1, 1, 1]
    assert len(tab.evaluate(TOO_WIDE)) == 2 and "boxed" not in str(tab.evaluate(TOO_WIDE))
