"""The subject: a candidate, the formats that it is asked in, and what calls it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from numpy.typing import NDArray

from harness.subject.candidates import Candidate
from harness.subject.execution import Executor, Outcome, Presentation
from reference.declaration import Declaration
from reference.formats import FloatFormat, format_named
from reference.model import Method
from reference.ops import Op
from reports.record.witness import CellKey
from strategies.logit_range import LogitRange

__all__ = ["Subject"]


@dataclass(frozen=True)
class Subject:
    """A candidate from one format to another, bound to what calls it.

    Attributes:
        format, out: the input's and the output's format.
        executor: calls the candidate.
        timeout: the most seconds that one call may take; None for the executor's own.
        reference: how the truth of its rows is computed.
        within: the range that every logit it is given is in; None for any.
    """

    candidate: Candidate
    format: FloatFormat
    out: FloatFormat
    executor: Executor
    timeout: float | None = None
    reference: Method = "certified"
    within: LogitRange | None = None

    @classmethod
    def of(
        cls,
        cell: CellKey,
        candidate: Candidate,
        executor: Executor,
        timeout: float | None = None,
        within: LogitRange | None = None,
    ) -> Self:
        """Return a candidate in the formats of a cell."""
        fmt, out = format_named(cell.format), format_named(cell.out_format)
        return cls(candidate, fmt, out, executor, timeout, within=within)

    def by(self, executor: Executor) -> Self:
        """Return the same, called by another executor."""
        return replace(self, executor=executor)

    @property
    def op(self) -> Op:
        """What the candidate computes."""
        return self.candidate.op

    @property
    def declaration(self) -> Declaration:
        """What the candidate is held to."""
        return self.candidate.declared(self.format)

    @property
    def is_supported(self) -> bool:
        """Whether the candidate takes these formats."""
        return self.candidate.supports(self.format, self.out)

    def cell(self, regime: str, length: int) -> CellKey:
        """Return the cell of its rows of a regime and length."""
        return CellKey(self.candidate.name, self.op.name, self.format.name, self.out.name, regime, length)

    def run(self, x: NDArray[Any], presentation: Presentation = "plain") -> Outcome:
        """Return what the candidate makes of rows x, shape (k, n); see `Executor.run`."""
        return self.executor.run(
            self.candidate.spec,
            x,
            self.out,
            self.timeout,
            presentation=presentation,
            reduces=self.op.reduces,
        )

    def outputs(self, x: NDArray[Any]) -> NDArray[Any] | None:
        """Return the outputs of rows (k, n), of the results' shape; None where any row has none."""
        outcome = self.run(x)
        return outcome.outputs if outcome.completed.all() else None
