"""The last stage of a run keeps what it has, and goes on from there.

Independent evidence: a run that nobody interrupted.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.campaign.plan import Plan
from harness.campaign.settings import resolve
from harness.commands.examination import examine, unchecked
from harness.subject.execution import InProcess, Outcome
from reports.record.ledger import Ledger
from reports.record.run_folder import open_ledger, prepare
from reports.rundata import build
from reports.verdict import sentences

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

ASKED = [("naive", "float8_e4m3fn"), ("naive", "float8_e5m2")]


class Watched:
    """An executor that interrupts the call of that number, and remembers which formats were called."""

    def __init__(self, executor: InProcess, interrupted: int) -> None:
        self._executor, self._left = executor, interrupted
        self.formats: list[str] = []

    def run(self, spec: str, x: Any, *arguments: Any, **options: Any) -> Outcome:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt
        self.formats.append(x.dtype.name)
        return self._executor.run(spec, x, *arguments, **options)

    def grant(self) -> None:
        self._executor.grant()

    def given_up(self) -> dict[str, str]:
        return self._executor.given_up()


@pytest.fixture
def plan() -> Plan:
    formats = [fmt for _, fmt in ASKED]
    asked = {"candidates": ["naive"], "formats": formats, "lengths": [2], "effort": "brief"}
    return Plan.of(resolve(asked))


@pytest.fixture
def ledgers(tmp_path: Path, plan: Plan) -> Iterator[tuple[Ledger, Ledger]]:
    identity, cells = plan.settings.identity(), list(plan.cells())
    folders = [prepare(tmp_path / name, seed=0) for name in ("stopped", "whole")]
    a, b = (open_ledger(folder, identity, cells) for folder in folders)
    with a, b:
        yield a, b


def told(ledger: Ledger) -> str:
    """Return what a report begins with."""
    return " ".join(sentences(build(ledger, "stopped")))


def test_an_interrupt_costs_the_checks_of_one_format_at_most(
    plan: Plan, ledgers: tuple[Ledger, Ledger]
) -> None:
    stopped, whole = ledgers
    console = Console(file=io.StringIO())
    with InProcess() as executor:
        counted = Watched(executor, interrupted=0)
        examine(plan, whole, counted, console)
        last = len(counted.formats)
        assert [(c.name, fmt.name) for c, fmt in unchecked(plan, stopped)] == ASKED
        with pytest.raises(KeyboardInterrupt):
            examine(plan, stopped, Watched(executor, interrupted=last), console)
        assert [(c.name, fmt.name) for c, fmt in unchecked(plan, stopped)] == ASKED[1:]
        stopped.put("pairs", len(ASKED))
        assert build(stopped, "stopped").left == {"shards": 0, "checks": 1}
        assert "the checks of 1 pair of candidate and format are missing;" in told(stopped)
        again = Watched(executor, interrupted=0)
        examine(plan, stopped, again, console)
    assert not build(stopped, "stopped").left["checks"]
    assert "Incomplete" not in told(stopped)
    assert set(again.formats) == {"float8_e5m2"}
    for document in ("checks", "small", "shrunk"):
        assert stopped.get(document) == whole.get(document), document
