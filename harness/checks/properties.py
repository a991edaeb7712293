"""Properties of the exact softmax that an implementation may keep; floating-point order alone breaks some."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.checks.accuracy import meets
from harness.checks.check import SHOWN, Check, Examined, Examinee, differing_entry, number, same_bits
from harness.measurement import Rows
from reference.formats import FloatFormat
from reference.ops import Op
from reference.tiers import FAST
from strategies.logit_range import LogitRange
from strategies.words import Words

__all__ = ["PROPERTIES", "exact_shifts"]

Array = NDArray[Any]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def _outputs(examinee: Examinee, x: Array) -> tuple[Array, Floats, Flags]:
    """Return outputs, their values, and the rows with an exact result whose unmasked outputs are finite."""
    y, done = examinee.judged(x)
    values = examinee.out.to_float64(y)
    masked = values == examinee.subject.op.masked
    return y, values, done & (np.isfinite(values) | masked).all(axis=1)


def _in_range(examinee: Examinee, x: Array) -> Examined:
    y, values, tried = _outputs(examinee, x)
    op = examinee.subject.op
    outside = (values < op.least) | (values > op.most)

    def note(row: int) -> str:
        k = int(np.argmax(outside[row]))
        return f"entry {k} is {number(examinee.out, y[row, k])}"

    return Examined(tried & outside.any(axis=1), tried, note)


# Row sum ---------------------------------------------------------------------------------


def _sums_to_one(examinee: Examinee, x: Array) -> Examined:
    _, values, tried = _outputs(examinee, x)
    most = _most_off_one(examinee.out, x.shape[1])
    if not math.isfinite(most):
        return Examined.nothing(len(x))
    off = np.array(
        [abs(math.fsum([-1.0, *row])) if ok else 0.0 for row, ok in zip(values.tolist(), tried, strict=True)]
    )

    explained = _most_by_rounding(examinee, x, most)

    def note(row: int) -> str:
        more = ", more than rounding explains" if off[row] > explained[row] else ""
        total = math.fsum(values[row].tolist())
        return f"the outputs sum to {total:.6g}: off 1 by {off[row]:.6g}, where {most:.6g} is allowed{more}"

    return Examined(tried & (off > most), tried, note, tried & (off > explained))


def _most_by_rounding(examinee: Examinee, x: Array, most: float) -> Floats:
    """Return how far off 1 the sums of rows may be by rounding alone, in any of the forms in use.

    exp(x - lse) rounds lse once, and x - lse: with u the coarser format's, each by u times at most
    max |x| + log n, and computes lse from a sum that is off by `most`; a reciprocal and rescaled sums are
    off by a few roundings more. All is doubled, since bounds of both formats meet here.
    """
    values = examinee.format.to_float64(x)
    largest = np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=1)
    u = float(max(examinee.format.unit_roundoff, examinee.out.unit_roundoff))
    with np.errstate(over="ignore"):
        return np.asarray(np.expm1(2 * (most + 2 * u * (largest + math.log(x.shape[1]) + 4))))


def _most_off_one(fmt: FloatFormat, n: int) -> float:
    """Return n u / (1 - n u) + n eta / 2, infinite where n u is 1 or more.

    n - 1 additions of nonnegative numbers in any order and one division are n roundings, gamma_n in all
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), whatever the exp;
    each quotient may underflow by eta / 2.
    """
    u = float(fmt.unit_roundoff)
    if n * u >= 1:
        return math.inf
    return n * u / (1 - n * u) + n * float(fmt.smallest_subnormal) / 2


# Shift -----------------------------------------------------------------------------------


def _shifts(examinee: Examinee, x: Array) -> Examined:
    if examinee.subject.op.reduces:
        return _shifts_along(examinee, x)
    y, done = examinee.judged(x)
    moved, constants = exact_shifts(examinee.format, x, examinee.subject.within)
    there, completed = (
        part.reshape(len(constants), len(x), *part.shape[1:]) for part in _called(examinee, moved)
    )
    shifted = done & (constants != 0)
    differs = (
        shifted & completed & ~same_bits(examinee.out, there, np.broadcast_to(y, there.shape)).all(axis=2)
    )

    def note(row: int) -> str:
        which = int(np.argmax(differs[:, row]))
        this, that = differing_entry(examinee.out, y[row], there[which, row])
        return f"{this}; of x + {float(constants[which, row])!r}: {that}"

    return Examined(differs.any(axis=0), shifted.any(axis=0), note)


def _shifts_along(examinee: Examinee, x: Array) -> Examined:
    """Hold the results of rows x + c against c more than those of x, by the tier `fast` of both."""
    y, done = examinee.judged(x)
    moved, constants = exact_shifts(examinee.format, x, examinee.subject.within)
    there, completed = _called(examinee, moved)
    rows = Rows.about(examinee.subject, moved)
    as_good = meets(rows.judge(there), rows, FAST)
    own = Rows.about(examinee.subject, x)
    good = done & meets(own.judge(y), own, FAST)
    shape = constants.shape
    there, completed, as_good = there.reshape(shape), completed.reshape(shape), as_good.reshape(shape)
    shifted = good & (constants != 0)
    differs = shifted & completed & ~as_good

    def note(row: int) -> str:
        which = int(np.argmax(differs[:, row]))
        return (
            f"{number(examinee.out, y[row, 0])}; of x + {float(constants[which, row])!r}:"
            f" {number(examinee.out, there[which, row])}, beyond the bound of the tier fast"
        )

    return Examined(differs.any(axis=0), shifted.any(axis=0), note)


def _called(examinee: Examinee, x: Array) -> tuple[Array, Flags]:
    """Return outputs of rows and which completed."""
    outcome = examinee.call(x)
    y = examinee.no_outputs(*x.shape) if outcome.outputs is None else outcome.outputs
    return y, outcome.completed


def exact_shifts(fmt: FloatFormat, x: Array, within: LogitRange | None = None) -> tuple[Array, Floats]:
    """Return rows moved by constants so that every x + c is exact.

    Args:
        fmt: the format.
        x: rows (k, n).
        within: the range that moved entries must be in; None for any.

    Returns:
        The moved rows, (m k, n), and the constants, (m, k); c is 0, and the row as it is, where
        no such c was found.
    """
    values = fmt.to_float64(x)
    constants = np.stack([*_constants(fmt, values)])
    with np.errstate(invalid="ignore", over="ignore"):
        exact = (_is_exact(fmt, values, constants[..., None])).all(axis=2)
        constants = np.where(
            exact & (fmt.to_float64(fmt.from_float64(constants)) == constants), constants, 0.0
        )
        moved = fmt.from_float64(values + constants[..., None])
    if within is not None:
        held = within.holds(fmt, moved.reshape(-1, x.shape[1])).reshape(constants.shape)
        constants = np.where(held, constants, 0.0)
    moved = np.where((constants == 0)[..., None], x, moved)
    return moved.reshape(-1, x.shape[1]), constants


def _constants(fmt: FloatFormat, values: Floats) -> Iterator[Floats]:
    """Yield multiples of what divides all entries of a row, small and large; and what makes an end 0."""
    finite = np.where(np.isfinite(values), values, 0.0)
    quantum = np.ldexp(1.0, _quantum(finite).min(axis=1, initial=2000).clip(-1074, 1000))
    largest = np.abs(finite).max(axis=1)
    top = np.ldexp(1.0, np.frexp(largest)[1].clip(-1074, 1000))
    with np.errstate(over="ignore"):
        room = quantum * 2.0 ** (fmt.precision - 1)
    for c in (quantum, -quantum, top, -top, room, -room, -finite.max(axis=1), -finite.min(axis=1)):
        yield np.where(np.isfinite(c), c, 0.0)


def _quantum(values: Floats) -> NDArray[np.int64]:
    """Return the exponent of the lowest bit of each value; 2000 for zero."""
    fraction, exponent = np.frexp(values)
    significand = np.ldexp(fraction, 53).astype(np.int64)
    lowest = np.frexp((significand & -significand).astype(np.float64))[1] - 1
    return np.where(significand == 0, 2000, exponent - 53 + lowest)


def _is_exact(fmt: FloatFormat, a: Floats, b: Floats) -> Flags:
    """Tell where a + b is a number of the format (Knuth's TwoSum); a masked entry stays one."""
    s = a + b
    virtual = s - a
    error = (a - (s - virtual)) + (b - virtual)
    kept = (error == 0) & (fmt.to_float64(fmt.from_float64(s)) == s) & np.isfinite(s)
    return np.asarray(kept | np.isneginf(a))


# Order -----------------------------------------------------------------------------------


def _permutes(examinee: Examinee, x: Array) -> Examined:
    if x.shape[1] < 2:
        return Examined.nothing(len(x))
    y, done = examinee.judged(x)
    orders = np.stack([*_orders(examinee.format.to_float64(x))])
    moved = np.take_along_axis(np.broadcast_to(x, orders.shape), orders, axis=2)
    there, completed = _called(examinee, np.ascontiguousarray(moved.reshape(-1, x.shape[1])))
    there = there.reshape(*orders.shape[:2], y.shape[1])
    completed = completed.reshape(orders.shape[:2])
    wanted = np.broadcast_to(y, there.shape)
    if not examinee.subject.op.reduces:
        wanted = np.take_along_axis(wanted, orders, axis=2)
    differs = done & completed & ~same_bits(examinee.out, there, wanted).all(axis=2)

    def note(row: int) -> str:
        which = int(np.argmax(differs[:, row]))
        this, that = differing_entry(examinee.out, there[which, row], wanted[which, row])
        more = ", ..." if orders.shape[2] > SHOWN else ""
        order = ", ".join(map(str, orders[which, row][:SHOWN].tolist()))
        return f"in the order x[{order}{more}], {this}; in the given order it is {that}"

    return Examined(np.asarray(differs.any(axis=0)), done, note)


def _orders(values: Floats) -> Iterator[NDArray[np.int64]]:
    """Yield other orders of each row: reversed, rotated, sorted both ways, shuffled."""
    length = values.shape[1]
    index = np.arange(length)
    yield np.broadcast_to(index[::-1], values.shape)
    yield np.broadcast_to(np.roll(index, 1), values.shape)
    ascending = np.argsort(values, axis=1, kind="stable")
    yield ascending
    yield ascending[:, ::-1]
    yield np.broadcast_to(np.argsort(Words(("order", length)).uniform((length,))), values.shape)


def _is_monotone(examinee: Examinee, x: Array) -> Examined:
    if x.shape[1] < 2:
        return Examined.nothing(len(x))
    y, values, tried = _outputs(examinee, x)
    logits = examinee.format.to_float64(x)
    order = np.lexsort((values, logits), axis=1)  # of ties, the smaller output first
    sorted_x, sorted_y = (np.take_along_axis(a, order, axis=1) for a in (logits, values))
    tie = sorted_x[:, 1:] == sorted_x[:, :-1]
    wrong = (sorted_y[:, 1:] < sorted_y[:, :-1]) | (tie & (sorted_y[:, 1:] != sorted_y[:, :-1]))

    def note(row: int) -> str:
        i = int(np.argmax(wrong[row]))
        a, b = (int(order[row, j]) for j in (i, i + 1))
        (xa, ya), (xb, yb) = (
            (number(examinee.format, x[row, k]), number(examinee.out, y[row, k])) for k in (a, b)
        )
        return f"x[{a}] = {xa} gives {ya}, x[{b}] = {xb} gives {yb}"

    return Examined(np.asarray(tried & wrong.any(axis=1)), tried, note)


def _unless_summing(op: Op) -> str:
    return f"outputs of {op} do not sum to 1" if op.logarithmic or op.fused.sink is not None else ""


def _unless_of_entries(op: Op) -> str:
    return f"{op} has one result a row" if op.reduces else ""


def _unless_moved(op: Op) -> str:
    if op.fused.sink is not None:
        return "a sink does not move with the logits"
    return "a scaled x + c is rounded elsewhere than a scaled x" if op.fused.scale != 1 else ""


def _unless_reversed(op: Op) -> str:
    return f"the scale of {op} turns the order round" if op.fused.scale < 0 else _unless_of_entries(op)


def _check(
    name: str,
    title: str,
    rule: str,
    examine: Callable[..., Examined],
    consequence: str,
    says_nothing_of: Callable[[Op], str] = lambda _: "",
) -> Check:
    return Check(name, "property", title, rule, examine, consequence, says_nothing_of=says_nothing_of)


PROPERTIES: Final = (
    _check(
        "range",
        "outputs in range",
        "Every finite output lies in [0, 1]; of log_softmax it is at most 0.",
        _in_range,
        "e / sum stays at or below 1 where the computed sum is no less than each of its terms; exp(x - lse),"
        " a rounded reciprocal or a rescaled sum may give the numbers next to 1.",
        _unless_of_entries,
    ),
    _check(
        "row_sum",
        "exact sum of the outputs near 1",
        "The exact sum of finite outputs lies within n u / (1 - n u) + n eta / 2 of 1, for n u < 1.",
        _sums_to_one,
        "Dividing all by one sum of n terms keeps it, since errors of exp cancel. In exp(x - lse) the"
        " rounding of lse does not cancel; rescaled sums round more than n times.",
        _unless_summing,
    ),
    _check(
        "shift",
        "invariant under an exact shift",
        "If every x + c is exact, the outputs of x + c have the bits of those of x. For logsumexp, the"
        " result of x + c meets the tier fast if that of x does.",
        _shifts,
        "Forms that subtract the maximum see the same differences. The plain form, and one shifted by a"
        " constant, exponentiate other numbers; exp(x - lse) rounds lse elsewhere.",
        _unless_moved,
    ),
    _check(
        "permutation",
        "outputs follow the order of entries",
        "Reversed, rotated, sorted and shuffled rows give the same bits, in that order.",
        _permutes,
        "Addition is not associative in floating point: another order of three or more terms gives another"
        " sum. Only a correctly rounded softmax, or a sum that no order changes, keeps the bits.",
    ),
    _check(
        "monotone",
        "a larger logit has no smaller output, equal ones have equal outputs",
        "Finite outputs of a row are in the order of its logits, and equal where logits are equal.",
        _is_monotone,
        "It needs a monotone exp. One that is not correctly rounded need not be monotone, and a vector"
        " loop and its scalar tail may round equal entries differently.",
        _unless_reversed,
    ),
)
