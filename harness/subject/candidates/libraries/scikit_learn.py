"""scikit-learn: `sklearn.utils.extmath.softmax`, which takes rows of a matrix."""

from __future__ import annotations

from typing import Any

from sklearn.utils.extmath import softmax as of_matrix

__all__ = ["softmax"]


def softmax(x: Any) -> Any:
    """Return scikit-learn's softmax of the rows of x."""
    return of_matrix(x.reshape(-1, x.shape[-1])).reshape(x.shape)
