"""Models of a softmax with one part that is wrong, as short programs; what their constants are is measured.

A model is a guess that can be refuted: it says what the outputs of any row are, and `causes` holds that
against the rows that fail and against those that do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from harness.explanation.anatomy import SHIFT_LENGTHS, Anatomy, left_out_of_the_maximum
from harness.explanation.questions import Questions
from harness.explanation.sums import SHORT_LENGTHS, Count, counted

__all__ = ["Model", "models_of"]

Floats = NDArray[np.float64]
Predict = Callable[[Floats], Floats]

NARROW: Final[tuple[tuple[str, np.dtype[Any]], ...]] = (
    ("float16", np.dtype(np.float16)),
    ("bfloat16", np.dtype(ml_dtypes.bfloat16)),
    ("float32", np.dtype(np.float32)),
)
"""Formats that a part may be kept in by mistake."""

ALMOST_NOTHING: Final = 0.5
"""A constant shift nearer to 0 is not told from none: where exp overflows is known no better."""

MANY: Final = 16_385
"""Equal entries of a row that a narrow sum does not count to."""


@dataclass(frozen=True)
class Model:
    """One part that is wrong, and what comes of it.

    Attributes:
        code: of the table of causes.
        sentence: the part, with its place.
        predict: the outputs of rows of shape (k, n).
    """

    code: str
    sentence: str
    predict: Predict


def models_of(questions: Questions, anatomy: Anatomy) -> Iterator[Model]:
    """Yield the models whose constants could be measured."""
    for work in _works(questions):
        yield from _of_shift(questions, anatomy, work)
        yield from _of_sum(questions, anatomy, work)
        yield from _of_exp(questions, anatomy, work)
        yield from _of_division(questions, work)
        yield from _of_output(questions, work)
        yield from _of_masks(questions, work)


def _works(questions: Questions) -> tuple[np.dtype[Any], ...]:
    """Return the arithmetics in which a candidate may work."""
    names = {2: (np.float32, np.float16), 4: (np.float32,), 8: (np.float64,)}
    if questions.format.name == "bfloat16":
        return (np.dtype(np.float32),)
    return tuple(np.dtype(t) for t in names.get(questions.format.storage_bits // 8, (np.float32,)))


@dataclass(frozen=True)
class _Softmax:
    """A softmax in an arithmetic, any of whose steps may be another."""

    work: np.dtype[Any]
    out: Callable[[Any], Floats]
    shift: Callable[[Any], Any] = lambda z: z.max(axis=-1, keepdims=True)
    exp: Callable[[Any], Any] = np.exp
    total: Callable[[Any], Any] = lambda e: e.sum(axis=-1, keepdims=True)
    divide: Callable[[Any, Any], Any] = lambda e, s: e / s
    end: Callable[[Any], Any] = lambda y: y
    begin: Callable[[Any], Any] = lambda z: z

    def __call__(self, x: Floats) -> Floats:
        with np.errstate(all="ignore"):
            z = self.begin(x.astype(self.work))
            e = np.asarray(self.exp(z - self.shift(z))).astype(self.work)
            y = self.end(self.divide(e, np.asarray(self.total(e)).astype(self.work)))
            return self.out(np.asarray(y).astype(np.float64))


def _softmax(questions: Questions, work: np.dtype[Any], **steps: Any) -> _Softmax:
    return _Softmax(work, questions.rounded, **steps)


# Shift -------------------------------------------------------------------------------------


def _of_shift(questions: Questions, anatomy: Anatomy, work: np.dtype[Any]) -> Iterator[Model]:
    def model(code: str, sentence: str, shift: Callable[[Any], Any]) -> Model:
        return Model(code, sentence, _softmax(questions, work, shift=shift))

    def top(z: Any) -> Any:
        return z.max(axis=-1, keepdims=True)

    yield model("shift.absent", "nothing is subtracted before exp", lambda z: z.dtype.type(0))
    high, low = _fails(questions, 1.0), _fails(questions, -1.0)
    info = np.finfo(work)
    upper = None if high is None else high - math.log(float(info.max) / 2)
    lower = None if low is None else low - math.log(2.0) * (info.minexp - info.nmant - 1)
    if upper is not None and low is not None and abs(upper) >= ALMOST_NOTHING:
        fixed = round(upper, 1)
        yield model(
            "shift.constant",
            f"about {fixed:g} is subtracted, whatever the row",
            lambda z: z.dtype.type(fixed),
        )
    if upper is not None and low is None:
        cap = _near(upper)
        yield model(
            "shift.not_max",
            f"the maximum is subtracted up to about {cap:g} and no more",
            lambda z: np.minimum(top(z), z.dtype.type(cap)),
        )
    if lower is not None and high is None:
        floor = _near(lower)
        yield model(
            "shift.not_max",
            f"the maximum starts at about {floor:g}, and is wrong in rows below it",
            lambda z: np.maximum(top(z), z.dtype.type(floor)),
        )
    yield model(
        "shift.not_max",
        "the largest magnitude is subtracted, not the maximum",
        lambda z: np.where(np.isinf(z), 0, np.abs(z)).max(axis=-1, keepdims=True),
    )
    yield model(
        "shift.not_max",
        "the mean is subtracted, not the maximum",
        lambda z: np.where(np.isneginf(z), 0, z).mean(axis=-1, keepdims=True),
    )
    yield Model(
        "divide.logarithm",
        "exp(x - logsumexp(x)): the logarithm of the sum is rounded at the size of the logits",
        _softmax(
            questions, work, shift=lambda z: top(z) + np.log(np.exp(z - top(z)).sum(axis=-1, keepdims=True)),
            total=lambda e: np.ones_like(e[..., :1]),
        ),
    )  # fmt: skip
    yield from _of_maxima(questions, anatomy, model)


def _of_maxima(
    questions: Questions, anatomy: Anatomy, model: Callable[[str, str, Callable[[Any], Any]], Model]
) -> Iterator[Model]:
    """Yield the maximum over the entries that are seen to take part in it, length by length."""
    left_out = anatomy.part("shift").facts["left_out"]
    parts = {n: np.setdiff1d(np.arange(n), left_out.get(n, ())) for n in SHIFT_LENGTHS}
    without = [n for n in SHIFT_LENGTHS if not parts[n].size]
    if not left_out or len(without) == len(SHIFT_LENGTHS):
        return

    def taking_part(z: Any) -> Any:
        n = z.shape[-1]
        if n not in parts:
            parts[n] = np.setdiff1d(np.arange(n), left_out_of_the_maximum(questions, [n]).get(n, ()))
        return z[..., parts[n]].max(axis=-1, keepdims=True) if parts[n].size else z.dtype.type(0)

    if without and set(without) == set(left_out):
        longest = max(set(SHIFT_LENGTHS) - set(without))
        shortest = min(without)
        between = {n: bool(left_out_of_the_maximum(questions, [n])) for n in range(longest, shortest + 1)}
        if longest < shortest:
            first = next(n for n, absent in between.items() if absent)
            said = f"nothing is subtracted in rows of {first} entries and more"
            yield model("shift.absent", said, taking_part)
        return
    counts = (min(places) for places in left_out.values())
    said = next((s.taken for s in _subsets(*counts) if _fits(s.kept, left_out)), "")
    n, places = next(iter(left_out.items()))
    named = f"is taken over {said}" if said else f"leaves out entries such as number {places[0]} of {n}"
    yield model("max.omits", f"the maximum {named}", taking_part)


def _fits(kept: Callable[[int], Any], left_out: Mapping[int, list[int]]) -> bool:
    return all(_others(n, kept) == left_out.get(n, []) for n in SHIFT_LENGTHS)


@dataclass(frozen=True)
class _Subset:
    """A part of a row that maxima and sums are taken over by mistake.

    Attributes:
        taken, left: what it is, and what is left out.
        kept: the places of a row of a length.
    """

    taken: str
    left: str
    kept: Callable[[int], Any]


def _subsets(*counts: int) -> Iterator[_Subset]:
    yield _Subset("the first entry alone", "all but the first entry", lambda _: slice(0, 1))
    yield _Subset("the last entry alone", "all but the last entry", lambda _: slice(-1, None))
    yield _Subset("every second entry", "every second entry", lambda _: slice(None, None, 2))
    yield _Subset("all but the last entry", "the last entry", lambda n: slice(0, max(1, n - 1)))
    yield _Subset("all but the first entry", "the first entry", lambda n: slice(1 if n > 1 else 0, None))
    for width in (2, 4, 8, 16, 32, 64, 128):
        left = f"the last n mod {width} entries"
        yield _Subset(f"whole vectors of {width}, without {left}", left, _vectors(width))
    for count in counts:
        yield _Subset(f"the first {count} entries", f"all but the first {count} entries", _head(count))


def _vectors(width: int) -> Callable[[int], Any]:
    return lambda n: slice(0, n // width * width or n)


def _head(count: int) -> Callable[[int], Any]:
    return lambda _: slice(0, count)


def _others(length: int, kept: Callable[[int], Any]) -> list[int]:
    return sorted(set(range(length)) - set(np.arange(length)[kept(length)].tolist()))


def _fails(questions: Questions, sign: float) -> float | None:
    """Return the least magnitude of two equal entries of a sign from which on they do not share 1/2."""
    most = float(questions.format.largest)
    grid = np.unique(questions.held(sign * np.geomspace(0.01, min(most, 1e30) / 4, 700)))
    grid = grid[np.argsort(np.abs(grid))]
    sound = (questions.ask(np.column_stack([grid, grid])) == 0.5).all(axis=1)
    if sound.all():
        return None
    at = int(np.flatnonzero(~sound)[0])
    before, first = (0.0 if at == 0 else float(grid[at - 1])), float(grid[at])
    fine = questions.held(np.linspace(before, first, 400))
    wrong = ~(questions.ask(np.column_stack([fine, fine])) == 0.5).all(axis=1)
    return float(fine[np.flatnonzero(wrong)[0]]) if wrong.any() else first


def _near(value: float) -> float:
    """Return a round number close by, as people write constants."""
    if abs(value) < 1:
        return 0.0
    for digits in (1, 2, 3):
        rounded = float(f"{value:.{digits - 1}e}")
        if abs(rounded - value) <= 0.01 * abs(value) + 0.6:
            return rounded
    return value


# Sum ---------------------------------------------------------------------------------------


def _of_sum(questions: Questions, anatomy: Anatomy, work: np.dtype[Any]) -> Iterator[Model]:
    def model(code: str, sentence: str, total: Callable[[Any], Any]) -> Model:
        return Model(code, sentence, _softmax(questions, work, total=total))

    yield from _of_counts(questions, anatomy, work)
    for width in (4, 8, 16, 32, 64, 128):
        yield Model(
            "sum.padded",
            f"rows are filled up with zeros to a multiple of {width}, and they are counted",
            _padded(_softmax(questions, work), width),
        )
    yield model("sum.omits", "equal entries are counted once", lambda e: _sum(_distinct(e)))
    share = float(questions.ask(np.zeros((1, MANY)))[0, 0])
    if 0 < share < math.inf and abs(1 / share - MANY) > MANY / 128:
        most = 2.0 ** round(math.log2(1 / share))
        said = f"the sum stands still at {most:g}"
        yield model("sum.stagnates", said, lambda e: np.minimum(_sum(e), most))
    for name, narrow in NARROW:
        if narrow.itemsize < work.itemsize:
            yield model("sum.accumulator", f"the sum is kept in {name}", _kept_in(narrow))
    if work == np.float64:
        yield model("sum.accumulator", "the sum is kept in float32", lambda e: _sum(e.astype(np.float32)))
    for lanes in (2, 4, 8):
        said = f"partial sums of {lanes} lanes are kept in float16"
        yield model("sum.accumulator", said, _in_lanes(lanes, np.dtype(np.float16)))
    yield from _of_blocks(questions, work)


def _of_counts(questions: Questions, anatomy: Anatomy, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield the sum in which each place counts as often as it was seen to."""
    odd = {c.length: c for c in anatomy.counts if c.odd.size and c.length <= SHORT_LENGTHS[-1]}
    if not odd or any(not c.times.any() for c in odd.values()):  # of nothing at all there is no sum
        return
    times = np.concatenate([c.times[np.isin(c.places, c.odd)] for c in odd.values()])
    if (times == 0).all():
        code, said, named = "sum.omits", "left out of the sum", _named_places(odd)
    elif (times > 1).all():
        code, said, named = "sum.repeats", "counted more than once", ""
    else:
        return
    weights: dict[int, Any] = {}

    def weighted(e: Any) -> Any:
        n = e.shape[-1]
        if n not in weights:
            seen = counted(questions, [n], every=True)[0]
            weights[n] = np.ones(n)
            weights[n][seen.places] = np.nan_to_num(seen.times, nan=1.0)
        return _sum(e * weights[n].astype(e.dtype))

    n, count = next(iter(odd.items()))
    sentence = f"{said}: {named or f'entries such as number {count.odd[-1]} of {n}'}"
    yield Model(code, sentence, _softmax(questions, work, total=weighted))


def _named_places(odd: Mapping[int, Count]) -> str:
    """Return how people call the places that do not count, where all lengths but few fit a rule."""
    counts = (int(min(c.odd)) for c in odd.values())
    left_out = {n: odd[n].odd.tolist() if n in odd else [] for n in SHORT_LENGTHS}
    for subset in _subsets(*counts):
        if all(_others(n, subset.kept) == places for n, places in left_out.items()):
            return subset.left
    return ""


def _distinct(e: Any) -> Any:
    ordered = np.sort(e, axis=-1)
    return np.where(np.diff(ordered, axis=-1, prepend=-1) != 0, ordered, 0)


def _kept_in(narrow: np.dtype[Any]) -> Callable[[Any], Any]:
    return lambda e: _one_by_one(e, narrow)


def _in_lanes(lanes: int, narrow: np.dtype[Any]) -> Callable[[Any], Any]:
    def total(e: Any) -> Any:
        each = [_one_by_one(e[..., i::lanes], narrow) for i in range(min(lanes, e.shape[-1]))]
        return _sum(np.concatenate(each, axis=-1))

    return total


def _one_by_one(e: Any, dtype: Any) -> Any:
    columns = np.moveaxis(e.astype(dtype), -1, 0)
    summed = columns[0].copy()
    for column in columns[1:]:
        summed = (summed + column).astype(dtype)
    return summed[..., None].astype(e.dtype)


def _padded(softmax: _Softmax, width: int) -> Predict:
    def predict(x: Floats) -> Floats:
        more = -x.shape[-1] % width
        filled = np.concatenate([x, np.zeros((len(x), more))], axis=-1)
        return softmax(filled)[:, : x.shape[-1]]

    return predict


def _of_blocks(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield merges of blocks that rescale wrongly, of the size at which a later maximum shows."""
    n = 320
    x = np.full((n - 1, n), questions.off)
    each = np.arange(1, n)
    x[each - 1, each] = 0
    x[:, 0] = -2
    y = questions.ask(x)[each - 1, each]
    off = np.abs(y * (1 + math.exp(-2)) - 1) > 16 * 2.0**-questions.out.precision
    if not off.any() or off[0]:
        return
    size = int(np.flatnonzero(off)[0]) + 1
    for sentence, merge in _merges():
        yield Model("sum.not_rescaled", sentence.format(size), _blocked(questions, work, size, merge))


def _merges() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield what becomes of (sum, maximum, new maximum, block, number of the block)."""
    yield (
        "blocks of {} are merged without rescaling the sum so far",
        lambda s, _m, new, b, _k: s + _sum(np.exp(b - new)),
    )
    yield (
        "blocks of {} are merged with the rescaling inverted",
        lambda s, m, new, b, _k: s * np.exp(new - m) + _sum(np.exp(b - new)),
    )
    yield (
        "blocks of {} are summed by their own maxima and not rescaled",
        lambda s, m, new, b, _k: s * np.exp(m - new) + _sum(np.exp(b - b.max(axis=-1, keepdims=True))),
    )
    yield (
        "of blocks of {} the first alone is rescaled",
        lambda s, m, new, b, k: (s * np.exp(m - new) if k == 1 else s) + _sum(np.exp(b - new)),
    )


def _sum(e: Any) -> Any:
    return e.sum(axis=-1, keepdims=True)


def _blocked(questions: Questions, work: np.dtype[Any], size: int, merge: Callable[..., Any]) -> Predict:
    def predict(x: Floats) -> Floats:
        z = x.astype(work)
        largest = np.full_like(z[:, :1], -np.finfo(work).max)
        summed = np.zeros_like(largest)
        with np.errstate(all="ignore"):
            for number, start in enumerate(range(0, z.shape[1], size)):
                block = z[:, start : start + size]
                new = np.maximum(largest, block.max(axis=-1, keepdims=True))
                summed = merge(summed, largest, new, block, number)
                largest = new
            return questions.rounded((np.exp(z - largest) / summed).astype(np.float64))

    return predict


# Exp ---------------------------------------------------------------------------------------


def _of_exp(questions: Questions, anatomy: Anatomy, work: np.dtype[Any]) -> Iterator[Model]:
    def model(code: str, sentence: str, exp: Callable[[Any], Any]) -> Model:
        return Model(code, sentence, _softmax(questions, work, exp=exp))

    curve = anatomy.curve
    d, values = curve.arguments, curve.values
    some = (d < -0.5) & (values > 64 * float(questions.out.smallest_normal))
    if some.any():
        with np.errstate(all="ignore"):
            ratio = np.log(values[some]) / d[some]
        scale = float(np.median(ratio))
        if abs(scale - 1) > 64 * 2.0**-questions.out.precision and np.ptp(ratio) < abs(scale - 1) / 4:
            base = "2" if abs(scale - math.log(2)) < 0.001 else f"e^{scale:.6g}"
            yield model(
                "exp.wrong_base",
                f"powers of {base}, not of e",
                lambda t: np.exp(t.astype(np.float64) * scale).astype(t.dtype),
            )
    tail = values[d < 0.97 * d.min()]
    if len(tail) and tail.min() == tail.max() > 0:
        least = math.log(float(tail[0]))
        if least < -1:
            yield model(
                "exp.clamped", f"exp is that of {least:.4g} below it", lambda t: np.exp(np.maximum(t, least))
            )
    last = curve.last
    if np.isfinite(last) and last < 0 and math.exp(last) > 8 * float(questions.out.smallest_subnormal):
        beyond = d[d < last]
        edge = (last + float(beyond.max())) / 2 if len(beyond) else last
        edge = _whole(edge, (last - float(beyond.max())) if len(beyond) else 1)
        yield model("exp.cut", f"exp is 0 below about {edge:.4g}", lambda t: np.where(t < edge, 0, np.exp(t)))
        share = math.exp(edge)
        decade = 10.0 ** round(math.log10(share))
        yield Model(
            "output.cut",
            f"outputs below {decade:g} are returned as 0",
            _softmax(questions, work, end=lambda y: np.where(y < decade, 0, y)),
        )
    for name, narrow in NARROW:
        if narrow.itemsize < work.itemsize:
            yield model("exp.inaccurate", f"exp is computed in {name}", _exp_in(narrow))


def _exp_in(narrow: np.dtype[Any]) -> Callable[[Any], Any]:
    return lambda t: np.exp(t.astype(narrow)).astype(t.dtype)


def _whole(value: float, within: float) -> float:
    """Return the whole number close by, where there is one within the uncertainty."""
    return float(round(value)) if abs(round(value) - value) <= within else value


# Division, output, masks -------------------------------------------------------------------


def _of_division(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    alone = np.full((1, 40), questions.off)
    alone[0, 0] = 0
    y = questions.ask(alone)[0]
    u = 2.0**-questions.out.precision
    if 0 < y[0] < 1 - 2 * u and y[1] == 0:
        eps = 1 / y[0] - 1
        eps = 10.0 ** round(math.log10(eps)) if abs(math.log10(eps) - round(math.log10(eps))) < 0.1 else eps
        yield Model(
            "divide.epsilon",
            f"about {eps:.3g} is added to the sum before the division",
            _softmax(questions, work, divide=lambda e, s: e / (s + s.dtype.type(eps))),
        )
    if 0 < y[1] < y[0] and (y[1:] == y[1]).all():
        least = float(y[1])
        yield Model(
            "output.clamped",
            f"outputs are kept from {least:.3g} to {float(y[0]):.9g}",
            _softmax(questions, work, end=lambda v: np.clip(v, least, max(least, float(y[0])))),
        )
        yield Model(
            "output.offset",
            f"{least:.3g} is added to every output",
            _softmax(questions, work, end=lambda v: v + least),
        )
    yield Model(
        "divide.by_the_mean",
        "the division is by the mean of the exponentials, not by their sum",
        _softmax(questions, work, total=lambda e: e.mean(axis=-1, keepdims=True)),
    )


def _of_output(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    for name, narrow in NARROW:
        if narrow.itemsize > questions.out.storage_bits // 8 or name == questions.out.name:
            continue
        kept = _through(narrow)
        yield Model("output.narrowed", f"outputs pass through {name}", _softmax(questions, work, end=kept))
        yield Model("input.narrowed", f"logits pass through {name}", _softmax(questions, work, begin=kept))
        rounded = _softmax(questions, work, exp=_exp_of(kept))
        yield Model("shift.narrowed", f"x - max is kept in {name}", rounded)
    tiny = float(questions.out.smallest_normal)
    yield Model(
        "output.flushed",
        f"outputs below 2^{questions.out.emin} are returned as 0: --policy subnormals=flush allows that",
        _softmax(questions, work, end=lambda v: np.where(v < tiny, 0, v)),
    )


def _through(narrow: np.dtype[Any]) -> Callable[[Any], Any]:
    return lambda v: v.astype(narrow).astype(v.dtype)


def _exp_of(kept: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda t: np.exp(kept(t))


def _of_masks(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    if not questions.format.has_infinity:
        return
    grid = np.unique(questions.held(-np.geomspace(100, float(questions.format.largest) / 2, 400)))[::-1]
    y = questions.ask(np.column_stack([np.full_like(grid, -np.inf), grid]))
    wins = y[:, 0] > 0.5
    if wins.any():
        at = int(np.flatnonzero(wins)[0])
        fine = questions.held(-np.geomspace(-grid[max(at - 1, 0)], -grid[at], 400))
        loses = questions.ask(np.column_stack([np.full_like(fine, -np.inf), fine]))[:, 0] <= 0.5
        sentinel = _near(float(fine[loses].min()) if loses.any() else float(grid[at]))
        yield Model(
            "mask.sentinel",
            f"about {sentinel:g} stands for -inf",
            _softmax(questions, work, begin=lambda z: np.where(np.isneginf(z), z.dtype.type(sentinel), z)),
        )
    leak = float(questions.ask(np.asarray([[-np.inf, 0.0, 0.0]]))[0, 0])
    if 0 < leak < 1:
        sound = _softmax(questions, work)
        yield Model(
            "mask.leaks",
            f"a masked entry comes out as {leak:.3g}",
            lambda x: np.where(np.isneginf(x), leak, sound(x)),
        )
    if math.isnan(leak):
        sound = _softmax(questions, work)
        yield Model(
            "mask.leaks",
            "a masked entry makes the whole row NaN",
            lambda x: np.where(np.isneginf(x).any(axis=1, keepdims=True), np.nan, sound(x)),
        )
