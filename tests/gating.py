"""Running the gate as a user does, for its tests."""

from __future__ import annotations

import json
import shlex
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.campaign.settings import BRIEF, Effort, Settings
from harness.checks.samples import EXTENTS
from harness.gate import decision, gate_campaign
from harness.gate.budgets import Budget
from harness.gate.gate_campaign import Cell, Gated
from reports.record.cells import cell_row
from reports.record.ledger import CellInfo
from tests.longer import sample
from tests.synthetic_run import key

__all__ = [
    "SUSPECTS",
    "briefly",
    "budget",
    "error_of",
    "failing",
    "gate",
    "gate_of_a_module",
    "gated",
    "judge_at_few_lengths",
    "limit_on",
    "look_at_few",
    "of_each_metric",
    "replayed",
    "shrink_little",
    "statuses",
    "written",
]

SUSPECTS = Path(__file__).resolve().parent / "gated" / "suspects.py"


FEW = replace(
    EXTENTS["brief"],
    lengths=sample((3, 65), (1, 3, 65)),
    rows=3,
    long=(1026,),
    batches=(2, 31),
    long_batches=(3,),
    large_batch=2000,
    calls=100,
)
"""What the checks look at in tests of anything else than the checks."""


def look_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the checks of the lesser efforts look at a tenth of their rows."""
    monkeypatch.setattr("harness.checks.samples.EXTENTS", {**EXTENTS, "brief": FEW, "quick": FEW})


def shrink_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a gate or a run spend less than a hundredth of the calls on making witnesses small."""
    for name in ("harness.gate.decision.SHRINKING_ELEMENTS", "harness.witnesses.shrinking.bands.ELEMENTS"):
        monkeypatch.setattr(name, 1 << 13)


def briefly(monkeypatch: pytest.MonkeyPatch, *lengths: int) -> None:
    """Let the command measure a part of its rows, half a second's worth: all regimes, at few lengths.

    Each length costs as much as all fixed rows do, however few its rows: give one where one shows it.
    """
    effort = Effort("brief", lengths, elements=1 << 8, least_rows=2, most_rows=1 << 6, extent="brief")
    look_at_few(monkeypatch)
    shrink_little(monkeypatch)
    for module in (decision, gate_campaign):
        monkeypatch.setattr(module, "GATE", effort)


def judge_at_few_lengths(monkeypatch: pytest.MonkeyPatch, *lengths: int) -> None:
    """Let a function at hand be judged at few of its lengths, as `briefly` does for the command."""
    monkeypatch.setattr("harness.gate.assertion.BRIEF", replace(BRIEF, lengths=lengths))
    look_at_few(monkeypatch)
    shrink_little(monkeypatch)


def gate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON document of `harness gate`; the document is empty where there is none.

    One job, as every job starts a process of the candidate: the verdicts do not depend on their number.
    """
    code = cli.run(["gate", *_with_one_job(arguments), "--json"])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def gate_of_a_module(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the same for a fixture of a module, which has no `capsys`."""
    with redirect_stdout(StringIO()) as out:
        code = cli.run(["gate", *_with_one_job(arguments), "--json"])
    return code, json.loads(out.getvalue())


def _with_one_job(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return arguments if "--jobs" in arguments else (*arguments, "--jobs", "1")


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return exit code and what is said on stderr."""
    code = cli.run(["gate", *arguments])
    return code, capsys.readouterr().err


def statuses(document: dict[str, Any]) -> set[str]:
    return {verdict["status"] for verdict in document["verdicts"]}


def failing(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [verdict for verdict in document["verdicts"] if verdict["status"] != "pass"]


def replayed(verdict: dict[str, Any], *options: str) -> int:
    """Return the exit code of a verdict's own replay command, to which --expect is added."""
    *program, witness = shlex.split(verdict["replay"])[:5]
    assert program == ["python", "-m", "harness", "replay"]
    return cli.run(["replay", witness, "--expect", *options])


def of_each_metric(verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first verdict of each metric."""
    return list({verdict["metric"]: verdict for verdict in reversed(verdicts)}.values())


def budget(**changes: Any) -> str:
    """Return a [[budget]] of TOML, of a numeric metric unless said otherwise."""
    values = {
        "candidate": "max_shifted",
        "format": "float16",
        "metric": "bound_ratio",
        "limit": 1.0,
        "reason": "a test",
        **changes,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    return "\n".join(["[[budget]]", *lines, ""])


def written(*budgets: str) -> Path:
    """Write budgets into the file of this folder."""
    file = Path("budgets.toml")
    file.write_text("\n".join(budgets))
    return file


def gated(*tallies: Any, sampled: bool = True) -> Gated:
    """One cell for each (regime, tally)."""
    cells = []
    for regime, tally in tallies:
        info = CellInfo(key(regime=regime), sampled)
        cells.append(Cell(cell_row(info, tally), tally))
    return Gated(tuple(cells), (), (), Settings(("naive",)))


def limit_on(metric: str, limit: float, **changes: Any) -> Budget:
    """Return a budget of the naive form in float32."""
    return Budget("naive", "float32", metric, limit, "a test", number=0, **changes)


def _toml(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (str, list)) else str(value)
