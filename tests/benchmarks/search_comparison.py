"""Ways to look for the worst row, at equal evaluations: what each finds, over several seeds.

    python -m tests.benchmarks.search_comparison [--candidate max_shifted] [--format float32] [--length 8]
                                                 [--evaluations 200000] [--seeds 10]
                                                 [--target-evaluations 2000]

Compared are standard normals, uniformly random bits, Hypothesis with `hypothesis.target`, and the
search. Hypothesis takes about a millisecond an example, so it gets fewer evaluations; the search is
shown once more with as few. Times include the exact reference.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import hypothesis
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.candidates import Candidate, load
from harness.execution import Executor, InProcess
from harness.search import search
from reference.certified import evaluate, prepare
from reference.formats import FORMATS, FloatFormat
from strategies.regimes import REGIMES

BATCH = 4096


@dataclass(frozen=True)
class Task:
    """What is looked for: the greatest ULP error of a candidate's rows of one length."""

    candidate: Candidate
    fmt: FloatFormat
    length: int
    executor: Executor

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
    result = search(task.candidate, task.fmt, task.length, evaluations, seed, "ulp", task.executor)
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
    parser.add_argument("--format", default="float32")
    parser.add_argument("--length", type=int, default=8)
    parser.add_argument("--evaluations", type=int, default=200_000)
    parser.add_argument("--target-evaluations", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    prepare()
    with InProcess() as executor:
        task = Task(load(options.candidate), FORMATS[options.format], options.length, executor)
        tell(f"{options.candidate}, {options.format}, length {options.length}, {options.seeds} seeds\n")
        tell("| method | evaluations | median ULP | least | greatest | seconds each |")
        tell("|---|--:|--:|--:|--:|--:|")
        few, many = options.target_evaluations, options.evaluations
        for name, evaluations in (
            ("standard normal", many),
            ("random bits", many),
            ("hypothesis.target", few),
            ("search", few),
            ("search", many),
        ):
            tell(line(name, task, evaluations, options.seeds))


def line(name: str, task: Task, evaluations: int, seeds: int) -> str:
    """Return a method's line of the table."""
    METHODS[name](task, min(evaluations, 100), 0)  # what is loaded once
    start = time.perf_counter()
    found = [METHODS[name](task, evaluations, seed) for seed in range(seeds)]
    each = (time.perf_counter() - start) / seeds
    figures = f"{statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} | {each:.2f}"
    return f"| {name} | {evaluations} | {figures} |"


def tell(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
