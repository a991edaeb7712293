"""What isolation costs: a candidate called in a process of its own beside the same call in process.

    python -m tests.benchmarks.isolation_cost [--rows 1000] [--length 1024] [--rounds 200]

Prints, for each candidate and format, the median milliseconds of a bare call of the function, of `InProcess`
and of `Isolated`, and the last over each of the other two. The three take turns, so that a machine that slows
down slows all of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from harness.candidates import BUILTINS
from harness.execution import InProcess, Isolated
from reference.formats import FORMATS, FloatFormat

CASES = (
    ("max_shifted", "float32"),
    ("naive", "float32"),
    ("max_shifted", "float64"),
    ("max_shifted", "float16"),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="cost of isolation")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    print(f"{options.rows} rows of {options.length}, median of {options.rounds}, milliseconds")
    print(
        f"{'candidate':<14}{'format':<10}{'bare':>8}{'in process':>12}{'isolated':>10}{'/bare':>8}{'/in process':>13}"
    )
    with InProcess() as here, Isolated() as apart:
        for name, fmt in CASES:
            bare, inside, isolated = measure(name, FORMATS[fmt], options, here, apart)
            ratios = f"{isolated / bare:>8.3f}{isolated / inside:>13.3f}"
            print(f"{name:<14}{fmt:<10}{bare:>8.3f}{inside:>12.3f}{isolated:>10.3f}{ratios}")


def measure(
    name: str, fmt: FloatFormat, options: argparse.Namespace, here: InProcess, apart: Isolated
) -> tuple[float, ...]:
    """Return median milliseconds of the bare call, in process and isolated."""
    values = np.random.default_rng(0).normal(size=(options.rows, options.length))
    x = fmt.from_float64(values)
    return alternate(
        options.rounds,
        lambda: BUILTINS[name].call(x),
        lambda: here.run(name, x, fmt),
        lambda: apart.run(name, x, fmt),
    )


def alternate(rounds: int, *calls: Callable[[], object]) -> tuple[float, ...]:
    """Return the median milliseconds of each call, after a few rounds to warm up."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds + 5):
        for call, taken in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return tuple(1e3 * statistics.median(taken[5:]) for taken in seconds)


if __name__ == "__main__":
    main()
