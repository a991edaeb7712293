"""A-priori error bounds of log_softmax and logsumexp: how wrong an algorithm may be on the very row.

The notation is that of `reference.bounds`, whose line (S) bounds the computed sum: it lies between
(1 - down) S and (1 + up) S. Absolute errors are added up and divided by ulp(r) at the end, for next to a
dominating entry, and where a logsumexp cancels, an error that is small beside the terms is large beside r.

(D) The logarithm of the computed sum lies within e_S = max(log(1 + up), log(1 / (1 - down))) of log S.
(L) A log good to c ULP adds c ulp(|log S| + e_S), for ulp grows with its argument: e_L in all. With a
    constant shift the arithmetic adds c^, the rounded constant. Then log S is lse + c^, and -c^ takes the
    place of max in the lines below.
(G) (x_i - max) - log(sum): x_i - max is rounded by k_i, half an ulp, or 0 where it is a number of the format
    (`arguments.rounding_of`; of deep entries too, for here they are not exponentiated). The difference is
    rounded by half an ulp of the most that it can be: k_i + e_L + ulp(|r| + k_i + e_L) / 2.
(X) max + log(sum) is rounded likewise: e_X = e_L + ulp(|lse| + e_L) / 2. Of the plain form nothing is added,
    and e_X = e_L. That is the bound of logsumexp.
(M) x_i - lse: e_X + ulp(|r| + e_X) / 2. It grows with a common offset of the row, without limit.
(Q) log(softmax(x)): the computed share lies within b ulp(r') of the exact one, r', by `element_bounds`. With
    q = b ulp(r') / r' the logarithm is off by at most -log(1 - q), and the log adds c ulp(|r| - log(1 - q)).
    For q >= 1 there is no bound: the share may be 0 and its logarithm -inf.
(F) In another arithmetic the result is rounded once more to the output format, by half an ulp.

Of a fused kernel (`reference.bounds.fused`, whose k, p_m and k_a these are) there are (G), (X) and (M), with

(s) k_i of s x_i - M for that of x_i - max, s m and its error for max, s x_i and its error for x_i in (M), and
    e_S of the sum with the sink. Where a is above s m, some keep m: z_i = s (x_i - m) and
    log(sum) + (a - s m) stand for the two of M. What moves the sink's argument, k_a, is in k_i already, and
    e_S is that of M but for k_a: so k_i + e_S has room for both. c ulp is then of |log S| + a - s m + k_a.
    The error of s m or of a is added, for logsumexp, and k_a.

There is no bound where the sum may overflow (as for softmax) or vanish, where max + log(sum) may round beyond
Omega, or where |r| with its error exceeds Omega.
A masked entry of log_softmax is -inf in every algorithm; half an ulp stands for its bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from reference.bounds import element_bounds
from reference.bounds.arguments import arguments_of, leaves_range, rounding_of, shift_of, two_sum
from reference.bounds.elementary import log, log1p_above
from reference.bounds.exact import exact_of
from reference.bounds.fused import fused_rows
from reference.bounds.intervals import OUTWARD, half_ulp_of, may_overflow, once_rounded, sum_of
from reference.bounds.setting import Setting, further_up, setting_of
from reference.declaration import Algorithm
from reference.errors import ulp_exponents, ulp_of
from reference.formats import FloatFormat
from reference.fused import PLAIN, Fused
from reference.model import RESIDUAL_TOLERANCE, Truth

__all__ = ["LogAlgorithm", "logarithm_bounds"]

Floats = NDArray[np.float64]

_MASKED: Final = 0.5
_MODEST: Final = 0.5
_SLACK: Final = 2.0**-40
"""More than the error of `elementary.log`, 2^-44 (1 + |log|), and a few roundings."""

Form = Literal["gap", "lse", "share", "sum"]
"""(x - max) - log(sum), x - logsumexp(x), log(softmax(x)), and logsumexp itself."""


@dataclass(frozen=True)
class LogAlgorithm:
    """An algorithm for log_softmax or logsumexp, as far as its a-priori error bound needs it.

    Attributes:
        name: for reports.
        form: what is done with the sum.
        sums: how the exponentials and their sum are formed; for `share`, the softmax.
        log_ulps: the most that its log is wrong, in ULP of the arithmetic it runs in.
    """

    name: str
    form: Form
    sums: Algorithm
    log_ulps: float


def logarithm_bounds(
    x: Floats,
    truth: Truth,
    of_softmax: Truth,
    algorithm: LogAlgorithm,
    fmt_in: FloatFormat,
    *,
    overflowing: bool = True,
    fused: Fused = PLAIN,
) -> Floats:
    """Return the bound of each result's error, in ULP of the truth's format; NaN where there is none.

    Args:
        x: logits of shape (rows, n), numbers of `fmt_in`.
        truth: the truth about log_softmax or, of shape (rows, 1), logsumexp.
        of_softmax: the truth about the softmax of x, in the same format, with a sink's own share last.
        algorithm: what is bounded.
        fmt_in: the input format.
        overflowing: whether a row that may overflow has no bound. Where it is known that it did not, what
            is added up is what an arithmetic gives that goes further up, and its bounds hold; `share` has
            none of these.
        fused: the settings of a fused kernel, for algorithms that shift by the maximum.

    Returns:
        float64 of the truth's shape, rounded outward: by 2^-20 ulp for the tolerance of residuals.
    """
    setting = setting_of(algorithm.sums, fmt_in, truth.format)
    if setting is None or algorithm.sums.argument == "running":
        return np.full(truth.nearest.shape, np.nan)
    if fused.moves and (algorithm.sums.argument != "shifted" or algorithm.form == "share"):
        return np.full(truth.nearest.shape, np.nan)
    if not overflowing:
        setting = replace(setting, arithmetic=further_up(setting.arithmetic))
    with np.errstate(all="ignore"):
        if algorithm.form == "share":
            error = _by_share(x, truth, of_softmax, algorithm, fmt_in, setting)
        elif fused.moves:
            error = _by_fused_sum(x, truth, of_softmax, algorithm, setting, fused)
        else:
            error = _by_sum(x, truth, of_softmax, algorithm, setting)
        size = np.abs(truth.nearest) + ulp_of(truth)
        if setting.rounds_result:
            error = error + half_ulp_of(size + error, truth.format)
        bound = error * OUTWARD / ulp_of(truth) + 2 * RESIDUAL_TOLERANCE
        most = float(min(setting.arithmetic.largest, truth.format.largest))
        masked = (truth.nearest == -np.inf) & (truth.residual == 0) & (algorithm.form != "sum")
        return np.where(masked, _MASKED, np.where(size + error <= most, bound, np.nan))


def _by_sum(x: Floats, truth: Truth, of_softmax: Truth, algorithm: LogAlgorithm, setting: Setting) -> Floats:
    """Lines (D), (L), (G), (X), (M)."""
    fmt, size = setting.arithmetic, np.abs(truth.nearest) + ulp_of(truth)
    exact, arguments = exact_of(x, of_softmax), arguments_of(x, setting)
    total, _ = sum_of(x, exact, arguments, setting)
    if total is None:
        return np.full(truth.nearest.shape, np.nan)
    up, down = total.deviation.up, total.deviation.down
    of_sum = np.maximum(_log1p(up), _log1p(down / (1 - down)))
    top, level, shift = x.max(axis=1, keepdims=True), -log(exact.largest_low), shift_of(x, setting)
    plain = algorithm.sums.argument == "plain"
    lse = np.abs(top + level) + _SLACK * (np.abs(top) + level + 1)
    moved = top + shift
    size_of_log = np.abs(moved + level) + _SLACK * (np.abs(moved) + level + 1)
    error = of_sum + 2 * algorithm.log_ulps * half_ulp_of(size_of_log + of_sum, fmt)
    error = np.where(may_overflow(x, total, setting) | leaves_range(arguments, setting), np.nan, error)
    if algorithm.form == "gap":
        gap, rest = two_sum(x, shift)
        error = error + np.where(x == -np.inf, 0.0, rounding_of(gap, rest, fmt))
        return np.asarray(error + half_ulp_of(size + error, fmt))
    if not plain:
        error = once_rounded(lse, error, fmt)
    return np.asarray(error if algorithm.form == "sum" else error + half_ulp_of(size + error, fmt))


def _by_fused_sum(
    x: Floats, truth: Truth, whole: Truth, algorithm: LogAlgorithm, setting: Setting, fused: Fused
) -> Floats:
    """Line (s)."""
    fmt, size = setting.arithmetic, np.abs(truth.nearest) + ulp_of(truth)
    rows, sunk = fused_rows(x, fused, setting), replace(setting, sunk=fused.sink is not None)
    exact = exact_of(rows.arguments.t, whole)
    total, _ = sum_of(rows.arguments.t, exact, rows.arguments, sunk)
    if total is None:
        return np.full(truth.nearest.shape, np.nan)
    up, down = total.deviation.up, total.deviation.down
    of_sum, level = np.maximum(_log1p(up), _log1p(down / (1 - down))), -log(exact.largest_low)
    size_of_log = level + rows.sink_apart + _SLACK * (level + 1)
    error = of_sum + 2 * algorithm.log_ulps * half_ulp_of(size_of_log + of_sum, fmt)
    beyond = rows.beyond | may_overflow(x, total, sunk) | leaves_range(rows.arguments, setting)
    error = np.where(beyond, np.nan, error)
    if algorithm.form == "gap":
        error = error + fused.without_sink(np.where(rows.far, np.nan, rows.wrong))
        return np.asarray(error + half_ulp_of(size + error, fmt))
    error = error + rows.top_wrong
    lse = size if algorithm.form == "sum" else np.abs(rows.greatest) + level
    error = once_rounded(lse + _SLACK * (np.abs(rows.greatest) + level + 1), error, fmt)
    if algorithm.form == "sum":
        return np.asarray(error)
    error = error + fused.without_sink(np.where(rows.far, np.nan, rows.scaled_wrong))
    return np.asarray(error + half_ulp_of(size + error, fmt))


def _log1p(value: Floats) -> Floats:
    """Return an upper bound of log(1 + value), value >= 0, close to it throughout."""
    return np.where(value < _MODEST, log1p_above(value), log(1 + value) * (1 + _SLACK) + _SLACK)


def _by_share(
    x: Floats, truth: Truth, of_softmax: Truth, algorithm: LogAlgorithm, fmt_in: FloatFormat, setting: Setting
) -> Floats:
    """Line (Q)."""
    wrong = element_bounds(x, of_softmax, algorithm.sums, fmt_in)
    in_ulps = np.ldexp(of_softmax.nearest, -ulp_exponents(of_softmax))
    share = in_ulps + of_softmax.residual - RESIDUAL_TOLERANCE
    relative = np.where(share > 0, wrong / share, np.inf)
    of_share = np.where(relative < 1, _log1p(relative / (1 - relative)), np.nan)
    size = np.abs(truth.nearest) + ulp_of(truth) + of_share
    return np.asarray(of_share + 2 * algorithm.log_ulps * half_ulp_of(size, setting.arithmetic))
