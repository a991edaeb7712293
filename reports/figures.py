"""Figures as people read them, the same in the terminal, in HTML and in Markdown.

A display never lies: a rate is 0 % or 100 %, and an error 0, 1/2 or 1 ULP, only where it is
exactly that; otherwise as many digits are shown as set it apart. Intervals are rounded
outwards. All text is ASCII.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Final

__all__ = [
    "NOTHING",
    "count",
    "figure",
    "interval",
    "percent",
    "plural",
    "sample",
    "searched",
    "seconds",
    "seeded",
    "ulps",
]

NOTHING: Final = "-"
"""What stands where a figure is null."""

_WALLS: Final = (Decimal(0), Decimal("0.5"), Decimal(1))
_PLAIN_BELOW: Final = Decimal(100_000)
_PLAIN_FROM: Final = Decimal("0.001")


def count(value: int) -> str:
    """Return a count with its thousands apart: 1,234,567."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """Return a count with its noun: 1 row, 2,000 rows, 3 entries, 4 witnesses."""
    if value == 1:
        return f"{count(value)} {noun}"
    if noun.endswith("y"):
        return f"{count(value)} {noun[:-1]}ies"
    return f"{count(value)} {noun}{'es' if noun.endswith('s') else 's'}"


def ulps(value: float | None, digits: int = 3) -> str:
    """Return an error in ULP, or a ratio, to `digits` significant digits or as many as it takes.

    0.4996 stays below 0.5, as 1.0004 stays above 1: the sides of both have a meaning.
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "inf"
    return _plain(next(_apart(Decimal(value), digits)))


def figure(value: object) -> str:
    """Return a figure of any kind: counts with their thousands apart, numbers to four digits."""
    if isinstance(value, float):
        return ulps(value, digits=4) if value >= 0 else f"-{ulps(-value, digits=4)}"
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return NOTHING if value is None else str(value)


def percent(rate: float | None, digits: int = 3) -> str:
    """Return a rate in percent: 0 % and 100 % only where it is exactly that."""
    if rate is None or math.isnan(rate):
        return NOTHING
    exact = Decimal(rate) * 100
    if exact in (0, 100):
        return f"{exact:.0f} %"
    if exact > 50:  # what is missing from 100 decides how many digits it takes
        return f"{_plain(100 - _rounded(100 - exact, digits - 1))} %"
    return f"{_plain(_rounded(exact, digits))} %"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return an interval of rates in percent, rounded outwards; nothing where there is none."""
    if low is None or high is None or math.isnan(low):
        return ""
    below, above = Decimal(low) * 100, Decimal(high) * 100
    if below > 90:
        digits += 1
    low_text = _plain(_rounded(below, digits, ROUND_FLOOR))
    return f"{low_text} to {_plain(_rounded(above, digits, ROUND_CEILING))} %"


def sample(rows: int, seed: object, *, whole: bool) -> str:
    """Say what a greatest figure is the greatest of: the whole of the rows that there are, or some."""
    tried = plural(rows, "row")
    return f"every one of {tried}, exhaustively" if whole else f"worst found in {tried}{seeded(seed)}"


def searched(evaluations: int, seed: object) -> str:
    """Say what a greatest figure is the greatest of, where rows were searched for."""
    return f"worst found in {plural(evaluations, 'evaluation')}{seeded(seed)}"


def seeded(seed: object) -> str:
    """Name the seed after a comma; nothing where nothing was drawn."""
    return "" if seed is None else f", seed {seed}"


def seconds(value: float) -> str:
    """Return a time as a person says it."""
    if value < 60:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def _apart(exact: Decimal, digits: int) -> Iterator[Decimal]:
    """Yield the roundings that stand on the same side of every wall, the shortest first."""
    for more in range(digits, 800):
        rounded = _rounded(exact, more)
        if all((rounded > wall) - (rounded < wall) == (exact > wall) - (exact < wall) for wall in _WALLS):
            yield rounded


def _rounded(exact: Decimal, digits: int, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    return Context(prec=digits, rounding=rounding).plus(exact)


def _plain(value: Decimal) -> str:
    """Return a decimal without trailing zeros, in scientific form where it is very large or small."""
    if value == 0:
        return "0"
    if _PLAIN_FROM <= abs(value) < _PLAIN_BELOW:
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    significand, _, exponent = f"{value:e}".partition("e")
    significand = significand.rstrip("0").rstrip(".") if "." in significand else significand
    return f"{significand}e{int(exponent)}"
