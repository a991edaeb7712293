"""Outputs, logits or differences that are whole multiples of a step, as fixed-point numbers are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from harness.explanation.models.model import Floats, Model, softmax_of
from harness.explanation.questions import Questions

__all__ = ["of_steps"]

POINTS: Final = 1500
WIDTHS: Final = (64.0, 8.0, 1.0, 0.125, 2.0**-6, 2.0**-9)
"""Ranges of arguments in which steps are looked for, each with a step from a hundredth to a fifth of it."""

FEW: Final = 0.5
"""The share of the numbers asked for that there are, where they are rounded to steps."""

LEAST: Final = 5
COARSE: Final = 6
"""Units of the last place of 1 that a step has at least; finer ones are no steps."""


def of_steps(questions: Questions, work: np.dtype[Any]) -> Iterator[Model]:
    """Yield outputs, logits and differences in steps, where rows show equal steps."""
    d = np.unique(questions.held(-np.linspace(0, 9, POINTS)))
    y = questions.ask(np.column_stack([np.zeros_like(d), d]))
    if (step := _step(np.unique(y[:, 1]), len(d), COARSE * 2.0**-questions.out.precision)) is not None:
        for said, whole in _roundings():
            yield Model(
                "output.quantised",
                f"outputs are {said} multiples of {_named(step)}",
                softmax_of(questions, work, end=_in_steps(step, whole)),
            )
    if (step := _step_of_logits(questions)) is None:
        return
    for said, whole in _roundings():
        kept = _in_steps(step, whole)
        where = f"{said} multiples of {_named(step)}"
        for begin in (kept, _by_a_product(1 / step, whole)):
            yield Model("input.quantised", f"logits are {where}", softmax_of(questions, work, begin=begin))
        rounded = softmax_of(questions, work, exp=lambda t, kept=kept: np.exp(kept(t)))
        yield Model("exp.inaccurate", f"exp has steps: its arguments are {where}", rounded)


def _step(values: Floats, asked: int, least: float) -> float | None:
    """Return the step of which all values are multiples; None where there is none."""
    if not LEAST <= len(values) <= FEW * asked or not np.isfinite(values).all():
        return None
    step = float(np.median(np.diff(values)))
    if step < least:
        return None
    step = _whole(_over_all(values, step), least / 64)
    off = np.abs(values / step - np.rint(values / step))
    return step if (off < 1 / 4).all() else None


def _step_of_logits(questions: Questions) -> float | None:
    u = 2.0**-questions.out.precision
    for width in WIDTHS:
        d = np.unique(questions.held(-1 - np.linspace(0, width, POINTS)))
        y = questions.ask(np.column_stack([np.zeros_like(d), d]))
        with np.errstate(all="ignore"):
            seen = np.log(y[:, 1] / y[:, 0])
        seen = np.unique(
            np.round(seen[np.isfinite(seen)] / u) * u
        )  # nearer ones are the same in other roundings
        apart = np.diff(seen)
        distinct = seen[np.append(True, apart > 8 * u)] if len(seen) else seen
        step = float(np.median(np.diff(distinct))) if len(distinct) >= LEAST else 0.0
        if step < COARSE * u or len(distinct) > FEW * len(d):
            continue
        step = _whole(_over_all(distinct, step), u)
        off = np.abs(distinct / step - np.rint(distinct / step))
        if (off < max(1 / 64, 8 * u / step)).all():
            return step
    return None


def _over_all(values: Floats, step: float) -> float:
    """Return a step from the whole range of values, of which it is known within roundings of one step."""
    span = float(values[-1] - values[0])
    return span / max(1, round(span / step))


def _whole(step: float, within: float) -> float:
    """Return a step that people would write, where there is one nearby."""
    for value in (1 / round(1 / step) if step < 0.7 else 0.0, float(round(step))):
        if value and abs(value - step) <= max(within / 4, 1e-3 * step):
            return value
    return step


def _named(step: float) -> str:
    return f"1/{round(1 / step)}" if step < 1 and (1 / step).is_integer() else f"{step:.6g}"


def _roundings() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    yield "rounded to", np.rint
    yield "rounded down to", np.floor
    yield "cut to", np.trunc


def _in_steps(step: float, whole: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def rounded(v: Any) -> Any:
        with np.errstate(all="ignore"):
            multiples = whole(v.astype(np.float64) / step) * step
            return np.where(np.isfinite(v), multiples, v).astype(v.dtype)

    return rounded


def _by_a_product(factor: float, whole: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the rounding of v to whole numbers over a factor, whose product may overflow."""
    return lambda v: whole(v * v.dtype.type(factor)) / v.dtype.type(factor)
