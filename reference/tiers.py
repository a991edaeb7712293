"""The tiers: named levels of quality that a softmax implementation can be held to.

Two ask for the result itself, three hold the error against a bound for the very row that it occurs
in (`reference.bounds`), so that a tier can be tight without knowing the input. What such
a tier asks for is written as an algorithm: the loosest that it allows. A row without a bound (NaN) is a
policy row, or one where that algorithm itself may overflow: G sum exp(x - max) > Omega, in
float16 beyond some 65 504 equal entries. Overflow there is excused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from reference.bounds import bounds_without_overflow, element_bounds
from reference.bounds.logarithms import LogAlgorithm, logarithm_bounds
from reference.bounds.setting import holds
from reference.bounds.summation import sum_growth
from reference.declaration import Algorithm
from reference.formats import FORMATS, FloatFormat
from reference.fused import PLAIN, Fused
from reference.model import Truth

__all__ = ["FAITHFUL", "FAST", "ROUNDED", "STANDARD", "TIERS", "WIDE", "Tier"]

Allowed = Callable[[FloatFormat, int], Iterator[Algorithm]]


@dataclass(frozen=True)
class Tier:
    """A level of quality.

    Attributes:
        name: as given on the command line.
        title: one line for people.
        derivation: what it allows, and why.
        every: what every element must be; None where the bound ratio judges.
        allowed: the loosest algorithms that it allows for an output format and a length; None where
            `every` judges.
        most_bits: the greatest output format that it speaks of, in bits of storage; None for all.
    """

    name: str
    title: str
    derivation: str
    every: Literal["correctly_rounded", "faithful"] | None = None
    allowed: Allowed | None = None
    most_bits: int | None = None

    def takes(self, fmt: FloatFormat) -> bool:
        """Tell whether the tier speaks of an output format."""
        return self.most_bits is None or fmt.storage_bits <= self.most_bits

    def refusal(self, fmt: FloatFormat) -> str:
        """Say in one line why it does not speak of an output format, and what to do."""
        return (
            f"tier {self.name}: {fmt} has {fmt.storage_bits} bits, and {self.name} is for output formats of"
            f" {self.most_bits} and fewer; name such formats, or take standard"
        )

    def algorithm_for(self, fmt: FloatFormat, n: int = 1) -> Algorithm:
        """Return the loosest algorithm allowed for rows of length n and an output format.

        Of several it is that whose sum may grow most; they differ in nothing else.

        Raises:
            ValueError: the tier allows no error that a bound would judge, or does not speak of the format.
        """
        if not self.takes(fmt):
            raise ValueError(self.refusal(fmt))
        if self.allowed is None:
            raise ValueError(f"tier {self.name}: it asks for {self.every} elements and has no bound")
        return _loosest(self.allowed, fmt, n)

    def bounds(
        self,
        x: NDArray[np.float64],
        truth: Truth,
        fmt_in: FloatFormat,
        *,
        overflowing: bool = True,
        fused: Fused = PLAIN,
    ) -> NDArray[np.float64]:
        """Return the tier's bound of each element in ULP, as `reference.bounds.element_bounds` does.

        Args:
            x: logits of shape (rows, n), numbers of `fmt_in`.
            truth: the truth about them.
            fmt_in: the input format.
            overflowing: whether a row that may overflow has no bound. Where it is known that it did not, no
                computed value lies beyond Omega, and the bound of an arithmetic without an Omega holds.
            fused: the settings of a fused kernel, and what the truth is then, as `element_bounds` has them.

        Raises:
            ValueError: the tier allows no error that a bound would judge, or does not speak of the format.
        """
        algorithm = self.algorithm_for(truth.format, x.shape[1])
        if overflowing:
            return element_bounds(x, truth, algorithm, fmt_in, fused)
        return bounds_without_overflow(x, truth, algorithm, fmt_in, fused)

    def logarithm_bounds(
        self,
        x: NDArray[np.float64],
        truth: Truth,
        of_softmax: Truth,
        fmt_in: FloatFormat,
        *,
        reduces: bool,
        overflowing: bool = True,
        fused: Fused = PLAIN,
    ) -> NDArray[np.float64]:
        """Return the tier's bound of each log_softmax or, where the op reduces, logsumexp, in ULP.

        It is that of (x - max) - log(sum), and of max + log(sum), with the sum that the tier allows and a log
        good to 4 ULP (NumPy states 3.83 in binary32). x - logsumexp(x) loses what a common offset costs, and
        log(softmax(x)) where the softmax vanishes: neither is within it.

        Args:
            x: logits of shape (rows, n), numbers of `fmt_in`.
            truth: the truth about the op.
            of_softmax: the truth about the softmax of x, in the same format, with a sink's own share last.
            fmt_in: the input format.
            reduces: whether it is a logsumexp.
            overflowing: as `bounds` has it.
            fused: the settings of a fused kernel.

        Raises:
            ValueError: the tier allows no error that a bound would judge, or does not speak of the format.
        """
        loosest = self.algorithm_for(truth.format, x.shape[1])
        algorithm = LogAlgorithm(self.name, "sum" if reduces else "gap", loosest, _LOG_ULPS)
        return logarithm_bounds(x, truth, of_softmax, algorithm, fmt_in, overflowing=overflowing, fused=fused)


@lru_cache(maxsize=4096)
def _loosest(allowed: Allowed, fmt: FloatFormat, n: int) -> Algorithm:
    return max(allowed(fmt, n), key=lambda algorithm: _growth(algorithm, fmt, n))


def _growth(algorithm: Algorithm, fmt: FloatFormat, n: int) -> float:
    arithmetic = FORMATS[algorithm.arithmetic] if algorithm.arithmetic else fmt
    sums = sum_growth(algorithm, n, arithmetic.precision)
    assert sums is not None, "the tiers' sums have a bound at every length"
    return sums[0]


_EXP_ULPS: Final = 3.0
_LOG_ULPS: Final = 4.0
_ACCUMULATOR: Final = 24
_SHORT: Final = 0.125
_WIDE_INSIDE: Final = "float32"
_WIDE_BITS: Final = 16


def _inside(fmt: FloatFormat) -> str | None:
    """Return the arithmetic that a tier asks for: binary32 for the 8-bit formats, else the output's own."""
    return "float32" if fmt.storage_bits == 8 and holds(FORMATS["float32"], fmt) else None


def _arithmetic(fmt: FloatFormat) -> FloatFormat:
    return FORMATS[inside] if (inside := _inside(fmt)) else fmt


def _wide_enough(fmt: FloatFormat) -> int:
    """Return the bits of an accumulator whose sums may be high."""
    return max(_ACCUMULATOR, _arithmetic(fmt).precision)


def _standard(fmt: FloatFormat, n: int) -> Iterator[Algorithm]:  # noqa: ARG001 - their height knows n
    loosest = Algorithm(
        "standard",
        "shifted",
        _EXP_ULPS,
        "pairwise",
        division="reciprocal",
        arithmetic=_inside(fmt),
        one_at_zero=True,
    )
    yield loosest
    yield replace(loosest, summation="lanes", accumulator_precision=_wide_enough(fmt))


def _fast(fmt: FloatFormat, n: int) -> Iterator[Algorithm]:
    standard = [replace(a, name="fast", exp2=True, rescaled=True) for a in _standard(fmt, n)]
    yield from standard
    one_by_one = replace(standard[0], summation="sequential")
    yield replace(one_by_one, accumulator_precision=_wide_enough(fmt))
    if (n - 1) * 2.0 ** -_arithmetic(fmt).precision <= _SHORT:
        yield one_by_one


def _wide(fmt: FloatFormat, n: int) -> Iterator[Algorithm]:  # noqa: ARG001 - it is binary32 for all
    for algorithm in _standard(FORMATS[_WIDE_INSIDE], n):
        yield replace(algorithm, name="wide", arithmetic=_WIDE_INSIDE)


ROUNDED: Final = Tier(
    "rounded",
    "every element is correctly rounded",
    "RN(r), ties to even. Only a correctly rounded softmax meets it: one that computes an enclosure of each"
    " result and rounds it, as `reference.correctly_rounded` does.",
    every="correctly_rounded",
)

FAITHFUL: Final = Tier(
    "faithful",
    "every element is one of the two numbers next to the exact result",
    "RD(r) or RU(r). It needs intermediates a few bits wider than the output, and one final rounding.",
    every="faithful",
)

STANDARD: Final = Tier(
    "standard",
    "as accurate as the max-shifted form with a good exp and a pairwise or vectorised sum",
    "The exponent is x - max, rounded once; without the shift rows overflow. The exp is good to 3 ULP, as"
    " vectorised libraries state theirs (NumPy: 2.52 in binary32), and exp(0) is exactly 1, as all have it."
    " The sum has a height of at most min(n - 1, ceil(log2 n) + 24), which is NumPy's; or it runs one by one"
    " in the lanes of a 128-bit or 256-bit register, 4 or 8 (2 or 4 of binary64), in accumulators of at"
    " least 24 bits, which is PyTorch's. The quotient is a division, or a rounded reciprocal and a product."
    " The numerator is one of the summed terms. Every step is in the format itself; for 8-bit formats in"
    " binary32 with one final rounding, because with 3 or 4 bits the steps would lose more than the result"
    " holds.",
    allowed=_standard,
)

FAST: Final = Tier(
    "fast",
    "also a sum one by one in a wide enough accumulator, exp2(x log2 e), and outputs rescaled once",
    "As standard, with three liberties that GPU kernels take for speed. The sum may have height n - 1, in"
    " an accumulator of at least 24 bits, as in attention kernels; or in the format itself where (n - 1) u"
    " <= 1/8, so that it loses at most an eighth. The exp may be exp2((x - max) log2 e): the product is"
    " rounded, and log2 e rounded to nearest is off by a known 0.22 u in binary32 and 0.13 u in binary64."
    " Rows may be split: exp(x - m) exp(m - max), m being the maximum of a block of the row. Its two"
    " differences are off by u |x - max| together, its two exps by 3 ULP together (the GPU's ex2 by 1.42),"
    " and its products are rounded up to three times.",
    allowed=_fast,
)

WIDE: Final = Tier(
    "wide",
    "standard in binary32 throughout, and one final rounding; for output formats of 16 bits and fewer",
    "As standard with every step in binary32, and one rounding to the output format at the end, as nearly"
    " all kernels of such formats work. The error is half an ULP plus that of binary32, about 2^-13 ULP in"
    " bfloat16 and 2^-10 in float16 for short rows. standard lets every step round to the format itself; in"
    " the 8 bits of bfloat16 that passes an output that is more than a percent off.",
    allowed=_wide,
    most_bits=_WIDE_BITS,
)

TIERS: Final = MappingProxyType({tier.name: tier for tier in (ROUNDED, FAITHFUL, WIDE, STANDARD, FAST)})
"""Every tier by name."""
