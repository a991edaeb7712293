"""A row that costs a worker or a time limit is called alone once, however often a proof comes to it.

The sample for symmetries, the estimate of the time and the proof itself go over the same rows. What one of
them found a row to do, dying or hanging when called alone, is told to the others without a call.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution import Executor, Fault, Outcome, Presentation
from harness.subject.execution.outcome import Closing
from reference.formats import FloatFormat

__all__ = ["Remembering"]

Array = NDArray[Any]

_COSTLY: Final = frozenset({"crashed", "timed_out"})


class Remembering(Closing):
    """An executor that leaves out rows of which another knows that they fail, and says how they do.

    Args:
        executor: calls the candidates; closed with this.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._lock = threading.Lock()
        self._known: defaultdict[tuple[str, str, str, int], dict[bytes, Fault]] = defaultdict(dict)

    def run(
        self,
        spec: str,
        x: Array,
        out_format: FloatFormat,
        timeout: float | None = None,
        *,
        presentation: Presentation = "plain",
        reduces: bool = False,
    ) -> Outcome:
        """See `Executor.run`."""
        if presentation != "plain":
            return self._executor.run(
                spec, x, out_format, timeout, presentation=presentation, reduces=reduces
            )
        with self._lock:
            known = self._known[spec, x.dtype.name, out_format.name, x.shape[1]]
            told = dict(known)
        met = _met(x, told)
        left = np.delete(np.arange(len(x)), list(met)) if met else slice(None)
        rest = x[left]
        if not len(rest):
            return Outcome.failed(len(x), *met.values())
        outcome = self._executor.run(spec, rest, out_format, timeout, reduces=reduces)
        found = [f for f in outcome.faults if f.row is not None and f.kind in _COSTLY]
        if found:
            with self._lock:
                known.update({rest[f.row].tobytes(): f for f in found})
        return outcome if isinstance(left, slice) else _put_back(outcome, left, met, len(x))

    def grant(self) -> None:
        """See `Executor.grant`."""
        self._executor.grant()

    def given_up(self) -> dict[str, str]:
        """See `Executor.given_up`."""
        return self._executor.given_up()

    def close(self) -> None:
        """Close what calls."""
        self._executor.close()


def _met(x: Array, known: dict[bytes, Fault]) -> dict[int, Fault]:
    """Return the rows of x that are known, by their places, with what they do."""
    if not known:
        return {}
    first = x.view(f"u{x.itemsize}")[:, 0]
    firsts = np.unique([np.frombuffer(row, first.dtype, 1)[0] for row in known])
    near = np.flatnonzero(np.isin(first, firsts)).tolist()
    rows = ((place, known.get(x[place].tobytes())) for place in near)
    return {place: replace(fault, row=place) for place, fault in rows if fault is not None}


def _put_back(outcome: Outcome, left: Array, met: dict[int, Fault], rows: int) -> Outcome:
    """Return the outcome of the rows that were left, and of those that were met, in their places."""
    completed = np.zeros(rows, dtype=np.bool_)
    completed[left] = outcome.completed
    outputs = None
    if outcome.outputs is not None:
        outputs = np.zeros((rows, *outcome.outputs.shape[1:]), dtype=outcome.outputs.dtype)
        outputs[left] = outcome.outputs
    new = (replace(f, row=None if f.row is None else int(left[f.row])) for f in outcome.faults)
    faults = sorted((*met.values(), *new), key=lambda f: rows if f.row is None else f.row)
    return Outcome(outputs, completed, tuple(faults))
