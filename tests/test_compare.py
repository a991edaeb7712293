"""Two runs compared: only cells that were given the same bits, each better, worse or the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.comparison import compare
from reports.cells import Row, cell_row
from reports.ledger import CellInfo
from reports.tally import Tally
from tests.synthetic_run import key, overflowing, tally_of


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
    options = ["--format", "float16", "--regime", "tied", "--length", "7", "--rows", "20", "--in-process"]
    for out, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert cli.run(["run", "max_shifted", *options, "--seed", seed, "--out", out]) == 0
    capsys.readouterr()
    assert cli.run(["compare", "a", "b", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["equal"], document["changes"]) == (1, [])
    assert "Compared with an earlier run" in Path("b/report.html").read_text()
    assert cli.run(["compare", "a", "c"]) == 3
    assert cli.run(["compare", "a", "nothing"]) == 2
