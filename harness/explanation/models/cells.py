"""Sums that are kept in a narrower format in parts: of lanes, of blocks, or of the whole row.

An entry at the maximum, whose exponential is 1, absorbs a term of 0.75 u where both are added up in a
significand of that u. So the places that a place absorbs are those that its narrow sum is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.models.model import Model, softmax_of, summed_up
from harness.explanation.questions import Questions
from reference.formats import FORMATS, FloatFormat

__all__ = ["of_cells"]

Places = NDArray[np.intp]

NARROW: Final[Mapping[int, FloatFormat]] = MappingProxyType(
    {FORMATS[name].precision: FORMATS[name] for name in ("bfloat16", "float16", "float32")}
)
"""Formats by the bits of their significands."""

ASKED: Final = 300
"""The length at which parts are looked for."""

MOST: Final = 40
"""Parts of a row, at most; where there are more, none is named."""


def of_cells(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield sums of parts of the row that are kept in a narrower format, as rows show the parts."""
    bits = next((b for b in NARROW if b < _most(questions, work) and _absorbs(questions, b)), None)
    if bits is None or (seen := _cells(questions, bits, ASKED)) is None:
        return
    narrow = NARROW[bits]
    named, rule = _rule(seen)
    cells: dict[int, tuple[Places, ...] | None] = {}

    def of_length(n: int) -> tuple[Places, ...] | None:
        if n not in cells:
            cells[n] = rule(n) if rule is not None else _cells(questions, bits, n)
        return cells[n]

    for add in (_terms_rounded, _sums_rounded):
        total = _total(of_length, add, narrow.dtype)
        yield Model(
            "sum.accumulator", f"{named} kept in {narrow.name}", softmax_of(questions, work, total=total)
        )


def _most(questions: Questions, work: np.dtype[Any]) -> int:
    """Return the bits that outputs or the arithmetic have: a significand of fewer is narrow, and shows."""
    return min(questions.out.precision, np.finfo(work).nmant + 1)


def _absorbs(questions: Questions, bits: int) -> bool:
    return bool(_absorbed(questions, bits, ASKED, 0)[1:].any())


def _absorbed(questions: Questions, bits: int, length: int, place: int) -> NDArray[np.bool_]:
    """Return the places whose small term is lost beside the maximum at a place."""
    x = np.full((length, length), questions.off)
    np.fill_diagonal(x, questions.logit(0.75 * 2.0**-bits))
    x[:, place] = 0
    lost: NDArray[np.bool_] = questions.ask(x)[:, place] == 1
    return lost


def _cells(questions: Questions, bits: int, length: int) -> tuple[Places, ...] | None:
    """Return the parts of a row; None where there are many."""
    open_ = np.ones(length, dtype=np.bool_)
    found: list[Places] = []
    while open_.any():
        if len(found) == MOST:
            return None
        first = int(open_.argmax())
        own = _absorbed(questions, bits, length, first) & open_
        own[first] = True
        found.append(np.flatnonzero(own))
        open_ &= ~own
    return tuple(found)


def _rule(cells: tuple[Places, ...]) -> tuple[str, Callable[[int], tuple[Places, ...]] | None]:
    """Return what the parts are, as people call them, and those of any length; None where no rule is seen."""
    first, steps = len(cells[0]), np.unique(np.concatenate([np.diff(c) for c in cells]))
    if len(cells) == 1:
        return "the sum is", lambda n: (np.arange(n),)
    if steps.tolist() == [1] and all(len(c) == first for c in cells[:-1]):
        return f"sums of blocks of {first} are", lambda n: _blocks(n, first)
    if steps.tolist() == [len(cells)]:
        lanes = len(cells)
        return f"sums of {lanes} lanes are", lambda n: tuple(
            np.arange(i, n, lanes) for i in range(min(lanes, n))
        )
    return f"sums of {len(cells)} parts of a row of {ASKED} are", None


def _blocks(length: int, size: int) -> tuple[Places, ...]:
    return tuple(np.arange(i, min(i + size, length)) for i in range(0, length, size))


Add = Callable[[Any, Any, np.dtype[Any]], Any]


def _terms_rounded(s: Any, term: Any, narrow: np.dtype[Any]) -> Any:
    return (s + term.astype(narrow)).astype(narrow)


def _sums_rounded(s: Any, term: Any, narrow: np.dtype[Any]) -> Any:
    return (s.astype(term.dtype) + term).astype(narrow)


def _total(
    cells_of: Callable[[int], tuple[Places, ...] | None], add: Add, narrow: np.dtype[Any]
) -> Callable[[Any], Any]:
    def total(e: Any) -> Any:
        cells = cells_of(e.shape[-1])
        if cells is None:
            return np.full_like(e[..., :1], np.nan)
        parts = []
        for places in cells:
            s = e[..., places[0]].astype(narrow)
            for place in places[1:]:
                s = add(s, e[..., place], narrow)
            parts.append(s.astype(e.dtype))
        return summed_up(np.stack(parts, axis=-1))

    return total
