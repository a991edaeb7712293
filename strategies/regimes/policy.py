"""Rows without an exact result: all -inf, some +inf, some NaN, at every place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.layout import PLACES, place, put
from strategies.regime import Regime
from strategies.source import F64, Source

__all__ = ["REGIMES"]

Array = NDArray[Any]


def _all_masked(_source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    return fmt.from_float64(np.full((rows, length), -np.inf))


def _background(source: Source, fmt: FloatFormat, rows: int, length: int, special: float) -> F64:
    """What stands around a special entry: logits, -inf, more of it here and there, nothing but it."""
    kind, where = source.turns(4, PLACES, rows=rows)
    shape = (rows, length)
    values = source.normal(shape)
    low = -np.inf if fmt.has_infinity else -float(fmt.largest)
    values[kind == 1] = low
    values[(kind == 2)[:, None] & source.chance(0.25, shape)] = special
    values[kind == 3] = special
    put(values, place(source, where, length), np.full(rows, special))
    return values


def _positive_infinity(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    return fmt.from_float64(_background(source, fmt, rows, length, np.inf))


def _nan(source: Source, fmt: FloatFormat, rows: int, length: int) -> Array:
    """NaNs of either sign among logits, among -inf, among +inf, and alone."""
    values = _background(source, fmt, rows, length, np.nan)
    (among_infinities,) = source.turns(5, rows=rows)
    if fmt.has_infinity:
        infinite = (among_infinities == 4)[:, None] & ~np.isnan(values) & source.chance(0.5, values.shape)
        values[infinite] = np.inf
    bits = fmt.to_bits(fmt.from_float64(values))
    quiet = np.where(source.below(2, values.shape) == 1, fmt.nan_code | fmt.sign_bit, fmt.nan_code)
    return fmt.from_bits(np.where(np.isnan(values), quiet.astype(fmt.bits_dtype), bits))


REGIMES = (
    Regime(
        "all-masked", "every entry -inf", _all_masked, needs_infinity=True, policy=True, nonfinite=(-np.inf,)
    ),
    Regime(
        "positive-infinity",
        "some entries +inf",
        _positive_infinity,
        needs_infinity=True,
        policy=True,
        nonfinite=(np.inf, -np.inf),
    ),
    Regime("nan", "some entries NaN", _nan, policy=True, nonfinite=(np.nan,)),
)
