"""PyTorch: `torch.softmax`, eager and compiled."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any

import torch

__all__ = ["compiled", "softmax"]

MOST_VARIANTS = 1 << 14
"""Shapes and axes for which code may be generated; beyond the default of 8 it would silently run eager."""


def softmax(x: Any, dim: int = -1) -> Any:
    """Return PyTorch's softmax."""
    return torch.softmax(x, dim=dim)


def compiled(x: Any, dim: int = -1) -> Any:
    """Return the softmax that PyTorch's compiler makes, for any number and length of rows."""
    with torch.inference_mode(), _any_number_of_variants():
        return _compiled()(x, dim)


@functools.cache
def _compiled() -> Any:
    return torch.compile(softmax, fullgraph=True, dynamic=True)


def _any_number_of_variants() -> AbstractContextManager[None]:
    """Return a context with `MOST_VARIANTS`; PyTorch keeps settings by thread, so each call is in one."""
    from torch._dynamo import config

    limits: AbstractContextManager[None] = config.patch(
        recompile_limit=MOST_VARIANTS, accumulated_recompile_limit=MOST_VARIANTS
    )
    return limits
