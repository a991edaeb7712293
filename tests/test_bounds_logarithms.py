"""The bounds of log_softmax and logsumexp hold for whatever the algorithms may produce, and are reached.

The algorithms run step by step, with an exp and a log pushed as far as their ULPs let them, on every pair of
8 bits and on hard rows of wider formats.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from log_rows import hard_rows
from machines import Machine

from reference.bounds import element_bounds
from reference.bounds.logarithms import LogAlgorithm, logarithm_bounds
from reference.declaration import Algorithm
from reference.errors import ulp_errors_of
from reference.formats import FORMATS, FloatFormat
from reference.model import Truth
from reference.ops import OPS
from reference.tiers import TIERS

SHIFTED = Algorithm("shifted", "shifted", 1.0, "sequential", one_at_zero=True)
PLAIN = Algorithm("plain", "plain", 1.0, "sequential")
CONSTANT = Algorithm("constant", "constant", 1.0, "sequential", constant=9.0)
ALGORITHMS = {
    "gap": LogAlgorithm("gap", "gap", SHIFTED, 1.5),
    "lse": LogAlgorithm("lse", "lse", SHIFTED, 1.5),
    "plain lse": LogAlgorithm("plain lse", "lse", PLAIN, 1.5),
    "share": LogAlgorithm("share", "share", SHIFTED, 1.5),
    "sum": LogAlgorithm("sum", "sum", SHIFTED, 1.5),
    "plain sum": LogAlgorithm("plain sum", "sum", PLAIN, 1.5),
    "constant gap": LogAlgorithm("constant gap", "gap", CONSTANT, 1.5),
    "constant lse": LogAlgorithm("constant lse", "lse", CONSTANT, 1.5),
    "constant sum": LogAlgorithm("constant sum", "sum", CONSTANT, 1.5),
}
OWN = 2.0**-28
"""What binary64's own exp and log, of which the machine's are made, are wrong by in ULP of binary32."""

EIGHT = [f for f in FORMATS.values() if f.storage_bits == 8]


def op_of(algorithm: LogAlgorithm) -> str:
    return "logsumexp" if algorithm.form == "sum" else "log_softmax"


def run(
    algorithm: LogAlgorithm, fmt: FloatFormat, x: np.ndarray, push: np.ndarray, last: float
) -> np.ndarray:
    """The algorithm in the format, its exp pushed by `push`, its log by `last`, sums one by one."""
    machine = Machine(fmt, algorithm.sums.exp_ulps, algorithm.sums.one_at_zero)
    with np.errstate(all="ignore"):
        top = x.max(axis=1, keepdims=True)
        constant = machine.round(np.array(algorithm.sums.constant))
        shift = {"plain": 0.0, "constant": constant, "shifted": -top}[algorithm.sums.argument]
        z = machine.round(x + shift)
        terms = machine.exp(z, push)
        total = terms[:, :1]
        for j in range(1, x.shape[1]):
            total = machine.round(total + terms[:, j : j + 1])
        if algorithm.form == "share":
            return machine.log(machine.round(terms / total), np.full(x.shape, last))
        log = machine.log(total, np.full(total.shape, last))
        if algorithm.form == "gap":
            return machine.round(z - log)
        lse = machine.round(log - shift)
        return lse if algorithm.form == "sum" else machine.round(x - lse)


@cache
def pairs(fmt: FloatFormat) -> np.ndarray:
    values = np.unique(fmt.values[np.isfinite(fmt.values)])
    x = np.array(list(product(values, repeat=2)))
    return x[x[:, 0] >= x[:, 1]]


@cache
def truth_of_all_pairs(op: str, fmt: FloatFormat) -> Truth:
    return OPS[op].certified(pairs(fmt), fmt, 1)


def worst_ratio_of_rows(algorithm: LogAlgorithm, fmt: FloatFormat, x: np.ndarray) -> float:
    truth, of_softmax = (OPS[op].certified(x, fmt, 1) for op in (op_of(algorithm), "softmax"))
    return worst_ratio(algorithm, fmt, x, truth, of_softmax)


def worst_ratio(
    algorithm: LogAlgorithm, fmt: FloatFormat, x: np.ndarray, truth: Truth, of_softmax: Truth
) -> float:
    bounds = logarithm_bounds(x, truth, of_softmax, algorithm, fmt)
    worst, rng = 0.0, np.random.default_rng(1)
    signs = [np.full(x.shape, s) for s in (-1.0, 0.0, 1.0)]
    for push, last in product([*signs, rng.choice([-1.0, 1.0], x.shape)], (-1.0, 1.0)):
        y = run(algorithm, fmt, x, push, last)
        with np.errstate(invalid="ignore"):
            ratios = np.where(
                np.isnan(bounds) | (truth.nearest == -np.inf), 0.0, ulp_errors_of(y, truth) / bounds
            )
        row, i = np.unravel_index(np.argmax(np.where(np.isnan(ratios), np.inf, ratios)), ratios.shape)
        assert ratios[row, i] <= 1 + OWN, f"{x[row].tolist()}, {i}: {y[row, i]} beyond {bounds[row, i]} ULP"
        worst = max(worst, float(ratios[row, i]))
    assert np.isfinite(bounds).any()
    return worst


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("fmt", EIGHT, ids=str)
def test_holds_on_every_pair_of_8_bits_and_is_reached(fmt: FloatFormat, name: str) -> None:
    algorithm = ALGORITHMS[name]
    truth, of_softmax = (truth_of_all_pairs(op, fmt) for op in (op_of(algorithm), "softmax"))
    assert 0.5 < worst_ratio(algorithm, fmt, pairs(fmt), truth, of_softmax) <= 1 + OWN


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("format_name", ["float16", "bfloat16", "float32"])
def test_holds_on_hard_rows(format_name: str, name: str) -> None:
    fmt = FORMATS[format_name]
    for n in (1, 2, 3, 9):
        worst_ratio_of_rows(ALGORITHMS[name], fmt, hard_rows(fmt, 30, n, seed=2))


def test_a_common_offset_costs_what_x_minus_logsumexp_loses_and_the_gap_does_not() -> None:
    fmt, x = FORMATS["float32"], np.array([[4096.0, 4097.0]])
    truth, shares = (OPS[op].certified(x, fmt, 1) for op in ("log_softmax", "softmax"))
    gap, lse = (logarithm_bounds(x, truth, shares, ALGORITHMS[name], fmt) for name in ("gap", "lse"))
    assert (gap < 8).all()
    assert (lse > 2**10).all()


def test_there_is_no_bound_where_max_plus_log_of_sum_may_overflow() -> None:
    """log 200 = 5.3 may come out as 8 from a log wrong by 5.5 ULP, and 240 + 8 is NaN. By 1 ULP it cannot."""
    fmt, x = FORMATS["float8_e4m3fnuz"], np.full((1, 200), 240.0)
    sums = Algorithm("sums", "shifted", 0.5, "pairwise", accumulator_precision=24, one_at_zero=True)
    truth, shares = (OPS[op].certified(x, fmt, 1) for op in ("log_softmax", "softmax"))
    bound = {
        (form, ulps): logarithm_bounds(x, truth, shares, LogAlgorithm(form, form, sums, ulps), fmt)[0, 0]
        for form in ("gap", "lse")
        for ulps in (1.0, 5.5)
    }
    assert np.isnan(bound["lse", 5.5])
    assert np.isfinite([bound["lse", 1.0], bound["gap", 5.5]]).all(), bound


def test_in_float64_max_plus_log_of_sum_cannot_overflow() -> None:
    fmt = FORMATS["float64"]
    for a in (float(fmt.largest), float(fmt.largest) * (1 - 2.0**-42)):
        x = np.array([[a, 0.0, -a]])
        shares = OPS["softmax"].certified(x, fmt, 1)
        bounds = element_bounds(x, shares, replace(SHIFTED, division="none"), fmt)
        assert np.isfinite(bounds[0, 1:]).all(), (a.hex(), bounds)
    truth = OPS["log_softmax"].certified(x, fmt, 1)
    assert np.isfinite(logarithm_bounds(x, truth, shares, ALGORITHMS["lse"], fmt)[0, 1])


def test_exp_of_x_minus_lse_has_no_bound_where_lse_may_overflow() -> None:
    """240 + log(sum) may round beyond 240 with an exp good to 3.5 ULP, and cannot with one good to 0.5."""
    fmt, x = FORMATS["float8_e4m3fnuz"], np.array([[240.0] * 220 + [192.0]])
    sums = Algorithm("lse", "shifted", 3.5, "pairwise", 24, "none", one_at_zero=True)
    truth = OPS["softmax"].certified(x, fmt, 1)
    for algorithm, is_bounded in ((sums, False), (replace(sums, exp_ulps=0.5), True)):
        bounds = element_bounds(x, truth, algorithm, fmt)
        assert np.isfinite(bounds[0, -1]) == is_bounded


def test_log_of_softmax_has_no_bound_where_the_share_may_vanish() -> None:
    fmt, x = FORMATS["float32"], np.array([[0.0, -120.0]])
    truth, shares = (OPS[op].certified(x, fmt, 1) for op in ("log_softmax", "softmax"))
    bounds = logarithm_bounds(x, truth, shares, ALGORITHMS["share"], fmt)
    assert np.isnan(bounds[0, 1])
    assert np.isfinite(logarithm_bounds(x, truth, shares, ALGORITHMS["gap"], fmt)).all()


def float32_ratios(name: str, x: np.ndarray, y: np.ndarray, tier: str = "standard") -> np.ndarray:
    fmt, op = FORMATS["float32"], OPS[name]
    truth, shares = op.certified(x, fmt, 1), OPS["softmax"].certified(x, fmt, 1)
    bounds = TIERS[tier].logarithm_bounds(x, truth, shares, fmt, reduces=op.reduces)
    with np.errstate(invalid="ignore"):
        return ulp_errors_of(fmt.to_float64(y).reshape(truth.nearest.shape), truth) / bounds


@pytest.mark.parametrize("tier", ["standard", "fast"])
def test_the_shifted_forms_are_within_the_tiers_and_the_others_are_not(tier: str) -> None:
    rng = np.random.default_rng(3)
    rows = (3 * rng.standard_normal((300, 64))).astype(np.float32)
    rows[::3, 5] = 30.0  # it dominates: its own result is next to 0
    for x in (rows, rows + np.float32(4096)):
        top = x.max(axis=1, keepdims=True)
        log = np.log(np.exp(x - top).sum(axis=1, keepdims=True))
        exact = x.astype(np.float64)
        assert (float32_ratios("log_softmax", exact, x - top - log, tier) <= 1).all()
        assert (float32_ratios("logsumexp", exact, top + log, tier) <= 1).all()
        is_offset = x is not rows
        assert is_offset == bool((float32_ratios("log_softmax", exact, x - (top + log), tier) > 1).any())
        wrong = x - top - log * np.float32(1.0001)
        assert (float32_ratios("log_softmax", exact, wrong, tier) > 1).any()
