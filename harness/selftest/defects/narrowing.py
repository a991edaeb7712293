"""Defects of the format: taken, computed or returned in a narrower one, or rounded twice or wrongly."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import WIDE, listed, narrowed, shares, sound, top, widened
from reference.formats import FORMATS, format_of

__all__ = ["DEFECTS"]

Array = NDArray[Any]

_EIGHT: Final = ("float8_e4m3fn", "float8_e5m2")


def returned_through_float16(z: Array) -> Array:
    """A half-precision buffer between kernel and caller."""
    return sound(z).astype(np.float16).astype(z.dtype)


def returned_through_bfloat16(z: Array) -> Array:
    """Autocast hands the result on in bfloat16."""
    return sound(z).astype(FORMATS["bfloat16"].dtype).astype(z.dtype)


def taken_through_float16(z: Array) -> Array:
    """coremltools 2669: logits or masks cast to half precision on the way in."""
    return sound(z.astype(np.float16).astype(z.dtype))


def taken_through_bfloat16(z: Array) -> Array:
    """Logits stored in bfloat16 by a matrix product before."""
    return sound(z.astype(FORMATS["bfloat16"].dtype).astype(z.dtype))


def computed_in_float32(z: Array) -> Array:
    """float64 taken for float32, as an accelerator without doubles does."""
    return sound(z.astype(np.float32)).astype(z.dtype)


def difference_in_float16(z: Array) -> Array:
    """pytorch 158310: x - max held in a narrower format."""
    return shares(np.exp((z - top(z)).astype(np.float16).astype(z.dtype)))


def computed_in_float16(x: Array) -> Array:
    """Half-precision arithmetic for bfloat16, whose range is another (apple/coremltools 2669)."""
    return narrowed(sound(x.astype(np.float16)), x.dtype)


def step_by_step(x: Array) -> Array:
    """Every step in eight bits, where one rounding at the end is asked for."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def rounded_twice(x: Array) -> Array:
    """binary32 to half precision to eight bits: a tie that never was (ml_dtypes itself once did likewise)."""
    return narrowed(sound(widened(x)).astype(np.float16), x.dtype)


def rounded_twice_through_bfloat16(x: Array) -> Array:
    """binary32 to bfloat16 to eight bits."""
    return narrowed(sound(widened(x)).astype(FORMATS["bfloat16"].dtype), x.dtype)


def truncated(x: Array) -> Array:
    """The low bits are dropped, not rounded, as in the first conversions to bfloat16."""
    fmt = format_of(x.dtype)
    values = np.asarray(sound(widened(x)), dtype=np.float64)
    nearest = fmt.to_float64(fmt.from_float64(values))
    below = fmt.ordinals(fmt.to_bits(fmt.from_float64(values))) - (nearest > values)
    kept = np.where(np.isnan(values), values, 0)
    finite = fmt.from_bits(fmt.from_ordinals(np.where(np.isnan(values), 0, below)))
    return np.where(np.isnan(values), fmt.from_float64(kept), finite)


def rounded_away(x: Array) -> Array:
    """Halves go up: round-half-away where ties go to even, one bit wider than the format."""
    fmt = format_of(x.dtype)
    y = sound(widened(x)).astype(np.float64)
    nearest = fmt.to_float64(fmt.from_float64(y))
    quantum = np.abs(np.spacing(nearest.astype(np.float32))).astype(np.float64) * 2.0 ** (24 - fmt.precision)
    return narrowed(np.where(nearest == 0, y, y + quantum / 16), x.dtype)


def _whole(function: Any) -> Any:
    """Return the maker of a function that takes arrays of the format itself."""
    return lambda *values: lambda x: function(x, *values)


DEFECTS: Final = (
    *listed(
        "format",
        (
            (returned_through_float16, {"causes": ("output.narrowed",), "formats": ("bfloat16", *WIDE)}),
            (returned_through_bfloat16, {"causes": ("output.narrowed",)}),
            (taken_through_float16, {"causes": ("input.narrowed",), "formats": ("bfloat16", *WIDE)}),
            (taken_through_bfloat16, {"causes": ("input.narrowed",), "formats": ("float16", *WIDE)}),
            (computed_in_float32, {"causes": ("input.narrowed",), "formats": ("float64",)}),
            (difference_in_float16, {"causes": ("shift.narrowed",)}),
        ),
        formats=WIDE,
    ),
    *listed(
        "format",
        (
            (computed_in_float16, {"causes": ("input.narrowed",), "formats": ("bfloat16",)}),
            (step_by_step, {"tier": "standard"}),
            (rounded_twice, {"causes": ("output.rounded_twice",)}),
            (rounded_twice_through_bfloat16, {"causes": ("output.rounded_twice",)}),
            (truncated, {"causes": ("output.truncated",)}),
            (rounded_away, {}),
        ),
        _whole,
        formats=_EIGHT,
    ),
    *listed(
        "format",
        ((truncated, {"causes": ("output.truncated",)}),),
        _whole,
        formats=("bfloat16",),
        tier="wide",
    ),
)
