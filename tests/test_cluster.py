"""A campaign on a cluster ends as it does on one machine, whatever happens to candidates and workers.

A real scheduler and two workers, processes of their own that talk over TCP on loopback.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from programs import ARGUMENTS, PATIENCE, ROOT, Gate, Program, figures
from synthetic_run import key, ledger_at, tally_of

from harness import cli
from harness.campaign.environment import here
from harness.campaign.plan import Plan
from harness.campaign.settings import resolve
from harness.subject.execution import SourceReplaced
from reference.formats import FORMATS
from reports.folder import write
from reports.machines import machines_line
from reports.record.ledger import Place

pytestmark = [
    pytest.mark.skipif(find_spec("distributed") is None, reason="could not find distributed"),
    pytest.mark.skipif(sys.platform != "linux", reason="isolation is written for POSIX, tried on Linux"),
]

FEW = ("--regime", "tied", "--regime", "masked", "--length", "1", "--length", "5")

CRASHES = """
import ctypes
import numpy as np

def softmax(x):
    if (x[:, 0] == 5.8203125).any():
        ctypes.string_at(0)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
"""


class Dask:
    """A scheduler and two workers, each with a folder of its own to work in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(self._file))
        self.workers: list[subprocess.Popen[bytes]] = []
        try:
            self.address = self._announced()
        except BaseException:
            self.stop()
            raise
        once = ("--nworkers", "1", "--nthreads", "1")
        self.workers = [self._start("worker", self.address, *once) for _ in range(2)]

    def _announced(self) -> str:
        """Return the scheduler's address when its file is there, whole."""
        deadline = time.monotonic() + 30 * PATIENCE
        while True:
            try:
                return str(json.loads(self._file.read_text())["address"])
            except (FileNotFoundError, json.JSONDecodeError):
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def wait_until_both_have_shards(self) -> None:
        """Return once the scheduler has handed shards to both workers."""
        from distributed import Client

        deadline = time.monotonic() + 60 * PATIENCE
        with Client(self.address, set_as_default=False) as client:
            while len(held := client.processing()) < 2 or not all(held.values()):
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def _start(self, what: str, *more: str) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", f"distributed.cli.dask_{what}", *more, "--no-dashboard"]
        with (self._folder / f"{what}.log").open("ab") as log:
            return subprocess.Popen(
                [*program, "--host", "127.0.0.1"],
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def said(self) -> str:
        return (self._folder / "worker.log").read_text()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill it and whoever would start it again."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    started = Dask(tmp_path_factory.mktemp("dask"))
    yield started
    started.stop()


@pytest.mark.slow
def test_summary_is_that_of_one_machine_and_a_crash_costs_no_worker(
    dask: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The candidate is named from here, in a folder that is not the workers'.

    It dies of one row: those of a candidate that dies of many are not all tried, and which ones is a matter
    of time.
    """
    monkeypatch.chdir(tmp_path)
    Path("crashes.py").write_text(CRASHES)
    asked = ("naive", "crashes.py:softmax", *ARGUMENTS[3:], *FEW)
    assert cli.run(["run", *asked, "--jobs", "2", "--out", "here"]) == 0
    code, said = Program(Path("there"), "--cluster", dask.address, asked=("run", *asked)).finish()
    assert code == 0, said
    assert figures(Path("here")) == figures(Path("there"))
    assert '"status": "crashed"' in figures(Path("there"))
    assert all(worker.poll() is None for worker in dask.workers)
    assert "restart" not in dask.said().lower()


@pytest.mark.slow
def test_interrupts_and_lost_workers_lose_nothing(dask: Dask, tmp_path: Path) -> None:
    """Interrupted, then resumed; then a worker is killed while both have shards; the other does the rest."""
    gate, folder = Gate(tmp_path, "in_call"), tmp_path / "run"
    first = Program(folder, "--cluster", dask.address, asked=gate.arguments)
    gate.wait_until_reached(2)
    os.killpg(first.process.pid, signal.SIGINT)
    code, said = first.finish()
    assert code == 130, said
    assert said.splitlines()[-1].endswith(f"--resume --out {folder}")
    second = Program(folder, "--resume", "--cluster", dask.address, asked=gate.arguments)
    dask.wait_until_both_have_shards()
    dask.kill(dask.workers[0])
    gate.open()
    code, said = second.finish()
    assert code == 0, said
    assert Program(tmp_path / "whole", asked=gate.arguments).finish()[0] == 0
    assert figures(folder) == figures(tmp_path / "whole")


@pytest.mark.slow
def test_a_cluster_started_here_gives_the_same_and_leaves_no_process(tmp_path: Path) -> None:
    asked = ("run", "naive", *ARGUMENTS[3:], *FEW, "--jobs", "2")
    program = Program(tmp_path / "cluster", "--cluster", "local", asked=asked)
    code, said = program.finish()
    assert code == 0, said
    assert program.all_gone()
    assert cli.run([*asked, "--out", str(tmp_path / "threads")]) == 0
    assert figures(tmp_path / "cluster") == figures(tmp_path / "threads")


# Mistakes ----------------------------------------------------------------------------------

SMALL = ("run", "naive", "--format", "float16", "--regime", "tied", "--length", "2", "--rows", "3")


@pytest.mark.parametrize(
    ("address", "line"),
    [
        (
            "scheduler:8786",
            "cluster 'scheduler:8786': give local, or a scheduler such as tcp://scheduler:8786",
        ),
        ("tcp://127.0.0.1:1", "cluster tcp://127.0.0.1:1: no scheduler answers"),
    ],
)
def test_a_cluster_that_cannot_be_had_is_one_line(
    address: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("harness.campaign.cluster.connection.CONNECT_SECONDS", 1)
    assert cli.run([*SMALL, "--cluster", address, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {line}")


def test_a_missing_extra_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.run([*SMALL, "--cluster", "local", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("pip install 'softmax-harness[cluster]'")


# What a worker makes of a campaign -----------------------------------------------------------


def test_a_users_file_is_used_in_its_place_or_as_it_was_sent(tmp_path: Path) -> None:
    from harness.campaign.cluster.work import Source

    home, away = tmp_path / "mine.py", tmp_path / "away"
    away.mkdir()
    home.write_bytes(b"first")
    assert Source(str(home), b"first").there(away) == str(home)
    for content in (b"second", b"third"):
        sent = Path(Source(str(home), content).there(away))
        assert sent.name == "mine.py"
        assert sent.parent.parent == away
        assert sent.read_bytes() == content
    home.unlink()
    assert Path(Source(str(home), b"first").there(away)).read_bytes() == b"first"


def test_a_worker_refuses_what_it_cannot_import_and_what_is_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.campaign.cluster import work

    monkeypatch.setattr(work, "_name", lambda: "worker w")
    (tmp_path / "beside.py").write_text("SCALE = 1.0")
    file = tmp_path / "mine.py"
    file.write_text("from beside import SCALE\ndef softmax(x):\n    return x * SCALE\n")
    plan = Plan.of(resolve({"candidates": [f"{file}:softmax"], "jobs": 1}))
    sent = pickle.loads(work.packed_work(plan))  # noqa: S301
    assert work._opened(sent, tmp_path).candidates[0].spec == f"{file}:softmax"
    file.unlink()
    with pytest.raises(
        work.Refused, match=r"worker w: candidate .*No module named 'beside'.* sent by itself"
    ):
        work._opened(sent, tmp_path)
    with pytest.raises(work.Refused, match=r"worker w: it has softmax-harness .*, and the run 0; install"):
        work._opened(replace(sent, version="0"), tmp_path)


def test_a_worker_measures_with_the_files_that_the_campaign_began_with_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.campaign.cluster import work

    monkeypatch.setattr(work, "_name", lambda: "worker w")
    beside, file = tmp_path / "beside.py", tmp_path / "mine.py"
    beside.write_text("SCALE = 1.0")
    file.write_text("from beside import SCALE\ndef softmax(x):\n    return x * SCALE\n")
    plan = Plan.of(resolve({"candidates": [f"{file}:softmax"], "jobs": 1}))
    sent = pickle.loads(work.packed_work(plan))  # noqa: S301
    opened = work._opened(sent, tmp_path)
    beside.write_text("SCALE = 2.0")
    with pytest.raises(work.Refused, match=r"worker w: .*beside\.py is not the file that the campaign began"):
        work._opened(sent, tmp_path)
    monkeypatch.setattr("distributed.get_worker", lambda: SimpleNamespace(state=SimpleNamespace(nthreads=1)))
    x = np.zeros((1, 2), dtype=np.float32)
    with work._executor(opened) as executor, pytest.raises(SourceReplaced, match=r"beside\.py: replaced"):
        executor.run(opened.candidates[0].spec, x, FORMATS["float32"])


# Machines that differ --------------------------------------------------------------------------


def test_machines_that_differ_are_told_and_each_cell_names_its_hosts(tmp_path: Path) -> None:
    first, second = key(length=8), key(length=4)
    mine = here()
    document = json.loads(mine.kind)
    document["cpu_features"] = ["sve2"]
    document["libraries"]["numpy"] = "1.0"
    other = Place("b", json.dumps(document, sort_keys=True))
    with ledger_at(tmp_path, first, second) as ledger:
        ledger.record("s1", {first: tally_of(first, [0.25])}, 0.5, replace(mine, host="a"))
        ledger.record("s2", {first: tally_of(first, [0.5], batch=1)}, 0.5, replace(mine, host="c"))
        assert machines_line(ledger) is None
        ledger.record("s3", {first: tally_of(first, [0.5], batch=2)}, 0.5, other)
        ledger.record("s4", {second: tally_of(second, [0.5])}, 0.5, other)
        line = machines_line(ledger)
    assert line is not None
    assert "b against a: " in line
    assert "+sve2" in line
    assert "numpy" in line
    write(tmp_path)
    machines = json.loads((tmp_path / "summary.json").read_text())["environment"]["machines"]
    assert [machine["hosts"] for machine in machines] == [["a", "c"], ["b"]]
    assert [[cell.rsplit(" ", 1)[1] for cell in machine["cells"]] for machine in machines] == [
        ["8"],
        ["8", "4"],
    ]
    assert "2, named in summary.json" in (tmp_path / "report.html").read_text()
