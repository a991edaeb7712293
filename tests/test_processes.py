"""Copies of a process measure what threads would, and end with it.

Each test is a program of its own: no other thread runs there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs import PATIENCE, ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux alone")

PROGRAM = """
import math, os, signal, zlib
from harness.campaign.campaign import Campaign
from harness.campaign import crews
from harness.campaign.crews import crew_of, threads_of
from harness.campaign.deal import Threads, deal
from harness.campaign.environment import here
from harness.subject.execution import Isolated
from harness.campaign.processes import Processes, can_fork
from harness.campaign.settings import resolve

class Record(dict):
    def finished(self):
        return set()
    def keep(self, done):
        self[done.task.id] = {str(cell): tally for cell, tally in done.tallies.items()}

def campaign(*candidates):
    given = {"candidates": list(candidates), "formats": ["float16"], "lengths": [1, 300]}
    return Campaign.of(resolve({**given, "rows": 20, "jobs": 2}))

def copies_of(campaign, executor):
    return Processes(campaign.measure, executor, 2, here(campaign.candidates))
"""

DIES = """
import ctypes
import numpy as np

def softmax(x):
    if ((x[:, 0] > 8) & (x[:, 0] < 8.3)).any():
        ctypes.string_at(0)
    if ((x[:, 0] > 9) & (x[:, 0] < 9.5)).any():
        raise ValueError("not this one")
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
"""


def run(tmp_path: Path, body: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder."""
    (tmp_path / "program.py").write_text(PROGRAM + body)
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout * PATIENCE,
        check=False,
    )


AS_A_COMMAND = """
import sys
from harness import cli
from harness.campaign.processes import can_fork

cli.run = lambda arguments: print(can_fork()) or 0
sys.argv = ["harness", "run"]
from harness.__main__ import main
main()
"""


def test_no_thread_of_the_command_stands_in_the_way_of_copies() -> None:
    """A run in threads gives the same figures and takes longer."""
    done = subprocess.run([sys.executable, "-c", AS_A_COMMAND], cwd=ROOT, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"True\n", b"")


def test_the_tallies_are_those_of_threads_bit_for_bit(tmp_path: Path) -> None:
    """Of faults too: the executor is this process's, whoever asks it."""
    (tmp_path / "dies.py").write_text(DIES)
    done = run(
        tmp_path,
        """
plan = campaign("naive", "dies.py:softmax")
with Isolated(2) as executor, crew_of(plan, executor) as crew:
    assert type(crew) is Threads, "so little is not worth copies"
crews.COPIED_SECONDS = 0.0
by_copies, by_threads = Record(), Record()
assert can_fork()
with Isolated(2, 60.0, fault_seconds=math.inf) as executor:
    with crew_of(plan, executor) as crew:
        assert type(crew) is Processes
        deal(plan.shards(), crew, by_copies, lambda *_: None)
with Isolated(2, 60.0, fault_seconds=math.inf) as executor:
    deal(plan.shards(), threads_of(plan, executor), by_threads, lambda *_: None)
differing = [shard for shard in by_threads if by_copies[shard] != by_threads[shard]]
faults = [t for by in by_threads.values() for t in by.values() if b"crashed" in zlib.decompress(t)]
print(len(by_threads), len(faults), differing)
""",
    )
    assert done.returncode == 0, done.stderr
    count, faults, differing = done.stdout.split(maxsplit=2)
    assert int(count) > 50
    assert 0 < int(faults) < 20
    assert differing.strip() == "[]"


def test_a_copy_that_is_killed_is_told_and_what_was_recorded_is_kept(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
from harness.terminal.exceptions import NoVerdict
plan = campaign("naive")
kept = Record()
with Isolated(2, 20.0) as executor:
    crew = copies_of(plan, executor)
    def kill(shard, tallies):
        os.kill(crew._copies[0].process, signal.SIGKILL)
    try:
        deal(plan.shards(), crew, kept, kill)
    except NoVerdict as error:
        print(len(kept), error)
""",
    )
    assert done.returncode == 0, done.stderr
    count, said = done.stdout.split(maxsplit=1)
    assert int(count) >= 1
    assert said.endswith(
        "a copy of the harness, died: memory may be short; try fewer --jobs; what was recorded is kept\n"
    )


SIDE_BY_SIDE = """
import threading
import numpy as np
from harness.campaign.processes import side_by_side
from harness.terminal.exceptions import NoVerdict
from reference.formats import FORMATS

x = np.array([[0, 1]], dtype=np.float16)

def of_one(number, executor):
    if number == 7:
        os._exit(3)
    if number == 9:
        open("nine")
    sound = executor.run("max_shifted", x, FORMATS["float16"]).completed.all()
    return number, os.getpid(), bool(sound)

def no_fork():
    raise BlockingIOError("no process left")
"""


def test_items_are_worked_on_in_copies_and_their_results_come_in_order(tmp_path: Path) -> None:
    """Candidates are called by the one executor; where there is another thread, nothing is copied."""
    done = run(
        tmp_path,
        f"""{SIDE_BY_SIDE}
with Isolated(2) as executor:
    found = list(side_by_side(of_one, range(6), executor, 2))
    assert can_fork()
    waiting = threading.Event()
    threading.Thread(target=waiting.wait).start()
    alone = list(side_by_side(of_one, range(6), executor, 2))
    waiting.set()
for results in found, alone:
    assert [(number, sound) for number, _, sound in results] == [(n, True) for n in range(6)], results
assert os.getpid() not in {{process for _, process, _ in found}}
assert {{process for _, process, _ in alone}} == {{os.getpid()}}
""",
    )
    assert done.returncode == 0, done.stderr


def test_what_goes_wrong_in_a_copy_is_told_as_what_it_is(tmp_path: Path) -> None:
    """A copy that dies, an error of the work, a system without another process; Ctrl-C still works."""
    done = run(
        tmp_path,
        f"""{SIDE_BY_SIDE}
with Isolated(2) as executor:
    try:
        list(side_by_side(of_one, (1, 7, 2), executor, 2))
    except NoVerdict as error:
        print(error)
    try:
        list(side_by_side(of_one, (1, 9, 2), executor, 2))
    except FileNotFoundError as error:
        print(error)
    os.fork, fork = no_fork, os.fork
    print(list(side_by_side(of_one, (1, 2), executor, 2))[1][1] == os.getpid())
    os.fork = fork
    signal.raise_signal(signal.SIGINT)
""",
    )
    assert done.stderr.endswith("KeyboardInterrupt\n"), done.stderr
    died, missing, in_turn = done.stdout.splitlines()
    assert "a copy of the harness, died" in died
    assert missing == "[Errno 2] No such file or directory: 'nine'"
    assert in_turn == "True"


def test_an_error_in_a_copy_is_raised_here(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
plan = campaign("naive")
class Odd(Exception):
    def __init__(self, one, two):
        super().__init__("odd")
def measure(shard, executor):
    raise Odd(1, 2)
with Isolated(2, 20.0) as executor:
    try:
        deal(plan.shards(), Processes(measure, executor, 2, here(plan.candidates)), Record(), None)
    except RuntimeError as error:
        print(error)
""",
    )
    assert (done.returncode, done.stdout) == (0, "Odd: odd\n"), done.stderr


def test_copies_end_with_the_process_that_made_them(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
plan = campaign("naive")
executor = Isolated(2, 20.0)
crew = copies_of(plan, executor)
print(*[copy.process for copy in crew._copies], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    copies = [int(process) for process in done.stdout.split()]
    assert len(copies) == 3  # two processors are busy while one copy waits for a candidate
    deadline = time.monotonic() + 10 * PATIENCE
    while any(_is_alive(process) for process in copies):
        assert time.monotonic() < deadline, copies
        time.sleep(0.02)


def _is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
