"""Figures of any size survive every place where one is printed, and a part that fails costs no other."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import gmpy2
import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from rich.console import Console

from harness import cli
from reports import figures, gate_text, page
from reports.folder import write
from reports.github import workflow_commands
from reports.junit import junit
from reports.record.ledger import Ledger
from reports.record.verdicts import Verdict
from reports.record.witness import CellKey, Witness
from reports.rundata import RunData, build
from reports.section import Section, Undrawn
from reports.sections.witnesses import instance
from reports.summary_md import markdown
from reports.terminal import summary
from tests.gating import SUSPECTS, briefly
from tests.synthetic_run import SETTINGS, planned, tally_of

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

FLOATS = (0.0, 5e-324, 1e-320, 2.0**-1022, 0.5, 1.0, 1.7976931348623157e308, math.inf)

ROWS = {
    "float64": (
        "7fefffffffffffffffefffffffffffff",
        "00000000000000018000000000000000",
        "fff00000000000007fefffffffffffff",
    ),
    "float32": ("72c8f2c700000000", "7f7fffffff7fffff", "ff80000000000001"),
    "bfloat16": ("7f7fff7f", "0001ff80"),
}  # fmt: skip
"""Rows whose exact results have exponents of up to 309 digits, or are subnormal, 0 or 1."""

TEXTS = [
    ("1.2e-73722786097399228385044576903532595832", "10^-7.372e37"),
    ("9.8402913085574593e+4342944819032518118383059252045", "10^4.343e30"),
    ("-9.9999e-400000000000000000", "-10^-4e17"), ("9.99999e-12345", "1e-12344"), ("0.0", "0"),
    ("-0.0", "-0"), ("inf", "inf"), ("nan", "nan"), ("-", "-"), ("", ""), ("5e-324", "5e-324"),
    ("1.0000000000000000", "1"), ("1.7976931348623157e308", "1.798e308"), ("0.000123456", "1.235e-4"),
    ("1" + 400 * "0", "1e400"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "short"), TEXTS)
def test_a_number_of_any_exponent_is_shortened(text: str, short: str) -> None:
    assert figures.shortened(text) == short


@pytest.mark.parametrize("exponent", [0, 5, -400, 10**9, -(10**40), -(10**308)])
def test_an_exact_result_of_any_exponent_is_spelled(exponent: int) -> None:
    text = figures.exact(mpmath.mpf((0, 3, exponent, 2)), 17)
    assert figures.shortened(text)
    if abs(exponent) < 1000:
        assert Fraction(text) == pytest.approx(Fraction(3) * Fraction(2) ** exponent, rel=1e-15)
    assert figures.exact(mpmath.mpf(0), 17) == "0"


@given(
    st.floats(1e-9, 1e25),
    st.integers(2, 40),
    st.sampled_from([0, 0, 0, 5, -6, -4000]) | st.integers(-(10**40), 10**40),
)
def test_a_power_of_ten_beside_it_changes_nothing_but_the_exponent(
    value: float, digits: int, power: int
) -> None:
    """Beside one of no power mpmath is asked; with one, the text is read again."""
    text = figures.exact_power(gmpy2.mpfr(value), power, digits)
    if not power:
        assert text == figures.exact(mpmath.mpf(value), digits)
    significand, _, exponent = text.partition("e")
    assert sum(map(str.isdigit, significand.lstrip("0."))) == digits
    if abs(power) < 5000:
        said, meant = Fraction(text), Fraction(value) * Fraction(10) ** power
        assert abs(said / meant - 1) <= Fraction(1, 2 * 10 ** (digits - 1))
    else:
        assert abs(int(exponent) - power) <= 26


def test_a_result_of_no_more_digits_than_a_whole_number_has_is_read_again() -> None:
    """A log-probability of six digits is such: mpmath ends it with a point, and no ledger takes that."""
    assert figures.exact(mpmath.mpf(-106499), 6) == "-106499"


@pytest.mark.parametrize(
    "spell",
    [figures.ulps, figures.figure, figures.percent, figures.seconds, lambda v: figures.interval(v, v)],
)
def test_every_float_is_spelled(spell: Callable[[Any], str]) -> None:
    for value in (*FLOATS, *(-v for v in FLOATS), math.nan):
        text = spell(value)
        assert text.isascii()
        assert not text.startswith("--")
        assert len(text) < 1200


def extreme_run(folder: Path) -> RunData:
    """Write a run whose every figure is as large or as small as can be, and return what is drawn of it."""
    tallies = {}
    for candidate in ("one", "other"):
        for fmt, rows in ROWS.items():
            for number, value in enumerate(FLOATS):
                cell = CellKey(candidate, "softmax", fmt, fmt, f"regime-{number}", 2)
                bits = rows[number % len(rows)]
                kinds = ("inaccurate", "max_ulp", "bound_ratio", "row_sum", "overflow", "total_underflow")
                shown = [Witness(cell, kind, value, bits, bits, 0, "batch 0, row 3") for kind in kinds]
                tallies[cell] = tally_of(
                    cell,
                    [min(value, 1e308)],
                    max_ulp=value,
                    max_bound_ratio=value,
                    max_algorithm_ratio=value,
                    worst_row_sum_error=value,
                    ulp_infinite=int(math.isinf(value)),
                    outcomes={"ok": 3, "inaccurate": 1},
                    witnesses=tuple(shown),
                    gap_errors={0: 0, 63: 1 << 19},
                    gap_bounds={0: 0, 63: 1 << 19},
                )
    folder.mkdir()
    change: dict[str, Any] = {
        "candidate": "one",
        "op": "softmax",
        "format": "float32",
        "out_format": "float32",
    }
    change |= {"regime": "normal", "length": 3, "metric": "max_ulp", "message": ""}
    with Ledger.create(folder / "run.sqlite", SETTINGS, planned(*tallies)) as ledger:
        ledger.record("s", tallies, 5e-324)
        ledger.put("verdicts", [verdict.document() for verdict in extreme_verdicts()])
        ledger.put("timing", {"run_seconds": 1e308, "jobs": 1})
        pairs = [("inf", 0.0), (5e-324, "inf"), (None, 1e308)]
        changes = [{**change, "change": "worse", "before": a, "after": b} for a, b in pairs]
        ledger.put("comparison", {"base": "b", "run": "r", "better": 0, "worse": 3, "changes": changes})
    with Ledger.open(folder / "run.sqlite") as ledger:
        return build(ledger, "r")


def extreme_verdicts() -> list[Verdict]:
    return [
        Verdict("one", "float32", "float32", "normal", 3, "max_ulp", operator, limit, observed, status)
        for operator in ("<=", ">=", "meets")
        for limit in (*FLOATS, None, "standard")
        for observed in (*FLOATS, None)
        for status in ("over_budget", "pass")
    ]  # fmt: skip


def test_every_page_and_table_takes_figures_of_any_size(tmp_path: Path) -> None:
    run = extreme_run(tmp_path / "r")
    assert write(tmp_path / "r").failed_sections == ()
    for name in ("report.html", "summary.md"):
        assert "could not be drawn" not in (tmp_path / "r" / name).read_text()
    json.loads((tmp_path / "r" / "summary.json").read_text(), parse_constant=pytest.fail)
    exact = "exact: (1, 10^-2.956e38); bits of x: 7f7fffff ff7fffff"
    assert exact in {told.partition("; ")[2] for told in map(instance, run.witnesses)}
    for width in (40, 200):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(summary(run))
        assert "could not be drawn" not in console.export_text()


def test_a_gate_of_figures_of_any_size_is_told_everywhere() -> None:
    verdicts = extreme_verdicts()
    console = Console(width=120, record=True)
    console.print(gate_text.terminal(verdicts, {}, "r", most=1000))
    assert console.export_text().startswith(gate_text.headline(verdicts))
    assert gate_text.markdown(verdicts, {}, "r")
    assert junit(verdicts)
    assert list(workflow_commands(verdicts))
    for verdict in verdicts:
        document = json.loads(json.dumps(verdict.document(), allow_nan=False))
        assert Verdict.from_document(document) == verdict


WRONG_WHERE_FAR_APART = """
import numpy as np

def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    low = np.where(np.isfinite(x), x, np.inf).min(-1)
    with np.errstate(all="ignore"):
        y[(x.shape[-1] > 256) & (x.max(-1) - low > 1e30)] = 0
    return y
"""


def test_zeros_in_long_rows_that_lie_far_apart_are_told_by_run_and_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("apart.py").write_text(WRONG_WHERE_FAR_APART)
    few = ["--format", "float32", "--regime", "log-uniform", "--length", "257", "--rows", "20"]
    assert cli.run(["run", "apart.py:softmax", *few, "--effort", "brief", "--out", "r"]) == 0
    page = Path("r/report.html").read_text()
    assert "could not be drawn" not in page
    found = next(line for line in Path("r/witnesses.jsonl").read_text().splitlines() if '"overflow"' in line)
    capsys.readouterr()
    assert cli.run(["replay", f"r#{json.loads(found)['id']}", "--emit-test", "test_it.py"]) == 0
    assert (
        "10^-" in Path("r/summary.md").read_text() or "gives 0; exact: 1" in Path("r/summary.md").read_text()
    )
    assert "Fraction" in Path("test_it.py").read_text()


def test_a_section_that_fails_costs_neither_the_verdict_nor_the_other_sections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> Markup:
        raise ArithmeticError("no such exponent")

    broken = {**page.all_sections(), "cells": Section("Cells", 50, "", fail)}
    monkeypatch.setattr(page, "all_sections", lambda: broken)
    monkeypatch.chdir(tmp_path)
    briefly(monkeypatch, 3)
    asked = ["gate", f"{SUSPECTS}:all_zero", "--tier", "fast", "--format", "float16", "--out", "r"]
    with pytest.warns(Undrawn, match="cells: ArithmeticError: no such exponent"):
        assert cli.run(asked) == 1
    out, err = capsys.readouterr()
    assert "gate: fail" in out
    assert "report.html: sections that could not be drawn: cells\n" in err
    drawn = Path("r/report.html").read_text()
    assert "This section could not be drawn: ArithmeticError: no such exponent" in drawn
    assert "What to look at first" in drawn
    with pytest.warns(Undrawn):
        assert cli.run(["report", "r"]) == 3


def test_a_page_that_fails_as_a_whole_leaves_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ArithmeticError("no such exponent")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("reports.folder.build", fail)
    briefly(monkeypatch, 3)
    asked = ["gate", f"{SUSPECTS}:sound", "--tier", "fast", "--format", "float16", "--out", "r", "--json"]
    with pytest.warns(Undrawn, match="report: ArithmeticError"):
        assert cli.run(asked) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["outcome"] == "pass"
    assert (
        "report.html: sections that could not be drawn: report (ArithmeticError: no such exponent)\n" in err
    )
    assert Path("r/junit.xml").exists()


def test_a_part_of_the_summary_that_fails_costs_no_other(tmp_path: Path) -> None:
    run = extreme_run(tmp_path / "r")
    broken = replace(run, claims=({},))
    with pytest.warns(Undrawn, match=r"summary.md: claims: KeyError"):
        text = markdown(broken)
    assert text.startswith(markdown(run).splitlines()[0])
    assert "This section could not be drawn: KeyError: 'id'" in text


def test_where_warnings_are_errors_a_section_that_fails_is_loud(tmp_path: Path) -> None:
    run = replace(extreme_run(tmp_path / "r"), claims=({},))
    with pytest.raises(Undrawn, match="claims"):
        page.draw(run)
    with pytest.raises(Undrawn, match="claims"):
        markdown(run)
