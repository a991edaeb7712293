"""The lengths at which a softmax goes wrong, where it does so at some alone.

Of every length there are three rows whose results are known: two equal entries at the ends and nothing
between, equal entries high above 0, and a ramp. What is wrong of a length is told from what is sound by
factors, not by units in the last place, as the ways in which a sum may honestly be added differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
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

ROUNDS: Final = 12
"""Times that a rule is tried on further lengths: each halves those among which the first wrong one is."""

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
        if self._rule is not None:
            return self._rule.said
        some = ", ".join(str(n) for n in self.odd[:3])
        return f"at {len(self.odd)} of {len(self.tried)} lengths, such as {some}"

    @cached_property
    def _rule(self) -> _Rule | None:
        odd = set(self.odd)
        rules = _rules(self.odd) if self.some and len(odd) > 1 else ()
        return next((rule for rule in rules if all(rule.holds(n) == (n in odd) for n in self.tried)), None)

    def further(self) -> tuple[int, ...]:
        """Return a few lengths that were not tried, and are wrong by the rule."""
        if self._rule is None:
            return ()
        starts = (self.odd[0], self.odd[len(self.odd) // 2], self.odd[-1])
        found = (next(self._like(start, self.tried[-1]), None) for start in starts)
        return tuple(sorted({n for n in found if n is not None}))

    def halfway(self) -> tuple[int, ...]:
        """Return a length that was not tried, below the wrong ones and above the sound ones like them."""
        if self._rule is None:
            return ()
        below = [n for n in self.tried if n < self.odd[0] and self._rule.is_like(n)]
        between = list(self._like(below[-1] if below else 2, self.odd[0]))
        return (between[len(between) // 2],) if between else ()

    def _like(self, first: int, last: int) -> Iterator[int]:
        """Yield the lengths first..last - 1 that were not tried, and are like the wrong ones."""
        tried, rule = set(self.tried), self._rule
        return (n for n in range(first, last) if rule is not None and rule.is_like(n) and n not in tried)

    def asking(self, questions: Questions, lengths: tuple[int, ...]) -> Lengths:
        """Return the same after so many more questions."""
        wrong = (n for n in lengths if not _is_sound(questions, n))
        return Lengths(tuple(sorted((*self.tried, *lengths))), tuple(sorted((*self.odd, *wrong))))

    def chosen(self, most: int = 3) -> tuple[int, ...]:
        """Return a few of the wrong lengths, short ones for choice."""
        at = np.unique(np.linspace(0, min(len(self.odd) - 1, 40), most, dtype=int)).tolist()
        return tuple(self.odd[i] for i in at)


@dataclass(frozen=True)
class _Rule:
    """A rule of lengths.

    Attributes:
        said: in words.
        is_like: what holds of the wrong lengths; of shorter ones too, which may be sound.
        least: the shortest wrong length, where it is part of the rule.
    """

    said: str
    is_like: Callable[[int], bool]
    least: int = 0

    def holds(self, n: int) -> bool:
        """Tell whether a length is wrong by the rule."""
        return n >= self.least and self.is_like(n)


def _rules(odd: Sequence[int]) -> Iterator[_Rule]:
    first, last = odd[0], odd[-1]
    yield _Rule(f"in rows of {first} entries and more", lambda _: True, first)
    yield _Rule(f"in rows of {first} to {last} entries", lambda n: n <= last, first)
    for side, said in ((0, ""), (-1, "one less than "), (1, "one more than ")):
        beside = partial(_is_beside_power, side)
        yield _Rule(f"where n is {said}a power of two, from {first} on", beside, first)
    for modulus in MODULI:
        rests = frozenset(n % modulus for n in odd)
        named = ", ".join(str(rest) for rest in sorted(rests))
        if rests == set(range(1, modulus)):
            said = f"where n is not divisible by {modulus}"
        elif len(rests) <= 4 and len(odd) >= 2 * len(rests):  # each was seen again
            said = f"where n mod {modulus} is {named}"
        else:
            continue
        leaves = partial(_leaves, modulus, rests)
        yield from (_Rule(said, leaves), _Rule(f"{said}, from {first} on", leaves, first))


def _is_beside_power(side: int, n: int) -> bool:
    power = n - side
    return power & (power - 1) == 0


def _leaves(modulus: int, rests: frozenset[int], n: int) -> bool:
    return n % modulus in rests


def scanned(questions: Questions) -> Lengths:
    """Ask every short length and some long ones, then some that decide whether the rule of these holds."""
    lengths = [*range(2, EVERY + 1), *sorted({n for n in FURTHER if n > EVERY})]
    if questions.is_slow:
        lengths = [n for n in lengths if n <= OF_SLOW]
    seen = Lengths((), ()).asking(questions, tuple(lengths))
    for _ in range(ROUNDS):
        before, seen = seen, seen.asking(questions, seen.further())
        if seen.rule() == before.rule():
            break
    for _ in range(ROUNDS):
        if not (between := seen.halfway()):
            break
        seen = seen.asking(questions, between)
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
