"""logsumexp: log sum exp(x_j)."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.errors import Judgement
from reference.formats import FloatFormat
from reference.log_errors import judge_logsumexp
from reference.model import Truth
from reference.ops.op import Op
from reference.row_kinds import RowKind

__all__ = ["LOGSUMEXP"]

Floats = NDArray[np.float64]


def _exact(x: ArrayLike, bits: int) -> Any:
    from reference.logarithms import logsumexp

    return logsumexp(x, bits)


def _by_mpmath(x: Floats, fmt: FloatFormat) -> Truth:
    from reference.logarithms import truth_of_logsumexp

    return truth_of_logsumexp(x, fmt)


def _certified(x: Floats, fmt: FloatFormat, jobs: int) -> Truth:
    from reference.certified.logarithms import truth_of_logsumexp

    return truth_of_logsumexp(x, fmt, jobs)


def _judge_certified(y: NDArray[Any], truth: Truth, jobs: int) -> Judgement:
    from reference.certified.log_verdict import judge_logarithms

    return judge_logarithms(y, truth, jobs, reduces=True)


def _evaluate(x: Floats, y: NDArray[Any], fmt: FloatFormat, jobs: int) -> tuple[Judgement, int]:
    from reference.certified.log_verdict import evaluate_logarithms

    return evaluate_logarithms(x, y, fmt, jobs, reduces=True)


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
    exact=_exact,
    by_mpmath=_by_mpmath,
    certified=_certified,
    judge=judge_logsumexp,
    judge_certified=_judge_certified,
    evaluate=_evaluate,
)
