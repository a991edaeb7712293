"""SciPy: `scipy.special`."""

from __future__ import annotations

from typing import Any

import scipy.special

__all__ = ["log_softmax", "logsumexp", "softmax"]


def softmax(x: Any, axis: int = -1) -> Any:
    """Return SciPy's softmax."""
    return scipy.special.softmax(x, axis=axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return SciPy's log_softmax."""
    return scipy.special.log_softmax(x, axis=axis)


def logsumexp(x: Any, axis: int = -1) -> Any:
    """Return SciPy's logsumexp."""
    return scipy.special.logsumexp(x, axis=axis)
