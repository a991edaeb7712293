"""Which formats a candidate takes that does not say so: one tiny row of each, before any is measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from harness.subject.candidates import Candidate
from harness.subject.execution import Executor
from reference.formats import FloatFormat

__all__ = ["probed"]

_ENTRIES: Final = 4


def probed(
    candidate: Candidate, formats: Iterable[FloatFormat], out_format: FloatFormat | None, executor: Executor
) -> Candidate:
    """Return the candidate with the formats that it refuses.

    A format is refused where a row of zeros raises, and one of another format does not. A library's softmax
    that returns another format than was asked for does not take it either; of a user's function that is a
    finding, and so is, of both, whatever else goes wrong.
    """
    if candidate.formats is not None:
        return candidate
    kinds = ("unsupported", "wrong_dtype", "raised") if candidate.version else ("unsupported",)
    refused = {}
    for fmt in formats:
        row = fmt.from_float64([[0.0] * _ENTRIES])
        for fault in executor.run(
            candidate.spec, row, out_format or fmt, reduces=candidate.op.reduces
        ).faults:
            if fault.kind in kinds:
                refused[fmt.name] = fault.message
    return replace(candidate, refused=refused) if refused else candidate
