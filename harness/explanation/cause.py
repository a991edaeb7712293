"""A cause, and how it is held against rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.codes import ALIKE
from harness.explanation.models import Model
from harness.explanation.violations import Shown

__all__ = ["ACCOUNTED", "SOUND", "Cause", "best_of", "held"]

ACCOUNTED: Final = 0.9
"""The share of failing rows that a cause must account for."""

SOUND: Final = 0.98
"""The share of sound rows of which its model must say what they give."""

CLOSER: Final = 1 / 2
"""The share of another model's wrong bits that a model may have to be told from it."""

CLOSE: Final = 0.25
"""The share of an error that may be left between an output and the model's."""


@dataclass(frozen=True)
class Cause:
    """Why rows fail.

    Attributes:
        code: of `CODES`.
        sentence: the part, with its place.
        accounts, violations: the failing rows that it accounts for, and all.
        sound, others: the rows that meet the tier of which it says what they give, and all.
        accepted: what accepts them all, as people give it; empty where nothing is known to.
    """

    code: str
    sentence: str
    accounts: int
    violations: int
    sound: int = 0
    others: int = 0
    accepted: str = ""

    @property
    def holds(self) -> bool:
        """Whether it accounts for enough."""
        enough = self.accounts >= ACCOUNTED * self.violations > 0
        return enough and self.sound >= SOUND * self.others

    def line(self) -> str:
        """Return it as one line."""
        more = f", and fits {self.sound} of {self.others} sound rows" if self.others else ""
        allowed = f"; `{self.accepted}` allows that" if self.accepted else ""
        return (
            f"{self.code}: {self.sentence}; accounts for {self.accounts} of {self.violations} failing rows"
            f"{more}{allowed}"
        )

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return dict(vars(self))


def held(model: Model, shown: Sequence[Shown], where: Callable[[int], bool] | None = None) -> Cause:
    """Hold a model against failing and sound rows that have an exact result.

    Args:
        model: what is held.
        shown: the rows.
        where: the lengths at which the part is wrong, the softmax being sound at others; None for all.
    """
    violations = sum(int((s.refused & s.exactly).sum()) for s in shown)
    others = sum(int((~s.refused & s.exactly).sum()) for s in shown)
    accounts = sound = lost = missed = 0
    for s in shown:
        failing, right = s.refused & s.exactly, ~s.refused & s.exactly
        if where is not None and not where(s.x.shape[1]):
            near, explained = right, np.zeros_like(failing)
        else:
            near, explained = _agreement(model, s)
        accounts += int((explained & failing).sum())
        sound += int((near & right).sum())
        lost += int((~explained & failing).sum())
        missed += int((~near & right).sum())
        if lost > (1 - ACCOUNTED) * violations or missed > (1 - SOUND) * others:
            break  # it can account for enough no more
    return Cause(model.code, model.sentence, accounts, violations, sound, others, model.accepted)


def _agreement(model: Model, s: Shown) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of which sound rows a model says what they give, and of which failing ones."""
    said = model.predict(s.x)
    with np.errstate(all="ignore"):
        apart = np.abs(s.y - said)
        own = np.abs(s.y - s.exact)
    same = (apart == 0) | (np.isnan(s.y) & np.isnan(said)) | (s.y == said)
    slack = np.nan_to_num(s.slack, nan=0.0)
    near = same | (apart <= 2 * slack)
    wrong = ~(own <= 0.9 * slack) | ((s.y == 0) & (s.exact != 0) & s.refused[:, None])
    explained = same | np.where(wrong, apart <= CLOSE * own, near)
    return near.all(axis=1), explained.all(axis=1)


def best_of(found: Sequence[tuple[Cause, Model]], shown: Sequence[Shown]) -> Cause | None:
    """Return the cause that accounts for most.

    Of causes with different codes that account for equally much, the one is returned whose model has the bits
    of most outputs, if by far. Else rows do not tell them apart, and none is returned, unless they
    are ways to say the same.
    """
    if not found:
        return None
    most = max(map(_rank, (cause for cause, _ in found)))
    rivals = {c.code: (c, model) for c, model in reversed(found) if _rank(c) == most}
    for alike in ALIKE:
        if set(rivals) <= set(alike):
            return next(rivals[code][0] for code in alike if code in rivals)
    if len(rivals) > 1:
        off = {code: _other_bits(model, shown) for code, (_, model) in rivals.items()}
        first, second = sorted(off, key=off.__getitem__)[:2]
        return rivals[first][0] if off[first] < CLOSER * off[second] else None
    return next(iter(rivals.values()))[0]


def _rank(cause: Cause) -> tuple[int, int]:
    return cause.accounts, cause.sound


def _other_bits(model: Model, shown: Sequence[Shown]) -> int:
    """Return how many outputs of rows with an exact result are not what a model says."""
    off = 0
    for s in shown:
        y, said = s.y[s.exactly], model.predict(s.x[s.exactly])
        off += int(((y != said) & ~(np.isnan(y) & np.isnan(said))).sum())
    return off
