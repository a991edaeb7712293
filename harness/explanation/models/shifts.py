"""Models with a wrong shift."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.anatomy import SHIFT_LENGTHS, Anatomy, left_out_of_the_maximum
from harness.explanation.models.model import Floats, Model, near, softmax_of, summed_up, top
from harness.explanation.models.subsets import others, subsets
from harness.explanation.questions import Questions

__all__ = ["of_any_shift", "of_shift"]

ALMOST_NOTHING: Final = 0.5
"""A constant shift nearer to 0 is not told from none: where exp overflows is known no better."""

OTHER: Final = -1.0
"""The output of rows of which a model says nothing; none is as low."""

Shifted = Callable[[str, str, Callable[[Any], Any]], Model]


def of_shift(questions: Questions, anatomy: Anatomy, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield models with a wrong shift."""

    def model(code: str, sentence: str, shift: Callable[[Any], Any]) -> Model:
        return Model(code, sentence, softmax_of(questions, work, shift=shift))

    yield model("shift.absent", "nothing is subtracted before exp", lambda z: z.dtype.type(0))
    high, low = fails(questions, 1.0), fails(questions, -1.0)
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
        cap = near(upper)
        yield model(
            "shift.not_max",
            f"the maximum is subtracted up to about {cap:g} and no more",
            lambda z: np.minimum(top(z), z.dtype.type(cap)),
        )
    if lower is not None and high is None:
        floor = near(lower)
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
        softmax_of(
            questions, work, shift=lambda z: top(z) + np.log(np.exp(z - top(z)).sum(axis=-1, keepdims=True)),
            total=lambda e: np.ones_like(e[..., :1]),
        ),
    )  # fmt: skip
    yield from _of_maxima(questions, anatomy, model)
    yield from _of_a_sample(questions, model)
    yield from _of_a_scale(questions, work)
    yield from _of_two_maxima(questions, work)


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
            said = f"nothing is subtracted in rows of {_span(questions, first)}"
            yield model("shift.absent", said, taking_part)
        return
    counts = (min(places) for places in left_out.values())
    said = next((s.taken for s in subsets(*counts) if _fits(s.kept, left_out)), "")
    n, places = next(iter(left_out.items()))
    named = f"is taken over {said}" if said else f"leaves out entries such as number {places[0]} of {n}"
    yield model("max.omits", f"the maximum {named}", taking_part)


def _span(questions: Questions, first: int) -> str:
    """Return the lengths of rows that are not shifted, from the first one on, as far as longer rows show."""
    last, sound = first, next((n for n in (2 * first, 4 * first) if not _is_lost(questions, n)), None)
    if sound is None:
        return f"{first} entries and more"
    while sound - last > 1:
        middle = (last + sound) // 2
        last, sound = (middle, sound) if _is_lost(questions, middle) else (last, middle)
    return f"{first} to {last} entries"


def _is_lost(questions: Questions, length: int) -> bool:
    """Tell whether one large entry at the end of a row of zeros overflows."""
    x = np.zeros((1, length))
    x[0, -1] = -questions.off
    return not np.isfinite(questions.ask(x)[0, -1])


def _fits(kept: Callable[[int], Any], left_out: Mapping[int, list[int]]) -> bool:
    return all(others(n, kept) == left_out.get(n, []) for n in SHIFT_LENGTHS)


def fails(questions: Questions, sign: float) -> float | None:
    """Return the least magnitude of two equal entries of a sign from which on they do not share 1/2."""
    most = float(questions.format.largest)
    grid = np.unique(questions.held(sign * np.geomspace(0.01, min(most, 1e30) / 4, 700)))
    grid = grid[np.argsort(np.abs(grid))]
    sound = (questions.ask(np.column_stack([grid, grid])) == 0.5).all(axis=1)
    if sound.all():
        return None
    at = int(np.flatnonzero(~sound)[0])
    before, first = (0.0 if at == 0 else float(grid[at - 1])), float(grid[at])
    for _ in range(2):
        fine = questions.held(np.linspace(before, first, 400))
        wrong = np.flatnonzero(~(questions.ask(np.column_stack([fine, fine])) == 0.5).all(axis=1))
        if not wrong.size or not wrong[0]:
            break
        before, first = float(fine[wrong[0] - 1]), float(fine[wrong[0]])
    return first


def _of_a_sample(questions: Questions, model: Shifted) -> Iterator[Model]:
    """Yield a shift that is left out where the first entry is small, whatever the others are."""
    high = float(min(2000.0, float(questions.format.largest) / 4))
    first = questions.held(np.linspace(-100, 100, 801))
    y = questions.ask(np.column_stack([first, np.full_like(first, high)]))
    lost = ~(y[:, 1] == 1)
    edge = np.flatnonzero(np.diff(lost.astype(int)) == -1)
    if len(edge) != 1 or lost[edge[0] + 1 :].any() or not lost[: edge[0] + 1].all():
        return
    limit = float(first[edge[0]])
    yield model(
        "shift.absent",
        f"nothing is subtracted where the first entry is at most {limit:g}",
        lambda z: np.where(z[..., :1] > limit, top(z), z.dtype.type(0)),
    )


def _of_a_scale(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield logits that are multiplied before the shift, and overflow, as the largest sound ones show."""
    high, low = _magnitude(questions, 1.0), _magnitude(questions, -1.0)
    if high is None or low is None or abs(high / low - 1) > 0.02:
        return
    scale = near(float(np.finfo(work).max) / high)
    named = (
        f"2^{round(math.log2(scale))}"
        if abs(math.log2(scale) - round(math.log2(scale))) < 0.02
        else f"{scale:.3g}"
    )
    exact = 2.0 ** round(math.log2(scale)) if named.startswith("2^") else scale

    def predict(x: Floats) -> Floats:
        with np.errstate(all="ignore"):
            z = x.astype(work)
            s = work.type(exact)
            e = np.exp((z * s - top(z) * s) / s)
            return questions.rounded((e / summed_up(e)).astype(np.float64))

    yield Model(
        "shift.overflows", f"logits are multiplied by about {named} before the shift, and overflow", predict
    )


def _magnitude(questions: Questions, sign: float) -> float | None:
    """Return the least power of two, from 2^20 on, of which two equal entries do not share 1/2, refined."""
    powers = sign * np.exp2(np.arange(20, questions.format.emax + 1, dtype=np.float64))
    if not len(powers):
        return None
    lost = ~(questions.ask(np.column_stack([powers, powers])) == 0.5).all(axis=1)
    if not lost.any() or lost[0]:
        return None
    at = float(powers[np.flatnonzero(lost)[0]])
    fine = questions.held(np.linspace(at / 2, at, 400))
    gone = ~(questions.ask(np.column_stack([fine, fine])) == 0.5).all(axis=1)
    return abs(float(fine[np.flatnonzero(gone)[0]])) if gone.any() else abs(at)


def _of_two_maxima(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield numerators and a sum that are shifted differently, by what a lone entry of that height shows."""
    some = questions.held(np.asarray([0.3, 1.7, 3.3, 10.1, -5.7, 77.7, 1234.5]))
    y = _lone(questions, some)
    u = 2.0**-questions.out.precision
    if not (np.abs(y - 1) < 1 / 2).all() or not (np.abs(y - 1) > 2 * u).any() or np.ptp(y) <= u:
        return
    sound = softmax_of(questions, work)
    wide = type(sound)(work, lambda v: np.asarray(v, dtype=np.float64))
    at = int(np.abs(y - 1).argmax())

    def predict(x: Floats) -> Floats:
        return questions.rounded(wide(x) * _lone(questions, x.max(axis=1))[:, None])

    yield Model(
        "shift.twice",
        "the numerators and the sum are shifted by different numbers: a lone entry of"
        f" {some[at]:g} comes out as {y[at]:.6g}",
        predict,
        general=True,
    )


def _lone(questions: Questions, heights: Floats) -> Floats:
    """Return the output of a lone entry of each height, the other being far below."""
    below = -np.inf if questions.format.has_infinity else -float(questions.format.largest)
    heights = np.where(np.isfinite(heights), heights, 0)
    y: Floats = questions.ask(np.column_stack([heights, np.full_like(heights, below)]))[:, 0]
    return y


def of_any_shift(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield a shift by whatever number, where rows near 0 are sound and others overflow or vanish."""
    sound = softmax_of(questions, work)
    if not _is_sound_near_0(questions, sound):
        return

    def predict(x: Floats) -> Floats:
        y, right = questions.ask(x), sound(x)
        near = _alike(questions, y, right)
        fits = np.zeros_like(near)
        for row in np.flatnonzero(~near):
            tried = (_shifted(questions, work, x[row], offset) for offset in _offsets(work, x[row], y[row]))
            fits[row] = any(_alike(questions, y[[row]], said[None])[0] for said in tried)
        return np.where(near[:, None], right, np.where(fits[:, None], y, OTHER))

    said = (
        "what is subtracted is not the maximum: rows far from 0 overflow or vanish, and rows near 0 are sound"
    )
    yield Model("shift.not_max", said, predict, general=True)


def _is_sound_near_0(questions: Questions, sound: Callable[[Floats], Floats]) -> bool:
    generator = np.random.default_rng(0)
    for length in (7, 40, 330):
        x = questions.held(generator.uniform(-4, 4, (16, length)))
        if questions.format.has_infinity:
            x[np.arange(8), generator.integers(length, size=8)] = -np.inf
        if not _alike(questions, questions.ask(x), sound(x)).all():
            return False
    return True


def _offsets(work: np.dtype[Any], x: Floats, y: Floats) -> Iterator[float]:
    """Yield numbers by which what is subtracted may be below or above the maximum, as a row shows it."""
    t, most = x - x.max(), math.log(float(np.finfo(work).max))
    lost = np.isnan(y)
    if lost.any() and not lost.all():  # the least exponential that is infinite, and the largest that is not
        yield (float(t[lost].min()) + float(t[~lost].max())) / 2 - most
    yield from (-4 * most, 4 * most)
    yield from np.linspace(0.05, 1.2, 60) * most


def _shifted(questions: Questions, work: np.dtype[Any], x: Floats, offset: float) -> Floats:
    """Return a row's outputs where the maximum and a number more are subtracted."""
    with np.errstate(all="ignore"):
        e = np.exp((x - x.max() - offset).astype(work))
        return questions.rounded((e / e.sum()).astype(np.float64))


def _alike(questions: Questions, y: Floats, other: Floats) -> NDArray[np.bool_]:
    """Tell which rows are alike, but for roundings of exponentials near the least number."""
    loose, least = 1 / 64, 64 * float(questions.out.smallest_subnormal)
    near = np.abs(y - other) <= loose * np.abs(other) + least
    return np.asarray(np.all(near | (np.isnan(y) & np.isnan(other)), axis=1))
