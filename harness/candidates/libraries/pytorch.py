"""PyTorch: `torch.softmax`, eager and compiled."""

from __future__ import annotations

import functools
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
    with torch.inference_mode():
        return _compiled()(x, dim)


@functools.cache
def _compiled() -> Any:
    import torch._dynamo.config

    torch._dynamo.config.recompile_limit = MOST_VARIANTS  # noqa: SLF001 - its documented place
    torch._dynamo.config.accumulated_recompile_limit = MOST_VARIANTS  # noqa: SLF001 - the same
    return torch.compile(softmax, fullgraph=True, dynamic=True)
