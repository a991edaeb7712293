"""The lengths at which a softmax goes wrong, where it does so at some alone.

Of every length there are three rows whose results are known: two equal entries at the ends and nothing
between, equal entries high above 0, and a ramp. What is wrong of a length is told from what is sound by
factors, not by units in the last place, as the ways in which a sum may honestly be added differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.questions import Questions

__all__ = ["Lengths", "scanned"]

EVERY: Final = 300
"""Up to here every length is asked: every rest of a division by up to 128, behind the first block."""

OF_SLOW: Final = 130
"""The longest rows that a slow candidate is asked."""

FURTHER: Final = (
    *(round(EVERY * 1.04**k) for k in range(1, 50)),
    *range(1024, 1034),
    *range(2047, 2562),
    *(2**k + side for k in range(12, 18) for side in (-1, 0, 1)),
    *(3 * 2**k for k in range(10, 16)),
    32_000,
    32_064,
    50_257,
    60_000,
    70_001,
    128_256,
    140_000,
    151_936,
    262_145,
    300_001,
    500_001,
)
"""And these: a twenty-fifth apart, every rest of 512, about the powers of two and between, vocabularies."""

MODULI: Final = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Lengths:
    """Which lengths are wrong, of those that were tried.

    Attributes:
        tried: in order.
        odd: the wrong ones, in order.
    """

    tried: tuple[int, ...]
    odd: tuple[int, ...]

    @property
    def some(self) -> bool:
        """Whether some are wrong and others are not."""
        return 0 < len(self.odd) < len(self.tried)

    def rule(self) -> str:
        """Return what the wrong lengths, and no sound one that was tried, have in common; else some."""
        if len(self.odd) == 1:
            return f"at n = {self.odd[0]}, and at no other of {len(self.tried)} lengths"
        if (first := self._first_rule()) is not None:
            return first[0]
        some = ", ".join(str(n) for n in self.odd[:3])
        return f"at {len(self.odd)} of {len(self.tried)} lengths, such as {some}"

    def _first_rule(self) -> tuple[str, Callable[[int], bool]] | None:
        odd = set(self.odd)
        held = (
            (said, holds)
            for said, holds in _rules(self.odd)
            if all(holds(n) == (n in odd) for n in self.tried)
        )
        return next(held, None)

    def untried(self) -> tuple[int, ...]:
        """Return a few lengths that were not tried, and are wrong by the rule."""
        first = self._first_rule() if self.some and len(self.odd) > 1 else None
        if first is None:
            return ()
        tried, holds = set(self.tried), first[1]
        starts = (self.odd[0], self.odd[len(self.odd) // 2], self.odd[-1])
        found = (
            next((n for n in range(start, self.tried[-1]) if n not in tried and holds(n)), None)
            for start in starts
        )
        return tuple(sorted({n for n in found if n is not None}))

    def chosen(self, most: int = 3) -> tuple[int, ...]:
        """Return a few of the wrong lengths, short ones for choice."""
        at = np.unique(np.linspace(0, min(len(self.odd) - 1, 40), most, dtype=int)).tolist()
        return tuple(self.odd[i] for i in at)


def _rules(odd: Sequence[int]) -> Iterator[tuple[str, Callable[[int], bool]]]:
    first, last = odd[0], odd[-1]
    yield f"in rows of {first} entries and more", lambda n: n >= first
    yield f"in rows of {first} to {last} entries", lambda n: first <= n <= last
    for side, said in ((0, ""), (-1, "one less than "), (1, "one more than ")):
        yield f"where n is {said}a power of two, from {first} on", partial(_is_near_power, first, side)
    for modulus in MODULI:
        rests = {n % modulus for n in odd}
        named = ", ".join(str(rest) for rest in sorted(rests))
        if rests == set(range(1, modulus)):
            said = f"where n is not divisible by {modulus}"
        elif len(rests) <= 4 and len(odd) >= 2 * len(rests):  # each was seen again
            said = f"where n mod {modulus} is {named}"
        else:
            continue
        yield said, lambda n, m=modulus, r=rests: n % m in r  # type: ignore[misc]
        yield f"{said}, from {first} on", lambda n, m=modulus, r=rests: n >= first and n % m in r  # type: ignore[misc]


def _is_near_power(first: int, side: int, n: int) -> bool:
    power = n - side
    return n >= first and power & (power - 1) == 0


def scanned(questions: Questions) -> Lengths:
    """Ask every short length, some long ones, and some that are wrong by the rule read off these."""
    lengths = [*range(2, EVERY + 1), *sorted({n for n in FURTHER if n > EVERY})]
    if questions.is_slow:
        lengths = [n for n in lengths if n <= OF_SLOW]
    seen = Lengths(tuple(lengths), tuple(n for n in lengths if not _is_sound(questions, n)))
    for _ in MODULI:
        fresh = seen.untried()
        wrong = [n for n in fresh if not _is_sound(questions, n)]
        seen = Lengths(tuple(sorted((*seen.tried, *fresh))), tuple(sorted((*seen.odd, *wrong))))
        if len(wrong) == len(fresh):
            break
    return seen


def _is_sound(questions: Questions, n: int) -> bool:
    ramp = -np.arange(n) % 16 / 4.0 - 3.75
    ramp[0] = 0
    x = np.stack([np.full(n, questions.off), np.full(n, _high(questions)), ramp])
    x[0, 0] = x[0, -1] = 0
    y = questions.ask(x)
    out = questions.out
    u, least = 2.0**-out.precision, float(out.smallest_subnormal)
    loose = 8 * u + 2 * n * (2.0**-53 if out.storage_bits == 64 else 2.0**-24)  # n - 1 additions in turn
    alike: NDArray[np.bool_] = np.abs(y[1] * n - 1) <= loose + n * least
    pair = bool((np.abs(y[0, [0, -1]] - 0.5) <= 2 * u).all())
    if n > float(questions.format.largest):  # sums of such rows may overflow, and are excused
        return pair
    total = float(np.exp(ramp).sum())
    off = abs(float(y[2, 0]) * total - 1)
    return pair and bool(alike.all()) and off <= loose + total * least


def _high(questions: Questions) -> float:
    """Return a logit whose exponential overflows in the arithmetics that a softmax of the format may use."""
    return 1000.0 if questions.format.storage_bits == 64 or questions.format.precision == 11 else 128.0
