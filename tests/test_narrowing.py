"""Rounding into formats of up to 16 bits by a kernel, against the format's own rounding, bit by bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.certified.narrowing import narrowed
from reference.formats import FORMATS

SMALL = [name for name, fmt in FORMATS.items() if fmt.storage_bits <= 16]


def bits_of(fmt, array):
    return fmt.to_bits(array).tolist()


@pytest.mark.parametrize("name", SMALL)
def test_values_at_and_about_every_rounding_boundary_are_rounded_as_the_format_says(name):
    """Every number of the format, the midpoints to its neighbours, and the float64 values beside them."""
    fmt = FORMATS[name]
    numbers = np.unique(fmt.values[np.isfinite(fmt.values)])
    top = numbers[-1] + (numbers[-1] - numbers[-2])
    middles = (np.append(numbers, top)[1:] + numbers) / 2
    places = np.concatenate([numbers, middles, [top, 2 * top, -top, 1e300, 5e-324, 0.0, -0.0]])
    values = np.concatenate([places, np.nextafter(places, np.inf), np.nextafter(places, -np.inf)])
    if fmt.has_infinity:
        values = np.append(values, [np.inf, -np.inf])
    values = np.concatenate([values, -values])
    assert bits_of(fmt, narrowed(values, fmt)) == bits_of(fmt, fmt.from_float64(values))
    omega = float(fmt.largest)
    clipped = fmt.from_float64(np.clip(values, -omega, omega))
    assert bits_of(fmt, narrowed(values, fmt, omega)) == bits_of(fmt, clipped)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=50)
@given(values=st.lists(st.floats(), max_size=40))
def test_anything_is_rounded_as_the_format_says_nan_and_infinities_among_it(name, values):
    fmt, array = FORMATS[name], np.array(values).reshape(1, -1)
    assert bits_of(fmt, narrowed(array, fmt)) == bits_of(fmt, fmt.from_float64(array))
    assert narrowed(array, fmt).shape == array.shape


def test_strided_and_read_only_values_are_taken():
    fmt = FORMATS["bfloat16"]
    values = np.random.default_rng(0).normal(size=(6, 8))
    values.flags.writeable = False
    assert bits_of(fmt, narrowed(values[:, ::2], fmt)) == bits_of(fmt, fmt.from_float64(values[:, ::2]))
