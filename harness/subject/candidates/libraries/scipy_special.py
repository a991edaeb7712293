"""SciPy: `scipy.special.softmax`."""

from __future__ import annotations

from typing import Any

import scipy.special

__all__ = ["softmax"]


def softmax(x: Any, axis: int = -1) -> Any:
    """Return SciPy's softmax."""
    return scipy.special.softmax(x, axis=axis)
