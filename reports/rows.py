"""A row as people take it along: an expression of Python, and its bits beside it."""

from __future__ import annotations

import math
import re
from itertools import groupby
from typing import Final

from reference.formats import FloatFormat, format_named
from reports.record.witness import Witness, decoded

__all__ = ["grouped", "grouped_bits", "in_python", "row_line"]

SHOWN_DIGITS: Final = 120
"""The most characters of the bits of a row that is shown."""

_RUN: Final = 4
"""Equal encodings in succession up to which each is written out."""


def row_line(witness: Witness) -> str:
    """Return a row as `x = [0.0] * 8 + [4.0]  # bits: 8 x 00000000 40800000`; empty where that is long."""
    bits = grouped_bits(witness)
    return f"x = {in_python(bits, format_named(witness.cell.format))}  # bits: {bits}" if bits else ""


def grouped_bits(witness: Witness) -> str:
    """Return the encodings of the row of a witness as `grouped` has them."""
    return grouped(witness.x, format_named(witness.cell.format))


def grouped(encodings: str, fmt: FloatFormat, prefix: str = "") -> str:
    """Return the encodings of a row, apart, runs of equal ones counted; empty where that is long.

    Args:
        encodings: of the row, in hexadecimal without gaps.
        fmt: the format of the row.
        prefix: before each encoding.
    """
    width = fmt.hex_digits
    codes = (prefix + encodings[i : i + width] for i in range(0, len(encodings), width))
    runs = ((code, sum(1 for _ in run)) for code, run in groupby(codes))
    text = " ".join(f"{count} x {code}" if count > _RUN else " ".join([code] * count) for code, count in runs)
    return text if len(text) <= SHOWN_DIGITS else ""


def in_python(bits: str, fmt: FloatFormat) -> str:
    """Return a row that `grouped` wrote as an expression of Python: `[1.5] + [0.0] * 512`.

    Args:
        bits: encodings in hexadecimal, with runs counted: `3fc00000 512 x 00000000`.
        fmt: the format of the row.
    """
    lists: list[str] = []
    single: list[str] = []
    for times, code in re.findall(r"(?:(\d+) x )?(?:0x)?([0-9a-f]+)", bits):
        number = _literal(float(fmt.to_float64(decoded(code, fmt))[0]))
        if not times:
            single.append(number)
            continue
        lists += [f"[{', '.join(single)}]"] if single else []
        lists.append(f"[{number}] * {times}")
        single = []
    lists += [f"[{', '.join(single)}]"] if single else []
    return " + ".join(lists)


def _literal(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'float("{value}")'
