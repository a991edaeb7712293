"""A batch of outputs with everything that follows from it, each worked out once and only where asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measurement.kernels.counting import Batch, Elements, Figures, count_verdict, judge_and_count
from harness.measurement.kernels.greatest import Found, first_greatest
from harness.measurement.policy import Behaviour, excused_flushes, policy_rows
from harness.measurement.rows import Flags, Floats, Rows
from reference.attribution import attribute
from reference.bounds import element_bounds
from reference.bounds.compiled import Constants
from reference.bounds.screening import screened_by
from reference.declaration import Declaration
from reference.errors import ElementClass, Judgement, RowFailure
from reference.model import Truth
from reference.row_kinds import RowKind

__all__ = ["Judged"]


@dataclass(frozen=True)
class Judged:
    """The outputs of a candidate on a batch.

    Attributes:
        rows: the batch, of shape (rows, n).
        y: the outputs in the truth's format, of the shape of its results.
        declaration: what the candidate says of itself.
        profiled: whether to say where in the input errors lie too.
    """

    rows: Rows
    y: NDArray[Any]
    declaration: Declaration
    profiled: bool = True

    @cached_property
    def judgement(self) -> Judgement:
        """The verdict on each element and row."""
        return self.rows.judge(self.y)

    @cached_property
    def outcomes(self) -> NDArray[np.uint8]:
        """The `RowOutcome` of each row, shape (rows,)."""
        rows = self.rows
        return attribute(
            rows.values, self.y, rows.truth, self.failure, self.declaration, rows.format, rows.op
        )

    @cached_property
    def figures(self) -> Figures:
        """What is counted of rows and elements, and the greatest figures: with the verdict, in one pass.

        The ratio to the declared bounds is not among them where excused flushes are left out of it.
        """
        screened = None if self._may_excuse else self._screened
        own = None if self._may_excuse or screened is not None else self.declared_bounds
        batch = Batch(
            self.rows.entries,
            self.rows.extents.largest,
            self.rows.standard_bounds,
            np.empty((0, self.y.shape[1])) if own is None else own,
            self.profiled,
            Constants() if screened is None else screened,
        )
        if self.rows.op.logarithmic:
            return count_verdict(self.judgement, _with_unmasked_alone(self.rows), batch)
        if self.rows.method == "certified" and not self._is_judged:
            return judge_and_count(self.y, self.rows.truth, batch)
        return count_verdict(self.judgement, self.rows.truth, batch)

    @property
    def failure(self) -> NDArray[np.uint8]:
        """The `RowFailure` of each row."""
        return self.judgement.failure if self._is_judged else self.figures.failure

    @property
    def _is_judged(self) -> bool:
        """Whether the verdict on each element is there: else it is made and counted in one pass."""
        return "judgement" in vars(self)

    @property
    def is_judged_throughout(self) -> bool:
        """Whether each element has an exact result of softmax, and no policy excuses any."""
        rows = self.rows
        return not (rows.op.logarithmic or self._may_excuse or (rows.truth.kinds >= RowKind.NAN).any())

    @property
    def elements(self) -> Elements:
        """What is counted of the elements."""
        return self.figures.elements

    @cached_property
    def declared_bounds(self) -> Floats | None:
        """The bounds of the declared algorithm in ULP, shape (rows, n); None where none is declared.

        What is declared is an algorithm of softmax, and says nothing of a logarithm.
        """
        algorithm = self.declaration.algorithm
        if algorithm is None or self.rows.op.logarithmic:
            return None
        rows = self.rows
        return element_bounds(rows.values, rows.whole_shares, algorithm, rows.format, rows.op.fused)

    @property
    def _screened(self) -> Constants | None:
        """What rows are screened by before bounds of the declared algorithm are made; None where none are."""
        algorithm, rows = self.declaration.algorithm, self.rows
        if algorithm is None or rows.op.logarithmic or "declared_bounds" in vars(self):
            return None
        return screened_by(algorithm, rows.format, rows.truth.format, self.y.shape[1], rows.op.fused)

    @cached_property
    def behaviour(self) -> tuple[Behaviour, ...]:
        """What was done on policy rows."""
        return policy_rows(self.rows, self.y, self.declaration.policy)

    @property
    def _may_excuse(self) -> bool:
        """Whether the policy excuses any output that is flushed to zero."""
        return self.declaration.policy.subnormals == "flush"

    @cached_property
    def has_flushes(self) -> bool:
        """Whether some outputs are flushed to zero and excused."""
        return self._may_excuse and bool(self.flushes.any())

    @cached_property
    def flushes(self) -> Flags:
        """Which outputs are flushed to zero and excused, shape (rows, n)."""
        if not self._may_excuse:
            return np.zeros(self.y.shape, dtype=np.bool_)
        return excused_flushes(self.judgement, self.rows.truth, self.declaration.policy)

    @cached_property
    def collapsed_by_flushes(self) -> Flags:
        """Which rows failed for excused flushes alone, shape (rows,): with RN(r) there they would not have.

        In float16 a row of 16 385 equal entries is one: each result is below the least normal number.
        """
        if not self.has_flushes:
            return np.zeros(len(self.y), dtype=np.bool_)
        collapsed: Flags = (self.failure == RowFailure.COLLAPSED) & self.flushes.any(axis=1)
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
        return np.where(self.flushes, np.nan, self.judgement.ulp) if self.has_flushes else self.judgement.ulp

    @cached_property
    def worst(self) -> dict[str, Found]:
        """The greatest of each figure with row and element, the first of equals; none where all are NaN."""
        figures = self.figures
        found = {
            "max_ulp": figures.max_ulp,
            "bound_ratio": figures.bound_ratio,
            "algorithm_ratio": self._algorithm_ratio,
            "row_sum": first_greatest(figures.row_sum_error[:, None]),
        }
        return {name: figure for name, figure in found.items() if figure is not None}

    @property
    def _algorithm_ratio(self) -> Found | None:
        if self._may_excuse and self.declared_bounds is not None:
            return first_greatest(self._unexcused_ulp, self.declared_bounds)
        return self.figures.algorithm_ratio

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

    def output_digest(self, row: int) -> str:
        """Return the SHA-256 of the encodings of a row's outputs, big-endian."""
        if row not in self._output_digests:
            self._output_digests[row] = self.rows.truth.format.digest(self.y[row])
        return self._output_digests[row]

    @cached_property
    def _output_digests(self) -> dict[int, str]:
        return {}

    def rows_with(self, *classes: ElementClass) -> Flags:
        """Tell which rows have an element of one of some classes, shape (rows,)."""
        wanted = sum(1 << kind for kind in classes)
        return np.asarray(self.figures.row_classes & np.uint16(wanted), dtype=np.bool_)


def _with_unmasked_alone(rows: Rows) -> Truth:
    """Return a truth that is 1 but at masked entries, where it is 0: of what is counted a logarithm.

    Every one has an error to count, those that are 0 too; softmax leaves out what rounds to 0.
    """
    truth = rows.truth
    nearest = np.where(rows.masked, 0.0, np.where(np.isnan(truth.nearest), np.nan, 1.0))
    return Truth(truth.format, nearest, truth.residual, truth.kinds)
