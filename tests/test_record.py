"""The tables of columns and of kinds of witness say all that is to be said of each, and no more."""

from __future__ import annotations

import pytest

from harness import cli
from harness.measurement.tiers import TIER_KINDS
from reference.tiers import TIERS
from reports.record.metrics import COLUMNS, DEFECTS, JUDGED, METRICS
from reports.record.witness_kinds import DEFECT_KINDS, FATAL_KINDS, WITNESS_KINDS, gravity_of, kinds_shown_by

each_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


@each_metric
def test_a_metric_agrees_with_itself(metric) -> None:
    assert metric.meaning
    assert (metric.unit == "") == (metric.dtype in ("str", "bool"))
    assert metric.better is None or metric.dtype in ("int64", "float64")
    assert not metric.shown_by or metric.shown_by in WITNESS_KINDS
    assert metric.better == "less" or not (metric.shown_by or metric.defect or metric.wrong)
    assert not metric.events or (metric.unit == "rate" and METRICS[metric.events].unit == "rows")
    assert not metric.defect or metric.shown_by
    assert not metric.wrong or metric.compared
    assert metric.walls is None or metric.compared
    assert metric.within is None or metric.unit == "bound"
    assert not metric.greatest or WITNESS_KINDS[metric.shown_by].score


def test_metrics_are_compared_in_one_order() -> None:
    ranks = sorted(metric.compared for metric in METRICS.values() if metric.compared)
    assert ranks == list(range(1, len(ranks) + 1))


def test_what_counts_rows_asked_judges_nobody() -> None:
    assert METRICS.keys() - JUDGED.keys() == {
        *(name for name, dtype in COLUMNS.items() if dtype in ("str", "bool")),
        *("length", "rows", "completed_rows", "judged_rows", "policy_rows", "elements"),
        *("masked_zeros", "fallbacks"),
    }


def test_findings_come_the_gravest_first() -> None:
    assert [metric.shown_by for metric in DEFECTS] == [
        "unexplained", "mask_leak", "out_of_range", "negative_zero", "policy", "algorithm_ratio",
    ]  # fmt: skip


def test_list_explains_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    columns = lines[lines.index(["columns"]) + 1 :]
    assert [line[0] for line in columns[: len(METRICS)]] == list(METRICS)
    assert all(metric.meaning in line[1] for metric, line in zip(METRICS.values(), columns, strict=False))


def test_every_tier_has_a_kind_of_witness() -> None:
    assert set(kinds_shown_by("tier")) == TIER_KINDS.keys() == {f"over_{name}" for name in TIERS}


@pytest.mark.parametrize("kind", WITNESS_KINDS.values(), ids=WITNESS_KINDS)
def test_a_kind_of_witness_agrees_with_itself(kind) -> None:
    assert kind.meaning
    assert bool(kind.score) == (kind.shown_by in ("figure", "tier"))
    assert kind.score or not kind.of_element
    assert kind.shown_by == "call" or not kind.is_fatal
    assert gravity_of(kind.name) == list(WITNESS_KINDS).index(kind.name)


def test_defects_are_graver_than_figures_and_faults_are_the_gravest() -> None:
    kinds = list(WITNESS_KINDS)
    assert kinds[: len(DEFECT_KINDS)] == sorted(DEFECT_KINDS, key=gravity_of)
    assert set(kinds[: len(FATAL_KINDS)]) == FATAL_KINDS
    assert gravity_of("axis") == -1
