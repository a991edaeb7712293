"""Parts of a row that a maximum or a sum is taken over by mistake, as people call them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Subset", "others", "subsets"]


@dataclass(frozen=True)
class Subset:
    """A part of a row that maxima and sums are taken over by mistake.

    Attributes:
        taken, left: what it is, and what is left out.
        kept: the places of a row of a length.
    """

    taken: str
    left: str
    kept: Callable[[int], Any]


def subsets(*counts: int) -> Iterator[Subset]:
    """Yield the parts of a row that are known by a name; counts are of first entries."""
    yield Subset("the first entry alone", "all but the first entry", lambda _: slice(0, 1))
    yield Subset("the last entry alone", "all but the last entry", lambda _: slice(-1, None))
    yield Subset("every second entry", "every second entry", lambda _: slice(None, None, 2))
    yield Subset("all but the last entry", "the last entry", lambda n: slice(0, max(1, n - 1)))
    yield Subset("all but the first entry", "the first entry", lambda n: slice(1 if n > 1 else 0, None))
    for width in (2, 4, 8, 16, 32, 64, 128):
        left = f"the last n mod {width} entries"
        yield Subset(f"whole vectors of {width}, without {left}", left, _vectors(width))
    for count in counts:
        yield Subset(f"the first {count} entries", f"all but the first {count} entries", _head(count))


def _vectors(width: int) -> Callable[[int], Any]:
    return lambda n: slice(0, n // width * width or n)


def _head(count: int) -> Callable[[int], Any]:
    return lambda _: slice(0, count)


def others(length: int, kept: Callable[[int], Any]) -> list[int]:
    """Return the places of a length that are not kept."""
    return sorted(set(range(length)) - set(np.arange(length)[kept(length)].tolist()))
