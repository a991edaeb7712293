"""Defects of the logarithmic ops: of the logarithm itself, and of what is added to it and taken from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import COMMON, Table, listed, sound, top, total
from reference.ops import LOG_SOFTMAX, LOGSUMEXP

__all__ = ["DEFECTS"]

Array = NDArray[Any]


# log_softmax -----------------------------------------------------------------------------


def _log_sum(z: Array) -> Array:
    return np.asarray(np.log(total(np.exp(z - top(z)))))


def logarithm_of_softmax(z: Array) -> Array:
    """tenstorrent/pytorch2.0_ttnn 1341, apple/coremltools 2728: -inf where a share underflows."""
    return np.asarray(np.log(sound(z)))


def logsumexp_taken_away(z: Array) -> Array:
    """ml-explore/mlx 4169, pytorch 11752: x - logsumexp(x) loses all digits under a common offset."""
    return np.asarray(z - (top(z) + _log_sum(z)))


def maximum_not_taken_away(z: Array) -> Array:
    """The maximum is subtracted within the exponentials alone."""
    return np.asarray(z - _log_sum(z))


def maximum_begun_at_zero(z: Array) -> Array:
    """mit-han-lab/tinyengine 107: the maximum begins at a tiny positive number."""
    largest = np.maximum(top(z), 0)
    return np.asarray(z - largest - np.log(total(np.exp(z - largest))))


def logarithm_in_float16(z: Array) -> Array:
    """The logarithm of the sum passes through float16."""
    return np.asarray(z - top(z) - _log_sum(z).astype(np.float16).astype(z.dtype))


def no_logarithm_of_zero(z: Array, epsilon: float) -> Array:
    """A number is added to the sum, lest it be 0."""
    return np.asarray(z - top(z) - np.log(total(np.exp(z - top(z))) + z.dtype.type(epsilon)))


def clamped_logarithms(z: Array, least: float) -> Array:
    """Logarithms below a limit become that limit, as in a binary cross-entropy."""
    return np.asarray(np.maximum(z - top(z) - _log_sum(z), z.dtype.type(least)))


def above_zero(z: Array) -> Array:
    """Where the result rounds to 0, a tiny positive number is returned."""
    y = z - top(z) - _log_sum(z)
    return np.asarray(np.where(y == 0, z.dtype.type(1e-7), y))


# logsumexp -------------------------------------------------------------------------------


def _finite_top(z: Array) -> Array:
    largest = top(z)
    return np.asarray(np.where(np.isfinite(largest), largest, np.zeros_like(largest)))


def _over(
    z: Array, log: Callable[[Array], Array] = np.log, summed: Callable[[Array], Array] = total
) -> Array:
    largest = _finite_top(z)
    return np.asarray(largest + log(summed(np.exp(z - largest))))[..., 0]


def without_a_shift(z: Array) -> Array:
    """The exponentials are of the logits themselves."""
    return np.asarray(np.log(np.exp(z).sum(axis=-1)))


def maximum_not_added_back(z: Array) -> Array:
    """The logarithm of the sum is returned as it is."""
    return _over(z) - _finite_top(z)[..., 0]


def nothing_of_masked_rows(z: Array) -> Array:
    """onnxruntime 28461: a row of nothing but -inf gives NaN."""
    return np.asarray((top(z) + _log_sum(z))[..., 0])


def logarithm_to_base_two(z: Array) -> Array:
    """log2 of the sum, without log 2."""
    return _over(z, np.log2)


def float16_logarithm(z: Array) -> Array:
    """The logarithm of the sum passes through float16."""
    return _over(z, lambda s: np.log(s).astype(np.float16).astype(s.dtype))


def tail_of_four_lost(z: Array) -> Array:
    """The last n mod 4 exponentials are left out."""
    return _over(z, summed=lambda e: total(e[..., : max(e.shape[-1] // 4 * 4, 1)]))


def least_logarithm(z: Array, most: float) -> Array:
    """The result is at most a limit, as where exp of it should not overflow."""
    return np.asarray(np.minimum(_over(z), z.dtype.type(most)))


_OF_ENTRIES: Final[Table] = (
    (logarithm_of_softmax, {}),
    (logsumexp_taken_away, {"formats": ("float32", "float64")}),
    (maximum_not_taken_away, {}),
    (maximum_begun_at_zero, {"formats": ("float32", "float64")}),
    (logarithm_in_float16, {"formats": ("float32", "float64")}),
    (no_logarithm_of_zero, {"draw": lambda r: (10.0 ** r.choice((-3, -4, -5)),), "formats": ("float32",)}),
    (clamped_logarithms, {"draw": lambda r: (-float(r.choice((50, 80, 100))),)}),
    (above_zero, {"formats": ("float32", "float64")}),
)

_OF_ROWS: Final[Table] = (
    (without_a_shift, {"formats": ("bfloat16", "float32", "float64")}),
    (maximum_not_added_back, {}),
    (nothing_of_masked_rows, {}),
    (logarithm_to_base_two, {}),
    (float16_logarithm, {"formats": ("float32", "float64")}),
    (tail_of_four_lost, {}),
    (least_logarithm, {"draw": lambda r: (float(r.choice((60, 80, 88))),)}),
)

DEFECTS: Final = (
    *listed("logarithm", _OF_ENTRIES, op=LOG_SOFTMAX.name, formats=COMMON),
    *listed("logarithm", _OF_ROWS, op=LOGSUMEXP.name, formats=COMMON),
)
