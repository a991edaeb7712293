"""The formats with neither -0 nor an infinity, whose one NaN stands where -0 would be.

Every pair of their numbers is judged against ball arithmetic, and the commands are run in them.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from functools import cache
from itertools import combinations_with_replacement
from pathlib import Path

import mpmath
import numpy as np
import pytest
from arb import contradictions

from harness import cli
from reference import correctly_rounded, ulp_errors
from reference.errors import ulp_errors_of
from reference.formats import FORMATS, FloatFormat
from reference.truth import truth
from tests.longer import few_of
from tests.pair_truths import one_of_each_gap, truth_of_pairs

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

MP = mpmath.MPContext()
MP.prec = 200

FNUZ = tuple(fmt for fmt in FORMATS.values() if not fmt.has_negative_zero)
each_format = pytest.mark.parametrize("fmt", FNUZ, ids=str)


@cache
def numbers(fmt: FloatFormat) -> list[float]:
    return sorted(float(v) for code in range(256) if (v := fmt.decode(code)) is not None)


@cache
def pairs(fmt: FloatFormat) -> np.ndarray:
    return np.array(list(combinations_with_replacement(numbers(fmt), 2)))


def max_shifted(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def test_these_are_the_formats() -> None:
    assert [fmt.name for fmt in FNUZ] == ["float8_e4m3fnuz", "float8_e5m2fnuz"]


@each_format
def test_one_pattern_is_no_number(fmt: FloatFormat) -> None:
    assert [code for code in range(256) if fmt.decode(code) is None] == [0x80]
    assert len(set(numbers(fmt))) == 255
    assert not any(v == 0 and math.copysign(1, v) < 0 for v in numbers(fmt))


@each_format
def test_what_leaves_the_range_is_nan_in_their_arithmetic(fmt: FloatFormat) -> None:
    """There is no infinity, and no saturation."""
    largest, zero = fmt.from_float64([float(fmt.largest)]), fmt.from_float64([0.0])
    with np.errstate(all="ignore"):
        results = {
            "sum": largest + largest,
            "difference": -largest - largest,
            "exp": np.exp(largest),
            "division": largest / zero,
            "cast": np.array([np.inf, -np.inf, 1e9]).astype(fmt.dtype),
            "rounding": fmt.from_float64([np.inf, -np.inf, 1e9]),
        }
    for name, result in results.items():
        assert set(fmt.to_bits(result).tolist()) == {0x80}, name
    assert fmt.to_bits(-zero).tolist() == fmt.to_bits(fmt.from_float64([-0.0])).tolist() == [0]


@each_format
def test_ball_arithmetic_refutes_no_claim_about_any_pair(fmt: FloatFormat) -> None:
    """Of pairs with one difference, which have one result, one is asked; the others are held to it."""
    x = pairs(fmt)
    claimed = truth(x, fmt, "certified")
    asked, alike = one_of_each_gap(x)
    assert (claimed.nearest == claimed.nearest[asked][alike]).all()
    assert (claimed.residual == claimed.residual[asked][alike]).all()
    assert contradictions(x[asked], truth(x[asked], fmt, "certified")) == []


@each_format
def test_errors_and_rounding_of_every_pair_are_those_of_exact_fractions(fmt: FloatFormat) -> None:
    """r to 200 bits by mpmath, and from there on in rationals."""
    x = pairs(fmt)
    y = max_shifted(fmt.from_float64(x))
    gaps, codes = (x[:, 1] - x[:, 0]).tolist(), fmt.to_bits(y).tolist()  # exact: 8 bits within 32 octaves
    rounded = [_rounded(fmt, gap) for gap in gaps]
    errors = [_errors(fmt, gap, *pair) for gap, pair in zip(gaps, codes, strict=True)]
    assert fmt.to_bits(correctly_rounded(x, fmt)).tolist() == rounded
    np.testing.assert_allclose(ulp_errors(x, y, fmt), errors, rtol=0, atol=1e-6)


@cache
def exact_results(gap: float) -> tuple[Fraction, Fraction]:
    """1 / (1 + e^gap) and e^gap / (1 + e^gap), good to 190 bits."""
    e = MP.exp(MP.mpf(min(gap, 300.0)))  # beyond, they are 0 and 1 to far less than a quantum
    low, high = (Fraction(*map(int, v.as_integer_ratio())) for v in (1 / (1 + e), e / (1 + e)))
    return low, high


@cache
def _rounded(fmt: FloatFormat, gap: float) -> list[int]:
    return [fmt.round(r) for r in exact_results(gap)]


@cache
def _errors(fmt: FloatFormat, gap: float, *codes: int) -> list[float]:
    values = map(fmt.decode, codes)
    return [
        math.nan if value is None else float(abs(value - r) / fmt.ulp(r))
        for value, r in zip(values, exact_results(gap), strict=True)
    ]


@pytest.mark.parametrize("fmt", few_of(FNUZ, 1), ids=str)
def test_a_run_measures_them(
    fmt: FloatFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    common = (
        "--format",
        fmt.name,
        "--effort",
        "brief",
        "--rows",
        "4",
        "--length",
        "9",
        "--in-process",
        "--jobs",
        "1",
    )
    assert cli.run(["run", "upcast", "max_shifted", *common, "--out", "out"]) == 0
    cells = json.loads((tmp_path / "out" / "summary.json").read_text())["cells"]
    regimes = {cell["regime"] for cell in cells}
    assert {"uniform-bits", "nan", "tied"} <= regimes
    assert not regimes & {"masked", "all-masked", "positive-infinity", "signed-zeros"}
    assert {cell["status"] for cell in cells} == {"ok"}
    assert {cell["format"] for cell in cells} == {fmt.name}
    assert not any(cell["negative_zeros"] for cell in cells)
    upcast = [cell for cell in cells if cell["candidate"] == "upcast"]
    assert max(cell["max_ulp"] or 0 for cell in upcast) <= 0.5000001
    assert not any(cell["nonfinite_rows"] for cell in upcast)
    assert sum(cell["overflow_rows"] for cell in cells if cell["candidate"] == "max_shifted")
    assert not sum(cell["unexplained_rows"] for cell in cells)


@each_format
def test_an_exhaustive_proof_of_pairs_has_the_figures_of_mpmath(
    fmt: FloatFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["exhaust", "upcast", "--format", fmt.name, "--length", "2", "--json", "--in-process"]
    assert cli.run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["proved"]
    assert document["statement"] == (
        f"proved over 32640 rows: every unordered {fmt.name} pair of finite numbers"
    )
    wide = pairs(fmt).astype(np.float32)
    y = fmt.from_float64(max_shifted(wide).astype(np.float64))
    known = truth_of_pairs(pairs(fmt), fmt)
    errors = ulp_errors_of(fmt.to_float64(y), known)
    figures = document["figures"]
    assert figures["rows"] == len(wide) == 32_640
    assert figures["max_ulp"] == pytest.approx(errors.max(), abs=1e-6)
    assert figures["correctly_rounded"] == (fmt.to_float64(y) == known.nearest).mean()
