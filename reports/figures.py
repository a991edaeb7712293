"""Figures as people read them, the same in the terminal, in HTML and in Markdown.

A display never lies: a rate is 0 % or 100 %, and an error 0, 1/2 or 1 ULP, only where it is
exactly that; otherwise as many digits are shown as set it apart. Intervals are rounded
outwards. All text is ASCII. An exact result may have an exponent of hundreds of digits, beyond every
number type but mpmath's: `exact`, `exact_power` and `shortened` spell it as text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

__all__ = [
    "NOTHING",
    "count",
    "exact",
    "exact_power",
    "figure",
    "interval",
    "percent",
    "plural",
    "sample",
    "searched",
    "seconds",
    "seeded",
    "shortened",
    "ulps",
]

NOTHING: Final = "-"
"""The text for a figure that is null."""

_WALLS: Final = (Decimal(0), Decimal("0.5"), Decimal(1))
_PLAIN_BELOW: Final = Decimal(100_000)
_PLAIN_FROM: Final = Decimal("0.001")

_SPELLED: Final = re.compile(r"(-?)0*(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?")
_LONG_EXPONENT: Final = 1_000_000
"""Powers of ten from which on a shortened number is given by its power alone."""


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
        return f"-{ulps(-value, digits=4)}" if value < 0 else ulps(value, digits=4)
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return NOTHING if value is None else str(value)


def exact(value: Any, digits: int) -> str:
    """Return an exact result, an mpmath number of any exponent, to so many digits; 0 only where it is 0."""
    import mpmath

    text = str(mpmath.nstr(value, digits, strip_zeros=False)) if value else "0"
    return text.removesuffix(".").replace(".e", "e")  # as it writes one digit


def exact_power(value: Any, power: int, digits: int) -> str:
    """Return value 10^power to so many digits, for a gmpy2 number above 0; laid out as `exact` does."""
    significand, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    ciphers, place = significand.replace(".", ""), int(exponent) + power
    if min(-(digits // 3), -5) < place < 0:
        return f"0.{ciphers:0>{digits - place - 1}}"
    is_fixed = 0 <= place < digits
    split = place + 1 if is_fixed else 1
    text = f"{ciphers[:split]}.{ciphers[split:]}".removesuffix(".")
    return text if is_fixed else f"{text}e{place:+}"


def shortened(text: str, digits: int = 4) -> str:
    """Round a number that is spelled in decimal, whatever its exponent; other text stays as it is.

    Of a number beyond 10^(+-`_LONG_EXPONENT`) the power of ten is given: 10^-7.372e37.
    """
    match = _SPELLED.fullmatch(text)
    if match is None or not any(c.isdigit() for c in text):
        return text
    sign, whole, fraction, power = (part or "" for part in match.groups())
    ciphers = (whole + fraction).lstrip("0")
    if not ciphers:
        return f"{sign}0"
    exponent = int(power or 0) - len(fraction) + len(ciphers) - 1
    rounded = _rounded(Decimal(f"{ciphers[0]}.{ciphers[1:] or 0}"), digits)
    exponent += rounded.adjusted()
    if abs(exponent) >= _LONG_EXPONENT:
        return f"{sign}10^{shortened(str(exponent), digits)}"
    significand = _plain(rounded.scaleb(-rounded.adjusted()))
    plain = _plain(Decimal(significand).scaleb(exponent)) if -5 < exponent < 4 else ""
    return f"{sign}{plain or f'{significand}e{exponent}'}"


def percent(rate: float | None, digits: int = 3) -> str:
    """Return a rate in percent: 0 % and 100 % only where it is exactly that."""
    if rate is None or math.isnan(rate):
        return NOTHING
    if math.isinf(rate):
        return f"{rate} %"
    share = Decimal(rate) * 100
    if share in (0, 100):
        return f"{share:.0f} %"
    if 50 < share < 100:  # what is missing from 100 decides how many digits it takes
        return f"{_plain(100 - _rounded(100 - share, digits - 1))} %"
    return f"{_plain(_rounded(share, digits))} %"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return an interval of rates in percent, rounded outwards; nothing where there is none."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    below, above = Decimal(low) * 100, Decimal(high) * 100
    if below > 90:
        digits += 1
    low_text = _plain(_rounded(below, digits, ROUND_FLOOR))
    return f"{low_text} to {_plain(_rounded(above, digits, ROUND_CEILING))} %"


def sample(rows: int, seed: object, *, whole: bool) -> str:
    """Return what a greatest figure is the greatest of: the whole of the rows that there are, or some."""
    tried = plural(rows, "row")
    return f"every one of {tried}, exhaustively" if whole else f"worst found in {tried}{seeded(seed)}"


def searched(evaluations: int, seed: object) -> str:
    """Return what a greatest figure is the greatest of, where rows were searched for."""
    return f"worst found in {plural(evaluations, 'evaluation')}{seeded(seed)}"


def seeded(seed: object) -> str:
    """Return the seed after a comma; nothing where nothing was drawn."""
    return "" if seed is None else f", seed {seed}"


def seconds(value: float) -> str:
    """Return a time as a person says it."""
    if not 60 <= value < math.inf:
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
