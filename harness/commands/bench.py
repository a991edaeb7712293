"""`harness bench`: the cost of the truth, beside NumPy's softmax and beside mpmath.

For each format and length, on the same logits, interleaved in one run:

* NumPy's float64 max-shifted softmax, the yardstick of what touching every element costs;
* the certified path complete: truth, ULP errors, classes, flags and row sums of given outputs;
* the certified path on two threads;
* the mpmath path, on fewer rows: its cost an element does not depend on them.

Then where a run's time goes, see `run_cost`, and what isolation costs, see `isolation_cost`. Each figure is
the median of the repeats. The process keeps freed memory, as campaigns do: else page faults of fresh
arrays, on either side, would be most of what is timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

from harness.campaign.environment import environment
from harness.campaign.settings import USUAL_FORMATS
from harness.terminal.console import print_json, results
from harness.terminal.exceptions import UsageError, choose
from harness.terminal.kernels import EVALUATION, MEASURING, prepare_kernels
from reference.errors import judge
from reference.formats import FORMATS, FloatFormat

if TYPE_CHECKING:
    from harness.commands.isolation_cost import IsolationCost
    from harness.commands.run_cost import RunCost

__all__ = ["Cost", "bench", "run_bench"]

Floats = NDArray[np.float64]

LENGTHS: Final = (8, 64, 1024, 65_536)
REPEATS: Final = 7
ELEMENTS: Final = 1 << 21
MPMATH_ELEMENTS: Final = 1 << 11
SCALE: Final = 5.0
"""Logits are normal with this standard deviation: nothing underflows, no two are close."""


@dataclass(frozen=True)
class Cost:
    """Nanoseconds an element, for a format and a length.

    Attributes:
        format: the format of logits and outputs.
        length: entries of a row.
        rows: rows of the timed array.
        numpy_ns: NumPy's float64 max-shifted softmax.
        certified_ns: the certified path complete, on one thread.
        two_threads_ns: the same on two threads.
        mpmath_ns: the mpmath path complete.
    """

    format: str
    length: int
    rows: int
    numpy_ns: float
    certified_ns: float
    two_threads_ns: float
    mpmath_ns: float

    @property
    def over_numpy(self) -> float:
        """Certified over NumPy."""
        return self.certified_ns / self.numpy_ns

    @property
    def under_mpmath(self) -> float:
        """Mpmath over certified."""
        return self.mpmath_ns / self.certified_ns

    @property
    def speedup(self) -> float:
        """One thread over two."""
        return self.certified_ns / self.two_threads_ns

    def document(self) -> dict[str, Any]:
        """Return the figures and ratios as JSON."""
        ratios = {"certified_over_numpy": self.over_numpy, "mpmath_over_certified": self.under_mpmath}
        return {**asdict(self), **ratios, "speedup_of_two_threads": self.speedup}


def bench(
    *,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help=f"A format; repeat for several. By default {', '.join(USUAL_FORMATS)}."
        ),
    ] = None,
    lengths: Annotated[
        list[int] | None, typer.Option("--length", help="Entries of a row; repeat for several.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Repeats of each timing; the median counts.")] = REPEATS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Time the reference beside NumPy's softmax and mpmath, a run step by step, and isolation beside none."""
    from harness.commands.isolation_cost import isolation_costs
    from harness.commands.run_cost import run_costs

    if repeats < 1:
        raise UsageError(f"repeats {repeats}: give an integer from 1 on")
    if (least := min(lengths or LENGTHS)) < 1:
        raise UsageError(f"length {least}: give an integer from 1 on")
    chosen = [FORMATS[choose("format", name, FORMATS)] for name in formats or USUAL_FORMATS]
    costs = run_bench(chosen, tuple(lengths or LENGTHS), repeats)
    runs, isolation = run_costs(chosen, repeats, _softmax), isolation_costs(chosen, repeats)
    if as_json:
        document = {"environment": environment(), "costs": [cost.document() for cost in costs]}
        document["runs"] = [cost.document() for cost in runs]
        print_json({**document, "isolation": [cost.document() for cost in isolation]})
        return
    for line in (*_table(list(costs)), "", *_run_table(runs), "", *_isolation_table(isolation)):
        results().print(line, soft_wrap=True)


def run_bench(
    formats: list[FloatFormat], lengths: tuple[int, ...] = LENGTHS, repeats: int = REPEATS
) -> Iterator[Cost]:
    """Yield the costs of each format and length, as they are measured."""
    from harness.subject.execution.calls import keep_freed_memory

    keep_freed_memory()
    prepare_kernels(MEASURING, EVALUATION)
    for fmt in formats:
        for length in lengths:
            yield _measure(fmt, length, repeats)


def _measure(fmt: FloatFormat, length: int, repeats: int) -> Cost:
    from reference.certified import evaluate
    from reference.oracle import truth_mpmath

    x = _logits(fmt, max(1, ELEMENTS // length), length)
    y = fmt.from_float64(_softmax(x))
    few = max(1, MPMATH_ELEMENTS // length)
    tasks: list[tuple[int, Callable[[], Any]]] = [
        (x.size, lambda: _softmax(x)),
        (x.size, lambda: evaluate(x, y, fmt)),
        (x.size, lambda: evaluate(x, y, fmt, jobs=2)),
        (x[:few].size, lambda: judge(y[:few], truth_mpmath(x[:few], fmt))),
    ]
    timings = [[_seconds(task) / elements for elements, task in tasks] for _ in range(repeats + 1)]
    medians = [statistics.median(column) * 1e9 for column in zip(*timings[1:], strict=True)]
    return Cost(fmt.name, length, len(x), *medians)


def _logits(fmt: FloatFormat, rows: int, length: int) -> Floats:
    """Return the same logits in every format, but for rounding, as float64."""
    drawn = np.random.default_rng(0).standard_normal((rows, length)) * SCALE
    return fmt.to_float64(fmt.from_float64(drawn))


def _softmax(x: Floats) -> Floats:
    """NumPy's max-shifted softmax in float64, as anyone would write it."""
    with np.errstate(over="ignore"):  # of differences, which are -inf then
        weights = np.exp(x - x.max(axis=-1, keepdims=True))
    quotients: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return quotients


def _seconds(task: Callable[[], Any]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def _table(costs: list[Cost]) -> list[str]:
    titles = (
        "format",
        "length",
        "NumPy",
        "certified",
        "2 threads",
        "mpmath",
        "/ NumPy",
        "mpmath /",
        "1 / 2 threads",
    )
    return [
        "ns an element; certified against NumPy, mpmath against certified, one thread against two",
        *_aligned([titles, *(_cells(cost) for cost in costs)]),
    ]


def _run_table(costs: Iterable[RunCost]) -> list[str]:
    titles = (
        *("format", "length", "NumPy", "draw", "call", "truth", "verdict and count", "digest", "ledger"),
        "/ NumPy without call",
    )
    lines: list[tuple[str, ...]] = [titles]
    for cost in costs:
        steps = (cost.numpy_ns, cost.draw_ns, cost.call_ns, cost.truth_ns, cost.count_ns, cost.digest_ns)
        figures = (*steps, cost.ledger_ns, cost.over_numpy)
        lines.append((cost.format, str(cost.length), *(f"{figure:.2f}" for figure in figures)))
    return ["where a run's time goes: CPU ns an element, over all regimes", *_aligned(lines)]


def _isolation_table(costs: Iterable[IsolationCost]) -> list[str]:
    from harness.commands.isolation_cost import LENGTH, ROWS

    titles = ("format", "in process", "isolated", "ratio", "call alone", "isolated", "ratio")
    lines: list[tuple[str, ...]] = [titles]
    for cost in costs:
        figures = (
            *(cost.batch_in_process_ms, cost.batch_isolated_ms, cost.batch_ratio),
            *(cost.call_in_process_ms, cost.call_isolated_ms, cost.call_ratio),
        )
        lines.append((cost.format, *(f"{figure:.3f}" for figure in figures)))
    return [
        f"ms a batch of {ROWS} rows of {LENGTH}, with its truth and tally, and of the call alone",
        *_aligned(lines),
    ]


def _aligned(lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        others = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        yield "  ".join((line[0].ljust(widths[0]), *others))


def _cells(cost: Cost) -> tuple[str, ...]:
    return (
        cost.format,
        str(cost.length),
        f"{cost.numpy_ns:.2f}",
        f"{cost.certified_ns:.2f}",
        f"{cost.two_threads_ns:.2f}",
        f"{cost.mpmath_ns:.0f}",
        f"{cost.over_numpy:.2f}",
        f"{cost.under_mpmath:.0f}",
        f"{cost.speedup:.2f}",
    )
