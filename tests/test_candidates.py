"""The built-in candidates compute what they say, in the arithmetic of their format.

Independent evidence: each step of the 8- and 16-bit formats is done again on exact fractions,
rounded once; only the values of exp and log are taken as given, and those of exp are held against the
declared accuracy over every number of the small formats.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.subject.candidates import BUILTINS, Candidate, CandidateError, load
from harness.subject.candidates.arithmetic import exp_ulps
from harness.subject.candidates.builtin.blocked import BLOCK
from reference import ulp_errors
from reference.attribution import RowOutcome, attribute
from reference.bounds import element_bounds
from reference.errors import judge
from reference.formats import FORMATS, FloatFormat
from reference.model import Truth
from reference.ops import SOFTMAX
from reference.truth import truth
from strategies.regimes import REGIMES
from tests import more_formats

ROOT = Path(__file__).resolve().parent.parent

SMALL = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
PAIRS = [(c, f) for c in BUILTINS.values() for f in FORMATS.values() if c.supports(f) and c.op is SOFTMAX]

CLAIMED = [1.0, 2.0, 3.0, 4.0, 5.0]


def pair_id(value: Any) -> str:
    return value.name if isinstance(value, (Candidate, FloatFormat)) else str(value)


every_pair = pytest.mark.parametrize(("candidate", "fmt"), PAIRS, ids=pair_id)


def normal_rows(fmt: FloatFormat, rows: int, length: int, seed: int = 0) -> np.ndarray:
    return fmt.from_float64(np.random.default_rng(seed).normal(size=(rows, length)) * 2)


def hexed(fmt: FloatFormat, array: np.ndarray) -> list[str]:
    return [f"{code:#x}" for code in fmt.to_bits(array).ravel().tolist()]


def same_bits(fmt: FloatFormat, a: np.ndarray, b: np.ndarray) -> bool:
    alike = a.shape == b.shape and a.dtype == b.dtype == fmt.dtype
    return alike and np.array_equal(fmt.to_bits(a), fmt.to_bits(b))


# The roster ------------------------------------------------------------------------------


def test_the_roster() -> None:
    assert set(BUILTINS) == {
        "naive", "max_shifted", "shifted_by_constant", "exp_minus_lse",
        "online", "blocked", "kahan", "upcast",
        "log_of_softmax", "x_minus_logsumexp", "log_softmax_shifted", "log_softmax_log1p",
        "logsumexp_naive", "logsumexp_shifted", "logsumexp_log1p", "logsumexp_pairwise",
    }  # fmt: skip
    for name, candidate in BUILTINS.items():
        assert load(name) is candidate
        assert candidate.name == candidate.spec == name
        assert candidate.description


def test_upcast_has_nothing_wider_than_float64() -> None:
    assert not BUILTINS["upcast"].supports(FORMATS["float64"])
    assert all(c.supports(f) for n, c in BUILTINS.items() if n != "upcast" for f in FORMATS.values())


def test_another_output_format_is_unsupported() -> None:
    assert not BUILTINS["naive"].supports(FORMATS["bfloat16"], FORMATS["float32"])
    assert BUILTINS["naive"].supports(FORMATS["bfloat16"], FORMATS["bfloat16"])


def test_import_is_light() -> None:
    heavy = {"numba", "pandas", "matplotlib", "ml_dtypes", "mpmath", "scipy", "pyarrow"}
    heavy |= {"strategies", "reports"}
    program = (
        "import sys, harness.subject.candidates; "
        f"print(sorted({{m.partition('.')[0] for m in sys.modules}} & {heavy}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# Values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "fmt"),
    # exp(5 - 64) lies between 2^-86 and 2^-85: zero in the formats of 16 bits and fewer but bfloat16
    [(c, f) for c, f in PAIRS if c.name != "shifted_by_constant" or f.quantum_exponent < -86],
    ids=pair_id,
)
def test_the_row_of_the_claims_is_close_to_the_exact_result(candidate: Candidate, fmt: FloatFormat) -> None:
    x = fmt.from_float64(CLAIMED)
    y = candidate(x)
    errors = ulp_errors(x, y, method="mpmath")
    # Blanchard, Higham and Higham's bounds, in ULP: twice n + 2 + 2 (xmax - xmin), or lse's share of it.
    assert errors.max() <= 2 * (len(CLAIMED) + 2 + 2 * 4), (hexed(fmt, y), errors)
    if candidate.name == "upcast":
        assert errors.max() < 0.51, (hexed(fmt, y), errors)


@pytest.mark.parametrize("name", SMALL)
def test_every_step_rounds_to_the_format(name: str) -> None:
    fmt = FORMATS[name]
    for length in (1, 2, 3, 5, 7):  # exp of entries beyond 6 overflows in float8_e4m3fn
        for row in np.minimum(normal_rows(fmt, 12, length, seed=length), fmt.dtype.type(3)):
            for candidate, simulate in SIMULATIONS.items():
                y = BUILTINS[candidate](row)
                expected = [fmt.from_float64(float(v)) for v in simulate(Steps(fmt), row)]
                assert hexed(fmt, y) == hexed(fmt, np.array(expected)), (candidate, hexed(fmt, row))


class Steps:
    """A format's operations on exact fractions, each rounded once; exp and log from the array library."""

    def __init__(self, fmt: FloatFormat) -> None:
        self.fmt = fmt

    def values(self, row: np.ndarray) -> list[Fraction]:
        return [Fraction(v) for v in self.fmt.to_float64(row).tolist()]

    def rounded(self, value: Fraction) -> Fraction:
        result = self.fmt.decode(self.fmt.round(value))
        assert result is not None, f"{value} overflows"
        return result

    def _applied(self, function: Callable[[np.ndarray], np.ndarray], value: Fraction) -> Fraction:
        result = function(self.fmt.from_float64([float(value)]))
        return Fraction(float(self.fmt.to_float64(result)[0]))

    def exp(self, value: Fraction) -> Fraction:
        return self._applied(np.exp, value)

    def log(self, value: Fraction) -> Fraction:
        return self._applied(np.log, value)

    def sum(self, terms: list[Fraction]) -> Fraction:
        """ml_dtypes adds from first to last; NumPy, in binary32, the first to the sum of the rest."""
        if self.fmt.name != "float16" or len(terms) == 1:
            return self.running_sum(terms)
        wide = Steps(FORMATS["float32"])
        return self.rounded(wide.rounded(terms[0] + wide.running_sum(terms[1:])))

    def running_sum(self, terms: list[Fraction]) -> Fraction:
        total = terms[0]
        for term in terms[1:]:
            total = self.rounded(total + term)
        return total

    def shares(self, exponentials: list[Fraction], total: Fraction) -> list[Fraction]:
        return [self.rounded(e / total) for e in exponentials]


def naive(s: Steps, row: np.ndarray) -> list[Fraction]:
    e = [s.exp(v) for v in s.values(row)]
    return s.shares(e, s.sum(e))


def shifted_exponentials(s: Steps, row: np.ndarray) -> list[Fraction]:
    x = s.values(row)
    return [s.exp(s.rounded(v - max(x))) for v in x]


def max_shifted(s: Steps, row: np.ndarray) -> list[Fraction]:
    e = shifted_exponentials(s, row)
    return s.shares(e, s.sum(e))


def exp_minus_lse(s: Steps, row: np.ndarray) -> list[Fraction]:
    x = s.values(row)
    lse = s.rounded(max(x) + s.log(s.sum(shifted_exponentials(s, row))))
    return [s.exp(s.rounded(v - lse)) for v in x]


def online(s: Steps, row: np.ndarray) -> list[Fraction]:
    x = s.values(row)
    largest, total = x[0], Fraction(1)
    for v in x[1:]:
        larger = max(largest, v)
        rescaled = s.rounded(total * s.exp(s.rounded(largest - larger)))
        total = s.rounded(rescaled + s.exp(s.rounded(v - larger)))
        largest = larger
    return s.shares(shifted_exponentials(s, row), total)


def kahan(s: Steps, row: np.ndarray) -> list[Fraction]:
    e = shifted_exponentials(s, row)
    total = compensation = Fraction(0)
    for v in e:
        term = s.rounded(v - compensation)
        larger = s.rounded(total + term)
        compensation = s.rounded(s.rounded(larger - total) - term)
        total = larger
    return s.shares(e, total)


def upcast(s: Steps, row: np.ndarray) -> list[Fraction]:
    inside = Steps(FORMATS["float32"])
    wide = BUILTINS["max_shifted"](row.astype(np.float32))
    return [s.rounded(v) for v in inside.values(wide)]


SIMULATIONS = {
    "naive": naive,
    "max_shifted": max_shifted,
    "exp_minus_lse": exp_minus_lse,
    "online": online,
    "blocked": max_shifted,  # within one block it is the same
    "kahan": kahan,
    "upcast": upcast,
}


@pytest.mark.parametrize("name", SMALL)
def test_blocks_merge_as_in_flash_attention(name: str) -> None:
    fmt = FORMATS[name]
    s = Steps(fmt)
    row = fmt.from_float64(np.r_[np.full(BLOCK, -3.0), np.full(3, 0.5)])
    first = s.rounded(s.sum([s.exp(Fraction(0))] * BLOCK) * s.exp(Fraction(-7, 2)))
    total = s.rounded(first + s.sum([s.exp(Fraction(0))] * 3))
    expected = s.shares([s.exp(Fraction(-7, 2)), Fraction(1)], total)
    y = fmt.to_float64(BUILTINS["blocked"](row))
    assert [y[0], y[-1]] == [float(v) for v in expected], hexed(fmt, row)


@pytest.mark.parametrize("name", FORMATS)
def test_one_pass_has_the_bits_of_one_entry_after_the_other(name: str) -> None:
    """In every regime, rows of many maxima side by side: masks, NaN, infinities, ties, subnormals."""
    fmt = FORMATS[name]
    for regime in REGIMES.values():
        for rows, length in ((12, 1), (12, 9), (5, 257)):
            if regime.supports(fmt, length):
                x = regime.rows(fmt, rows, length, 3, 0)
                y, expected = BUILTINS["online"](x), one_after_the_other(x, fmt)
                other = (fmt.to_bits(y) != fmt.to_bits(expected)) & ~np.isnan(fmt.to_float64(expected))
                assert not other.any(), (regime.name, hexed(fmt, x[other.any(axis=1)][0]))


def one_after_the_other(x: np.ndarray, fmt: FloatFormat) -> np.ndarray:
    """Milakov and Gimelshein's algorithm 3, entry by entry."""
    with np.errstate(all="ignore"):
        largest = np.maximum(x[:, 0], fmt.from_float64(-float(fmt.largest)))
        total = np.exp(x[:, 0] - largest)
        for column in x.T[1:]:
            larger = np.maximum(largest, column)
            total = total * np.exp(largest - larger) + np.exp(column - larger)
            largest = larger
        return np.asarray(np.exp(x - largest[:, None]) / total[:, None])


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e5m2"])
def test_a_constant_shift_is_added_in_the_format(name: str) -> None:
    fmt = FORMATS[name]
    s = Steps(fmt)
    for row in normal_rows(fmt, 20, 3):
        e = [s.exp(s.rounded(v - 2)) for v in s.values(row)]
        expected = s.shares(e, s.sum(e))
        y = load("shifted_by_constant@-2")(row)
        assert fmt.to_float64(y).tolist() == [float(v) for v in expected], hexed(fmt, row)


def test_wide_and_narrow_sums_are_what_the_module_says() -> None:
    assert BUILTINS["max_shifted"](np.zeros((1, 4096), np.float16))[0, 0] == 1 / 4096
    for name, stands_still in (("bfloat16", 256), ("float8_e5m2", 8), ("float8_e4m3fn", 16)):
        fmt = FORMATS[name]
        y = fmt.to_float64(BUILTINS["max_shifted"](fmt.from_float64(np.zeros((1, 4 * stands_still)))))
        assert y[0, 0] == 1 / stands_still, name


# The constant ----------------------------------------------------------------------------


def test_the_constant_is_set_by_name() -> None:
    candidate = load("shifted_by_constant@-100")
    assert (candidate.name, candidate.spec) == ("shifted_by_constant@-100",) * 2
    assert candidate.declaration.argument == "constant"
    assert candidate.declaration.constant == -100.0
    assert candidate.declared(FORMATS["float32"]).algorithm.constant == -100.0  # type: ignore[union-attr]
    x = np.array([100.0, 101.0], np.float32)
    assert same_bits(FORMATS["float32"], candidate(x), BUILTINS["naive"](x - np.float32(100)))


def test_formats_that_do_not_hold_the_constant_are_unsupported() -> None:
    assert load("shifted_by_constant@-100").formats == {"float16", "float32", "float64", "bfloat16"}
    assert load("shifted_by_constant@0.1").formats == {"float64"}


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "1e999"])
def test_a_constant_that_is_no_number_is_named(value: str) -> None:
    with pytest.raises(CandidateError, match=f"'shifted_by_constant@{value}': c is a finite number"):
        load(f"shifted_by_constant@{value}")


# The contract of a candidate -------------------------------------------------------------


@every_pair
def test_shape_format_axis_strides_and_input_are_kept(candidate: Candidate, fmt: FloatFormat) -> None:
    x = normal_rows(fmt, 6, 20).reshape(2, 3, 20)
    before = x.copy()
    x.setflags(write=False)
    y = candidate(x)
    assert y.shape == x.shape
    assert y.dtype == fmt.dtype
    assert same_bits(fmt, x, before)
    assert same_bits(fmt, candidate(x[0, 0]), y[0, 0])
    for axis in range(3):
        moved = np.moveaxis(x, -1, axis)
        assert same_bits(fmt, np.moveaxis(candidate(moved, axis=axis), axis, -1), y), axis
    assert same_bits(fmt, candidate(x[::-1, ::2]), y[::-1, ::2])
    assert candidate(x[:0]).shape == (0, 3, 20)


@every_pair
def test_a_row_alone_gives_the_same_bits_as_in_a_batch(candidate: Candidate, fmt: FloatFormat) -> None:
    for length in [*range(1, 20), *range(20, 300, 13), 127, 128, 129, 255, 256, 257, 300]:
        x = normal_rows(fmt, 33, length, seed=length)
        together = candidate(x)
        for i in (0, 1, 32):
            for alone in (candidate(x[i : i + 1].copy())[0], candidate(x[i].copy())):
                assert same_bits(fmt, alone, together[i]), (length, hexed(fmt, x[i]))


@every_pair
def test_rows_of_thousands_of_batches_agree_with_rows_alone(candidate: Candidate, fmt: FloatFormat) -> None:
    x = normal_rows(fmt, 4001, 3)
    together = candidate(x)
    for i in (0, 2000, 4000):
        assert same_bits(fmt, candidate(x[i : i + 1].copy())[0], together[i])


@every_pair
def test_outputs_hold_no_negative_zero(candidate: Candidate, fmt: FloatFormat) -> None:
    omega = float(fmt.largest)
    spread = [[0.0, -omega / 4], [-0.0, -omega / 2], [-omega / 4, omega / 4], [-0.0, -0.0]]
    x = np.concatenate([fmt.from_float64(spread), normal_rows(fmt, 50, 2) * fmt.dtype.type(8)])
    y = fmt.to_float64(candidate(x))
    assert not (np.signbit(y) & (y == 0)).any()


@every_pair
def test_bad_calls_name_the_mistake(candidate: Candidate, fmt: FloatFormat) -> None:
    with pytest.raises(ValueError, match="rows of length 0"):
        candidate(fmt.from_float64(np.zeros((2, 0))))
    with pytest.raises(ValueError, match="axis 2: x has 1 axes"):
        candidate(fmt.from_float64([0.0]), axis=2)
    with pytest.raises(ValueError, match="dtype int64"):
        candidate(np.arange(3))


# Masks and policies ----------------------------------------------------------------------

WITH_INFINITY = [(c, f) for c, f in PAIRS if f.has_infinity and c.name != "shifted_by_constant"]


def masks(length: int) -> Iterator[np.ndarray]:
    for kept in ([0], [length - 1], [0, length - 1], [BLOCK], range(BLOCK, length), range(0, length, 2)):
        mask = np.ones(length, dtype=bool)
        mask[list(kept)] = False
        yield mask


@pytest.mark.parametrize(("candidate", "fmt"), WITH_INFINITY, ids=pair_id)
def test_masked_entries_are_zero_and_the_rest_is_not(candidate: Candidate, fmt: FloatFormat) -> None:
    """Also where the first entries, or a whole block, are masked: exp(-inf - -inf) is NaN."""
    length = 2 * BLOCK + 5
    for mask in masks(length):
        x = fmt.from_float64(np.where(mask, -np.inf, 0.5))
        y = fmt.to_float64(candidate(x))
        assert (y[mask] == 0).all(), hexed(fmt, x)
        assert (y[~mask] > 0).all(), hexed(fmt, candidate(x))


@pytest.mark.parametrize(("candidate", "fmt"), PAIRS, ids=pair_id)
def test_policy_rows_are_treated_as_declared(candidate: Candidate, fmt: FloatFormat) -> None:
    policy = candidate.declared(fmt).policy
    assert policy.nan_row == policy.masked_row == "nan"
    for row in ([math.nan, 0.0, 1.0], [0.0, math.nan], [math.nan]):
        assert np.isnan(fmt.to_float64(candidate(fmt.from_float64(row)))).all(), row
    if not fmt.has_infinity:
        return
    for length in (1, 3, BLOCK + 1):
        assert np.isnan(fmt.to_float64(candidate(fmt.from_float64(np.full(length, -np.inf))))).all()
    for row in ([math.inf, 0.0, 1.0], [0.0, math.inf], [-math.inf, math.inf, math.inf], [math.inf]):
        y = fmt.to_float64(candidate(fmt.from_float64(row)))
        infinite = np.isposinf(row)
        expected = infinite if policy.pos_inf == "nan_at_inf" else np.ones_like(infinite)
        assert (np.isnan(y) == expected).all(), (row, y)
        assert (y[~expected] == 0).all(), (row, y)


def test_the_plain_forms_declare_nan_at_infinities_only() -> None:
    declared = {n: c.declaration.policy.pos_inf for n, c in BUILTINS.items() if c.op is SOFTMAX}
    assert {n for n, p in declared.items() if p == "nan_at_inf"} == {"naive", "shifted_by_constant"}
    assert set(declared.values()) == {"nan", "nan_at_inf"}


# Declared accuracy -----------------------------------------------------------------------


def exp_errors(fmt: FloatFormat, x: np.ndarray) -> np.ndarray:
    """ULP errors of exp; the truth is the C library's binary64 exp, good to 2^-52."""
    values = fmt.to_float64(x)
    exact = np.array([math.exp(min(v, 709.0)) for v in values.tolist()])
    with np.errstate(over="ignore", under="ignore"):
        y = fmt.to_float64(np.exp(x))
    exponent = np.maximum(np.frexp(exact)[1] - 1, fmt.emin) - fmt.precision + 1
    return np.where(np.isfinite(y), np.abs(y - exact) / np.ldexp(1.0, exponent), 0.0)


@pytest.mark.parametrize("fmt", more_formats.SMALL, ids=str)
def test_exp_is_as_good_as_declared_on_every_number(fmt: FloatFormat) -> None:
    x = fmt.from_bits(np.arange(2**fmt.storage_bits))
    x = x[np.isfinite(fmt.to_float64(x))]
    errors = exp_errors(fmt, x)
    worst = errors.argmax()
    assert errors[worst] <= exp_ulps(fmt), (hexed(fmt, x[worst : worst + 1]), errors[worst])


def test_exp_in_float32_is_as_good_as_declared_on_a_sample() -> None:
    """At every binade and both signs; NumPy states 2.52 ULP for its vector exp."""
    fmt = FORMATS["float32"]
    x = np.random.default_rng(0).uniform(-104.0, 88.7, 200_000).astype(np.float32)
    errors = exp_errors(fmt, x)
    worst = errors.argmax()
    assert errors[worst] <= exp_ulps(fmt), (hexed(fmt, x[worst : worst + 1]), errors[worst])


@cache
def hard_rows(fmt: FloatFormat) -> list[tuple[np.ndarray, np.ndarray, Truth]]:
    """A few rows of every regime, their values and truth: pairs, a few entries, and more than a block."""
    found = []
    for length in (2, 7, BLOCK + 2):
        drawn = [r for r in REGIMES.values() if not r.policy and r.supports(fmt, length)]
        x = np.concatenate([r.rows(fmt, 6, length, 7, 0) for r in drawn])
        x.setflags(write=False)
        values = fmt.to_float64(x)
        found.append((x, values, truth(values, fmt)))
    return found


@every_pair
def test_errors_stay_within_the_declared_algorithms_bound(candidate: Candidate, fmt: FloatFormat) -> None:
    declaration = candidate.declared(fmt)
    assert declaration.algorithm is not None
    for x, values, exact in hard_rows(fmt):
        judgement = judge(candidate(x), exact)
        beyond = judgement.ulp > element_bounds(values, exact, declaration.algorithm, fmt)
        assert not beyond.any(), hexed(fmt, x[beyond.any(axis=1)][0])


# float8_e4m3fn has no infinity: far below the maximum x - max is NaN, in that entry alone where
# the sum was not formed from it.
EXPLAINED = [(c, f) for c, f in PAIRS if f.has_infinity or c.declaration.argument != "running"]


@pytest.mark.parametrize(("candidate", "fmt"), EXPLAINED, ids=pair_id)
def test_failed_rows_are_explained_by_what_is_declared(candidate: Candidate, fmt: FloatFormat) -> None:
    for x, values, exact in hard_rows(fmt):
        y = candidate(x)
        outcomes = attribute(values, y, exact, judge(y, exact).failure, candidate.declared(fmt), fmt)
        unexplained = outcomes == RowOutcome.UNEXPLAINED
        assert not unexplained.any(), hexed(fmt, x[unexplained][0])


@pytest.mark.parametrize("name", ["log_softmax_log1p", "logsumexp_log1p"])
def test_a_difference_that_leaves_the_format_is_no_maximum(name: str) -> None:
    """-448 - 18 is NaN in float8_e4m3fn; the maximum is 18 all the same."""
    fmt = FORMATS["float8_e4m3fn"]
    x = np.array([[18.0, -448.0], [0.5, 0.25]], dtype=fmt.dtype)
    y = fmt.to_float64(load(name)(x)).reshape(2, -1)
    assert np.isnan(y[0]).all()
    assert np.isfinite(y[1]).all()
