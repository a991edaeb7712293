"""The form shifted by the maximum, in a wider format inside, and one rounding at the end.

binary32 inside for formats of 16 bits and fewer, binary64 inside for float32; float64 has nothing
wider here. The last step rounds once, to nearest; a cast from binary64 to bfloat16 by ml_dtypes before 0.7
rounds twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import arrays, built_in, per_format
from harness.subject.candidates.builtin.max_shifted import max_shifted
from reference.declaration import Algorithm, Declaration
from reference.formats import FORMATS, FloatFormat, format_of

__all__ = ["CANDIDATE"]

NAME = "upcast"
DECLARATION = Declaration(argument="shifted")


def upcast(x: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax of each row of x."""
    fmt = format_of(x.dtype)
    return fmt.from_float64(max_shifted(x.astype(_inside(fmt).dtype)))


def _inside(fmt: FloatFormat) -> FloatFormat:
    return FORMATS["float32" if fmt.storage_bits <= 16 else "float64"]


def _algorithm(fmt: FloatFormat) -> Algorithm:
    inside = _inside(fmt)
    return replace(arrays(NAME, inside, DECLARATION), arithmetic=inside.name)


CANDIDATE = built_in(
    NAME,
    upcast,
    "as max_shifted, in binary32 inside (binary64 for float32), rounded once",
    DECLARATION,
    per_format(_algorithm, [name for name in FORMATS if name != "float64"]),
)
