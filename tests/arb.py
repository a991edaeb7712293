"""Softmax in ball arithmetic: the tests' second opinion, sharing no code with mpmath.

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
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq, fmpz

from reference.formats import FloatFormat
from reference.model import RESIDUAL_TOLERANCE, Truth
from reference.rows import RowKind

MOST_BITS = 1 << 14


def exact(value: float) -> fmpq:
    """The rational number that a float64 stands for."""
    return fmpq(*(fmpz(part) for part in float(value).as_integer_ratio()))


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


class Softmax:
    """One row's softmax, all but its masked entries, as balls at the current precision."""

    def __init__(self, row: Sequence[float]) -> None:
        self.counts = Counter(v for v in row if v != -math.inf)
        self.top = max(self.counts)
        self.ties = self.counts[self.top]

    def _weight(self, v: float) -> arb:
        return (arb(v) - arb(self.top)).exp()

    def _rest(self) -> arb:
        return sum((c * self._weight(v) for v, c in self.counts.items() if v != self.top), arb(0))

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

    def decided_excesses(self, points: Sequence[tuple[float, fmpq]]) -> list[arb]:
        """`excesses`, each with a certain sign, or exactly zero."""
        return raised_until(
            lambda: self.excesses(points), lambda balls: all(sign(b) is not None for b in balls)
        )


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
        return (
            f"x={self.logit.hex()}: RN(r)={self.nearest.hex()}, residual {self.residual!r} in {self.format}"
        )

    @property
    def side(self) -> int:
        return int(np.sign(self.residual))

    @property
    def ulp_exponent(self) -> int:
        """That of r: of the binade below where RN(r) is a power of two and r is smaller."""
        significand, exponent = math.frexp(self.nearest)
        exponent -= 1 + (significand == 0.5 and self.side < 0)
        return (
            (max(exponent, self.format.emin) if self.nearest else self.format.emin)
            - self.format.precision
            + 1
        )

    @property
    def points(self) -> list[tuple[float, fmpq]]:
        """RN(r), and the midpoint between it and its neighbour on the side of r."""
        half = two_to(self.ulp_exponent - 1)
        return [(self.logit, exact(self.nearest)), (self.logit, exact(self.nearest) + self.side * half)]

    def holds(self, over_nearest: arb, over_midpoint: arb) -> bool:
        in_ulps = over_nearest * arb(two_to(-self.ulp_exponent))
        return (
            sign(over_nearest) == self.side
            and (self.side == 0 or sign(over_midpoint) == -self.side or self._ties_to_even(over_midpoint))
            and bool(abs(in_ulps - arb(self.residual)) <= RESIDUAL_TOLERANCE)
        )

    def _ties_to_even(self, over_midpoint: arb) -> bool:
        return sign(over_midpoint) == 0 and math.ldexp(self.nearest, -self.ulp_exponent) % 2 == 0


def contradictions(x: np.ndarray, truth: Truth) -> list[str]:
    """Every claim about (rows, n) logits that Arb refutes, as readable lines."""
    lines: list[str] = []
    for i, row in enumerate(x.tolist()):
        nearest, residual = truth.nearest[i].tolist(), truth.residual[i].tolist()
        if RowKind(truth.kinds[i]).is_policy:
            refuted = [] if np.isnan(nearest + residual).all() else ["a policy row with a number"]
        else:
            refuted = _refuted(row, nearest, residual, truth.format)
        lines += [f"row {i}, {line}" for line in refuted]
    return lines


def _refuted(row: list[float], nearest: list[float], residual: list[float], fmt: FloatFormat) -> list[str]:
    triples = set(zip(row, nearest, residual, strict=True))
    masked = [f"masked entry: {n.hex()}, {r!r}" for v, n, r in triples if v == -math.inf and (n, r) != (0, 0)]
    claims = [Claim(v, n, r, fmt) for v, n, r in triples if v != -math.inf]
    balls = Softmax(row).decided_excesses([point for claim in claims for point in claim.points])
    with ctx.workprec(256):
        pairs = zip(claims, balls[::2], balls[1::2], strict=True)
        return masked + [str(claim) for claim, *over in pairs if not claim.holds(*over)]
