"""What a search found, in figures that a report may quote."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from harness.measurement import Rows
from harness.measurement.outcomes import tally_outcome
from harness.subject.subject import Subject
from harness.witnesses.batches import Part, seen_among
from harness.witnesses.search.engine import MOST_LOST, Best, Engine
from harness.witnesses.search.objectives import OBJECTIVES, Objective
from harness.witnesses.search.trials import Trial, Trials
from reference.bounds import element_bounds
from reference.errors import ElementClass
from reference.tiers import Tier
from reports.record.cells import SEARCHED
from reports.record.tally import Tally, merge
from reports.record.witness import CellKey, Witness, json_float

__all__ = ["INTERRUPTED", "SearchResult", "search", "search_tally"]

INTERRUPTED: Final = "interrupted"
"""Why a search ended that the user broke off."""

_MERGED_AT_ONCE: Final = 64


@dataclass(frozen=True)
class SearchResult:
    """The worst row found.

    Attributes:
        cell: candidate, formats and length, with the regime `search`.
        objective: the name of what was searched for.
        seed: decides the search.
        asked: evaluations allowed, and `evaluations`: rows tried.
        score: the greatest figure found, None where no row has any.
        curve: (evaluations, score) wherever the best so far rose, the last one the result.
        witness: the row, None where the score shows nothing.
        ulp: the ULP error of the witness's element, as `reference.errors.judge` gives it.
        standard_bound: the a-priori bound of that very element in the standard tier, in ULP.
        algorithm_bound: the same for the algorithm that the candidate declares; None without one.
        neighbourhood: what polishing tries, and `polished`: whether all of it was tried in vain.
        faults: how often each kind of fault befell a row.
        told: what the first of each kind said.
        stopped: why the search ended early; empty where it did not.
        seconds: wall-clock time.
    """

    cell: CellKey
    objective: str
    seed: int
    asked: int
    evaluations: int
    score: float | None
    curve: tuple[tuple[int, float], ...]
    witness: Witness | None
    ulp: float | None
    standard_bound: float | None
    algorithm_bound: float | None
    neighbourhood: str
    polished: bool
    faults: Mapping[str, int]
    told: Mapping[str, str]
    stopped: str
    seconds: float

    @property
    def rate(self) -> float:
        """Evaluations a second."""
        return self.evaluations / self.seconds

    @property
    def sample(self) -> str:
        """What the figure is the worst of."""
        return f"worst found in {self.evaluations} evaluations, seed {self.seed}"

    def document(self) -> dict[str, Any]:
        """Return this result as JSON carries it."""
        figures = ("score", "ulp", "standard_bound", "algorithm_bound")
        witness = None if self.witness is None else {"id": self.witness.id, **self.witness.document()}
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name != "cell"},
            **vars(self.cell),
            **{name: json_float(getattr(self, name)) for name in figures},
            "curve": [[evaluations, json_float(score)] for evaluations, score in self.curve],
            "witness": witness,
            "sample": self.sample,
            "evaluations_per_second": self.rate,
        }


def search(
    subject: Subject,
    length: int,
    evaluations: int,
    seed: int,
    objective: str,
    *,
    keep_interrupted: bool = False,
    observe: Callable[[Trial], None] = lambda _: None,
) -> SearchResult:
    """Search the finite rows of a length for the one that is worst by an objective.

    Args:
        subject: whose rows.
        length: entries of a row.
        evaluations: rows that may be tried.
        seed: the same gives the same result.
        objective: a name of `OBJECTIVES`.
        keep_interrupted: whether Ctrl-C ends the search with what was found, instead of being raised.
        observe: told of every batch that was tried.

    Raises:
        ValueError: an argument is out of its range, or the candidate does not take the format.
    """
    _check(subject, length, evaluations, objective)
    trials = Trials(subject, OBJECTIVES[objective])
    engine = Engine(trials, length, evaluations, seed, observe)
    start = time.perf_counter()
    is_interrupted = _run(engine, keeping=keep_interrupted)
    seconds = time.perf_counter() - start
    cell = subject.cell(SEARCHED, length)
    return SearchResult(
        cell=cell,
        objective=objective,
        seed=seed,
        asked=evaluations,
        evaluations=engine.spent,
        score=engine.best.score if engine.best else None,
        curve=tuple(engine.curve),
        **_found(cell, trials, engine.best),
        neighbourhood=str(engine.neighbourhood),
        polished=engine.polished,
        faults=dict(sorted(engine.faults.items())),
        told=engine.told,
        stopped=INTERRUPTED if is_interrupted else _why_stopped(engine, evaluations),
        seconds=seconds,
    )


def search_tally(
    subject: Subject,
    length: int,
    evaluations: int,
    seed: int,
    objective: str,
    *,
    tiers: Sequence[Tier] = (),
    keep_interrupted: bool = False,
    observe: Callable[[Trial], None] = lambda _: None,
) -> tuple[SearchResult, Tally]:
    """Search as `search` does, and count all rows that were tried, as those of the result's cell.

    The cell is not sampled: rows that were searched for tell no rate of anything. Its witness of the
    objective is that of the result. `tiers` are those to judge by as well; the other arguments are those of
    `search`.

    Raises:
        ValueError: as `search` does.
    """
    _check(subject, length, evaluations, objective)
    declaration, cell = subject.declaration, subject.cell(SEARCHED, length)
    parts: list[Tally] = []

    def count(trial: Trial) -> None:
        tally = tally_outcome(cell, trial.rows, trial.outcome, declaration, tiers)
        observe(trial)
        parts.append(replace(tally, digests={trial.rows.number: trial.rows.digest()}))
        if len(parts) == _MERGED_AT_ONCE:
            parts[:] = [merge(parts)]

    result = search(
        subject, length, evaluations, seed, objective, keep_interrupted=keep_interrupted, observe=count
    )
    return result, _with_witness(merge(parts), result.witness)


def _with_witness(tally: Tally, winner: Witness | None) -> Tally:
    if winner is None:
        return tally
    others = tuple(w for w in tally.witnesses if w.kind != winner.kind)
    return merge([replace(tally, witnesses=others), Tally(witnesses=(winner,))])


def _run(engine: Engine, *, keeping: bool) -> bool:
    """Run the engine, and tell whether the user broke it off and wants what was found so far."""
    try:
        engine.run()
    except KeyboardInterrupt:
        if not keeping:
            raise
        return True
    return False


def _check(subject: Subject, length: int, evaluations: int, objective: str) -> None:
    for what, value in (("length", length), ("evaluations", evaluations)):
        if value < 1:
            raise ValueError(f"{what} {value}: give an integer from 1 on")
    if objective not in OBJECTIVES:
        raise ValueError(f"objective {objective!r}: it is one of {', '.join(OBJECTIVES)}")
    if not subject.is_supported:
        raise ValueError(
            f"candidate {subject.candidate.name}: does not take {subject.format} to {subject.out};"
            " give another format"
        )


def _why_stopped(engine: Engine, evaluations: int) -> str:
    if engine.is_lost:
        return f"{MOST_LOST} calls crashed or hung; give a smaller --timeout to lose less on each"
    if engine.is_given_up:
        return "its failures have taken the time that they may, and no further row was tried"
    if engine.spent < evaluations:
        return "no row has a figure to search by"
    return ""


def _found(cell: CellKey, trials: Trials, best: Best | None) -> dict[str, Any]:
    """Return the witness and its figures, from the verdict on the winner alone."""
    subject, objective = trials.subject, trials.objective
    if best is None or best.score <= objective.least:
        return dict.fromkeys(("witness", "ulp", "standard_bound", "algorithm_bound"))
    rows, y, result = _winner(best)
    element = None if rows.op.reduces else result
    judgement = rows.judge(y)
    declared = subject.declaration.algorithm
    standard = rows.standard_bounds
    own = None
    if declared is not None:
        own = element_bounds(rows.values, rows.whole_shares, declared, rows.format, rows.op.fused)
    kind = _kind(objective, ElementClass(judgement.classes[0, result]))
    encoded = rows.truth.format.to_hex(y)
    origin = f"evaluation {best.evaluation} of the search"
    witness = Witness(cell, kind, best.score, rows.hexadecimal(0), encoded, element, origin)
    return {
        "witness": seen_among(witness, Part(best.trial.rows.x, best.row), subject.outputs),
        "ulp": float(judgement.ulp[0, result]),
        "standard_bound": _figure(standard[0, result]),
        "algorithm_bound": None if own is None else _figure(own[0, result]),
    }


def _winner(best: Best) -> tuple[Rows, Any, int]:
    chosen = np.zeros(len(best.trial.scores), dtype=np.bool_)
    chosen[best.row] = True
    outputs = best.trial.outcome.outputs
    assert outputs is not None, "a row with a score has outputs"
    return best.trial.rows.take(chosen), outputs[chosen], int(best.trial.results[best.row])


def _kind(objective: Objective, element_class: ElementClass) -> str:
    return (
        "flushed"
        if element_class == ElementClass.FLUSHED and objective.witness == "lost"
        else objective.witness
    )


def _figure(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
