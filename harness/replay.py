"""Call a candidate on one witness again, and compare computed with exact values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Judged, Rows, tally_of
from harness.measurement.tiers import TIER_KINDS, judge_by_tiers
from harness.subject.execution import Outcome
from harness.subject.subject import Subject
from harness.witnesses.recipes import batch_of, is_same_output, row_of
from reference.errors import ElementClass, Judgement
from reference.formats import FloatFormat, format_named
from reference.ops import op_named
from reference.row_kinds import RowKind
from reports.figures import exact as spelled
from reports.record.cells import cell_row
from reports.record.ledger import CellInfo
from reports.record.metrics import METRICS
from reports.record.tally import Tally
from reports.record.witness import Witness, json_float
from reports.record.witness_kinds import DEFECT_KINDS

if TYPE_CHECKING:
    from harness.checks import Check

__all__ = [
    "WITHIN_STANDARD",
    "ElementReplay",
    "Replay",
    "replay_witness",
]

EXACT_DIGITS = 20
EXACT_BITS = 200

WITHIN_STANDARD: Final[Mapping[str, float]] = MappingProxyType(
    {name: metric.within for name, metric in METRICS.items() if metric.within is not None}
)
"""Limits for a row where a run has none: the bounds of `standard` and of the declared algorithm."""


@dataclass(frozen=True)
class ElementReplay:
    """One element: encodings in hexadecimal, values in decimal, and the verdict.

    `exact` is the exact result to twenty digits and `nearest` RN of it; both are empty on policy rows. Where
    a row has one result, all but its largest entry have nothing but x.
    """

    index: int
    x: str
    x_bits: str
    y: str = ""
    y_bits: str = ""
    nearest: str = ""
    nearest_bits: str = ""
    exact: str = ""
    ulp: float = 0.0
    element_class: str = ""


@dataclass(frozen=True)
class Replay:
    """A replayed witness.

    Attributes:
        witness: the one replayed.
        message: why there are no outputs; empty where there are.
        elements: all elements of the row; empty where there are no outputs.
        tally: of the row.
        same_bits: whether the outputs are those that the witness recorded.
        broken: the violation that the row still shows; empty where none.
        among: the number of rows in the call: those of the batch that the witness was seen in, where the row
            alone has other outputs and shows no violation.
    """

    witness: Witness
    message: str
    elements: tuple[ElementReplay, ...]
    tally: Tally
    same_bits: bool
    broken: str = ""
    among: int = 1

    @property
    def is_sound(self) -> bool:
        """Whether the candidate gave outputs that show no violation any more."""
        return not self.message and not self.broken

    def document(self) -> dict[str, Any]:
        """Return the replay as JSON."""
        t = self.tally
        return {
            "witness": {"id": self.witness.id, **self.witness.document()},
            "message": self.message,
            "sound": self.is_sound,
            "broken": self.broken,
            "same_bits": self.same_bits,
            "among": self.among,
            "max_ulp": json_float(t.max_ulp),
            "bound_ratio": json_float(t.max_bound_ratio),
            "row_sum_error": json_float(t.worst_row_sum_error),
            "outcomes": dict(t.outcomes),
            "elements": [{**vars(e), "ulp": json_float(e.ulp)} for e in self.elements],
        }


def replay_witness(
    witness: Witness,
    subject: Subject,
    limits: Mapping[str, float] = WITHIN_STANDARD,
) -> Replay:
    """Call the candidate on the row of a witness again.

    A witness of a check is judged by that check, one against a tier by that tier, and any other by the
    limits: no defect, and no figure above its limit. Where the row alone shows nothing and has other outputs
    than were recorded, it is called in the batch that it was seen in.

    Args:
        witness: the one to replay.
        subject: calls the candidate, and judges by its policy.
        limits: for the figures of the row, by columns of the table of cells.

    Raises:
        UsageError: the witness's bits are not a row of its format.
    """
    rows = _rows(witness)
    alone = _replayed(witness, subject, limits, rows, subject.run(rows.x))
    if not alone.is_sound or alone.same_bits or _check_of(witness) is not None:
        return alone
    batch = batch_of(witness)
    if batch is None or len(batch.x) == 1:
        return alone
    among = _replayed(witness, subject, limits, rows, _of_row(subject.run(batch.x), batch.row))
    is_conclusive = among.same_bits or not among.is_sound
    return replace(among, among=len(batch.x)) if is_conclusive else alone


def _of_row(outcome: Outcome, row: int) -> Outcome:
    """Return the outcome of one row of a batch."""
    mine = slice(row, row + 1)
    outputs = None if outcome.outputs is None else outcome.outputs[mine]
    faults = tuple(fault for fault in outcome.faults if fault.row in (None, row))
    return Outcome(outputs, outcome.completed[mine], faults)


def _replayed(
    witness: Witness,
    subject: Subject,
    limits: Mapping[str, float],
    rows: Rows,
    outcome: Outcome,
) -> Replay:
    """Return the replay that an outcome of the row shows."""
    if outcome.outputs is None or not outcome.completed.all():
        message = "; ".join(f"{f.kind}: {f.message}" for f in outcome.faults)
        return Replay(witness, message, (), Tally(), same_bits=False)
    y = outcome.outputs
    judged = Judged(rows, y, subject.declaration)
    tally = tally_of(witness.cell, judged)
    same = is_same_output(witness, y[0])
    elements = tuple(_elements(rows, y, rows.judge(y)))
    broken = "; ".join(_broken(witness, subject, judged, tally, limits))
    return Replay(witness, "", elements, tally, same, broken)


def _broken(
    witness: Witness, subject: Subject, judged: Judged, tally: Tally, limits: Mapping[str, float]
) -> Iterator[str]:
    """Yield the violations of its witness that the row still shows."""
    if witness.kind in TIER_KINDS:
        tier = TIER_KINDS[witness.kind]
        held = judge_by_tiers(witness.cell, judged, [tier])
        clauses = (name.partition(":")[2] for name in held.violations)
        yield from (f"{clause}, which the tier {tier.name} forbids" for clause in clauses)
        return
    check = _check_of(witness)
    if check is not None:
        from harness.checks import Examinee

        examined = check.examine(Examinee(subject), judged.rows.x)
        if examined.broken[0]:
            yield f"not kept: {check.title}: {examined.note(0)}"
        return
    yield from sorted({w.kind for w in tally.witnesses} & DEFECT_KINDS)
    spared = replace(tally, max_bound_ratio=judged.without_flushes().greatest("bound_ratio"))
    row = cell_row(CellInfo(witness.cell, sampled=False), spared)
    for name, limit in limits.items():
        if row[name] is not None and row[name] > limit:
            yield f"{name} {float(row[name])!r} is above {limit!r}"


def _check_of(witness: Witness) -> Check | None:
    """Return the check that a witness is about; None where it is about none."""
    from harness.checks import CHECKS

    return next((c for c in CHECKS if c.name == witness.kind and not witness.score), None)


def _rows(witness: Witness) -> Rows:
    fmt, out = format_named(witness.cell.format), format_named(witness.cell.out_format)
    op = op_named(witness.cell.op)
    return Rows.of(fmt, row_of(witness)[None, :], out, labels=(witness.origin,), method="mpmath", op=op)


def _elements(rows: Rows, y: NDArray[Any], judgement: Judgement) -> Iterator[ElementReplay]:
    """Yield the entries of a row with their results; the one result of a row stands beside its largest."""
    fmt, out = rows.format, rows.truth.format
    nearest = out.from_float64(rows.truth.nearest[0])
    exact = _exact_digits(rows)
    is_policy = RowKind(rows.truth.kinds[0]).is_policy
    x_text, y_text, nearest_text = (_texts(f, a) for f, a in ((fmt, rows.x[0]), (out, y[0]), (out, nearest)))
    places = {int(np.argmax(rows.values[0])): 0} if rows.op.reduces else {i: i for i in range(len(x_text))}
    for entry, (x, x_bits) in enumerate(x_text):
        if (i := places.get(entry)) is None:
            yield ElementReplay(entry, x, x_bits)
            continue
        yield ElementReplay(
            index=entry,
            x=x,
            x_bits=x_bits,
            y=y_text[i][0],
            y_bits=y_text[i][1],
            nearest="" if is_policy else nearest_text[i][0],
            nearest_bits="" if is_policy else nearest_text[i][1],
            exact=exact(i),
            ulp=float(judgement.ulp[0, i]),
            element_class=ElementClass(judgement.classes[0, i]).name.lower(),
        )


def _texts(fmt: FloatFormat, row: NDArray[Any]) -> list[tuple[str, str]]:
    """Return each value as the shortest decimal that float64 reads back, and its encoding."""
    digits = fmt.hex_digits
    values, bits = fmt.to_float64(row).tolist(), fmt.to_bits(row).tolist()
    return [(repr(v), f"0x{b:0{digits}x}") for v, b in zip(values, bits, strict=True)]


def _exact_digits(rows: Rows) -> Callable[[int], str]:
    if RowKind(rows.truth.kinds[0]).is_policy:
        return lambda _: ""
    exact = np.reshape(rows.op.exact(rows.values[0], EXACT_BITS), -1)
    return lambda i: spelled(exact[i], EXACT_DIGITS)
