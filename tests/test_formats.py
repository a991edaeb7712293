"""The formats: exhaustively where they have 16 bits or fewer, against exact fractions elsewhere."""

from __future__ import annotations

import itertools
import math
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.formats import FORMATS, FloatFormat, floor_log2, format_named, format_of
from tests.longer import sample
from tests.more_formats import EVERY, SMALL

WIDE = [f for f in EVERY if f.storage_bits > 16]
TINY = Fraction(1, 2**1200)

# The largest number and smallest subnormal: IEEE 754-2019 table 3.5, the OFP8 specification
# table 1, and bfloat16 as binary32's upper half.
LIMITS = {
    "float16": (Fraction(65504), Fraction(1, 2**24)),
    "float32": (Fraction(2**128 - 2**104), Fraction(1, 2**149)),
    "float64": (Fraction(2**1024 - 2**971), Fraction(1, 2**1074)),
    "bfloat16": (Fraction(2**128 - 2**120), Fraction(1, 2**133)),
    "float8_e4m3fn": (Fraction(448), Fraction(1, 2**9)),
    "float8_e5m2": (Fraction(57344), Fraction(1, 2**16)),
    # What ml_dtypes states of its own.
    "float8_e4m3fnuz": (Fraction(240), Fraction(1, 2**10)),
    "float8_e5m2fnuz": (Fraction(57344), Fraction(1, 2**17)),
    "float8_e4m3b11fnuz": (Fraction(30), Fraction(1, 2**13)),
    "float8_e4m3": (Fraction(240), Fraction(1, 2**9)),
    "float8_e3m4": (Fraction(31, 2), Fraction(1, 2**6)),
}


def each_format(formats: Iterable[FloatFormat]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fmt", formats, ids=str)


@cache
def positive_values(fmt: FloatFormat) -> list[Fraction]:
    """Every number from 0 to Omega, by encoding."""
    values = [fmt.decode(code) for code in range(fmt.largest_ordinal + 1)]
    assert all(v is not None for v in values)
    return values  # type: ignore[return-value]


def some_codes(fmt: FloatFormat) -> list[int]:
    """Every 31st encoding, and those beside a power of two."""
    binade = 1 << (fmt.precision - 1)
    every = range(fmt.largest_ordinal)
    return [code for code in every if code % 31 == 0 or (code + 2) % binade < 4]


each_encoding = pytest.mark.parametrize(
    ("fmt", "codes"),
    [
        *((fmt, range(fmt.largest_ordinal)) for fmt in SMALL if fmt.storage_bits == 8),
        *((fmt, some_codes(fmt)) for fmt in SMALL if fmt.storage_bits > 8),
        *(
            pytest.param(fmt, range(fmt.largest_ordinal), marks=pytest.mark.slow)
            for fmt in SMALL
            if fmt.storage_bits > 8
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, FloatFormat) else f"{len(value)}",
)
"""All positive finite encodings but the largest; of 16 bits, by default, some."""


@cache
def all_bits(fmt: FloatFormat) -> np.ndarray:
    return np.arange(2**fmt.storage_bits, dtype=np.uint32).astype(fmt.bits_dtype)


# Values ------------------------------------------------------------------------------------


@each_format(EVERY)
def test_limits_are_those_of_the_standards(fmt: FloatFormat) -> None:
    assert (fmt.largest, fmt.smallest_subnormal) == LIMITS[fmt.name]
    assert fmt.smallest_normal == fmt.smallest_subnormal * 2 ** (fmt.precision - 1)
    assert floor_log2(fmt.largest) == fmt.emax
    if fmt.dtype.kind == "V":
        stated = ml_dtypes.finfo(fmt.dtype)
        assert (float(stated.max), float(stated.smallest_subnormal)) == tuple(map(float, LIMITS[fmt.name]))


def test_no_row_of_the_table_has_a_figure_of_another_format() -> None:
    """All at once, in the words of the table: precision and exponents as NumPy and ml_dtypes have them."""
    for fmt in EVERY:
        stated = ml_dtypes.finfo(fmt.dtype)
        exponents = (stated.minexp, stated.maxexp - 1)
        assert (fmt.precision, fmt.emin, fmt.emax) == (stated.nmant + 1, *exponents), fmt
        assert fmt.storage_bits == 8 * fmt.dtype.itemsize == stated.bits, fmt


@each_format(SMALL)
def test_every_encoding_decodes_as_the_dtype_does(fmt: FloatFormat) -> None:
    for code, value in enumerate(fmt.values.tolist()):  # as the dtype widens, exactly
        decoded = fmt.decode(code)
        expected = Fraction(value) if math.isfinite(value) else None
        assert decoded == expected, f"{fmt} {code:#x}: {decoded} where the dtype has {value!r}"
        assert value != 0 or (math.copysign(1, value) < 0) == (code == fmt.sign_bit)


@given(code=st.integers(0, 2**32 - 1))
def test_float32_encodings_decode_as_the_machine_does(code: int) -> None:
    (value,) = struct.unpack("<f", struct.pack("<I", code))
    assert FORMATS["float32"].decode(code) == (Fraction(value) if math.isfinite(value) else None), hex(code)


@given(code=st.integers(0, 2**64 - 1))
def test_float64_encodings_decode_as_the_machine_does(code: int) -> None:
    (value,) = struct.unpack("<d", struct.pack("<Q", code))
    assert FORMATS["float64"].decode(code) == (Fraction(value) if math.isfinite(value) else None), hex(code)


@each_format(EVERY)
def test_special_codes_are_special_in_the_dtype(fmt: FloatFormat) -> None:
    assert np.isnan(fmt.to_float64(fmt.from_bits([fmt.nan_code]))).all(), hex(fmt.nan_code)
    if fmt.infinity_code is None:
        assert not np.isinf(fmt.to_float64(fmt.from_bits(all_bits(fmt)))).any()
    else:
        assert fmt.to_float64(fmt.from_bits([fmt.infinity_code]))[0] == np.inf, hex(fmt.infinity_code)


@each_format(EVERY)
def test_only_small_formats_have_a_table_of_values(fmt: FloatFormat) -> None:
    if fmt not in SMALL:
        with pytest.raises(ValueError, match="bits are too many"):
            fmt.values  # noqa: B018
    else:
        assert not fmt.values.flags.writeable


@each_format(EVERY)
def test_a_code_too_wide_is_refused(fmt: FloatFormat) -> None:
    with pytest.raises(ValueError, match=f"{fmt.name} has {fmt.storage_bits} bits"):
        fmt.decode(1 << fmt.storage_bits)


# Order and spacing -------------------------------------------------------------------------


@each_format(SMALL)
def test_values_rise_with_their_ordinals(fmt: FloatFormat) -> None:
    values = positive_values(fmt)
    assert all(a < b for a, b in itertools.pairwise(values))
    assert values[-1] == fmt.largest


@each_format(SMALL)
def test_ordinals_number_every_encoding(fmt: FloatFormat) -> None:
    for code in range(2**fmt.storage_bits):
        ordinal = fmt.ordinal(code)
        expected = 0 if code == fmt.sign_bit and fmt.has_negative_zero else code
        assert fmt.from_ordinal(ordinal) == expected, f"{fmt} {code:#x}: ordinal {ordinal}"


@each_encoding
def test_ulp_is_the_gap_above_a_value(fmt: FloatFormat, codes: Sequence[int]) -> None:
    values = positive_values(fmt)
    for low, high in ((values[code], values[code + 1]) for code in codes):
        assert fmt.ulp(low) == high - low, f"{fmt}: above {low}"
        assert fmt.ulp((low + high) / 2) == high - low, f"{fmt}: between {low} and {high}"


@each_format(EVERY)
def test_ulp_of_a_real_changes_at_powers_of_two(fmt: FloatFormat) -> None:
    for e in range(fmt.emin + 1, fmt.emax + 1):
        edge = Fraction(2) ** e
        assert fmt.ulp(edge) == 2 * fmt.ulp(edge - TINY) == edge / 2 ** (fmt.precision - 1)
    assert fmt.ulp(Fraction(0)) == fmt.ulp(TINY) == fmt.ulp(fmt.smallest_normal) == fmt.smallest_subnormal


@given(numerator=st.integers(1, 2**200), denominator=st.integers(1, 2**200))
def test_floor_log2_brackets(numerator: int, denominator: int) -> None:
    value = Fraction(numerator, denominator)
    assert Fraction(2) ** floor_log2(value) <= value < Fraction(2) ** (floor_log2(value) + 1)


def test_floor_log2_refuses_zero() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        floor_log2(Fraction(0))


# Rounding ------------------------------------------------------------------------------------


@each_encoding
def test_every_number_rounds_to_itself(fmt: FloatFormat, codes: Sequence[int]) -> None:
    for code in (*codes, fmt.largest_ordinal):
        value = positive_values(fmt)[code]
        assert fmt.round(value) == code
        assert fmt.round(-value) == (code | fmt.sign_bit if value else 0)
    assert fmt.round(-TINY) == (fmt.sign_bit if fmt.has_negative_zero else 0)


@each_encoding
def test_midpoints_round_to_even_and_a_hair_decides(fmt: FloatFormat, codes: Sequence[int]) -> None:
    values = positive_values(fmt)
    for code in codes:
        low, high = values[code], values[code + 1]
        middle = (low + high) / 2
        even = code + code % 2
        assert fmt.round(middle) == even, f"{fmt}: {middle}, between {low} and {high}"
        assert fmt.round(middle - TINY) == code, f"{fmt}: just below {middle}"
        assert fmt.round(middle + TINY) == code + 1, f"{fmt}: just above {middle}"


@each_format(EVERY)
def test_rounding_overflows_half_an_ulp_beyond_the_largest(fmt: FloatFormat) -> None:
    edge = fmt.largest + fmt.ulp(fmt.largest) / 2
    beyond = fmt.nan_code if fmt.infinity_code is None else fmt.infinity_code
    largest_is_even = fmt.largest_ordinal % 2 == 0
    assert fmt.round(edge - TINY) == fmt.largest_ordinal
    assert fmt.round(edge) == (fmt.largest_ordinal if largest_is_even else beyond)
    assert fmt.round(edge + TINY) == beyond
    assert fmt.round(-edge - TINY) == beyond | fmt.sign_bit


@cache
def value_of(fmt: FloatFormat, code: int) -> Fraction:
    value = fmt.decode(code)
    assert value is not None
    return value


def nearest_by_search(fmt: FloatFormat, value: float) -> int:
    """RN by bisection over ordinals: slower than `round`, and another algorithm."""
    target, low, high = abs(Fraction(value)), 0, fmt.largest_ordinal + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if value_of(fmt, middle) <= target else (low, middle)
    below = value_of(fmt, low)
    twice = 2 * (target - below)
    gap = fmt.ulp(below)
    up = twice > gap or (twice == gap and low % 2 == 1)
    code = low + 1 if up else low
    if code > fmt.largest_ordinal:
        code = fmt.nan_code if fmt.infinity_code is None else fmt.infinity_code
    signed = math.copysign(1, value) < 0 and (code or fmt.has_negative_zero)
    return code | fmt.sign_bit if signed else code


finite = st.floats(allow_nan=False, allow_infinity=False)


@each_format(EVERY)
@given(value=finite | st.floats(-1e5, 1e5) | st.floats(-(2.0**-5), 2.0**-5))
@settings(max_examples=sample(80, 150))
def test_scalar_and_array_rounding_agree_with_a_search(fmt: FloatFormat, value: float) -> None:
    expected = nearest_by_search(fmt, value)
    if value != 0:
        assert fmt.round(Fraction(value)) == expected, value.hex()
    assert_same_bits(fmt, fmt.from_float64(np.array([value])), [expected], value.hex())


def assert_same_bits(fmt: FloatFormat, array: np.ndarray, codes: list[int], what: str) -> None:
    bits = fmt.to_bits(array)
    expected = np.array(codes, dtype=fmt.bits_dtype)
    alike = (bits == expected) | (
        np.isnan(fmt.to_float64(array)) & np.isnan(fmt.to_float64(fmt.from_bits(expected)))
    )
    wrong = np.flatnonzero(~alike)[:3]
    assert not wrong.size, f"{fmt}, {what}: {[(hex(bits[i]), hex(expected[i])) for i in wrong]}"


@each_format(SMALL)
def test_arrays_round_values_midpoints_and_neighbours_as_scalars_do(fmt: FloatFormat) -> None:
    values = np.array([float(v) for v in positive_values(fmt)])
    middle = (values[1:] + values[:-1]) / 2
    codes = np.arange(len(values))
    even = codes[:-1] + codes[:-1] % 2
    for sign in (0, fmt.sign_bit):
        factor = -1.0 if sign else 1.0
        for points, expected in (
            (values, codes),
            (middle, even),
            (np.nextafter(middle, 0), codes[:-1]),
            (np.nextafter(middle, np.inf), codes[1:]),
        ):
            assert_same_bits(
                fmt,
                fmt.from_float64(factor * points),
                np.where((expected == 0) & (not fmt.has_negative_zero), 0, expected | sign).tolist(),
                "array rounding",
            )


def test_a_hair_that_binary32_drops_decides_a_tie() -> None:
    """A cast through binary32 returns 1, as ml_dtypes did before 0.7."""
    above_middle = 1 + 2.0**-8 + 2.0**-40
    assert float(FORMATS["bfloat16"].from_float64([above_middle])[0]) == 1 + 2.0**-7


@each_format(EVERY)
def test_arrays_round_specials_and_beyond_the_largest(fmt: FloatFormat) -> None:
    beyond = fmt.nan_code if fmt.infinity_code is None else fmt.infinity_code
    points = [np.inf, -np.inf, np.nan]
    assert_same_bits(fmt, fmt.from_float64(points), [beyond, beyond | fmt.sign_bit, fmt.nan_code], "specials")
    if fmt.storage_bits < 64:
        edge = float(fmt.largest + fmt.ulp(fmt.largest) / 2)
        points = [np.nextafter(edge, 0), edge, np.nextafter(edge, np.inf)]
        expected = [fmt.round(Fraction(p)) for p in points]
        assert_same_bits(fmt, fmt.from_float64(points), expected, "overflow")


# Arrays against scalars ------------------------------------------------------------------------


@each_format(SMALL)
def test_arrays_carry_every_encoding(fmt: FloatFormat) -> None:
    bits = all_bits(fmt)
    array = fmt.from_bits(bits)
    assert (fmt.to_bits(array) == bits).all()
    values = fmt.to_float64(array)
    finite_codes = np.array([fmt.is_finite(int(code)) for code in bits])
    assert (np.isfinite(values) == finite_codes).all()
    back = fmt.to_bits(fmt.from_float64(values[finite_codes]))
    assert (back == bits[finite_codes]).all(), "a value does not survive float64"


@each_format(SMALL)
def test_array_ordinals_are_the_scalar_ones(fmt: FloatFormat) -> None:
    bits = all_bits(fmt)
    ordinals = fmt.ordinals(bits)
    assert ordinals.tolist() == [fmt.ordinal(int(code)) for code in bits]
    back = fmt.from_ordinals(ordinals)
    assert back.tolist() == [fmt.from_ordinal(o) for o in ordinals.tolist()]


@each_format(EVERY)
def test_encodings_are_spelt_the_highest_digit_first(fmt: FloatFormat) -> None:
    codes = [0, 1, fmt.nan_code, fmt.largest_ordinal, fmt.sign_bit + 1]
    text = fmt.to_hex(fmt.from_bits(codes))
    width = fmt.hex_digits
    assert len(text) == len(codes) * width
    assert [int(text[i : i + width], 16) for i in range(0, len(text), width)] == codes


@each_format(SMALL)
def test_a_minus_before_zero_is_kept_where_there_is_one(fmt: FloatFormat) -> None:
    bits = np.array([0, 0, 1, fmt.largest_ordinal], dtype=fmt.bits_dtype)
    negated = fmt.negated(bits, np.array([True, False, True, False]))
    zero = fmt.sign_bit if fmt.has_negative_zero else 0
    assert negated.tolist() == [zero, 0, fmt.sign_bit + 1, fmt.largest_ordinal]
    assert negated.dtype == fmt.bits_dtype


@each_format(WIDE)
@given(data=st.data())
def test_wide_array_ordinals_are_the_scalar_ones(fmt: FloatFormat, data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(0, 2**fmt.storage_bits - 1), min_size=1, max_size=8))
    bits = np.array(codes, dtype=fmt.bits_dtype)
    ordinals = fmt.ordinals(bits)
    assert ordinals.tolist() == [fmt.ordinal(code) for code in codes]
    assert fmt.from_ordinals(ordinals).tolist() == [fmt.from_ordinal(o) for o in ordinals.tolist()]


@each_format(EVERY)
def test_a_bit_pattern_needs_its_own_dtype(fmt: FloatFormat) -> None:
    stranger = np.zeros(2, dtype=np.float64 if fmt.storage_bits < 64 else np.float32)
    with pytest.raises(ValueError, match=f"{fmt.name} expected"):
        fmt.to_bits(stranger)


# Names ---------------------------------------------------------------------------------------------


@each_format(FORMATS.values())
def test_formats_are_found_by_name_and_dtype(fmt: FloatFormat) -> None:
    assert format_named(fmt.name) is fmt
    assert format_of(fmt.dtype) is fmt


def test_unknown_names_and_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match="'float17': it is one of float16, float32"):
        format_named("float17")
    with pytest.raises(ValueError, match="dtype int64: it is one of float16"):
        format_of(np.int64)


def test_what_is_not_about_its_formats_does_not_import_ml_dtypes() -> None:
    """It may take half a second in each process of a run."""
    program = (
        "import sys, numpy as np, reference, harness.campaign, harness.explanation.causes;"
        "x = np.zeros((2, 3), np.float16); reference.ulp_errors(x, np.full_like(x, 0.3));"
        "print('ml_dtypes' in sys.modules, reference.FORMATS['bfloat16'].dtype, 'ml_dtypes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "bfloat16", "True"]


def test_an_ordinal_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="magnitudes of float8_e5m2 stay below 128"):
        FORMATS["float8_e5m2"].from_ordinal(-128)


def test_float8_e4m3fn_turns_infinity_into_nan() -> None:
    fmt = FORMATS["float8_e4m3fn"]
    assert fmt.infinity_code is None
    assert fmt.round(Fraction(464)) == fmt.largest_ordinal
    assert np.isnan(fmt.to_float64(fmt.from_float64([465.0, np.inf]))).all()
