"""logsumexp: log sum exp(x_j)."""

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
from reference.log_errors import judge_logsumexp
from reference.model import Truth
from reference.ops.op import OBSERVED, Op
from reference.row_kinds import RowKind

__all__ = ["LOGSUMEXP"]

Floats = NDArray[np.float64]


def _exact(x: ArrayLike, bits: int) -> Any:
    from reference.logarithms import logsumexp

    return logsumexp(x, bits)


def _exact_row(row: Sequence[Exact], bits: int) -> list[Any]:
    from reference.logarithms import logsumexp_of_row

    return logsumexp_of_row(row, bits)


def _by_mpmath(x: Floats, fmt: FloatFormat) -> Truth:
    from reference.logarithms import truth_of_logsumexp

    return truth_of_logsumexp(x, fmt)


def _by_mpmath_of_rows(
    rows: Iterable[Sequence[Exact]], kinds: NDArray[np.uint8], length: int, fmt: FloatFormat
) -> Truth:
    from reference.logarithms import logsumexp_of_rows

    return logsumexp_of_rows(rows, kinds, length, fmt)


def _certified(x: Floats, fmt: FloatFormat, jobs: int) -> Truth:
    from reference.certified.logarithms import truth_of_logsumexp

    return truth_of_logsumexp(x, fmt, jobs)


def _certified_products(x: Floats, scale: float, sink: float | None, fmt: FloatFormat, jobs: int) -> Any:
    from reference.certified.scaled_logarithms import decide_scaled_logarithms

    return decide_scaled_logarithms(x, scale, sink, fmt, jobs, reduces=True)


def _judge_certified(y: NDArray[Any], truth: Truth, jobs: int) -> Judgement:
    from reference.certified.log_verdict import judge_logarithms

    return judge_logarithms(y, truth, jobs, reduces=True)


def _evaluate(x: Floats, y: NDArray[Any], fmt: FloatFormat, jobs: int) -> tuple[Judgement, int]:
    from reference.certified.log_verdict import evaluate_logarithms

    return evaluate_logarithms(x, y, fmt, jobs, reduces=True)


def _policy_fits(x: Floats, y: Floats) -> dict[str, NDArray[np.bool_]]:
    """A sum of zero has the logarithm -inf; as an entry grows to +inf, so does the result."""
    fits = {
        "nan": np.isnan(y),
        "zero": np.isneginf(y),
        "nan_at_inf": np.isnan(y),
        "limit": np.isposinf(y) & (x == np.inf).any(axis=1, keepdims=True),
    }
    none = np.zeros(len(y), dtype=np.bool_)
    return {name: fits[name][:, 0] if name in fits else none for name in OBSERVED}


LOGSUMEXP: Final = Op(
    name="logsumexp",
    formula="log sum exp(x_j)",
    reduces=True,
    masked=None,
    least=-math.inf,
    most=math.inf,
    underflows=False,
    logarithmic=True,
    policy_rows={RowKind.NAN: math.nan, RowKind.POS_INF: math.inf, RowKind.ALL_NEG_INF: -math.inf},
    policy=Policy(masked_row="zero", pos_inf="limit"),
    policy_fits=_policy_fits,
    policy_words={"nan": "NaN", "zero": "-inf", "limit": "+inf", "nan_at_inf": "NaN"},
    exact=_exact,
    exact_row=_exact_row,
    by_mpmath=_by_mpmath,
    by_mpmath_of_rows=_by_mpmath_of_rows,
    certified=_certified,
    judge=judge_logsumexp,
    judge_certified=_judge_certified,
    evaluate=_evaluate,
    certified_products=_certified_products,
)
