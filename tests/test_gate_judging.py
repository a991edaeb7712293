"""What a verdict says of a cell, figure by figure, on tallies made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.campaign.settings import Settings
from harness.checks import CHECKS, CheckResult
from harness.gate.budgets import Budget, budgets_of
from harness.gate.decision import SHRUNK, with_witnesses
from harness.gate.gate_campaign import Cell, Gated
from harness.gate.judgement import judge
from harness.gate.statistics import Exactly, Fresh
from harness.subject.candidates import load
from harness.subject.execution import InProcess
from reference.formats import FORMATS
from reports.record.cells import cell_row
from reports.record.ledger import CellInfo
from reports.record.tally import Tally
from reports.record.verdicts import Verdict
from reports.record.witness import Witness
from tests.gating import budget
from tests.synthetic_run import key, tally_of, witness

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

FINITE_FIGURES = ("max_ulp", "mean_ulp", "bound_ratio", "algorithm_ratio", "worst_row_sum_error")
OF_NONFINITE = ("nonfinite", "nonfinite_rows", "failed_rows", "failed_rate", "p50_ulp", "p99_ulp")
OF_OVERFLOW = ("overflow_rows", "overflow_rate")


def gated(tally: Tally, *, sampled: bool = True, checks: tuple[CheckResult, ...] = ()) -> Gated:
    cells = (Cell(cell_row(CellInfo(key(), sampled), tally), tally),)
    return Gated(cells, checks, (), Settings(("naive",)))


def limit_on(metric: str, limit: float) -> Budget:
    return Budget("naive", "float32", metric, limit, "a test")


def statuses(tally: Tally, *budgets: Budget) -> list[str]:
    return [verdict.status for verdict in judge(gated(tally), budgets)]


# Rows without outputs -----------------------------------------------------------------------


@pytest.mark.parametrize("grave", ["crashed", "out_of_memory", "timed_out"])
def test_a_cell_is_named_by_its_gravest_fault(grave: str) -> None:
    faults = {"not_tried": 1, "raised": 1, grave: 1}
    lacking = tally_of(key(), [0.25], rows=4, completed=1, faults=faults)
    verdict = judge(gated(lacking), [limit_on("max_ulp", 9.0)])[0]
    assert verdict.metric == grave
    assert "3 of 4 rows gave no output" in verdict.message


# Tiers without a bound -----------------------------------------------------------------------


@pytest.mark.parametrize(("tier", "share"), [("rounded", 0.25), ("faithful", 0.75)])
def test_a_tier_of_every_output_is_shown_with_the_share_of_them_that_meets_it(
    tier: str, share: float
) -> None:
    tally = tally_of(key(), [0.25] * 4, positive=4, correct=1, faithful=3, violations={f"over_{tier}:x": 1})
    asked = Budget("naive", "float32", "tier", tier, "a test")
    verdict = next(v for v in judge(gated(tally), [asked]) if v.metric == "tier")
    assert (verdict.observed, verdict.status) == (share, "over_budget")


# Figures that leave something out ------------------------------------------------------------


def nonfinite_tally(outcome: str) -> Tally:
    """One of four rows holds NaN, and is attributed as said; all finite figures are good."""
    return tally_of(
        key(),
        [0.25],
        max_algorithm_ratio=0.25,
        outcomes={"ok": 3, outcome: 1},
        nonfinite_rows=1,
        nonfinite_representable=1,
        classes={"normal": 1, "nonfinite": 1},
    )


@pytest.mark.parametrize("figure", FINITE_FIGURES)
def test_no_figure_of_finite_outputs_passes_alone_where_some_are_not(figure: str) -> None:
    tally = nonfinite_tally("overflow")
    assert statuses(tally, limit_on(figure, 9.0)) == ["uncertified"]
    for other in OF_NONFINITE:
        assert statuses(tally, limit_on(figure, 9.0), limit_on(other, np.inf))[0] == "pass", other


@pytest.mark.parametrize("other", OF_OVERFLOW)
def test_a_limit_on_overflow_speaks_of_nonfinite_rows_that_overflowed_and_of_no_others(other: str) -> None:
    budgets = (limit_on("max_ulp", 9.0), limit_on(other, 1.0))
    assert statuses(nonfinite_tally("overflow"), *budgets) == ["pass", "pass"]
    assert statuses(nonfinite_tally("total_underflow"), *budgets) == ["uncertified", "pass"]
    alone = nonfinite_tally("overflow")
    assert statuses(alone, limit_on("max_ulp", 9.0), limit_on("underflow_rate", 1.0))[0] == "uncertified"


# Witnesses -----------------------------------------------------------------------------------

SHOWN_BY = {
    "overflow_rows": "overflow",
    "overflow_rate": "overflow",
    "total_underflow_rows": "total_underflow",
    "total_underflow_rate": "total_underflow",
    "inaccurate_rows": "inaccurate",
    "unexplained_rows": "unexplained",
    "nonfinite_rows": "nonfinite",
    "worst_row_sum_error": "row_sum",
    "mask_leaks": "mask_leak",
    "negative_zeros": "negative_zero",
    "policy_violations": "policy",
    "underflow_rate": "flushed",
    "max_ulp": "max_ulp",
}


@pytest.mark.parametrize("column", SHOWN_BY)
def test_a_verdict_names_the_witness_that_shows_its_column(column: str) -> None:
    kinds = sorted(set(SHOWN_BY.values()))
    tally = tally_of(
        key(),
        [0.25],
        outcomes={"total_underflow": 1, "overflow": 1, "inaccurate": 1, "unexplained": 1},
        classes={"flushed": 1, "mask_leak": 1},
        nonfinite_rows=1,
        negative_zeros=1,
        policy_violations=1,
        witnesses=tuple(witness(key(), kind, 1.0) for kind in kinds),
    )
    limit = 0.0 if column != "worst_row_sum_error" else 2.0**-30
    (verdict,) = [v for v in judge(gated(tally), [limit_on(column, limit)]) if v.metric == column]
    wanted = next(w.id for w in tally.witnesses if w.kind == SHOWN_BY[column])
    assert (verdict.status, verdict.witness) == ("over_budget", wanted)


def test_a_broken_contract_carries_its_own_witness() -> None:
    shown = witness(key(), "max_ulp", 1.0)
    check = next(iter(CHECKS))
    broken = CheckResult(
        check, "naive", "float32", "float32", "violated", rows=3, broken=1, message="it is", witness=shown
    )
    verdicts = judge(gated(tally_of(key(), [0.25]), checks=(broken, replace(broken, witness=None))), [])
    of_contract = [v for v in verdicts if v.metric.startswith("contract")]
    assert [(v.status, v.witness) for v in of_contract] == [("defect", shown.id), ("defect", None)]
    skipped = gated(tally_of(key(), [0.25]), checks=(replace(broken, status="not_applicable"),))
    assert not [v for v in judge(skipped, []) if v.metric.startswith("contract")]


def verdict_on(shown: Witness | None, status: Any = "over_budget") -> Verdict:
    identity = shown.id if shown else None
    return Verdict(
        "max_shifted", "float32", "float32", "normal", 8, "max_ulp", "<=", 1.0, 2.0, status, "", identity
    )


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.gate.decision.SHRINKING_ELEMENTS", 64)


def shrinking(*shown: Witness | None) -> tuple[list[Verdict], dict[str, Witness]]:
    tally = tally_of(key(), [0.25], witnesses=tuple(w for w in shown if w is not None))
    run = replace(gated(tally), candidates=(load("max_shifted"),))
    return with_witnesses(run, [verdict_on(w) for w in shown], InProcess(), "run")


def of_kind(kind: str, row: list[float]) -> Witness:
    x = FORMATS["float32"].to_bits(np.array(row, np.float32))
    cell = replace(key("max_shifted"), length=len(row))
    return witness(cell, kind, 1.0, x="".join(f"{code:08x}" for code in x), y="0" * 8 * len(row))


@pytest.mark.usefixtures("brief")
def test_a_verdict_without_a_witness_keeps_none_behind_it_from_being_shrunk() -> None:
    told, shrunk = shrinking(None, of_kind("max_ulp", [0.0, 1.0, 2.0]))
    assert [v.replay != "" for v in told] == [False, True]
    assert len(shrunk) == 1


@pytest.mark.usefixtures("brief")
def test_a_violation_says_that_its_logits_are_far_out_and_no_other_does() -> None:
    far, near, none = shrinking(of_kind("max_ulp", [0.0, 2.0**25]), of_kind("lost", [0.0, 1.0]), None)[0]
    assert "--range" in far.far
    assert (near.far, none.far) == ("", "")


@pytest.mark.usefixtures("brief")
def test_of_each_kind_one_witness_is_shrunk_and_six_in_all() -> None:
    same = [of_kind("max_ulp", [0.0, float(i)]) for i in range(3)]
    assert list(shrinking(*same)[1]) == [same[0].id]
    kinds = [
        "lost",
        "flushed",
        "overflow",
        "total_underflow",
        "inaccurate",
        "nonfinite",
        "mask_leak",
        "max_ulp",
    ]
    assert len(shrinking(*(of_kind(kind, [0.0, 1.0]) for kind in kinds))[1]) == SHRUNK == 6


@pytest.mark.usefixtures("brief")
def test_long_runs_of_equal_encodings_are_counted_and_short_ones_written_out() -> None:
    row = [0.0] * 5 + [1.0] * 4
    told, _ = shrinking(of_kind("mask_leak", row))  # no finite row leaks: it stays as it is
    assert told[0].bits == "5 x 00000000 3f800000 3f800000 3f800000 3f800000"


# Fresh rows ----------------------------------------------------------------------------------

RATES = {
    "failed_rate": {"outcomes": {"ok": 900, "inaccurate": 100}},
    "overflow_rate": {"outcomes": {"ok": 900, "overflow": 100}},
    "total_underflow_rate": {"outcomes": {"ok": 900, "total_underflow": 100}},
    "underflow_row_rate": {"spurious_rows": 100},
    "underflow_rate": {"spurious_rows": 100, "classes": {"flushed": 100}, "representable": 1000},
}


@pytest.mark.parametrize("rate", RATES)
def test_every_rate_of_fresh_rows_is_judged_by_its_own_rows(rate: str) -> None:
    """100 events in 1000 rows: within chance of 9.5 %, beyond it of 5 %; by count, over both."""
    tally = tally_of(key(), [0.25], rows=1000, **RATES[rate])
    row = gated(tally).cells[0].row
    assert row[rate] == 0.1
    assert Exactly().compare(row, limit_on(rate, 0.095))[0] == "over_budget"
    assert Fresh(1).compare(row, limit_on(rate, 0.095))[0] == "pass"
    status, message = Fresh(1).compare(row, limit_on(rate, 0.05))
    assert (status, message[:16]) == ("over_budget", "100 of 1000 rows")


def test_rates_of_rows_that_were_not_drawn_are_compared_as_they_are() -> None:
    tally = tally_of(key(), [0.25], rows=1000, **RATES["overflow_rate"])
    row = gated(tally, sampled=False).cells[0].row
    assert Fresh(1).compare(row, limit_on("overflow_rate", 0.095))[0] == "over_budget"
    assert Fresh(1).compare(row, limit_on("overflow_rate", 0.1)) == ("pass", "")


def test_a_rate_without_rows_of_its_own_has_no_test() -> None:
    row = gated(tally_of(key(), [0.25], rows=1000)).cells[0].row
    assert Fresh(1).compare(row, limit_on("unavoidable_underflow_rate", 0.5))[0] == "uncertified"


def test_a_verdict_on_a_tier_tells_what_is_broken_and_what_is_excused() -> None:
    tier = Budget("naive", "float32", "tier", "fast", "a test")
    broken = tally_of(
        key(), [0.25], tier_ratios={"over_fast": 2.0}, excused={"over_fast:flushed": 3},
        violations={"over_fast:lost": 1, "over_fast:over_bound": 2, "over_standard:over_bound": 9},
    )  # fmt: skip
    [verdict] = judge(gated(broken), [tier])
    assert (verdict.status, verdict.observed) == ("over_budget", 2.0)
    assert verdict.message == "1 lost, 2 over_bound, excused: 3 flushed"
    [unbound] = judge(gated(replace(broken, violations={"over_fast:no_bound": 1})), [tier])
    assert unbound.status == "uncertified"
    [kept] = judge(gated(replace(broken, violations={"over_standard:over_bound": 9})), [tier])
    assert kept.status == "pass"


# Budgets -------------------------------------------------------------------------------------

OTHER = {
    "candidate": "naive",
    "format": "float32",
    "out_format": "float32",
    "regime": "tied",
    "length": 8,
    "metric": "mean_ulp",
}


@pytest.mark.parametrize(
    ("metric", "limit"),
    [
        ("overflow_rate", 0.0),
        ("overflow_rate", 0.999),
        ("faithful", 1.0),
        ("faithful", 1e-9),
        ("max_ulp", 0.0),
    ],
)
def test_limits_at_their_ends_are_read(metric: str, limit: float) -> None:
    [read] = budgets_of(budget(metric=metric, limit=limit), Path("budgets.toml"))
    assert (read.metric, read.limit) == (metric, limit)


@pytest.mark.parametrize("field", OTHER)
def test_budgets_that_differ_in_one_word_are_two(field: str) -> None:
    one, other = budget(), budget(**{field: OTHER[field]})
    assert len(budgets_of(f"{one}\n{other}", Path("budgets.toml"))) == 2


@pytest.mark.parametrize("field", [field for field in OTHER if field != "metric"])
def test_a_budget_is_about_the_cells_that_it_names_and_no_others(field: str) -> None:
    named = Budget("max_shifted", "float16", "max_ulp", 1.0, "a test", "bfloat16", "masked", 7)
    row = {name: getattr(named, name) for name in OTHER if name != "metric"}
    assert named.applies_to(row)
    assert not named.applies_to({**row, field: OTHER[field]})
    of_all = replace(named, regime=None, length=None)
    assert of_all.applies_to({**row, field: OTHER[field]}) == (field in ("regime", "length"))


def test_without_an_output_format_a_budget_is_about_the_same() -> None:
    one = limit_on("max_ulp", 1.0)
    row = gated(tally_of(key(), [0.25])).cells[0].row
    assert one.applies_to(row)
    assert not one.applies_to({**row, "out_format": "float16"})
