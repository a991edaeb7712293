"""Outputs, logits and differences of fewer bits, as many as rows show: rounded to nearest, or cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from harness.explanation.models.model import Model, softmax_of
from harness.explanation.questions import Questions

__all__ = ["of_bits"]

POINTS: Final = 2000
STEPS: Final = 64
FEWER: Final = 3
"""Bits that are missing where a part is called narrow; one or two are lost in quotients."""


def of_bits(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield outputs, logits and differences of fewer bits than their format has."""
    bits = _bits_of_outputs(questions)
    if bits <= questions.out.precision - FEWER:
        for said, kept in _roundings(bits):
            yield Model(
                "output.narrowed", f"outputs are {said} {bits} bits", softmax_of(questions, work, end=kept)
            )
    found = _bits_of_logits(questions)
    if found > min(questions.format.precision, questions.out.precision) - FEWER:
        return
    for bits in (found, found + 1):
        for said, kept in _roundings(bits):
            where = f"{said} {bits} bits"
            yield Model("input.narrowed", f"logits are {where}", softmax_of(questions, work, begin=kept))
            rounded = softmax_of(questions, work, exp=lambda t, kept=kept: np.exp(kept(t)))
            yield Model("shift.narrowed", f"x - max is {where}", rounded)


def _bits_of_outputs(questions: Questions) -> int:
    """Return the most bits that the significand of an output has."""
    d = questions.held(-np.linspace(0.01, 9, POINTS))
    y = questions.ask(np.column_stack([np.zeros_like(d), d]))
    y = y[(y > 64 * float(questions.out.smallest_normal)) & (y < 1)]
    if not y.size:
        return questions.out.precision
    whole = np.rint(np.frexp(y)[0] * 2.0**53).astype(np.int64)
    return 53 - int(np.log2(whole & -whole).min())


def _bits_of_logits(questions: Questions) -> int:
    """Return the bits of a logit a little below -1 that outputs depend on, or one fewer.

    Where they are cut off, logits from -1 to one unit of the last bit below it are alike; where they are
    rounded, to half of one.
    """
    for more in range(2, questions.format.precision):
        d = questions.held(-1 - np.arange(STEPS) * 2.0**-more / STEPS)
        y = questions.ask(np.column_stack([np.zeros_like(d), d]))
        if len(np.unique(y[:, 1])) == 1 and len(np.unique(d)) > 1:
            return more
    return questions.format.precision


def _roundings(bits: int) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    yield "rounded to", _kept(bits, np.rint)
    yield "cut off after", _kept(bits, np.trunc)


def _kept(bits: int, whole: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the rounding of significands to so many bits."""

    def kept(v: Any) -> Any:
        with np.errstate(all="ignore"):
            wide = np.asarray(v, dtype=np.float64)
            least = np.finfo(v.dtype).minexp + 1
            step = np.ldexp(1.0, np.maximum(np.frexp(wide)[1], least) - bits)
            narrow = whole(wide / step) * step
            return np.where(np.isfinite(v), narrow, v).astype(v.dtype)

    return kept
