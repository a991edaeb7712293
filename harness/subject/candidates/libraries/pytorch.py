"""PyTorch: `torch.softmax`, eager and compiled, and its logarithms."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

__all__ = [
    "compiled",
    "compiled_log_softmax",
    "compiled_logsumexp",
    "log_softmax",
    "logsumexp",
    "softmax",
]

MOST_VARIANTS = 1 << 14
"""Shapes and axes for which code may be generated; beyond the default of 8 it would silently run eager."""


def softmax(x: Any, dim: int = -1) -> Any:
    """Return PyTorch's softmax."""
    return torch.softmax(x, dim=dim)


def log_softmax(x: Any, dim: int = -1) -> Any:
    """Return PyTorch's log_softmax."""
    return torch.log_softmax(x, dim=dim)


def logsumexp(x: Any, dim: int = -1) -> Any:
    """Return PyTorch's logsumexp."""
    return torch.logsumexp(x, dim=dim)


def compiled(x: Any, dim: int = -1) -> Any:
    """Return the softmax that PyTorch's compiler makes, for any number and length of rows."""
    return _called(softmax, x, dim)


def compiled_log_softmax(x: Any, dim: int = -1) -> Any:
    """Return the log_softmax that PyTorch's compiler makes."""
    return _called(log_softmax, x, dim)


def compiled_logsumexp(x: Any, dim: int = -1) -> Any:
    """Return the logsumexp that PyTorch's compiler makes."""
    return _called(logsumexp, x, dim)


def _called(function: Callable[..., Any], x: Any, dim: int) -> Any:
    with torch.inference_mode(), _any_number_of_variants():
        return _compiled(function)(x, dim)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Any:
    return torch.compile(function, fullgraph=True, dynamic=True)


def _any_number_of_variants() -> AbstractContextManager[None]:
    """Return a context with `MOST_VARIANTS`; PyTorch keeps settings by thread, so each call is in one."""
    from torch._dynamo import config

    limits: AbstractContextManager[None] = config.patch(
        recompile_limit=MOST_VARIANTS, accumulated_recompile_limit=MOST_VARIANTS
    )
    return limits
