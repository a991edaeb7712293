"""Fused kernels to try: honest ones, and four with one thing wrong each."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
ROOT = 0.08838834764831845  # 1 / sqrt(128)


def shares(z: Array, sink: float | None = None) -> Array:
    top = z.max(axis=-1, keepdims=True)
    if sink is not None:
        top = np.maximum(top, z.dtype.type(sink))
    e = np.exp(z - top)
    total = e.sum(axis=-1, keepdims=True, dtype=z.dtype)
    return e / (total if sink is None else total + np.exp(z.dtype.type(sink) - top))


def scaled_before(x: Array, scale: float) -> Array:
    return shares(x * x.dtype.type(scale))


def scaled_after(x: Array) -> Array:
    """The scale is inside."""
    e = np.exp(x.dtype.type(ROOT) * (x - x.max(axis=-1, keepdims=True)))
    return e / e.sum(axis=-1, keepdims=True, dtype=x.dtype)


def with_sink(x: Array, sink: float) -> Array:
    return shares(x, sink)


def masked(x: Array, mask: Array) -> Array:
    return shares(np.where(mask, x, x.dtype.type(-np.inf)))


def all_at_once(x: Array, counts: Array, *, scale: float, sink: float) -> Array:
    return shares(np.where(counts, x * x.dtype.type(scale), x.dtype.type(-np.inf)), sink)


def scaled_twice(x: Array, scale: float) -> Array:
    return shares(x * x.dtype.type(scale) * x.dtype.type(scale))


def sink_among_the_outputs(x: Array, sink: float) -> Array:
    """The sum leaves the sink out, as if what it takes were an output's."""
    top = np.maximum(x.max(axis=-1, keepdims=True), x.dtype.type(sink))
    e = np.exp(x - top)
    rest = np.exp(x.dtype.type(sink) - top)
    total = e.sum(axis=-1, keepdims=True, dtype=x.dtype) + rest
    y = e / total
    y[..., -1:] += rest / total
    return y


def garbage_in_the_maximum(x: Array, mask: Array) -> Array:
    e = np.where(mask, np.exp(x - x.max(axis=-1, keepdims=True)), x.dtype.type(0))
    return e / e.sum(axis=-1, keepdims=True, dtype=x.dtype)


def maximum_pinned_at_zero(x: Array, mask: Array) -> Array:
    top = np.where(mask, x, x.dtype.type(0)).max(axis=-1, keepdims=True)
    e = np.where(mask, np.exp(x - top), x.dtype.type(0))
    return e / e.sum(axis=-1, keepdims=True, dtype=x.dtype)


scaled_before.declares = {"scale": ROOT}  # type: ignore[attr-defined]
scaled_after.declares = {"scale": ROOT}  # type: ignore[attr-defined]
with_sink.declares = {"sink": 0.0}  # type: ignore[attr-defined]
masked.declares = {"mask": True}  # type: ignore[attr-defined]
all_at_once.declares = {"scale": 0.125, "sink": -1.5, "mask": "counts"}  # type: ignore[attr-defined]
scaled_twice.declares = {"scale": 0.125}  # type: ignore[attr-defined]
sink_among_the_outputs.declares = {"sink": 0.0}  # type: ignore[attr-defined]
garbage_in_the_maximum.declares = {"mask": True}  # type: ignore[attr-defined]
maximum_pinned_at_zero.declares = {"mask": True}  # type: ignore[attr-defined]
