"""The complete comparison: millions of elements of every regime, format and length class.

Slow by nature (mpmath costs some 12 microseconds an element); the default suite holds the
same comparison over fewer rows.
"""

from __future__ import annotations

import numpy as np
import pytest
from arb import contradictions
from placing import row_near, targets
from test_certified import PAIRS, against_mpmath
from test_certified_verdict import differences, wrong_outputs

from reference.certified import judge_certified, truth_certified
from reference.errors import judge
from reference.formats import FORMATS, FloatFormat
from strategies import REGIMES, Regime

LENGTHS = (1, 2, 3, 5, 8, 33, 100, 1024, 3000)
ELEMENTS_OF_A_CELL = 1200

each_regime = pytest.mark.parametrize("regime", REGIMES.values(), ids=REGIMES)
each_pair = pytest.mark.parametrize(("fmt", "out"), PAIRS, ids=lambda f: f.name)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def cell(regime: Regime, fmt: FloatFormat, length: int, elements: int) -> np.ndarray:
    rows = -(-elements // length)
    return fmt.to_float64(regime.rows(fmt, rows, length, seed=11, batch=0))


@each_regime
@each_pair
def test_certified_is_mpmath_and_arb_agrees(regime: Regime, fmt: FloatFormat, out: FloatFormat) -> None:
    for length in LENGTHS:
        if regime.supports(fmt, length):
            x = cell(regime, fmt, length, ELEMENTS_OF_A_CELL)
            assert against_mpmath(x, out) == []
            assert contradictions(x[:20, :], truth_certified(x[:20, :], out)) == []


@pytest.mark.parametrize("out", FORMATS.values(), ids=str)
def test_rows_of_seventy_thousand(out: FloatFormat) -> None:
    for scale in (1e-20, 0.5, 30.0):
        x = np.random.default_rng(12).standard_normal((1, 70_001)) * scale
        assert against_mpmath(x, out) == []


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("out", FORMATS.values(), ids=str)
def test_results_placed_next_to_midpoints_and_powers_of_two(out: FloatFormat, steps: int) -> None:
    for target in targets(out, np.random.default_rng(13), 400):
        x = np.array([row_near(target, steps)])
        assert contradictions(x, truth_certified(x, out)) == [], f"target {target}"


@each_regime
@each_pair
def test_the_verdict_is_the_specification_s(regime: Regime, fmt: FloatFormat, out: FloatFormat) -> None:
    rng = np.random.default_rng(14)
    for length in LENGTHS:
        if regime.supports(fmt, length):
            x = cell(regime, fmt, length, 1000)
            truth = truth_certified(x, out)
            for y in wrong_outputs(truth.nearest, out, rng):
                assert differences(judge(y, truth), judge_certified(y, truth)) == []
