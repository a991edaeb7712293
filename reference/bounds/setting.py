"""The arithmetic in which an algorithm runs, as the constants of its bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

import numpy as np

from reference.bounds.elementary import LOG2E_HIGH, LOG2E_LOW, exp_parts, log, log1p_above
from reference.bounds.summation import sum_growth
from reference.declaration import Algorithm
from reference.formats import FORMATS, FloatFormat

__all__ = ["Setting", "further_up", "growth", "holds", "setting_of", "working_format"]


_SLACK: Final = 2.0**-30
"""More than the errors of exp and log, below 2^-33 together at the arguments met here."""


def holds(wide: FloatFormat, narrow: FloatFormat) -> bool:
    """Tell whether every number of `narrow` is one of `wide`."""
    return (
        wide.precision >= narrow.precision
        and wide.quantum_exponent <= narrow.quantum_exponent
        and wide.largest >= narrow.largest
    )


def further_up(fmt: FloatFormat) -> FloatFormat:
    """Return the format with one more bit of exponent, all of its new range above Omega."""
    emax = fmt.emax + 2 ** (fmt.storage_bits - fmt.precision)
    name, bits, held = f"{fmt.name} further up", fmt.storage_bits + 1, fmt.dtype_name or fmt.name
    return replace(fmt, name=name, emax=emax, storage_bits=bits, dtype_name=held)


def working_format(algorithm: Algorithm, fmt_in: FloatFormat, fmt_out: FloatFormat) -> FloatFormat:
    """Return the arithmetic of an algorithm's intermediates.

    Where it names none, that is the output's own if it holds every input, else the input's.
    """
    if algorithm.arithmetic is not None:
        return FORMATS[algorithm.arithmetic]
    return fmt_out if holds(fmt_out, fmt_in) else fmt_in


@dataclass(frozen=True)
class Setting:
    """An algorithm in its arithmetic, with the output format it ends in.

    Attributes:
        algorithm: what is bounded.
        arithmetic: the format of the intermediates.
        output: the format of the result.
        sunk: whether the sum has one more term, which may be added to it last.
    """

    algorithm: Algorithm
    arithmetic: FloatFormat
    output: FloatFormat
    sunk: bool = False

    def sums(self, n: int) -> tuple[float, float] | None:
        """Return `summation.sum_growth` of n terms; with one that may be added last, one more rounding."""
        found = sum_growth(self.algorithm, n, self.arithmetic.precision)
        if found is None or not self.sunk:
            return found
        up, down = found
        return (up + self.v * (1 + up)) * (1 + 2.0**-50), (down + self.u * (1 - down)) * (1 + 2.0**-50)

    @cached_property
    def u(self) -> float:
        """The unit roundoff: an error relative to the rounded result."""
        return 2.0**-self.arithmetic.precision

    @cached_property
    def v(self) -> float:
        """u / (1 + u): an error relative to the exact result."""
        return self.u / (1 + self.u) * (1 + 2.0**-50)

    @cached_property
    def exp_error(self) -> float:
        """E = 2 c u, the relative error of an exp good to c ULP, in the normal range."""
        return 2 * self.algorithm.exp_ulps * self.u

    @cached_property
    def factor(self) -> float:
        """log2 e as the arithmetic holds it, rounded to nearest."""
        return float(self.arithmetic.to_float64(self.arithmetic.from_float64(LOG2E_HIGH)))

    @cached_property
    def factor_error(self) -> float:
        """The relative error of that number: what it is, not what a rounding may be; 0 without exp2."""
        error = abs((self.factor - LOG2E_HIGH) - LOG2E_LOW) / LOG2E_HIGH * (1 + 2.0**-50)
        return error if self.algorithm.exp2 else 0.0

    @cached_property
    def scaling(self) -> float:
        """The relative error of t log2 e: that of the factor, and one rounding of the product."""
        error = self.factor_error
        return (error + self.v * (1 + error)) * (1 + 2.0**-50) if self.algorithm.exp2 else 0.0

    @cached_property
    def bend(self) -> float:
        """The most that a rounded argument's error can be, relative to the argument."""
        exact = self.algorithm.argument == "plain"
        shift = 0.0 if exact else self.v
        return shift + (1 + shift) * self.scaling

    @cached_property
    def link(self) -> tuple[float, float]:
        """Logarithms of the factors of one rescaling, (1 + E)(1 + v) and (1 + u) / (1 - E), from above."""
        error = self.exp_error
        lost = error / (1 - error) * (1 + 2.0**-50) if error < 1 else float("inf")
        up, down = (log1p_above(np.array([a, b])).sum() for a, b in ((error, self.v), (lost, self.u)))
        return float(up), float(down) if error < 1 else float("inf")

    @cached_property
    def rescaled_floor(self) -> float:
        """What underflow adds to a product of two exponentials, in eta: line (L2) of `reference.bounds`."""
        c, eta = self.algorithm.exp_ulps, 2.0**self.arithmetic.quantum_exponent
        return c * (1 + self.exp_error + c * eta / 4) * (1 + 2.0**-50)

    @cached_property
    def products(self) -> float:
        """The relative error of the roundings before the last of a rescaled output: line (P)."""
        return self.v * (3 + self.v * (3 + self.v)) * (1 + 2.0**-50)

    @property
    def divides_by_a_whole_sum(self) -> bool:
        """Whether the second of two passes divides by the sum of the first."""
        return self.algorithm.division != "none" and self.algorithm.argument != "running"

    @property
    def is_monotone(self) -> bool:
        """Whether no addition makes the sum smaller than one of its terms."""
        kept = self.algorithm.accumulator_precision
        wide_enough = kept is None or kept >= self.arithmetic.precision
        return wide_enough and self.algorithm.summation != "compensated"

    @property
    def rounds_result(self) -> bool:
        """Whether a number of the arithmetic is rounded to become one of the output."""
        return not holds(self.output, self.arithmetic)


@lru_cache(maxsize=256)
def setting_of(algorithm: Algorithm, fmt_in: FloatFormat, fmt_out: FloatFormat) -> Setting | None:
    """Return the setting, None where no bound is derived.

    That is so where the arithmetic does not hold the inputs, where the argument is unknown, and, in the
    form exp(x - lse), for exp2, whose logarithm may be of either base, and for a constant,
    which may be taken from x or added to lse. Outputs rescaled once are those of the shifted form that
    divides, with an exp(0) of exactly 1.
    """
    arithmetic = working_format(algorithm, fmt_in, fmt_out)
    by_lse = algorithm.division == "none"
    underived = algorithm.argument == "unknown" or (
        by_lse and (algorithm.exp2 or algorithm.argument == "constant")
    )
    if algorithm.rescaled:
        underived = underived or by_lse or algorithm.argument != "shifted" or not algorithm.one_at_zero
    if underived or not holds(arithmetic, fmt_in):
        return None
    return Setting(algorithm, arithmetic, fmt_out)


@lru_cache(maxsize=4096)
def growth(algorithm: Algorithm, n: int, fmt: FloatFormat, rescalings: int = 0) -> float:
    """Return G: as long as V = sum exp(t) is at most Omega / G, no computed sum of n terms overflows.

    With g the summation's growth, k_j <= b |t_j| (`Setting.bend`), and eta the smallest
    subnormal, a computed sum is at most g ((1 + E) sum exp(t_j + k_j) + n c eta), where

    * plain and constant, V <= Omega: sum exp(t_j + k_j) <= V Omega^b + n, by the signs of the t_j (n
      only where b > 0);
    * shifted and running, t_j <= 0: sum exp((1 - b) t_j) <= n^b V^(1 - b), by concavity; every
      rescaling adds a factor (1 + E)(1 + v).

    Set equal to Omega and solved for V, this gives Omega / G. inf where no V is small enough.

    Args:
        algorithm: the algorithm; an unknown argument counts as shifted.
        n: the row's length.
        fmt: the arithmetic.
        rescalings: how often a running sum is rescaled.
    """
    setting = Setting(algorithm, fmt, fmt)
    sums = sum_growth(algorithm, n, fmt.precision)
    if sums is None:
        return float("inf")
    factor = (1 + setting.exp_error) * _exp(setting.link[0] * (rescalings + algorithm.rescaled))
    floor = setting.rescaled_floor if algorithm.rescaled else algorithm.exp_ulps
    underflow = n * floor * 2.0**fmt.quantum_exponent
    room = float(fmt.largest) / (1 + sums[0]) - underflow
    if algorithm.argument in ("plain", "constant"):
        room = room / factor - (n if setting.bend else 0)
        room *= _exp(-setting.bend * _log(float(fmt.largest)))
    elif room > 0:
        room /= factor
        room = min(room, _exp((_log(room) - setting.bend * _log(n)) / (1 - setting.bend)))
    return float(fmt.largest) / room * (1 + _SLACK) if room > float(fmt.smallest_normal) else float("inf")


def _exp(t: float) -> float:
    fraction, exponent = exp_parts(np.array([t]))
    with np.errstate(over="ignore"):
        return float(np.ldexp(fraction, exponent)[0])


def _log(value: float) -> float:
    return float(log(np.array([value]))[0])
