"""softmax: exp(x_i) / sum exp(x_j)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.declaration import Policy
from reference.errors import Judgement, judge
from reference.formats import FloatFormat
from reference.fused import Exact
from reference.model import Truth
from reference.ops.op import Op, shares_at_infinity
from reference.pairs import SOFTMAX_PAIRS
from reference.reductions import over_rows
from reference.row_kinds import RowKind

__all__ = ["SOFTMAX"]

Floats = NDArray[np.float64]


def _exact(x: ArrayLike, bits: int) -> NDArray[np.object_]:
    from reference.oracle import softmax

    return softmax(x, bits)


def _exact_row(row: Sequence[Exact], bits: int) -> list[Any]:
    from reference.oracle import softmax_of_row

    return softmax_of_row(row, bits)


def _by_mpmath(x: Floats, fmt: FloatFormat) -> Truth:
    from reference.oracle import truth_mpmath

    return truth_mpmath(x, fmt)


def _by_mpmath_of_rows(
    rows: Iterable[Sequence[Exact]], kinds: NDArray[np.uint8], length: int, fmt: FloatFormat
) -> Truth:
    from reference.oracle import truth_of_rows

    return truth_of_rows(rows, kinds, length, fmt)


def _certified(x: Floats, fmt: FloatFormat, jobs: int) -> Truth:
    from reference.certified import truth_certified

    return truth_certified(x, fmt, jobs)


def _certified_products(x: Floats, scale: float, sink: float | None, fmt: FloatFormat, jobs: int) -> Any:
    from reference.certified.scaled import decide_scaled

    return decide_scaled(x, scale, sink, fmt, jobs)


def _judge_certified(y: NDArray[Any], truth: Truth, jobs: int) -> Judgement:
    from reference.certified import judge_certified

    return judge_certified(y, truth, jobs)


def _evaluate(x: Floats, y: NDArray[Any], fmt: FloatFormat, jobs: int) -> tuple[Judgement, int]:
    from reference.certified import evaluate

    return evaluate(x, y, fmt, jobs)


def _policy_fits(x: Floats, y: Floats) -> dict[str, NDArray[np.bool_]]:
    """A limit is a share of 1/k, within a quarter, for each of k entries +inf, and 0 elsewhere."""
    share = 1 / np.maximum(over_rows(np.add, x == np.inf), 1)[:, None]
    return shares_at_infinity(x, y, 0.0, share, share / 4)


SOFTMAX: Final = Op(
    name="softmax",
    formula="exp(x_i) / sum exp(x_j)",
    reduces=False,
    masked=0.0,
    least=0.0,
    most=1.0,
    underflows=True,
    logarithmic=False,
    policy_rows=dict.fromkeys((RowKind.NAN, RowKind.POS_INF, RowKind.ALL_NEG_INF), math.nan),
    policy=Policy(),
    policy_fits=_policy_fits,
    policy_words={
        "nan": "all NaN",
        "zero": "all 0",
        "limit": "shares among the infinities and 0 elsewhere",
        "nan_at_inf": "NaN at the infinities and 0 elsewhere",
    },
    exact=_exact,
    exact_row=_exact_row,
    by_mpmath=_by_mpmath,
    by_mpmath_of_rows=_by_mpmath_of_rows,
    certified=_certified,
    judge=judge,
    judge_certified=_judge_certified,
    evaluate=_evaluate,
    certified_products=_certified_products,
    pairs=SOFTMAX_PAIRS,
)
