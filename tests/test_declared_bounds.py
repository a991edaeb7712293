"""What the built-ins declare is true of them, and as sharp as the tier that they meet."""

from __future__ import annotations

import numpy as np
import pytest

from harness.subject.candidates import load
from reference.bounds import element_bounds
from reference.certified import truth_certified
from reference.formats import FORMATS
from reference.model import RESIDUAL_TOLERANCE
from reference.tiers import TIERS
from strategies.regimes import REGIMES

IEEE = ("float16", "float32", "float64")
MET = [
    *(("max_shifted", name, "standard") for name in IEEE),
    *(("kahan", name, "standard") for name in IEEE),
    *(("upcast", name, "wide") for name in ("float16", "bfloat16")),
    ("upcast", "float32", "standard"),
]
"""A built-in, a format, and the highest tier that it meets there."""


@pytest.mark.parametrize(("candidate", "name", "tier"), MET)
def test_the_declared_bound_is_not_above_that_of_the_tier_that_is_met(
    candidate: str, name: str, tier: str
) -> None:
    fmt = FORMATS[name]
    declared = load(candidate).declared(fmt).algorithm
    assert declared is not None
    for n in (1, 2, 9, 300):
        x = np.concatenate([r.rows(fmt, 4, n, 11, 0) for r in REGIMES.values() if r.supports(fmt, n)])
        values = fmt.to_float64(x)
        truth = truth_certified(values, fmt)
        own = element_bounds(values, truth, declared, fmt)
        allowed = TIERS[tier].bounds(values, truth, fmt)
        known = ~np.isnan(allowed)
        assert known.any()
        over = np.where(known, own / allowed, 0.0)
        row, i = np.unravel_index(np.argmax(over), over.shape)
        assert over[row, i] <= 1 + RESIDUAL_TOLERANCE, (n, values[row].tolist(), own[row, i], allowed[row, i])


@pytest.mark.parametrize("name", FORMATS)
def test_exp_of_0_is_1_in_every_lane(name: str) -> None:
    """`one_at_zero`, which every built-in declares: in whole registers, in their rests, and beside others."""
    fmt = FORMATS[name]
    for n in (1, 2, 3, 7, 8, 16, 33, 64, 257):
        assert (fmt.to_float64(np.exp(fmt.from_float64(np.zeros(n)))) == 1).all(), n
        beside = fmt.from_float64(np.where(np.arange(n) % 3 == 0, 0.0, -np.arange(n) / 8.0))
        assert (fmt.to_float64(np.exp(beside))[::3] == 1).all(), n
