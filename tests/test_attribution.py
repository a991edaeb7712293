"""Why rows failed: every clause of the definition, in its order, and every threshold decided exactly.

The thresholds are evaluated a second time, in mpmath with 300 bits, from the definition alone.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from harness import cli
from reference.attribution import RowOutcome, _case, _limits, attribute, hedge
from reference.bounds import growth
from reference.bounds.extremes import Limits, steps_exceed, sums_exceed, tops_below
from reference.declaration import Algorithm, Argument, Declaration
from reference.errors import judge
from reference.formats import FORMATS, FloatFormat
from reference.ops import op_named
from reference.oracle import truth_mpmath

Floats = NDArray[np.float64]

MP = mpmath.MPContext()
MP.prec = 300

NAN, INF = float("nan"), float("inf")
PLAIN = Algorithm("plain", "plain", 1.0, "sequential")


def naive(x: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        e = np.exp(x)
        return e / e.sum(axis=-1, keepdims=True)


def outcome(
    row: list[float], y: list[float] | None, declaration: Declaration, name: str, out: str | None = None
) -> RowOutcome:
    """The outcome of a row with the outputs y, or with those of the naive form where they are None."""
    fmt, to = FORMATS[name], FORMATS[out or name]
    x = fmt.from_float64(np.array([row]))
    values = fmt.to_float64(x)
    outputs = naive(x) if y is None else to.from_float64(np.array([y]))
    truth = truth_mpmath(values, to)
    return RowOutcome(attribute(values, outputs, truth, judge(outputs, truth).failure, declaration, fmt)[0])


def declared(argument: Argument, **others: Any) -> Declaration:
    return Declaration(argument=argument, **others)


# What the naive form does ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("float64", [800.0, 0.0], RowOutcome.OVERFLOW),
        ("float16", [11.0] * 8, RowOutcome.OVERFLOW),  # finite zeros: the sum is infinite
        ("float32", [89.0, 0.0], RowOutcome.OVERFLOW),
        ("float32", [-104.0, -104.0], RowOutcome.TOTAL_UNDERFLOW),
        ("float64", [-746.0, -750.0], RowOutcome.TOTAL_UNDERFLOW),
        ("float8_e4m3fn", [7.0, 0.0], RowOutcome.OVERFLOW),  # NaN: there is no infinity
        ("float32", [1.0, 0.0], RowOutcome.OK),
        ("float32", [NAN, 0.0], RowOutcome.POLICY),
        ("float32", [INF, 0.0], RowOutcome.POLICY),
        ("float32", [-INF, -INF], RowOutcome.POLICY),
    ],
)
def test_the_naive_form(name: str, row: list[float], expected: RowOutcome) -> None:
    assert outcome(row, None, declared("plain"), name) == expected
    assert outcome(row, None, declared("unknown"), name) == expected


@pytest.mark.parametrize(("name", "row"), [("float64", [800.0, 0.0]), ("float32", [-104.0, -104.0])])
def test_a_shifted_form_has_no_such_excuse(name: str, row: list[float]) -> None:
    for argument in ("shifted", "running"):
        assert outcome(row, None, declared(argument), name) == RowOutcome.UNEXPLAINED  # type: ignore[arg-type]


# Clause by clause --------------------------------------------------------------------------


def test_total_underflow_comes_before_overflow_and_asks_for_nothing_but_zeros_or_nonfinite() -> None:
    down = [-90.0, -90.0]  # exp is subnormal in binary32
    assert outcome(down, [NAN, NAN], declared("plain"), "float32") == RowOutcome.TOTAL_UNDERFLOW
    assert outcome(down, [0.0, 0.0], declared("plain"), "float32") == RowOutcome.TOTAL_UNDERFLOW
    assert outcome(down, [0.25, NAN], declared("plain"), "float32") == RowOutcome.UNEXPLAINED
    assert outcome(down, [0.125, 0.125], declared("plain"), "float32") == RowOutcome.INACCURATE


def test_overflow_asks_for_nothing_but_zeros_or_nonfinite() -> None:
    up = [90.0, 0.0]
    assert outcome(up, [NAN, 0.0], declared("plain"), "float32") == RowOutcome.OVERFLOW
    assert outcome(up, [NAN, 0.5], declared("plain"), "float32") == RowOutcome.UNEXPLAINED
    assert outcome(up, [0.25, 0.0], declared("plain"), "float32") == RowOutcome.INACCURATE


def test_collapsed_zeros_without_a_reason_are_unexplained() -> None:
    assert outcome([1.0, 0.0], [0.0, 0.0], declared("unknown"), "float32") == RowOutcome.UNEXPLAINED


def test_inflated_outputs_are_inaccurate() -> None:
    assert outcome([1.0, 0.0], [1.0, 1.25], declared("shifted"), "float32") == RowOutcome.INACCURATE


def test_saturation_is_an_overflow_only_where_declared_and_out_of_range() -> None:
    saturated, row = [1.0] * 4, [89.0] * 4
    for saturating, expected in ((True, RowOutcome.OVERFLOW), (False, RowOutcome.INACCURATE)):
        assert outcome(row, saturated, declared("plain", saturating=saturating), "float32") == expected
    low = [80.0] * 4
    assert outcome(low, saturated, declared("plain", saturating=True), "float32") == RowOutcome.INACCURATE


def test_a_constant_moves_both_ends() -> None:
    dead = [NAN, NAN]
    up, down = declared("constant", constant=60.0), declared("constant", constant=-60.0)
    assert outcome([30.0, 30.0], dead, up, "float32") == RowOutcome.OVERFLOW
    assert outcome([-30.0, -30.0], dead, down, "float32") == RowOutcome.TOTAL_UNDERFLOW
    assert outcome([30.0, 30.0], dead, down, "float32") == RowOutcome.UNEXPLAINED


@pytest.mark.parametrize(
    ("argument", "row", "expected"),
    [
        ("shifted", [448.0, -448.0], RowOutcome.OVERFLOW),  # 896 is no number of e4m3fn
        ("running", [-448.0, 448.0], RowOutcome.OVERFLOW),
        ("constant", [448.0, 0.0], RowOutcome.OVERFLOW),
        ("shifted", [100.0, -100.0], RowOutcome.UNEXPLAINED),
    ],
)
def test_a_step_that_forms_the_argument_may_overflow(
    argument: Argument, row: list[float], expected: RowOutcome
) -> None:
    declaration = declared(argument, constant=64.0)
    assert outcome(row, [NAN, NAN], declaration, "float8_e4m3fn") == expected


def test_a_running_sum_may_overflow_before_the_maximum_comes() -> None:
    """600 ties in e4m3fn add up to 600 > 448, and a greater logit at the end rescales that to nothing."""
    n = 600
    row, dead = [0.0] * n + [20.0], [NAN] * (n + 1)
    algorithm = Algorithm("online", "running", 0.5, "pairwise", accumulator_precision=24)
    for argument, expected in (("running", RowOutcome.OVERFLOW), ("shifted", RowOutcome.UNEXPLAINED)):
        chosen = replace(algorithm, argument=argument)  # type: ignore[arg-type]
        assert outcome(row, dead, declared(argument, algorithm=chosen), "float8_e4m3fn") == expected  # type: ignore[arg-type]


def test_a_running_sum_is_rescaled_at_the_first_entry_and_wherever_the_maximum_grows() -> None:
    fmt, algorithm = FORMATS["float16"], Algorithm("online", "running", 1.0, "sequential")
    case = _case(declared("running", algorithm=algorithm), fmt, fmt)
    rows = np.array([[2.0, 1.0, 0.0, 2.0], [0.0, 1.0, -5.0, 1.0], [0.0, 1.0, 2.0, 3.0]])
    expected = [Fraction(fmt.largest) / Fraction(growth(algorithm, 4, fmt, times)) for times in (1, 2, 4)]
    assert list(_limits(rows, "running", case)) == expected
    assert expected[0] > expected[1] > expected[2]


def test_the_declared_arithmetic_counts_else_that_of_the_input() -> None:
    row, dead = [20.0, 0.0], [NAN, NAN]
    wide = replace(PLAIN, arithmetic="float32")
    assert outcome(row, dead, declared("plain", algorithm=wide), "float16") == RowOutcome.UNEXPLAINED
    assert outcome(row, dead, declared("plain"), "float16", "float32") == RowOutcome.OVERFLOW
    assert (
        outcome(row, dead, declared("plain", algorithm=PLAIN), "float16", "float32") == RowOutcome.UNEXPLAINED
    )


def test_only_failed_rows_are_attributed() -> None:
    fmt = FORMATS["float32"]
    x = np.array([[90.0, 0.0], [1.0, 0.0], [NAN, 0.0], [90.0, 0.0]])
    y = np.array([[NAN, 0.0], [0.731, 0.269], [NAN, NAN], [1.0, 0.0]], dtype=np.float32)
    truth = truth_mpmath(x, fmt)
    found = attribute(x, y, truth, judge(y, truth).failure, declared("plain"), fmt)
    assert found.dtype == np.uint8
    assert found.tolist() == [RowOutcome.OVERFLOW, RowOutcome.OK, RowOutcome.POLICY, RowOutcome.OK]


# Thresholds --------------------------------------------------------------------------------


def neighbours(value: float, fmt: FloatFormat, reach: int = 3) -> Floats:
    """The numbers of a format around a value."""
    centre = fmt.ordinal(fmt.round(Fraction(value)))
    codes = [fmt.from_ordinal(centre + k) for k in range(-reach, reach + 1)]
    return fmt.to_float64(fmt.from_bits(codes))


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "bfloat16"])
def test_total_underflow_begins_where_exp_leaves_the_normal_range(name: str) -> None:
    fmt = FORMATS[name]
    x = neighbours(fmt.emin * float(MP.ln(2)), fmt)[:, None]
    exact = [MP.exp(MP.mpf(v)) < MP.ldexp(1, fmt.emin) for v in x[:, 0].tolist()]
    assert tops_below(x, 0.0, fmt.emin).tolist() == exact
    assert 0 < sum(exact) < len(exact)


def test_underflow_of_a_constant_is_decided_beyond_binary64() -> None:
    """x + c falls between two binary64 numbers, on either side of the threshold."""
    emin, c = -126, 2.0**-60
    top = float(MP.ln(2) * emin)
    x = np.array([[np.nextafter(top, -INF)], [top], [np.nextafter(top, INF)]])
    exact = [MP.exp(MP.mpf(v) + MP.mpf(c)) < MP.ldexp(1, emin) for v in x[:, 0].tolist()]
    assert tops_below(x, c, emin).tolist() == exact


def exact_sum(row: list[float], argument: Argument, c: float) -> Any:
    shift = {"plain": 0, "constant": MP.mpf(c), "shifted": -MP.mpf(max(row))}[argument]
    return MP.fsum(MP.exp(MP.mpf(v) + shift) for v in row if v != -INF)


@pytest.mark.parametrize(("argument", "c"), [("plain", 0.0), ("constant", -3.5), ("shifted", 0.0)])
def test_sums_are_decided_to_the_last_bit(argument: Argument, c: float) -> None:
    """The limit is the sum itself, rounded up or down to 200 bits."""
    rng = np.random.default_rng(7)
    for n in (2, 5, 40):
        row = [*(10 * rng.normal(size=n)).tolist(), -INF]
        total = exact_sum(row, argument, c)
        below = Fraction(int(MP.floor(MP.ldexp(total, 200)))) / 2**200
        x = np.array([row, row])
        assert sums_exceed(x, argument, c, [below, below + Fraction(1, 2**200)]).tolist() == [True, False]


@pytest.mark.parametrize(("argument", "c"), [("plain", 0.0), ("constant", -3.5), ("shifted", 0.0)])
@pytest.mark.parametrize("n", [1, 2, 40])
def test_sums_are_told_from_limits_near_and_far(argument: Argument, c: float, n: int) -> None:
    """About the greatest term, n times that, and the sum itself, from 2^-45 to 2^40 times off."""
    rng = np.random.default_rng(n)
    far = (-3000.0, 3000.0) if argument == "shifted" else ()
    for offset in (-700.0, 0.0, 30.0, 700.0, *far):
        row = [*(rng.normal(size=n) * rng.choice([1e-9, 1.0, 20.0]) + offset).tolist(), -INF]
        total = exact_sum(row, argument, c)
        top = exact_sum([max(row)], argument, c)
        factors = [1 + s * MP.ldexp(1, -k) for k in range(1, 46, 2) for s in (1, -1)]
        factors += [MP.ldexp(1, k) for k in range(-40, 41, 5) if k]
        limits = [middle * factor for middle in (top, n * top, total) for factor in factors]
        exact = [Fraction(int(v.man)) * Fraction(2) ** int(v.exp) for v in limits]
        expected = [bool(total > v) for v in limits]
        found = sums_exceed(np.array([row] * len(limits)), argument, c, exact).tolist()
        assert found == expected, [v.hex() for v in row]


def test_equal_entries_sum_to_their_number() -> None:
    x = np.full((3, 4), 7.0)
    limits = [Fraction(4) - Fraction(1, 2**400), Fraction(4), Fraction(4) + Fraction(1, 2**400)]
    assert sums_exceed(x, "shifted", 0.0, limits).tolist() == [True, False, False]
    assert sums_exceed(x, "running", 0.0, limits).tolist() == [True, False, False]
    assert sums_exceed(x, "constant", -7.0, limits).tolist() == [True, False, False]


def test_prefixes_are_summed_against_their_own_maximum() -> None:
    rng = np.random.default_rng(8)
    x = np.sort(rng.normal(size=(20, 12)) * 2, axis=1)[:, rng.permutation(12)]
    x[:, 0] = -INF
    for row in x.tolist():
        best = max(exact_sum(row[: k + 1], "shifted", 0.0) for k in range(1, len(row)))
        below = Fraction(int(MP.floor(MP.ldexp(best, 200)))) / 2**200
        limits = [below, below + Fraction(1, 2**200)]
        assert sums_exceed(np.array([row, row]), "running", 0.0, limits).tolist() == [True, False], row


def test_steps_are_exact_differences() -> None:
    x = np.array([[2.0**60, -1.0, -INF]] * 3)
    gap = Fraction(2**60 + 1)
    limits = [gap - Fraction(1, 2**70), gap, gap + Fraction(1, 2**70)]
    assert steps_exceed(x, "shifted", 0.0, limits).tolist() == [True, False, False]
    assert steps_exceed(x[:, ::-1], "running", 0.0, limits).tolist() == [True, False, False]
    assert steps_exceed(x[:, 1:], "constant", -(2.0**60), limits).tolist() == [True, False, False]
    assert not steps_exceed(x, "plain", 0.0, [Fraction(0)] * 3).any()


@pytest.mark.parametrize("argument", ["plain", "shifted", "running"])
def test_limits_that_rows_share_decide_as_if_each_had_its_own(argument: Argument) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 5)) * rng.choice([1e-9, 1.0, 30.0], size=(60, 1))
    shared = Limits([Fraction(0), Fraction(9, 2), Fraction(10) ** 30], rng.integers(0, 3, 60))
    own = [shared[row] for row in range(60)]
    for exceed in (sums_exceed, steps_exceed):
        found = exceed(x, argument, 0.0, shared)
        assert found.tolist() == exceed(x, argument, 0.0, own).tolist()
        assert found.any() == (exceed is sums_exceed or argument != "plain")
        assert not found.all()
    everywhere = sums_exceed(x, argument, 0.0, Limits.same(Fraction(9, 2), 60))
    assert everywhere.tolist() == sums_exceed(x, argument, 0.0, [Fraction(9, 2)] * 60).tolist()


def test_the_steps_of_a_row_are_its_own() -> None:
    """600 in the first; in the second 400 at most, whatever came in the row before."""
    x = np.array([[300.0, -300.0], [0.0, -400.0]])
    assert steps_exceed(x, "running", 0.0, [Fraction(448)] * 2).tolist() == [True, False]


def test_a_difference_beyond_binary64_exceeds_its_largest_number() -> None:
    largest = FORMATS["float64"].largest
    assert steps_exceed(np.array([[float(largest), -float(largest)]]), "shifted", 0.0, [largest]).all()


def test_overflow_is_granted_from_omega_over_growth_on() -> None:
    """The rows next to ln(Omega / G), all outputs NaN: what is below has no excuse."""
    fmt, n = FORMATS["float16"], 2
    limit = fmt.largest / Fraction(growth(PLAIN, n, fmt))
    threshold = float(MP.log(MP.mpf(limit.numerator) / limit.denominator / n))
    for value in neighbours(threshold, fmt).tolist():
        exceeds = n * MP.exp(MP.mpf(value)) > MP.mpf(limit.numerator) / limit.denominator
        expected = RowOutcome.OVERFLOW if exceeds else RowOutcome.UNEXPLAINED
        assert outcome([value] * n, [NAN] * n, declared("plain", algorithm=PLAIN), "float16") == expected


def test_thousands_of_failed_rows_take_no_time() -> None:
    fmt = FORMATS["float32"]
    x = fmt.to_float64(fmt.from_float64(90 + np.random.default_rng(9).normal(size=(5000, 4))))
    y = np.full(x.shape, NAN, dtype=np.float32)
    truth = truth_mpmath(x[:1], fmt)
    many = replace(
        truth,
        nearest=np.repeat(truth.nearest, len(x), axis=0),
        residual=np.repeat(truth.residual, len(x), axis=0),
        kinds=np.repeat(truth.kinds, len(x)),
    )
    found = attribute(x, y, many, judge(y, many).failure, declared("unknown"), fmt)
    assert (found == RowOutcome.OVERFLOW).mean() > 0.9


PADDED_LANES = """
import numpy as np

def softmax(x):
    with np.errstate(all="ignore"):
        top = x.max(-1, keepdims=True)
        lanes = np.exp(0 - top) * (-x.shape[-1] % 8)
        e = np.exp(x - top)
        return e / (e.sum(-1, keepdims=True) + lanes)
"""


def test_what_one_row_of_zeros_cannot_tell_is_said_beside_its_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("padded.py").write_text(PADDED_LANES)
    np.save("rows.npy", np.full((1, 5), -128, np.float32))
    few = ["--input", "rows.npy", "--regime", "input", "--format", "float32", "--in-process", "--out", "r"]
    assert cli.run(["run", "padded.py:softmax", *few, "--effort", "brief"]) == 0
    witnesses = [json.loads(line) for line in Path("r/witnesses.jsonl").read_text().splitlines()]
    found, *_ = [w for w in witnesses if w["kind"] == "total_underflow"]
    hedged = "total underflow if it exponentiates x, another fault if it subtracts the maximum first"
    assert hedged in found["message"]
    assert "outputs of 0 come of a sum of inf, or of a guarded division" in found["message"]
    assert hedged in Path("r/report.html").read_text()
    capsys.readouterr()
    assert cli.run(["replay", f"r#{found['id']}"]) == 0
    assert hedged in capsys.readouterr().out


@pytest.mark.parametrize(
    ("outcome", "argument", "y", "said"),
    [
        (RowOutcome.TOTAL_UNDERFLOW, "plain", 0.0, ""),
        (RowOutcome.OVERFLOW, "unknown", 0.0, ""),
        (RowOutcome.TOTAL_UNDERFLOW, "unknown", math.nan, "if it exponentiates x"),
        (RowOutcome.TOTAL_UNDERFLOW, "unknown", 0.0, "a sum of inf"),
    ],
)
def test_only_an_undeclared_argument_leaves_total_underflow_open(
    outcome: RowOutcome, argument: Any, y: float, said: str
) -> None:
    told = hedge(outcome, np.full(5, y), Declaration(argument=argument))
    assert said in told
    assert bool(said) == bool(told)
    assert ("sum of inf" in told) == (said == "a sum of inf")


# Settings of a fused kernel --------------------------------------------------------------------


def outcome_of_nan(logit: float, settings: str, argument: Argument) -> RowOutcome:
    """The outcome in float16 of a row of one logit, with an output of NaN."""
    fmt, op = FORMATS["float16"], op_named(f"softmax({settings})")
    x, y = np.array([[logit]]), fmt.from_float64(np.full((1, 1), NAN))
    truth = op.truth(x, fmt)
    declaration = declared(argument, algorithm=replace(PLAIN, argument=argument))
    failure = judge(y, truth).failure
    return RowOutcome(attribute(x, y, truth, failure, declaration, fmt, op)[0])


@pytest.mark.parametrize("logit", [32768.0, -32768.0])
def test_a_scaled_logit_beyond_the_largest_number_is_an_overflow(logit: float) -> None:
    """The largest number of float16 is 65504."""
    assert outcome_of_nan(logit, "scale=2", "shifted") == RowOutcome.OVERFLOW
    assert outcome_of_nan(logit / 1.03125, "scale=2", "shifted") == RowOutcome.UNEXPLAINED
    assert outcome([65504.0], [NAN], declared("shifted"), "float16") == RowOutcome.UNEXPLAINED


def outcome_of_nans(
    fmt: FloatFormat, row: list[float], settings: str, argument: Argument, **changed: Any
) -> RowOutcome:
    op, x = op_named(f"softmax({settings})" if settings else "softmax"), np.array([row])
    y, truth = fmt.from_float64(np.full(x.shape, NAN)), op.truth(x, fmt)
    declaration = declared(argument, algorithm=replace(PLAIN, argument=argument, **changed))
    return RowOutcome(attribute(x, y, truth, judge(y, truth).failure, declaration, fmt, op)[0])


@pytest.mark.parametrize(
    ("fmt", "row", "settings", "argument", "changed"),
    [
        pytest.param(
            "float8_e4m3fnuz", [52.0], "scale=0.1", "plain", {}, id="RN(5.2) is 5.5: exp gives 244.7"
        ),
        pytest.param(
            "float32",
            [float.fromhex("0x1.fafcd6p+6"), 0.0],
            "scale=0.7",
            "plain",
            {},
            id="a ulp before log Omega",
        ),
        pytest.param(
            "float8_e4m3fn", [-160.0, 160.0], "", "shifted", {"exp2": True}, id="320 times 1.5 is 480"
        ),
        pytest.param(
            "float8_e4m3fnuz",
            [-224.0, -44.0, -2.25],
            "",
            "plain",
            {"exp2": True},
            id="-224 times 1.5 is -336",
        ),
        pytest.param("float8_e4m3fn", [448.0, -448.0], "scale=0.125", "shifted", {}, id="448 + 448 is 896"),
        pytest.param("float8_e4m3fn", [-144.0, -448.0], "", "shifted", {"exp2": True}, id="RN(304) is 320"),
        pytest.param(
            "float32", [3e38, 2.9e38], "scale=0.99", "shifted", {"exp2": True}, id="the scale holds log2 e"
        ),
        pytest.param(
            "float16",
            [900.0, 1001.0, 800.0],
            "scale=1.0003, sink=1012.37",
            "shifted",
            {},
            id="RN(a) is 1012.5",
        ),
    ],
)
def test_roundings_and_steps_that_leave_the_format_are_overflows(
    fmt: str, row: list[float], settings: str, argument: Argument, changed: dict[str, Any]
) -> None:
    """Kernels of the declared algorithm overflow in these rows."""
    assert outcome_of_nans(FORMATS[fmt], row, settings, argument, **changed) == RowOutcome.OVERFLOW


@pytest.mark.parametrize(
    ("fmt", "row", "settings", "argument", "changed"),
    [
        ("float8_e4m3fnuz", [36.0], "scale=0.1", "plain", {}),
        ("float32", [126.0, 0.0], "scale=0.7", "plain", {}),
        ("float8_e4m3fn", [-128.0, 160.0], "", "shifted", {"exp2": True}),
        ("float8_e4m3fn", [-160.0, 160.0], "", "shifted", {}),
        ("float8_e4m3fn", [224.0, -208.0], "scale=0.125", "shifted", {}),
        ("float8_e5m2", [-40960.0, 2.0], "", "shifted", {"exp2": True}),
        ("float8_e4m3fn", [-144.0, -416.0], "", "shifted", {"exp2": True}),
        ("float16", [1001.0], "scale=1.0003, sink=1001", "shifted", {}),
    ],
)
def test_rows_whose_steps_stay_in_the_format_are_unexplained(
    fmt: str, row: list[float], settings: str, argument: Argument, changed: dict[str, Any]
) -> None:
    assert outcome_of_nans(FORMATS[fmt], row, settings, argument, **changed) == RowOutcome.UNEXPLAINED


@pytest.mark.parametrize(
    ("constant", "outcome"), [(-160.0, RowOutcome.OVERFLOW), (160.0, RowOutcome.UNEXPLAINED)]
)
def test_a_constant_takes_part_in_the_step(constant: float, outcome: RowOutcome) -> None:
    """(-160 - 160) log2 e is below -448, and -160 + 160 is 0. The other argument is 0: nothing vanishes."""
    fmt, x = FORMATS["float8_e4m3fn"], np.array([[-160.0, -constant]])
    y, truth = fmt.from_float64(np.full(x.shape, NAN)), op_named("softmax").truth(x, fmt)
    algorithm = replace(PLAIN, argument="constant", constant=constant, exp2=True)
    declaration = declared("constant", constant=constant, algorithm=algorithm)
    assert attribute(x, y, truth, judge(y, truth).failure, declaration, fmt)[0] == outcome


@pytest.mark.parametrize("argument", ["shifted", "running"])
def test_a_sink_far_above_the_maximum_of_the_logits_overflows_where_that_is_subtracted(
    argument: Argument,
) -> None:
    """exp(11) is below 65504, and exp(12) above."""
    assert outcome_of_nan(-12.0, "sink=0", argument) == RowOutcome.OVERFLOW
    assert outcome_of_nan(-11.0, "sink=0", argument) == RowOutcome.UNEXPLAINED
    assert outcome_of_nan(-12.0, "sink=0", "plain") == RowOutcome.UNEXPLAINED
