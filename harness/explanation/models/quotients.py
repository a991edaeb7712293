"""Models with a wrong division, or outputs that are changed after it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from harness.explanation.models.model import (
    FLUSHED,
    NARROW,
    Floats,
    Model,
    Predict,
    softmax_of,
    summed_up,
    top,
)
from harness.explanation.questions import Questions

__all__ = ["of_division", "of_output"]

LONG_ROWS: Final = (4200, 33_000, 70_001)

LOOSE: Final = 1 / 2
"""What is off by a larger share than this is no approximate quotient."""


def of_division(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield models with a wrong division."""
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
            softmax_of(questions, work, divide=lambda e, s: e / (s + s.dtype.type(eps))),
        )
    if 0 < y[1] < y[0] and (y[1:] == y[1]).all():
        least = float(y[1])
        yield Model(
            "output.clamped",
            f"outputs are kept from {least:.3g} to {float(y[0]):.9g}",
            softmax_of(questions, work, end=lambda v: np.clip(v, least, max(least, float(y[0])))),
        )
        yield Model(
            "output.offset",
            f"{least:.3g} is added to every output",
            softmax_of(questions, work, end=lambda v: v + least),
        )
    yield Model(
        "divide.by_the_mean",
        "exponentials are divided by their mean, not by their sum",
        softmax_of(questions, work, total=lambda e: e.mean(axis=-1, keepdims=True)),
    )
    yield Model(
        "divide.renormalised",
        "the last output is 1 minus the sum of the others",
        softmax_of(questions, work, end=_last_by_the_others),
    )
    for narrow in NARROW:
        if narrow.storage_bits < 8 * work.itemsize:
            yield Model(
                "divide.logarithm",
                f"exp(x - max - log sum): the logarithm is kept in {narrow.name}",
                _by_a_logarithm(questions, work, narrow.dtype),
            )
            yield Model(
                "divide.approximate",
                f"the reciprocal of the sum is kept in {narrow.name}",
                softmax_of(questions, work, divide=_by_a_reciprocal(narrow.dtype)),
            )
    yield from _as_measured(questions, work)


def _last_by_the_others(y: Any) -> Any:
    last = np.maximum(1 - summed_up(y[..., :-1]), 0)
    return np.concatenate([y[..., :-1], last], axis=-1)


def _by_a_reciprocal(narrow: np.dtype[Any]) -> Callable[[Any, Any], Any]:
    return lambda e, s: e * (1 / s).astype(narrow).astype(e.dtype)


def _by_a_logarithm(questions: Questions, work: np.dtype[Any], narrow: np.dtype[Any]) -> Predict:
    def predict(x: Floats) -> Floats:
        with np.errstate(all="ignore"):
            t = x.astype(work) - top(x.astype(work))
            lse = np.log(summed_up(np.exp(t))).astype(narrow).astype(work)
            return questions.rounded(np.exp(t - lse).astype(np.float64))

    return predict


def _as_measured(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield the quotient that another row of the same sum shows, where such rows show that it is off.

    The other row has zeros and one more term; so a sum that adds up wrongly is not taken for its quotient.
    """
    sums = np.concatenate([np.linspace(1, 9, 65), [12.5, 23.25, 40.0]])
    with np.errstate(all="ignore"):
        off = np.abs(_quotients(questions, 64, sums) * sums - 1)
    if not np.isfinite(off).all() or off.max() > LOOSE or off.max() < 4 * 2.0**-questions.out.precision:
        return
    at = int(off.argmax())
    said = f"the quotient by a sum is off, by a share of {off[at]:.3g} where the sum is {sums[at]:.4g}"

    def predict(x: Floats) -> Floats:
        with np.errstate(all="ignore"):
            z = x.astype(work)
            e = np.exp(z - top(z)).astype(work)
            s = summed_up(e)
            share = np.full(len(x), np.nan)
            known = np.isfinite(s[:, 0])
            share[known] = _quotients(questions, x.shape[-1], s[known, 0].astype(np.float64))
            return questions.rounded(e.astype(np.float64) * share[:, None])

    yield Model("divide.approximate", said, predict, general=True)


def _quotients(questions: Questions, length: int, sums: Floats) -> Floats:
    """Return the largest output of rows of a length with these sums, made of zeros and one more term."""
    if not len(sums):
        return sums
    whole = np.minimum(np.floor(sums), length).astype(int)
    x = np.where(np.arange(length) < whole[:, None], 0.0, questions.off)
    with np.errstate(all="ignore"):
        rest = np.log(np.maximum(sums - whole, 1e-300))
    more = (whole < length) & (rest > questions.off)
    x[np.flatnonzero(more), whole[more]] = rest[more]
    y: Floats = questions.ask(x)[:, 0]
    return y


# Outputs and inputs ------------------------------------------------------------------------


def of_output(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield models whose outputs, logits or differences pass through a narrower format, or are changed."""
    for narrow in NARROW:
        if narrow.storage_bits > questions.out.storage_bits or narrow == questions.out:
            continue
        name, kept = narrow.name, _through(narrow.dtype)
        yield Model("output.narrowed", f"outputs pass through {name}", softmax_of(questions, work, end=kept))
        yield Model("input.narrowed", f"logits pass through {name}", softmax_of(questions, work, begin=kept))
        yield Model(
            "input.narrowed",
            f"all is computed in {name}",
            softmax_of(questions, narrow.dtype)
            if name != "bfloat16"
            else softmax_of(questions, work, begin=kept),
        )
        rounded = softmax_of(questions, work, exp=_exp_of(kept))
        yield Model("shift.narrowed", f"x - max is kept in {name}", rounded)
    for between in NARROW[:2]:
        if questions.out.storage_bits < between.storage_bits:
            twice, name = softmax_of(questions, work, end=_through(between.dtype)), between.name
            yield Model("output.rounded_twice", f"outputs are rounded to {name} first, then once more", twice)
    tiny = float(questions.out.smallest_normal)
    yield Model(
        "output.flushed",
        f"outputs below 2^{questions.out.emin} are returned as 0",
        softmax_of(questions, work, end=lambda v: np.where(v < tiny, 0, v)),
        accepted=FLUSHED,
    )
    if questions.out.storage_bits < work.itemsize * 8:
        yield Model(
            "output.truncated",
            "outputs are rounded towards 0, not to nearest",
            _towards_zero(questions, softmax_of(questions, work)),
        )
    yield from _of_unwritten(questions, work)


def _of_unwritten(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield outputs that are 0 from a place on, whatever the row."""
    ends: dict[int, int] = {}

    def end_of(length: int) -> int:
        if length not in ends:
            alive = np.flatnonzero(questions.ask(np.zeros((1, length)))[0])
            ends[length] = int(alive[-1]) + 1 if len(alive) else length
        return ends[length]

    lengths = [n for n in (5, 300, 1030, *LONG_ROWS[: 0 if questions.is_slow else None]) if end_of(n) < n]
    if lengths:
        first = end_of(lengths[0])
        yield Model(
            "output.unwritten",
            f"outputs from number {first} on are 0",
            softmax_of(
                questions, work, end=lambda v: np.where(np.arange(v.shape[-1]) < end_of(v.shape[-1]), v, 0)
            ),
        )


def _towards_zero(questions: Questions, softmax: Any) -> Predict:
    wide = type(softmax)(softmax.work, lambda y: np.asarray(y, dtype=np.float64))

    def predict(x: Floats) -> Floats:
        exact = wide(x)
        nearest = questions.rounded(exact)
        out = questions.out
        held = np.where(np.isnan(exact), 0, nearest)
        below = out.ordinals(out.to_bits(out.from_float64(held))) - (held > exact)
        down = out.to_float64(out.from_bits(out.from_ordinals(below)))
        return np.where(np.isnan(exact), np.nan, down)

    return predict


def _through(narrow: np.dtype[Any]) -> Callable[[Any], Any]:
    return lambda v: v.astype(narrow).astype(v.dtype)


def _exp_of(kept: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda t: np.exp(kept(t))
