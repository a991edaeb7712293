"""The comparison would notice: each part of the certified path, broken on purpose, is caught."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest
from flint import arb, ctx
from placing import row_near, targets
from test_certified import against_mpmath, disagreements

from reference.certified import binary64, doubledouble, edges, tiers
from reference.certified.constants import powers_of_two
from reference.formats import FORMATS, FloatFormat
from reference.model import Truth
from reference.oracle import truth_mpmath

F32, F64 = FORMATS["float32"], FORMATS["float64"]


def ordinary_rows() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((60, 16)) * 8


def hard_rows(fmt: FloatFormat, steps: int) -> Iterator[np.ndarray]:
    for target in targets(fmt, np.random.default_rng(2), 25):
        yield np.array([row_near(target, steps)])


@numba.njit
def weights_of(h: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    weights = np.empty_like(h)
    for i in range(h.size):
        weights[i] = binary64.weight(h[i], 0.0, coefficients)
    return weights


def worst_weight(coefficients: tuple[float, ...]) -> float:
    """The largest error of exp, in units of what the derivation allows it: (4 + |h|) u."""
    h = -np.concatenate([np.linspace(0, 1, 400), np.random.default_rng(4).uniform(0, 300, 400)])
    weights = weights_of(h, coefficients)
    with ctx.workprec(200):
        errors = [abs(float(arb(w) / arb(v).exp() - 1)) for w, v in zip(weights, h, strict=True)]
    return float(np.max(np.array(errors) / ((4 - h) * 2.0**-53)))


def mismatches(rows: Iterator[np.ndarray], fmt: FloatFormat) -> int:
    return sum(len(against_mpmath(x, fmt)) for x in rows)


def recompiled(kernel: Any, **replacements: Any) -> Any:
    """A kernel compiled anew, uncached, with some of its module's globals replaced."""
    plain = kernel.py_func
    function = types.FunctionType(plain.__code__, {**plain.__globals__, **replacements}, plain.__name__)
    return numba.njit(error_model="numpy", nogil=True)(function)


def fine_tier_with(high: np.ndarray, low: np.ndarray) -> Any:
    """The fine tier's kernel for short rows with another table of 2^(j/512)."""
    columns = recompiled(doubledouble._weigh_columns, weight=doubledouble.weight_with(high, low))
    return recompiled(doubledouble.truth_of_short_rows, _weigh_columns=columns)


def decided_by(*kernels: Any, x: np.ndarray, fmt: FloatFormat) -> list[str]:
    """What mpmath says against the elements that the kernels, one after the other, decide."""
    outputs, rounding = tiers.outputs_of_shape(x.shape), tiers.plan_for(fmt, x.shape[1]).fine
    for kernel in kernels:
        kernel(x, outputs, rounding)
    exact = truth_mpmath(x, fmt)
    is_open = np.isnan(outputs.residual)
    nearest = np.where(is_open, exact.nearest, outputs.nearest)
    residual = np.where(is_open, exact.residual, outputs.residual)
    return disagreements(x, Truth(fmt, nearest, residual, outputs.kinds), exact)


def test_the_comparison_is_silent_about_the_path_as_it_is() -> None:
    for fmt in (F32, F64):
        assert against_mpmath(ordinary_rows(), fmt) == []
        assert mismatches(hard_rows(fmt, 2), fmt) == 0


def with_change(place: int, factor: float) -> tuple[float, ...]:
    return tuple(c * factor if i == place else c for i, c in enumerate(binary64.COEFFICIENTS))


@pytest.mark.parametrize("place", range(10))
def test_a_coefficient_off_by_a_hundredth_is_noticed(place: int) -> None:
    assert worst_weight(binary64.COEFFICIENTS) < 1
    assert worst_weight(with_change(place, 1.01)) > 1


@pytest.mark.parametrize("place", [0, 2, 4])
def test_the_comparison_notices_a_coefficient_too(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary64, "COEFFICIENTS", with_change(place, 1 + 1e-6))
    assert against_mpmath(ordinary_rows(), F32) != []


def low_parts_lost(high: np.ndarray, low: np.ndarray) -> None:
    low[:] = 0.0


def one_entry_off(high: np.ndarray, low: np.ndarray) -> None:
    high[200] = np.nextafter(high[200], 2)


@pytest.mark.parametrize("change", [low_parts_lost, one_entry_off])
def test_a_wrong_table_is_noticed(change: Any) -> None:
    high, low = powers_of_two(512)
    change(high, low)
    x = np.random.default_rng(3).standard_normal((1500, 4)) * 8
    assert decided_by(doubledouble.truth_of_short_rows, x=x, fmt=F64) == []
    assert decided_by(fine_tier_with(high, low), x=x, fmt=F64) != []


@pytest.mark.parametrize(("tier", "fmt"), [(binary64, F32), (doubledouble, F64)])
def test_a_bound_that_is_too_small_is_noticed(
    tier: Any, fmt: FloatFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = tier.relative_bound
    monkeypatch.setattr(tier, "relative_bound", lambda argument: honest(argument) * 2.0**-20)
    assert mismatches(hard_rows(fmt, 2), fmt) > 0


def test_a_missing_fallback_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "last_resort", lambda *_: 0)
    assert mismatches(hard_rows(F64, 3), F64) > 0


def test_a_fallback_of_too_little_precision_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_float64(x: np.ndarray, outputs: Any, fmt: FloatFormat) -> int:
        weights = np.exp(x - x.max(axis=1, keepdims=True))
        is_open = np.isnan(outputs.residual)
        outputs.nearest[is_open] = (weights / weights.sum(axis=1, keepdims=True))[is_open]
        outputs.residual[is_open] = 0.25
        return 0

    monkeypatch.setattr(tiers, "last_resort", from_float64)
    assert mismatches(hard_rows(F64, 3), F64) > 0


@pytest.mark.parametrize("settle", [edges.settle_ties, edges.settle_near_ties])
def test_analysis_that_takes_the_wrong_side_is_noticed(settle: Any) -> None:
    x = np.array([[0.0, -100.0], [0.0, -1e-30]])
    fine = doubledouble.truth_of_short_rows
    assert decided_by(fine, settle, x=x, fmt=F64) == []
    assert decided_by(fine, recompiled(settle, beside_power=_on_the_other_side), x=x, fmt=F64) != []


@numba.njit
def _on_the_other_side(count: int, deviation: float, rounding: Any) -> tuple[float, float]:
    return edges.beside_power(count, -deviation, rounding)
