"""No row of a length has a greater bound than the supremum, and some rows nearly reach it.

Evidence: the bounds of all pairs and of many triples of the 8-bit formats; of hard rows of every format; and
rows built where the supremum was seen, whose bounds are those of the interval form in mpmath.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.exhaust import Enumeration
from reference.bounds import element_bounds
from reference.bounds.supremum import Supremum, supremum, why_none
from reference.declaration import Algorithm
from reference.formats import FORMATS, FloatFormat
from reference.model import Truth
from reference.tiers import STANDARD
from reference.truth import truth
from tests.interval_form import IntervalForm
from tests.longer import few_of
from tests.more_formats import EIGHT
from tests.test_bounds import ALGORITHMS, algorithm_in, hard_rows

Floats = NDArray[np.float64]

SHIFTED = [
    name
    for name, a in ALGORITHMS.items()
    if why_none(a, FORMATS["float16"], FORMATS["float16"]) is None and name != "upcast"
]


def greatest(x: Floats, exact: Truth, algorithm: Algorithm, fmt: FloatFormat) -> float:
    """The greatest bound of rows, less what a sharper last rounding saves below a power of two."""
    bounds = element_bounds(x, exact, algorithm, fmt)
    ulps = np.ldexp(exact.nearest, -ulp_exponents(exact)) + exact.residual
    sharper = (ulps + bounds > 2.0**exact.format.precision) & (
        ulps + bounds - 0.5 <= 2.0**exact.format.precision + 1
    )
    found = np.where(sharper, bounds - 0.5, bounds)
    return float(np.nanmax(found, initial=0.0))


def ulp_exponents(exact: Truth) -> NDArray[np.int64]:
    fmt = exact.format
    binades = np.frexp(exact.nearest)[1] - 1
    falls = (exact.residual < 0) & (np.frexp(exact.nearest)[0] == 0.5)
    return np.asarray(np.maximum(binades - falls, fmt.emin) - fmt.precision + 1)


@cache
def rows_of(name: str, n: int, every: int) -> tuple[Floats, Truth]:
    """Every so many-th of all unordered rows."""
    fmt = FORMATS[name]
    rows = Enumeration(fmt, n, unordered=True, one_zero=True)
    bits = np.concatenate(
        [rows.encodings(first, 1 << 10) for first in range(0, rows.rows - (1 << 10), every)]
    )
    x = fmt.to_float64(fmt.from_bits(bits))
    return x, truth(x, fmt)


@cache
def supremum_of(algorithm: Algorithm, n: int, fmt: FloatFormat) -> Supremum:
    found = supremum(algorithm, n, fmt, fmt)
    assert found is not None
    return found


@pytest.mark.parametrize(("format_name", "name"), few_of(product(EIGHT, SHIFTED), 12))
def test_is_above_all_pairs_of_8_bits_and_near(format_name: str, name: str) -> None:
    fmt, algorithm = FORMATS[format_name], algorithm_in(name, FORMATS[format_name])
    assert algorithm is not None
    reached = greatest(*rows_of(format_name, 2, 1 << 10), algorithm, fmt)
    assert reached <= supremum_of(algorithm, 2, fmt).bound <= 1.15 * reached


@pytest.mark.parametrize(("format_name", "name"), few_of(product(EIGHT, SHIFTED), 6))
def test_is_above_triples_of_8_bits_and_near(format_name: str, name: str) -> None:
    fmt, algorithm = FORMATS[format_name], algorithm_in(name, FORMATS[format_name])
    assert algorithm is not None
    reached = greatest(*rows_of(format_name, 3, 1 << 18), algorithm, fmt)
    bound = supremum_of(algorithm, 3, fmt).bound
    assert reached <= bound <= 2.5 * reached, "of one row in 256, with significands of 3 or 4 bits"


@pytest.mark.parametrize(("format_name", "name", "n"), few_of(product(FORMATS, SHIFTED, [2, 3, 9]), 12))
def test_is_above_hard_rows(format_name: str, name: str, n: int) -> None:
    fmt, algorithm = FORMATS[format_name], algorithm_in(name, FORMATS[format_name])
    if algorithm is None:
        pytest.skip("there is no such algorithm in the format")
    x, exact = hard_rows(format_name, n)
    assert greatest(x, exact, algorithm, fmt) <= supremum_of(algorithm, n, fmt).bound


@pytest.mark.parametrize(
    ("format_name", "n"), few_of(product(["float32", "bfloat16", "float64"], [2, 3, 8, 64]), 5)
)
def test_rows_reach_it(format_name: str, n: int) -> None:
    fmt = FORMATS[format_name]
    for algorithm in (STANDARD.algorithm_for(fmt, n), replace(ALGORITHMS["one at zero"], exp_ulps=5.0)):
        found = supremum_of(algorithm, n, fmt)
        x = built_near(found, n, fmt)
        reached = greatest(x, truth(x, fmt), algorithm, fmt)
        assert 0.8 * found.bound <= reached <= found.bound, (algorithm.name, x[0].tolist())


@pytest.mark.parametrize("format_name", ["float32", "bfloat16"])
def test_rows_reach_it_by_the_interval_form(format_name: str) -> None:
    fmt, algorithm = FORMATS[format_name], ALGORITHMS["one at zero"]
    found = supremum_of(algorithm, 3, fmt)
    x = built_near(found, 3, fmt)
    exact = truth(x, fmt)
    best = int(np.nanargmax(element_bounds(x, exact, algorithm, fmt).max(axis=1)))
    ulps = np.ldexp(1.0, ulp_exponents(exact)[best])
    reached = max(IntervalForm(x[best].tolist(), algorithm, fmt).bounds(ulps.tolist()))
    assert 0.8 * found.bound <= reached <= found.bound


def test_grows_with_the_length() -> None:
    fmt = FORMATS["float16"]
    bounds = [supremum_of(ALGORITHMS["shifted"], n, fmt).bound for n in (2, 3, 16)]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize("name", ["plain", "lse", "online", "constant"])
def test_others_have_none(name: str) -> None:
    fmt = FORMATS["float32"]
    assert why_none(ALGORITHMS[name], fmt, fmt) is not None
    assert supremum(ALGORITHMS[name], 2, fmt, fmt) is None


def built_near(found: Supremum, n: int, fmt: FloatFormat) -> Floats:
    """Rows about the place where the supremum was seen, their differences half an ulp off."""
    steps = np.arange(-512.0, 512.0)
    half = np.ldexp(0.5, math.frexp(found.distance)[1] - fmt.precision)
    spacing = max(2 * half, found.distance * 2.0**-12)
    x = np.full((len(steps), n), half)
    x[:, 1] = -(found.distance + steps * spacing)
    if n > 2:
        share = found.others / (n - 2)
        x[:, 2:] -= 0.0 if share > 1 - 2.0**-10 else -math.log(share) if share else float(fmt.largest) / 2
    return fmt.to_float64(fmt.from_float64(np.minimum(x, half)))
