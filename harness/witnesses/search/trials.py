"""Trying rows: the candidate is called on a batch, and each row gets a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Rows
from harness.measurement.policy import excused_flushes
from harness.subject.execution import Outcome
from harness.subject.subject import Subject
from harness.witnesses.search.mutations import Ordinals
from harness.witnesses.search.objectives import Objective

__all__ = ["Trial", "Trials"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """A batch that was tried.

    Attributes:
        rows: with their truth.
        outcome: what the candidate made of them.
        scores: the greatest figure of each row; -inf where it has none, or brought no outputs.
        results: which result that is.
        elements: the entry that it belongs to; the largest, where a row has one result.
    """

    rows: Rows
    outcome: Outcome
    scores: Floats
    results: NDArray[np.intp]
    elements: NDArray[np.intp]


@dataclass(frozen=True)
class Trials:
    """What is tried, and what for."""

    subject: Subject
    objective: Objective

    def of(self, ordinals: Ordinals, number: int) -> Trial:
        """Try rows of shape (k, n), the batch of that number."""
        subject, fmt = self.subject, self.subject.format
        x = fmt.from_bits(fmt.from_ordinals(ordinals))
        rows = Rows.about(subject, x, number, method=subject.reference)
        outcome = subject.run(x)
        figure = self._figure(rows, outcome)
        results = np.argmax(figure, axis=1)
        scores = figure[np.arange(len(figure)), results]
        elements = np.argmax(rows.values, axis=1) if rows.op.reduces else results
        return Trial(rows, outcome, scores, results, elements)

    def _figure(self, rows: Rows, outcome: Outcome) -> Floats:
        """Return the objective's figure of each element, -inf where it has none or is excused."""
        if outcome.outputs is None:
            return np.full(rows.truth.nearest.shape, -np.inf)
        y = self.subject.out.to_float64(outcome.outputs)
        judgement = rows.judge(y)
        figure = self.objective.figure(rows, y, judgement)
        left_out = np.isnan(figure) | ~outcome.completed[:, None]
        if self.objective.of_elements:
            left_out |= excused_flushes(judgement, rows.truth, self.subject.candidate.declaration.policy)
        return np.where(left_out, -np.inf, figure)
