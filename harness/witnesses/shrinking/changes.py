"""What may make the entries of a row simpler: zeros, equal entries, shorter significands, smaller magnitudes.

Each change maps a whole row to another one. Those that treat every entry by itself are also made to a
part of the row only, in halves, quarters, ... down to single entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
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
    rounded = fmt.from_float64(_changed(fmt, values, max(FEWEST, MOST_ELEMENTS // len(row))))
    unchanged = np.broadcast_to(row, rounded.shape)
    lost = np.isfinite(values) & ~np.isfinite(fmt.to_float64(rounded))  # beyond Omega
    kept = fmt.to_bits(np.where(lost, unchanged, rounded))
    first = {bits.tobytes(): place for place, bits in reversed([*enumerate(kept)])}
    return fmt.from_bits(kept[sorted(first.values())])


def _changed(fmt: FloatFormat, values: Floats, most: int) -> Floats:
    """Return so many changed rows (k, n), at most: wholly changed ones, then those changed in part."""
    bold, shorter = np.stack([*_bold(values)]), _shortened(fmt, values)
    single = (slice(i, i + 1) for i in range(len(values)))
    changed = np.stack([*_of_the_whole(values), *bold, *shorter])
    for parts, rows in ((_parts(len(values)), bold), (single, shorter)):
        changed = np.concatenate([changed, _in_parts(parts, rows, values, most - len(changed))])
    return changed[:most]


def _in_parts(parts: Iterable[slice], changed: Floats, values: Floats, most: int) -> Floats:
    """Return each changed row in one part alone, then in the next, at least so many where there are."""
    spans = [*islice(parts, max(0, -(-most // max(1, len(changed)))))]
    inside = np.zeros((len(spans), 1, len(values)), dtype=np.bool_)
    for flags, span in zip(inside, spans, strict=True):
        flags[:, span] = True
    return np.where(inside, changed, values).reshape(-1, len(values))


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


def _shortened(fmt: FloatFormat, values: Floats) -> Floats:
    """Return the entries with shorter significands, rounded towards zero and away from it, by length."""
    lengths = range(1, fmt.precision) if len(values) <= SHORT else _LENGTHS
    bits = np.array([length for length in lengths if length < fmt.precision], dtype=np.intc)[:, None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        fraction, exponent = np.frexp(values)
        truncated = np.trunc(np.ldexp(fraction, bits))
        both = np.concatenate([truncated, truncated + np.sign(values)], axis=1)
        shorter = np.ldexp(both, exponent - bits)
    return np.where(np.isfinite(values), shorter, values).reshape(-1, len(values))
