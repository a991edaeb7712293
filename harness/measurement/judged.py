"""A batch of outputs with everything that follows from it, each worked out once and only where asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.compiled import Elements, count_elements, first_greatest
from harness.measurement.policy import Behaviour, policy_rows
from harness.measurement.rows import Flags, Floats, Rows
from reference.attribution import attribute
from reference.bounds import element_bounds
from reference.declaration import Declaration
from reference.errors import ElementClass, Judgement

__all__ = ["Judged"]


@dataclass(frozen=True)
class Judged:
    """The outputs of a candidate on a batch.

    Attributes:
        rows: the batch, of shape (rows, n).
        y: the outputs in the truth's format, of the same shape.
        declaration: what the candidate says of itself.
    """

    rows: Rows
    y: NDArray[Any]
    declaration: Declaration

    @cached_property
    def judgement(self) -> Judgement:
        """The verdict on each element and row."""
        return self.rows.judge(self.y)

    @cached_property
    def outcomes(self) -> NDArray[np.uint8]:
        """The `RowOutcome` of each row, shape (rows,)."""
        rows = self.rows
        return attribute(rows.values, self.y, rows.truth, self.judgement, self.declaration, rows.format)

    @cached_property
    def elements(self) -> Elements:
        """What is counted of the elements."""
        return count_elements(self.judgement, self.rows.truth)

    @cached_property
    def declared_bounds(self) -> Floats | None:
        """The bounds of the declared algorithm in ULP, shape (rows, n); None where none is declared."""
        algorithm = self.declaration.algorithm
        if algorithm is None:
            return None
        return element_bounds(self.rows.values, self.rows.truth, algorithm, self.rows.format)

    @cached_property
    def behaviour(self) -> tuple[Behaviour, ...]:
        """What was done on policy rows."""
        return policy_rows(self.rows, self.y, self.declaration.policy)

    @cached_property
    def worst(self) -> dict[str, tuple[float, int, int]]:
        """The greatest of each figure with row and element, the first of equals; none where all are NaN."""
        ulp, own = self.judgement.ulp, self.declared_bounds
        found = {
            "max_ulp": first_greatest(ulp),
            "bound_ratio": first_greatest(ulp, self.rows.standard_bounds),
            "algorithm_ratio": None if own is None else first_greatest(ulp, own),
            "row_sum": first_greatest(self.judgement.row_sum_error[:, None]),
        }
        return {name: figure for name, figure in found.items() if figure is not None}

    def greatest(self, figure: str) -> float | None:
        """Return the greatest of a figure of `worst`, None where there is none."""
        return self.worst[figure][0] if figure in self.worst else None

    def ratio(self, figure: str) -> Floats | None:
        """Return the ULP errors over the bounds that `bound_ratio` or `algorithm_ratio` is about."""
        bounds = self.rows.standard_bounds if figure == "bound_ratio" else self.declared_bounds
        if bounds is None:
            return None
        with np.errstate(invalid="ignore"):
            return np.asarray(self.judgement.ulp / bounds)

    def of_class(self, *classes: ElementClass) -> Flags | None:
        """Tell which elements are of one of some classes, shape (rows, n); None where none is."""
        if not self.elements.classes[list(classes)].any():
            return None
        return np.asarray(np.logical_or.reduce([self.judgement.classes == kind for kind in classes]))
