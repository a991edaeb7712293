"""What `harness.testing.assert_accurate` costs a test under pytest-xdist, once a process is warm.

    python -m tests.benchmarks.assertion

It runs pytest on two processes, in each of which NumPy's max-shifted form is asserted again and again, and
prints the quickest of each format after the first: seconds by the clock, and of a processor.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final

import typer

__all__ = ["main"]

TESTS: Final = """
import time

import numpy as np
import pytest

WARM = []


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("format", ["float16", "float32", "float64"])
def test_softmax(assert_accurate, format, turn):
    clock, processor = time.perf_counter(), time.process_time()
    assert_accurate(softmax, format=format, tier="standard")
    if WARM:
        print("took", format, time.perf_counter() - clock, time.process_time() - processor)
    WARM.append(format)
"""


def main() -> None:
    """Measure, and print a line for each format."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "conftest.py").write_text('pytest_plugins = ["harness.testing"]\n')
        Path(folder, "test_it.py").write_text(TESTS)
        command = [sys.executable, "-m", "pytest", "-n", "2", "-rP", "-p", "no:cacheprovider"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    taken = defaultdict(list)
    for name, clock, processor in re.findall(r"^took (\S+) (\S+) (\S+)$", done.stdout, re.MULTILINE):
        taken[name].append((float(clock), float(processor)))
    for name, times in taken.items():
        clock, processor = map(min, zip(*times, strict=True))
        print(f"{name}: {clock:.1f} s, {processor:.1f} s of a processor")  # noqa: T201


if __name__ == "__main__":
    typer.run(main)
