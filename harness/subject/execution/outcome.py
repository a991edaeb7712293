"""The result of calling a candidate on a batch of rows, and the protocol of executors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.calls import FaultKind, Presentation
from reference.formats import FloatFormat, format_of

__all__ = ["Closing", "Executor", "Fault", "Outcome", "check_rows", "joined"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong.

    Attributes:
        kind: what happened.
        row: the row that causes it when called alone; None where no single row does, as the message
            then explains.
        message: one line for the report.
    """

    kind: FaultKind
    row: int | None
    message: str


@dataclass(frozen=True)
class Outcome:
    """The outputs of the rows that completed, and the faults.

    Attributes:
        outputs: shape (rows, n), or (rows, 1) of a candidate that reduces rows, the output format's dtype;
            rows that did not complete hold meaningless zeros. None where no row completed.
        completed: which rows have outputs, shape (rows,).
        faults: by row, those of no single row last; empty if and only if nothing went wrong.
        overwritten: which rows of its input the candidate changed, shape (rows,); None unless the
            rows were presented as `watched`.
        seconds: time of the call without waits for a processor; None where it is not known.
    """

    outputs: Array | None
    completed: NDArray[np.bool_]
    faults: tuple[Fault, ...] = ()
    overwritten: NDArray[np.bool_] | None = None
    seconds: float | None = None

    @classmethod
    def failed(cls, rows: int, *faults: Fault) -> Self:
        """Return the outcome of a batch in which no row completed."""
        return cls(None, np.zeros(rows, dtype=np.bool_), faults)

    def of(self, part: slice) -> Outcome:
        """Return the outcome of some rows; faults of no single row go with the first row of the batch."""
        rows = range(len(self.completed))[part]
        if len(rows) == len(self.completed):
            return self
        own = (f for f in self.faults if (rows.start == 0 if f.row is None else f.row in rows))
        faults = tuple(f if f.row is None else replace(f, row=f.row - rows.start) for f in own)
        y, changed = self.outputs, self.overwritten
        return Outcome(
            None if y is None else y[part],
            self.completed[part],
            faults,
            None if changed is None else changed[part],
        )


def joined(outcome: Outcome, rest: Outcome, rows: NDArray[np.intp]) -> Outcome:
    """Return an outcome completed with rows that were left out and called again.

    Args:
        outcome: with outputs; its faults of no single row are dropped, since they say why rows were left out.
        rest: the outcome of the rows that were left out, with outputs.
        rows: their indices in the batch.
    """
    assert outcome.outputs is not None
    assert rest.outputs is not None
    outputs, completed = outcome.outputs.copy(), outcome.completed.copy()
    outputs[rows], completed[rows] = rest.outputs, rest.completed
    own = [fault for fault in outcome.faults if fault.row is not None]
    new = [replace(f, row=None if f.row is None else int(rows[f.row])) for f in rest.faults]
    faults = sorted((*own, *new), key=lambda f: len(completed) if f.row is None else f.row)
    return Outcome(outputs, completed, tuple(faults))


class Executor(Protocol):
    """Calls candidates; a context manager. `run` may be called from several threads."""

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
        """Call the candidate on rows x, shape (rows, n), of a format's dtype.

        Args:
            spec: a built-in's name, `module:function` or `path/file.py:function`.
            x: the rows; never changed.
            out_format: the format that the outputs must have.
            timeout: the most seconds one call may take; None for the executor's own.
            presentation: how the rows are presented to the candidate.
            reduces: whether it has one result a row; its outputs then have shape (rows, 1).

        Raises:
            ValueError: x is not two-dimensional, is empty, or is of no known format. What the
                candidate does is in the `Outcome`, and never raises.
        """

    def grant(self) -> None:
        """Allow each candidate that has failed a little more time, for the stage that begins."""

    def given_up(self) -> dict[str, str]:
        """Return, by spec, what was not tried of a candidate, and why."""

    def close(self) -> None:
        """Stop, and leave no process behind."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Closing:
    """A context manager that closes."""

    def close(self) -> None:
        """Stop."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_rows(x: Array) -> Array:
    """Return x as a C-contiguous array.

    Raises:
        ValueError: it is not of shape (rows, n) with both at least 1, or of no known format.
    """
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"rows of shape {x.shape}: an executor takes (rows, n), both at least 1")
    format_of(x.dtype)
    return np.ascontiguousarray(x)
