"""The certified truth of each op beside Arb's balls, over as many elements as are asked for.

    python -m tests.benchmarks.against_arb [--elements 2000000] [--op NAME ...] [--seed 0] [--seconds 500]

Rows are those of all regimes, in all formats, at lengths 1 to 129, in an order drawn from the seed. An op may
carry settings, as in `softmax(scale=0.3, sink=0.5)`. Arb (python-flint) shares no code with the truth. An
element counts as a mismatch where a ball refutes its nearest number or its residual. Runs of different seeds
have different rows, so their counts add up.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from itertools import count, product

import numpy as np

from reference.formats import FORMATS, FloatFormat
from reference.ops import OPS, op_named
from strategies.regimes import REGIMES
from tests.arb import contradictions_of, fused_rows

LENGTHS = (1, 2, 3, 7, 16, 33, 129)
ENTRIES = 1 << 10


def batches(seed: int) -> Iterator[tuple[FloatFormat, np.ndarray]]:
    """Yield rows as float64, shape (rows, n), without end, of every format, regime and length."""
    kinds = list(product(LENGTHS, FORMATS.values(), REGIMES.values()))
    order = np.random.default_rng(seed).permutation(len(kinds))
    for batch in count():
        for n, fmt, regime in (kinds[i] for i in order):
            if regime.supports(fmt, n):
                x = fmt.to_float64(regime.rows(fmt, max(1, ENTRIES // n), n, seed, batch))
                yield fmt, x[~np.isnan(x).any(axis=1) & ~np.isposinf(x).any(axis=1)]


def compared(name: str, elements: int, seed: int, seconds: float = math.inf) -> tuple[int, int, list[str]]:
    """Return how many elements were compared, how many of them mpmath decided, and the mismatches.

    They are at least as many as asked for, or as many as the time allows.
    """
    op, begun = op_named(name), time.monotonic()
    done, slow, mismatches = 0, 0, []
    for fmt, x in batches(seed):
        rows = x[np.isfinite(x).any(axis=1)]
        if len(rows):
            truth = op.certified(rows, fmt, 1)
            mismatches += contradictions_of(fused_rows(rows, op.fused), truth, (op.plain or op).name)
            done, slow = done + truth.nearest.size, slow + truth.fallbacks
        if done >= elements or time.monotonic() - begun > seconds:
            return done, slow, mismatches
    raise AssertionError("batches never end")


def main() -> None:
    """Print a line for each op; exit 1 where there is a mismatch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=2_000_000)
    parser.add_argument("--op", nargs="*", default=list(OPS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf)
    asked = parser.parse_args()
    wrong = 0
    for op in asked.op:
        begun = time.process_time()
        done, slow, mismatches = compared(op, asked.elements, asked.seed, asked.seconds)
        wrong += len(mismatches)
        seconds = time.process_time() - begun
        sys.stdout.write(
            f"{op}, seed {asked.seed}: {done:,} elements, {slow:,} by mpmath, {len(mismatches)} mismatches, "
            f"{seconds:.0f} s\n"
        )
        sys.stdout.writelines(f"{mismatch}\n" for mismatch in mismatches[:9])
        sys.stdout.flush()
    raise SystemExit(int(bool(wrong)))


if __name__ == "__main__":
    main()
