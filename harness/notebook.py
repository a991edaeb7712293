"""Runs in a notebook: `harness.measure` makes one, `harness.load` opens one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.rooms import called_at_home

if TYPE_CHECKING:
    import pandas as pd

    from reports.record.ledger import Ledger
    from reports.rundata import RunData

__all__ = ["Run", "load", "measure"]


@dataclass(frozen=True, repr=False)
class Run:
    """A run as tables of pandas.

    A cell is one candidate, op, format, out_format, regime and length. These six columns stand in every
    table, and join any two of them.

    Attributes:
        cells: one line a cell, with the columns of `cells.parquet`.
        witnesses: one line a witness: a row that shows a defect or a greatest figure, with its logits `x`
            and its outputs `y` as arrays. Its `id` is what the columns `witness`, `max_ulp_witness`,
            `small_witness` and `small_max_ulp_witness` of a cell hold.
        rates: one line a rate of a cell: its counts, its value and the ends of its 95 % interval.
    """

    cells: pd.DataFrame
    witnesses: pd.DataFrame
    rates: pd.DataFrame
    _data: RunData

    @property
    def worst(self) -> pd.DataFrame:
        """The cells with an error above 0, the greatest ULP error first."""
        wrong = self.cells[self.cells["max_ulp"] > 0]
        return wrong.sort_values("max_ulp", ascending=False, kind="stable").reset_index(drop=True)

    def __repr__(self) -> str:
        sizes = f"{len(self.cells)} cells, {len(self.witnesses)} witnesses"
        left = ", interrupted: some cells are not measured" if any(self._data.left.values()) else ""
        return f"Run of {sizes}{left}; see .cells, .witnesses, .rates, .worst"

    @called_at_home
    def _repr_html_(self) -> str:
        from reports.page import first_screen

        return str(first_screen(self._data))


@called_at_home
def load(run: str | Path = "latest") -> Run:
    """Return a run that a command has written.

    Args:
        run: `latest`, `previous`, a folder's name in `harness-out`, or the path of a run folder.

    Raises:
        reports.record.run_folder.RunFolderError: there is no such run; the message says where it was sought.
        reports.record.ledger.LedgerError: the run is damaged, or another version of the program wrote it.
    """
    from reports.record.ledger import Ledger
    from reports.record.run_folder import LEDGER, find_run, reference_of

    folder = find_run(run)
    with Ledger.open(folder / LEDGER) as ledger:
        return _as_run(ledger, reference_of(folder))


@called_at_home
def measure(
    f: Callable[..., Any],
    format: str | Sequence[str] = "float32",
    effort: str = "quick",
    seed: int = 0,
    regimes: Sequence[str] = (),
    lengths: Sequence[int] = (),
    via: str | None = None,
    op: str | None = None,
    range: tuple[float, float] | None = None,
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
        op: what f computes, `softmax`, `log_softmax` or `logsumexp`; by default what it declares or its name
            says.
        range: the least and the greatest logit, for a function made for such; -inf lets masked entries in.

    Raises:
        harness.terminal.exceptions.UsageError: an argument is unknown; the message says what there is.
    """
    from harness.campaign.campaign import Campaign
    from harness.campaign.plan import Plan
    from harness.campaign.settings import resolve
    from harness.subject.candidates import from_function
    from harness.subject.execution import InProcess
    from harness.terminal.exceptions import UsageError, user_mistakes
    from reference.ops import op_named
    from reports.record.run_folder import open_ledger

    if not callable(f):
        raise UsageError(f"f {f!r}: give a function that takes an array")
    with user_mistakes():
        candidate = from_function(f, via=via, op=None if op is None else op_named(op))
    formats = [format] if isinstance(format, str) else list(format)
    given = {"formats": formats, "effort": effort, "seed": seed, "regimes": regimes, "lengths": lengths}
    given["range"] = range
    settings = resolve({**given, "candidates": [candidate.name], "jobs": 1})
    plan = Plan(settings, (candidate,))
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(Path(folder), settings.identity(), list(plan.cells()))
        with ledger, InProcess(load=lambda _: candidate) as executor:
            Campaign(plan).run(ledger, executor, lambda _shard, _tallies: None)
            return _as_run(ledger, "")


def _as_run(ledger: Ledger, name: str) -> Run:
    from reports.record.frames import frames
    from reports.rundata import build

    tables = frames(ledger)
    return Run(tables.cells, tables.witnesses, tables.rates, build(ledger, name))
