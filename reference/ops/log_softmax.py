"""log_softmax: x_i - log sum exp(x_j)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.declaration import Policy
from reference.errors import Judgement
from reference.formats import FloatFormat
from reference.fused import Exact
from reference.log_errors import judge_log_softmax
from reference.model import Truth
from reference.ops.op import Op, shares_at_infinity
from reference.pairs import LOG_SOFTMAX_PAIRS
from reference.row_kinds import RowKind

__all__ = ["LOG_SOFTMAX"]

Floats = NDArray[np.float64]


def _exact(x: ArrayLike, bits: int) -> NDArray[np.object_]:
    from reference.logarithms import log_softmax

    return log_softmax(x, bits)


def _exact_row(row: Sequence[Exact], bits: int) -> list[Any]:
    from reference.logarithms import log_softmax_of_row

    return log_softmax_of_row(row, bits)


def _by_mpmath(x: Floats, fmt: FloatFormat) -> Truth:
    from reference.logarithms import truth_of_log_softmax

    return truth_of_log_softmax(x, fmt)


def _by_mpmath_of_rows(
    rows: Iterable[Sequence[Exact]], kinds: NDArray[np.uint8], length: int, fmt: FloatFormat
) -> Truth:
    from reference.logarithms import log_softmax_of_rows

    return log_softmax_of_rows(rows, kinds, length, fmt)


def _certified(x: Floats, fmt: FloatFormat, jobs: int) -> Truth:
    from reference.certified.logarithms import truth_of_log_softmax

    return truth_of_log_softmax(x, fmt, jobs)


def _certified_products(x: Floats, scale: float, sink: float | None, fmt: FloatFormat, jobs: int) -> Any:
    from reference.certified.scaled_logarithms import decide_scaled_logarithms

    return decide_scaled_logarithms(x, scale, sink, fmt, jobs, reduces=False)


def _judge_certified(y: NDArray[Any], truth: Truth, jobs: int) -> Judgement:
    from reference.certified.log_verdict import judge_logarithms

    return judge_logarithms(y, truth, jobs, reduces=False)


def _evaluate(x: Floats, y: NDArray[Any], fmt: FloatFormat, jobs: int) -> tuple[Judgement, int]:
    from reference.certified.log_verdict import evaluate_logarithms

    return evaluate_logarithms(x, y, fmt, jobs, reduces=False)


def _policy_fits(x: Floats, y: Floats) -> dict[str, NDArray[np.bool_]]:
    """A limit is -log k, within 1/4, for each of k entries +inf, and -inf elsewhere."""
    limit = -np.log(np.maximum((x == np.inf).sum(axis=1, keepdims=True), 1))
    return shares_at_infinity(x, y, -np.inf, limit, np.full_like(limit, 0.25))


LOG_SOFTMAX: Final = Op(
    name="log_softmax",
    formula="x_i - log sum exp(x_j)",
    reduces=False,
    masked=-math.inf,
    least=-math.inf,
    most=0.0,
    underflows=False,
    logarithmic=True,
    policy_rows=dict.fromkeys((RowKind.NAN, RowKind.POS_INF, RowKind.ALL_NEG_INF), math.nan),
    policy=Policy(),
    policy_fits=_policy_fits,
    policy_words={
        "nan": "all NaN",
        "zero": "all -inf",
        "limit": "-log k at the k infinities and -inf elsewhere",
        "nan_at_inf": "NaN at the infinities and -inf elsewhere",
    },
    exact=_exact,
    exact_row=_exact_row,
    by_mpmath=_by_mpmath,
    by_mpmath_of_rows=_by_mpmath_of_rows,
    certified=_certified,
    judge=judge_log_softmax,
    judge_certified=_judge_certified,
    evaluate=_evaluate,
    certified_products=_certified_products,
    pairs=LOG_SOFTMAX_PAIRS,
)
