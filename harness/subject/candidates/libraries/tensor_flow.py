"""TensorFlow: `tf.nn`, eager and compiled by XLA. Its dtypes beyond NumPy's are ml_dtypes' own."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

__all__ = [
    "compiled",
    "compiled_log_softmax",
    "compiled_logsumexp",
    "log_softmax",
    "logsumexp",
    "softmax",
]


def softmax(x: Any, axis: int = -1) -> Any:
    """Return TensorFlow's softmax, eagerly and on the processor."""
    return _called(_eager(tf.nn.softmax, axis), x)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return TensorFlow's log_softmax, eagerly and on the processor."""
    return _called(_eager(tf.nn.log_softmax, axis), x)


def logsumexp(x: Any, axis: int = -1) -> Any:
    """Return TensorFlow's reduce_logsumexp, eagerly and on the processor."""
    return _called(_eager(tf.reduce_logsumexp, axis), x)


def compiled(x: Any, axis: int = -1) -> Any:
    """Return TensorFlow's softmax, compiled by XLA."""
    return _called(_compiled(tf.nn.softmax, axis), x)


def compiled_log_softmax(x: Any, axis: int = -1) -> Any:
    """Return TensorFlow's log_softmax, compiled by XLA."""
    return _called(_compiled(tf.nn.log_softmax, axis), x)


def compiled_logsumexp(x: Any, axis: int = -1) -> Any:
    """Return TensorFlow's reduce_logsumexp, compiled by XLA."""
    return _called(_compiled(tf.reduce_logsumexp, axis), x)


def _called(function: Callable[[Any], Any], x: Any) -> Any:
    with tf.device("/CPU:0"):
        return function(tf.constant(x)).numpy()


def _eager(function: Callable[..., Any], axis: int) -> Callable[[Any], Any]:
    return functools.partial(function, axis=axis)


@functools.cache
def _compiled(function: Callable[..., Any], axis: int) -> Any:
    return tf.function(_eager(function, axis), jit_compile=True)
