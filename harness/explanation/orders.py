"""The orders in which sums are added: as code that adds whatever it is given, and as trees.

An order is a function of terms and of what adds two of them. Handed places it builds a tree, handed columns
of numbers it adds them up. A tree is the set of its clades: for every addition, the places that it joins, as
the bits of an integer. A binary tree is determined by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any, Final

__all__ = ["Clades", "Order", "clades", "drawn", "height", "joins", "known_orders", "met"]

Add = Callable[[Any, Any], Any]
Clades = frozenset[int]

INTO_LANES: Final = "into the lanes"
INTO_LANES_OF_LONG_ROWS: Final = "into the lanes, rows of fewer one by one"
BLOCK: Final = 128
LANES: Final = 8
WARP: Final = 32
BLOCKS: Final = (4, 8, 16, 24, 32, 48, 64, 96, 100, 128, 192, 256, 512, 1024)


@dataclass(frozen=True)
class Order:
    """A named order of additions."""

    name: str
    total: Callable[[Sequence[Any], Add], Any]


def clades(order: Order, length: int) -> Clades:
    """Return the tree of an order for rows of a length."""
    found: list[int] = []

    def add(a: int, b: int) -> int:
        found.append(a | b)
        return a | b

    order.total([1 << i for i in range(length)], add)
    return frozenset(found)


def height(tree: Clades, length: int) -> int:
    """Return the most additions that a term goes through."""
    if not tree:
        return 0
    heights: dict[int, int] = {}
    below = _children(tree)
    for clade in sorted(tree, key=int.bit_count):
        heights[clade] = 1 + max((heights.get(child, 0) for child in below[clade]), default=0)
    return heights[(1 << length) - 1]


def met(tree: Clades, first: int, second: int, third: int) -> bool:
    """Tell whether two places are added to each other before either meets the third."""
    both, other = 1 << first | 1 << second, 1 << third
    return any(clade & both == both and not clade & other for clade in tree)


def _children(tree: Clades) -> dict[int, list[int]]:
    """Return what each addition joins: clades, and single places that are in none of them."""
    found: dict[int, list[int]] = {}
    roots: dict[int, int] = {}  # the lowest place of a clade that is in no other yet
    for clade in sorted(tree, key=int.bit_count):
        inside = [root for root in roots.values() if root & clade == root]
        rest = clade & ~sum(inside)
        found[clade] = [*inside, *(1 << i for i in _places(rest))]
        for root in inside:
            del roots[root & -root]
        roots[clade & -clade] = clade
    return found


def _places(clade: int) -> Iterator[int]:
    while clade:
        yield (clade & -clade).bit_length() - 1
        clade &= clade - 1


def joins(tree: Clades, length: int) -> list[list[int]]:
    """Return what each addition joins, in an order in which they can be done.

    Places are numbered from 0, and additions from the length on: `[[0, 1], [3, 2]]` adds the first two places
    of three, and the third to their sum.
    """
    below = _children(tree)
    numbers = {1 << i: i for i in range(length)}
    found: list[list[int]] = []
    for clade in below:  # from the smallest on
        children = sorted(below[clade], key=lambda c: c & -c)
        numbers[clade] = length + len(found)
        found.append([numbers[child] for child in children])
    return found


def drawn(tree: Clades, length: int, most: int = 4) -> str:
    """Return a tree as nested brackets, runs added one by one written `a+b+…+z`."""
    if not tree:
        return "0"
    below = _children(tree)
    lines: list[str] = []

    def write(node: int, depth: int, prefix: str) -> None:
        chain, rest = [], node
        while rest in below and len(below[rest]) == 2:
            single = [c for c in below[rest] if c.bit_count() == 1]
            if not single:
                break
            larger = max(below[rest], key=int.bit_count)
            chain.append(next(c for c in below[rest] if c != larger))
            rest = larger
            if rest.bit_count() == 1:
                break
        names = [str(next(_places(c))) for c in reversed(chain)]
        if rest.bit_count() == 1:
            names.insert(0, str(next(_places(rest))))
            lines.append(prefix + _run(names))
            return
        if names:
            lines.append(f"{prefix}+ then {_run(names)}")
            write(rest, depth + 1, prefix + "  ")
            return
        lines.append(f"{prefix}+")
        if depth > 2 * most:
            lines.append(f"{prefix}  {rest.bit_count()} places")
            return
        for child in sorted(below[rest], key=lambda c: c & -c):
            write(child, depth + 1, prefix + "  ")

    write((1 << length) - 1, 0, "")
    return "\n".join(lines)


def _run(names: Sequence[str]) -> str:
    return "+".join(names if len(names) <= 6 else [*names[:3], "…", *names[-2:]])


# The orders that are known -----------------------------------------------------------------


def _one_by_one(terms: Sequence[Any], add: Add) -> Any:
    return reduce(add, terms)


def _backwards(terms: Sequence[Any], add: Add) -> Any:
    return reduce(add, terms[::-1])


def _numpy(terms: Sequence[Any], add: Add) -> Any:
    """NumPy's pairwise sum (numpy/_core/src/umath/loops_utils.h.src)."""
    n = len(terms)
    if n < LANES:
        return reduce(add, terms)
    if n > BLOCK:
        half = n // 2 - n // 2 % LANES
        return add(_numpy(terms[:half], add), _numpy(terms[half:], add))
    whole = n - n % LANES
    return reduce(add, terms[whole:], _adjacent(_lanes(terms[:whole], LANES, add), add))


def _lanes(terms: Sequence[Any], lanes: int, add: Add) -> list[Any]:
    """Return the sums of every so many-th term, each added one by one."""
    return [reduce(add, terms[i::lanes]) for i in range(min(lanes, len(terms)))]


def _adjacent(terms: Sequence[Any], add: Add) -> Any:
    while len(terms) > 1:
        odd = [terms[-1]] if len(terms) % 2 else []
        terms = [add(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)] + odd
    return terms[0]


def _folded(terms: Sequence[Any], add: Add) -> Any:
    """Add the upper half onto the lower, until one is left; an odd one waits."""
    while len(terms) > 1:
        half = len(terms) // 2
        rest = list(terms[2 * half :])
        terms = [add(a, b) for a, b in zip(terms[:half], terms[half : 2 * half], strict=True)] + rest
    return terms[0]


def _split(terms: Sequence[Any], add: Add) -> Any:
    """Split in the middle, and each half again."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return add(_split(terms[:half], add), _split(terms[half:], add))


_ENDS: Final = {
    "folded in halves": _folded,
    "added by neighbours": _adjacent,
    "added one by one": _one_by_one,
}


def _in_lanes(lanes: int, end: Callable[..., Any], tail: str) -> Callable[..., Any]:
    def total(terms: Sequence[Any], add: Add) -> Any:
        whole = len(terms) // lanes * lanes
        rest = terms[whole:]
        if not whole:
            return end(list(terms), add) if tail == INTO_LANES else reduce(add, terms)
        if tail in (INTO_LANES, INTO_LANES_OF_LONG_ROWS):
            return end(_lanes(terms, lanes, add), add)
        summed = end(_lanes(terms[:whole], lanes, add), add)
        if tail == "after them":
            return reduce(add, rest, summed)
        return add(summed, reduce(add, rest)) if rest else summed

    return total


def _in_filled_lanes(lanes: int, run: int, end: Callable[..., Any]) -> Callable[..., Any]:
    """Return the order of lanes that each take a run of entries in turn, those without one being 0."""

    def total(terms: Sequence[Any], add: Add) -> Any:
        def or_zero(a: Any, b: Any) -> Any:
            return b if a is None else a if b is None else add(a, b)

        own: list[list[Any]] = [[] for _ in range(lanes)]
        for i, term in enumerate(terms):
            own[i // run % lanes].append(term)
        return end([reduce(add, some) if some else None for some in own], or_zero)

    return total


def _in_warps(end: Callable[..., Any]) -> Callable[..., Any]:
    """Return the order of lanes that are folded by 32 first, as the warps of a GPU are."""

    def total(terms: Sequence[Any], add: Add) -> Any:
        return end([_folded(terms[i : i + WARP], add) for i in range(0, len(terms), WARP)], add)

    return total


def _in_blocks(block: int, end: Callable[..., Any], inside: Callable[..., Any]) -> Callable[..., Any]:
    def total(terms: Sequence[Any], add: Add) -> Any:
        return end([inside(terms[i : i + block], add) for i in range(0, len(terms), block)], add)

    return total


@cache
def known_orders() -> tuple[Order, ...]:
    """Return every order that is known by name, the simplest first."""
    return (
        Order("one by one, from first to last", _one_by_one),
        Order("one by one, from last to first", _backwards),
        Order("8 lanes, blocks of 128, then pairwise (NumPy's)", _numpy),
        Order("by neighbours, in a tree", _adjacent),
        Order("folded in halves", _folded),
        Order("split in the middle, again and again", _split),
        *_orders_in_lanes(),
        *_orders_in_blocks(),
        *_orders_in_filled_lanes(),
    )


def _orders_in_lanes() -> Iterator[Order]:
    for lanes in (2, 4, 8, 16, 32, 64):
        for name, end in _ENDS.items():
            for tail in (INTO_LANES, INTO_LANES_OF_LONG_ROWS, "after them", "apart"):
                title = f"{lanes} lanes, {name}; what is left over {tail}"
                yield Order(title, _in_lanes(lanes, end, tail))


def _orders_in_blocks() -> Iterator[Order]:
    for block in BLOCKS:
        for name, end in _ENDS.items():
            yield Order(f"blocks of {block}, {name}", _in_blocks(block, end, _one_by_one))
    for inside, name in ((_numpy, "by NumPy"), (_folded, "folded in halves"), (_adjacent, "by neighbours")):
        for block in BLOCKS:
            total = _in_blocks(block, _one_by_one, inside)
            yield Order(f"blocks of {block}, each summed {name}, added one by one", total)


def _orders_in_filled_lanes() -> Iterator[Order]:
    for lanes in (2**k for k in range(1, 11)):
        for run in (1, 2, 4, 8):
            of = f" of runs of {run}" if run > 1 else ""
            for name, end in _ends_of(lanes):
                yield Order(f"{lanes} lanes{of}, empty ones 0, {name}", _in_filled_lanes(lanes, run, end))


def _ends_of(lanes: int) -> Iterator[tuple[str, Callable[..., Any]]]:
    yield from _ENDS.items()
    if lanes > WARP:
        yield "folded in warps of 32, which are folded in halves", _in_warps(_folded)
        yield "folded in warps of 32, which are added one by one", _in_warps(_one_by_one)
