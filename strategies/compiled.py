"""What is drawn element by element, compiled: IEEE-exact operations, the same bits on every platform.

Words are those of NumPy's Philox, made here: a word is a function of the key and of its place in the
stream, so that a kernel makes a few hundred at a time, uses them while they are in cache, and holds no lock.
They are int64 throughout, whose products, sums and bits are those of unsigned words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from reference.certified.compiled import FRACTION_BITS, compiled, float_of, inlined, pattern

__all__ = [
    "between",
    "chances",
    "grouped",
    "integers",
    "ladder_steps",
    "logarithms",
    "magnitudes",
    "normals",
    "quantiles",
    "runs",
    "small_integers",
    "spread_evenly",
    "uniforms",
    "words",
]

_BIAS: Final = 1022
_ONE: Final = 1023
_FRACTION: Final = (1 << FRACTION_BITS) - 1
_OF_A_HALF: Final = _BIAS << FRACTION_BITS

_FIRST_MULTIPLIER: Final = 0xD2E7470EE14C6C93 - (1 << 64)
_SECOND_MULTIPLIER: Final = 0xCA5A826395121157 - (1 << 64)
_FIRST_STEP: Final = 0x9E3779B97F4A7C15 - (1 << 64)
_SECOND_STEP: Final = 0xBB67AE8584CAA73B - (1 << 64)
_ROUNDS: Final = 10

_BLOCK: Final = 512
"""Words made at once: they and what is made of them stay in the nearest cache."""

_LOW: Final = (1 << 32) - 1
_SIGN_OF_LOW: Final = 1 << 31
_BELOW_HIGH: Final = (1 << 21) - 1
_INTO_FRACTION: Final = (_ONE + FRACTION_BITS) << FRACTION_BITS
_OF_FRACTION: Final = 2.0**52
"""An integer below 2^52 in the fraction of 2^52 is converted to float64 by a subtraction."""

_LOG_2_HIGH: Final = 6.93147180369123816490e-01
_LOG_2_LOW: Final = 1.90821492927058770002e-10
_SQRT_HALF: Final = 0.7071067811865476
_LOG_EVEN: Final = (3.999999999940941908e-01, 2.222219843214978396e-01, 1.531383769920937332e-01)
_LOG_ODD: Final = (
    6.666666666666735130e-01,
    2.857142874366239149e-01,
    1.818357216161805012e-01,
    1.479819860511658591e-01,
)

_CENTRE: Final = 0.425
_CENTRE_OVER: Final = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
_CENTRE_UNDER: Final = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
_TAIL_OVER: Final = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
_TAIL_UNDER: Final = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)


# Words -----------------------------------------------------------------------------------------


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that emits LLVM code be called from kernels, without its typing context."""
    block: Callable[..., Any] = intrinsic(function)
    return block


@_intrinsic
def _product(typingctx: Any, a: Any, b: Any) -> Any:  # noqa: ARG001
    """Return the upper and the lower half of the product of two unsigned words."""
    halves = types.containers.UniTuple(types.int64, 2)  # type: ignore[no-untyped-call]

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        word, wide = ir.IntType(64), ir.IntType(128)
        product = builder.mul(*(builder.zext(factor, wide) for factor in args))
        upper = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), word)
        return context.make_tuple(builder, halves, (upper, builder.trunc(product, word)))

    return halves(types.int64, types.int64), emit


@inlined
def _four_words(low: int, high: int, counter: int) -> tuple[int, int, int, int]:
    """Return what Philox-4x64-10 makes of a counter (Salmon et al., SC 2011)."""
    a, b, c, d = counter, 0, 0, 0
    for _ in range(_ROUNDS):
        upper_c, lower_c = _product(_SECOND_MULTIPLIER, c)
        upper_a, lower_a = _product(_FIRST_MULTIPLIER, a)
        a, b, c, d = upper_c ^ b ^ low, lower_c, upper_a ^ d ^ high, lower_a
        low, high = low + _FIRST_STEP, high + _SECOND_STEP
    return a, b, c, d


@compiled
def words(low: int, high: int, first: int, result: Any) -> None:
    """Store words first, first + 1, ... of the key's stream; the first counter is 1."""
    size = result.size
    head = min(-first & 3, size)
    fours = (size - head) >> 2
    _part_of_four(low, high, first, result[:head])
    counter = ((first + head) >> 2) + 1
    for k in range(fours):
        i = head + 4 * k
        result[i], result[i + 1], result[i + 2], result[i + 3] = _four_words(low, high, counter + k)
    _part_of_four(low, high, first + head + 4 * fours, result[head + 4 * fours :])


@compiled
def _part_of_four(low: int, high: int, first: int, result: Any) -> None:
    """Store at most as many words as one counter gives, all of them of one."""
    if result.size:
        made = _four_words(low, high, (first >> 2) + 1)
        for i in range(result.size):
            result[i] = made[(first & 3) + i]


# Uniform numbers and integers --------------------------------------------------------------------


@inlined
def _float(integer: int) -> float:
    """Convert an integer in [0, 2^52), in every lane of a vector."""
    converted: float = float_of(integer | _INTO_FRACTION) - _OF_FRACTION
    return converted


@inlined
def _fraction(word: int) -> float:
    """Return the upper 53 bits of a word as a multiple of 2^-53 in [0, 1)."""
    return _float((word >> 32) & _LOW) * 2.0**-32 + _float((word >> 11) & _BELOW_HIGH) * 2.0**-53


@compiled
def uniforms(low: int, high: int, first: int, result: Any) -> None:
    """Store multiples of 2^-53 in [0, 1), of a word each."""
    room = np.empty(_BLOCK, np.int64)
    for start in range(0, result.size, _BLOCK):
        size = min(_BLOCK, result.size - start)
        words(low, high, first + start, room[:size])
        for i in range(size):
            result[start + i] = _fraction(room[i])


@compiled
def between(low: int, high: int, first: int, start: Any, width: Any, result: Any) -> None:
    """Store start + width u for rows (rows, n), start and width being those of each row."""
    flat = result.reshape(-1)
    n = result.shape[1]
    room = np.empty(_BLOCK, np.int64)
    for begin in range(0, flat.size, _BLOCK):
        end = min(begin + _BLOCK, flat.size)
        words(low, high, first + begin, room[: end - begin])
        for row in range(begin // n, (end - 1) // n + 1):
            a, b = start[row], width[row]
            for i in range(max(begin, row * n), min(end, (row + 1) * n)):
                flat[i] = a + b * _fraction(room[i - begin])


@compiled
def chances(low: int, high: int, first: int, least: Any, result: Any) -> None:
    """Store for rows (rows, n) whether u is at least the row's least."""
    flat = result.reshape(-1)
    n = result.shape[1]
    room = np.empty(_BLOCK, np.int64)
    for begin in range(0, flat.size, _BLOCK):
        end = min(begin + _BLOCK, flat.size)
        words(low, high, first + begin, room[: end - begin])
        for row in range(begin // n, (end - 1) // n + 1):
            bar = least[row]
            for i in range(max(begin, row * n), min(end, (row + 1) * n)):
                flat[i] = _fraction(room[i - begin]) >= bar


@compiled
def magnitudes(low: int, high: int, first: int, exponents: Any, result: Any) -> None:
    """Store (1 + u) 2^e for exponents e of normal numbers."""
    room = np.empty(_BLOCK, np.int64)
    for start in range(0, result.size, _BLOCK):
        size = min(_BLOCK, result.size - start)
        words(low, high, first + start, room[:size])
        for i in range(size):
            power = float_of((exponents[start + i] + _ONE) << FRACTION_BITS)
            result[start + i] = (1.0 + _fraction(room[i])) * power


@compiled
def small_integers(low: int, high: int, first: int, bound: int, least: int, step: int, result: Any) -> None:
    """Store least + step k, k = floor(h bound / 2^32) of half a word h each, the low half first."""
    room = np.empty(_BLOCK, np.int64)
    for start in range(0, result.size, 2 * _BLOCK):
        size = min(2 * _BLOCK, result.size - start)
        words(low, high, first + start // 2, room[: (size + 1) // 2])
        for i in range(size // 2):
            result[start + 2 * i] = least + step * (((room[i] & _LOW) * bound) >> 32)
            result[start + 2 * i + 1] = least + step * ((((room[i] >> 32) & _LOW) * bound) >> 32)
        if size & 1:
            result[start + size - 1] = least + step * (((room[size // 2] & _LOW) * bound) >> 32)


@compiled
def integers(low: int, high: int, first: int, bound: Any, least: Any, result: Any) -> None:
    """Store for rows (rows, n) least + floor(w bound / 2^64), bound and least being those of each row."""
    flat = result.reshape(-1)
    n = result.shape[1]
    room = np.empty(_BLOCK, np.int64)
    for begin in range(0, flat.size, _BLOCK):
        end = min(begin + _BLOCK, flat.size)
        words(low, high, first + begin, room[: end - begin])
        for row in range(begin // n, (end - 1) // n + 1):
            most, a = bound[row], least[row]
            for i in range(max(begin, row * n), min(end, (row + 1) * n)):
                flat[i] = a + _product(room[i - begin], most)[0]


# Normal numbers ----------------------------------------------------------------------------------


@compiled
def normals(low: int, high: int, first: int, result: Any) -> None:
    """Store standard normal numbers, two of a word; see `words.Words.normal`."""
    room, q = np.empty(_BLOCK, np.int64), np.empty(2 * _BLOCK)
    for start in range(0, result.size, 2 * _BLOCK):
        size = min(2 * _BLOCK, result.size - start)
        words(low, high, first + start // 2, room[: (size + 1) // 2])
        for i in range((size + 1) // 2):
            q[2 * i] = _centred(room[i] & _LOW)
            q[2 * i + 1] = _centred((room[i] >> 32) & _LOW)
        quantiles(q[:size], result[start : start + size])


@inlined
def _centred(half: int) -> float:
    """Return (i + 1/2) 2^-32 of half a word, taken as a signed integer i."""
    signed: float = float_of((half ^ _SIGN_OF_LOW) | _INTO_FRACTION) - (_OF_FRACTION + _SIGN_OF_LOW)
    return (signed + 0.5) * 2.0**-32


@compiled
def quantiles(q: Any, result: Any) -> None:
    """Store the normal quantiles of one-dimensional q; see `elementary.normal_quantile`.

    The centre's quotient is stored for all, that of the tails then in their places: so both vectorise.
    """
    places, tail = np.empty(2 * _BLOCK, np.int64), np.empty(2 * _BLOCK)
    for start in range(0, q.size, 2 * _BLOCK):
        some, of_some = q[start : start + 2 * _BLOCK], result[start : start + 2 * _BLOCK]
        for i in range(some.size):
            r = 0.180625 - some[i] * some[i]
            of_some[i] = some[i] * _polynomial(_CENTRE_OVER, r) / _polynomial(_CENTRE_UNDER, r)
        count = 0
        for i in range(some.size):
            places[count] = i
            count += int(abs(some[i]) > _CENTRE)
        for k in range(count):
            tail[k] = 0.5 - abs(some[places[k]])
        for k in range(count):
            r = math.sqrt(-_log(tail[k])) - 1.6
            tail[k] = _polynomial(_TAIL_OVER, r) / _polynomial(_TAIL_UNDER, r)
        for k in range(count):
            of_some[places[k]] = math.copysign(tail[k], some[places[k]])


@compiled
def logarithms(x: Any, result: Any) -> None:
    """Store the natural logarithms of one-dimensional x; see `elementary.log`."""
    for i in range(x.size):
        result[i] = _log(x[i])


@inlined
def _log(x: float) -> float:
    """`elementary.log` of a positive normal number."""
    bits = pattern(x)
    k = _float(bits >> FRACTION_BITS) - _BIAS
    m: float = float_of((bits & _FRACTION) | _OF_A_HALF)
    low = m < _SQRT_HALF
    m, k = (m + m if low else m), (k - 1.0 if low else k)
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    half_square = 0.5 * f * f
    remainder = z * _polynomial(_LOG_ODD, w) + w * _polynomial(_LOG_EVEN, w)
    log: float = k * _LOG_2_HIGH - (half_square - (s * (half_square + remainder) + k * _LOG_2_LOW) - f)
    return log


@inlined
def _polynomial(coefficients: tuple[float, ...], x: float) -> float:
    """Horner's rule; coefficients from the constant term up."""
    result: float = x * coefficients[-1]
    for i in range(len(coefficients) - 2, 0, -1):
        result = (result + coefficients[i]) * x
    return result + coefficients[0]


# Places ------------------------------------------------------------------------------------------


@compiled
def runs(start: Any, members: Any, marked: Any) -> None:
    """Mark in each row so many neighbours from a start on, going on at the front after the last."""
    rows, n = marked.shape
    for row in range(rows):
        end = start[row] + members[row]
        for j in range(n):
            marked[row, j] = ((j >= start[row]) & (j < end)) | (j < end - n)


@compiled
def spread_evenly(members: Any, marked: Any) -> None:
    """Mark entry j of a row where floor((j + 1) m / n) > floor(j m / n), 0 <= m <= n."""
    rows, n = marked.shape
    for row in range(rows):
        part, more = 0, members[row]
        for j in range(n):
            part += more
            marked[row, j] = part >= n
            part -= n if part >= n else 0


@compiled
def grouped(values: Any, kind: Any, octave: Any, result: Any) -> None:
    """Store for entry j the value j, j >> octave, or that of the low bits of j; see `layout.grouped`."""
    rows, n = values.shape
    for row in range(rows):
        low = (1 << octave[row]) - 1
        if kind[row] == 0:
            result[row, :] = values[row, :]
        elif kind[row] == 1:
            for j in range(n):
                result[row, j] = values[row, j >> octave[row]]
        else:
            for j in range(n):
                result[row, j] = values[row, j & low]


@compiled
def ladder_steps(order: Any, peak: Any, stride: Any, steps: Any) -> None:
    """Store j; n - 1 - j; |j - peak|; or (j stride + peak) mod n, of an order each, for 0 < stride <= n."""
    rows, n = steps.shape
    for row in range(rows):
        kind, at, place = order[row], peak[row], peak[row]
        for j in range(n):
            step = j if kind == 0 else (n - 1 - j if kind == 1 else abs(j - at))
            steps[row, j] = place if kind == 3 else step
            place += stride[row]
            place -= n if place >= n else 0
