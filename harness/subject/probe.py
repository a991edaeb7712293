"""What a tiny row tells of a candidate before any is measured: the formats it takes, and its op."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates import Candidate
from harness.subject.execution import Executor
from reference.formats import FloatFormat
from reference.ops import OPS, Op, with_settings
from strategies.logit_range import LogitRange

__all__ = ["other_op", "probed"]

_ENTRIES: Final = 4


def probed(
    candidate: Candidate,
    formats: Iterable[FloatFormat],
    out_format: FloatFormat | None,
    executor: Executor,
    within: LogitRange | None = None,
) -> Candidate:
    """Return the candidate with the formats that it refuses.

    A format is refused where a row of zeros raises, and one of another format does not. A library's softmax
    that returns another format than was asked for does not take it either; of a user's function that is a
    finding, and so is, of both, whatever else goes wrong. In a range without 0 its nearest number is called.
    """
    if candidate.formats is not None:
        return candidate
    kinds = ("unsupported", "wrong_dtype", "raised") if candidate.version else ("unsupported",)
    refused = {}
    for fmt in formats:
        for fault in executor.run(
            candidate.spec, _equal(fmt, 0.0, within), out_format or fmt, reduces=candidate.op.reduces
        ).faults:
            if fault.kind in kinds:
                refused[fmt.name] = fault.message
    return replace(candidate, refused=refused) if refused else candidate


def other_op(
    candidate: Candidate,
    fmt: FloatFormat,
    out: FloatFormat,
    executor: Executor,
    within: LogitRange | None = None,
) -> Op | None:
    """Return the op whose result a user's function gives of equal entries, unless its own fits; else None.

    The entries are 1, or the nearest number in the range.

    It is called again, as what reduces rows or does not, only where its shape was wrong: a function that dies
    of the row loses one worker.
    """
    if ":" not in candidate.spec or candidate.version:
        return None
    x = _equal(fmt, 1.0, within)
    for reduces in (candidate.op.reduces, not candidate.op.reduces):
        outcome = executor.run(candidate.spec, x, out, reduces=reduces)
        if outcome.outputs is None:
            if any(fault.kind != "wrong_shape" for fault in outcome.faults):
                return None
            continue
        values = out.to_float64(outcome.outputs)
        ops = (with_settings(op, candidate.op.fused) for op in OPS.values())
        fits = [op for op in ops if op.reduces == reduces and _is_near(op, x, fmt, out, values)]
        return None if candidate.op in fits else next(iter(fits), None)
    return None


def _is_near(
    op: Op, x: NDArray[np.generic], fmt: FloatFormat, out: FloatFormat, y: NDArray[np.float64]
) -> bool:
    nearest = op.truth(fmt.to_float64(x), out, "mpmath").nearest
    return bool((np.abs(y - nearest) <= np.abs(nearest) / 4).all())


def _equal(fmt: FloatFormat, value: float, within: LogitRange | None) -> NDArray[np.generic]:
    return fmt.from_float64([[value if within is None else within.nearest(fmt, value)] * _ENTRIES])
