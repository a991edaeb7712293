"""The exponential and the division, read off rows whose sum rounds to a small whole number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import mpmath
import numpy as np
from numpy.typing import NDArray

from harness.explanation.questions import Questions

__all__ = ["Curve", "Division", "curve_of", "division_of"]

Floats = NDArray[np.float64]

POINTS: Final = 600
TAIL: Final = 0.97
"""Of the range: the arguments that are in its end."""
WRONG: Final = 2.0**-14
"""A factor of arguments that differs from 1 by more is a base of its own; float16 is asked no finer."""
ZEROS: Final = (3, 5, 7)
"""Sums whose reciprocals are rounded."""
_CONTEXT: Final = mpmath.MPContext()
_CONTEXT.prec = 160


@dataclass(frozen=True)
class Curve:
    """exp over its range.

    Attributes:
        arguments: what was asked, from -0 downwards.
        values: exp as computed: exact where the sum rounds to 1, else the quotient of two outputs.
        errors: in ULP of the output's format.
        exact: where the value is what exp gave.
        tiny: from what on values have all the digits of the format.
    """

    arguments: Floats
    values: Floats
    errors: Floats
    exact: NDArray[np.bool_]
    tiny: float

    @property
    def worst(self) -> tuple[float, float]:
        """The largest exact error, and its argument."""
        kept = np.where(self.exact, np.nan_to_num(self.errors, nan=np.inf), -1)
        at = int(kept.argmax())
        return float(kept[at]), float(self.arguments[at])

    @property
    def falls(self) -> int:
        """How often a larger argument has a smaller value, among the exact ones."""
        values = self.values[self.exact]
        return int((np.diff(values) > 0).sum())

    @property
    def last(self) -> float:
        """The least argument asked whose value is not 0."""
        alive = self.arguments[self.values > 0]
        return float(alive.min()) if len(alive) else 0.0

    @property
    def least(self) -> float | None:
        """The value that all of the least arguments have, where it is not 0; else None."""
        tail = self.values[self.arguments < TAIL * self.arguments.min()]
        return float(tail[0]) if len(tail) and tail.min() == tail.max() > 0 else None

    @property
    def scale(self) -> float | None:
        """The factor of the arguments, where the values are exponentials of multiples; else None."""
        some = (self.arguments < -1) & (self.values > self.tiny)
        with np.errstate(all="ignore"):
            factors = np.log(self.values[some]) / self.arguments[some]
        if not len(factors):
            return None
        middle = float(np.median(factors))
        off = abs(middle - 1)
        return middle if off > WRONG and float(np.ptp(factors)) < off / 4 else None


def curve_of(questions: Questions, points: int = POINTS) -> Curve:
    """Return exp over its range and a little beyond: the argument of each row (0, -d)."""
    out = questions.out
    lowest = 1.03 * float(np.log(2.0)) * (out.quantum_exponent - 2)
    d = np.unique(questions.held(np.linspace(lowest, 0, points)))[::-1]
    d = d[d < 0]
    y = questions.ask(np.column_stack([np.zeros_like(d), d]))
    with np.errstate(all="ignore"):
        values = y[:, 1] / y[:, 0]
    exact = (y[:, 0] == 1) & (d < -float(np.log(2.0)) * (out.precision + 1))
    return Curve(d, values, _errors(questions, d, values), exact, float(out.smallest_normal))


def _errors(questions: Questions, d: Floats, values: Floats) -> Floats:
    """Return |value - exp(d)| in ULP of the exact one."""
    found = np.full(len(d), np.nan)
    out = questions.out
    for i, (argument, value) in enumerate(zip(d.tolist(), values.tolist(), strict=True)):
        if np.isfinite(value):
            true = _CONTEXT.exp(_CONTEXT.mpf(argument))
            exponent = max(_CONTEXT.mag(true) - 1, out.emin)
            if _CONTEXT.ldexp(1, exponent) > true and exponent > out.emin:
                exponent -= 1
            ulp = _CONTEXT.ldexp(1, exponent - out.precision + 1)
            found[i] = float(abs(_CONTEXT.mpf(value) - true) / ulp)
    return found


@dataclass(frozen=True)
class Division:
    """How the sum divides: how many telling rows agree with each way."""

    telling: int
    division: int
    reciprocal: int
    wide: int
    asked: int

    @property
    def way(self) -> str | None:
        """What all telling rows but a few agree with."""
        for name in ("division", "reciprocal"):
            if self.telling and getattr(self, name) >= 0.995 * self.telling:
                return name
        return None


def division_of(questions: Questions, curve: Curve) -> Division:
    """Return what rows of 3, 5 and 7 zeros and one entry of a known exponential say of the division."""
    normal = float(questions.out.smallest_normal) * 16
    some = curve.exact & (curve.values > normal)
    e, d = curve.values[some], curve.arguments[some]
    telling = division = reciprocal = wide = asked = 0
    for zeros in ZEROS:
        if not len(d):
            break
        x = np.zeros((len(d), zeros + 1))
        x[:, -1] = d
        y = questions.ask(x)[:, -1]
        by_division = questions.rounded(e / zeros)
        by_reciprocal = questions.rounded(e * float(questions.rounded(1 / zeros)))
        once = questions.rounded(np.exp(d) / zeros)
        apart = by_division != by_reciprocal
        telling += int(apart.sum())
        division += int((y == by_division)[apart].sum())
        reciprocal += int((y == by_reciprocal)[apart].sum())
        wide += int((y == once)[apart].sum())
        asked += len(d)
    return Division(telling, division, reciprocal, wide, asked)
