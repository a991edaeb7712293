"""A campaign that is killed, interrupted, or started twice keeps what it measured and ends the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

ROOT = Path(__file__).resolve().parent.parent
ARGUMENTS = ("run", "naive", "max_shifted", "--format", "float16", "--format", "float64", "--rows", "40")
LENGTHS = ("--length", "1", "--length", "5", "--length", "300")
TRIES = 3
"""A wall clock on a busy machine proves nothing by one late stop."""

STARTED = 1.2
"""Seconds in which a program has begun to measure, about."""


class Program:
    """The program, started with a token that every process of it inherits."""

    def __init__(self, out: Path, *more: str) -> None:
        self.token = f"SOFTMAX_HARNESS_TEST={uuid.uuid4().hex}"
        name, _, value = self.token.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness", *ARGUMENTS, *LENGTHS, "--out", str(out), *more],
            env={**os.environ, "PYTHONPATH": str(ROOT), name: value},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=120)
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
    document = json.loads((folder / "summary.json").read_text())
    return json.dumps({k: v for k, v in document.items() if k not in {"environment", "timing"}})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert cli.run([*ARGUMENTS, *LENGTHS, "--out", str(folder)]) == 0
    return figures(folder)


def kill_program(program: Program, _: random.Random) -> None:
    program.process.kill()


def kill_worker(program: Program, rng: random.Random) -> None:
    """Kill one of the processes below the program; the program goes on."""
    below = [pid for pid in program.relatives() if pid != program.process.pid]
    if below:
        os.kill(rng.choice(below), signal.SIGKILL)


def kill_until_it_survives(
    folder: Path, kills: int, seed: int, kill: Callable[[Program, random.Random], None]
) -> None:
    rng = random.Random(seed)
    for _ in range(kills):
        program = Program(folder, "--resume")
        time.sleep(STARTED + rng.uniform(-0.8, 1.5))
        kill(program, rng)
        if kill is kill_program:
            program.finish()
            assert program.all_gone(), "killed, and workers are left"
        else:
            assert program.finish()[0] == 0
    code, said = Program(folder, "--resume").finish()
    assert code == 0, said


def test_killed_run_resumes_to_the_same_summary(tmp_path: Path, undisturbed: str) -> None:
    kill_until_it_survives(tmp_path / "run", 3, 0, kill_program)
    assert figures(tmp_path / "run") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_run_killed_at_many_moments_resumes_to_the_same_summary(
    tmp_path: Path, undisturbed: str, seed: int
) -> None:
    kill_until_it_survives(tmp_path / "run", 10, seed, kill_program)
    assert figures(tmp_path / "run") == undisturbed


def test_run_whose_worker_is_killed_ends_with_the_same_figures(tmp_path: Path, undisturbed: str) -> None:
    """A worker killed from outside is told as a crash that did not repeat; no figure changes."""
    kill_until_it_survives(tmp_path / "run", 1, 3, kill_worker)
    mine, theirs = (json.loads(text)["cells"] for text in (figures(tmp_path / "run"), undisturbed))
    told = {"faults", "status", "witness", "message"}
    for a, b in zip(mine, theirs, strict=True):
        assert {k: v for k, v in a.items() if k not in told} == {k: v for k, v in b.items() if k not in told}


def test_interrupt_keeps_what_was_measured_and_says_how_to_go_on(tmp_path: Path, undisturbed: str) -> None:
    seconds = []
    while not seconds or (seconds[-1] >= 2 and len(seconds) < TRIES):
        program = Program(tmp_path / "run", "--resume")
        time.sleep(STARTED + 0.8)
        start = time.monotonic()
        os.killpg(program.process.pid, signal.SIGINT)
        code, said = program.finish()
        seconds.append(time.monotonic() - start)
        if code == 0:
            pytest.skip("the run ended before it could be interrupted")
        assert code == 130
        assert said.splitlines()[-1].startswith("error: interrupted")
        assert "Traceback" not in said
        assert program.all_gone(2)
    assert seconds[-1] < 2, seconds
    assert Program(tmp_path / "run", "--resume").finish()[0] == 0
    assert figures(tmp_path / "run") == undisturbed


def test_second_run_of_the_same_folder_is_refused_while_the_first_goes_on(tmp_path: Path) -> None:
    first = Program(tmp_path / "run")
    time.sleep(STARTED)
    code, said = Program(tmp_path / "run", "--resume").finish()
    if first.process.poll() is None:
        assert code == 2, said
        assert len(said.splitlines()) == 1, said
    assert first.finish()[0] == 0


def test_in_process_gives_the_same_figures(tmp_path: Path, undisturbed: str) -> None:
    assert cli.run([*ARGUMENTS, *LENGTHS, "--in-process", "--out", str(tmp_path / "run")]) == 0
    assert figures(tmp_path / "run") == undisturbed


def test_damaged_ledger_is_refused_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    small = ["run", "naive", "--format", "float16", "--regime", "tied", "--length", "2", "--rows", "3"]
    assert cli.run([*small, "--out", str(folder)]) == 0
    ledger = folder / "run.sqlite"
    ledger.write_bytes(ledger.read_bytes()[:5000])
    damaged = ledger.read_bytes()
    capsys.readouterr()
    assert cli.run([*small, "--out", str(folder), "--resume"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert ledger.read_bytes() == damaged
