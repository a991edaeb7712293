"""The results of the suite: which defects each protocol catches, and the score.

Each column is right or wrong about each suspect whose format it covers: it catches or misses a defect, and
passes or refuses a control. The gate's column decides the exit code; the others serve to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.selftest.explained import Named, scores
from harness.selftest.explained import Score as CauseScore
from reports.selftest import GATE

__all__ = ["Matrix", "Score", "Trial"]

PASSED, FAILED, NOTHING = 0, 1, 3


@dataclass(frozen=True)
class Trial:
    """A suspect, and the columns that noticed something wrong with it.

    Attributes:
        name: unique in the suite.
        kind: the defect or the control that it is an instance of.
        mechanism: the part of softmax that a defect is in.
        seen: where such a defect was seen in the wild.
        format, tiers: the format and the tiers of the examination.
        honest: whether it is a control.
        noticed: by column; None where the column does not cover the format.
        verdict: of the gate, in one line; empty where it passed.
        named: the cause that it was given; None where none was asked for.
    """

    name: str
    kind: str
    mechanism: str
    seen: str
    format: str
    tiers: tuple[str, ...]
    honest: bool
    noticed: Mapping[str, bool | None]
    verdict: str = ""
    named: Named | None = None


@dataclass(frozen=True)
class Score:
    """The score of a column.

    Attributes:
        caught, planted: instances of defects that it noticed, and all that it covers.
        whole, kinds: defects of which it noticed every instance, and all that it covers.
        refused, honest: controls that it refused, and all that it covers.
    """

    caught: int
    planted: int
    whole: int
    kinds: int
    refused: int
    honest: int

    @property
    def missed(self) -> int:
        """Instances that it missed."""
        return self.planted - self.caught


@dataclass(frozen=True)
class Matrix:
    """The trials of a suite.

    Attributes:
        seed: of the constants.
        trials: in the suite's order.
    """

    seed: int
    trials: tuple[Trial, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The gate, then the protocols."""
        return tuple(dict.fromkeys(name for trial in self.trials for name in trial.noticed))

    def score(self, column: str) -> Score:
        """Return the score of a column."""
        spoken = [t for t in self.trials if t.noticed.get(column) is not None]
        defects, honest = ([t for t in spoken if t.honest is kind] for kind in (False, True))
        rows = _by_kind(defects)
        return Score(
            caught=_count(defects, lambda t: t.noticed[column]),
            planted=len(defects),
            whole=sum(all(t.noticed[column] for t in row) for row in rows.values()),
            kinds=len(rows),
            refused=_count(honest, lambda t: t.noticed[column]),
            honest=len(honest),
        )

    def missed(self) -> tuple[Trial, ...]:
        """Return the defects that the gate missed."""
        return tuple(t for t in self.trials if not t.honest and not t.noticed[GATE])

    def refused(self) -> tuple[Trial, ...]:
        """Return the controls that the gate refused."""
        return tuple(t for t in self.trials if t.honest and t.noticed[GATE])

    def causes(self) -> dict[str, CauseScore]:
        """Return by format how many were given the right cause, of those that were asked for it."""
        return scores((t.format, t.honest, t.named) for t in self.trials if t.named is not None)

    @property
    def exit_code(self) -> int:
        """0 where every defect is caught and every control passes, 1 where not, 3 where nothing was tried."""
        if not self.trials:
            return NOTHING
        return FAILED if self.missed() or self.refused() else PASSED

    def document(self) -> dict[str, Any]:
        """Return the matrix as JSON."""
        return {
            "schema_version": 1,
            "seed": self.seed,
            "exit_code": self.exit_code,
            "scores": {column: asdict(self.score(column)) for column in self.columns},
            "causes": {fmt: asdict(score) for fmt, score in self.causes().items()},
            "trials": [asdict(trial) for trial in self.trials],
        }


def _by_kind(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    by_kind: dict[str, list[Trial]] = {}
    for trial in trials:
        by_kind.setdefault(trial.kind, []).append(trial)
    return by_kind


def _count(trials: Iterable[Trial], holds: Callable[[Trial], Any]) -> int:
    return sum(bool(holds(trial)) for trial in trials)
