"""The verdicts of a gate: a limit, the figure observed, and whether it passes.

Only `pass` passes. A gate as a whole fails (1) where anything is over its budget, a defect, crashed or
timed out, gives no verdict (3) where anything was not measured, not certified or has no budget, or where
nothing passes, and passes (0) otherwise. A format that a candidate does not take is `unsupported`: it is
reported, and neither passes nor stops a gate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from reports.record.witness import json_float

__all__ = [
    "FAILED",
    "FORMAT",
    "PASSED",
    "Verdict",
    "VerdictStatus",
    "counted",
    "exit_code",
    "worst_first",
]

VerdictStatus = Literal[
    "pass",
    "over_budget",
    "no_budget",
    "defect",
    "crashed",
    "timed_out",
    "uncertified",
    "not_run",
    "unsupported",
]

FORMAT: Final = "format"
"""The metric of verdicts on a format that a candidate does not take."""

FAILED: Final = frozenset({"over_budget", "defect", "crashed", "timed_out"})

PASSED, FAILING, NO_VERDICT = 0, 1, 3

_ORDER: Final = (
    "crashed",
    "timed_out",
    "defect",
    "over_budget",
    "uncertified",
    "not_run",
    "no_budget",
    "unsupported",
    "pass",
)


@dataclass(frozen=True)
class Verdict:
    """The comparison of one limit with the figure observed.

    Attributes:
        candidate, format, out_format: of whom.
        regime, length: of which cell; None where it is about more than one.
        metric: a column of the table of cells, `tier`, the kind of a defect, `contract` and a check, or
            FORMAT.
        operator: `<=`, `>=`, or `meets` for a tier.
        limit: a number, or a tier's name; None where there is no budget.
        observed: unrounded; None where there is nothing to observe.
        status: only `pass` passes.
        message: why, in one line; what was excused, where it passes.
        witness: the id of a witness, and `replay` the command that runs it again.
        bits: the witness's input in hexadecimal where it is short.
        policy: the settings by which it was judged that differ from the default.
        rows: of the cell; None where it is about more than one.
        meets: of a tier that is missed, the tightest looser one that the same rows meet; empty where none.
        far: what follows from how large the witness's logits are; empty where they are ordinary.
    """

    candidate: str
    format: str
    out_format: str
    regime: str | None
    length: int | None
    metric: str
    operator: str
    limit: float | str | None
    observed: float | None
    status: VerdictStatus
    message: str = ""
    witness: str | None = None
    replay: str = ""
    bits: str = ""
    policy: str = ""
    rows: int | None = None
    meets: str = ""
    far: str = ""

    @property
    def stops(self) -> bool:
        """Whether it stops a gate from passing."""
        return self.status not in ("pass", "unsupported")

    @property
    def formats(self) -> str:
        """The format, and the output's where it is another."""
        return self.format if self.format == self.out_format else f"{self.format} > {self.out_format}"

    @property
    def place(self) -> str:
        """The cell within candidate and format."""
        parts = [self.regime or "", "" if self.length is None else f"n={self.length}"]
        return ", ".join(part for part in parts if part)

    @property
    def name(self) -> str:
        """The name of the verdict, unique in a gate."""
        return " / ".join(part for part in (self.candidate, self.formats, self.place, self.metric) if part)

    def document(self) -> dict[str, Any]:
        """Return the verdict as JSON, with its name."""
        limit = json_float(self.limit) if isinstance(self.limit, float) else self.limit
        return {"name": self.name, **asdict(self), "limit": limit, "observed": json_float(self.observed)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Verdict:
        """Return the verdict of a `document`."""
        values = {key: document[key] for key in cls.__dataclass_fields__ if key in document}
        values |= {name: math.inf for name in ("limit", "observed") if values.get(name) == "inf"}
        return cls(**values)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Return 0, 1 or 3 for all verdicts together."""
    statuses = {verdict.status for verdict in verdicts}
    if statuses & FAILED:
        return FAILING
    return PASSED if statuses - {"unsupported"} == {"pass"} else NO_VERDICT


def headline_name(verdicts: Iterable[Verdict]) -> str:
    """Return the outcome of all verdicts in a word or two."""
    return {PASSED: "pass", FAILING: "fail", NO_VERDICT: "no verdict"}[exit_code(verdicts)]


def counted(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return the number of verdicts of each status that occurs, the gravest first."""
    counts = Counter(verdict.status for verdict in verdicts)
    return {status: counts[status] for status in _ORDER if counts[status]}


def worst_first(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Sort verdicts by the gravity of their status, then by how far they exceed the limit."""
    return sorted(verdicts, key=lambda v: (_ORDER.index(v.status), -_excess(v)))


def _excess(verdict: Verdict) -> float:
    observed = verdict.observed
    if observed is None:
        return math.inf
    if not isinstance(verdict.limit, (int, float)) or not verdict.limit:
        return observed
    return observed / verdict.limit if verdict.operator == "<=" else verdict.limit - observed
