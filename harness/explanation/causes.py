"""Why a candidate fails: the part whose model says what the failing rows give, and what the sound ones do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, get_args, get_type_hints

import numpy as np

from harness.explanation.allowance import Counted, Spent, calls_of_slow
from harness.explanation.anatomy import Anatomy, anatomy_of
from harness.explanation.cause import ACCOUNTED, Cause, best_of, held
from harness.explanation.codes import CODES
from harness.explanation.common import in_common
from harness.explanation.layouts import of_layout
from harness.explanation.lengths import Lengths, scanned
from harness.explanation.models import Model, last_of, models_of
from harness.explanation.prediction import Prediction, prediction_of
from harness.explanation.questions import SLOW, TIMED, Questions
from harness.explanation.stability import Beginning, beginning_of, of_calls, of_many_calls
from harness.explanation.violations import Shown, shown_rows
from harness.subject.subject import Subject
from reference.declaration import Policy
from reference.row_kinds import RowKind, row_kinds
from reference.tiers import TIERS

__all__ = ["Explanation", "explanation_of"]

ALONE: Final = 8
"""Failing rows of a length that are called alone."""

_POLICIES: Final = {
    "policy.masked": ("masked_row", RowKind.ALL_NEG_INF),
    "policy.inf": ("pos_inf", RowKind.POS_INF),
    "policy.nan": ("nan_row", RowKind.NAN),
}
"""The setting that speaks of a code's rows, and the kind of these."""

TIMES: Final = 3
"""Calls of failing rows, of a candidate whose outputs are not the same each time."""


@dataclass(frozen=True)
class Explanation:
    """What a candidate is made of, and why it fails a tier.

    Attributes:
        anatomy: its parts.
        tier: the tier that it was held to.
        violations, rows: how many rows fail, of how many.
        cause: why; None where nothing fails or nothing accounts for it.
        fault: how the first call failed that did; empty where none did.
        prediction: how many fresh rows had the bits that the anatomy predicts; None where none were asked.
        left_out: what a slow candidate was not asked; empty of others.
        common: what all failing rows have in common and no sound one has; empty where nothing was found.
    """

    anatomy: Anatomy
    tier: str
    violations: int
    rows: int
    cause: Cause | None
    fault: str = ""
    prediction: Prediction | None = None
    left_out: str = ""
    common: str = ""

    def line(self) -> str:
        """Return why it fails, in one line."""
        if self.cause is not None:
            return self.cause.line()
        if not self.rows:
            return "it gave no output for the rows that explain asks"
        if not self.violations:
            return f"none of the {self.rows:,} rows that explain asks misses the tier {self.tier}"
        common = f"; {self.common}" if self.common else ""
        return f"unexplained: {self.violations:,} of {self.rows:,} rows miss the tier {self.tier}{common}"

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        cause = None if self.cause is None else self.cause.document()
        failing = {"tier": self.tier, "violations": self.violations, "rows_tried": self.rows, "cause": cause}
        failing |= {"common": self.common} if self.common else {}
        failing |= {"left_out": self.left_out} if self.left_out else {}
        predicted = {} if self.prediction is None else {"prediction": self.prediction.document()}
        return {**failing, **predicted, **self.anatomy.document()}


@np.errstate(all="ignore")
def explanation_of(
    subject: Subject,
    length: int | None = None,
    tier: str | None = None,
    *,
    fresh: int = 0,
    notify: Callable[[str], None] = lambda _: None,
) -> Explanation:
    """Open a candidate, hold it to a tier, and say why rows fail it; to `fast` where none is given.

    Args:
        subject: whom.
        length: a length of the user's own to look at.
        tier: what rows are held to.
        fresh: rows whose bits are predicted.
        notify: called with a line on the calls of a slow candidate, before most of them.
    """
    counted = Counted(subject.executor)
    subject = subject.by(counted)
    questions = Questions(subject)
    begun = beginning_of(questions)
    if questions.is_slow:
        counted.limit(calls_of_slow(questions.seconds))
        notify(_limit(questions, counted.granted))
    anatomy = anatomy_of(questions, length)
    asked = tier or ("fast" if TIERS["fast"].takes(subject.out) else "wide")
    search = _Search(questions, begun, anatomy, asked, shown_rows(subject, asked))
    cause = prediction = None
    spent = ""
    try:
        cause = search.cause()
        prediction = prediction_of(questions, anatomy, fresh) if fresh else None
    except Spent:
        spent = f"its {counted.granted:,} calls were made before the search was done"
    return Explanation(
        anatomy,
        asked,
        search.violations,
        search.rows,
        cause,
        questions.fault,
        prediction,
        "; ".join(said for said in (_left_out(questions), spent) if said),
        in_common(search.shown),
    )


def _left_out(questions: Questions) -> str:
    if not questions.is_slow:
        return ""
    return (
        f"a call of three rows of {TIMED} entries takes more than {1000 * SLOW:g} ms: longer"
        " rows, other layouts and thousands of calls were not tried"
    )


def _limit(questions: Questions, calls: int) -> str:
    seconds = questions.seconds
    took = f"{seconds:.2g} s" if seconds >= 1 else f"{1000 * seconds:.2g} ms"
    return (
        f"{questions.subject.candidate.name}: a call of three rows of {TIMED} entries takes {took}; at most"
        f" {calls:,} calls follow"
    )


class _Search:
    """The search for the cause of what rows show.

    Attributes:
        shown: the rows, more of them where lengths were found at which rows fail.
    """

    def __init__(
        self, questions: Questions, begun: Beginning, anatomy: Anatomy, tier: str, shown: Sequence[Shown]
    ) -> None:
        self._questions = questions
        self._begun = begun
        self._anatomy = anatomy
        self._tier = tier
        self.shown = tuple(shown)

    @property
    def violations(self) -> int:
        """How many rows fail."""
        return sum(int(s.refused.sum()) for s in self.shown)

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(len(s.x) for s in self.shown)

    def cause(self) -> Cause | None:
        """Return the cause; None where none accounts for enough, or several of different codes do."""
        finders: tuple[Callable[[], Cause | None], ...] = (
            self._of_calls,
            self._of_signs,
            self._of_policy,
            self._of_the_batch,
            self._of_models,
            self._of_lengths,
            self._of_the_last,
            self._of_the_contract,
        )
        for finder in finders:  # what is nearer to the cause than to its effects comes first
            if (found := finder()) is not None:
                return found
        return None

    # Calls -----------------------------------------------------------------------------

    def _of_calls(self) -> Cause | None:
        found = of_calls(self._questions, self._begun)
        if found is None or found.code != "depends.run" or not self.violations:
            return found
        return found if self._are_sound_sometimes() else None

    def _are_sound_sometimes(self) -> bool:
        """Tell whether the failing rows are sound in some of a few calls; else it is not chance."""
        sound = failing = 0
        for s in self.shown:
            rows = s.refused & s.exactly
            if rows.any():
                slack = np.nan_to_num(s.slack[rows], nan=0.0)
                tries = [self._questions.ask(s.x)[rows] for _ in range(TIMES)]
                right = [(np.abs(y - s.exact[rows]) <= slack).all(axis=1) for y in tries]
                sound += int(np.logical_or.reduce(right).sum())
                failing += int(rows.sum())
        return sound >= ACCOUNTED * failing

    def _of_the_batch(self) -> Cause | None:
        """Return the dependence on other rows: rows fail among others, twice alike, and are sound alone."""
        subject = self._questions.subject
        accounts = violations = 0
        for s in self.shown:
            if not (s.refused & s.exactly).any():
                continue
            again = subject.outputs(subject.format.from_float64(s.x))
            if again is None or not np.array_equal(subject.out.to_float64(again), s.y, equal_nan=True):
                return None
            for row in np.flatnonzero(s.refused & s.exactly)[:ALONE]:
                y = subject.outputs(subject.format.from_float64(s.x[row : row + 1]))
                slack = np.nan_to_num(s.slack[row], nan=0.0)
                violations += 1
                if y is not None:
                    alone = subject.out.to_float64(y)[0]
                    other = not np.array_equal(alone, s.y[row], equal_nan=True)
                    accounts += other and bool((np.abs(alone - s.exact[row]) <= slack).all())
        if not violations or accounts < ACCOUNTED * violations:
            return None
        sentence = "a row's outputs depend on the rows beside it: failing rows are right when called alone"
        return Cause("depends.batch", sentence, accounts, violations)

    # Policy ----------------------------------------------------------------------------

    def _of_policy(self) -> Cause | None:
        """Return the policy that is not kept, where no row with an exact result fails."""
        if not self.violations or any((s.refused & s.exactly).any() for s in self.shown):
            return None
        failing = np.concatenate([_kinds(s.x[s.refused]) for s in self.shown])
        rest = sum(int((~s.refused).sum()) for s in self.shown)
        nan, inf, masked = np.asarray(failing.all(axis=0)).tolist()
        numbers = all(not np.isnan(s.y[s.refused]).any() for s in self.shown)
        for code, holds, said in (
            ("policy.masked", masked, "rows of nothing but -inf are not as the policy says"),
            ("policy.inf", inf, "rows with +inf are not as the policy says"),
            ("policy.nan", nan, "rows with NaN are not as the policy says"),
            ("policy.nan", numbers, "NaN never comes out: rows that ought to give it give numbers"),
        ):
            if holds:
                count = len(failing)
                return Cause(code, said, count, count, rest, rest, self._policy_that_accepts(code))
        return None

    def _policy_that_accepts(self, code: str) -> str:
        """Return the narrowest policy that accepts what rows of a kind give; empty where none does."""
        key, kind = _POLICIES[code]
        if any(set(s.policy) - {key} for s in self.shown):
            return ""
        fits: list[dict[str, Any]] = []
        for s in self.shown:
            chosen = row_kinds(s.x) == kind
            fits.append(self._questions.subject.op.policy_fits(s.x[chosen], s.y[chosen]))
        values = get_args(get_type_hints(Policy)[key])
        narrow = (v for v in values if v != "any" and all(bool(each[v].all()) for each in fits))
        return f"--policy {key}={next(narrow, 'any')}"

    def _of_signs(self) -> Cause | None:
        """Return that outputs are -0, where rows that have one fail, and nothing else is wrong in them."""
        accounts = violations = 0
        masked = True
        for s in self.shown:
            negative = (s.y == 0) & np.signbit(s.y)
            masked &= bool(np.isneginf(s.x[negative]).all())
            slack = np.nan_to_num(s.slack, nan=0.0)
            others = np.where(np.isnan(s.exact), np.isnan(s.y), np.abs(s.y - s.exact) <= slack)
            only = negative.any(axis=1) & (negative | others).all(axis=1)
            accounts += int((s.refused & only).sum())
            violations += int(s.refused.sum())
        if not violations or accounts < violations:
            return None
        said = "masked entries come out as -0" if masked else CODES["output.negative_zero"]
        return Cause("output.negative_zero", said, accounts, violations)

    # Models ----------------------------------------------------------------------------

    def _of_models(self) -> Cause | None:
        return self._best() if self.violations else None

    def _best(self, lengths: Lengths | None = None) -> Cause | None:
        """Return the cause that accounts for most, if any accounts for enough.

        One that is fitted to a curve is named only where none of few constants holds.
        """
        odd = None if lengths is None else set(lengths.odd)
        chosen = () if lengths is None else lengths.chosen()
        where = None if odd is None else odd.__contains__
        good: list[tuple[Cause, Model]] = []
        general: list[Model] = []
        for model in models_of(self._questions, self._anatomy, chosen):
            if model.general:
                general.append(model)
            elif (found := held(model, self.shown, where)).holds:
                good.append((found, model))
        if not good:
            good = [(c, model) for model in general if (c := held(model, self.shown, where)).holds]
        return best_of(good, [s for s in self.shown if where is None or where(s.x.shape[1])])

    def _of_lengths(self) -> Cause | None:
        """Return the cause of what fails at some lengths alone, where rows of other lengths are all sound."""
        if self.violations and all(s.refused.any() for s in self.shown):
            return None
        lengths = scanned(self._questions)
        if (changed := of_calls(self._questions, self._begun)) is not None:  # after thousands of calls
            return changed
        if not lengths.some:
            return None
        known = {s.x.shape[1] for s in self.shown if s.refused.any()}
        more = tuple(n for n in lengths.chosen() if n not in known)
        if len(known & set(lengths.odd)) < len(more):
            self.shown += shown_rows(self._questions.subject, self._tier, more)
        if not self.violations:
            return None
        found = self._best(lengths)
        return None if found is None else replace(found, sentence=f"{found.sentence}; {lengths.rule()}")

    def _of_the_last(self) -> Cause | None:
        """Return what says least, where rows fail and nothing says more."""
        if not self.violations:
            return None
        found = [(held(model, self.shown), model) for model in last_of(self._questions)]
        return best_of([(cause, model) for cause, model in found if cause.holds], self.shown)

    def _of_the_contract(self) -> Cause | None:
        """Return what other calls than plain ones show, where the plain ones are sound."""
        if self.violations or self._questions.is_slow:
            return None
        return of_layout(self._questions.subject) or of_many_calls(self._questions)


def _kinds(x: Any) -> Any:
    """Return of rows whether they hold NaN, whether they hold +inf, and whether all is -inf: shape (k, 3)."""
    kinds = [np.isnan(x).any(axis=1), np.isposinf(x).any(axis=1), np.isneginf(x).all(axis=1)]
    return np.stack(kinds, axis=1)
