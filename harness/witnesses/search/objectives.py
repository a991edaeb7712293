"""What a search may look for: a figure for every element, of which the greatest in a row is its score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Rows
from reference.errors import Judgement

__all__ = ["OBJECTIVES", "Objective"]

Floats = NDArray[np.float64]
Figure = Callable[[Rows, Floats, Judgement], Floats]


@dataclass(frozen=True)
class Objective:
    """What is made as great as possible.

    Attributes:
        name: as given on the command line.
        title: one line for people.
        unit: what follows the score in print.
        witness: the kind of the witness that shows it.
        figure: from rows, their outputs as float64 and the verdict to a figure for each element; NaN: none.
        least: scores up to this one show nothing, and only lead the way.
        of_elements: whether it is a figure of single elements, and a policy may excuse some.
    """

    name: str
    title: str
    unit: str
    witness: str
    figure: Figure
    least: float = 0.0
    of_elements: bool = True


def _ulp(_rows: Rows, _y: Floats, judgement: Judgement) -> Floats:
    return judgement.ulp


def _bound_ratio(rows: Rows, _y: Floats, judgement: Judgement) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(judgement.ulp / rows.standard_bounds)


def _row_sum(_rows: Rows, _y: Floats, judgement: Judgement) -> Floats:
    """Give the row's figure to its element of the greatest ULP error, which tells rows apart."""
    figure = np.full(judgement.ulp.shape, np.nan)
    worst = np.argmax(np.nan_to_num(judgement.ulp, nan=-1.0), axis=1)
    figure[np.arange(len(figure)), worst] = judgement.row_sum_error
    return figure


def _underflow(rows: Rows, y: Floats, _judgement: Judgement) -> Floats:
    """Take RN(r) of a spurious zero; short of any, the smaller an output, the nearer to one."""
    nearest = rows.truth.nearest
    with np.errstate(invalid="ignore"):
        return np.where(nearest == 0, np.nan, np.where(y == 0, nearest, -np.abs(y)))


OBJECTIVES: Final[Mapping[str, Objective]] = MappingProxyType(
    {
        o.name: o
        for o in (
            Objective("ulp", "the greatest ULP error", "ULP", "max_ulp", _ulp),
            Objective(
                "bound_ratio",
                "the greatest error over the standard tier's bound for that very row",
                "of the bound",
                "bound_ratio",
                _bound_ratio,
            ),
            Objective(
                "row_sum",
                "the sum of outputs furthest from the exact one",
                "off",
                "row_sum",
                _row_sum,
                of_elements=False,
            ),
            Objective(
                "underflow", "the greatest result returned as zero", "lost to zero", "lost", _underflow
            ),
        )
    }
)
"""Every objective by name."""
