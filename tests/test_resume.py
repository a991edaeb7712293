"""A campaign that is killed, interrupted, or started twice keeps what it measured and ends the same."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from programs import ARGUMENTS, HEARING, LENGTHS, ROOT, RUN, Gate, Program, figures

from harness import cli
from reports.record.ledger import Ledger

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

TRIES = 3
"""A wall clock on a busy machine proves nothing by one late stop."""

STARTED = 1.2
"""Seconds in which a program has begun to measure, about."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert cli.run([*ARGUMENTS, *LENGTHS, "--jobs", "2", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def undisturbed(whole: Path) -> str:
    return figures(whole)


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


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_summary(tmp_path: Path, undisturbed: str) -> None:
    kill_until_it_survives(tmp_path / "run", 3, 0, kill_program)
    assert figures(tmp_path / "run") == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(900)  # two minutes of an idle machine
@pytest.mark.parametrize("seed", [1, 2])
def test_run_killed_at_many_moments_resumes_to_the_same_summary(
    tmp_path: Path, undisturbed: str, seed: int
) -> None:
    kill_until_it_survives(tmp_path / "run", 10, seed, kill_program)
    assert figures(tmp_path / "run") == undisturbed


@pytest.mark.slow
def test_run_whose_worker_is_killed_ends_with_the_same_figures(tmp_path: Path, whole: Path) -> None:
    """A worker killed from outside is told as a crash that did not repeat; no figure changes."""
    kill_until_it_survives(tmp_path / "run", 1, 3, kill_worker)
    mine, theirs = (json.loads((f / "summary.json").read_text())["cells"] for f in (tmp_path / "run", whole))
    told = {"faults", "status", "witness", "message"}
    for a, b in zip(mine, theirs, strict=True):
        assert {k: v for k, v in a.items() if k not in told} == {k: v for k, v in b.items() if k not in told}


# Interrupts --------------------------------------------------------------------------------


def interrupt(program: Program) -> None:
    os.kill(program.process.pid, signal.SIGINT)


def interrupt_all(program: Program) -> None:
    """Press Ctrl-C, which reaches the whole group."""
    os.killpg(program.process.pid, signal.SIGINT)


def interrupt_another_thread(program: Program) -> None:
    """Have another thread take the signal: no system call of the main thread ends by it.

    The same happens where one arrives just before such a call.
    """
    threads = (int(task.name) for task in Path(f"/proc/{program.process.pid}/task").iterdir())
    other = max(thread for thread in threads if thread != program.process.pid)
    assert ctypes.CDLL(None).tgkill(program.process.pid, other, signal.SIGINT) == 0


def interrupted(program: Program, how: Callable[[Program], None]) -> tuple[float, int, str]:
    """Interrupt a program and return seconds, code and last line; no process may be left, and no silence."""
    start = time.monotonic()
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        how(program)
    code, said = program.finish()
    seconds = time.monotonic() - start
    assert "Traceback" not in said, said
    assert bool(said) or code == 0, f"ended with {code} and said nothing"
    assert program.all_gone(2)
    return seconds, code, said.splitlines()[-1] if code else ""


def stopped(program: Program, how: Callable[[Program], None]) -> tuple[float, str]:
    """Interrupt a program that is at work, and return seconds and last line."""
    seconds, code, last = interrupted(program, how)
    assert code == 130, last
    return seconds, last


def wait_until_one_is_kept(folder: Path) -> None:
    """Return once a shard is recorded: one of length 1 ends while its neighbour stands at the gate."""
    deadline = time.monotonic() + 60
    while True:
        with Ledger.open(folder / "run.sqlite") as ledger:
            if ledger.finished():
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("how", [interrupt, interrupt_all, interrupt_another_thread])
def test_interrupt_keeps_what_was_measured_and_says_how_to_go_on(
    tmp_path: Path, how: Callable[[Program], None]
) -> None:
    """While a candidate hangs, so that no shard's end wakes the program."""
    gate, folder = Gate(tmp_path, "in_call"), tmp_path / "run"
    seconds = []
    while not seconds or (seconds[-1] >= 2 and len(seconds) < TRIES):
        program = Program(folder, "--resume", asked=gate.arguments)
        gate.wait_until_reached()
        wait_until_one_is_kept(folder)
        took, last = stopped(program, how)
        seconds.append(took)
        assert max(seconds) < 20, "the candidate's time limit ended it, not the interrupt"
    assert seconds[-1] < 2, seconds
    kept, total = map(int, re.findall(r"interrupted: (\d+) of (\d+) shards are kept", last)[0])
    assert 0 < kept < total
    assert last.endswith(f"--resume --out {folder}")
    gate.open()
    assert Program(folder, "--resume", asked=gate.arguments).finish()[0] == 0
    assert Program(tmp_path / "whole", "--jobs", "1", asked=gate.arguments).finish()[0] == 0
    assert figures(folder) == figures(tmp_path / "whole")


def test_interrupt_while_a_candidate_is_imported_leaves_no_process(tmp_path: Path) -> None:
    gate = Gate(tmp_path, "at_import")
    program = Program(tmp_path / "run", asked=gate.arguments)
    gate.wait_until_reached()
    seconds, last = stopped(program, interrupt)
    assert last == "error: interrupted"
    assert seconds < 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5])
def test_run_interrupted_at_many_moments_ends_the_same(tmp_path: Path, undisturbed: str, seed: int) -> None:
    """While it imports, starts workers, measures, commits, checks, draws."""
    rng, folder, slow = random.Random(seed), tmp_path / "run", []
    for _ in range(25):
        program = Program(folder, "--resume")
        program.wait_until_it_hears()
        time.sleep(rng.uniform(0.3, 5))
        seconds, code, last = interrupted(program, interrupt_all)
        if code == 0:  # it had just done all
            assert figures(folder) == undisturbed
        else:
            assert code == 130, last
            assert last.startswith("error: interrupted")
        slow += [seconds] if seconds >= 2 else []
    assert len(slow) < TRIES, slow
    assert Program(folder, "--resume").finish()[0] == 0
    assert figures(folder) == undisturbed


SELFTEST = ("selftest", "--quick", "--format", "float32", "--jobs", "2")


@pytest.mark.slow
def test_a_selftest_interrupted_as_it_starts_processes_ends_at_once(tmp_path: Path) -> None:
    rng, slow = random.Random(6), []
    for _ in range(25):
        program = Program(tmp_path / "run", asked=SELFTEST)
        program.wait_until_it_hears()
        time.sleep(rng.uniform(0.4, 1.2))
        os.killpg(program.process.pid, signal.SIGINT)
        start = time.monotonic()
        assert program.finish() == (130, "error: interrupted\n")
        slow += [time.monotonic() - start] if time.monotonic() - start >= 2 else []
        assert program.all_gone(2)
    assert len(slow) < TRIES, slow


@pytest.mark.slow
def test_the_processes_of_a_selftest_end_with_it(tmp_path: Path) -> None:
    program = Program(tmp_path / "run", asked=SELFTEST)
    program.wait_until_it_hears()
    while len(program.relatives()) < 3:  # a worker, and what tracks resources
        assert program.process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    program.process.kill()
    program.finish()
    assert program.all_gone(5)


def test_an_interrupt_as_the_program_ends_comes_too_late() -> None:
    """Python takes its handlers down as it ends, and an interrupt then would kill what is done."""
    ending = """
import atexit, signal, sys
atexit.register(lambda: print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN))
from harness.__main__ import main
sys.argv = ["harness", "--version"]
main()
"""
    done = subprocess.run(
        [*HEARING, "-c", ending],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "True"


def said_by(program: str, *arguments: str) -> tuple[int, bytes, bytes]:
    """The exit code of a program that hears interrupts, what it printed, and its errors."""
    done = subprocess.run(
        [*HEARING, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_an_interrupt_in_a_finalizer_is_not_lost() -> None:
    program = """
import os, signal, time
from harness.terminal.interrupts import keep_interrupts
class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100): pass
keep_interrupts()
Finalized()
try:
    time.sleep(120)
except KeyboardInterrupt:
    print("heard")
"""
    assert said_by(program) == (0, b"heard\n", b"")


COMPILING = """
import os, signal, time
import numba
from llvmlite.binding import ModuleRef
from harness.terminal.interrupts import keep_interrupts
keep_interrupts()
def detach(self):  # LLVM has released the memory of a module that it linked into another
    del ModuleRef.detach
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    self.detach()
ModuleRef.detach = detach
try:
    numba.njit("f8(f8)")(lambda x: x + 1)
    time.sleep(120)
except KeyboardInterrupt:
    print("heard")
"""


def test_an_interrupt_waits_for_the_call_of_llvm_that_it_meets() -> None:
    """It crashed there: memory was released twice."""
    assert said_by(COMPILING) == (0, b"heard\n", b"")


HELD_BACK = """
import os, signal, sys, time
import numpy  # starts threads that signals may reach
from harness.terminal.interrupts import held_back, keep_interrupts
keep_interrupts()
times = 0
try:
    with held_back():
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        print("held")
except KeyboardInterrupt:
    times += 1
try:
    time.sleep(0.2)
except KeyboardInterrupt:
    times += 1
print(times)
"""


def test_interrupts_that_are_held_back_come_once_at_the_end() -> None:
    assert said_by(HELD_BACK) == (0, b"held\n1\n", b"")


IMPORTING = """
import os, signal, sys, time
from harness.terminal.interrupts import keep_interrupts
sys.path.insert(0, sys.argv[1])
keep_interrupts()
try:
    import interrupted_module
    print("imported")
    time.sleep(120)
except KeyboardInterrupt:
    print("heard")
"""


@pytest.mark.parametrize(
    ("module", "said"),
    [
        pytest.param(
            """
            class Named:
                def __set_name__(self, owner, name):  # Python turns its errors into RuntimeError
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.2)
            class Owner:
                named = Named()
            """,
            b"imported\nheard\n",
            id="an error of another kind",
        ),
        pytest.param(
            """
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)
            except BaseException:
                pass
            """,
            b"imported\nheard\n",
            id="caught",
        ),
        pytest.param(
            "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(120)",
            b"heard\n",
            id="an import that does not end",
        ),
    ],
)
def test_an_interrupt_waits_for_the_import_that_it_meets(tmp_path: Path, module: str, said: bytes) -> None:
    (tmp_path / "interrupted_module.py").write_text("import os, signal, time\n" + textwrap.dedent(module))
    assert said_by(IMPORTING, str(tmp_path)) == (0, said, b"")


DISGUISED = """
import os, signal, sys, time
from harness import cli

def commands():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(120)
    except KeyboardInterrupt:
        raise ValueError("no schema") from None

cli._commands = commands
sys.argv = ["harness", "run"]
from harness.__main__ import main
main()
"""


def test_an_interrupt_that_a_library_made_another_error_of_is_told_as_one() -> None:
    assert said_by(DISGUISED) == (130, b"", b"error: interrupted\n")


# However it ran ----------------------------------------------------------------------------


def test_second_run_of_the_same_folder_is_refused_while_the_first_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = Gate(tmp_path, "in_call")
    first = Program(tmp_path / "run", asked=gate.alone)
    gate.wait_until_reached()
    code = cli.run([*gate.alone, "--out", str(tmp_path / "run"), "--resume"])
    said = capsys.readouterr().err
    assert first.process.poll() is None
    assert code == 2, said
    assert said.splitlines() == [line for line in said.splitlines() if "another run is writing" in line]
    gate.open()
    assert first.finish()[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [("--jobs", "1"), ("--in-process",)], ids=" ".join)
def test_summary_is_the_same_however_it_ran(tmp_path: Path, undisturbed: str, how: Sequence[str]) -> None:
    """Byte for byte as with two jobs; that a resumed run's is, is tried above."""
    assert cli.run([*ARGUMENTS, *LENGTHS, *how, "--out", str(tmp_path / "run")]) == 0
    assert figures(tmp_path / "run") == undisturbed


# Ledgers that cannot be written or read ------------------------------------------------------

ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=$1 tmpfs "$2"
shift
folder=$1
shift
set +e
"$@" --out "$folder/run"
code=$?
cp -a "$folder/run" "$folder.kept"
exit $code
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["64k", "1m"])
def test_full_disk_is_one_line_and_what_was_measured_goes_on_elsewhere(
    tmp_path: Path, undisturbed: str, size: str
) -> None:
    """On a small disk of its own, in a namespace that ends with the program."""
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    probe = [*unshare, 'mount -t tmpfs tmpfs "$0"', str(disk)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    command = [*unshare, ON_A_SMALL_DISK, "sh", size, str(disk), *RUN, *ARGUMENTS, *LENGTHS]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    kept = tmp_path / "disk.kept"
    recorded = set[str]()
    if (kept / "run.sqlite").exists():
        with Ledger.open(kept / "run.sqlite") as ledger:
            recorded = ledger.finished()
    assert done.returncode == (3 if recorded else 2), done.stderr
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(r"error: .*run\.sqlite: the disk is full; .* then --resume", last), done.stderr
    assert "Traceback" not in done.stderr
    assert bool(recorded) == (size != "64k"), "the ledger itself does not fit, or some shards do"
    assert Program(kept, "--resume").finish()[0] == 0
    assert figures(kept) == undisturbed


@pytest.mark.usefixtures("few_checks", "one_job")
def test_damaged_ledger_is_refused_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    small = ["run", "naive", "--format", "float16", "--regime", "tied", "--length", "2", "--rows", "3"]
    small += ["--effort", "brief", "--in-process"]
    assert cli.run([*small, "--out", str(folder)]) == 0
    ledger = folder / "run.sqlite"
    ledger.write_bytes(ledger.read_bytes()[:5000])
    damaged = ledger.read_bytes()
    capsys.readouterr()
    assert cli.run([*small, "--out", str(folder), "--resume"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert ledger.read_bytes() == damaged
