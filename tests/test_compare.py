"""Two runs compared: only cells that were given the same bits, each better, worse or the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness import cli
from harness.commands.compare import _why_nothing
from harness.gate.comparison import compare
from reports.record.cells import Row, cell_row
from reports.record.ledger import CellInfo
from reports.record.tally import Tally
from tests.synthetic_run import key, ledger_at, overflowing, tally_of

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")


def rows(**tallies: Tally) -> list[Row]:
    return [cell_row(CellInfo(key(regime=name), sampled=True), tally) for name, tally in tallies.items()]


def changes(before: list[Row], after: list[Row]) -> dict[str, str]:
    return {cell.cell.regime: cell.change for cell in compare("a", before, "b", after).cells}


def test_cells_are_better_worse_same_new_or_gone() -> None:
    before = rows(tied=tally_of(key(), [1.0]), masked=tally_of(key(), [1.0]), nan=tally_of(key(), [1.0]))
    after = rows(tied=tally_of(key(), [2.0]), masked=tally_of(key(), [1.0]), normal=tally_of(key(), [1.0]))
    assert changes(before, after) == {"tied": "worse", "masked": "same", "nan": "gone", "normal": "new"}
    assert changes(after, before)["tied"] == "better"


def test_other_rows_are_never_compared() -> None:
    before = rows(tied=tally_of(key(), [9.0], digests={0: "0" * 64}))
    after = rows(tied=tally_of(key(), [1.0], digests={0: "1" * 64}))
    assert changes(before, after) == {"tied": "not comparable"}


def test_a_row_that_fails_makes_a_cell_worse_however_small_its_errors() -> None:
    before, after = rows(tied=tally_of(key(), [5.0])), rows(tied=overflowing(key(), [1.0]))
    assert changes(before, after) == {"tied": "worse"}


def test_a_cell_that_no_longer_comes_back_is_not_comparable() -> None:
    lost = tally_of(key(), [1.0], rows=4, completed=0, faults={"crashed": 4})
    assert changes(rows(tied=tally_of(key(), [1.0])), rows(tied=lost)) == {"tied": "not comparable"}


def test_runs_are_compared_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--format", "float16", "--regime", "tied", "--length", "7", "--rows", "20"]
    for out, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert (
            cli.run(
                [
                    "run",
                    "max_shifted",
                    *options,
                    "--effort",
                    "brief",
                    "--in-process",
                    "--seed",
                    seed,
                    "--out",
                    out,
                ]
            )
            == 0
        )
    capsys.readouterr()
    assert cli.run(["compare", "a", "b", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["equal"], document["changes"]) == (1, [])
    assert "Compared with an earlier run" in Path("b/report.html").read_text()
    assert cli.run(["compare", "a", "c"]) == 3
    assert "no cell has the same rows in a and c; compare runs of one seed" in capsys.readouterr().err
    assert cli.run(["compare", "a", "nothing"]) == 2


# What a person is told -------------------------------------------------------------------------


def folder_of(folder: Path, tallies: Mapping[str, Tally]) -> None:
    cells = {key(regime=name): tally for name, tally in tallies.items()}
    with ledger_at(folder, *cells) as ledger:
        ledger.record("s", cells, 0.1)


def test_an_improved_run_is_told_as_such_and_its_noise_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"r{number}" for number in range(109)]
    before = {name: tally_of(key(), [4.0], worst_row_sum_error=2.6e-8) for name in names}
    after = {name: tally_of(key(), [4.0], worst_row_sum_error=6.7e-8) for name in names}
    before["bad"] = tally_of(key(), [1.7e7], worst_row_sum_error=2.6e-8)
    after["bad"] = tally_of(key(), [68.0], worst_row_sum_error=6.7e-8)
    folder_of(Path("a"), before)
    folder_of(Path("b"), after)
    assert cli.run(["compare", "a", "b"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "b against a: 1 better, 0 worse, 109 noise, 0 same, 0 new, 0 gone, 0 not comparable"
    assert said[1] == "greatest error of the cells compared: 1.7e7 to 68 ULP"
    assert said[2].startswith("better  naive  float32  bad, n=8: max_ulp 1.7e7 -> 68")
    assert said[3].startswith("noise in 109 cells, at most noise  naive")
    assert len(said) == 5
    page = Path("b/report.html").read_text()
    assert "1 better, 0 worse, 109 noise" in page
    assert page.index(">bad, n=8<") < page.index(">r0, n=8<")


def test_what_got_worse_stands_by_its_gravity_and_then_by_how_much() -> None:
    names = ("failing", "lost", "tenfold", "double", "barely")
    before = rows(**{name: tally_of(key(), [4.0]) for name in names})
    after = rows(
        barely=tally_of(key(), [4.1]),
        double=tally_of(key(), [8.0]),
        tenfold=tally_of(key(), [40.0]),
        lost=tally_of(key(), [4.0], classes={"normal": 0, "lost": 1}),
        failing=overflowing(key(), [4.0]),
    )
    found = [(c.cell.regime, c.trend) for c in compare("a", before, "b", after).changes]
    assert found == [(name, "noise" if name == "barely" else "worse") for name in names]
    assert changes(before, after)["barely"] == "worse", "a gate is strict"


@pytest.mark.parametrize(("before", "after"), [(0.45, 0.5001), (0.99, 1.01), (4.0, 5.1)])
def test_an_error_that_leaves_its_level_is_no_noise(before: float, after: float) -> None:
    [change] = compare(
        "a", rows(tied=tally_of(key(), [before])), "b", rows(tied=tally_of(key(), [after]))
    ).cells
    assert change.trend == "worse"


def test_why_nothing_can_be_compared_is_said() -> None:
    here, there = ([{"candidate": c, "format": "float32", "out_format": "float32"}] for c in "ab")
    assert "no candidate is in both of x and y in one format" in _why_nothing((here, there), "x and y")
    assert "compare runs of one seed and effort" in _why_nothing((here, here), "x and y")
