"""Defects of fused kernels: of their scale, their sink and their mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import Defect, narrowed, shares, top, total, widened

__all__ = ["DEFECTS", "declaring"]

Array = NDArray[Any]
Softmax = Callable[..., Any]


def declaring(function: Callable[..., Array], declares: Mapping[str, Any]) -> Callable[[], Softmax]:
    """Return the maker of a fused kernel along the last axis, from a function of rows and its one setting."""
    (name,) = declares

    def make() -> Softmax:
        def softmax(x: Array, **setting: Any) -> Array:
            return narrowed(function(widened(x), setting[name]), x.dtype)

        return _named(softmax, name, declares)

    return make


def _named(function: Softmax, name: str, declares: Mapping[str, Any]) -> Softmax:
    """Give a function its parameter and what it declares."""
    softmax: Any = {
        "scale": lambda x, scale: function(x, scale=scale),
        "sink": lambda x, sink: function(x, sink=sink),
        "mask": lambda x, mask: function(x, mask=mask),
    }[name]
    softmax.declares = dict(declares)
    return softmax  # type: ignore[no-any-return]


def scale_applied_twice(z: Array, scale: float) -> Array:
    """Once by the caller's own kernel, and once more within this."""
    scaled = z * z.dtype.type(scale) * z.dtype.type(scale)
    return shares(np.exp(scaled - top(scaled)))


def scale_of_the_maximum_left_out(z: Array, scale: float) -> Array:
    """The logits are scaled, the maximum that is taken from them is not."""
    return shares(np.exp(z * z.dtype.type(scale) - top(z)))


def sink_counted_in_the_outputs(z: Array, sink: float) -> Array:
    """The share of the sink is added to the last output, so that they sum to 1."""
    largest = np.maximum(top(z), z.dtype.type(sink))
    e, rest = np.exp(z - largest), np.exp(z.dtype.type(sink) - largest)
    y = e / (total(e) + rest)
    y[..., -1:] += rest / (total(e) + rest)
    return np.asarray(y)


def sink_not_in_the_maximum_range(z: Array, sink: float) -> Array:
    """The sink is added as exp(sink), as if nothing had been taken from the logits."""
    e = np.exp(z - top(z))
    return np.asarray(e / (total(e) + np.exp(z.dtype.type(sink))))


def mask_after_the_maximum(z: Array, mask: Array) -> Array:
    """The maximum is taken of all logits, masked ones too, whatever they hold."""
    return shares(np.where(mask, np.exp(z - top(z)), z.dtype.type(0)))


def masked_maximum_pinned_at_zero(z: Array, mask: Array) -> Array:
    """Masked logits are taken for 0 where the maximum is sought."""
    largest = top(np.where(mask, z, z.dtype.type(0)))
    return shares(np.where(mask, np.exp(z - largest), z.dtype.type(0)))


def mask_by_a_product(z: Array, mask: Array) -> Array:
    """Masked exponentials are multiplied by 0, which leaves NaN what it is."""
    largest = top(np.where(mask, z, z.dtype.type(-np.inf)))
    return shares(np.exp(z - largest) * mask.astype(z.dtype))


_FORMATS: Final = ("float16", "float32", "float64")

DEFECTS: Final = tuple(
    Defect("setting", function, declaring(function, declares), formats=_FORMATS)
    for function, declares in (
        (scale_applied_twice, {"scale": 0.125}),
        (scale_of_the_maximum_left_out, {"scale": 0.125}),
        (sink_counted_in_the_outputs, {"sink": 0.0}),
        (sink_not_in_the_maximum_range, {"sink": 1.5}),
        (mask_after_the_maximum, {"mask": True}),
        (masked_maximum_pinned_at_zero, {"mask": True}),
        (mask_by_a_product, {"mask": True}),
    )
)
