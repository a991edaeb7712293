"""Softmax and its logarithms in ball arithmetic: the tests' second opinion, sharing no code with mpmath.

Arb (Johansson, IEEE Trans. Computers 66, 2017, through python-flint) returns balls that
contain the exact value by construction. What is checked is a claim about r, given as RN(r) and a
residual: on which side of RN(r), and of the midpoint on that side, r lies must be certain
before anything is compared. `contradictions` returns what Arb refutes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq, fmpz

from reference.formats import FloatFormat
from reference.fused import Fused
from reference.model import RESIDUAL_TOLERANCE, Truth
from reference.row_kinds import RowKind

MOST_BITS = 1 << 14
NARROW = 30


def exact(value: float | Fraction) -> fmpq:
    """The rational number that a float64, or a fraction, stands for."""
    return fmpq(*(fmpz(part) for part in value.as_integer_ratio()))


def two_to(exponent: int) -> fmpq:
    return fmpq(2) ** int(exponent)


def raised_until(evaluate: Callable[[], Any], decided: Callable[[Any], bool], bits: int = 160) -> Any:
    """Evaluate at rising precision until decided."""
    while bits <= MOST_BITS:
        with ctx.workprec(bits):
            result = evaluate()
            if decided(result):
                return result
        bits *= 2
    raise AssertionError(f"Arb does not decide with {MOST_BITS} bits: {result}")


class Row:
    """One row's unmasked entries, as balls at the current precision."""

    def __init__(self, row: Sequence[float | Fraction]) -> None:
        self.counts = Counter(v for v in row if v != -math.inf)
        self.top = max(self.counts)
        self.ties = self.counts[self.top]

    def _weight(self, v: float) -> arb:
        return arb(exact(v) - exact(self.top)).exp()

    def _rest(self) -> arb:
        return sum((c * self._weight(v) for v, c in self.counts.items() if v != self.top), arb(0))

    def excesses(self, points: Sequence[tuple[float, fmpq]]) -> list[arb]:
        """Balls of r - q for pairs (logit, q)."""
        raise NotImplementedError

    def decided_excesses(self, points: Sequence[tuple[float, fmpq]], width: Sequence[arb] = ()) -> list[arb]:
        """`excesses`, each with a certain sign, or exactly zero, and none wider than its width."""

        def are_decided(balls: list[arb]) -> bool:
            narrow = all(ball.rad() <= most for ball, most in zip(balls, width, strict=False))
            return narrow and all(sign(ball) is not None for ball in balls)

        return raised_until(lambda: self.excesses(points), are_decided)


class Softmax(Row):
    """One row's softmax."""

    def probability(self, v: float) -> arb:
        """A ball that contains r for the logit v."""
        return self._weight(v) / (self.ties + self._rest())

    def excesses(self, points: Sequence[tuple[float, fmpq]]) -> list[arb]:
        """Balls of r - q for pairs (logit, q); at the maximum r = 1/c - t / (c (c + t))."""
        rest = self._rest()
        total = self.ties + rest
        deficit = rest / (self.ties * total)
        return [
            arb(fmpq(1, self.ties) - q) - deficit if v == self.top else self._weight(v) / total - arb(q)
            for v, q in points
        ]


class LogSoftmax(Row):
    """One row's log_softmax, v - max - log(c + t)."""

    def log(self) -> arb:
        """The logarithm of c + t in a ball; exactly 0 of a single entry."""
        if self.counts.total() == 1:
            return arb(0)
        return (self._rest() + (self.ties - 1)).log1p()

    def excesses(self, points: Sequence[tuple[float, fmpq]]) -> list[arb]:
        log = self.log()
        return [arb(exact(v) - exact(self.top) - q) - log for v, q in points]


class LogSumExp(LogSoftmax):
    """One row's logsumexp, max + log(c + t)."""

    def excesses(self, points: Sequence[tuple[float, fmpq]]) -> list[arb]:
        log = self.log()
        return [arb(exact(self.top) - q) + log for _, q in points]


BALLS = {"softmax": Softmax, "log_softmax": LogSoftmax, "logsumexp": LogSumExp}
MASKED = {"softmax": (0.0, 0.0), "log_softmax": (-math.inf, 0.0)}


def sign(ball: arb) -> int | None:
    """The sign of every number in the ball, None where it is uncertain."""
    if ball > 0:
        return 1
    if ball < 0:
        return -1
    return 0 if ball.is_exact() else None


@dataclass(frozen=True)
class Claim:
    """What a truth says about the element of one logit."""

    logit: float
    nearest: float
    residual: float
    format: FloatFormat

    def __str__(self) -> str:
        x, nearest = float(self.logit).hex(), self.nearest.hex()
        return f"x={x}: RN(r)={nearest}, residual {self.residual!r} in {self.format}"

    @property
    def side(self) -> int:
        return int(np.sign(self.residual))

    @property
    def ulp_exponent(self) -> int:
        """That of r: of the binade below where RN(r) is a power of two and r is smaller."""
        if math.isinf(self.nearest):  # it stands for 2^1024
            return 1024 - self._is_nearer_to_zero - self.format.precision + 1
        significand, exponent = math.frexp(abs(self.nearest))
        exponent -= 1 + (significand == 0.5 and self._is_nearer_to_zero)
        return (
            (max(exponent, self.format.emin) if self.nearest else self.format.emin)
            - self.format.precision
            + 1
        )

    @property
    def _is_nearer_to_zero(self) -> bool:
        return self.side * math.copysign(1.0, self.nearest) < 0

    @property
    def points(self) -> list[tuple[float, fmpq]]:
        """RN(r), and the midpoint between it and its neighbour on the side of r."""
        infinite = math.isinf(self.nearest)
        nearest = int(math.copysign(1, self.nearest)) * two_to(1024) if infinite else exact(self.nearest)
        return [(self.logit, nearest), (self.logit, nearest + self.side * two_to(self.ulp_exponent - 1))]

    def holds(self, over_nearest: arb, over_midpoint: arb) -> bool:
        in_ulps = over_nearest * arb(two_to(-self.ulp_exponent))
        tolerance = max(RESIDUAL_TOLERANCE, 2.0**-52 * abs(self.residual))
        return (
            sign(over_nearest) == self.side
            and (self._is_nearest(over_midpoint) or self._ties_to_even(over_midpoint))
            and bool(abs(in_ulps - arb(self.residual)) <= tolerance)
        )

    def _is_nearest(self, over_midpoint: arb) -> bool:
        beyond = math.isinf(self.nearest) and not self._is_nearer_to_zero
        return self.side == 0 or beyond or sign(over_midpoint) == -self.side

    def _ties_to_even(self, over_midpoint: arb) -> bool:
        return sign(over_midpoint) == 0 and math.ldexp(self.nearest, -self.ulp_exponent) % 2 == 0


def contradictions(x: np.ndarray, truth: Truth, op: str = "softmax") -> list[str]:
    """Every claim about (rows, n) logits that Arb refutes, as readable lines."""
    return contradictions_of(x.tolist(), truth, op)


def fused_rows(x: np.ndarray, fused: Fused) -> list[list[float | Fraction]]:
    """s x with the sink at the end, by fractions; a masked entry stays masked, whatever the sign of s."""
    scale = Fraction(fused.scale)

    def product(v: float) -> float | Fraction:
        if fused.scale == 1 or (v == -math.inf and (fused.mask or fused.scale > 0)):
            return v
        return scale * Fraction(v) if math.isfinite(v) else fused.scale * v

    end = [] if fused.sink is None else [fused.sink]
    return [[*map(product, row), *end] for row in x.tolist()]


def contradictions_of(rows: Sequence[Sequence[float | Fraction]], truth: Truth, op: str) -> list[str]:
    """The same of rows of exact numbers; a row may be longer than its results by a sink that has none."""
    lines: list[str] = []
    for i, row in enumerate(rows):
        nearest, residual = truth.nearest[i].tolist(), truth.residual[i].tolist()
        logits = [max(row)] if op == "logsumexp" else row
        if RowKind(truth.kinds[i]).is_policy:
            refuted = [] if np.isnan(nearest + residual).all() else ["a policy row with a number"]
        else:
            triples = set(zip(logits[: len(nearest)], nearest, residual, strict=True))
            refuted = _refuted(BALLS[op](row), triples, truth.format, op)
        lines += [f"row {i}, {line}" for line in refuted]
    return lines


def _refuted(row: Row, triples: set[tuple[float, float, float]], fmt: FloatFormat, op: str) -> list[str]:
    of_masked = [(n, r) for v, n, r in triples if v == -math.inf]
    masked = [f"masked entry: {n.hex()}, {r!r}" for n, r in of_masked if (n, r) != MASKED[op]]
    claims = [Claim(v, n, r, fmt) for v, n, r in triples if v != -math.inf]
    narrow = [arb(two_to(claim.ulp_exponent - NARROW)) for claim in claims for _ in range(2)]
    balls = row.decided_excesses([point for claim in claims for point in claim.points], narrow)
    with ctx.workprec(256):
        pairs = zip(claims, balls[::2], balls[1::2], strict=True)
        return masked + [str(claim) for claim, *over in pairs if not claim.holds(*over)]
