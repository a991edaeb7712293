"""Softmax algorithms run step by step in any format, with an exp that is as wrong as it may be.

Every step is taken in binary64 and rounded once to the format (for at most 25 bits that is innocuous:
Figueroa, When is double rounding innocuous?, SIGNUM 1995; binary64 itself needs no second rounding). The
exp is pushed: +1 takes the largest number of the format within c ULP of the exact value,
-1 the smallest. Which way each one is pushed, a test chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.declaration import Algorithm
from reference.formats import FORMATS, FloatFormat

Floats = NDArray[np.float64]
LN2 = 0.6931471805599453
_EXPONENT = 0x7FF << 52


@dataclass(frozen=True)
class Machine:
    """Arithmetic in a format, with an exp good to `exp_ulps`."""

    fmt: FloatFormat
    exp_ulps: float
    one_at_zero: bool = False

    def round(self, value: Floats) -> Floats:
        return self._kept(value, np.rint) if self.fmt.precision < 53 else value

    def exp(self, t: Floats, push: Floats) -> Floats:
        return self._settled(t, self._pushed(np.exp(t), push * self.exp_ulps))

    def exp2(self, t: Floats, push: Floats) -> Floats:
        return self._settled(t, self._pushed(np.exp2(t), push * self.exp_ulps))

    def _settled(self, t: Floats, pushed: Floats) -> Floats:
        """Put in what is known of exp: 0 at -inf, and 1 at 0 where that is promised."""
        settled = np.where(t == -np.inf, 0.0, pushed)
        return np.where(t == 0, 1.0, settled) if self.one_at_zero else settled

    def log(self, s: Floats, push: Floats) -> Floats:
        return self._pushed(np.log(s), push * 1.5 * self.exp_ulps)

    def _pushed(self, exact: Floats, ulps: Floats) -> Floats:
        """The number next to exact + ulps, towards exact; one ULP is left to binary64's own exp."""
        if self.fmt.precision == 53:
            ulps = np.sign(ulps) * np.maximum(np.floor(np.abs(ulps) - 1), 0)
        wanted = exact + ulps * self._quantum(exact)
        return self._towards(np.where(exact < 0, wanted, np.maximum(wanted, 0.0)), ulps)

    def _towards(self, wanted: Floats, ulps: Floats) -> Floats:
        down, up = self._kept(wanted, np.floor), self._kept(wanted, np.ceil)
        down = np.where(wanted < np.inf, np.minimum(down, float(self.fmt.largest)), down)
        return np.where(ulps > 0, down, np.where(ulps < 0, up, self.round(wanted)))

    def _kept(self, value: Floats, whole: Callable[[Floats], Floats]) -> Floats:
        """Round to whole numbers of the last place; powers of two scale exactly."""
        quantum = self._quantum(value)
        kept = np.where(np.isfinite(value), whole(value / quantum) * quantum, value)
        beyond = np.inf if self.fmt.has_infinity else np.nan
        return np.where(np.abs(kept) > float(self.fmt.largest), np.copysign(beyond, kept), kept)

    def _quantum(self, value: Floats) -> Floats:
        """What the last place of a number is worth, from the field of its exponent."""
        field = np.asarray(value, dtype=np.float64).view(np.int64) & _EXPONENT
        last = field.view(np.float64) * 2.0 ** (1 - self.fmt.precision)
        return np.maximum(last, float(self.fmt.smallest_subnormal))


def machine_of(algorithm: Algorithm, fmt: FloatFormat) -> Machine:
    """The machine that an algorithm runs on."""
    inside = FORMATS[algorithm.arithmetic] if algorithm.arithmetic else fmt
    return Machine(inside, algorithm.exp_ulps, algorithm.one_at_zero)


def run(algorithm: Algorithm, fmt: FloatFormat, x: Floats, push: Floats, first: int = -1) -> Floats:
    """Outputs of an algorithm for (rows, n) logits; push has the shape of x.

    Split rows are cut into blocks of two from `first` on, which is 0 or, for a first block of one entry, -1.
    """
    machine = machine_of(algorithm, fmt)
    with np.errstate(all="ignore"):
        y = (
            _online(algorithm, machine, x, push)
            if algorithm.argument == "running"
            else _two_pass(algorithm, machine, x, push, first)
        )
        return fmt.to_float64(fmt.from_float64(y))


def by_the_logarithm(algorithm: Algorithm, fmt: FloatFormat, x: Floats, push: Floats) -> Floats:
    """Outputs exp(t - log s), t = x - max, every step rounded and each of both exps pushed."""
    machine = machine_of(algorithm, fmt)
    with np.errstate(all="ignore"):
        t = machine.round(x - x.max(axis=1, keepdims=True))
        s = _sum(algorithm, machine, machine.exp(t, push))[:, None]
        y = machine.exp(machine.round(t - machine.round(np.log(s))), push)
        return fmt.to_float64(fmt.from_float64(y))


def cuts(algorithm: Algorithm) -> tuple[int, ...]:
    """Where `run` may begin the blocks of split rows; one value where nothing is split."""
    return (-1, 0) if algorithm.rescaled else (-1,)


def pushes(x: Floats, rng: np.random.Generator, extra: int) -> Iterator[Floats]:
    """Every entry against all others, both ways, then some at random."""
    for i in range(x.shape[1]):
        for sign in (1.0, -1.0):
            push = np.full(x.shape, -sign)
            push[:, i] = sign
            yield push
    for _ in range(extra):
        yield rng.choice([-1.0, 0.0, 1.0], size=x.shape)


def rows_rounding_one_way(fmt: FloatFormat, rng: np.random.Generator, count: int) -> Floats:
    """The triples of many in which all four roundings of exp2(a log2 e) exp2(b log2 e) go furthest one way.

    The second entry is the least, and the third lies between it and the maximum.
    """
    drawn = 100 * count
    depth = min(-LN2 * fmt.emin, float(fmt.largest) / 4)
    top, span = rng.normal(size=drawn), depth * rng.random(drawn)
    machine = Machine(fmt, 0.0)
    x = machine.round(np.stack([top, top - span, top - span * rng.random(drawn)], axis=1))
    t, gap, factor = x[:, 1] - x[:, 2], x[:, 2] - x[:, 0], machine.round(np.array(1 / LN2))
    computed = sum(machine.round(machine.round(part) * factor) for part in (t, gap)) * LN2
    exact = t + gap
    return x[np.argsort(-np.abs(computed - exact) / np.maximum(-exact, 1.0))[:count]]


def rows_past_a_power_of_two(fmt: FloatFormat, rng: np.random.Generator, count: int) -> Floats:
    """Triples whose least entry lies so deep that rounding the difference costs most of what it may."""
    deepest = min(-LN2 * fmt.emin, float(fmt.largest) / 4)
    gap = 2.0 ** np.floor(np.log2(deepest)) * (1 + 0.35 * rng.random(count))
    top = rng.random(count)
    return Machine(fmt, 0.0).round(np.stack([top, top - gap, top - 0.3 - rng.random(count)], axis=1))


def near(fmt: FloatFormat, x: Floats, rng: np.random.Generator, copies: int) -> Floats:
    """Rows and copies of them whose entries are moved by up to eight places."""
    rows = np.repeat(x, copies, axis=0)
    ordinals = fmt.ordinals(fmt.to_bits(fmt.from_float64(rows)))
    moved = ordinals + rng.integers(-8, 9, size=rows.shape) * (np.isfinite(rows) & (rows != 0))
    values = fmt.to_float64(fmt.from_bits(fmt.from_ordinals(moved)))
    return np.concatenate([x, np.where(np.isfinite(values), values, rows)])


# Algorithms ------------------------------------------------------------------------------


def _exponential(algorithm: Algorithm, machine: Machine, t: Floats, push: Floats) -> Floats:
    if not algorithm.exp2:
        return machine.exp(t, push)
    factor = machine.round(np.array(1.4426950408889634))
    return machine.exp2(machine.round(t * factor), push)


def _two_pass(algorithm: Algorithm, machine: Machine, x: Floats, push: Floats, first: int) -> Floats:
    if algorithm.rescaled:
        return _split(algorithm, machine, x, push, first)
    top = x.max(axis=1, keepdims=True)
    shift = {"plain": np.zeros(1), "constant": np.array([algorithm.constant]), "shifted": -top}
    t = machine.round(x + shift[algorithm.argument])
    e = _exponential(algorithm, machine, t, push)
    s = _sum(algorithm, machine, e)[:, None]
    if algorithm.division != "none":
        return _divided(algorithm, machine, e, s)
    log = machine.log(s, -push)
    lse = log if algorithm.argument == "plain" else machine.round(top + log)
    return machine.exp(machine.round(x - lse), push)


def _split(algorithm: Algorithm, machine: Machine, x: Floats, push: Floats, first: int) -> Floats:
    """Blocks of two entries, each summed against its own maximum, then rescaled.

    Both exponentials of an entry may be off by half of the ULPs, and one that is alone by all of them: where
    the block holds the row's maximum, or nothing but its own.
    """
    top = x.max(axis=1, keepdims=True)
    half = replace(machine, exp_ulps=machine.exp_ulps / 2)
    sums, outputs = [], []
    for start in range(first, x.shape[1], 2):
        block_of = slice(max(start, 0), start + 2)
        part, pushed = x[:, block_of], push[:, block_of]
        own = part.max(axis=1, keepdims=True)
        t = np.where(own == -np.inf, -np.inf, machine.round(part - own))
        gap = machine.round(own - top)
        e = np.where(gap == 0, *(_exponential(algorithm, m, t, pushed) for m in (machine, half)))
        alone = machine if part.shape[1] == 1 else half
        factor = _exponential(algorithm, alone, gap, _odd_one_out(push, block_of))
        block = np.where(own == -np.inf, 1.0, _sum(algorithm, machine, e)[:, None])
        sums.append(machine.round(block * factor))
        outputs.append(machine.round(machine.round(e / block) * sums[-1]))
    s = _sum(algorithm, machine, np.concatenate(sums, axis=1))[:, None]
    return _divided(algorithm, machine, np.concatenate(outputs, axis=1), s)


def _odd_one_out(push: Floats, block: slice) -> Floats:
    """The push of the entry of a block that is pushed against most, else of its first."""
    most = np.sign(push.sum(axis=1, keepdims=True))
    pushed = push[:, block]
    return np.where((pushed * most < 0).any(axis=1, keepdims=True), -most, pushed[:, :1])


def _divided(algorithm: Algorithm, machine: Machine, e: Floats, s: Floats) -> Floats:
    if algorithm.division == "divide":
        return machine.round(e / s)
    return machine.round(e * machine.round(1 / s))


def _online(algorithm: Algorithm, machine: Machine, x: Floats, push: Floats) -> Floats:
    """Milakov and Gimelshein's one pass, rescaling where the maximum grows."""
    top, s = x[:, 0], _exponential(algorithm, machine, np.zeros(len(x)), push[:, 0])
    s = np.where(top == -np.inf, 0.0, s)
    for column, pushed in zip(x.T[1:], push.T[1:], strict=True):
        larger = np.maximum(top, column)
        gap = np.where(top == -np.inf, -np.inf, machine.round(top - larger))
        factor = np.where(gap == 0, 1.0, _exponential(algorithm, machine, gap, pushed))
        entry = np.where(column == -np.inf, -np.inf, machine.round(column - larger))
        e = _exponential(algorithm, machine, entry, pushed)
        s = machine.round(machine.round(s * factor) + e)
        top = larger
    e = _exponential(algorithm, machine, machine.round(x - top[:, None]), push)
    return _divided(algorithm, machine, e, s[:, None])


Adder = Callable[[Machine, Floats], Floats]


def _sum(algorithm: Algorithm, machine: Machine, e: Floats) -> Floats:
    add, kept = ADDERS[algorithm.summation], algorithm.accumulator_precision
    if kept is None:
        return add(machine, e)
    assert kept >= machine.fmt.precision
    return machine.round(add(Machine(_ACCUMULATORS[kept], 0.0), e))


_ACCUMULATORS: dict[int, Any] = {24: FORMATS["float32"], 53: FORMATS["float64"]}


def sum_one_by_one(machine: Machine, e: Floats) -> Floats:
    s = e[:, 0]
    for column in e.T[1:]:
        s = machine.round(s + column)
    return s


def _halving(machine: Machine, e: Floats) -> Floats:
    n = e.shape[1]
    if n == 1:
        return e[:, 0]
    return machine.round(_halving(machine, e[:, : n // 2]) + _halving(machine, e[:, n // 2 :]))


def sum_in_lanes(machine: Machine, e: Floats) -> Floats:
    """Four lanes, joined one by one, and the rest one by one at the end: the least that counts as lanes."""
    lanes, whole = 4, e.shape[1] // 4 * 4
    if not whole:
        return sum_one_by_one(machine, e)
    kept = [sum_one_by_one(machine, e[:, lane:whole:lanes]) for lane in range(lanes)]
    return sum_one_by_one(machine, np.column_stack([*kept, e[:, whole:]]))


def kahan_sum(machine: Machine, e: Floats) -> Floats:
    s, c = np.zeros(len(e)), np.zeros(len(e))
    for column in e.T:
        y = machine.round(column - c)
        larger = machine.round(s + y)
        c = machine.round(machine.round(larger - s) - y)
        s = larger
    return s


ADDERS: dict[str, Adder] = {
    "sequential": sum_one_by_one,
    "pairwise": _halving,
    "lanes": sum_in_lanes,
    "compensated": kahan_sum,
}
