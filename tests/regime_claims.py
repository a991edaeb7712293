"""What each regime says of a row, decided independently of how the row was drawn.

`CLAIMS[name](fmt, x)` takes one row as float64 and tells whether it belongs to the regime.
Thresholds come from mpmath, exactness from fractions, neighbours from ordinals.
"""

from fractions import Fraction
from functools import cache

import mpmath
import numpy as np

from strategies.regimes.medley import MEMBERS

NORMAL_REACH = 6.34
"""No normal value drawn lies farther out: the quantile of 2^-33."""


def values_of(fmt, rows):
    return fmt.to_float64(rows)


def real(value):
    """A fraction or float64 as an mpmath number, exactly."""
    value = Fraction(value)
    return mpmath.mpf(value.numerator) / value.denominator


@cache
def logs(fmt):
    """log Omega, log 2^emin, log eta, to 60 digits."""
    with mpmath.workdps(60):
        return tuple(mpmath.log(real(v)) for v in (fmt.largest, fmt.smallest_normal, fmt.smallest_subnormal))


def ordinal(fmt, value):
    """The ordinal of the number nearest to a value."""
    return fmt.ordinal(fmt.round(Fraction(value) if isinstance(value, float) else fraction(value)))


def fraction(value):
    sign, mantissa, exponent, _ = value._mpf_
    return Fraction(-int(mantissa) if sign else int(mantissa)) * Fraction(2) ** exponent


def spacing(fmt, x):
    """The distance between numbers at the row's largest magnitude."""
    return float(fmt.ulp(Fraction(float(np.abs(x[np.isfinite(x)]).max()))))


def logs_of_results(x):
    shifted = x - x.max()
    return shifted - np.log(np.exp(shifted).sum())


def log_of_sum(x):
    return x.max() + np.log(np.exp(x - x.max()).sum())


def masks_some(x):
    return bool((x == -np.inf).any() and np.isfinite(x).any() and (x < np.inf).all())


def one_run(mask):
    """Whether the marked entries are neighbours, around the end allowed."""
    return np.count_nonzero(mask != np.roll(mask, 1)) <= 2


def evenly_spread(fmt, x):
    gaps = np.diff(np.unique(x))
    return gaps.size == 0 or gaps.max() - gaps.min() <= 4 * spacing(fmt, x)


def sum_overflows(fmt, x):
    with mpmath.workdps(60):
        terms = [mpmath.exp(real(v)) for v in x.tolist()]
        return max(terms) <= real(fmt.largest) < mpmath.fsum(terms)


def subtracts_exactly(fmt, x):
    top = Fraction(float(x.max()))
    gaps = [top - Fraction(v) for v in x.tolist()]
    return all(fmt.decode(fmt.round(gap)) == gap for gap in gaps)


@cache
def landmarks(fmt):
    """The ordinals of the landmarks and of their neighbours."""
    marks = (0.0, 1.0, logs(fmt)[0], -logs(fmt)[1], -logs(fmt)[2])
    at = {abs(ordinal(fmt, mark)) for mark in marks}
    at |= {fmt.ordinal(fmt.round(fmt.smallest_normal)), fmt.largest_ordinal}
    return {abs(ordinal + side) for ordinal in at for side in (-1, 0, 1)}


def tops_out_at_overflow(fmt, x):
    return ordinal(fmt, float(x.max())) >= ordinal(fmt, logs(fmt)[0]) - 4


def close_together(fmt, x):
    ordinals = [ordinal(fmt, v) for v in x.tolist()]
    return max(ordinals) - min(ordinals) <= 15 and np.abs(x).min() >= max(2.0 ** (fmt.precision - 5), 1.0)


def reaches_underflow(fmt, x):
    return logs_of_results(x).min() <= float(logs(fmt)[1]) + NORMAL_REACH + spacing(fmt, x)


CLAIMS = {
    "standard-normal": lambda fmt, x: np.abs(x).max() <= NORMAL_REACH + spacing(fmt, x),
    "wide-normal": lambda fmt, x: np.abs(x).max() <= 3 * float(logs(fmt)[0]) * NORMAL_REACH + spacing(fmt, x),
    "uniform-bits": lambda _, x: np.isfinite(x).all(),
    "log-uniform": lambda fmt, x: np.abs(x).min() >= min(2.0**fmt.emin, 2.0**-fmt.precision),
    "landmarks": lambda fmt, x: {abs(ordinal(fmt, v)) for v in x.tolist()} <= landmarks(fmt),
    "dominated": lambda _, x: np.count_nonzero(x == x.max()) == 1,
    "ladder": evenly_spread,
    "ascending": lambda _, x: (np.diff(x) >= 0).all(),
    "descending": lambda _, x: (np.diff(x) <= 0).all(),
    "blocks": lambda fmt, x: np.ptp(x) <= -float(logs(fmt)[2]) + 2 * NORMAL_REACH + 1 + 2 * spacing(fmt, x),
    "masked": lambda _, x: masks_some(x),
    "causal": lambda _, x: masks_some(x) and one_run(np.isfinite(x)),
    "all-but-one-masked": lambda _, x: masks_some(x) and np.count_nonzero(np.isfinite(x)) == 1,
    "masked-low": lambda _, x: masks_some(x) and one_run(np.isfinite(x)) and x.max() < -8,
    "common-offset": lambda fmt, x: np.ptp(x) <= 4 * NORMAL_REACH + 2 * spacing(fmt, x),
    "close-together": close_together,
    "exp-overflow": tops_out_at_overflow,
    "sum-overflow": sum_overflows,
    "quantised": subtracts_exactly,
    "tied": lambda _, x: (x == x[0]).all(),
    "partly-tied": lambda _, x: 1 <= np.count_nonzero(x == x.max()) < x.size,
    "signed-zeros": lambda fmt, x: (x == 0).any() and np.abs(x).max() <= NORMAL_REACH + spacing(fmt, x),
    "subnormal-inputs": lambda fmt, x: ((x != 0) & (np.abs(x) < 2.0**fmt.emin)).any(),
    "exp-underflow": lambda fmt, x: x.max() <= float(logs(fmt)[1]) + NORMAL_REACH + spacing(fmt, x),
    "result-underflow": reaches_underflow,
    "log-probabilities": lambda fmt, x: abs(log_of_sum(x)) <= spacing(fmt, x) / 2 + 1e-12,
    "medley": lambda fmt, x: any(CLAIMS[name](fmt, x) for name in CLAIMS if name in MEMBERS),
    "crowd": lambda fmt, x: np.abs(x).max() <= 48 and np.ptp(x) <= 64 + spacing(fmt, x),
    "all-masked": lambda _, x: (x == -np.inf).all(),
    "positive-infinity": lambda _, x: (x == np.inf).any() and not np.isnan(x).any(),
    "nan": lambda _, x: np.isnan(x).any(),
}
