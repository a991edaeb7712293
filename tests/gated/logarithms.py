"""log_softmax and logsumexp with one thing wrong each."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def _from_top(x: Array) -> Array:
    return x - x.max(axis=-1, keepdims=True)


def _log_of_sum(z: Array) -> Array:
    return np.log(np.exp(z).sum(axis=-1, keepdims=True))


def log_of_softmax(x: Array) -> Array:
    e = np.exp(_from_top(x))
    return np.log(e / e.sum(axis=-1, keepdims=True))


def maximum_left_out_of_the_sum(x: Array) -> Array:
    """x - max, but the exponentials are of x."""
    return _from_top(x) - _log_of_sum(x)


def log_in_float16(x: Array) -> Array:
    z = _from_top(x)
    return z - _log_of_sum(z).astype(np.float16).astype(x.dtype)


def barely_above_zero(x: Array) -> Array:
    """The smallest normal number where 0 is the result."""
    z = _from_top(x)
    y = z - _log_of_sum(z)
    return np.where(y == 0, np.finfo(x.dtype).tiny, y)


def logsumexp_without_a_shift(x: Array) -> Array:
    return np.log(np.exp(x).sum(axis=-1))


for _function in (log_of_softmax, maximum_left_out_of_the_sum, log_in_float16, barely_above_zero):
    _function.declares = {"op": "log_softmax"}  # type: ignore[attr-defined]
logsumexp_without_a_shift.declares = {"op": "logsumexp"}  # type: ignore[attr-defined]
