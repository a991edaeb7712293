"""JAX: `jax.nn.softmax`, op by op and jitted."""

from __future__ import annotations

import functools
from typing import Any

import jax

__all__ = ["jitted", "softmax"]


def softmax(x: Any, axis: int = -1) -> Any:
    """Return JAX's softmax, each operation dispatched by itself."""
    return jax.nn.softmax(x, axis=axis)


@functools.partial(jax.jit, static_argnames="axis")
def jitted(x: Any, axis: int = -1) -> Any:
    """Return JAX's softmax, compiled as one."""
    return jax.nn.softmax(x, axis=axis)
