"""The settings of a fused kernel on the candidate's side: parameters passed by name, and a mask with garbage.

A row says by -inf which entries are masked. The function is handed a copy in which each of them holds garbage
instead, and a boolean array that is True where an entry counts. Like `via` this file imports no room.

Garbage is NaN, +inf, the largest number or 1, by the row's own bits: of one kind in half of the rows, of all
kinds by turns in the others. So a row has the same garbage alone, in a batch, and whenever it is replayed.
"""

from __future__ import annotations

import inspect
import mmap
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["MASK", "NUMBERS", "SETTINGS", "garbled", "mask_parameter", "parameters_of", "with_settings"]

Array = NDArray[Any]

NUMBERS: Final = ("scale", "sink")
"""Settings that are numbers, passed where the function has a parameter of that name."""

MASK: Final = "mask"
SETTINGS: Final = (*NUMBERS, MASK)
"""The keys of what a function declares that speak of settings."""

_KINDS: Final = 4
_BESIDE: Final = 67
"""Entries around a copy that nothing may be written to."""


def with_settings(
    call: Callable[..., Any], function: Callable[..., Any], declares: Any
) -> Callable[..., Any]:
    """Return a function of logits that passes on the settings which another declares.

    Args:
        call: what is called: the function, or something around it.
        function: whose parameters count.
        declares: what it declares; `call` itself comes back where that has no settings.

    Raises:
        ValueError: the declared mask is none of its parameters.
    """
    if not isinstance(declares, Mapping) or not any(key in declares for key in SETTINGS):
        return call
    parameters = parameters_of(function)
    passed = [name for name in NUMBERS if declares.get(name) is not None and name in parameters]
    given: dict[str, Any] = {name: declares[name] for name in passed}
    name = mask_parameter(declares)
    if not name:
        return lambda x, **keywords: call(x, **keywords, **given)
    if name not in parameters:
        has = ", ".join(parameters) or "none that can be passed by name"
        raise ValueError(f"mask {name!r}: the function has no parameter of that name; it has {has}")
    return _masked(call, name, given)


def mask_parameter(declares: Mapping[str, Any]) -> str:
    """Return the parameter that takes the mask; empty where there is no mask."""
    mask = declares.get(MASK, False)
    return MASK if mask is True else str(mask or "")


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the parameters that can be passed by name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled functions need not have a signature
        return ()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(name for name, parameter in parameters.items() if parameter.kind in named)


def garbled(x: Array, axis: int = -1) -> tuple[Array, Array]:
    """Return logits with garbage at -inf, and where it is not, along an axis.

    Args:
        x: logits in a format that has infinities; left as it is.
        axis: along which the rows lie.
    """
    rows = np.moveaxis(x, axis, -1)
    counts = ~np.isneginf(rows)
    kinds = np.arange(rows.shape[-1]) + _codes(rows)[..., None]
    own = np.where(_codes(rows)[..., None] < _KINDS, _codes(rows)[..., None], kinds % _KINDS)
    full = np.where(counts, rows, _garbage(x.dtype)[own])
    return np.moveaxis(full, -1, axis), np.ascontiguousarray(np.moveaxis(counts, -1, axis))


def _codes(rows: Array) -> NDArray[np.int64]:
    """Return a number below 8 for each row, by its bits."""
    bits = np.ascontiguousarray(rows).view(np.uint8).reshape(*rows.shape[:-1], -1)
    return np.asarray(bits.sum(axis=-1, dtype=np.int64) % (2 * _KINDS))


def _garbage(dtype: np.dtype[Any]) -> Array:
    if dtype.type.__module__ == "numpy":
        largest = np.finfo(dtype).max
    else:
        import ml_dtypes

        finfo: Any = ml_dtypes.finfo  # untyped
        largest = finfo(dtype).max
    return np.array([np.nan, np.inf, float(largest), 1.0]).astype(dtype)


def _masked(call: Callable[..., Any], name: str, given: Mapping[str, Any]) -> Callable[..., Any]:
    def masked(x: Array, **keywords: Any) -> Any:
        if not x.size:
            return call(x, **keywords, **given, **{name: np.ones(x.shape, dtype=np.bool_)})
        axis = next(iter(keywords.values()), -1)
        full, mask = garbled(x, axis)
        own, memory = _placed_alike(x)
        own[...] = full
        own.flags.writeable = x.flags.writeable
        before = memory.tobytes()
        y = call(own, **keywords, **given, **{name: mask})
        if memory.tobytes() != before:
            _show_changes(x, own, full, memory, before)
        return y

    return masked


def _placed_alike(x: Array) -> tuple[Array, Array]:
    """Return an array of x's shape, strides and alignment to pages, in memory of NaN, and that memory."""
    low, high = np.lib.array_utils.byte_bounds(x)
    size, beside = high - low, _BESIDE * x.itemsize
    memory = np.empty(size + 2 * beside + mmap.PAGESIZE, dtype=np.uint8)
    start = beside + (low - beside - memory.ctypes.data) % mmap.PAGESIZE
    memory = memory[start - beside : start + size + beside]
    memory.view(x.dtype)[...] = np.nan
    return _like(x, memory), memory


def _like(x: Array, memory: Array) -> Array:
    """Return the array that lies in such memory as x does in its own."""
    low, _ = np.lib.array_utils.byte_bounds(x)
    return np.ndarray(x.shape, x.dtype, memory.data, _BESIDE * x.itemsize + x.ctypes.data - low, x.strides)


def _show_changes(x: Array, own: Array, full: Array, memory: Array, before: bytes) -> None:
    """Show in x what was done to its copy.

    Raises:
        RuntimeError: something was written beside the copy.
    """
    bits = f"u{x.itemsize}"
    if x.flags.writeable:
        changed = own.view(bits) != full.view(bits)
        x.view(bits)[changed] = own.view(bits)[changed]
    after = memory.copy()
    _like(x, after)[...] = full
    if after.tobytes() != before:
        raise RuntimeError("it wrote to memory beside the rows that it was given")
