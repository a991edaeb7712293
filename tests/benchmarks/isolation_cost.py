"""What isolation costs: the same work with the candidate in a process of its own, and in process.

    python -m tests.benchmarks.isolation_cost [--rows 1000] [--length 1024] [--rounds 200]

Two works are timed. *call* is the call alone: a bare call of the function, `InProcess.run` and
`Isolated.run`; what isolation adds is two copies of a batch through memory and one message each way.
*batch* is what a campaign does with a batch: the certified truth, the call, and the tally. The ways
take turns, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from harness.candidates import BUILTINS
from harness.execution import Executor, InProcess, Isolated
from harness.measurement import Rows, measure
from reference.formats import FORMATS, FloatFormat
from reference.truth import truth
from reports.tally import CellKey

CASES = (
    ("max_shifted", "float32"),
    ("naive", "float32"),
    ("max_shifted", "float64"),
    ("max_shifted", "float16"),
)
COLUMNS = (
    "candidate",
    "format",
    "bare",
    "in process",
    "isolated",
    "ratio",
    "batch in process",
    "isolated",
    "ratio",
)
WARM_UP = 3


def main() -> None:
    """Measure and print a table of median milliseconds and ratios."""
    parser = argparse.ArgumentParser(description="cost of isolation")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    tell(f"{options.rows} rows of {options.length}; medians in milliseconds")
    tell("".join(f"{column:>18}" for column in COLUMNS))
    with InProcess() as here, Isolated() as apart:
        for name, format_name in CASES:
            fmt = FORMATS[format_name]
            values = np.random.default_rng(0).normal(size=(options.rows, options.length))
            x = fmt.from_float64(values)
            tell(line(name, fmt, x, options.rounds, here, apart))


def line(name: str, fmt: FloatFormat, x: np.ndarray, rounds: int, here: InProcess, apart: Isolated) -> str:
    """Return a candidate's line of the table."""
    bare, inside, isolated = alternate(
        rounds,
        lambda: BUILTINS[name].call(x),
        lambda: here.run(name, x, fmt),
        lambda: apart.run(name, x, fmt),
    )
    batch_inside, batch_isolated = alternate(
        max(rounds // 20, 3), lambda: batch(name, fmt, x, here), lambda: batch(name, fmt, x, apart)
    )
    figures = (
        bare,
        inside,
        isolated,
        isolated / inside,
        batch_inside,
        batch_isolated,
        batch_isolated / batch_inside,
    )
    return f"{name:>18}{fmt.name:>18}" + "".join(f"{figure:>18.3f}" for figure in figures)


def batch(name: str, fmt: FloatFormat, x: np.ndarray, executor: Executor) -> None:
    """Do what a campaign does with one batch."""
    values = fmt.to_float64(x)
    rows = Rows(fmt, x, values, truth(values, fmt), 0)
    outcome = executor.run(name, x, fmt)
    assert outcome.outputs is not None
    cell = CellKey(name, "softmax", fmt.name, fmt.name, "standard_normal", x.shape[1])
    measure(cell, rows, outcome.outputs, BUILTINS[name].declared(fmt))


def alternate(rounds: int, *works: Callable[[], object]) -> tuple[float, ...]:
    """Return the median milliseconds of each work, after a few rounds to warm up."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + WARM_UP):
        for work, taken in zip(works, seconds, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return tuple(1e3 * statistics.median(taken[WARM_UP:]) for taken in seconds)


def tell(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
