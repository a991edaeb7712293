"""A gate against an earlier run: worse fails, other rows and other processors are never a pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.campaign.settings import Settings
from harness.gate.baseline import Baseline, verdicts_against
from harness.gate.gate_campaign import Cell, Gated
from reports.record.cells import cell_row
from reports.record.ledger import CellInfo
from reports.record.tally import Tally
from tests.gating import SUSPECTS, briefly, failing, gate
from tests.synthetic_run import key, overflowing, tally_of

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

HERE = {"machine": "x86_64", "cpu": "one", "cpu_features": ["avx2"], "libraries": {"numpy": "2.0"}}
THERE = {**HERE, "cpu": "another", "cpu_features": ["avx2", "avx512f"]}


def measured(**tallies: Tally) -> Gated:
    cells = []
    for regime, tally in tallies.items():
        info = CellInfo(key(regime=regime), sampled=True)
        cells.append(Cell(cell_row(info, tally), tally))
    return Gated(tuple(cells), (), (), Settings(("naive",)))


def statuses(before: Gated, after: Gated, now: dict[str, Any] = HERE) -> dict[str, str]:
    """The status of each cell, by regime, against a baseline measured HERE."""
    baseline = Baseline("old", tuple(cell.row for cell in before.cells), HERE)
    return {v.regime or "": v.status for v in verdicts_against(baseline, after, "new", now)[0]}


def good(worst: float = 1.0, rows: str = "0") -> Tally:
    return tally_of(key(), [worst], digests={0: rows * 64})


def test_what_is_no_worse_passes_and_what_is_worse_is_over_budget() -> None:
    before = measured(tied=good(), masked=good(2.0), normal=good())
    after = measured(
        tied=good(), masked=good(1.5), normal=replace(overflowing(key(), [1.0]), digests={0: "0" * 64})
    )
    assert statuses(before, after) == {"tied": "pass", "masked": "pass", "normal": "over_budget"}


def test_other_rows_never_pass_however_good() -> None:
    found = statuses(measured(tied=good(9.0, "0")), measured(tied=good(0.5, "1")))
    assert found == {"tied": "uncertified"}
    lost = tally_of(key(), [1.0], rows=4, completed=0, faults={"crashed": 4}, digests={0: "0" * 64})
    assert statuses(measured(tied=good()), measured(tied=lost)) == {"tied": "uncertified"}


def test_worse_on_another_processor_is_not_comparable() -> None:
    before, after = measured(tied=good(), masked=good()), measured(tied=good(1.5), masked=good())
    assert statuses(before, after, THERE) == {"tied": "uncertified", "masked": "pass"}


def test_another_library_is_named_beside_what_is_worse() -> None:
    baseline = Baseline("old", tuple(cell.row for cell in measured(tied=good()).cells), HERE)
    now = {**HERE, "libraries": {"numpy": "2.1"}}
    (verdict,), _ = verdicts_against(baseline, measured(tied=good(1.5)), "new", now)
    assert verdict.status == "over_budget"
    assert "max_ulp 1 -> 1.5" in verdict.message
    assert "numpy was 2.0, and is 2.1 now" in verdict.message


def test_a_cell_that_is_gone_is_not_run_and_a_new_one_is_no_verdict_of_the_baseline() -> None:
    before, after = measured(tied=good(), masked=good()), measured(tied=good(), normal=good())
    assert statuses(before, after) == {"tied": "pass", "masked": "not_run"}


def test_cells_of_other_candidates_are_left_alone() -> None:
    stranger = {**measured(tied=good()).cells[0].row, "candidate": "another"}
    baseline = Baseline("old", (stranger,), HERE)
    assert verdicts_against(baseline, measured(tied=good()), "new", HERE)[0] == []


def test_the_command_compares_with_an_earlier_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    briefly(monkeypatch, 33)
    source = SUSPECTS.read_text()
    Path("my.py").write_text(source)
    options = ("my.py:sound", "--format", "float16", "--baseline", "old")
    assert gate(capsys, "my.py:sound", "--format", "float16", "--tier", "fast", "--out", "old")[0] == 0
    code, document = gate(capsys, *options)
    assert (code, failing(document)) == (0, [])
    assert {v["metric"] for v in document["verdicts"] if v["regime"]} == {"baseline"}
    assert gate(capsys, *options, "--seed", "1")[0] == 3

    Path("my.py").write_text(source.replace("def sound(", "def sounder(") + WORSE)
    code, document = gate(capsys, *options)
    assert code == 1
    worse = [v for v in failing(document) if v["metric"] == "baseline"]
    assert worse
    assert all(v["status"] == "over_budget" and "worse: " in v["message"] for v in worse)
    assert all(v["replay"] for v in worse)


WORSE = """

def sound(x, axis=-1):
    return (sounder(x, axis) * x.dtype.type(1.002)).astype(x.dtype)
"""


@pytest.mark.parametrize(
    "options", [("--baseline", "nothing"), ("--baseline", "latest"), ("--baseline", "x", "--fresh")]
)
def test_a_baseline_that_is_not_there_is_exit_2(
    options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["gate", "max_shifted", "--format", "float16", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert options[1] in error or "--fresh" in error
