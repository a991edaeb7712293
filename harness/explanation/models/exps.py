"""Models with a wrong exponential: of another base, clamped, cut off, kept narrow, or as it was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from harness.explanation.anatomy import Anatomy
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

__all__ = ["of_exp"]

SHOWS: Final = 1e-5
"""The relative error of an exponential that six digits show."""

ASKED: Final = 1 << 18
"""Arguments of one call whose exponentials are asked for; those of more are not."""


def of_exp(questions: Questions, anatomy: Anatomy, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield models with a wrong exponential."""

    def model(code: str, sentence: str, exp: Callable[[Any], Any], accepted: str = "") -> Model:
        return Model(code, sentence, softmax_of(questions, work, exp=exp), accepted=accepted)

    curve = anatomy.curve
    d, values = curve.arguments, curve.values
    some = (d < -4) & (values > 64 * float(questions.out.smallest_normal))  # less is too uncertain
    if some.any():
        with np.errstate(all="ignore"):
            ratio = np.log(values[some]) / d[some]
        scale = float(np.median(ratio))
        if abs(scale - 1) > 2 * 2.0**-questions.out.precision and np.ptp(ratio) < abs(scale - 1) / 4:
            base = "2" if abs(scale - math.log(2)) < 0.001 else f"e^{scale:.6g}"
            yield model(
                "exp.wrong_base",
                f"powers of {base}, not of e",
                lambda t: np.exp(t.astype(np.float64) * scale).astype(t.dtype),
            )
            scaled = questions.rounded(np.asarray([scale])).item()
            yield Model(
                "exp.wrong_base",
                f"the softmax is that of the logits times {scaled:.6g}",
                softmax_of(questions, work, begin=lambda z: z * z.dtype.type(_simple(scale))),
            )
    tail = values[d < 0.97 * d.min()]
    if len(tail) and tail.min() == tail.max() > 0:
        least = math.log(float(tail[0]))
        if least < -1:
            yield model(
                "exp.clamped",
                f"exp keeps its value at {least:.4g} for all lower arguments",
                lambda t: np.exp(np.maximum(t, least)),
            )
    tiny, normal = float(np.finfo(work).tiny), float(questions.out.smallest_normal)
    yield model(
        "exp.flushed",
        f"exponentials below 2^{round(math.log2(tiny))} are 0",
        lambda t: (e := np.exp(t)) * (e >= tiny),
        FLUSHED if tiny <= normal else "",
    )
    last = curve.last
    if np.isfinite(last) and last < 0 and math.exp(last) > 8 * float(questions.out.smallest_subnormal):
        below, edge = _edge(questions, last, d)
        cut = _whole(edge, edge - below)
        yield model(
            "exp.cut",
            f"exp is 0 below about {cut:.6g}",
            lambda t: np.where(t < cut, 0, np.exp(t)),
            FLUSHED if math.exp(cut) <= normal else "",
        )
        share = math.exp(edge)
        decade = 10.0 ** round(math.log10(share))
        yield Model(
            "output.cut",
            f"outputs below {decade:g} are returned as 0",
            softmax_of(questions, work, end=lambda y: np.where(y < decade, 0, y)),
        )
    for narrow in NARROW:
        if narrow.storage_bits < 8 * work.itemsize:
            yield model("exp.inaccurate", f"exp is computed in {narrow.name}", _exp_in(narrow.dtype))
    said = f"exp itself is off: {_worst(questions, d, values)}"
    yield Model("exp.inaccurate", said, _as_measured(questions, work), general=True)


def _edge(questions: Questions, last: float, d: Floats) -> tuple[float, float]:
    """Return the two arguments between which exp becomes 0, next to each other or nearly so."""
    beyond = d[d < last]
    below = float(beyond.max()) if len(beyond) else last - 1
    for _ in range(3):
        fine = np.unique(questions.held(np.linspace(below, last, 400)))
        alive = questions.ask(np.column_stack([np.zeros_like(fine), fine]))[:, 1] > 0
        if not alive.any() or alive[0]:
            break
        at = int(alive.argmax())
        below, last = float(fine[at - 1]), float(fine[at])
    return below, last


def _as_measured(questions: Questions, work: np.dtype[Any]) -> Predict:
    """Return a softmax with the exponentials that rows of two entries show, one the maximum."""

    def predict(x: Floats) -> Floats:
        with np.errstate(all="ignore"):
            z = x.astype(work)
            e = np.exp(z - top(z))
            known = np.isfinite(e) & np.isfinite(x) & (z < top(z))
            pairs = np.column_stack([np.broadcast_to(top(x), x.shape)[known], x[known]])
            pairs, where = np.unique(pairs, axis=0, return_inverse=True)
            if len(pairs) > ASKED:
                return np.full_like(x, np.nan)
            if len(pairs):
                e[known] = _quotients(questions.ask(pairs))[where.ravel()]
            return questions.rounded((e / summed_up(e)).astype(np.float64))

    return predict


def _quotients(y: Floats) -> Floats:
    """Return the exponentials that outputs of two entries show; the first entry is the maximum."""
    infinite = (y[:, 0] == 0) & np.isnan(y[:, 1])  # inf / inf
    with np.errstate(all="ignore"):
        return np.where(infinite, np.inf, y[:, 1] / y[:, 0])


def _worst(questions: Questions, d: Floats, values: Floats) -> str:
    """Say by what values are off most, among normal numbers if it shows there."""
    normal = np.exp(d) > 4 * float(questions.out.smallest_normal)
    with np.errstate(all="ignore"):
        off = np.nan_to_num(np.abs(np.log(values / np.exp(d))), nan=np.inf, posinf=np.inf)
        off[np.exp(d) < 4 * float(questions.out.smallest_subnormal)] = 0
    if normal.any() and off[normal].max() > SHOWS:
        off[~normal] = 0
    at = int(off.argmax())
    true = math.exp(d[at])
    return f"exp({d[at]:.6g}) comes out as {values[at]:.6g} where it is {true:.6g}"


def _exp_in(narrow: np.dtype[Any]) -> Callable[[Any], Any]:
    return lambda t: np.exp(t.astype(narrow)).astype(t.dtype)


def _simple(value: float) -> float:
    """Return the number of three decimals close by, where there is one within a thousandth."""
    return round(value, 3) if abs(round(value, 3) - value) < 1e-3 * abs(value) else value


def _whole(value: float, within: float) -> float:
    """Return the whole number close by, where there is one within the uncertainty."""
    return float(round(value)) if abs(round(value) - value) <= within else value
