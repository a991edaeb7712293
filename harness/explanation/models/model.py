"""A model: a softmax as a short program with one part that is wrong; its constants are measured.

A model is a guess that can be refuted: it says what the outputs of any row are, and `causes` holds that
against the rows that fail and against those that do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.questions import Questions
from reference.formats import FORMATS

__all__ = [
    "FLUSHED",
    "NARROW",
    "Floats",
    "Model",
    "Predict",
    "Softmax",
    "near",
    "softmax_of",
    "summed_up",
    "top",
    "works_of",
]

Floats = NDArray[np.float64]
Predict = Callable[[Floats], Floats]

NARROW: Final = (FORMATS["float16"], FORMATS["bfloat16"], FORMATS["float32"])
"""Formats that a part may be kept in by mistake."""

FLUSHED: Final = "--policy subnormals=flush"
"""What accepts that results below the normal range are 0."""


@dataclass(frozen=True)
class Model:
    """One part that is wrong, and what comes of it.

    Attributes:
        code: of the table of causes.
        sentence: the part, with its place.
        predict: the outputs of rows of shape (k, n).
        general: whether it is fitted to more than a few constants, such as a curve: it is named only where
            none with few constants accounts for as much.
        accepted: what accepts its violations, as people give it; empty where nothing does.
    """

    code: str
    sentence: str
    predict: Predict
    general: bool = False
    accepted: str = ""


def works_of(questions: Questions) -> tuple[np.dtype[Any], ...]:
    """Return the arithmetics in which a candidate may work."""
    names = {2: (np.float32, np.float16), 4: (np.float32,), 8: (np.float64,)}
    if questions.format.name == "bfloat16":
        return (np.dtype(np.float32),)
    return tuple(np.dtype(t) for t in names.get(questions.format.storage_bits // 8, (np.float32,)))


@dataclass(frozen=True)
class Softmax:
    """A softmax in an arithmetic, any of whose steps may be another."""

    work: np.dtype[Any]
    out: Callable[[Any], Floats]
    shift: Callable[[Any], Any] = lambda z: z.max(axis=-1, keepdims=True)
    exp: Callable[[Any], Any] = np.exp
    total: Callable[[Any], Any] = lambda e: e.sum(axis=-1, keepdims=True)
    divide: Callable[[Any, Any], Any] = lambda e, s: e / s
    end: Callable[[Any], Any] = lambda y: y
    begin: Callable[[Any], Any] = lambda z: z

    def __call__(self, x: Floats) -> Floats:
        """Return the outputs of rows of shape (k, n)."""
        with np.errstate(all="ignore"):
            z = self.begin(x.astype(self.work))
            e = np.asarray(self.exp(z - self.shift(z))).astype(self.work)
            y = self.end(self.divide(e, np.asarray(self.total(e)).astype(self.work)))
            return self.out(np.asarray(y).astype(np.float64))


def softmax_of(questions: Questions, work: np.dtype[Any], **steps: Any) -> Softmax:
    """Return a softmax in an arithmetic with some steps of its own, and outputs in the subject's format."""
    return Softmax(work, questions.rounded, **steps)


def top(z: Any) -> Any:
    """Return the largest entry of each row."""
    return z.max(axis=-1, keepdims=True)


def summed_up(e: Any) -> Any:
    """Return the sum of each row."""
    return e.sum(axis=-1, keepdims=True)


def near(value: float) -> float:
    """Return a round number close by, as people write constants."""
    if abs(value) < 1:
        return 0.0
    for digits in (1, 2, 3):
        rounded = float(f"{value:.{digits - 1}e}")
        if abs(rounded - value) <= 0.01 * abs(value) + 0.6:
            return rounded
    return value
