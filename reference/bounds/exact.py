"""The truth about a row in the units that the bounds use: ulps of the exact result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.errors import ulp_exponents
from reference.model import RESIDUAL_TOLERANCE, Truth

__all__ = ["Exact", "exact_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Exact:
    """Exact results r of (rows, n) entries, each with the side on which it may be off.

    Attributes:
        ulps: r / ulp(r), from above.
        exponents: the exponent of ulp(r).
        largest: the row's largest r, from above, shape (rows, 1).
        largest_low: the same from below.
        largest_rest: 1 minus it, from above.
        rest: 1 - r, from above.
        room: (1 - r) / ulp(r), from above; inf where that leaves float64.
        top: the index of the row's largest r, shape (rows, 1).
    """

    ulps: Floats
    exponents: NDArray[np.int32]
    largest: Floats
    largest_low: Floats
    largest_rest: Floats
    rest: Floats
    room: Floats
    top: NDArray[Any]

    def at_top(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values at each row's largest r, shape (rows, 1)."""
        return np.take_along_axis(values, self.top, axis=1)


def exact_of(x: Floats, truth: Truth) -> Exact:
    """Return the truth about rows x in these units; it gives r within RESIDUAL_TOLERANCE ulp."""
    exponents = ulp_exponents(truth)
    ulps = np.ldexp(truth.nearest, -exponents) + truth.residual
    top = np.argmax(x, axis=1)[:, None]
    nearest, shift = np.take_along_axis(truth.nearest, top, 1), np.take_along_axis(exponents, top, 1)
    residual = np.take_along_axis(truth.residual, top, 1)
    slack = np.ldexp(RESIDUAL_TOLERANCE, shift) + 2.0**-52 * nearest
    largest, rest = nearest + np.ldexp(residual, shift), (1.0 - nearest) - np.ldexp(residual, shift)
    above = np.ldexp(truth.residual - RESIDUAL_TOLERANCE, exponents)
    room = np.ldexp(1.0 - truth.nearest, -exponents) - truth.residual + RESIDUAL_TOLERANCE
    return Exact(
        ulps=ulps + RESIDUAL_TOLERANCE,
        exponents=exponents,
        largest=largest + slack,
        largest_low=np.maximum(largest - slack, 1.0 / truth.nearest.shape[1] * (1 - 2.0**-52)),
        largest_rest=rest + np.ldexp(RESIDUAL_TOLERANCE, shift),
        rest=((1.0 - truth.nearest) - above) * (1 + 2.0**-52),
        room=room,
        top=top,
    )
