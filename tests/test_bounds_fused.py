"""The bounds of fused kernels hold for every order in which scale and sink may be applied, and are reached.

The kernels run step by step, with an exp pushed as far as its ULPs let it, on every pair of 8 bits and on
hard rows of wider formats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
import pytest
from log_rows import hard_rows
from longer import few_of
from machines import LN2, Machine, pushes

from reference.bounds import element_bounds
from reference.bounds.logarithms import LogAlgorithm, logarithm_bounds
from reference.declaration import Algorithm
from reference.errors import ulp_errors_of
from reference.formats import FORMATS, FloatFormat
from reference.fused import Fused
from reference.ops import OPS, SOFTMAX, with_settings
from reference.ops.fused import whole_truth
from reference.tiers import TIERS

ROOT = 1 / math.sqrt(128)
SETTINGS = [
    Fused(0.125),
    Fused(ROOT),
    Fused(1.7),
    Fused(-0.3),
    Fused(sink=0.0),
    Fused(sink=-3.3),
    Fused(ROOT, 0.7),
    Fused(0.6, -2.5, mask=True),
    Fused(-1.3, 3.1),
]
each_setting = pytest.mark.parametrize("fused", few_of(SETTINGS, 3), ids=str)
EIGHT = [f for f in FORMATS.values() if f.storage_bits == 8]
BASE = Algorithm("shifted", "shifted", 1.0, "sequential", one_at_zero=True)
OWN = 2.0**-20
"""What binary64's own exp, of which the machine's is made, is wrong by in ULP of binary32."""

Floats = np.ndarray
Arguments = Callable[[Machine, Fused, Floats], Floats]


def held(machine: Machine, value: float) -> float:
    return float(machine.round(np.array(value)))


def scaled(machine: Machine, fused: Fused, x: Floats) -> Floats:
    return x if fused.scale == 1 else machine.round(held(machine, fused.scale) * x)


def with_sink(machine: Machine, fused: Fused, z: Floats, top: Floats) -> Floats:
    """Arguments against m, and the sink's."""
    if fused.sink is None:
        return z
    return np.concatenate([z, machine.round(held(machine, fused.sink) - top)], axis=1)


def before(machine: Machine, fused: Fused, x: Floats) -> Floats:
    """RN(s x) less the greatest of these and of the sink."""
    p = scaled(machine, fused, x)
    if fused.sink is not None:
        p = np.concatenate([p, np.full((len(x), 1), held(machine, fused.sink))], axis=1)
    return machine.round(p - p.max(axis=1, keepdims=True))


def before_without_the_sink(machine: Machine, fused: Fused, x: Floats) -> Floats:
    p = scaled(machine, fused, x)
    top = p.max(axis=1, keepdims=True)
    return with_sink(machine, fused, machine.round(p - top), top)


def after(machine: Machine, fused: Fused, x: Floats) -> Floats:
    """s (x - m), m being the entry whose s x is greatest; the sink against RN(s m)."""
    end = (x if fused.scale > 0 else np.where(np.isinf(x), np.inf, x)).max(axis=1, keepdims=True)
    if fused.scale < 0:
        end = np.where(np.isinf(x), np.inf, x).min(axis=1, keepdims=True)
    z = machine.round(x - end)
    z = z if fused.scale == 1 else machine.round(held(machine, fused.scale) * z)
    return with_sink(machine, fused, z, scaled(machine, fused, end))


def within_exp2(machine: Machine, fused: Fused, x: Floats) -> Floats:
    """(x - m) RN(s log2 e), to be taken by exp2."""
    end = np.where(x == -np.inf, np.nan, fused.scale * x)
    at = np.nanargmax(end, axis=1)[:, None]
    z = machine.round(x - np.take_along_axis(x, at, axis=1))
    return machine.round(z * held(machine, held(machine, fused.scale) * held(machine, 1 / LN2)))


def softmax(machine: Machine, t: Floats, push: Floats, sunk: bool, exp2: bool = False) -> Floats:
    """exp of the arguments over their sum, one by one; the sink's output is dropped.

    Rows whose sink overflows, since the maximum leaves it out, are NaN.
    """
    e = (machine.exp2 if exp2 else machine.exp)(t, push)
    total = e[:, 0]
    for j in range(1, e.shape[1]):
        total = machine.round(total + e[:, j])
    y = machine.round(e / total[:, None])
    if sunk:
        y[~np.isfinite(total) | (np.exp(t[:, -1]) > float(machine.fmt.largest))] = np.nan
    return y[:, :-1] if sunk else y


def worst_ratio(
    fused: Fused,
    fmt: FloatFormat,
    x: Floats,
    forms: dict[str, Arguments],
    exp2: bool,
    *,
    exp_ulps: float = 1.0,
    bounded_by: Algorithm = BASE,
) -> float:
    algorithm = replace(bounded_by, exp2=exp2)
    machine = Machine(fmt, exp_ulps, one_at_zero=True)
    op = with_settings(SOFTMAX, fused)
    truth, whole = op.certified(x, fmt, 1), whole_truth(op, x, fmt)
    bounds = element_bounds(x, whole, algorithm, fmt, fused)
    row = np.where(x == -np.inf, np.nan if fused.scale < 0 else -np.inf, x)
    worst, sunk = 0.0, fused.sink is not None
    for name, form in forms.items():
        with np.errstate(all="ignore"):
            t = form(machine, fused, row)
            t = np.where(np.isnan(t), -np.inf, t) if fused.scale < 0 else t
        for push in pushes(t, np.random.default_rng(1), 4):
            with np.errstate(all="ignore"):
                y = softmax(machine, t, push, sunk, exp2)
                skipped = np.isnan(bounds) | (sunk and name != "before") & np.isnan(y)
                ratios = np.where(skipped, 0.0, ulp_errors_of(y, truth) / bounds)
            at = np.unravel_index(np.argmax(np.where(np.isnan(ratios), np.inf, ratios)), ratios.shape)
            found = [v.hex() for v in x[at[0]].tolist()]
            said = f"{name}: {found}, {at[1]}: {float(y[at]).hex()} beyond {bounds[at]} ULP"
            assert ratios[at] <= 1 + OWN, said
            worst = max(worst, float(ratios[at]))
    assert np.isfinite(bounds).any()
    return worst


FORMS: dict[str, Arguments] = {
    "before": before,
    "before, sink apart": before_without_the_sink,
    "after": after,
}


def pairs(fmt: FloatFormat) -> Floats:
    values = np.unique(fmt.values[np.isfinite(fmt.values)])
    return np.array(list(combinations_with_replacement(values, 2)))


@each_setting
@pytest.mark.parametrize("fmt", EIGHT[:2], ids=str)
def test_holds_on_pairs_of_8_bits_and_is_reached(fmt: FloatFormat, fused: Fused) -> None:
    assert 0.5 < worst_ratio(fused, fmt, pairs(fmt)[::5], FORMS, exp2=False) <= 1 + OWN


@pytest.mark.slow
@pytest.mark.parametrize("fused", SETTINGS, ids=str)
@pytest.mark.parametrize("fmt", EIGHT, ids=str)
def test_holds_on_every_pair_of_8_bits(fmt: FloatFormat, fused: Fused) -> None:
    assert worst_ratio(fused, fmt, pairs(fmt), FORMS, exp2=False) <= 1 + OWN


@each_setting
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_holds_on_hard_rows(name: str, fused: Fused) -> None:
    fmt = FORMATS[name]
    for n in (1, 5):
        worst_ratio(fused, fmt, hard_rows(fmt, 12, n, seed=3), FORMS, exp2=False)


@pytest.mark.parametrize("fused", few_of([f for f in SETTINGS if f.sink is None], 2), ids=str)
@pytest.mark.parametrize("name", ["float8_e5m2", "float16", "float32"])
def test_a_scale_may_be_within_exp2(name: str, fused: Fused) -> None:
    fmt = FORMATS[name]
    for n in (2, 5):
        worst_ratio(fused, fmt, hard_rows(fmt, 20, n, seed=4), {"within": within_exp2}, exp2=True)


def multiplied_and_added(machine: Machine, fused: Fused, x: Floats) -> Floats:
    """s x - RN(s m), rounded once but for 2^-29 of an ulp."""
    p = held(machine, fused.scale) * x
    return machine.round(p - machine.round(p.max(axis=1, keepdims=True)))


@pytest.mark.parametrize("fused", [Fused(ROOT), Fused(1.7)], ids=str)
@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_a_fused_multiply_add_keeps_the_bound_of_a_worse_exp(name: str, fused: Fused) -> None:
    fmt, form = FORMATS[name], {"fma": multiplied_and_added}
    rng = np.random.default_rng(6)
    three = replace(BASE, exp_ulps=3.0)
    for n in (1, 2, 5):
        spread = np.ldexp(rng.standard_normal((60, n)), rng.integers(-6, 8, (60, 1)))
        offset = np.ldexp(rng.uniform(-1, 1, (60, 1)), rng.integers(0, fmt.precision - 1, (60, 1)))
        x = np.concatenate([hard_rows(fmt, 12, n, seed=9), spread, spread + offset])
        x = fmt.to_float64(fmt.from_float64(x))
        near = np.abs(fused.scale * x.max(axis=1)) < 2.0**fmt.precision
        worst = worst_ratio(fused, fmt, x[near], form, exp2=False, exp_ulps=1.4, bounded_by=three)
        assert worst > 0.4 or n == 1


def test_a_fused_multiply_add_is_far_from_0_at_a_large_maximum() -> None:
    x = np.array([[float(np.float32(1e12)), 0.0]])
    z = multiplied_and_added(Machine(FORMATS["float32"], 1.0, one_at_zero=True), Fused(0.1), x)
    assert 3100 < z[0, 0] < 3200, z[0, 0].hex()


LOGARITHMS = {"log_softmax": "gap", "logsumexp": "sum"}


def logarithm(
    name: str, machine: Machine, fused: Fused, x: Floats, form: Arguments, push: Floats, last: float
) -> Floats:
    """z - log(sum), or what z was taken against plus log(sum), the log pushed as well."""
    z = form(machine, fused, x)
    e = machine.exp(z, push)
    total = e[:, :1]
    for j in range(1, e.shape[1]):
        total = machine.round(total + e[:, j : j + 1])
    log = machine.log(total, np.full(total.shape, last))
    sunk = fused.sink is not None
    lost = sunk & ((np.exp(z[:, -1:]) > float(machine.fmt.largest)) | ~np.isfinite(total))
    if name == "log_softmax":
        y = machine.round((z[:, :-1] if sunk else z) - log)
    else:
        top = scaled(machine, fused, x).max(axis=1, keepdims=True)
        top = np.maximum(top, held(machine, fused.sink)) if sunk and form is before else top
        y = machine.round(top + log)
    return np.where(lost, np.nan, y)


def worst_logarithm(name: str, fused: Fused, fmt: FloatFormat, x: Floats) -> float:
    algorithm = LogAlgorithm("own", LOGARITHMS[name], BASE, 1.5)
    machine, op = Machine(fmt, 1.0, one_at_zero=True), with_settings(OPS[name], fused)
    truth, whole = op.certified(x, fmt, 1), whole_truth(with_settings(SOFTMAX, fused), x, fmt)
    bounds = logarithm_bounds(x, truth, whole, algorithm, fmt, fused=fused)
    worst, rng = 0.0, np.random.default_rng(1)
    shape = (len(x), x.shape[1] + (fused.sink is not None))
    signs = [*(np.full(shape, s) for s in (-1.0, 0.0, 1.0)), rng.choice([-1.0, 1.0], shape)]
    for (form_name, form), push, last in product(FORMS.items(), signs, (-1.0, 1.0)):
        with np.errstate(all="ignore"):
            y = logarithm(name, machine, fused, x, form, push, last)
            skipped = np.isnan(bounds) | (truth.nearest == -np.inf) | (form is not before) & np.isnan(y)
            ratios = np.where(skipped, 0.0, ulp_errors_of(y, truth) / bounds)
        at = np.unravel_index(np.argmax(np.where(np.isnan(ratios), np.inf, ratios)), ratios.shape)
        found = [v.hex() for v in x[at[0]].tolist()]
        said = f"{form_name}: {found}, {at[1]}: {float(y[at]).hex()} beyond {bounds[at]} ULP"
        assert ratios[at] <= 1 + OWN, said
        worst = max(worst, float(ratios[at]))
    assert np.isfinite(bounds).any()
    return worst


@pytest.mark.parametrize("op", LOGARITHMS)
@pytest.mark.parametrize("fused", few_of([f for f in SETTINGS if f.scale > 0], 2), ids=str)
def test_logarithms_hold_on_pairs_of_8_bits_and_on_hard_rows(fused: Fused, op: str) -> None:
    eight = FORMATS["float8_e5m2"]
    assert 0.3 < worst_logarithm(op, fused, eight, pairs(eight)[::97]) <= 1 + OWN
    worst_logarithm(op, fused, FORMATS["float16"], hard_rows(FORMATS["float16"], 3, 3, seed=5))


@pytest.mark.slow
@pytest.mark.parametrize("op", LOGARITHMS)
@pytest.mark.parametrize("fused", [f for f in SETTINGS if f.scale > 0], ids=str)
def test_logarithms_hold_on_every_pair_of_8_bits_and_on_more_rows(fused: Fused, op: str) -> None:
    for fmt in EIGHT:
        assert 0.4 < worst_logarithm(op, fused, fmt, pairs(fmt)) <= 1 + OWN
    for name in ("float16", "bfloat16", "float32"):
        worst_logarithm(op, fused, FORMATS[name], hard_rows(FORMATS[name], 20, 3, seed=5))


@pytest.mark.parametrize("fused", [Fused(scale=0.125), Fused(scale=1.0, sink=0.0)])
def test_fast_bounds_whatever_standard_does_where_a_difference_leaves_float64(fused: Fused) -> None:
    """x - max is -inf there, and exp2 of it exactly 0."""
    fmt = FORMATS["float64"]
    x = np.array(
        [
            [1.5e308, -1.5e308, 0.0],
            [-1.5e308, 1.5e308, 1.5e308],
            [0.0, -1.5e308, 1.0],
            [0.0, -float(fmt.largest), 1.0],
        ]
    )
    op = with_settings(SOFTMAX, fused)
    whole = whole_truth(op, x, fmt)
    standard, fast = (
        TIERS[name].bounds(x, whole, fmt, overflowing=False, fused=fused) for name in ("standard", "fast")
    )
    assert (fast >= standard).all(), (fast, standard)


@pytest.mark.parametrize("tier", ["standard", "fast"])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_products_that_round_to_one_number_share_the_sum_however_far_apart_their_logits_are(
    name: str, tier: str
) -> None:
    """The exact results are 1 and, hundreds of thousands of powers of e below it, 0; both outputs are 1/2."""
    fmt, fused = FORMATS[name], Fused(ROOT)
    dtype = np.dtype(fmt.dtype)
    large = np.array([np.finfo(dtype).max, dtype.type(2.0**100)])
    x = np.stack([large, np.nextafter(large, dtype.type(0))], axis=1)
    scaled_before = x * dtype.type(ROOT)
    same = scaled_before[:, 0] == scaled_before[:, 1]
    assert same.any()
    rows = x[same].astype(np.float64)
    truth = with_settings(SOFTMAX, fused).truth(rows, fmt, "certified")
    y = np.full(rows.shape, 0.5)
    with np.errstate(over="ignore"):
        errors = ulp_errors_of(y, truth)
    bounds = TIERS[tier].bounds(rows, truth, fmt, fused=fused)
    assert (errors <= bounds).all(), (errors, bounds)


# What kernels reached once --------------------------------------------------------------------

ROW = tuple[float, ...]
IN_TURN = replace(BASE, name="in turn")


def of_hex(*numbers: str) -> ROW:
    return tuple(float.fromhex(number) for number in numbers)


@pytest.mark.parametrize(
    ("fmt", "fused", "row", "sums", "place", "output"),
    [
        pytest.param(
            "float32", Fused(sink=float.fromhex("0x1.e3c4c2p+1")), of_hex("0x1.b33334p+0"),
            replace(IN_TURN, exp_ulps=3.0, one_at_zero=False), 0, "0x1.c71c5p-4",
            id="exponentials against m, below the sink, have their ulps in another binade",
        ),
        pytest.param(
            "bfloat16", Fused(float.fromhex("0x1.ced40698d9383p+0"), float.fromhex("0x1.a1a151f3ec01ap+6")),
            of_hex(*["0x1.cep+5"] * 4), replace(IN_TURN, exp_ulps=3.0), 3, "0x1.6p-3",
            id="the sink is taken for M, and the maximum has no exponential of exactly 1",
        ),
    ],
)  # fmt: skip
def test_a_softmax_beside_a_sink_is_no_worse_than_its_bound(
    fmt: str, fused: Fused, row: ROW, sums: Algorithm, place: int, output: str
) -> None:
    x, out, op = np.array([row]), FORMATS[fmt], with_settings(SOFTMAX, fused)
    truth, whole = op.truth(x, out), whole_truth(op, x, out)
    error = ulp_errors_of(np.full(x.shape, float.fromhex(output)), truth)[0, place]
    assert error <= element_bounds(x, whole, sums, out, fused)[0, place], error


@pytest.mark.parametrize(
    ("fmt", "op", "form", "fused", "row", "log_ulps", "place", "output"),
    [
        pytest.param(
            "float16", "log_softmax", "lse", Fused(0.1), of_hex("0x0p+0", "-0x1.d8cp+10"),
            1.0, 1, "-0x1.7ap+7",
            id="s x_i is rounded before it is taken from lse",
        ),
        pytest.param(
            "bfloat16", "logsumexp", "sum", Fused(sink=float.fromhex("0x1.1p+0")), of_hex("-0x1.eep+4"),
            4.0, 0, "0x1.1p+1",
            id="the logarithm of a sum against m has a greater ulp",
        ),
    ],
)  # fmt: skip
def test_a_logarithm_of_a_fused_kernel_is_no_worse_than_its_bound(
    fmt: str, op: str, form: Any, fused: Fused, row: ROW, log_ulps: float, place: int, output: str
) -> None:
    x, out, asked = np.array([row]), FORMATS[fmt], with_settings(OPS[op], fused)
    truth, whole = asked.truth(x, out), whole_truth(with_settings(SOFTMAX, fused), x, out)
    error = ulp_errors_of(np.full(truth.nearest.shape, float.fromhex(output)), truth)[0, place]
    algorithm = LogAlgorithm("own", form, IN_TURN, log_ulps)
    assert error <= logarithm_bounds(x, truth, whole, algorithm, out, fused=fused)[0, place], error


@pytest.mark.parametrize(
    ("fmt", "fused", "row", "sums", "reached"),
    [
        pytest.param(
            "float16", Fused(sink=-0.004523031882672612), of_hex("0x1.3b8p+6", "0x1.3fp+6", "0x1.3e8p+6"),
            replace(IN_TURN, exp_ulps=0.5, accumulator_precision=11, exp2=True), 35.9,
            id="log2 e is folded into a scale of 1",
        ),
        pytest.param(
            "bfloat16", Fused(0.3535533905932738, 60.0), of_hex("0x1.4p+7", "0x1.3cp+7"),
            replace(IN_TURN, exp_ulps=1.42, division="reciprocal", exp2=True), 89.28,
            id="the sink times log2 e is rounded",
        ),
        pytest.param(
            "bfloat16", Fused(-1.00390625, 60.0), of_hex("-0x1.bcp+127", "0x1.ccp+125"),
            replace(IN_TURN, exp2=True), math.nan,
            id="a logit times log2 e is infinite",
        ),
    ],
)  # fmt: skip
def test_an_exp2_with_its_factor_in_the_scale_is_no_worse_than_its_bound(
    fmt: str, fused: Fused, row: ROW, sums: Algorithm, reached: float
) -> None:
    """ULP that kernels reached whose factor is RN(s log2 e); where one overflows there is no bound."""
    x, out = np.array([row]), FORMATS[fmt]
    bounds = element_bounds(x, whole_truth(with_settings(SOFTMAX, fused), x, out), sums, out, fused)
    assert np.isnan(bounds).all() if math.isnan(reached) else bounds[0, 0] >= reached


@pytest.mark.parametrize(
    ("fused", "row", "exp2"),
    [
        pytest.param(Fused(sink=50000.0), (20000.0,), True, id="the sink times log2 e is infinite"),
        pytest.param(Fused(sink=1e6), (-math.inf, -math.inf), False, id="the sink is infinite"),
        pytest.param(Fused(1e6), (0.0, 0.0), False, id="the scale is infinite"),
    ],
)
def test_settings_beyond_the_arithmetic_have_no_bound(fused: Fused, row: ROW, exp2: bool) -> None:
    x, out = np.array([row]), FORMATS["float16"]
    whole = whole_truth(with_settings(SOFTMAX, fused), x, out)
    assert np.isnan(element_bounds(x, whole, replace(IN_TURN, exp2=exp2), out, fused)).all()
