"""The cost of a run: CPU time of each step of a campaign, beside NumPy's softmax of the same rows.

A batch of every regime with exact results is drawn, handed to a candidate in this process, and measured
as a campaign does; tallies are packed as the ledger holds them, those of `MERGED` batches together. The times
are this thread's CPU time: other work on the machine does not count, though it slows what is counted.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.campaign.tasks import BATCH_ELEMENTS
from harness.measurement import Rows
from harness.measurement.outcomes import tally_outcome
from harness.measurement.rows import digest
from harness.subject.candidates import BUILTINS
from harness.subject.execution import Executor, InProcess, Outcome
from harness.witnesses.recipes import Recipes
from reference.formats import FloatFormat
from reference.ops import SOFTMAX
from reports.record.ledger import packed
from reports.record.tally import Tally, merge
from reports.record.witness import CellKey
from strategies.regimes import REGIMES
from strategies.regimes.crowd import CROWD
from strategies.regimes.medley import MEDLEY

__all__ = ["LENGTHS", "RunCost", "run_costs"]

Result = TypeVar("Result")
Yardstick = Callable[[NDArray[np.float64]], NDArray[np.float64]]

LENGTHS: Final = (8, 1024)
ELEMENTS: Final = BATCH_ELEMENTS
CANDIDATE: Final = "max_shifted"
MERGED: Final = 16
"""Batches of a shard."""


@dataclass(frozen=True)
class RunCost:
    """Nanoseconds of CPU an element, each the median of the repeats.

    Attributes:
        numpy_ns: NumPy's float64 max-shifted softmax of the same rows.
        draw_ns, call_ns, truth_ns, count_ns, digest_ns, ledger_ns: the steps, `count_ns` being verdict,
            bounds and counts.
    """

    format: str
    length: int
    numpy_ns: float
    draw_ns: float
    call_ns: float
    truth_ns: float
    count_ns: float
    digest_ns: float
    ledger_ns: float

    @property
    def over_numpy(self) -> float:
        """All but the candidate's own call, over NumPy."""
        own = self.draw_ns + self.truth_ns + self.count_ns + self.digest_ns + self.ledger_ns
        return own / self.numpy_ns

    def document(self) -> dict[str, Any]:
        """Return the figures and the ratio as JSON."""
        return {**asdict(self), "over_numpy_without_call": self.over_numpy}


def run_costs(
    formats: Sequence[FloatFormat], repeats: int, yardstick: Yardstick, lengths: Sequence[int] = LENGTHS
) -> Iterator[RunCost]:
    """Yield the cost of a run in each format that the timed candidate takes, at each length.

    Args:
        formats: those of the rows and outputs.
        repeats: timings, of which the median counts.
        yardstick: NumPy's softmax of float64 rows, which is timed beside them.
        lengths: entries of a row.
    """
    with InProcess() as executor:
        for fmt in formats:
            for length in lengths if BUILTINS[CANDIDATE].supports(fmt) else ():
                yield _cost(fmt, length, repeats, executor, yardstick)


def _cost(fmt: FloatFormat, length: int, repeats: int, executor: Executor, yardstick: Yardstick) -> RunCost:
    rounds = [_round(fmt, length, number, executor, yardstick) for number in range(repeats + 1)][1:]
    medians = {name: statistics.median(times[name] for times in rounds) for name in rounds[0]}
    return RunCost(fmt.name, length, **medians)


def _round(
    fmt: FloatFormat, length: int, number: int, executor: Executor, yardstick: Yardstick
) -> dict[str, float]:
    """Return the nanoseconds an element of each step, over a batch of each regime."""
    spent: dict[str, float] = defaultdict(float)
    elements = 0
    tallies: list[Tally] = []

    def timed(name: str, step: Callable[[], Result]) -> Result:
        start = time.thread_time_ns()
        result = step()
        spent[name] += time.thread_time_ns() - start
        return result

    for regime in REGIMES.values():
        if regime.policy or regime.name in (CROWD, MEDLEY) or not regime.supports(fmt, length):
            continue
        x = timed("draw_ns", partial(regime.rows, fmt, max(1, ELEMENTS // length), length, 0, number))
        timed("digest_ns", partial(digest, fmt, x))
        outcome = timed("call_ns", partial(executor.run, CANDIDATE, x, fmt))
        rows = timed("truth_ns", partial(Rows.of, fmt, x, fmt, number))
        timed("numpy_ns", partial(yardstick, rows.values))
        cell = CellKey(CANDIDATE, SOFTMAX.name, fmt.name, fmt.name, regime.name, length)
        tallies.append(timed("count_ns", partial(_count, cell, rows, outcome)))
        elements += x.size
    for start in range(0, len(tallies), MERGED):
        timed("ledger_ns", partial(_packed, tallies[start : start + MERGED]))
    return {name: nanoseconds / elements for name, nanoseconds in spent.items()}


def _packed(tallies: Sequence[Tally]) -> bytes:
    return packed(merge(tallies))


def _count(cell: CellKey, rows: Rows, outcome: Outcome) -> Tally:
    recipes = Recipes(0, {rows.number: len(rows.x)})
    return tally_outcome(cell, rows, outcome, BUILTINS[CANDIDATE].declared(rows.format), recipe=recipes.of)
