"""Why a candidate fails: the part whose model says what the failing rows give, and what the sound ones do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from harness.explanation.anatomy import Anatomy, anatomy_of
from harness.explanation.models import Model, models_of
from harness.explanation.questions import Questions
from harness.explanation.violations import Shown, shown_rows
from harness.subject.subject import Subject
from reference.tiers import TIERS

__all__ = ["CODES", "Cause", "Explanation", "explanation_of"]

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "shift.absent": "nothing is subtracted before exp",
        "shift.constant": "a constant is subtracted, whatever the row",
        "shift.not_max": "something other than the maximum is subtracted",
        "shift.narrowed": "x - max is kept in a narrower format",
        "max.omits": "the maximum is taken over a part of the row",
        "exp.wrong_base": "powers of another base than e",
        "exp.clamped": "exp keeps the value of a least argument below it",
        "exp.cut": "exp is 0 below an argument where it has a value",
        "exp.inaccurate": "exp itself is off",
        "sum.omits": "entries are left out of the sum",
        "sum.repeats": "entries are counted more than once",
        "sum.padded": "padding is counted",
        "sum.stagnates": "the sum stands still",
        "sum.accumulator": "the sum is kept in a narrower format",
        "sum.not_rescaled": "blocks are merged without the right rescaling",
        "divide.epsilon": "something is added to the sum before the division",
        "divide.logarithm": "the division is a subtraction of a logarithm that is rounded too early",
        "divide.by_the_mean": "the division is by the mean of the exponentials",
        "output.narrowed": "outputs pass through a narrower format",
        "output.flushed": "outputs below the normal range are returned as 0",
        "output.clamped": "outputs are kept between two bounds",
        "output.offset": "a constant is added to every output",
        "output.cut": "outputs below a threshold are returned as 0",
        "input.narrowed": "logits pass through a narrower format",
        "mask.sentinel": "a finite number stands for -inf",
        "mask.leaks": "a masked entry does not come out as 0",
        "depends.batch": "a row's outputs depend on the rows beside it",
        "policy.nan": "rows with NaN are not as the policy says",
        "policy.inf": "rows with +inf are not as the policy says",
        "policy.masked": "rows of nothing but -inf are not as the policy says",
    }
)
"""Every code, and what it stands for."""

_POLICIES: Final = {"nan_row": "policy.nan", "pos_inf": "policy.inf", "masked_row": "policy.masked"}

ACCOUNTED: Final = 0.9
"""The share of failing rows that a cause must account for."""

SOUND: Final = 0.98
"""The share of sound rows of which its model must say what they give."""

ALONE: Final = 8
"""Failing rows of a length that are called alone."""

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
    """

    code: str
    sentence: str
    accounts: int
    violations: int
    sound: int
    others: int

    def line(self) -> str:
        """Return it as one line."""
        return (
            f"{self.code}: {self.sentence}; accounts for {self.accounts} of {self.violations} failing rows,"
            f" and for {self.sound} of {self.others} sound ones"
        )


@dataclass(frozen=True)
class Explanation:
    """What a candidate is made of, and why it fails a tier.

    Attributes:
        anatomy: its parts.
        tier: the tier that it was held to.
        violations, rows: how many rows fail, of how many.
        cause: why; None where nothing fails or nothing accounts for it.
        fault: how the first call failed that did; empty where none did.
    """

    anatomy: Anatomy
    tier: str
    violations: int
    rows: int
    cause: Cause | None
    fault: str = ""

    def line(self) -> str:
        """Return why it fails, in one line."""
        if not self.violations:
            return f"no row of {self.rows} misses the tier {self.tier}"
        if self.cause is None:
            return f"unexplained: {self.violations} of {self.rows} rows miss the tier {self.tier}"
        return self.cause.line()

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        cause = None if self.cause is None else vars(self.cause)
        failing = {"tier": self.tier, "violations": self.violations, "rows_tried": self.rows, "cause": cause}
        return {**failing, **self.anatomy.document()}


@np.errstate(all="ignore")
def explanation_of(subject: Subject, length: int | None = None, tier: str | None = None) -> Explanation:
    """Open a candidate, hold it to a tier, and say why rows fail it; to `fast` where none is given."""
    questions = Questions(subject)
    anatomy = anatomy_of(questions, length)
    held = tier or ("fast" if TIERS["fast"].takes(subject.out) else "wide")
    shown = shown_rows(subject, held)
    violations = sum(int(s.refused.sum()) for s in shown)
    rows = sum(len(s.x) for s in shown)
    cause = _cause(questions, anatomy, shown) if violations else None
    return Explanation(anatomy, held, violations, rows, cause, questions.fault)


def _cause(questions: Questions, anatomy: Anatomy, shown: Sequence[Shown]) -> Cause | None:
    """Return the cause that accounts for most, if any accounts for enough.

    Where causes of different codes account for equally much, rows do not tell them apart, and none is named.
    """
    if (of_policy := _of_policy(shown)) is not None:
        return of_policy
    if anatomy.part("dependence").facts["on"]:
        return _of_the_batch(questions.subject, shown)
    found = [_held(model, shown) for model in models_of(questions, anatomy)]
    good = [c for c in found if c.accounts >= ACCOUNTED * c.violations and c.sound >= SOUND * c.others]
    if not good:
        return None
    best = max(good, key=_rank)
    rivals = {c.code for c in good if _rank(c) == _rank(best)}
    return best if len(rivals) == 1 else None


def _rank(cause: Cause) -> tuple[int, int]:
    return cause.accounts, cause.sound


def _of_policy(shown: Sequence[Shown]) -> Cause | None:
    """Return the policy that is not kept, where nothing else fails."""
    by_policy: dict[str, int] = {}
    for s in shown:
        for key, count in s.policy.items():
            by_policy[key] = by_policy.get(key, 0) + count
    failing = sum(int(s.refused.sum()) for s in shown)
    if len(by_policy) != 1 or sum(by_policy.values()) != failing:
        return None
    code = _POLICIES[next(iter(by_policy))]
    rest = sum(int((~s.refused).sum()) for s in shown)
    return Cause(code, CODES[code], failing, failing, rest, rest)


def _of_the_batch(subject: Subject, shown: Sequence[Shown]) -> Cause | None:
    """Return the dependence on other rows, where rows fail among others, twice alike, and are sound alone."""
    accounts = violations = 0
    for s in shown:
        again = subject.outputs(subject.format.from_float64(s.x))
        if again is None or not np.array_equal(subject.out.to_float64(again), s.y, equal_nan=True):
            return None  # chance, or what came before
        for row in np.flatnonzero(s.refused & s.exactly)[:ALONE]:
            y = subject.outputs(subject.format.from_float64(s.x[row : row + 1]))
            slack = np.nan_to_num(s.slack[row], nan=0.0)
            violations += 1
            if y is not None:
                accounts += bool((np.abs(subject.out.to_float64(y)[0] - s.exact[row]) <= slack).all())
    if not violations or accounts < ACCOUNTED * violations:
        return None
    sentence = "a row's outputs depend on the rows beside it: alone, rows that fail are sound"
    return Cause("depends.batch", sentence, accounts, violations, 0, 0)


def _held(model: Model, shown: Sequence[Shown]) -> Cause:
    """Hold a model against failing and sound rows that have an exact result."""
    accounts = violations = sound = others = 0
    for s in shown:
        said = model.predict(s.x)
        with np.errstate(all="ignore"):
            apart = np.abs(s.y - said)
            own = np.abs(s.y - s.exact)
        same = (apart == 0) | (np.isnan(s.y) & np.isnan(said)) | (s.y == said)
        near = same | (apart <= 2 * np.nan_to_num(s.slack, nan=0.0))
        wrong = ~(own <= 0.9 * np.nan_to_num(s.slack, nan=0.0))
        explained = (same | np.where(wrong, apart <= CLOSE * own, near)).all(axis=1)
        failing, right = s.refused & s.exactly, ~s.refused & s.exactly
        accounts += int((explained & failing).sum())
        violations += int(failing.sum())
        sound += int((near.all(axis=1) & right).sum())
        others += int(right.sum())
    return Cause(model.code, model.sentence, accounts, violations, sound, others)
