"""What may make the entries of a row simpler: zeros, equal entries, shorter significands, smaller magnitudes.

Each change maps a whole row to another one. Those that treat every entry by itself are also made to a
part of the row only, in halves, quarters, ... down to single entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat

__all__ = ["changes"]

Array = NDArray[Any]
Floats = NDArray[np.float64]

MOST_ELEMENTS: Final = 1 << 18
"""Entries of all changed rows together, at most, but at least `FEWEST` rows."""

FEWEST: Final = 16

SHORT: Final = 16
"""Rows up to this length have every significand tried on every entry."""

_LENGTHS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)


def changes(fmt: FloatFormat, row: Array) -> Array:
    """Return rows (k, n) that may be simpler than a row (n,), each once."""
    values = fmt.to_float64(row)
    most = max(FEWEST, MOST_ELEMENTS // len(row))
    rows = [changed for changed, _ in zip(_changed(fmt, values), range(most), strict=False)]
    rounded = fmt.from_float64(np.stack(rows))
    unchanged = np.broadcast_to(row, rounded.shape)
    lost = np.isfinite(values) & ~np.isfinite(fmt.to_float64(rounded))  # beyond Omega
    kept = fmt.to_bits(np.where(lost, unchanged, rounded))
    first = {bits.tobytes(): place for place, bits in reversed([*enumerate(kept)])}
    return fmt.from_bits(kept[sorted(first.values())])


def _changed(fmt: FloatFormat, values: Floats) -> Iterator[Floats]:
    yield from _of_the_whole(values)
    by_entry = [*_bold(values)]
    shorter = [*_shortened(fmt, values)]
    for changed in (*by_entry, *shorter):
        yield changed
    for part in _parts(len(values)):
        for changed in by_entry:
            yield _within(part, changed, values)
    for i in range(len(values)):
        for changed in shorter:
            yield _within(slice(i, i + 1), changed, values)


def _within(part: slice, changed: Floats, values: Floats) -> Floats:
    result = values.copy()
    result[part] = changed[part]
    return result


def _parts(length: int) -> Iterator[slice]:
    count = 2
    while count < 2 * length:
        edges = [length * i // count for i in range(count + 1)]
        yield from (slice(a, b) for a, b in pairwise(edges) if a < b)
        count *= 2


# Changes ---------------------------------------------------------------------------------


def _of_the_whole(values: Floats) -> Iterator[Floats]:
    """Yield two-valued rows, moved rows and scaled rows."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return
    largest, smallest = finite.max(), finite.min()
    with np.errstate(over="ignore"):  # the mean of the middle two
        median = np.median(finite)
    for rest in (0.0, smallest, median):
        yield np.where(values == largest, largest, rest)
        yield np.where(values == smallest, smallest, rest)
    with np.errstate(over="ignore", invalid="ignore"):
        for c in (largest, smallest):
            yield values - c
        for k in (1, 2, 4, 8, 16):
            yield values * 2.0**-k


def _bold(values: Floats) -> Iterator[Floats]:
    """Yield changes of each entry that leave little of it."""
    finite = values[np.isfinite(values)]
    yield np.zeros_like(values)
    for value in (finite.max(), finite.min()) if len(finite) else ():
        yield np.full_like(values, value)
    yield np.roll(values, 1)
    yield np.abs(values)
    with np.errstate(invalid="ignore"):
        yield np.trunc(values)
        yield np.trunc(values) + np.sign(values)
        yield values / 2
        yield values - np.sign(values)


def _shortened(fmt: FloatFormat, values: Floats) -> Iterator[Floats]:
    """Yield the entries with shorter significands, rounded towards zero and away from it."""
    lengths = range(1, fmt.precision) if len(values) <= SHORT else _LENGTHS
    with np.errstate(over="ignore", invalid="ignore"):
        fraction, exponent = np.frexp(values)
        for bits in lengths:
            if bits < fmt.precision:
                scaled = np.ldexp(fraction, bits)
                for significand in (np.trunc(scaled), np.trunc(scaled) + np.sign(values)):
                    shorter = np.ldexp(significand, exponent - bits)
                    yield np.where(np.isfinite(values), shorter, values)
