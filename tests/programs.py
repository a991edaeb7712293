"""The program as its users start it, and a candidate that waits at a gate until it is let through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ARGUMENTS", "HEARING", "LENGTHS", "PATIENCE", "ROOT", "RUN", "Gate", "Program", "figures"]

ROOT = Path(__file__).resolve().parent.parent
HEARING = ("env", "--default-signal=INT", sys.executable)
"""An interpreter that hears interrupts also where whoever started the tests ignores them."""

RUN = (*HEARING, "-m", "harness")
"""The program."""

ARGUMENTS = (
    "run",
    "naive",
    "max_shifted",
    "--format",
    "float16",
    "--format",
    "float64",
    "--rows",
    "40",
    "--effort",
    "brief",
)
LENGTHS = ("--length", "1", "--length", "5", "--length", "300")

PATIENCE = 4
"""How much slower than an idle machine one may be."""


class Program:
    """The program, started with a token that every process of it inherits."""

    def __init__(self, out: Path, *more: str, asked: Sequence[str] = (*ARGUMENTS, *LENGTHS)) -> None:
        self.token = f"SOFTMAX_HARNESS_TEST={uuid.uuid4().hex}"
        name, _, value = self.token.partition("=")
        self.process = subprocess.Popen(
            [*RUN, *asked, "--out", str(out), *more],
            env={**os.environ, "PYTHONPATH": str(ROOT), name: value},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_it_hears(self) -> None:
        """Return once it handles interrupts: before that it dies of one, as any program does."""
        bit, deadline = 1 << (signal.SIGINT - 1), time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
            if int(caught, 16) & bit:
                return
            time.sleep(0.02)

    def finish(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=60 * PATIENCE)
        return self.process.returncode, said

    def relatives(self) -> list[int]:
        """Return the processes, dead ones apart, that inherited the token."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if self.token.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def all_gone(self, seconds: float = 5.0) -> bool:
        deadline = time.monotonic() + seconds
        while self.relatives() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.relatives()


def figures(folder: Path) -> str:
    """Return summary.json as it stands, but for the lines of environment and timing."""
    lines = (folder / "summary.json").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(('  "environment": ', '  "timing": '))]
    assert len(lines) - len(kept) == 2
    return "".join(kept)


GATED = """
import os, time
import numpy as np

{at_import}

def softmax(x):
    {in_call}
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
"""

WAIT = (
    "open(f'{reached}{{os.getpid()}}', 'w').close()\n"
    "{indent}while not os.path.exists({go!r}): time.sleep(0.01)"
)


class Gate:
    """A candidate that waits, where it is told to, until it is let through.

    Attributes:
        arguments: of a run of it and of another, in two formats and at several lengths.
        alone: of a run of one cell of it.
    """

    def __init__(self, folder: Path, place: str) -> None:
        self._folder, self._go = folder, folder / "go"
        waits = WAIT.format(reached=str(folder / "reached"), go=str(self._go), indent=" " * 8)
        in_call = f"if x.shape[1] == 5 and len(x) > 1:\n        {waits}" if place == "in_call" else "pass"
        at_import = f"if True:\n        {waits}" if place == "at_import" else ""
        (folder / "gated.py").write_text(GATED.format(at_import=at_import, in_call=in_call))
        spec = f"{folder}/gated.py:softmax"
        few = ("--regime", "tied", "--regime", "masked")
        self.arguments = ("run", "naive", spec, *ARGUMENTS[3:], *LENGTHS, *few, "--jobs", "2")
        least = ("--format", "float16", "--regime", "tied", "--length", "5", "--rows", "40")
        self.alone = ("run", spec, *least, "--effort", "brief", "--jobs", "1", "--in-process")

    def wait_until_reached(self, processes: int = 1) -> None:
        """Return once so many processes stand before it."""
        deadline = time.monotonic() + 60 * PATIENCE
        while len(list(self._folder.glob("reached*"))) < processes:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def open(self) -> None:
        self._go.touch()
