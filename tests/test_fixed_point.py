"""Numbers of 192 binary places: their exponential against Arb's, their rounding against fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from arb import exact
from flint import arb, ctx

from reference.certified.compiled import compiled
from reference.certified.fixed_point import Fixed, exp_below, negated, of_float, parts_at, product, top_bit
from reference.certified.fixed_point import Fraction192 as Part

UNIT = Fraction(1, 2**192)
MOST_UNITS = 22.6
"""What the docstring derives for an argument that is off by less than one unit."""


@compiled
def exponentials(values: Any, limbs: Any) -> None:
    for i in range(values.size):
        power, known = exp_below(of_float(values[i]))
        limbs[i, 0], limbs[i, 1], limbs[i, 2], limbs[i, 3] = power.whole, power.high, power.middle, power.low
        limbs[i, 4] = np.uint64(known)


@compiled
def roundings(limbs: Any, places: Any, found: Any) -> None:
    for i in range(places.size):
        a = Fixed(limbs[i, 0], limbs[i, 1], limbs[i, 2], limbs[i, 3])
        found[i, 0], found[i, 1] = parts_at(a, places[i])
        found[i, 2] = top_bit(a)


@compiled
def products(a: Any, b: Any, found: Any) -> None:
    for i in range(a.shape[0]):
        p = product(Part(a[i, 0], a[i, 1], a[i, 2]), Part(b[i, 0], b[i, 1], b[i, 2]))
        found[i, 0], found[i, 1], found[i, 2] = p.high, p.middle, p.low


@compiled
def conversions(values: Any, limbs: Any) -> None:
    for i in range(values.size):
        a = negated(of_float(values[i]))
        limbs[i, 0], limbs[i, 1], limbs[i, 2], limbs[i, 3] = a.whole, a.high, a.middle, a.low


def integer(limbs: np.ndarray) -> int:
    """The number that limbs of 64 bits, the highest first, stand for."""
    return sum(limb << (64 * i) for i, limb in enumerate(reversed(limbs.tolist())))


def drawn(rows: int, limbs: int, seed: int = 0) -> np.ndarray:
    """Limbs among which many are all zeros, all ones, or a single bit: carries run through all of them."""
    rng = np.random.default_rng(seed)
    odd = np.array([0, 1, 2**63, 2**64 - 1, 2**64 - 2, 2**53, 2**32 - 1], dtype=np.uint64)
    full = rng.integers(0, 2**64, (rows, limbs), dtype=np.uint64)
    return np.where(rng.random((rows, limbs)) < 0.5, full, rng.choice(odd, (rows, limbs)))


def test_exponentials_are_within_the_derived_error() -> None:
    rng = np.random.default_rng(0)
    grid = -np.arange(1, 400) * (math.log(2) / 3)  # next to the ends of the reduction, too
    deep, low = -rng.random(500) * 134, -np.ldexp(rng.random(200), rng.integers(-150, 0, 200))
    near = np.concatenate([np.nextafter(grid, 0), grid, np.nextafter(grid, -1000)])
    values = np.concatenate([deep, low, near, rng.random(100) * 0.69, [0.0, 2.0**-21, -133.0, -(2.0**61)]])
    limbs = np.zeros((values.size, 5), dtype=np.uint64)
    exponentials(values, limbs)
    assert limbs[:, 4].all()
    with ctx.workprec(400):
        for value, row in zip(values.tolist(), limbs, strict=True):
            units = arb(exact(max(value, -2000.0))).exp() / 4 / arb(exact(UNIT))
            assert abs(units - integer(row[:4])) < MOST_UNITS, value.hex()


def test_what_is_too_great_is_refused() -> None:
    limbs = np.zeros((3, 5), dtype=np.uint64)
    exponentials(np.array([0.7, 1.0, 2.0**50]), limbs)
    assert not limbs[:, 4].any()


def test_products_are_rounded_down_by_less_than_six_units() -> None:
    a, b = drawn(3000, 3), drawn(3000, 3, seed=1)
    found = np.zeros_like(a)
    products(a, b, found)
    for x, y, p in zip(a, b, found, strict=True):
        assert 0 <= Fraction(integer(x) * integer(y), 2**192) - integer(p) < 6, [hex(v) for v in (*x, *y)]


def test_floats_are_converted_to_a_unit() -> None:
    rng = np.random.default_rng(2)
    values = np.ldexp(rng.standard_normal(2000), rng.integers(-270, 60, 2000))
    values = np.concatenate([values, [0.0, -0.0, 5e-324, -(2.0**61), 2.0**-192, -(2.0**-193), 1.0, -1.0]])
    limbs = np.zeros((values.size, 4), dtype=np.uint64)
    conversions(values, limbs)
    for value, row in zip(values.tolist(), limbs, strict=True):
        found = integer(row) - (integer(row) >> 255 << 256)
        assert abs(-Fraction(value) / UNIT - found) < 1, value.hex()


def test_numbers_are_parted_at_every_place() -> None:
    rng = np.random.default_rng(3)
    limbs = drawn(4000, 4, seed=4)
    limbs[:, 0] >>= np.uint64(2)
    limbs[rng.random(4000) < 0.3, 0] = 0
    limbs[rng.random(4000) < 0.1, :2] = 0
    tops = [max(integer(row).bit_length() - 1, 1) for row in limbs]
    places = np.array([max(1, top - int(rng.integers(-3, 53))) for top in tops])
    places = np.minimum(places, 255)
    found = np.zeros((4000, 3))
    roundings(limbs, places, found)
    for row, place, (whole, rest, top) in zip(limbs, places.tolist(), found.tolist(), strict=True):
        number = integer(row)
        known = Fraction(number, 2**place) - int(whole)
        shown = [hex(v) for v in row.tolist()], place
        assert top == number.bit_length() - 1, shown
        assert abs(Fraction(rest) - known) <= Fraction(2) ** -51 * abs(known), shown
        assert abs(rest) <= 0.5, shown
