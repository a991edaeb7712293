"""The certified truth of each op beside Arb's balls, over as many elements as are asked for.

    python -m tests.benchmarks.against_arb [--elements 2000000] [--op log_softmax ...] [--seed 0]

Rows are those of all regimes, in all formats, at lengths 1 to 129. Arb (python-flint) shares no code with the
truth. An element counts as a mismatch where a ball refutes its nearest number or its residual.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import count, product

import numpy as np

from reference.formats import FORMATS, FloatFormat
from reference.ops import OPS
from strategies.regimes import REGIMES
from tests.arb import contradictions

LENGTHS = (1, 2, 3, 7, 16, 33, 129)
ENTRIES = 1 << 10


def batches(seed: int) -> Iterator[tuple[FloatFormat, np.ndarray]]:
    """Yield rows as float64, shape (rows, n), without end: every format, regime and length in turn."""
    for batch in count():
        for n, fmt, regime in product(LENGTHS, FORMATS.values(), REGIMES.values()):
            if regime.supports(fmt, n):
                x = fmt.to_float64(regime.rows(fmt, max(1, ENTRIES // n), n, seed, batch))
                yield fmt, x[~np.isnan(x).any(axis=1) & ~np.isposinf(x).any(axis=1)]


def compared(op: str, elements: int, seed: int) -> tuple[int, list[str]]:
    """Return how many elements were compared, at least as many as asked for, and the mismatches."""
    done, mismatches = 0, []
    for fmt, x in batches(seed):
        rows = x[np.isfinite(x).any(axis=1)]
        if len(rows):
            truth = OPS[op].certified(rows, fmt, 1)
            mismatches += contradictions(rows, truth, op)
            done += truth.nearest.size
        if done >= elements:
            return done, mismatches
    raise AssertionError("batches never end")


def main() -> None:
    """Print a line for each op; exit 1 where there is a mismatch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=2_000_000)
    parser.add_argument("--op", nargs="*", choices=list(OPS), default=list(OPS))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    wrong = 0
    for op in asked.op:
        begun = time.process_time()
        done, mismatches = compared(op, asked.elements, asked.seed)
        wrong += len(mismatches)
        seconds = time.process_time() - begun
        sys.stdout.write(f"{op}: {done:,} elements, {len(mismatches)} mismatches, {seconds:.0f} s\n")
        sys.stdout.writelines(f"{mismatch}\n" for mismatch in mismatches[:9])
    raise SystemExit(int(bool(wrong)))


if __name__ == "__main__":
    main()
