"""The certified path says what mpmath says, and what Arb, which shares no code with either, cannot refute."""

from __future__ import annotations

import numpy as np
import pytest
from arb import contradictions
from placing import row_near, targets

from reference.certified import truth_certified
from reference.formats import FORMATS, FloatFormat
from reference.model import RESIDUAL_TOLERANCE, Truth
from reference.oracle import truth_mpmath
from strategies import REGIMES, Regime

F16, F32, F64, BF16 = (FORMATS[name] for name in ("float16", "float32", "float64", "bfloat16"))
PAIRS = [(f, f) for f in FORMATS.values()] + [(BF16, F32), (F16, F32), (F32, F64), (BF16, F64), (F64, F16)]
each_format = pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
each_pair = pytest.mark.parametrize(("fmt", "out"), PAIRS, ids=lambda f: f.name)
each_regime = pytest.mark.parametrize("regime", REGIMES.values(), ids=REGIMES)


def rows_of(regime: Regime, fmt: FloatFormat, rows: int, length: int) -> np.ndarray:
    """Rows of the regime as float64; none where the format has none."""
    if not regime.supports(fmt, length):
        return np.zeros((0, length))
    return fmt.to_float64(regime.rows(fmt, rows, length, seed=4, batch=0))


def disagreements(x: np.ndarray, a: Truth, b: Truth) -> list[str]:
    """Where two truths about x differ, in hexadecimal."""
    same_sign = np.sign(a.residual) == np.sign(b.residual)
    near = np.abs(a.residual - b.residual) <= RESIDUAL_TOLERANCE
    same = (a.nearest == b.nearest) & same_sign & near
    no_result = np.isnan(a.nearest) & np.isnan(b.nearest) & np.isnan(a.residual) & np.isnan(b.residual)
    lines = [f"kinds {a.kinds} and {b.kinds}"] if not np.array_equal(a.kinds, b.kinds) else []
    for i, j in np.argwhere(~(same | no_result)):
        pair = [f"{t.nearest[i, j].hex()} {t.residual[i, j]:+.17g}" for t in (a, b)]
        lines.append(f"row {i}, entry {j}, x={x[i, j].hex()}: {pair[0]} against {pair[1]}")
    return lines


def against_mpmath(x: np.ndarray, fmt: FloatFormat) -> list[str]:
    return disagreements(x, truth_certified(x, fmt), truth_mpmath(x, fmt))


# Sameness --------------------------------------------------------------------------------------


@each_regime
@each_pair
def test_certified_is_mpmath_in_every_regime(regime: Regime, fmt: FloatFormat, out: FloatFormat) -> None:
    for length in (1, 2, 3, 8, 33):
        x = rows_of(regime, fmt, min(21, 1 + 40 // length), length)
        assert against_mpmath(x, out) == []


@each_regime
def test_arb_refutes_nothing_in_any_regime(regime: Regime) -> None:
    for fmt, out in PAIRS:
        for length in (2, 5):
            x = rows_of(regime, fmt, 6, length)
            assert contradictions(x, truth_certified(x, out)) == []


@pytest.mark.parametrize("length", [31, 32, 33, 64, 1023, 2047, 2048, 2049, 4096, 70_001])
def test_rows_are_cut_into_blocks_without_a_trace(length: int) -> None:
    rng = np.random.default_rng(length)
    x = rng.standard_normal((1, length)) * rng.choice([0.01, 3.0, 60.0])
    coarse = BF16.to_float64(BF16.from_float64(x))  # few distinct values: mpmath is quick
    for out in (F32, F64):
        assert against_mpmath(coarse, out) == []
    assert contradictions(x[:, :4096], truth_certified(x[:, :4096], F64)) == []


def test_a_row_is_judged_alike_wherever_it_stands() -> None:
    rng = np.random.default_rng(5)
    for length in (1, 3, 8, 31, 32, 100, 1500, 3000):
        x = rng.standard_normal((9, length)) * 20
        for out in (F32, F64):
            together = truth_certified(x, out)
            alone = [truth_certified(row[None], out) for row in x]
            np.testing.assert_array_equal(together.nearest, np.concatenate([t.nearest for t in alone]))
            np.testing.assert_array_equal(together.residual, np.concatenate([t.residual for t in alone]))


def test_the_number_of_threads_changes_nothing() -> None:
    x = np.random.default_rng(6).standard_normal((3000, 64)) * 20
    x[::7, 5] = np.nan
    for out in (F16, F64):
        one, three = truth_certified(x, out), truth_certified(x, out, jobs=3)
        for a, b in ((one.nearest, three.nearest), (one.residual, three.residual), (one.kinds, three.kinds)):
            assert a.tobytes() == b.tobytes()


# The hardest cases -----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@each_format
def test_results_next_to_midpoints_and_powers_of_two(fmt: FloatFormat, steps: int) -> None:
    """Within 2^-49, 2^-98, 2^-147 of them: the first is the fine tier's task, the rest are mpmath's."""
    rng = np.random.default_rng(steps)
    for target in targets(fmt, rng, 12):
        x = np.array([row_near(target, steps)])
        truth = truth_certified(x, fmt)
        assert contradictions(x, truth) == [], f"target {target}"
        assert steps < 3 or truth.fallbacks > 0


def test_ties_at_the_maximum_and_next_to_it() -> None:
    """2^k tied or nearly tied entries: on which side of 2^-k each r lies is never left to a precision."""
    rng = np.random.default_rng(8)
    for ties in (1, 2, 3, 4, 64):
        for rest in (1e-300, 3.0, 36.0, 60.0, 300.0, 700.0, 2000.0):
            exact = np.concatenate([np.zeros(ties), [-rest]])[None]
            near = np.concatenate([rng.standard_normal(ties) * 2.0 ** -rng.integers(45, 1000), [-rest]])[None]
            for x in (exact, near):
                for out in (F16, F32, F64):
                    assert contradictions(x, truth_certified(x, out)) == [], x


@pytest.mark.parametrize("count", [1, 2, 3, 7, 256, 1000, 1024, 2048, 4096, 1 << 17, (1 << 17) + 1])
@each_format
def test_equal_entries_have_the_rational_result(fmt: FloatFormat, count: int) -> None:
    assert against_mpmath(np.full((1, count), 0.1), fmt) == []


def test_ties_at_half_the_smallest_subnormal_go_to_zero_unless_above_it() -> None:
    """1024 (nearly) tied entries in float8_e4m3fn, whose smallest subnormal is 2^-9."""
    fmt = FORMATS["float8_e4m3fn"]
    tied = np.zeros((1, 1024))
    below = np.append(np.zeros(1024), -50.0)[None]
    near = np.random.default_rng(3).standard_normal((1, 1024)) * 1e-20
    for x in (tied, below, near):
        truth = truth_certified(x, fmt)
        assert truth.fallbacks == 0
        assert contradictions(x, truth) == []
    assert np.unique(truth.nearest).tolist() == [0.0, 2.0**-9]


def test_ties_and_near_ties_are_settled_without_mpmath() -> None:
    x = np.zeros((1, 8))
    x[0, 3] = -900.0
    y = np.array([[0.0, -1e-30, 2e-30, 1e-31]])
    for out in FORMATS.values():
        assert truth_certified(x, out).fallbacks == 0
        assert truth_certified(y, out).fallbacks == 0


def test_ordinary_rows_hardly_ever_need_mpmath() -> None:
    x = np.random.default_rng(9).standard_normal((2000, 100)) * 5
    for out in FORMATS.values():
        assert truth_certified(x, out).fallbacks == 0


def test_rows_at_the_ends_of_the_range() -> None:
    big = 1.7976931348623157e308
    rows = [[big, -big], [big, big], [-big, -np.inf], [5e-324, -5e-324], [0.0, -0.0], [1e308, 9e307]]
    for out in FORMATS.values():
        assert against_mpmath(np.array(rows), out) == []


# Input ---------------------------------------------------------------------------------------------


def test_any_memory_layout_will_do() -> None:
    x = np.random.default_rng(10).standard_normal((6, 12))
    frozen = x.copy()
    frozen.flags.writeable = False
    expected = truth_certified(x, F32).nearest
    for other in (frozen, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(truth_certified(other, F32).nearest, expected)


def test_no_rows_are_no_trouble() -> None:
    assert truth_certified(np.zeros((0, 3)), F32).nearest.shape == (0, 3)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="length 0"):
        truth_certified(np.zeros((3, 0)), F32)
    with pytest.raises(ValueError, match=r"\(3,\).*\(rows, n\)"):
        truth_certified(np.zeros(3), F32)
    with pytest.raises(ValueError, match=r"float32.*float64"):
        truth_certified(np.zeros((3, 2), dtype=np.float32), F32)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="jobs 0"):
        truth_certified(np.zeros((3, 2)), F32, jobs=0)
