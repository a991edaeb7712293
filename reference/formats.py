"""Binary floating-point formats as data, and their exact arithmetic.

A format is the set of numbers ``(-1)^s * m * 2^(e - p + 1)`` with ``0 <= m < 2^p`` and
``emin <= e <= emax``, plus what its remaining encodings stand for. Everything here is
decided in integer or rational arithmetic; nothing rounds twice.

Two views of one format:

* scalar, on Python integers and fractions: `FloatFormat.decode`, `round`, `ordinal`, `ulp`.
  Slow, obvious, and the specification that the tests hold the other view to;
* arrays: `to_bits`, `from_bits`, `to_float64`, `from_float64`, `ordinals`, `from_ordinals`.
  Every format here embeds in binary64, so float64 arrays carry values without loss.

Adding a format is adding one row to `_ROWS`.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FORMATS", "OTHER_NAMES", "FloatFormat", "NaNs", "floor_log2", "format_named", "format_of"]

Array = NDArray[Any]

NaNs = Literal["beyond infinity", "all ones", "negative zero"]
"""Which encodings are NaN: all beyond the infinities' (IEEE 754); those with nothing but ones, whatever the
sign, in a format without infinities (Open Compute Project, OFP8 specification, 2023); or the one that would
be -0, in a format with neither (the "fnuz" formats of Graphcore, AMD and Qualcomm, arXiv:2206.02915)."""

_TABULATED_BITS: Final = 16


def floor_log2(value: Fraction) -> int:
    """Return the integer e with 2^e <= value < 2^(e+1), for value > 0."""
    if value <= 0:
        raise ValueError(f"floor_log2 of {value}: the value must be positive")
    e = value.numerator.bit_length() - value.denominator.bit_length()
    return e if value >= Fraction(2) ** e else e - 1


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format of precision p and exponents emin..emax.

    Without infinities the all-ones exponent holds numbers too. `other_names` are what else it is called, in
    lower case; accepted nowhere, and answered with the name that is meant. `dtype_name` is that of the dtype
    of its arrays, where that is not the format's own.
    """

    name: str
    precision: int
    emin: int
    emax: int
    storage_bits: int
    has_infinity: bool
    has_negative_zero: bool
    nans: NaNs
    other_names: tuple[str, ...] = ()
    dtype_name: str = ""

    def __str__(self) -> str:
        return self.name

    # Constants -------------------------------------------------------------------------

    @cached_property
    def unit_roundoff(self) -> Fraction:
        """u = 2^-p."""
        return Fraction(1, 2**self.precision)

    @cached_property
    def quantum_exponent(self) -> int:
        """The exponent of the smallest subnormal, eta = 2^(emin - p + 1)."""
        return self.emin - self.precision + 1

    @cached_property
    def smallest_subnormal(self) -> Fraction:
        """eta, the smallest positive number."""
        return Fraction(2) ** self.quantum_exponent

    @cached_property
    def smallest_normal(self) -> Fraction:
        """2^emin."""
        return Fraction(2) ** self.emin

    @cached_property
    def largest(self) -> Fraction:
        """Omega, the largest finite number."""
        value = self.decode(self._largest_code)
        assert value is not None
        return value

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of arrays: NumPy's of that name, or else that of ml_dtypes.

        ml_dtypes is imported where it is needed: version 0.7.0 takes half a second, as long as all else that
        most commands import.
        """
        name = self.dtype_name or self.name
        library = np if hasattr(np, name) else importlib.import_module("ml_dtypes")
        dtype: np.dtype[Any] = np.dtype(getattr(library, name))
        return dtype

    @cached_property
    def bits_dtype(self) -> np.dtype[Any]:
        """The unsigned integer dtype of the same width."""
        return np.dtype(f"uint{self.storage_bits}")

    @cached_property
    def sign_bit(self) -> int:
        """The encoding of -0."""
        return 1 << (self.storage_bits - 1)

    @cached_property
    def _fraction_bits(self) -> int:
        return self.precision - 1

    @cached_property
    def _largest_code(self) -> int:
        """Omega's encoding: the last finite magnitude in encoding order."""
        if self.has_infinity:
            return self.sign_bit - (1 << self._fraction_bits) - 1
        return self.sign_bit - 2 if self.nans == "all ones" else self.sign_bit - 1

    @cached_property
    def infinity_code(self) -> int | None:
        """The encoding of +inf, None where the format has none."""
        return self._largest_code + 1 if self.has_infinity else None

    @cached_property
    def nan_code(self) -> int:
        """The encoding of one quiet NaN."""
        if self.nans == "beyond infinity":
            return self._largest_code + 1 + (1 << max(self._fraction_bits - 1, 0))
        return self.sign_bit - 1 if self.nans == "all ones" else self.sign_bit

    # Scalars: exact, on encodings and fractions -------------------------------------------

    def is_finite(self, code: int) -> bool:
        """Tell whether the encoding stands for a number."""
        return (code != self.sign_bit or self.has_negative_zero) and (
            code & ~self.sign_bit
        ) <= self._largest_code

    def decode(self, code: int) -> Fraction | None:
        """Return the number that an encoding stands for, None for an infinity or NaN.

        Raises:
            ValueError: the code does not fit into `storage_bits` bits.
        """
        if not 0 <= code < 2 * self.sign_bit:
            raise ValueError(f"code {code:#x}: {self.name} has {self.storage_bits} bits")
        if not self.is_finite(code):
            return None
        magnitude = code & ~self.sign_bit
        biased, significand = divmod(magnitude, 1 << self._fraction_bits)
        if biased:
            significand += 1 << self._fraction_bits
        value = significand * Fraction(2) ** (max(biased, 1) - 1 + self.quantum_exponent)
        return -value if code & self.sign_bit else value

    def ulp(self, value: Fraction) -> Fraction:
        """Return ulp_F(value) = 2^(max(floor(log2 |value|), emin) - p + 1).

        Goldberg's ulp carried to the reals (Muller et al., Handbook of Floating-Point
        Arithmetic, section 2.3): constant through the subnormals and zero, the larger
        spacing at a power of two.
        """
        e = self.emin if value == 0 else max(floor_log2(abs(value)), self.emin)
        return Fraction(2) ** (e - self.precision + 1)

    def round(self, value: Fraction) -> int:
        """Return the encoding nearest to a rational, ties to even.

        At Omega + ulp/2 and beyond it overflows to infinity, or to NaN in a format
        without one. A negative value that rounds to zero gives -0 where there is one.
        """
        sign = self.sign_bit if value < 0 else 0
        magnitude = abs(value)
        ulp = self.ulp(magnitude)
        rounded = round(magnitude / ulp) * ulp  # Fraction.__round__ is ties-to-even
        if rounded > self.largest:
            return self.nan_code | sign if self.infinity_code is None else self.infinity_code | sign
        return self._encode_magnitude(rounded) | (sign if rounded or self.has_negative_zero else 0)

    def _encode_magnitude(self, value: Fraction) -> int:
        if value == 0:
            return 0
        e = max(floor_log2(value), self.emin)
        significand = int(value / Fraction(2) ** (e - self.precision + 1))
        return ((e - self.emin) << self._fraction_bits) + significand

    def ordinal(self, code: int) -> int:
        """Number the encodings in the order of their values; +0 and -0 are both 0.

        Consecutive finite values have consecutive ordinals; the infinities and NaNs follow.
        """
        if code == self.sign_bit and not self.has_negative_zero:
            return self.sign_bit
        magnitude = code & ~self.sign_bit
        return -magnitude if code & self.sign_bit else magnitude

    def from_ordinal(self, ordinal: int) -> int:
        """Return the encoding of an ordinal (+0 for 0).

        Raises:
            ValueError: the magnitude does not fit into the encoding.
        """
        if ordinal == self.sign_bit and not self.has_negative_zero:
            return self.sign_bit
        if abs(ordinal) >= self.sign_bit:
            raise ValueError(f"ordinal {ordinal}: magnitudes of {self.name} stay below {self.sign_bit}")
        return -ordinal | self.sign_bit if ordinal < 0 else ordinal

    @cached_property
    def largest_ordinal(self) -> int:
        """The ordinal of Omega."""
        return self._largest_code

    # Arrays ------------------------------------------------------------------------------

    def to_bits(self, array: Array) -> Array:
        """Return the encodings of an array of this format, as unsigned integers.

        Raises:
            ValueError: the array is of another dtype.
        """
        if array.dtype != self.dtype:
            raise ValueError(f"array of {array.dtype}: {self.name} expected")
        return np.ascontiguousarray(array).view(self.bits_dtype)

    def from_bits(self, bits: ArrayLike) -> Array:
        """Return the array of this format with the given encodings."""
        return np.ascontiguousarray(bits, dtype=self.bits_dtype).view(self.dtype)

    @cached_property
    def hex_digits(self) -> int:
        """How many hexadecimal digits an encoding has."""
        return self.storage_bits // 4

    def to_hex(self, array: Array) -> str:
        """Return the encodings of an array of this format in hexadecimal, concatenated.

        Each has `hex_digits` digits, the highest first.

        Raises:
            ValueError: the array is of another dtype.
        """
        return self.to_bytes(array).hex()

    def to_bytes(self, array: Array) -> bytes:
        """Return the encodings of an array of this format, each with its highest byte first, concatenated.

        Raises:
            ValueError: the array is of another dtype.
        """
        bits = self.to_bits(array)
        return bits.astype(bits.dtype.newbyteorder(">")).tobytes()

    def digest(self, array: Array) -> str:
        """Return the SHA-256 of `to_bytes`, in hexadecimal."""
        return hashlib.sha256(self.to_bytes(array)).hexdigest()

    def to_float64(self, array: Array) -> NDArray[np.float64]:
        """Return the values as float64, exactly."""
        if array.dtype == np.float64:
            return np.asarray(array, dtype=np.float64)
        with np.errstate(invalid="ignore"):  # signalling NaNs
            return np.asarray(array.astype(np.float64))

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """What every encoding stands for, as float64 by encoding, in a format of up to 16 bits.

        Raises:
            ValueError: the format is wider.
        """
        if self.storage_bits > _TABULATED_BITS:
            raise ValueError(f"{self.name}: {self.storage_bits} bits are too many for a table of all values")
        values = self.to_float64(self.from_bits(np.arange(2 * self.sign_bit)))
        values.flags.writeable = False
        return values

    def from_float64(self, values: ArrayLike) -> Array:
        """Round float64 values to this format once, to nearest, ties to even.

        The rounding is done here, by scaling with a power of two and `rint`, both exact, and the cast only
        encodes: ml_dtypes before 0.7 narrows to bfloat16 through float32 and rounds twice.
        """
        values = np.asarray(values, dtype=np.float64)
        if self.dtype.kind == "f" and self.storage_bits >= 16 and self.dtype.isbuiltin == 1:
            with np.errstate(over="ignore", under="ignore"):
                return np.asarray(values.astype(self.dtype))  # NumPy's own casts round once
        _, exponent = np.frexp(values)
        quantum = np.ldexp(1.0, np.maximum(exponent - 1, self.emin) - self.precision + 1)
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = np.rint(values / quantum) * quantum
        beyond = np.abs(rounded) > float(self.largest)
        overflow = np.nan if self.infinity_code is None else np.inf
        rounded = np.where(beyond, np.copysign(overflow, rounded), rounded)
        return np.asarray(rounded.astype(self.dtype))

    def ordinals(self, bits: Array) -> NDArray[np.int64]:
        """`ordinal` of an array of encodings."""
        magnitude = (bits & self.bits_dtype.type(self.sign_bit - 1)).astype(np.int64)
        ordinals: NDArray[np.int64] = np.where(bits >= self.sign_bit, -magnitude, magnitude)
        if not self.has_negative_zero:
            ordinals[bits == self.sign_bit] = self.sign_bit
        return ordinals

    def from_ordinals(self, ordinals: NDArray[np.int64]) -> Array:
        """`from_ordinal` of an array, as encodings; magnitudes must fit."""
        bits: Array = np.abs(ordinals).astype(self.bits_dtype)
        bits[ordinals < 0] |= self.bits_dtype.type(self.sign_bit)
        return bits

    def negated(self, bits: Array, which: NDArray[np.bool_]) -> Array:
        """Return encodings of numbers with a minus where asked, which 0 takes only where there is -0."""
        signed = which if self.has_negative_zero else which & (bits != 0)
        return np.asarray(np.where(signed, bits | self.bits_dtype.type(self.sign_bit), bits))


# infinities, -0, NaNs
_IEEE: Final = (True, True, "beyond infinity")
_FN: Final = (False, True, "all ones")
_FNUZ: Final = (False, False, "negative zero")

_ROWS: Final = (
    # name, precision p, emin, emax, storage bits; infinities, -0, NaNs; other names
    FloatFormat(
        "float16", 11, -14, 15, 16, *_IEEE,
        ("fp16", "f16", "half", "binary16", "e5m10"),
    ),
    FloatFormat(
        "float32", 24, -126, 127, 32, *_IEEE,
        ("fp32", "f32", "single", "float", "binary32", "e8m23"),
    ),
    FloatFormat(
        "float64", 53, -1022, 1023, 64, *_IEEE,
        ("fp64", "f64", "double", "binary64", "e11m52"),
    ),
    FloatFormat(
        "bfloat16", 8, -126, 127, 16, *_IEEE,
        ("bf16", "bfloat", "brain", "e8m7"),
    ),
    FloatFormat(
        "float8_e4m3fn", 4, -6, 8, 8, *_FN,
        ("e4m3", "e4m3fn", "f8e4m3fn", "fp8", "fp8e4m3", "fp8_e4m3", "float8"),
    ),
    FloatFormat(
        "float8_e5m2", 3, -14, 15, 8, *_IEEE,
        ("e5m2", "f8e5m2", "fp8e5m2", "fp8_e5m2"),
    ),
    FloatFormat(
        "float8_e4m3fnuz", 4, -7, 7, 8, *_FNUZ,
        ("e4m3fnuz", "f8e4m3fnuz", "fp8e4m3fnuz", "fp8_e4m3fnuz"),
    ),
    FloatFormat(
        "float8_e5m2fnuz", 3, -15, 15, 8, *_FNUZ,
        ("e5m2fnuz", "f8e5m2fnuz", "fp8e5m2fnuz", "fp8_e5m2fnuz"),
    ),
)  # fmt: skip

FORMATS: MappingProxyType[str, FloatFormat] = MappingProxyType({f.name: f for f in _ROWS})
"""Every format by name."""

OTHER_NAMES: MappingProxyType[str, str] = MappingProxyType(
    {other: f.name for f in _ROWS for other in f.other_names}
)
"""The format that is meant by another name."""


def format_named(name: str) -> FloatFormat:
    """Return the format of that name.

    Raises:
        ValueError: there is none.
    """
    try:
        return FORMATS[name]
    except KeyError:
        meant = OTHER_NAMES.get(name.lower())
        hint = f"did you mean {meant!r}?" if meant else f"it is one of {', '.join(FORMATS)}"
        raise ValueError(f"format {name!r}: {hint}") from None


def format_of(dtype: Any) -> FloatFormat:
    """Return the format of a NumPy dtype.

    Raises:
        ValueError: the dtype is no format of `FORMATS`.
    """
    wanted = np.dtype(dtype)
    fmt = FORMATS.get(wanted.name)
    if fmt is not None and fmt.dtype == wanted:
        return fmt
    raise ValueError(f"dtype {wanted}: it is one of {', '.join(FORMATS)}")
