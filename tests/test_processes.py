"""Copies of a process measure what threads would, and end with it.

They are tried in a program of its own, where no other thread runs: one part after another, for each test one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from programs import HEARING, PATIENCE, ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux alone")

PROGRAM = """
import contextlib, json, math, os, signal, sys, threading, traceback, zlib
import numpy as np
from harness.campaign.campaign import Campaign
from harness.campaign import crews
from harness.campaign.crews import crew_of, threads_of
from harness.campaign.deal import Threads, deal
from harness.campaign.environment import here
from harness.campaign.plan import Plan
from harness.subject.execution import Isolated
from harness.campaign.processes import Processes, can_fork, meanwhile, side_by_side
from harness.campaign.schedule import Schedule
from harness.campaign.settings import resolve
from harness.terminal.exceptions import NoVerdict
from reference.formats import FORMATS

class Record(dict):
    def finished(self):
        return set()
    def keep(self, done):
        self[done.task.id] = {str(cell): tally for cell, tally in done.tallies.items()}

def planned(*candidates):
    given = {"candidates": list(candidates), "formats": ["float16"], "lengths": [1, 300]}
    return Plan.of(resolve({**given, "rows": 12, "jobs": 2}))

def copies_of(plan, executor):
    return Processes(Campaign(plan).measure, executor, 2, here(plan.candidates))

@contextlib.contextmanager
def part(name):
    told = {"values": [], "error": ""}
    try:
        yield lambda *values: told["values"].extend(values)
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            told["error"] = traceback.format_exc()
    told["can_fork"] = can_fork()
    print(json.dumps([name, told]), flush=True)

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

PARTS = """
with part("tallies") as tell:
    plan = planned("naive", "dies.py:softmax")
    with Isolated(2) as executor, crew_of(Schedule(plan), executor) as crew:
        assert type(crew) is Threads, "so little is not worth copies"
    crews.COPIED_SECONDS = 0.0
    by_copies, by_threads = Record(), Record()
    assert can_fork()
    with Isolated(2, 60.0, fault_seconds=math.inf) as executor:
        with crew_of(Schedule(plan), executor) as crew:
            assert type(crew) is Processes
            deal(plan.shards(), crew, by_copies, lambda *_: None)
    with Isolated(2, 60.0, fault_seconds=math.inf) as executor:
        deal(plan.shards(), threads_of(plan, executor), by_threads, lambda *_: None)
    differing = [shard for shard in by_threads if by_copies[shard] != by_threads[shard]]
    faults = [t for by in by_threads.values() for t in by.values() if b"crashed" in zlib.decompress(t)]
    tell(len(by_threads), len(faults), differing)

plan = planned("naive")

with part("killed") as tell:
    kept = Record()
    with Isolated(2, 20.0) as executor:
        crew = copies_of(plan, executor)
        def kill(shard, tallies):
            os.kill(crew._copies[0].process, signal.SIGKILL)
        try:
            deal(plan.shards(), crew, kept, kill)
        except NoVerdict as error:
            tell(len(kept), str(error))

with part("odd") as tell:
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__("odd")
    def measure(shard, executor):
        raise Odd(1, 2)
    with Isolated(2, 20.0) as executor:
        try:
            deal(plan.shards(), Processes(measure, executor, 2, here(plan.candidates)), Record(), None)
        except RuntimeError as error:
            tell(str(error))

with part("in order") as tell, Isolated(2) as executor:
    found = list(side_by_side(of_one, range(6), executor, 2))
    assert can_fork()
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    alone = list(side_by_side(of_one, range(6), executor, 2))
    waiting.set()
    thread.join()
    tell(os.getpid(), found, alone)

with part("goes wrong") as tell, Isolated(2) as executor:
    try:
        list(side_by_side(of_one, (1, 7, 2), executor, 2))
    except NoVerdict as error:
        tell(str(error))
    try:
        list(side_by_side(of_one, (1, 9, 2), executor, 2))
    except FileNotFoundError as error:
        tell(str(error))
    os.fork, fork = no_fork, os.fork
    try:
        tell(list(side_by_side(of_one, (1, 2), executor, 2))[1][1] == os.getpid())
    finally:
        os.fork = fork
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        tell("interrupted")

def write(name, error=None):
    def work():
        open(name, "w").write(str(os.getpid()))
        if error:
            raise error
    return work

def written(name):
    return int(open(name).read())

with part("meanwhile") as tell:
    def hear():
        write("beside")()
        open("pipe").read()
    os.mkfifo("pipe")
    with meanwhile(hear, 2):
        open("pipe", "w").close()  # waits until it is heard
    tell(written("beside") != os.getpid())
    with meanwhile(write("before"), 1):
        tell(written("before") == os.getpid())
    try:
        with meanwhile(write("failed", FileNotFoundError("in the copy")), 2):
            tell("the body is run")
    except FileNotFoundError as error:
        tell(str(error))
    try:
        with meanwhile(write("whole"), 2):
            raise ValueError("in the body")
    except ValueError as error:
        tell(str(error), written("whole") != os.getpid())
    try:
        with meanwhile(write("both", FileNotFoundError("in the copy")), 2):
            raise ValueError("in the body")
    except ValueError as error:
        tell(str(error))
    try:
        with meanwhile(lambda: time.sleep(3600), 2):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        tell("interrupted")
    try:
        with meanwhile(lambda: os._exit(3), 2):
            pass
    except NoVerdict as error:
        tell(str(error))
    os.fork, fork = no_fork, os.fork
    try:
        with meanwhile(write("alone"), 2):
            tell(written("alone") == os.getpid())
    finally:
        os.fork = fork

with part("copies") as tell:
    executor = Isolated(2, 20.0)
    crew = copies_of(plan, executor)
    tell(*[copy.process for copy in crew._copies])
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Told:
    """What the parts of the program told, by their names, and how it ended."""

    parts: dict[str, dict[str, Any]]
    code: int
    said: str

    def of(self, name: str) -> list[Any]:
        """Return what a part told, which met no error."""
        assert name in self.parts, self.said
        assert self.parts[name]["error"] == ""
        return list(self.parts[name]["values"])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("copies")
    (folder / "dies.py").write_text(DIES)
    (folder / "program.py").write_text(PROGRAM + PARTS)
    done = subprocess.run(
        [*HEARING, "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120 * PATIENCE,
        check=False,
    )
    return Told(dict(map(json.loads, done.stdout.splitlines())), done.returncode, done.stderr)


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


def test_the_tallies_are_those_of_threads_bit_for_bit(told: Told) -> None:
    """Of faults too: the executor is this process's, whoever asks it."""
    count, faults, differing = told.of("tallies")
    assert count > 50
    assert 0 < faults < 20
    assert differing == []


def test_a_copy_that_is_killed_is_told_and_what_was_recorded_is_kept(told: Told) -> None:
    count, said = told.of("killed")
    assert count >= 1
    assert said.endswith(
        "a copy of the harness, died: memory may be short; try fewer --jobs; what was recorded is kept"
    )


def test_items_are_worked_on_in_copies_and_their_results_come_in_order(told: Told) -> None:
    """Candidates are called by the one executor; where there is another thread, nothing is copied."""
    own, found, alone = told.of("in order")
    for results in found, alone:
        assert [(number, sound) for number, _, sound in results] == [(n, True) for n in range(6)], results
    assert own not in {process for _, process, _ in found}
    assert {process for _, process, _ in alone} == {own}


def test_what_goes_wrong_in_a_copy_is_told_as_what_it_is(told: Told) -> None:
    """A copy that dies, an error of the work, a system without another process; Ctrl-C still works."""
    died, *others = told.of("goes wrong")
    assert "a copy of the harness, died" in died
    assert others == ["[Errno 2] No such file or directory: 'nine'", True, "interrupted"]


def test_an_error_in_a_copy_is_raised_here(told: Told) -> None:
    assert told.of("odd") == ["Odd: odd"]


def test_work_is_done_in_a_copy_while_the_body_runs_or_here_before_it(told: Told) -> None:
    beside, before, body, failed, error, whole, told_first, interrupted, died, alone = told.of("meanwhile")
    assert [beside, before, whole, alone] == [True] * 4
    assert (body, failed, error) == ("the body is run", "in the copy", "in the body")
    assert (told_first, interrupted) == ("in the body", "interrupted")
    assert "a copy of the harness, died" in died


def test_copies_can_be_made_again_whatever_happened(told: Told) -> None:
    assert [name for name in told.parts if not told.parts[name]["can_fork"]] in ([], ["copies"]), told.said


def test_copies_end_with_the_process_that_made_them(told: Told) -> None:
    copies = told.of("copies")
    assert told.code == -signal.SIGKILL, told.said
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
