"""The report in a browser: it opens from disk, alone, works by mouse and keyboard, and is accessible.

Chromium is the system's, headless; without it, or without its driver, every test here is skipped.
axe-core judges contrast, names and structure (https://github.com/dequelabs/axe-core).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import SETTINGS, key, overflowing, planned, profiled, tally_of, witness

from reports.folder import write
from reports.page import first_screen
from reports.record.ledger import Ledger
from reports.record.tally import Tally
from reports.record.witness import CellKey
from reports.rundata import build

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = [
    name
    for name, found in {
        "chromium": CHROMIUM,
        "chromedriver": DRIVER,
        "selenium": importlib.util.find_spec("selenium"),
        "axe-core-python": importlib.util.find_spec("axe_core_python"),
    }.items()
    if not found
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

EVIL = "<script>alert(1)</script>"
NARROW, WIDE = 390, 1280


# Runs ------------------------------------------------------------------------------------------


def defects() -> dict[CellKey, Tally]:
    """Two candidates, one named as an attack, with failures of every kind in two formats."""
    tallies = {}
    for fmt in ("float32", "float16"):
        for length in (1, 8, 1024):
            bad, good = (
                key(EVIL, "exp-overflow", length, fmt),
                key("max_shifted", "exp-overflow", length, fmt),
            )
            failed = overflowing(bad, [0.25, 3.5, 2.0**40], rows=10, failed=3)
            leak = witness(bad, "mask_leak", 0.0)
            tallies[bad] = profiled(
                replace(failed, negative_zeros=2, policy_violations=1, witnesses=(leak, *failed.witnesses)), 3
            )
            tallies[good] = profiled(tally_of(good, [0.25, 0.499, 3.2], rows=10))
    return tallies


def clean() -> dict[CellKey, Tally]:
    cells = [key("max_shifted", "standard-normal", length) for length in (2, 16, 128)]
    return {cell: profiled(tally_of(cell, [0.1, 0.3, 0.49], rows=10)) for cell in cells}


def sixty() -> dict[CellKey, Tally]:
    cells = [
        key(EVIL if number == 7 else f"candidate_number_{number}", regime, fmt=fmt)
        for number in range(60)
        for fmt in ("float16", "float32", "float64")
        for regime in ("standard-normal", "exp-overflow")
    ]
    return {
        cell: profiled(overflowing(cell, [0.1 * k, 2.0**-k, 1.0 + k], rows=10), k % 4)
        for k, cell in enumerate(cells)
    }


RUNS: dict[str, Callable[[], dict[CellKey, Tally]]] = {
    "defects": defects,
    "clean": clean,
    "empty": dict,
    "sixty": sixty,
}

WHERE = {"candidate": EVIL, "format": "float32", "out_format": "float32"}
DOCUMENTS: dict[str, Any] = {
    "command": ["harness", "run", EVIL],
    "environment": {"python": "3.11", "libraries": {"numpy": "2.0"}},
    "claims": [{"id": 1, "statement": "it is stable", "verdict": "refuted", "figures": {"rows": 3}}],
    "checks": [
        {**WHERE, "check": "range", "kind": "contract", "status": "violated", "rows": 9, "broken": 2},
        {**WHERE, "check": "axis", "kind": "contract", "status": "ok", "rows": 9, "broken": 0},
    ],
    "verdicts": [
        {**WHERE, "regime": "exp-overflow", "length": 8, "metric": "max_ulp", "operator": "<=",
         "limit": 4.0, "observed": 5.5, "status": "over_budget", "message": EVIL},
    ],
    "comparison": {
        "base": "main", "better": 1, "worse": 1, "equal": 3, "incomparable": 0,
        "changes": [
            {**WHERE, "change": "worse", "metric": "max_ulp", "regime": "r", "length": 8, "before": 1.0,
             "after": "inf"},
        ],
    },
    "selftest": {
        "seed": 0,
        "exit_code": 1,
        "scores": {
            "gate": {"caught": 1, "planted": 2, "whole": 0, "kinds": 1, "refused": 0, "honest": 0},
            EVIL: {"caught": 0, "planted": 0, "whole": 0, "kinds": 0, "refused": 0, "honest": 0},
        },
        "trials": [
            {"name": EVIL, "kind": EVIL, "mechanism": "sum", "seen": EVIL, "honest": False,
             "noticed": {"gate": caught, EVIL: None}}
            for caught in (True, False)
        ],
    },
    "search": [
        {**WHERE, "length": 8, "objective": "max_ulp", "evaluations": 5000, "curve": [[1, 0.5], [40, 3.0]]},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each run's report by name."""
    found = {}
    for name, made in RUNS.items():
        folder, tallies = tmp_path_factory.mktemp(name), made()
        with Ledger.create(folder / "run.sqlite", SETTINGS, planned(*tallies)) as ledger:
            if tallies:
                ledger.record("s", tallies, 0.5)
            for document, value in DOCUMENTS.items() if name == "defects" else ():
                ledger.put(document, value)
        assert write(folder).failed_sections == ()
        found[name] = folder / "report.html"
    return found


# The browser -----------------------------------------------------------------------------------


class Browser:
    """A headless Chromium, and what the tests ask of it."""

    def __init__(self) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (
            "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
            "disable-background-networking", "disable-component-update", "disable-dev-shm-usage",
        ):  # fmt: skip
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))

    def open(self, page: Path, width: int = WIDE, *, dark: bool = False, scripts: bool = True) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.do("Emulation.setDeviceMetricsOverride", size)
        self.do("Emulation.setEmulatedMedia", {"features": [scheme, still]})
        self.do("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        self.log("browser")
        self.log("performance")
        self.driver.get(page.as_uri())

    def do(self, command: str, values: dict[str, Any]) -> Any:
        return self.driver.execute_cdp_cmd(command, values)

    def log(self, kind: str) -> list[dict[str, Any]]:
        return list(self.driver.get_log(kind))

    def js(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def unfold(self) -> None:
        self.js("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")

    def press(self, key_name: str, times: int = 1) -> None:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        for _ in range(times):
            ActionChains(self.driver, duration=0).send_keys(getattr(Keys, key_name)).perform()

    def focused(self) -> str:
        return str(self.js("return document.activeElement.outerHTML"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    held = Browser()
    yield held
    held.driver.quit()


# What holds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_a_page_opens_from_disk_without_an_error_and_asks_for_nothing_else(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.open(pages[name])
    browser.unfold()
    assert [entry["message"] for entry in browser.log("browser")] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert set(asked) <= {pages[name].as_uri()}
    assert browser.js("return document.querySelectorAll('script').length") == 1
    assert browser.js("return document.querySelector('h1').textContent").strip()


@pytest.mark.parametrize("name", ["defects", "sixty"])
def test_a_candidate_named_as_a_script_is_text(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.open(pages[name])
    assert EVIL in browser.js("return document.querySelector('.matrix').textContent")


@pytest.mark.parametrize("name", RUNS)
def test_a_telephone_never_scrolls_sideways_not_even_in_a_table(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.open(pages[name], NARROW)
    browser.unfold()
    assert browser.js("return document.documentElement.scrollWidth") <= NARROW
    cut_off = (
        "return [...document.querySelectorAll('div.scroll')]"
        ".filter((box) => box.scrollWidth > box.clientWidth + 1)"
        ".map((box) => box.getAttribute('aria-label') ?? box.textContent.trim().slice(0, 60))"
    )
    assert browser.js(cut_off) == [], "tables or pictures that reach beyond a telephone's width"


def looks() -> Iterator[Any]:
    """Yield each page in each width and light; by default once, in turn on a telephone and a dark screen."""
    for place, name in enumerate(RUNS):
        usual = (True, WIDE) if place % 2 else (False, NARROW)
        for dark, width in product((False, True), (NARROW, WIDE)):
            marks = [] if (dark, width) == usual else [pytest.mark.slow]
            yield pytest.param(name, dark, width, marks=marks)


@pytest.mark.parametrize(("name", "dark", "width"), [*looks()])
def test_axe_finds_nothing(
    browser: Browser, pages: dict[str, Path], name: str, dark: bool, width: int
) -> None:
    browser.open(pages[name], width, dark=dark)
    browser.unfold()
    looked_at = "#overview" if name == "sixty" else "body"  # axe takes minutes over its thousands of cells
    source = importlib.util.find_spec("axe_core_python")
    assert source is not None
    assert source.origin is not None
    browser.js(Path(source.origin).with_name("axe.min.js").read_text("utf-8"))
    browser.driver.set_script_timeout(60)
    found = browser.driver.execute_async_script(
        "const done = arguments[1];"
        "axe.run(arguments[0]).then((result) => done(result.violations), (error) => done([String(error)]));",
        looked_at,
    )
    assert all(isinstance(violation, dict) for violation in found), found
    told = [(v["id"], n["html"][:200], n["failureSummary"][:300]) for v in found for n in v["nodes"][:3]]
    assert told == []


def test_dark_and_light_are_what_the_system_asks_for(browser: Browser, pages: dict[str, Path]) -> None:
    colours = (
        "return ['body', '.picture .title'].map((s) => getComputedStyle(document.querySelector(s)))"
        ".map((style, i) => (i ? style.fill : style.backgroundColor).match(/\\d+/g).map(Number))"
    )
    paper, ink = {}, {}
    for dark in (False, True):
        browser.open(pages["defects"], dark=dark)
        paper[dark], ink[dark] = browser.js(colours)
    assert sum(paper[False]) > 600 > 200 > sum(paper[True])
    assert sum(ink[True]) > 600 > 200 > sum(ink[False])


def column(browser: Browser, table: str, number: int) -> list[str]:
    script = (
        "return [...document.getElementById(arguments[0]).tBodies[0].rows].filter((r) => !r.hidden)"
        ".map((r) => r.cells[arguments[1]].textContent.trim())"
    )
    return list(browser.js(script, table, number))


def test_headings_sort_by_the_figure_and_back(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["defects"])
    [ulp] = [
        number
        for number, text in enumerate(
            browser.js("return [...document.querySelectorAll('#cells-table th')].map((h) => h.textContent)")
        )
        if text == "worst ULP"
    ]
    heading = browser.driver.find_elements("css selector", "#cells-table th button")[ulp]
    for descending in (True, False):
        heading.click()
        figures = [float(text) for text in column(browser, "cells-table", ulp)]
        assert len(set(figures)) > 1
        assert figures == sorted(figures, reverse=descending)
        assert browser.js(
            "return document.querySelectorAll('#cells-table th')[arguments[0]].getAttribute('aria-sort')", ulp
        ) == ("descending" if descending else "ascending")


def test_the_field_above_a_table_filters_it_by_every_word(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["defects"])
    field = browser.driver.find_element("css selector", "input[data-filter=cells-table]")
    everything = len(column(browser, "cells-table", 0))
    field.send_keys("max_shifted FLOAT16")
    assert column(browser, "cells-table", 0) == ["max_shifted"] * 3
    assert set(column(browser, "cells-table", 1)) == {"float16"}
    said = browser.js("return document.querySelector('#cells output').textContent")
    assert said == f"3 of {everything} lines"


@pytest.mark.parametrize("where", ["#witnesses .command button", "#cells-table button[data-copy]"])
def test_a_button_copies_the_replay_command(browser: Browser, pages: dict[str, Path], where: str) -> None:
    browser.open(pages["defects"])
    browser.do("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    button = browser.driver.find_element("css selector", where)
    browser.js("arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus()", button)
    browser.press("ENTER")
    copied = browser.driver.execute_async_script(
        "const done = arguments[0]; setTimeout(() => navigator.clipboard.readText().then(done), 100);"
    )
    assert button.text == "copied"
    assert copied.startswith("python -m harness replay ")
    assert "#" in copied


def test_the_keyboard_reaches_the_summary_first_and_works_a_table(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["defects"])
    browser.press("TAB")
    assert "Skip to the summary" in browser.focused()
    outline = browser.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    reached = set()
    for _ in range(60):
        browser.press("TAB")
        reached.add(browser.js("return document.activeElement.tagName"))
    assert {"A", "SUMMARY", "DIV", "BUTTON"} <= reached
    browser.js("document.querySelector('#cells-table th button').focus()")
    browser.press("ENTER")
    assert browser.js("return document.querySelector('#cells-table th').hasAttribute('aria-sort')")


def test_a_link_to_a_folded_witness_leads_to_it(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["defects"])
    link = browser.driver.find_element("css selector", ".looks a")
    link.click()
    target = browser.js("return document.querySelector(':target').getBoundingClientRect().height")
    assert target > 0


def test_links_of_the_framed_summary_lead_to_its_witnesses(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    with Ledger.open(pages["defects"].parent / "run.sqlite") as ledger:
        framed = first_screen(build(ledger, ""))
    page = tmp_path / "notebook.html"
    page.write_text(f"<!doctype html><title>notebook</title>{framed}", encoding="utf-8")
    browser.open(page)
    browser.driver.switch_to.frame(0)
    browser.driver.find_element("css selector", ".looks a").send_keys("\n")
    target = browser.js("return document.querySelector(':target').className")
    browser.driver.switch_to.default_content()
    assert target == "witness"


def test_without_scripts_everything_is_there_and_nothing_pretends_to_work(
    browser: Browser, pages: dict[str, Path]
) -> None:
    controls = "[...document.querySelectorAll('button, input')]"
    visible = "(e) => e.checkVisibility({opacityProperty: true, visibilityProperty: true})"
    shown = f"return {controls}.filter({visible}).map((e) => e.outerHTML)"
    browser.open(pages["defects"])
    assert len(browser.js(shown)) > 10
    browser.open(pages["defects"], scripts=False)
    pretending = browser.js(shown)
    browser.do("Emulation.setScriptExecutionDisabled", {"value": False})
    assert pretending == []
    for section in ("overview", "regions", "gap", "length", "search", "witnesses", "cells", "environment"):
        assert browser.driver.find_element("id", section).text
