"""Ways to look for the worst row, at equal evaluations: what each finds, over several seeds.

    python -m tests.benchmarks.search_comparison [--candidate max_shifted] [--rows float32:8 ...]
                                                 [--method search ...] [--evaluations 200000] [--seeds 10]

Compared are standard normals, uniformly random bits, Hypothesis with `hypothesis.target`, and the
search. Hypothesis takes over a millisecond an example: five minutes a seed at 200 000. A line of
each seed goes to the standard error stream; times are processor times, the exact reference included.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import hypothesis
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.subject.candidates import Candidate, load
from harness.subject.execution import Executor, InProcess
from harness.subject.subject import Subject
from harness.witnesses.search import search
from reference.certified import evaluate, prepare
from reference.formats import FORMATS, FloatFormat
from strategies.regimes import REGIMES

BATCH = 4096

ROWS = ("float32:8", "float16:2", "float64:8")


@dataclass(frozen=True)
class Task:
    """What is looked for: the greatest ULP error of a candidate's rows of one length."""

    candidate: Candidate
    fmt: FloatFormat
    length: int
    executor: Executor

    @classmethod
    def named(cls, rows: str, candidate: Candidate, executor: Executor) -> Self:
        """Return the task for rows FORMAT:LENGTH."""
        name, _, length = rows.partition(":")
        return cls(candidate, FORMATS[name], int(length), executor)

    def __str__(self) -> str:
        """Say which rows are searched."""
        return f"{self.fmt}, length {self.length}"

    def worst(self, x: NDArray[Any]) -> float:
        """Return the greatest ULP error in rows x, shape (rows, n)."""
        outputs = self.executor.run(self.candidate.spec, x, self.fmt).outputs
        assert outputs is not None
        judgement, _ = evaluate(self.fmt.to_float64(x), outputs, self.fmt)
        return float(np.fmax.reduce(judgement.ulp, axis=None))


def of_regime(name: str, task: Task, evaluations: int, seed: int) -> float:
    """Return the worst of independently drawn rows."""
    worst = 0.0
    for batch, start in enumerate(range(0, evaluations, BATCH)):
        rows = min(BATCH, evaluations - start)
        worst = max(worst, task.worst(REGIMES[name].rows(task.fmt, rows, task.length, seed, batch)))
    return worst


def of_target(task: Task, evaluations: int, seed: int) -> float:
    """Return the worst that Hypothesis finds when told to make the error great."""
    worst = [0.0]
    width = max(16, task.fmt.storage_bits)
    number = st.floats(allow_nan=False, allow_infinity=False, width=width)  # type: ignore[arg-type]

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=evaluations,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.target],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.lists(number, min_size=task.length, max_size=task.length))
    def maximise(row: list[float]) -> None:
        error = task.worst(task.fmt.from_float64([row]))
        worst[0] = max(worst[0], error)
        hypothesis.target(error)

    maximise()
    return worst[0]


def of_search(task: Task, evaluations: int, seed: int) -> float:
    """Return the worst that the search finds."""
    result = search(
        Subject(task.candidate, task.fmt, task.fmt, task.executor), task.length, evaluations, seed, "ulp"
    )
    assert result.score is not None
    return result.score


METHODS: dict[str, Callable[[Task, int, int], float]] = {
    "standard normal": partial(of_regime, "standard-normal"),
    "random bits": partial(of_regime, "uniform-bits"),
    "hypothesis.target": of_target,
    "search": of_search,
}


def main() -> None:
    """Compare, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description="ways to look for the worst row")
    parser.add_argument("--candidate", default="max_shifted")
    parser.add_argument("--rows", nargs="+", default=ROWS, metavar="FORMAT:LENGTH")
    parser.add_argument("--method", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--evaluations", type=int, default=200_000)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    prepare()
    with InProcess() as executor:
        candidate = load(options.candidate)
        tasks = [Task.named(text, candidate, executor) for text in options.rows]
        tell(f"{candidate.name}, {options.evaluations} evaluations, {options.seeds} seeds: ULP (range)\n")
        tell(f"| method | {' | '.join(map(str, tasks))} |")
        tell(f"|---|{'--:|' * len(tasks)}")
        for method in options.method:
            cells = (cell(method, task, options.evaluations, options.seeds) for task in tasks)
            tell(f"| {method} | {' | '.join(cells)} |")


def cell(method: str, task: Task, evaluations: int, seeds: int) -> str:
    """Return what a method finds over the seeds, as the table has it."""
    METHODS[method](task, min(evaluations, 100), 0)  # what is loaded once
    found = []
    for seed in range(seeds):
        start = time.process_time()
        found.append(METHODS[method](task, evaluations, seed))
        spent = time.process_time() - start
        sys.stderr.write(f"{method}, {task}, seed {seed}: {found[-1]!r} ULP in {spent:.2f} s\n")
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def tell(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
