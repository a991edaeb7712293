"""An exponential that is off at some places or lengths alone, as where a vector loop leaves a tail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.models.model import Floats, Model, softmax_of, summed_up, top
from harness.explanation.models.subsets import others, subsets
from harness.explanation.questions import Questions

__all__ = ["of_places"]

Places = NDArray[np.intp]

LENGTHS: Final = (*range(2, 41), 64, 65, 127, 128, 130, 200, 256, 300)
LONGEST: Final = 1100
"""Of longer rows no place is asked."""

ARGUMENTS: Final = (-0.3, -1.7, -3.9, -6.3, -9.1, -12.3)
LOOSE: Final = 16
"""Units of the last place that the quotient of two outputs may be off an exponential."""


def of_places(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield an exponential that is off at some places, as rows of one more entry show it there."""
    found = {n: _odd(questions, n) for n in LENGTHS}
    if not any(len(places) for places in found.values()) or all(len(p) == n for n, p in found.items()):
        return
    sound = softmax_of(questions, work)

    def predict(x: Floats) -> Floats:
        n = x.shape[1]
        if n not in found:
            found[n] = _odd(questions, n) if n <= LONGEST else np.zeros(0, dtype=np.intp)
        if not len(found[n]):
            return sound(x)
        with np.errstate(all="ignore"):
            z = x.astype(work)
            t = z - top(z)
            e = np.exp(t)
            e[:, found[n]] = _measured(questions, t[:, found[n]], found[n], n)
            return questions.rounded((e / summed_up(e)).astype(np.float64))

    if (first := _first_whole(found)) is not None:
        before = max((n for n in found if n < first), default=1)
        while first - before > 1:
            middle = (first + before) // 2
            first, before = (middle, before) if len(_odd(questions, middle)) else (first, middle)
        named = f"in rows of {first} entries and more"
    else:
        named = _named(found)
    yield Model("exp.inaccurate", f"exp is off {named}", predict, general=True)


def _first_whole(found: Mapping[int, Places]) -> int | None:
    """Return the length from which on exp is off everywhere, and below nowhere; else None."""
    first = min(n for n, places in found.items() if len(places))
    return first if all(len(places) == (n if n >= first else 0) for n, places in found.items()) else None


def _odd(questions: Questions, length: int) -> Places:
    """Return the places whose exponentials are off, beside a maximum at another place."""
    least = 16 * float(questions.out.smallest_normal)
    wrong = np.zeros(length, dtype=np.bool_)
    for argument in questions.held(np.asarray(ARGUMENTS)):
        true = float(np.exp(argument))
        if true > least:
            e = _alone(questions, np.full(length, argument), np.arange(length), length)
            with np.errstate(all="ignore"):
                wrong |= ~(np.abs(e / true - 1) <= LOOSE * 2.0**-questions.out.precision)
    return np.flatnonzero(wrong)


def _alone(questions: Questions, arguments: Floats, places: Places, length: int) -> Floats:
    """Return exp of arguments at places of rows that hold nothing else but the maximum at an end."""
    each = np.arange(len(places))
    at = np.where(places == 0, length - 1, 0)
    x = np.full((len(places), length), questions.off)
    x[each, at] = 0
    x[each, places] = arguments
    y = questions.ask(x)
    with np.errstate(all="ignore"):
        e: Floats = y[each, places] / y[each, at]
    return e


def _measured(questions: Questions, t: Any, places: Places, length: int) -> Any:
    """Return exp of arguments at some places: the quotients of outputs of other rows, which hold many."""
    known = np.isfinite(t) & (t < 0)
    arguments, where = np.unique(t[known].astype(np.float64), return_inverse=True)
    e = np.where(t == 0, 1.0, np.where(np.isneginf(t), 0.0, np.nan))
    at = 0 if places[0] else length - 1
    free = places[places != at]
    if not len(arguments) or not len(free):
        return e
    filled = np.append(arguments, np.full(-len(arguments) % len(free), questions.off))
    x = np.full((len(filled) // len(free), length), questions.off)
    x[:, at] = 0
    x[:, free] = filled.reshape(-1, len(free))
    y = questions.ask(x)
    with np.errstate(all="ignore"):
        quotients = (y[:, free] / y[:, [at]]).ravel()
    e[known] = quotients[: len(arguments)][where]
    return e


def _named(found: Mapping[int, Places]) -> str:
    """Return where it is off, as people call it."""
    odd = {n: places.tolist() for n, places in found.items()}
    for width in (2**k for k in range(1, 9)):
        if all(places == list(range(n // width * width, n)) for n, places in odd.items()):
            return f"in the last n mod {width} entries"
    for subset in subsets():
        if all(others(n, subset.kept) == places for n, places in odd.items()):
            return f"in {subset.left}"
    n, places = next((n, places) for n, places in odd.items() if places)
    return f"at places such as number {places[-1]} of {n}"
