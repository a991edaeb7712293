"""JAX: `jax.nn`, op by op and jitted."""

from __future__ import annotations

import functools
from typing import Any

import jax

__all__ = [
    "jitted",
    "jitted_log_softmax",
    "jitted_logsumexp",
    "log_softmax",
    "logsumexp",
    "softmax",
]


def softmax(x: Any, axis: int = -1) -> Any:
    """Return JAX's softmax, each operation dispatched by itself."""
    return jax.nn.softmax(x, axis=axis)


@functools.partial(jax.jit, static_argnames="axis")
def jitted(x: Any, axis: int = -1) -> Any:
    """Return JAX's softmax, compiled as one."""
    return jax.nn.softmax(x, axis=axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return JAX's log_softmax, each operation dispatched by itself."""
    return jax.nn.log_softmax(x, axis=axis)


@functools.partial(jax.jit, static_argnames="axis")
def jitted_log_softmax(x: Any, axis: int = -1) -> Any:
    """Return JAX's log_softmax, compiled as one."""
    return jax.nn.log_softmax(x, axis=axis)


def logsumexp(x: Any, axis: int = -1) -> Any:
    """Return JAX's logsumexp, each operation dispatched by itself."""
    return jax.nn.logsumexp(x, axis=axis)


@functools.partial(jax.jit, static_argnames="axis")
def jitted_logsumexp(x: Any, axis: int = -1) -> Any:
    """Return JAX's logsumexp, compiled as one."""
    return jax.nn.logsumexp(x, axis=axis)
