"""A batch of outputs with everything that follows from it, each worked out once and only where asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.compiled import Elements, count_elements, first_greatest
from harness.measurement.policy import Behaviour, excused_flushes, policy_rows
from harness.measurement.rows import Flags, Floats, Rows
from reference.attribution import attribute
from reference.bounds import element_bounds
from reference.declaration import Declaration
from reference.errors import ElementClass, Judgement, RowFailure

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
    def flushes(self) -> Flags:
        """Which outputs are flushed to zero and excused, shape (rows, n)."""
        return excused_flushes(self.judgement, self.rows.truth, self.declaration.policy)

    @cached_property
    def collapsed_by_flushes(self) -> Flags:
        """Which rows failed for excused flushes alone, shape (rows,): with RN(r) there they would not have.

        In float16 a row of 16 385 equal entries is one: each result is below the least normal number.
        """
        collapsed: Flags = (self.judgement.failure == RowFailure.COLLAPSED) & self.flushes.any(axis=1)
        rows = np.flatnonzero(collapsed)
        if rows.size:
            part = self.rows.take(collapsed)
            y = part.truth.format.to_float64(self.y[rows])
            whole = part.judge(np.where(self.flushes[rows], part.truth.nearest, y))
            collapsed[rows] = whole.failure == RowFailure.NONE
        return collapsed

    def without_flushes(self) -> Judged:
        """Return it without the errors of excused flushes: what is wrong beside them."""
        other = Judged(self.rows, self.y, self.declaration)
        vars(other)["judgement"] = replace(self.judgement, ulp=self._unexcused_ulp)
        return other

    @cached_property
    def _unexcused_ulp(self) -> Floats:
        return np.where(self.flushes, np.nan, self.judgement.ulp)

    @cached_property
    def worst(self) -> dict[str, tuple[float, int, int]]:
        """The greatest of each figure with row and element, the first of equals; none where all are NaN."""
        ulp, own = self.judgement.ulp, self.declared_bounds
        found = {
            "max_ulp": first_greatest(ulp),
            "bound_ratio": first_greatest(ulp, self.rows.standard_bounds),
            "algorithm_ratio": None if own is None else first_greatest(self._unexcused_ulp, own),
            "row_sum": first_greatest(self.judgement.row_sum_error[:, None]),
        }
        return {name: figure for name, figure in found.items() if figure is not None}

    def greatest(self, figure: str) -> float | None:
        """Return the greatest of a figure of `worst`, None where there is none."""
        return self.worst[figure][0] if figure in self.worst else None

    def ratio(self, figure: str) -> Floats | None:
        """Return the ULP errors over the bounds that `bound_ratio` or `algorithm_ratio` is about."""
        of_all = figure == "bound_ratio"
        bounds = self.rows.standard_bounds if of_all else self.declared_bounds
        if bounds is None:
            return None
        with np.errstate(invalid="ignore"):
            return np.asarray((self.judgement.ulp if of_all else self._unexcused_ulp) / bounds)

    def of_class(self, *classes: ElementClass) -> Flags | None:
        """Tell which elements are of one of some classes, shape (rows, n); None where none is."""
        if not self.elements.classes[list(classes)].any():
            return None
        return np.asarray(np.logical_or.reduce([self.judgement.classes == kind for kind in classes]))
