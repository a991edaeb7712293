"""Measure the cost of isolation: the same batch in a process of the candidate's own, and in process.

A *batch* is what a campaign does with a thousand rows of 1024: the certified truth, the call, the
tally. A *call* is the call alone, where isolation adds two copies of the batch through shared memory and
one message each way. The two ways take turns, so that a machine that slows down slows both; the
ratio is the median of those of the turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Rows
from harness.measurement.outcomes import tally_outcome
from harness.subject.candidates import BUILTINS
from harness.subject.execution import Executor, InProcess, Isolated
from harness.subject.subject import Subject
from reference.formats import FloatFormat

__all__ = ["LENGTH", "ROWS", "IsolationCost", "isolation_costs"]

ROWS: Final = 1000
LENGTH: Final = 1024
CANDIDATE: Final = "max_shifted"
WARM_UP: Final = 2


@dataclass(frozen=True)
class IsolationCost:
    """Medians in milliseconds, and of the ratios isolated over in process."""

    format: str
    rows: int
    length: int
    call_in_process_ms: float
    call_isolated_ms: float
    call_ratio: float
    batch_in_process_ms: float
    batch_isolated_ms: float
    batch_ratio: float

    def document(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return asdict(self)


def isolation_costs(formats: Sequence[FloatFormat], repeats: int) -> Iterator[IsolationCost]:
    """Yield the cost of isolation in each format that the timed candidate takes."""
    with InProcess() as here, Isolated() as apart:
        for fmt in formats:
            if BUILTINS[CANDIDATE].supports(fmt):
                yield _cost(fmt, repeats, here, apart)


def _cost(fmt: FloatFormat, repeats: int, here: Executor, apart: Executor) -> IsolationCost:
    x = fmt.from_float64(np.random.default_rng(0).normal(size=(ROWS, LENGTH)))
    call = _compare(repeats, *(lambda e=e: e.run(CANDIDATE, x, fmt) for e in (here, apart)))
    batch = _compare(repeats, *(lambda e=e: _batch(fmt, x, e) for e in (here, apart)))
    return IsolationCost(fmt.name, ROWS, LENGTH, *call, *batch)


def _batch(fmt: FloatFormat, x: NDArray[Any], executor: Executor) -> None:
    subject = Subject(BUILTINS[CANDIDATE], fmt, fmt, executor)
    cell = subject.cell("standard_normal", LENGTH)
    tally_outcome(cell, Rows.of(fmt, x, fmt), subject.run(x), subject.declaration)


def _compare(
    repeats: int, in_process: Callable[[], object], isolated: Callable[[], object]
) -> tuple[float, float, float]:
    """Return the median milliseconds of each, and the median of their ratios."""
    turns = [(_seconds(in_process), _seconds(isolated)) for _ in range(WARM_UP + repeats)][WARM_UP:]
    here, apart = zip(*turns, strict=True)
    ratio = statistics.median(b / a for a, b in turns)
    return 1e3 * statistics.median(here), 1e3 * statistics.median(apart), ratio


def _seconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start
