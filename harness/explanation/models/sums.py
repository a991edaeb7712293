"""Models with a wrong sum: what counts, in what significand, in what order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.anatomy import Anatomy
from harness.explanation.models.model import NARROW, Floats, Model, softmax_of, summed_up
from harness.explanation.models.subsets import others, subsets
from harness.explanation.orders import Order
from harness.explanation.questions import Questions
from harness.explanation.sums import SHORT_LENGTHS, Count, counted

__all__ = ["of_sum"]

MANY: Final = 16_385
"""Equal entries of a row that a narrow sum does not count to."""

ASKED_ALL: Final = 1100
"""Of longer rows not every place is asked how often it counts, but each change between two that are."""

HALF: Final = 16
"""Bits of formats whose sums are kept in a wider one: where the order shows, they are not."""

ADDED_SINGLY: Final = 5000
"""Entries of the longest rows whose sums are emulated addition by addition."""


def of_sum(
    questions: Questions, anatomy: Anatomy, work: np.dtype[Any], lengths: Sequence[int]
) -> Iterator[Model]:
    """Yield models with a wrong sum; lengths are those at which rows are known to be wrong."""

    def model(code: str, sentence: str, total: Callable[[Any], Any]) -> Model:
        return Model(code, sentence, softmax_of(questions, work, total=total))

    yield from _of_counts(questions, anatomy, work, lengths)
    yield model("sum.omits", "equal entries are counted once", lambda e: summed_up(_distinct(e)))
    share = math.inf if questions.is_slow else float(questions.ask(np.zeros((1, MANY)))[0, 0])
    if 0 < share < math.inf and abs(1 / share - MANY) > MANY / 128:
        most = 2.0 ** round(math.log2(1 / share))
        said = f"the sum stands still at {most:g}"
        yield model("sum.stagnates", said, lambda e: np.minimum(summed_up(e), most))
    for narrow in NARROW:
        if narrow.storage_bits < 8 * work.itemsize:
            yield model("sum.accumulator", f"the sum is kept in {narrow.name}", _kept_in(narrow.dtype))
    if work == np.float64:
        said = "the sum is kept in float32"
        yield model("sum.accumulator", said, lambda e: summed_up(e.astype(np.float32)))
    for lanes in (2, 4, 8):
        said = f"partial sums of {lanes} lanes are kept in float16"
        yield model("sum.accumulator", said, _in_lanes(lanes, np.dtype(np.float16)))
    if anatomy.seen is not None and anatomy.seen.order is not None:
        order = anatomy.seen.order
        if questions.out.storage_bits <= HALF:
            said = f"entries are added {order.name} in {anatomy.bits} bits"
            yield model("sum.accumulator", said, _in_order(order))
        else:
            said = f"entries are added {order.name}: more additions in turn than the tier allows"
            yield model("sum.order", said, _in_order(order))


# Counts ------------------------------------------------------------------------------------


def _of_counts(
    questions: Questions, anatomy: Anatomy, work: np.dtype[Any], lengths: Sequence[int]
) -> Iterator[Model]:
    """Yield the sum in which each place counts as often as it was seen to."""
    more = counted(questions, [n for n in lengths if n > SHORT_LENGTHS[-1]])
    odd = {c.length: c for c in (*anatomy.counts, *more) if c.odd.size}
    if not odd or all(not c.times.any() for c in odd.values()):  # of nothing at all there is no sum
        return
    times = np.concatenate([c.times[np.isin(c.places, c.odd)] for c in odd.values()])
    if (times == 0).all():
        code, said, named = "sum.omits", "left out of the sum", _named_places(odd)
    elif (times > 1).all():
        code, said, named = "sum.repeats", "counted more than once", ""
    else:
        return
    weights: dict[int, Floats] = {}

    def weighted(e: Any) -> Any:
        n = e.shape[-1]
        if n not in weights:
            weights[n] = _weights(questions, n)
        return summed_up(e * weights[n].astype(e.dtype))

    n, count = next(iter(odd.items()))
    sentence = f"{said}: {named or f'entries such as number {count.odd[-1]} of {n}'}"
    yield Model(code, sentence, softmax_of(questions, work, total=weighted))


def _weights(questions: Questions, length: int) -> Floats:
    """Return how often each place of a length counts, 1 where that cannot be told."""
    if length <= ASKED_ALL:
        seen = counted(questions, [length], every=True)[0]
        return np.nan_to_num(seen.times, nan=1.0)
    seen = counted(questions, [length])[0]
    places, times = seen.places, np.nan_to_num(seen.times, nan=1.0)
    weights = np.ones(length)
    for low, high, before, after in zip(places, places[1:], times, times[1:], strict=False):
        weights[low:high] = before
        if before != after:
            weights[_change(questions, length, int(low), int(high), before) : high] = after
    weights[places] = times
    return weights


def _change(questions: Questions, length: int, low: int, high: int, times: float) -> int:
    """Return the first place between two that does not count as often as the lower one, by bisection."""
    while high - low > 1:
        middle = (low + high) // 2
        places: NDArray[np.intp] = np.asarray([0, middle])
        y = questions.ask(questions.pairs(length, places, np.zeros_like(places)))
        same = abs(1 / y[1, 0] - 1 / y[0, 0] - times) < 1 / 4 if (y[:, 0] > 0).all() else False
        low, high = (middle, high) if same else (low, middle)
    return high


def _named_places(odd: Mapping[int, Count]) -> str:
    """Return how people call the places that do not count, where all short lengths fit a rule."""
    counts = sorted({int(min(c.odd)) for c in odd.values()})[:8]
    left_out = {n: odd[n].odd.tolist() if n in odd else [] for n in SHORT_LENGTHS}
    if not any(left_out.values()):
        firsts = {int(min(c.odd)) for c in odd.values()}
        return f"all but the first {firsts.pop()} entries" if len(firsts) == 1 else _last_of(odd)
    for subset in subsets(*counts):
        if all(others(n, subset.kept) == places for n, places in left_out.items()):
            return subset.left
    return _last_of(odd)


def _last_of(odd: Mapping[int, Count]) -> str:
    if all(c.odd.tolist() == [n - 1] for n, c in odd.items()):
        return "the last entry"
    runs = all((np.diff(c.odd) == 1).all() and c.odd[-1] == n - 1 for n, c in odd.items())
    return "entries at the end of the row" if runs else ""


def _distinct(e: Any) -> Any:
    ordered = np.sort(e, axis=-1)
    return np.where(np.diff(ordered, axis=-1, prepend=-1) != 0, ordered, 0)


# Significand and order ---------------------------------------------------------------------


def _kept_in(narrow: np.dtype[Any]) -> Callable[[Any], Any]:
    return lambda e: _one_by_one(e, narrow)


def _in_lanes(lanes: int, narrow: np.dtype[Any]) -> Callable[[Any], Any]:
    def total(e: Any) -> Any:
        each = [_one_by_one(e[..., i::lanes], narrow) for i in range(min(lanes, e.shape[-1]))]
        return summed_up(np.concatenate(each, axis=-1))

    return total


def _one_by_one(e: Any, dtype: np.dtype[Any]) -> Any:
    if dtype == np.float16 or dtype == np.float32:
        return np.cumsum(e, axis=-1, dtype=dtype)[..., -1:].astype(e.dtype)
    columns = np.moveaxis(e.astype(dtype), -1, 0)
    summed = columns[0].copy()
    for column in columns[1:]:
        summed = (summed + column).astype(dtype)
    return summed[..., None].astype(e.dtype)


def _in_order(order: Order) -> Callable[[Any], Any]:
    def total(e: Any) -> Any:
        if e.shape[-1] > ADDED_SINGLY:
            return summed_up(e)
        return order.total(list(np.moveaxis(e, -1, 0)), lambda a, b: a + b)[..., None]

    return total
