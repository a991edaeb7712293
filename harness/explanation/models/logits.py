"""Logits that are kept between two bounds, and rows that are filled up with zeros."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from harness.explanation.models.model import Floats, Model, Predict, near, softmax_of
from harness.explanation.questions import Questions
from harness.explanation.sums import SHORT_LENGTHS

__all__ = ["of_logits", "of_padding"]

POINTS: Final = 600
CAPPED: Final = 0.45
"""The output from which on the lower of two entries, at least 1 apart, is not seen to be lower."""

HIGH: Final = 80.0
"""Differences of logits that outputs show."""


def of_logits(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield logits that are kept between bounds, at once or smoothly."""
    high, low = _bound(questions, 1.0), _bound(questions, -1.0)
    bounds = [(low, high), (None, high), (low, None)]
    for least, most in bounds if high is not None or low is not None else ():
        if least is None and most is None:
            continue
        said = _said(least, most)

        def clipped(z: Any, least: float | None = least, most: float | None = most) -> Any:
            return np.clip(z, least, most).astype(z.dtype)

        yield Model("input.clamped", f"logits are kept {said}", softmax_of(questions, work, begin=clipped))
    cap = _seen(questions, float(questions.format.largest) / 4)
    if 0 < cap < HIGH:
        cap = near(cap)
        yield Model(
            "input.clamped",
            f"logits x are taken as {cap:g} tanh(x / {cap:g})",
            softmax_of(questions, work, begin=lambda z: (cap * np.tanh(z / cap)).astype(z.dtype)),
        )


def _said(least: float | None, most: float | None) -> str:
    if least is None:
        return f"at {most:g} and less"
    return f"at {least:g} and more" if most is None else f"between {least:g} and {most:g}"


def _seen(questions: Questions, height: float) -> float:
    """Return the logit that one of a height is taken for, as it stands above 0; infinite if hidden."""
    y = questions.ask(np.asarray([[height, 0.0]]))[0]
    return math.log(y[0] / y[1]) if (y > 0).all() else math.inf


def _bound(questions: Questions, sign: float) -> float | None:
    """Return the number beyond which logits of a sign are taken for it; None where there is none."""
    most = float(questions.format.largest) / 4
    v = np.unique(questions.held(np.geomspace(1, most, POINTS)))
    first = _first_alike(questions, v, sign)
    if first is None:
        return None
    if first:
        v = np.unique(questions.held(np.linspace(v[first - 1], v[first], POINTS)))
        first = _first_alike(questions, v, sign)
        if first is None:
            return None
    return near(float(sign * v[first]))


def _first_alike(questions: Questions, v: Floats, sign: float) -> int | None:
    """Return the first height from which on it and one farther out have the same outputs; None for none."""
    out = questions.held(v + np.maximum(1, v / 8))
    y = questions.ask(np.column_stack([sign * v, sign * out]))
    alike = y.min(axis=1) >= CAPPED
    if not alike[-1]:
        return None
    return int(len(v) - alike[::-1].argmin()) if not alike.all() else 0


def of_padding(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield rows that are filled up with zeros, as many as a lone entry at 0 shows."""
    known: dict[int, int] = {}

    def missing(length: int) -> int:
        if length not in known:
            x = np.full((1, length), questions.off)
            x[0, 0] = 0
            share = float(questions.ask(x)[0, 0])
            known[length] = max(0, round(1 / share - 1)) if 0 < share <= 1 else 0
        return known[length]

    if not any(missing(n) for n in SHORT_LENGTHS):
        return
    rules = (m for m in range(2, max(SHORT_LENGTHS)) if all(missing(n) == -n % m for n in SHORT_LENGTHS))
    width = next(rules, None)
    said = (
        f"to a multiple of {width}" if width else f"by {known[max(known, key=known.__getitem__)]} and fewer"
    )
    sound = softmax_of(questions, work)

    def filled(x: Floats) -> Floats:
        n = x.shape[1]
        more = -n % width if width else missing(n)
        return sound(np.concatenate([x, np.zeros((len(x), more))], axis=1))[:, :n]

    predict: Predict = filled
    yield Model("sum.padded", f"rows are filled up with zeros {said}, and they are counted", predict)
