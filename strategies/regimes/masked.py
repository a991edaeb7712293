"""Rows with some entries -inf, as attention masks leave them, and their finite entries near or far.

Far below every finite number that stands in for -inf, such a stand-in wins; a block that is
all -inf must vanish from a merge; an entry that is masked must not leak.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.layout import COUNTS, PLACES, RUNS, count, grouped, place, run
from strategies.regime import Regime
from strategies.source import F64, I64, Source
from strategies.thresholds import log_largest

__all__ = ["REGIMES"]

Array = NDArray[Any]
Mask = NDArray[np.bool_]

_SENTINEL_OCTAVES: Final = 30
"""Stand-ins in use reach from -1e4 to -1e9, which is 30 octaves, and to the largest float32."""


def _with_mask(fmt: FloatFormat, values: F64, masked: Mask) -> Array:
    from reference.certified.narrowing import narrowed

    omega = float(fmt.largest)
    return narrowed(np.where(masked, -np.inf, np.clip(values, -omega, omega)), fmt)


def _one_sided(at: I64, masked: Mask) -> None:
    """Let no row be all masked or all finite: unmask one entry, mask its neighbour."""
    rows, length = np.arange(len(at)), masked.shape[1]
    masked[rows, (at + 1) % length] = True
    masked[rows, at] = False


def _masked(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Any share of the entries is masked: singly, by blocks, by strides; scales as in wide-normal."""
    pattern, share, where = source.turns(3, 4, PLACES, rows=rows)
    probability = np.array([0.5, 0.1, 0.9, 1.0 / length])[share]
    drawn = source.chance(probability[:, None], (rows, length))
    masked = grouped(drawn, pattern, source.below(length.bit_length(), (rows,)))
    _one_sided(place(source, where, length), masked)
    scale = np.ldexp(log_largest(fmt), -source.below(6, (rows,)))[:, None]
    return _with_mask(fmt, source.normal((rows, length)) * scale, masked)


def _all_but_one(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """One finite entry: ordinary, beyond the range of exp, or of any magnitude, of either sign."""
    kind, where = source.turns(3, PLACES, rows=rows)
    shape = (rows,)
    beyond = source.sign(shape) * source.between(1.0, 4.0, shape) * log_largest(fmt)
    anything = source.sign(shape) * source.magnitude(fmt.emin, fmt.emax, shape)
    entry = np.choose(kind, [source.normal(shape), beyond, anything])
    at = place(source, where, length)
    masked = np.arange(length) != at[:, None]
    return _with_mask(fmt, np.broadcast_to(entry[:, None], masked.shape), masked)


def _causal(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """A run of masked entries at the end, at the beginning, or anywhere: one, all but one, a power of two."""
    where, many = source.turns(RUNS, COUNTS, rows=rows)
    hidden = count(source, many, 1, length - 1)
    masked = run(source, where, hidden, length)
    scale = np.ldexp(8.0, -source.below(6, (rows,)))[:, None]
    return _with_mask(fmt, source.normal((rows, length)) * scale, masked)


def _masked_low(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """Finite entries from -16 down to -Omega: about the usual stand-ins for -inf, and below them all."""
    kind, where, many = source.turns(4, RUNS, COUNTS, rows=rows)
    shape = (rows,)
    lowest = min(4, fmt.emax)
    usual = source.magnitude(lowest, min(fmt.emax, _SENTINEL_OCTAVES), shape)
    upper = source.magnitude(max(fmt.emax - 2, lowest), fmt.emax, shape)
    anything = source.magnitude(lowest, fmt.emax, shape)
    level = -np.choose(kind, [usual, anything, upper, np.full(rows, np.inf)])
    hidden = count(source, many, 1, length - 1)
    masked = run(source, where, hidden, length)
    return _with_mask(fmt, level[:, None] + source.normal((rows, length)), masked)


REGIMES = (
    Regime(
        "masked",
        "some entries -inf: singly, by blocks, by strides",
        _masked,
        min_length=2,
        needs_infinity=True,
        nonfinite=(-np.inf,),
    ),
    Regime(
        "causal",
        "the last or first entries -inf",
        _causal,
        min_length=2,
        needs_infinity=True,
        nonfinite=(-np.inf,),
    ),
    Regime(
        "all-but-one-masked",
        "one entry finite, the others -inf",
        _all_but_one,
        2,
        needs_infinity=True,
        nonfinite=(-np.inf,),
    ),
    Regime(
        "masked-low",
        "some entries -inf, the finite ones far below zero",
        _masked_low,
        2,
        needs_infinity=True,
        nonfinite=(-np.inf,),
    ),
)
