"""A-priori error bounds: how wrong a softmax algorithm may be on the very row that it is given.

`element_bounds` gives, in ULP of the output format, a number that the error of no output exceeds which
the algorithm can produce, whatever its exp does within its c ULP, through underflow,
subnormals, masked entries and significands of 3 bits. There is none (NaN) in policy rows,
where a computed value may overflow (such rows are judged by attribution), where a compensated
sum is too long for its precision, and where no bound is derived (`setting.setting_of`).

Notation. The arithmetic has unit u = 2^-p, smallest subnormal eta, largest number Omega; it rounds to
nearest, underflows gradually, and v = u / (1 + u): an operation off the subnormals returns
its exact value times 1 + d, |d| <= v, and times 1 / (1 + d), |d| <= u. t_j is the exact argument
(x_j, x_j + c, or x_j - max), k_j how far the computed one may lie from it
(`arguments`), w_j = exp(t_j),
W = sum w_j, r_j = w_j / W. The exp is wrong by at most c ULP of its exact value, which is at most E = 2 c u
relative in the normal range and c eta below it.

(U) ê_j <= U_j = exp(k_j) w_j + c ulp(exp(k_j) w_j). For the exact a = exp(t_j + d), |d| <= k_j, lies below
    exp(k_j) w_j, and ulp(a) grows with a; it is eta at least. Deep entries have a <= eta / 2.
(L) ê_j >= L_j = max(0, exp(-k_j) w_j - min(c ulp(exp(k_j) w_j), max(E exp(-k_j) w_j, c eta))), for a is at
    least exp(-k_j) w_j and ulp(a) at most that of exp(k_j) w_j; and a - max(E a, c eta), which is no more
    than a - c ulp(a), grows with a. Masked entries: ê_j = 0.
(1) Where exp(0) is said to be exactly 1 and the computed argument is 0 for certain (t = 0 and k = 0),
    ê = w = 1, so U = L = w: the row's maximum and its ties in the shifted form.
(S) The computed sum lies between (1 - down) S and (1 + up) S, S = sum ê being the exact sum of the computed
    terms and (up, down) `summation.sum_growth`. So it is at most S+ = (1 + up) sum U, and
(S-) at least max((1 - down) sum L, L_max). L_max: rounding to nearest is monotone and ê_max a number, so no
    addition of a nonnegative number leads below it (not so for a compensated sum, nor for an accumulator of
    fewer bits).
(Q) Numerator and sum hold the same ê_i. With R = sum over j != i of ê_j, ê_i / (ê_i + R) grows with ê_i and
    falls with R: its derivatives are R / (ê_i + R)^2 and -ê_i / (ê_i + R)^2. So before rounding
        ê_i / sum <= U_i / (U_i + sum over j != i of L_j) / (1 - down), and
        ê_i / sum >= L_i / (L_i + sum over j != i of U_j) / (1 + up).
    For (S) holds for the same terms ê that stand above the line. Also ê_i / sum <= U_i / L_max by (S-), and
    the lesser of the two counts: in a row that one entry dominates, nothing is lost of the sum. With
    a_j = (U_j - w_j) / W, b_j = (w_j - L_j) / W, A and B the sums of the others' a and b:
        U_i / (U_i + ..) = (r_i + a_i) / (1 + a_i - B), above r_i by (a_i (1 - r_i) + r_i B) / (1 + a_i - B),
        L_i / (L_i + ..) = (r_i - b_i) / (1 - b_i + A), below r_i by (b_i (1 - r_i) + r_i A) / (1 - b_i + A);
    dividing by 1 - down adds r_i down / (1 - down) to the first, dividing by 1 + up adds r_i up / (1 + up) to
    the second. All terms are nonnegative. So the maximum's own error is damped by the share of the others.
    The terms of a running sum are not the numerators: there it is U_i / S- and L_i / S+.
(R) Multiplying by a rounded reciprocal adds a factor 1 +- max(v, S+ eta / 2): the second
    where 1 / sum is subnormal. There is no bound where it may overflow.
(F) The last rounding moves q by at most half an ulp of q, a step function that grows with
    q, so RN(q) is at most q+ + ulp(q+) / 2 and at least q- - ulp(q-) / 2. In another arithmetic the
    quotient is rounded in it first, by max(v q, eta / 2), and once more to the output
    format, unless that holds every number of the arithmetic.
(C) As ê_i <= sum where (S-) has L_max, RN(ê_i / sum) <= 1; likewise times a normal
    reciprocal: ê_i RN(1 / sum) <= 1 + v < 1 + u rounds to 1 at most.

(U') A running sum multiplies a term by exp(m - m') whenever its maximum m is replaced by m'; where it is
    not replaced, exp(0) must be exactly 1, as it is in every library. With l
    links (`arguments.Chain`) and K the sum of their k, the term is at most (1 + E)^(l + 1) (1 + v)^l exp(K)
    w_j and
(L') at least (1 - E)^(l + 1) (1 + u)^-l exp(-K) w_j, as long as the latter is at least 2^emin: then so was
    every exponential and product on the way. Else an exponential may also be wrong by c eta and a
    product by eta / 2; every factor and every value is at most 1 + E and a power of (1 + E)(1 + v), so both
    bounds widen by ((l + 1)(c + 1/2) + c + 1/2) eta ((1 + E)(1 + v))^(l + 2). The outputs are
    exp(x_i - max) / sum, from a second pass: (U) and (L). Sums on the way hold at most n such terms.

(U2) Outputs rescaled once, as split rows have them: e_1 = exp(x - m), m the maximum of a block of entries,
    and e_2 = exp(m - max) give ê = e_1 e_2 exactly, the same number above the line and, as a term of the
    block's sum times e_2, in the sum. Both computed arguments lie at or below 0 and by k (`arguments`) in all
    from their exact values. Each exponential is good to c / 2 ULP, so within max(E a, c eta) / 2 of its
    a <= 1, and
        ê <= (1 + E / 2)^2 exp(k) w, and where one may be below 2^emin, which takes exp(-k) w < 2^emin,
        another 2 (c eta / 2)(1 + E / 2) + (c eta / 2)^2 <= c eta (1 + E + c eta / 4).
    An entry of the maximum's own block has one exponential, which may then be off by c ULP as well.
(L2) ê >= (1 - E) exp(-k) w, less the same. Deep: a_1 a_2 <= eta / 2. In the block of the maximum e_2 = 1,
    and the maximum itself is 1. The block's sum times e_2 is rounded once more than other sums, which
    `summation.sum_growth` counts. Where it underflows it is off by eta / 2, which the term of the block's
    own maximum has room for if c >= 1: its e_1 is 1, so it takes c eta / 2 of c eta; and its weight is below
    2^emin, as no block's sum is below 1.
(P) Above the line up to three roundings come first: of e_1 times e_2; or of e_1 over the block's sum s, of
    s e_2, and of their product. They are at most (1 + v)^3 - 1 relative. Underflow adds eta / 2
    to a share of the block, which is multiplied by s e_2 / sum <= 1, and eta / 2 over the sum twice, all
    times at most 1 + E.

(E) exp(x - lse): log(sum) lies within log(S+ / W) or log(W / S-) of log W, the logarithm is taken to be
    good to 1.53 c ULP (NumPy states 3.83 for it and 2.52 for exp, in binary32), and lse = max + log and x -
    lse are rounded by half an ulp each of the most they can be. All that is the k of a last exp, to which
    (U) and (L) apply. It grows with any common offset, without limit; where k is above 32 there is no bound.

Where this differs from the interval form that it grew from: (S-) divides by (1 + u)^h,
not (1 + v)^h, as rounding down costs u relative to the result (1 + u to 1); the reciprocal of a
subnormal carries its factor ê_i; max replaces a threshold and a sum; and (F) knows the ulp of q instead of
2 u q.

`growth` is G: as long as sum exp(t) is at most Omega / G, nothing overflows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reference.bounds.intervals import bounds_of_rows
from reference.bounds.setting import Setting, further_up, growth, setting_of, working_format
from reference.declaration import Algorithm
from reference.formats import FloatFormat
from reference.fused import PLAIN, Fused
from reference.model import Truth

__all__ = ["bounds_without_overflow", "element_bounds", "growth", "working_format"]

_BLOCK: Final = 1 << 14
"""Entries that are bounded at once: some thirty arrays of them stay in a cache."""


def element_bounds(
    x: NDArray[np.float64],
    truth: Truth,
    algorithm: Algorithm,
    fmt_in: FloatFormat,
    fused: Fused = PLAIN,
) -> NDArray[np.float64]:
    """Return the bound of each output's error, in ULP of the truth's format; NaN where there is none.

    Args:
        x: logits of shape (rows, n), numbers of `fmt_in`.
        truth: the truth about them; its format is the output's.
        algorithm: what is bounded.
        fmt_in: the input format.
        fused: the settings of a fused kernel. With a scale or a sink the truth is that of
            `reference.ops.fused.whole_truth`, and only algorithms have a bound that shift by the maximum and
            divide (`reference.bounds.fused`).

    Returns:
        float64 of x's shape, from the interval form of the module docstring, rounded outward: by 2^-20 ulp
        for the tolerance of the truth's residuals (its own, and that of the error it is held against).

    Raises:
        ValueError: x has another shape than the truth.
    """
    if fused.shape(x.shape) != truth.nearest.shape:
        raise ValueError(f"x of shape {x.shape}: the truth has shape {truth.nearest.shape}; they must match")
    bounds = np.full(x.shape, np.nan)
    setting = setting_of(algorithm, fmt_in, truth.format)
    if setting is not None:
        _fill(x, truth, setting, bounds, fused)
    return bounds


def bounds_without_overflow(
    x: NDArray[np.float64],
    truth: Truth,
    algorithm: Algorithm,
    fmt_in: FloatFormat,
    fused: Fused = PLAIN,
) -> NDArray[np.float64]:
    """Return what `element_bounds` does, for rows of which it is known that no step overflowed.

    Every computed value then is what an arithmetic of the same precision and emin gives that goes further
    up, by one more bit of exponent, and its bounds hold.
    """
    bounds = np.full(x.shape, np.nan)
    setting = setting_of(algorithm, fmt_in, truth.format)
    if setting is not None:
        beyond = further_up(setting.arithmetic)
        output = beyond if setting.output == setting.arithmetic else setting.output
        _fill(x, truth, replace(setting, arithmetic=beyond, output=output), bounds, fused)
    return bounds


def _fill(
    x: NDArray[np.float64], truth: Truth, setting: Setting, bounds: NDArray[np.float64], fused: Fused
) -> None:
    algorithm, step = setting.algorithm, max(1, _BLOCK // x.shape[1])
    if fused.moves:
        if algorithm.division == "none" or algorithm.argument != "shifted":
            return
        from reference.bounds.fused import fused_bounds

        for first in range(0, x.shape[0], step):
            rows = slice(first, first + step)
            bounds[rows] = fused_bounds(x[rows], fused, _part(truth, rows), setting)
        return
    if setting.divides_by_a_whole_sum:
        from reference.bounds.compiled import fill_bounds

        fill_bounds(x, truth, setting, bounds)
        return
    for first in range(0, x.shape[0], step):
        rows = slice(first, first + step)
        bounds[rows] = bounds_of_rows(x[rows], _part(truth, rows), setting)


def _part(truth: Truth, rows: slice) -> Truth:
    return replace(truth, nearest=truth.nearest[rows], residual=truth.residual[rows], kinds=truth.kinds[rows])
