"""Measure a function in a notebook: `harness.measure`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.rooms import at_home

if TYPE_CHECKING:
    import pandas as pd

    from reports.record.ledger import Ledger

__all__ = ["Run", "measure"]


@dataclass(frozen=True, repr=False)
class Run:
    """The results of measuring one function.

    Attributes:
        cells: one row a cell, with the columns of `cells.parquet`.
        worst: the cells with the greatest ULP error, worst first, with their witnesses' bits.
    """

    cells: pd.DataFrame
    worst: pd.DataFrame
    _html: str

    def __repr__(self) -> str:
        return f"Run of {len(self.cells)} cells; see .cells, .worst"

    def _repr_html_(self) -> str:
        return self._html


@at_home()
def measure(
    f: Callable[..., Any],
    format: str | Sequence[str] = "float32",
    effort: str = "quick",
    seed: int = 0,
    regimes: Sequence[str] = (),
    lengths: Sequence[int] = (),
    via: str | None = None,
) -> Run:
    """Measure a softmax function in this process.

    Args:
        f: `f(x)`, `f(x, axis=)` or `f(x, dim=)`, for arrays of the format.
        format: a format's name, or several.
        effort: quick, standard or deep.
        seed: decides the rows.
        regimes: names of regimes and corpora; all, where left out.
        lengths: row lengths; those of the effort, where left out.
        via: the library of f's arrays: `torch`, `jax` or `cupy`, with @device if needed; NumPy by default.

    Raises:
        harness.terminal.exceptions.UsageError: an argument is unknown; the message says what there is.
    """
    from harness.campaign.campaign import Campaign
    from harness.campaign.settings import resolve
    from harness.subject.candidates import from_function
    from harness.subject.execution import InProcess
    from harness.terminal.exceptions import UsageError, user_mistakes
    from reports.record.run_folder import open_ledger

    if not callable(f):
        raise UsageError(f"f {f!r}: give a function that takes an array; load(name).call is a built-in's")
    with user_mistakes():
        candidate = from_function(f, via=via)
    formats = [format] if isinstance(format, str) else list(format)
    given = {"formats": formats, "effort": effort, "seed": seed, "regimes": regimes, "lengths": lengths}
    settings = resolve({**given, "candidates": [candidate.name], "jobs": 1})
    campaign = Campaign(settings, (candidate,))
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(Path(folder), settings.identity(), list(campaign.cells()))
        with ledger, InProcess(load=lambda _: candidate) as executor:
            campaign.run(ledger, executor, lambda _shard, _tallies: None)
            return _as_run(ledger)


def _as_run(ledger: Ledger) -> Run:
    from reports.page import first_screen
    from reports.record.cells import table
    from reports.rundata import build

    run = build(ledger, "in-process")
    cells = table(list(run.cells))
    worst = cells[cells["max_ulp"] > 0].sort_values("max_ulp", ascending=False, kind="stable")
    return Run(cells, worst.reset_index(drop=True), str(first_screen(run)))
