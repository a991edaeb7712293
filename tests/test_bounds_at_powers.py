"""Exponentials beside a power of two have the ulp of their own side, whatever the truth leaves open.

The bound's unit is the exact result, of which the truth says no more than `RESIDUAL_TOLERANCE` of an ulp of
the output: in 8 bits that is 2^-24 of it, about an ulp of the binary32 that the exponentials are kept in.
Every truth that keeps its contract must give a bound that is not below the interval form, which mpmath
evaluates from the logits alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from reference.bounds.compiled import fill_bounds
from reference.bounds.intervals import bounds_of_rows
from reference.bounds.setting import Setting, setting_of
from reference.declaration import Algorithm
from reference.errors import ulp_of
from reference.formats import FORMATS, FloatFormat
from reference.model import RESIDUAL_TOLERANCE, Truth
from reference.oracle import truth_mpmath
from tests.interval_form import IntervalForm
from tests.machines import pushes, run

Floats = NDArray[np.float64]

LN2 = 0.6931471805599453
FLOAT32 = FORMATS["float32"]
WIDE = Algorithm("coarse exp in binary32", "shifted", 4096.0, "pairwise", arithmetic="float32")
"""An exp so coarse that half of its ulp shows in the outputs."""

OWN = Algorithm("own", "shifted", 3.0, "sequential")


def beside_powers_in_binary32() -> Floats:
    """Logits next to multiples of log 2, on both sides."""
    logits = FLOAT32.from_float64(-LN2 * np.arange(1, 13))
    lower = np.nextafter(logits, np.float32(-np.inf))
    upper = np.nextafter(logits, np.float32(0))
    return FLOAT32.to_float64(np.concatenate([logits, lower, upper]))


def pairs_beside_powers(fmt: FloatFormat) -> Floats:
    """The pairs of many whose exp(t), or exp(t + k), lies nearest to a power of two, and ties."""
    rng = np.random.default_rng(5)
    tops = fmt.to_float64(fmt.from_float64(rng.normal(size=100_000)))
    others = fmt.to_float64(fmt.from_float64(tops - 12 * rng.random(100_000)))
    t = others - tops
    steps = np.ldexp(0.5, np.maximum(np.frexp(t)[1] - 1, fmt.emin) - fmt.precision + 1)
    k = np.where(fmt.to_float64(fmt.from_float64(t)) == t, 0.0, steps)
    found = [np.zeros((1, 2))]
    for binades in (t / LN2, (t + k) / LN2):
        nearest = np.argsort(np.abs(binades - np.rint(binades)))[:12]
        found.append(np.stack([tops, others], axis=1)[nearest])
    return np.concatenate(found)


def truths_within_tolerance(truth: Truth, count: int) -> Iterator[Truth]:
    """Truths that say as little as their contract lets them: residuals off by all but their tolerance."""
    rng = np.random.default_rng(6)
    for _ in range(count):
        moved = truth.residual + rng.choice([-0.999, 0.999], truth.residual.shape) * RESIDUAL_TOLERANCE
        sign = np.sign(truth.residual)
        kept = np.where(np.sign(moved) == sign, np.clip(moved, -0.5, 0.5), sign * 5e-324)
        yield replace(truth, residual=kept)


def require_no_less_than_the_interval_form(x: Floats, algorithm: Algorithm, out: FloatFormat) -> None:
    fmt = FLOAT32 if algorithm.arithmetic else out
    setting = setting_of(algorithm, fmt, out)
    assert setting is not None
    truth = truth_mpmath(x, out)
    wanted = np.array(
        [
            IntervalForm(row, algorithm, out).bounds(ulps)
            for row, ulps in zip(x.tolist(), ulp_of(truth).tolist(), strict=True)
        ]
    )
    for given in truths_within_tolerance(truth, 8):
        for got in both_forms(x, given, setting):
            short = np.where(np.isnan(got), 0.0, wanted - got)
            row, i = np.unravel_index(np.argmax(short), short.shape)
            assert short[row, i] <= 0, (out.name, x[row].tolist(), wanted[row, i], got[row, i])


def both_forms(x: Floats, truth: Truth, setting: Setting) -> Iterator[Floats]:
    compiled = np.empty_like(x)
    fill_bounds(x, truth, setting, compiled)
    yield compiled
    yield bounds_of_rows(x, truth, setting)


@pytest.mark.parametrize("output", ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float16"])
def test_binary32_inside_takes_the_greater_ulp_where_the_output_cannot_tell(output: str) -> None:
    logits = beside_powers_in_binary32()
    pair = np.stack([np.zeros_like(logits), logits], axis=1)
    require_no_less_than_the_interval_form(pair, WIDE, FORMATS[output])


def test_the_same_where_the_greatest_result_is_subnormal() -> None:
    """Of r_max = 1 / 130, below the least normal number of the output, the truth knows less still."""
    rows = np.zeros((2, 130))
    rows[:, -1] = beside_powers_in_binary32()[:2]
    require_no_less_than_the_interval_form(rows, WIDE, FORMATS["float8_e4m3fn"])


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_the_format_s_own_exponentials_take_the_ulp_of_their_side(name: str) -> None:
    fmt = FORMATS[name]
    x = pairs_beside_powers(fmt)
    require_no_less_than_the_interval_form(x, OWN, fmt)
    truth = truth_mpmath(x, fmt)
    for given in truths_within_tolerance(truth, 2):
        for bounds in both_forms(x, given, setting_of(OWN, fmt, fmt)):  # type: ignore[arg-type]
            for push in pushes(x, np.random.default_rng(7), 2):
                errors = np.abs((run(OWN, fmt, x, push) - truth.nearest) / ulp_of(truth) - truth.residual)
                assert (np.isnan(bounds) | (errors <= bounds)).all()
