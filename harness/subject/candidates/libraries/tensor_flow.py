"""TensorFlow: `tf.nn.softmax`, eager and compiled by XLA. Its dtypes beyond NumPy's are ml_dtypes' own."""

from __future__ import annotations

import functools
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

__all__ = ["compiled", "softmax"]


def softmax(x: Any, axis: int = -1) -> Any:
    """Return TensorFlow's softmax, eagerly and on the processor."""
    with tf.device("/CPU:0"):
        return tf.nn.softmax(tf.constant(x), axis=axis).numpy()


def compiled(x: Any, axis: int = -1) -> Any:
    """Return TensorFlow's softmax, compiled by XLA."""
    with tf.device("/CPU:0"):
        return _compiled(axis)(tf.constant(x)).numpy()


@functools.cache
def _compiled(axis: int) -> Any:
    return tf.function(lambda x: tf.nn.softmax(x, axis=axis), jit_compile=True)
