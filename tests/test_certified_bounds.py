"""The proven bounds, measured: no tier errs by more than it claims, and no claim is idle."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import arb, arb_poly, ctx
from hypothesis import given
from hypothesis import strategies as st

from reference.certified import binary64, doubledouble
from reference.certified.compiled import fma, inlined, two_sum
from reference.certified.constants import ln2_parts, powers_of_two
from reference.certified.layout import BLOCK, SHORT, Outputs, Rounding
from reference.errors import ulp_of
from reference.formats import FORMATS, FloatFormat
from reference.model import Truth
from reference.oracle import truth_mpmath
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


# Arithmetic ------------------------------------------------------------------------------------


@inlined
def product_plus(a: float, b: float, c: float) -> float:
    return a * b + c


def awkward_operands() -> list[tuple[float, float, float]]:
    """Products whose last bits a sum cancels down to: fused and separate roundings differ."""
    rng = np.random.default_rng(15)
    pairs = rng.standard_normal((300, 2)).tolist()
    return [(a, b, -(a * b)) for a, b in pairs] + [(a, b, -(a * b) / 3) for a, b in pairs]


def test_kernels_round_product_and_sum_apart() -> None:
    """LLVM contracts nothing: what is written as two operations is rounded twice."""
    for a, b, c in awkward_operands():
        assert product_plus(a, b, c) == a * b + c, (a.hex(), b.hex(), c.hex())


def test_fma_rounds_once() -> None:
    differ = 0
    for a, b, c in awkward_operands():
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        assert fused(a, b, c) == exact.numerator / exact.denominator, (a.hex(), b.hex(), c.hex())
        differ += fused(a, b, c) != a * b + c
    assert differ > 100


@inlined
def fused(a: float, b: float, c: float) -> float:
    value: float = fma(a, b, c)
    return value


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_two_sum_is_exact(a: float, b: float) -> None:
    total, rest = two_sum(a, b)
    assert total == a + b
    assert Fraction(total) + Fraction(rest) == Fraction(a) + Fraction(b), (a.hex(), b.hex())


# Constants -------------------------------------------------------------------------------------


def test_the_table_holds_the_powers_of_two_correctly_rounded() -> None:
    """Both parts, by Arb: high is the nearest float64, low that of what is missing."""
    high, low = powers_of_two(512)
    with ctx.workprec(400):
        for j in range(512):
            power = arb(2) ** (arb(j) / 512)
            rest = power - arb(high[j])
            assert abs(rest) <= arb(math.ulp(high[j])) / 2, (j, high[j].hex())
            assert abs(rest - arb(low[j])) <= arb(math.ulp(low[j])) / 2, (j, low[j].hex())


def test_the_parts_of_ln2_leave_what_the_derivations_say() -> None:
    with ctx.workprec(400):
        for steps, bits, missing in ((1, 44, 98), (512, 33, 150)):
            parts = ln2_parts(steps, bits)
            high, _ = math.frexp(parts.high)
            assert math.ldexp(high, bits).is_integer(), parts.high.hex()
            used = arb(parts.high) + arb(parts.middle) + (arb(parts.low) if steps > 1 else 0)
            assert abs(arb(2).log() / steps - used) <= arb(2) ** -missing


def test_the_polynomial_is_as_near_as_the_interpolation_theorem_says() -> None:
    """|exp(t) - p(t)| is at most 0.4 u exp(-0.3466), on balls that cover [-0.3466, 0.3466].

    On each by the mean value theorem: the error at its centre, and the derivative's over it.
    """
    with ctx.workprec(200):
        differences = [1 / arb(math.factorial(k + 2)) - arb(c) for k, c in enumerate(binary64.COEFFICIENTS)]
        differences += [1 / arb(math.factorial(k + 2)) for k in range(len(differences), 30)]
        error = arb_poly([0, 0, *differences])
        slope = error.derivative()
        allowed = arb(0.4) * arb(2) ** -53 * arb(-0.3466).exp()
        for k in range(-3465, 3466, 2):
            centre, ball = arb(k) / 10_000, arb(k, 1) / 10_000
            assert abs(error(centre) + slope(ball) * (ball - centre)) + 2.0**-100 < allowed, k
