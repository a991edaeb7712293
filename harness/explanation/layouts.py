"""Causes that rows called plainly do not show: axis, strides, place, neighbours, threads, the input itself.

Asked where all rows called plainly are sound: each arrangement is then held against the plain call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.checks.accuracy import as_accurate
from harness.checks.check import Check, Examined, Examinee, NotTried
from harness.checks.contract import REORDERED, longest_reordered
from harness.checks.running import check_named
from harness.checks.samples import EXTENTS, RowsOfLength, rows_of
from harness.explanation.cause import Cause
from harness.explanation.codes import CODES
from harness.subject.execution import Presentation
from harness.subject.subject import Subject

__all__ = ["of_layout"]

Array = NDArray[Any]

EXTENT: Final = EXTENTS["quick"]
MANY_ROWS: Final = ((33, 20_001), (3, 140_001), (2, 1_050_001))
"""Lengths and numbers of rows of the largest calls of short rows."""

MANY_ENTRIES: Final = (70_001, 260)
"""Length and number of the rows of the largest call."""

OF_BITS: Final = 32
"""The larger ones of these calls take long in narrower formats, which processors convert one by one."""

REFUSED: Final = "Error"


@dataclass(frozen=True)
class _Question:
    """One arrangement, and the cause that its violation is.

    Attributes:
        code, sentence: of the cause.
        check: the clause of the contract whose rows and limits are taken.
        presentations: that the clause is asked with; none for its own.
    """

    code: str
    sentence: str
    check: str
    presentations: tuple[Presentation, ...] = ()


AXES: Final[tuple[Presentation, ...]] = (
    "only_axis", "first_axis", "last_axis", "first_from_the_end", "first_of_cube", "middle_of_cube",
    "last_of_cube", "middle_from_the_end", "first_of_cube_from_the_end", "first_of_four", "second_of_four",
    "third_of_four", "last_of_four",
    "third_from_the_end", "second_from_the_end", "first_of_four_from_the_end",
)  # fmt: skip

QUESTIONS: Final = (
    _Question("input.overwritten", "entries of the input are overwritten", "unchanged"),
    _Question("output.reused", "a result changes when the function is called again", "keeps"),
    _Question("input.overrun", "the call writes to memory beside the rows", "placed", ("amid",)),
    _Question("axis.stacks", "vectors come out wrong", "placed", ("vectors",)),
    _Question("axis.stacks", "stacks of three axes come out wrong", "placed", ("cube",)),
    _Question("axis.stacks", "stacks of four axes come out wrong", "placed", ("four_axes",)),
    *(_Question("axis.ignored", f"rows along another axis come out wrong ({p})", "axis", (p,)) for p in AXES),
    _Question("strides.ignored", "every second column of an array is read wrongly", "strides", ("strided",)),
    _Question("strides.ignored", "rows with gaps between them are read wrongly", "strides", ("pitched",)),
    _Question("strides.ignored", "rows with negative strides are read wrongly", "strides", ("reversed",)),
    _Question("strides.ignored", "rows in Fortran order come out wrong", "strides", ("fortran",)),
    _Question("strides.ignored", "transposed stacks come out wrong", "strides", ("transposed",)),
    _Question("input.refused", "a read-only array is refused", "read_only"),
    _Question("input.refused", "an empty batch is refused", "shape"),
    _Question("output.negative_zero", "an output is -0", "negative_zero"),
    _Question("depends.threads", "calls from two threads disturb each other", "threads"),
    _Question("depends.batch", "a row's outputs differ alone and in a batch", "batch"),
)


def of_layout(subject: Subject) -> Cause | None:
    """Return the first clause of the contract that is broken, as a cause."""
    examinee = Examinee(subject, extent=EXTENT)
    lengths = rows_of(subject.format, EXTENT, 0)
    try:
        for rows in lengths:
            examinee.remember(rows.x)
    except NotTried:
        return None
    for question in QUESTIONS:
        if (found := _asked(examinee, question, lengths)) is not None:
            return found
    return None if subject.declaration.policy.batch == "accurate" else _of_large_calls(examinee)


def _asked(examinee: Examinee, question: _Question, lengths: Sequence[RowsOfLength]) -> Cause | None:
    """Return the cause that a question shows, from the first length that does."""
    check = check_named(question.check)
    if not _applies(check, examinee):
        return None
    asked = _arranged(question, check)
    tried = 0
    for rows in lengths:
        length = rows.x.shape[1]
        if not check.examines(length):
            continue
        some = rows.take(check.most(length))
        if check.thins(length, examinee.out):
            some = some.thinned(examinee.format)
        try:
            examined = asked(examinee, some.x)
        except NotTried:
            continue
        tried += int((examined.tried & ~examined.broken).sum())
        if examined.broken.any():
            broken = np.flatnonzero(examined.broken)
            return _named(question, examined.note(int(broken[0])), len(broken), tried)
    return None


def _applies(check: Check, examinee: Examinee) -> bool:
    candidate = examinee.candidate
    return not (
        (check.needs_axis and candidate.axis_parameter is None)
        or (check.needs_threads and not candidate.declaration.threads)
        or (check.needs_negative_zero and not examinee.out.has_negative_zero)
    )


def _arranged(question: _Question, check: Check) -> Callable[[Examinee, Array], Examined]:
    if not question.presentations:
        return check.examine
    if question.check in ("axis", "strides"):
        return as_accurate(*question.presentations, tiers=REORDERED, dense=longest_reordered)
    return as_accurate(*question.presentations)


def _named(question: _Question, said: str, broken: int, sound: int) -> Cause:
    """Return the cause; what is refused is no wrong result, and what writes beside its rows is that."""
    code, sentence = question.code, question.sentence
    where, _, message = said.partition(": ")
    if "beside the rows" in said:
        code, sentence = "input.overrun", CODES["input.overrun"]
    elif code == "input.overrun":
        code, sentence = "depends.place", CODES["depends.place"]
    elif "returned shape" in said:
        code, sentence = "axis.stacks", said
    elif question.presentations and REFUSED in message.partition(":")[0]:
        code, sentence = "input.refused", f"rows presented {where} are refused: {message}"
    return Cause(code, sentence, broken, broken, sound, sound)


def _of_large_calls(examinee: Examinee) -> Cause | None:
    """Return that rows far down in a large call are not as they are alone."""
    fmt, out = examinee.format, examinee.out
    wide = fmt.storage_bits >= OF_BITS
    for length, count in (*MANY_ROWS, MANY_ENTRIES) if wide else MANY_ROWS[:2]:
        if examinee.affordable(count, length) < count:
            continue
        ramp = np.linspace(-4.0, 0.0, length)
        some = fmt.from_float64(np.stack([np.roll(ramp, k) for k in range(7)]))
        x = np.ascontiguousarray(some[np.arange(count) % len(some)])
        whole, alone = examinee.call(x).outputs, examinee.call(some).outputs
        if whole is None or alone is None:
            continue
        same = np.ones(count, dtype=np.bool_)
        for k in range(len(some)):
            same[k :: len(some)] = (out.to_bits(whole[k :: len(some)]) == out.to_bits(alone[k])).all(axis=1)
        wrong = int((~same).sum())
        if wrong:
            first = int(np.flatnonzero(~same)[0])
            said = f"in a call of {count} rows of {length} entries, rows from {first} on are not as alone"
            return Cause("depends.batch", said, wrong, wrong, count - wrong, count - wrong)
    return None
