"""Maps over the places of rows: the largest logit across, the spread upwards, one unit a bin.

The axis of the largest logit is logarithmic on both sides of 0; the bin of 0 lies between 0 and 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from reports.drawing import Axis, linear, power
from reports.picture import csv_text
from reports.record.profiles import LOGITS, SPREADS, Scale, place_of

__all__ = ["Place", "Places", "by_place", "ends", "logits_axis", "matrix", "position", "spreads_axis"]

Place = tuple[int, int]
"""The bin of the largest logit, negative for negative logits, and that of the spread."""

Places = Mapping[Place, Mapping[str, int]]

_SIZES: Final = (1.0, 8.0, 64.0, 512.0)


def by_place(counts: Mapping[int, int]) -> Places:
    """Return the counts of each place by kind, from those of a tally."""
    kinds_at: dict[Place, Counter[str]] = {}
    for key, amount in sorted(counts.items()):
        column, row, kind = place_of(key)
        kinds_at.setdefault((column, row), Counter())[kind] += amount
    return kinds_at


def logits_axis() -> Axis:
    """Return the axis of the largest logit."""
    sides = [
        (position(sign * size), f"{'-' if sign < 0 else ''}{power(size)}")
        for size in _SIZES
        for sign in (-1, 1)
    ]
    return linear("largest logit of the row", 1 - LOGITS.count, LOGITS.count, [*sides, (0.5, "0")])


def spreads_axis() -> Axis:
    """Return the axis of the spread."""
    ticks = [(SPREADS.position(size), power(size)) for size in _SIZES]
    return linear("spread: largest - smallest logit", 0, SPREADS.count, [(0.5, "0"), *ticks])


def position(logit: float) -> float:
    """Return where a logit lies on its axis."""
    size = LOGITS.position(abs(logit))
    return size if logit > 0 else 1 - size


def ends(scale: Scale, number: int) -> tuple[float, float]:
    """Return the values between which a bin lies, of a negative number those below 0; about 0, both sides."""
    if number == 0 and scale is LOGITS:
        return -scale.lower(1), scale.lower(1)
    low, high = scale.lower(abs(number)), scale.lower(abs(number) + 1)
    return (-high, -low) if number < 0 else (low, high)


def matrix(texts: Mapping[Place, str]) -> str:
    """Return a CSV: a line for each spread and a column for each largest logit, by where bins begin."""
    columns = range(min(c for c, _ in texts), max(c for c, _ in texts) + 1)
    rows = range(min(r for _, r in texts), max(r for _, r in texts) + 1)
    headings = ("spread_from", *(f"{ends(LOGITS, c)[0]:.6g}" for c in columns))
    return csv_text(
        headings, ((ends(SPREADS, r)[0], *(texts.get((c, r), "") for c in columns)) for r in rows)
    )
