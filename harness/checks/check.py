"""What a check is, whom it examines, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness.candidates import Candidate
from harness.execution import Executor, Outcome, Presentation
from reference.formats import FloatFormat
from reference.rows import RowKind, row_kinds
from reports.tally import Witness

__all__ = [
    "Check",
    "CheckResult",
    "Examined",
    "Floor",
    "Kind",
    "Status",
    "Subject",
    "hexadecimal",
    "hexadecimal_of",
    "same_bits",
]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

Kind = Literal["contract", "property"]
"""A contract's violation is a defect; a property's may be a known consequence of floating-point order."""

Status = Literal["ok", "violated", "not_applicable", "not_run"]

Floor = Literal["rounded", "faithful"]
"""A tier that every output of the plain calls meets."""

SHOWN: Final = 8
"""Values written out of a long row."""


@dataclass(frozen=True)
class Examined:
    """What an examination of rows (k, n) found.

    Attributes:
        broken: the rows that break the rule, shape (k,).
        tried: the rows that could have.
        note: says of a broken row, by its place, what was seen.
    """

    broken: Flags
    tried: Flags
    note: Callable[[int], str]

    @classmethod
    def nothing(cls, rows: int) -> Examined:
        """Return what is found where the rule has nothing to say."""
        none = np.zeros(rows, dtype=np.bool_)
        return cls(none, none, lambda _: "")


@dataclass
class Subject:
    """A candidate in one format, and how it is called.

    Attributes:
        format, out: the input's and the output's format.
        timeout: the most seconds of a call; None for the executor's own.
        floor: what its plain calls were seen to keep, so that other calls must keep it too.
    """

    candidate: Candidate
    format: FloatFormat
    out: FloatFormat
    executor: Executor
    timeout: float | None = None
    floor: Floor | None = None
    _seen: dict[int, tuple[Array, Outcome]] = field(default_factory=dict)

    def call(self, x: Array, presentation: Presentation = "plain") -> Outcome:
        """Return what the candidate makes of rows (k, n), called now."""
        return self.executor.run(self.candidate.spec, x, self.out, self.timeout, presentation=presentation)

    def remember(self, x: Array) -> Outcome:
        """Call it on rows that more than one check will look at."""
        outcome = self.call(x)
        self._seen[id(x)] = (x, outcome)  # keeps x alive, and so its id its own
        return outcome

    def outcome(self, x: Array) -> Outcome:
        """Return what it made of rows, called now or remembered."""
        return self._seen[id(x)][1] if id(x) in self._seen else self.call(x)

    def judged(self, x: Array) -> tuple[Array, Flags]:
        """Return outputs (k, n) of rows, and which rows are completed and have an exact result."""
        outcome = self.outcome(x)
        if outcome.outputs is None:
            return np.zeros(x.shape, dtype=self.out.dtype), np.zeros(len(x), dtype=np.bool_)
        exact = row_kinds(self.format.to_float64(x)) < RowKind.NAN
        return outcome.outputs, outcome.completed & exact


@dataclass(frozen=True)
class Check:
    """One thing that every candidate is asked.

    Attributes:
        name: as given to users.
        kind: what a violation means.
        title: what is asked, in a few words.
        rule: exactly when it is kept.
        consequence: of a property, how floating-point order alone may break it.
        examine: looks at rows (k, n) of a subject.
        needs_axis: whether it applies only to candidates with an axis parameter.
        unpruned: whether it looks also at rows that a plain call does not complete.
        longest: rows of more entries are not examined; a number, or one that depends on the output format.
        most_rows: of rows of one length so many are examined, at most.
        rows_at_once: rows examined together when a counterexample is shrunk; 0 where it is left as found.
    """

    name: str
    kind: Kind
    title: str
    rule: str
    examine: Callable[[Subject, Array], Examined]
    consequence: str = ""
    needs_axis: bool = False
    unpruned: bool = False
    longest: int | Callable[[FloatFormat], int] = 1 << 20
    most_rows: int = 1 << 20
    rows_at_once: int = 1 << 15

    def examines(self, length: int, fmt: FloatFormat) -> bool:
        """Tell whether rows of a length are examined in an output format."""
        return length <= (self.longest(fmt) if callable(self.longest) else self.longest)


@dataclass(frozen=True)
class CheckResult:
    """What came of a check of a candidate in a format.

    Attributes:
        check: what was asked.
        candidate, format, out_format: of whom.
        status: `not_applicable` where the rule does not speak of it, `not_run` where nothing could be called.
        rows: rows tried.
        broken: how many of them break the rule.
        message: what was seen, or why there is nothing to see; empty where all is well.
        witness: the smallest counterexample found.
    """

    check: Check
    candidate: str
    format: str
    out_format: str
    status: Status
    rows: int = 0
    broken: int = 0
    message: str = ""
    witness: Witness | None = None

    def document(self) -> dict[str, Any]:
        """Return this result as JSON carries it."""
        named = ("candidate", "format", "out_format", "status", "rows", "broken", "message")
        check = self.check
        is_consequence = self.status == "violated" and check.kind == "property"
        return {
            "check": check.name,
            "kind": check.kind,
            "title": check.title,
            **{name: getattr(self, name) for name in named},
            "consequence": check.consequence if is_consequence else "",
            "witness": {"id": self.witness.id, **self.witness.document()} if self.witness else None,
        }


def same_bits(fmt: FloatFormat, a: Array, b: Array) -> Flags:
    """Tell which elements are the same bits, or both NaN."""
    equal = fmt.to_bits(a) == fmt.to_bits(b)
    return np.asarray(equal | (np.isnan(fmt.to_float64(a)) & np.isnan(fmt.to_float64(b))))


def hexadecimal(fmt: FloatFormat, row: Array) -> str:
    """Return the values of a row in hexadecimal, the first of a long one."""
    values = [hexadecimal_of(value) for value in fmt.to_float64(row[:SHOWN]).tolist()]
    more = [f"... {len(row) - SHOWN} more"] if len(row) > SHOWN else []
    return f"({', '.join([*values, *more])})"


def hexadecimal_of(value: float) -> str:
    """Return `value.hex()` without the zeros that end its significand."""
    significand, separator, exponent = value.hex().partition("p")
    return (significand.rstrip("0").rstrip(".") if "." in significand else significand) + separator + exponent
