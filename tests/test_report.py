"""What is drawn of a run: the same bytes for the same ledger, whole, escaped, and honest about its gaps."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import math
import re
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup
from rich.console import Console
from synthetic_run import SETTINGS, histogram, key, ledger_at, overflowing, planned, tally_of, witness

from reference.formats import format_named
from reports.folder import write
from reports.page import all_sections, draw, first_screen
from reports.record.cells import COLUMNS, cell_row, frame
from reports.record.ledger import CellInfo, Ledger
from reports.record.run_folder import DRAWN, LEDGER, find_witness
from reports.record.tally import Tally
from reports.record.verdicts import Verdict
from reports.record.witness import CellKey, Witness
from reports.rundata import RunData, Standing, StandingKey, build
from reports.section import Section, Undrawn
from reports.sections.overview import relative
from reports.sections.witnesses import instance
from reports.summary_md import markdown
from reports.terminal import summary
from reports.verdict import sentences

NAIVE, SHIFTED, HALF = key(), key("max_shifted"), key("max_shifted", fmt="float16", length=3)
EVIL = '<script>alert("x")</script>'
CLAIM_WITNESS = witness(key("naive", "claims", 2), "overflow", 0.0, x="44480000" + "00000000")
CLAIMS = [
    {
        "id": 1,
        "statement": "exp(x)/sum(exp(x)) is well behaved",
        "source": "an answer",
        "verdict": "refuted",
        "explanation": "a row overflows",
        "figures": {"rows": 3, "worst_ulp": math.inf},
        "witnesses": [json.loads(CLAIM_WITNESS.line())],
    }
]


def with_documents(ledger: Ledger) -> None:
    ledger.put("environment", {"python": "3.11", "libraries": {"numpy": "2.0"}})
    ledger.put("timing", {"seconds": 3.5})
    ledger.put("command", ["harness", "run"])
    ledger.put("claims", CLAIMS)


def make_run(folder: Path, tallies: dict[CellKey, Tally], **shard: Any) -> Path:
    folder.mkdir(parents=True)
    with Ledger.create(folder / "run.sqlite", SETTINGS, planned(*tallies)) as ledger:
        ledger.record("s", tallies, shard.get("seconds", 0.5))
        with_documents(ledger)
    return folder


def two_candidates() -> dict[CellKey, Tally]:
    return {
        NAIVE: overflowing(NAIVE, [0.25, 3.5, 2.0**40], rows=10, failed=3),
        SHIFTED: tally_of(SHIFTED, [0.25, 0.499, 63.2], rows=10),
        HALF: tally_of(HALF, [0.1, 0.2, 0.4996], rows=5),
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "harness-out" / "20260801T120000Z-7", two_candidates())


def data(folder: Path) -> RunData:
    with Ledger.open(folder / "run.sqlite") as ledger:
        return build(ledger, folder.name)


def printed(folder: Path, encoding: str = "utf-8", width: int = 140) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = Console(
        file=stream, width=width, markup=False, highlight=False, emoji=False, legacy_windows=False
    )
    console.print(summary(data(folder), encoding))
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding)


# The folder ------------------------------------------------------------------------------------


def test_every_file_is_drawn_and_nothing_else_is_left(run: Path) -> None:
    assert write(run).failed_sections == ()
    assert {entry.name for entry in run.iterdir()} == {*DRAWN, "run.sqlite", "run.lock"}


def test_the_same_ledger_gives_the_same_bytes(run: Path) -> None:
    write(run)
    first = {name: (run / name).read_bytes() for name in DRAWN}
    write(run)
    for name in DRAWN:
        assert (run / name).read_bytes() == first[name], name


def test_runs_of_the_same_figures_differ_only_in_environment_and_timing(tmp_path: Path) -> None:
    texts = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Ledger.create(folder / "run.sqlite", SETTINGS, planned(NAIVE, SHIFTED)) as ledger:
            shards = list({k: two_candidates()[k] for k in (NAIVE, SHIFTED)}.items())
            for name, tally in shards if number else reversed(shards):
                ledger.record(str(name), {name: tally}, 0.1 + number)
            ledger.put("environment", {"python": number})
        write(folder)
        texts.append((folder / "summary.json").read_text())
    one, other = (
        "\n".join(line for line in text.splitlines() if not re.match(r'  "(environment|timing)"', line))
        for text in texts
    )
    assert one == other
    assert texts[0] != texts[1]


def test_the_summary_is_strict_json_with_every_column(run: Path) -> None:
    write(run)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads((run / "summary.json").read_text(), parse_constant=refuse)
    assert list(document) == [
        "schema_version", "seed", "settings", "claims", "checks", "findings", "cells",
        "environment", "timing",
    ]  # fmt: skip
    assert document["seed"] == 7
    assert [list(cell) for cell in document["cells"]] == [list(COLUMNS)] * 3
    assert document["cells"][0]["p99_ulp"] == 2.0**40
    assert document["claims"][0]["figures"]["worst_ulp"] == "inf"
    assert document["environment"]["command"] == ["harness", "run"]


def test_the_tables_hold_the_figures_of_the_ledger(run: Path) -> None:
    write(run)
    with Ledger.open(run / "run.sqlite") as ledger:
        expected = frame(ledger)
    pd.testing.assert_frame_equal(pd.read_parquet(run / "cells.parquet"), expected)
    with (run / "cells.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line, (_, row) in zip(lines, expected.iterrows(), strict=True):
        for name, dtype in COLUMNS.items():
            missing = pd.isna(row[name])
            value = float(line[name]) if dtype == "float64" and not missing else line[name]
            assert value == ("" if missing else row[name] if dtype == "float64" else str(row[name])), name


def test_every_witness_is_a_line_and_is_found_by_its_id(run: Path) -> None:
    write(run)
    lines = [json.loads(line) for line in (run / "witnesses.jsonl").read_text().splitlines()]
    expected = {w.id for t in two_candidates().values() for w in t.witnesses} | {CLAIM_WITNESS.id}
    assert {line["id"] for line in lines} == expected
    for line in lines:
        assert find_witness(run, line["id"]) == Witness.from_document(line)


def test_a_run_without_any_row_is_drawn_and_says_so(tmp_path: Path) -> None:
    tmp_path.joinpath("r").mkdir()
    with Ledger.create(tmp_path / "r" / "run.sqlite", SETTINGS, planned(NAIVE)):
        pass
    assert write(tmp_path / "r").failed_sections == ()
    for name in ("report.html", "summary.md"):
        assert "Nothing was measured" in (tmp_path / "r" / name).read_text()


def test_a_plan_without_cells_is_drawn_too(tmp_path: Path) -> None:
    tmp_path.joinpath("r").mkdir()
    with Ledger.create(tmp_path / "r" / "run.sqlite", {}, []):
        pass
    assert write(tmp_path / "r").failed_sections == ()


# The page --------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags with their attributes, and the text of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: dict[str, list[str]] = {"style": [], "script": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, _tag: str) -> None:
        self._open = ""

    def handle_data(self, text: str) -> None:
        if self._open in self.inline:
            self.inline[self._open].append(text)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page(run: Path) -> Page:
    return Page(draw(data(run)).html)


def test_the_policy_allows_the_pages_own_style_and_script_by_hash_and_nothing_else(page: Page) -> None:
    [policy] = [m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        [text] = page.inline[tag]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_nothing_leaves_the_page_and_nothing_is_inline_that_the_policy_forbids(page: Page) -> None:
    for tag, attributes in page.tags:
        assert "style" not in attributes, (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "src" not in attributes, (tag, attributes)
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)


def test_links_within_the_page_lead_somewhere_and_ids_are_unique(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"] for _, attributes in page.tags if attributes.get("href")}
    assert {f"#{identity}" for identity in ids} >= targets


def test_pictures_have_a_text_alternative(page: Page) -> None:
    pictures = [attributes for attributes in page.named("svg") if attributes.get("aria-hidden") != "true"]
    assert len(pictures) >= 2  # float32 and float16
    for attributes in pictures:
        assert attributes["role"] == "img"
        assert "max_shifted" in (attributes["aria-label"] or "")


def test_whatever_a_user_named_is_escaped(tmp_path: Path) -> None:
    cell = CellKey(EVIL, "softmax", "float32", "float32", EVIL, 8)
    crash = witness(cell, "crashed", 0.0, y="", message=EVIL)
    tally = tally_of(cell, [3.0], rows=4, completed=3, faults={"crashed": 1}, witnesses=(crash,))
    folder = tmp_path / "r"
    folder.mkdir()
    with Ledger.create(
        folder / "run.sqlite", {"seed": EVIL}, [CellInfo(cell, True, "crashed", EVIL)]
    ) as ledger:
        ledger.record("s", {cell: tally}, 0.1)
        ledger.put("claims", [{**CLAIMS[0], "statement": EVIL, "verdict": EVIL, "figures": {EVIL: EVIL}}])
        ledger.put("findings", [{"kind": EVIL, "candidate": EVIL, "message": EVIL}])
        ledger.put("environment", {EVIL: EVIL})
        ledger.put("command", [EVIL])
    write(folder)
    text = (folder / "report.html").read_text()
    assert EVIL not in text
    assert html.escape(EVIL, quote=False)[:20] in text
    assert len(Page(text).named("script")) == 1
    assert EVIL not in (folder / "summary.md").read_text()


def test_a_section_that_fails_says_so_and_is_named(run: Path) -> None:
    def fail(_: RunData) -> Markup:
        raise RuntimeError("<b>no such figure</b>")

    broken = Section(title="Broken", order=1, guide="", render=fail)
    with pytest.warns(Undrawn, match="broken: RuntimeError"):
        page = draw(data(run), [("broken", broken), *all_sections().items()])
    assert page.failed_sections == ("broken",)
    assert "could not be drawn: RuntimeError: &lt;b&gt;no such figure&lt;/b&gt;" in page.html
    assert "What to look at first" in page.html


def test_every_section_has_a_title_and_stands_in_its_order() -> None:
    sections = list(all_sections().values())
    assert [s.order for s in sections] == sorted(s.order for s in sections)
    assert next(iter(all_sections())) == "overview"
    assert all(s.title for s in sections)


def test_what_leads_to_the_cause_stands_before_the_claims(run: Path) -> None:
    names = list(all_sections())
    assert names.index("length") < names.index("checks") < names.index("cells") < names.index("claims")
    found = {
        "candidate": "naive",
        "format": "float32",
        "out_format": "float32",
        "line": "sum.omits: the tail",
    }
    write(run, more=lambda _: {"explanations": [found]})
    text = (run / "report.html").read_text()
    assert text.index("cause: naive, float32: sum.omits: the tail") < text.index("What to look at first")
    assert "<dt>relative error</dt>" in text


@pytest.mark.parametrize("fmt", ["bfloat16", "float32", "float64"])
def test_the_relative_error_of_a_normal_result_is_at_most_what_the_page_says(fmt: str) -> None:
    """Of r = 2^k it is exactly that, of any other normal r less."""
    cell = key(fmt=fmt)
    tally = tally_of(cell, [3.0])
    row = cell_row(CellInfo(cell, sampled=True), tally)
    shown = float(relative(Standing(StandingKey("naive", "softmax", fmt, fmt), (row,), tally)))
    values = [Fraction(1, 8), Fraction(1, 7), Fraction(255, 256)]
    errors = [3 * format_named(fmt).ulp(r) / r for r in values]
    assert shown == pytest.approx(float(max(errors)), rel=0.005), (shown.hex(), float(max(errors)).hex())
    assert errors[0] == max(errors)


def test_the_first_screen_names_the_worst_and_the_failed_share_before_the_error(run: Path) -> None:
    text = draw(data(run), [("overview", all_sections()["overview"])]).html
    assert "At worst 30 % of the rows of normal, n=8 failed (naive, float32)" in text
    cell = text[text.index('class="level-7 failing"') :]
    assert cell.index("30 %") < cell.index("1.1e12")
    assert "0.4996" in text, "an error below one half is not shown as one half"


def test_a_witness_shows_bits_values_and_the_command(run: Path) -> None:
    text = draw(data(run), [("witnesses", all_sections()["witnesses"])]).html
    overflow = two_candidates()[NAIVE].witnesses[0]
    assert f"python -m harness replay {run.name}#{overflow.id}" in text
    assert "0x7fc00000" in text
    assert "1.401298464324817e-45" in text  # what 0x00000001 stands for
    assert "0.12500000000000000" in text  # the exact softmax of eight ties


def test_the_page_of_sixty_candidates_stays_small(tmp_path: Path) -> None:
    tallies = {}
    for number in range(60):
        cell = key(f"candidate_{number}")
        tallies[cell] = overflowing(cell, [0.1 * number + 2.0**-i for i in range(50)], rows=100)
    folder = make_run(tmp_path / "many", tallies)
    write(folder)
    assert (folder / "report.html").stat().st_size < 500_000
    assert (folder / "summary.md").stat().st_size < 60_000


def test_the_framed_first_screen_cannot_reach_out_of_its_frame(run: Path) -> None:
    framed = Page(first_screen(data(run)))
    assert [tag for tag, _ in framed.tags] == ["iframe"]
    [frame_attributes] = framed.named("iframe")
    assert "sandbox" in frame_attributes
    inside = frame_attributes["srcdoc"] or ""
    assert "naive fails" in inside
    links = set(re.findall(r'href="#([^"]+)"', inside))
    assert links
    assert links <= set(re.findall(r'id="([^"]+)"', inside))


def test_a_run_that_left_no_folder_shows_no_command(run: Path) -> None:
    with Ledger.open(run / LEDGER) as ledger:
        framed = first_screen(build(ledger, ""))
    assert "python -m harness" not in framed
    assert "beside this file" not in framed


# Findings, Markdown and terminal -----------------------------------------------------------------


def test_defects_become_findings_with_their_witness(tmp_path: Path) -> None:
    leak = witness(NAIVE, "mask_leak", 0.0)
    raised = witness(NAIVE, "raised", 0.0, y="", message="ValueError: no")
    tally = tally_of(
        NAIVE, [1.0], rows=9, completed=7, classes={"normal": 5, "mask_leak": 2}, negative_zeros=1,
        policy_violations=3, faults={"raised": 2}, max_algorithm_ratio=1.5, witnesses=(raised, leak),
    )  # fmt: skip
    folder = make_run(tmp_path / "r", {NAIVE: tally})
    found = {f.kind: f for f in data(folder).findings}
    assert list(found) == ["raised", "mask_leak", "negative_zero", "policy", "algorithm_ratio"]
    assert (found["mask_leak"].count, found["mask_leak"].witness) == (2, leak.id)
    assert found["raised"].message.endswith("ValueError: no")


def test_rows_without_output_stand_beside_the_failed_share_and_count_for_nobody_else(tmp_path: Path) -> None:
    folder = make_run(
        tmp_path / "r",
        {
            NAIVE: tally_of(NAIVE, [1.0], rows=900, completed=7, faults={"raised": 2}),
            SHIFTED: tally_of(SHIFTED, [1.0], rows=11),
        },
    )
    said = list(sentences(data(folder)))
    assert said[0] == "naive gave no output for 893 rows: raised."
    assert "No row of max_shifted failed: 11 rows tried." in said
    write(folder)
    assert "<dt>no output</dt><dd>893 rows</dd>" in (folder / "report.html").read_text()
    assert "893 gave none" in printed(folder)
    assert "893 gave none" in printed(folder, width=60)


def test_what_the_order_of_operations_may_break_is_told_apart_from_a_defect(tmp_path: Path) -> None:
    where = {"candidate": "naive", "format": "float32", "out_format": "float32", "rows": 9}
    violated = {**where, "status": "violated", "broken": 2}
    effect = "Addition is not associative"
    folder = make_run(tmp_path / "r", two_candidates())
    with Ledger.open(folder / "run.sqlite", SETTINGS) as ledger:
        ledger.put(
            "checks",
            [
                {**violated, "check": "permutation", "kind": "property", "consequence": effect},
                {**violated, "check": "axis", "kind": "contract", "message": "another axis"},
                {**where, "status": "ok", "check": "shape", "kind": "contract"},
            ],
        )
    text = draw(data(folder), [("checks", all_sections()["checks"])]).html
    assert "Contract broken by naive: axis." in sentences(data(folder))
    assert "1 of 3 checks kept; 1 violated; 1 broken, perhaps by the order of operations alone" in text
    lines = re.findall(r'<th scope="row" class="state-(\w+)">([\w ]+)</th><td[^>]*>(\w+)<', text)
    assert lines == [
        ("bad", "violated", "axis"),
        ("known", "may be rounding", "permutation"),
        ("good", "ok", "shape"),
    ]
    assert effect in text
    write(folder)
    folded = (folder / "summary.md").read_text()
    assert "<summary>Checks broken: 1</summary>" in folded
    assert "<summary>Broken, maybe by the order of operations alone: 1</summary>" in folded


def test_a_row_made_small_says_whose_the_figure_is(tmp_path: Path) -> None:
    long = key("naive", length=1024)
    found = witness(long, score=67.3)
    small = replace(witness(long, score=60.2, origin=f"{found.origin}, shrunk from 1024 entries"), x="0" * 16)
    folder = make_run(tmp_path / "r", {long: tally_of(long, [67.3], witnesses=(found,))})
    with Ledger.open(folder / "run.sqlite", SETTINGS) as ledger:
        ledger.put("shrunk", {found.id: small.document()})
    text = draw(data(folder), [("witnesses", all_sections()["witnesses"])]).html
    assert (
        "60.2 ULP is the figure of the row drawn here, shrunk to 2 entries;"
        " the row as found, of 1,024, showed 67.3 ULP." in text
    )


def test_errors_beyond_the_bound_name_one_candidate_or_count_several(tmp_path: Path) -> None:
    alone = make_run(tmp_path / "a", {SHIFTED: tally_of(SHIFTED, [9.0], max_bound_ratio=1.5)})
    assert (
        "Errors of max_shifted in float32 exceed the a-priori bound of the standard tier:"
        " 1.5 times it at worst (normal, n=8)." in list(sentences(data(alone)))
    )
    both = {SHIFTED: tally_of(SHIFTED, [9.0], max_bound_ratio=1.5), HALF: tally_of(HALF, [0.4])}
    said = " ".join(sentences(data(make_run(tmp_path / "b", both))))
    assert "Errors of 1 of the 2 pairs of candidate and format without a failed row exceed" in said


def test_a_clean_run_has_no_finding(run: Path) -> None:
    assert data(run).findings == ()


def test_the_markdown_opens_with_verdict_and_three_witnesses_within_fifteen_lines(run: Path) -> None:
    write(run)
    opening = (run / "summary.md").read_text().split("<details>")[0].splitlines()
    assert len(opening) <= 15
    assert opening[0].startswith("**naive fails")
    assert sum("python -m harness replay" in line for line in opening) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_the_terminal_table_is_printable_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    cell = key("naïve\x1b[31m[bold]☃")
    text = printed(make_run(tmp_path / "r", {cell: overflowing(cell, [1.0])}), encoding)
    assert "\x1b[31m" not in text
    assert "[bold]" in text
    assert ("☃" in text) == (encoding == "utf-8")
    assert ("─" in text) == (encoding == "utf-8")


def test_the_terminal_names_the_worst_place_of_each_figure(run: Path) -> None:
    text = printed(run)
    lines = [line for line in text.splitlines() if "naive" in line]
    assert "30 %" in lines[0]
    assert "1.1e12" in lines[0]
    assert "worst found in 10 rows, seed 7" in " ".join(text.split())


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_terminal_keeps_to_its_width_and_breaks_no_word(tmp_path: Path, width: int) -> None:
    cell = key("max_shifted", "result-underflow", 4096)
    text = printed(make_run(tmp_path / "r", {cell: overflowing(cell, [1.0, 67.3])}), width=width)
    assert all(len(line) <= width for line in text.splitlines())
    for whole in ("max_shifted", "result-underflow", "n=4,096", "total underflow", "67.3"):
        assert whole in text, f"{whole} is broken at {width} columns:\n{text}"


def test_an_unsupported_format_is_said_not_shown_as_zero(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    plan = [CellInfo(NAIVE, True), CellInfo(HALF, True, "unsupported", "does not take float16")]
    with Ledger.create(folder / "run.sqlite", SETTINGS, plan) as ledger:
        ledger.record("s", {NAIVE: tally_of(NAIVE, [1.0])}, 0.1)
    write(folder)
    for text in (printed(folder), *((folder / name).read_text() for name in ("report.html", "summary.md"))):
        assert "unsupported" in text


def test_rates_of_different_regimes_are_never_pooled(tmp_path: Path) -> None:
    quiet, loud = key(regime="quiet"), key(regime="loud")
    folder = make_run(
        tmp_path / "r",
        {quiet: tally_of(quiet, [1.0], rows=1000), loud: overflowing(loud, [1.0], 10, failed=5)},
    )
    [standing] = data(folder).standings
    assert standing.greatest("failed_rate") == 0.5
    worst = standing.worst("failed_rate")
    assert worst is not None
    assert worst["regime"] == "loud"


def test_the_errors_of_a_standing_are_those_of_its_cells_together(tmp_path: Path) -> None:
    cells = [key(length=n) for n in range(1, 70)]
    folder = make_run(tmp_path / "r", {c: tally_of(c, [1.0 / c.length, 2.0]) for c in cells})
    [standing] = data(folder).standings
    assert standing.errors.histogram == histogram([e for c in cells for e in (1.0 / c.length, 2.0)])


# What comes first ------------------------------------------------------------------------------


def test_a_gates_verdict_opens_its_report_and_marks_the_card(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", {NAIVE: tally_of(NAIVE, [0.5]), SHIFTED: tally_of(SHIFTED, [0.4])})
    verdict = Verdict("naive", "float32", "float32", "normal", 8, "max_ulp", "<=", 0.1, 0.5, "over_budget")
    with Ledger.open(folder / "run.sqlite", SETTINGS) as ledger:
        ledger.put("verdicts", 1300 * [verdict.document()])
    run = data(folder)
    assert next(iter(sentences(run))) == "Gate: fail (1,300 limits exceeded)."
    assert markdown(run).startswith("**Gate: fail (1,300 limits exceeded).**")
    text = draw(run, [("overview", all_sections()["overview"])]).html
    assert "beyond 1,300 limits of the gate" in text
    assert text.count(" failing") == 2  # the legend and one card


def test_entries_lost_to_0_open_the_report_and_mark_the_card_though_no_row_failed(tmp_path: Path) -> None:
    lost = {"normal": 9, "lost": 2_200_000}
    folder = make_run(
        tmp_path / "r",
        {NAIVE: tally_of(NAIVE, [2.0**23], classes=lost), SHIFTED: tally_of(SHIFTED, [0.4])},
    )
    said = list(sentences(data(folder)))
    assert said[0] == "naive in float32: 2,200,000 entries lost to 0 (most in normal, n=8)."
    assert said[-2].startswith("No row of naive and max_shifted failed")
    text = draw(data(folder), [("overview", all_sections()["overview"])]).html
    assert '<p class="wrong">2,200,000 entries lost to 0</p>' in text
    assert text.count(" failing") == 2


def test_errors_far_above_their_bound_come_before_the_rows_that_did_not_fail(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", {NAIVE: tally_of(NAIVE, [4e6], max_bound_ratio=8.08e5)})
    said = list(sentences(data(folder)))
    assert said[0].startswith("Errors of naive in float32 exceed the a-priori bound")
    assert "8.08e5 times it at worst" in said[0]
    assert said[-1] == "No row of naive failed: 4 rows tried."


def test_what_to_look_at_first_is_of_the_broken_and_leaves_out_nothing_grave(tmp_path: Path) -> None:
    kinds = ("unexplained", "lost", "nonfinite", "out_of_range", "row_sum", "bound_ratio", "max_ulp")
    shown = tuple(witness(SHIFTED, kind, 1.68e7 if kind == "max_ulp" else 0.0) for kind in kinds)
    broken = tally_of(SHIFTED, [1.68e7], outcomes={"ok": 3, "unexplained": 1}, witnesses=shown)
    run = data(make_run(tmp_path / "r", {NAIVE: tally_of(NAIVE, [0.4]), SHIFTED: broken}))
    first = [(w.cell.candidate, w.kind) for w in run.telling_witnesses(4)]
    assert first == [("max_shifted", "unexplained"), ("max_shifted", "max_ulp"), ("naive", "max_ulp"),
                     ("max_shifted", "nonfinite")]  # fmt: skip


@pytest.mark.parametrize("element", [None, 2])
def test_a_long_row_is_told_by_the_entry_that_matters(element: int | None) -> None:
    x = "3f800000" + 400 * "00000000" + "41200000" + 400 * "c1200000"
    told = instance(witness(key(length=802), "overflow", 0.0, x=x, y="00000000" * 802, element=element))
    assert told.startswith(f"entry {401 if element is None else element} of a row of 802 entries")


def test_a_broken_rule_is_printed_with_its_first_counterexample_and_its_command(tmp_path: Path) -> None:
    broken = {"candidate": "naive", "out_format": "float32", "check": "axis", "kind": "contract",
              "status": "violated", "rows": 9, "broken": 2}  # fmt: skip
    shown = witness(key(), "axis", 0.0)
    with ledger_at(tmp_path, key()) as ledger:
        ledger.record("s", {key(): tally_of(key(), [1.0])}, 0.0)
        own = {"message": "x = [0.0]: other", "witness": json.loads(shown.line())}
        first = {**broken, **own, "format": "float32"}
        effect = {**first, "check": "permutation", "consequence": "Addition is not associative"}
        other = {**broken, "check": "shape", "format": "float32"}
        ledger.put("checks", [first, other, {**first, "format": "float64"}, effect])
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(summary(data(tmp_path), "utf-8"), crop=False)
    told = [line for line in console.file.getvalue().splitlines() if "float32: " in line or "replay" in line]
    assert told == [
        "naive, float32: axis: x = [0.0]: other",
        f"    {data(tmp_path).replay_command(shown.id)}",
        "naive, float32: shape: broken",
    ]


def test_commands_survive_a_narrow_terminal(tmp_path: Path) -> None:
    cell = key()
    shown = (witness(cell, kind="out_of_range", score=0.0),)
    with ledger_at(tmp_path, cell) as ledger:
        ledger.record("s", {cell: tally_of(cell, [1.0], classes={"out_of_range": 1}, witnesses=shown)}, 0.0)
    console = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None)
    console.print(summary(data(tmp_path), "utf-8"), crop=False)
    printed = console.file.getvalue()
    assert re.search(rf"^    python -m harness replay \S+#{shown[0].id}$", printed, re.MULTILINE), printed
