"""`harness bench` times the four paths on the same logits, and says so in figures that add up."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count

import pytest

from harness.commands import bench, isolation_cost, run_cost
from harness.terminal.exceptions import UsageError
from reference.formats import FORMATS

F16 = FORMATS["float16"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ELEMENTS", 256)
    monkeypatch.setattr(bench, "MPMATH_ELEMENTS", 16)
    monkeypatch.setattr(isolation_cost, "ROWS", 3)
    monkeypatch.setattr(run_cost, "ELEMENTS", 64)


@pytest.mark.usefixtures("small")
def test_every_format_and_length_has_its_costs() -> None:
    costs = list(bench.run_bench([F16, FORMATS["float64"]], (8, 32), repeats=1))
    assert [(cost.format, cost.length, cost.rows) for cost in costs] == [
        ("float16", 8, 32), ("float16", 32, 8), ("float64", 8, 32), ("float64", 32, 8),
    ]  # fmt: skip
    for cost in costs:
        assert min(cost.numpy_ns, cost.certified_ns, cost.two_threads_ns, cost.mpmath_ns) > 0


@pytest.mark.usefixtures("small")
def test_each_cost_is_the_median_of_its_own_timings(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that ticks once a call, task k of a round takes k ticks, whatever the round."""
    ticks = count()
    monkeypatch.setattr(bench, "_seconds", lambda _: next(ticks) % 4 + 1.0)
    (cost,) = bench.run_bench([F16], (8,), repeats=3)
    elements = [256, 256, 256, 16]
    figures = [cost.numpy_ns, cost.certified_ns, cost.two_threads_ns, cost.mpmath_ns]
    assert figures == pytest.approx([(k + 1) * 1e9 / n for k, n in enumerate(elements)])
    assert cost.over_numpy == pytest.approx(2)
    assert cost.speedup == pytest.approx(2 / 3)
    assert cost.under_mpmath == pytest.approx(4 / 2 * 256 / 16)


@pytest.mark.usefixtures("small")
def test_the_json_document_holds_figures_ratios_and_where_they_were_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench.bench(formats=["float16"], lengths=[8], repeats=1, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["environment"]["libraries"]["numpy"]
    (cost,) = document["costs"]
    assert cost["certified_over_numpy"] == pytest.approx(cost["certified_ns"] / cost["numpy_ns"])
    assert [isolation["format"] for isolation in document["isolation"]] == ["float16"]
    assert [(run["format"], run["length"]) for run in document["runs"]] == [("float16", 8), ("float16", 1024)]
    steps = ("draw_ns", "truth_ns", "count_ns", "digest_ns", "ledger_ns")
    for run in document["runs"]:
        assert min(run["call_ns"], *(run[step] for step in steps)) > 0
        own = sum(run[step] for step in steps)
        assert run["over_numpy_without_call"] == pytest.approx(own / run["numpy_ns"])
    assert cost["speedup_of_two_threads"] == pytest.approx(cost["certified_ns"] / cost["two_threads_ns"])


@pytest.mark.usefixtures("small")
def test_isolation_costs_what_a_call_apart_takes_beside_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock by which one apart takes a fifth longer, and turns that slow down."""
    turns = (count * share for count in range(1, 99) for share in (1.0, 1.2))

    def seconds(task: Callable[[], object]) -> float:
        task()
        return next(turns)

    monkeypatch.setattr(isolation_cost, "_seconds", seconds)
    (cost,) = isolation_cost.isolation_costs([F16], repeats=3)
    assert (cost.format, cost.rows, cost.length) == ("float16", 3, 1024)
    assert cost.call_ratio == cost.batch_ratio == pytest.approx(1.2)
    assert cost.call_in_process_ms == 4e3
    assert cost.call_isolated_ms == 4.8e3


@pytest.mark.usefixtures("small")
def test_the_table_says_where_a_runs_time_goes(capsys: pytest.CaptureFixture[str]) -> None:
    """In float64, where differences of logits overflow, without a warning."""
    bench.bench(formats=["float64"], lengths=[8], repeats=1, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    place = next(k for k, line in enumerate(lines) if line.startswith("where a run's time goes"))
    heads, short, long = lines[place + 1 : place + 4]
    for step in ("draw", "call", "truth", "verdict and count", "digest", "ledger", "/ NumPy without call"):
        assert step in heads
    assert [line.split()[:2] for line in (short, long)] == [["float64", "8"], ["float64", "1024"]]
    assert all(float(figure) > 0 for figure in short.split()[2:])


@pytest.mark.usefixtures("small")
def test_the_table_and_the_document_tell_the_cost_of_isolation(capsys: pytest.CaptureFixture[str]) -> None:
    bench.bench(formats=["float16", "float32"], lengths=[8], repeats=1, as_json=False)
    *_, title, heads, half, single = capsys.readouterr().out.splitlines()
    assert title.startswith("ms a batch of 3 rows of 1024")
    assert heads.split()[:4] == ["format", "in", "process", "isolated"]
    assert [half.split()[0], single.split()[0]] == ["float16", "float32"]
    assert all(float(figure) > 0 for figure in half.split()[1:])


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="length 0: give an integer from 1 on"):
        bench.bench(formats=None, lengths=[8, 0], repeats=7, as_json=False)
    with pytest.raises(UsageError, match="repeats 0: give an integer from 1 on"):
        bench.bench(formats=None, lengths=None, repeats=0, as_json=False)
    with pytest.raises(UsageError, match="did you mean"):
        bench.bench(formats=["float31"], lengths=None, repeats=7, as_json=False)
