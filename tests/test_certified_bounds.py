"""The proven bounds, measured: no tier errs by more than it claims, and no claim is idle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference.certified import binary64, doubledouble
from reference.certified.layout import BLOCK, SHORT, Outputs, Rounding
from reference.errors import ulp_of
from reference.formats import FORMATS, FloatFormat
from reference.oracle import truth_mpmath
from reference.truth import Truth
from strategies import REGIMES

F32, F64 = FORMATS["float32"], FORMATS["float64"]


def undoubted(x: np.ndarray, fmt: FloatFormat, tier: Any) -> Outputs:
    """What a tier computes when nothing makes it doubt: with a bound of zero."""
    outputs = Outputs(
        np.empty(x.shape), np.empty(x.shape), np.empty(len(x), np.uint8), np.zeros(len(x), np.int64)
    )
    rounding = Rounding(fmt.precision, fmt.emin, 0.0)
    short = x.shape[1] < SHORT
    arguments = (binary64.COEFFICIENTS,) if tier is binary64 else ()
    judge = tier.truth_of_short_rows if short else tier.truth_of_long_rows
    judge(x, outputs, rounding, *arguments)
    return outputs


def relative_errors(x: np.ndarray, outputs: Outputs, truth: Truth) -> np.ndarray:
    """|computed r - r| / r where r is not far below the smallest subnormal."""
    ulp = ulp_of(truth)
    in_ulps = truth.nearest / ulp + truth.residual
    error = np.abs((outputs.nearest - truth.nearest) / ulp + (outputs.residual - truth.residual))
    matters = in_ulps > 0.25
    return error[matters] / in_ulps[matters]


def rows(length: int, fmt: FloatFormat) -> np.ndarray:
    count = 1 + 300 // length
    found = [
        fmt.to_float64(r.rows(fmt, count, length, seed=7, batch=0))
        for r in REGIMES.values()
        if not r.policy and r.supports(fmt, length)
    ]
    return np.concatenate(found)


@pytest.mark.parametrize("length", [1, 2, 7, 64, 257, BLOCK + 1])
def test_the_quick_tier_keeps_its_bound(length: int) -> None:
    x = rows(length, F32)
    errors = relative_errors(x, undoubted(x, F32, binary64), truth_mpmath(x, F32))
    bound = binary64.relative_bound(F32)
    assert errors.max() < bound, f"{errors.max().hex()} against {bound.hex()}"
    assert length == 1 or errors.max() > bound / 200


@pytest.mark.parametrize("length", [1, 2, 7, 64, 257, BLOCK + 1])
def test_the_fine_tier_keeps_its_bound(length: int) -> None:
    """mpmath's residuals are good to 2^-40 ulp, 2^-93 relative: enough to see 2^-82."""
    x = rows(length, F64)
    errors = relative_errors(x, undoubted(x, F64, doubledouble), truth_mpmath(x, F64))
    bound = doubledouble.relative_bound(length)
    assert errors.max() < bound, f"{errors.max().hex()} against {bound.hex()}"
    assert length == 1 or errors.max() > bound / 200
