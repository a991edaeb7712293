"""Formats beyond the table's, each as the row that would add it: with and without -0 and infinities."""

from __future__ import annotations

from typing import Final

from reference.formats import FORMATS, FloatFormat

MORE: Final = (
    FloatFormat("float8_e4m3b11fnuz", 4, -10, 4, 8, False, False, "negative zero"),
    FloatFormat("float8_e4m3", 4, -6, 7, 8, True, True, "beyond infinity"),
    FloatFormat("float8_e3m4", 5, -2, 3, 8, True, True, "beyond infinity"),
)

EVERY: Final = (*FORMATS.values(), *MORE)
EIGHT: Final = tuple(name for name, fmt in FORMATS.items() if fmt.storage_bits == 8)
SMALL: Final = tuple(fmt for fmt in EVERY if fmt.storage_bits <= 16)
