"""What `explain` says of planted defects and honest controls, and how often it is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.selftest.controls import Control
from harness.selftest.planted import Instance
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from reference.formats import FORMATS
from reference.ops import SOFTMAX

__all__ = ["Named", "Score", "named", "scores", "texts"]


@dataclass(frozen=True)
class Named:
    """The cause that a suspect was given.

    Attributes:
        expected: the codes that are right; none of controls, and of what is no part of a softmax.
        code: of the cause; empty where the suspect was left unexplained.
        line: what is printed.
    """

    expected: tuple[str, ...]
    code: str
    line: str

    @property
    def is_right(self) -> bool:
        """Whether it is a right code, or none where none is right."""
        return self.code in self.expected if self.expected else not self.code

    @property
    def is_wrong(self) -> bool:
        """Whether it is a code, and not a right one."""
        return bool(self.code) and self.code not in self.expected


@dataclass(frozen=True)
class Score:
    """How many of a format's suspects were named rightly.

    Attributes:
        planted, right, wrong, unexplained: defects that a part explains.
        others, left: defects that no part explains, and those of them that were left unexplained.
        honest, accused: controls, and those that were given a cause.
    """

    planted: int
    right: int
    wrong: int
    unexplained: int
    others: int
    left: int
    honest: int
    accused: int


def named(suspect: Instance | Control) -> Named | None:
    """Return the cause that a softmax is given in a fresh state; None of another op."""
    candidate = suspect.candidate()
    if candidate.op is not SOFTMAX:
        return None
    from harness.explanation import explanation_of

    with InProcess(load=lambda _: candidate) as executor:
        subject = Subject(candidate, suspect.format, suspect.format, executor)
        explanation = explanation_of(subject, tier=suspect.tiers[0])
    expected = suspect.defect.causes if isinstance(suspect, Instance) else ()
    cause = explanation.cause
    return Named(expected, "" if cause is None else cause.code, explanation.line())


def scores(found: Iterable[tuple[str, bool, Named]]) -> dict[str, Score]:
    """Return the score of each format, from format, honesty and cause of each suspect."""
    by_format: dict[str, list[tuple[bool, Named]]] = {}
    for fmt, honest, each in found:
        by_format.setdefault(fmt, []).append((honest, each))
    return {fmt: _score(by_format[fmt]) for fmt in FORMATS if fmt in by_format}


def _score(found: list[tuple[bool, Named]]) -> Score:
    parts = [n for honest, n in found if not honest and n.expected]
    others = [n for honest, n in found if not honest and not n.expected]
    controls = [n for honest, n in found if honest]
    return Score(
        planted=len(parts),
        right=sum(n.is_right for n in parts),
        wrong=sum(n.is_wrong for n in parts) + sum(n.is_wrong for n in others),
        unexplained=sum(not n.code for n in parts),
        others=len(others),
        left=sum(n.is_right for n in others),
        honest=len(controls),
        accused=sum(n.is_wrong for n in controls),
    )


def texts(found: Iterable[tuple[str, str, bool, Named]]) -> Iterator[str]:
    """Yield a line a format, and one on each suspect that was named wrongly, or not at all."""
    every = list(found)
    for fmt, s in scores((fmt, honest, each) for _, fmt, honest, each in every).items():
        yield (
            f"causes in {fmt}: {s.right} of {s.planted} named rightly, {s.wrong} wrongly, {s.unexplained} not"
            f" at all; {s.left} of {s.others} defects of no part rightly left unexplained; {s.accused} of"
            f" {s.honest} controls given a cause"
        )
    for name, _, _, each in every:
        if each.is_wrong:
            right = f" (right: {' or '.join(each.expected)})" if each.expected else ""
            yield f"named wrongly: {name}: {each.line}{right}"
    for name, _, _, each in every:
        if not each.code and each.expected:
            yield f"left unexplained: {name} (right: {' or '.join(each.expected)})"
