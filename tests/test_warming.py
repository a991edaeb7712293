"""Kernels are compiled before they are needed: by two processes, announced, and none of them left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numba
import pytest

from reference.certified import prepare, warming


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that are started; this one compiles, if only a small function."""
    processes: list[subprocess.Popen[bytes]] = []

    original = subprocess.Popen

    def popen(*args, **kwargs):
        processes.append(original(*args, **kwargs))
        return processes[-1]

    monkeypatch.setattr(warming, "_warm_truth", lambda: numba.njit(lambda x: x + 1.0)(1.0))
    monkeypatch.setattr(warming.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(warming.subprocess, "Popen", popen)
    return processes


def slowly() -> None:
    """What `prepare` is told to call as well, in both processes."""
    time.sleep(0.3)


def test_another_process_helps_and_is_waited_for(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    said: list[str] = []
    prepare(lambda: said.append("compiling"), ["test_warming:slowly"])
    assert said == ["compiling"]
    [helper] = started
    assert helper.returncode == 0


def test_where_the_other_process_fails_this_one_does_all(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    prepare(also=["reference.certified.warming:warm_evaluation"])
    assert [helper.returncode for helper in started] == [1]


def test_a_mistake_leaves_no_process_behind(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In what the other process is told to do as well, and in what this one does while that works on."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AttributeError):
        prepare(also=["reference.certified.warming:no_such_function"])
    endless = tmp_path / "endless"
    endless.write_text("#!/bin/sh\nexec sleep 600\n")
    endless.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(endless))
    monkeypatch.setattr(warming, "_warm_truth", compile_and_fail)
    with pytest.raises(ZeroDivisionError):
        prepare()
    assert len(started) == 2
    assert all(helper.poll() is not None for helper in started)


def compile_and_fail() -> None:
    numba.njit(lambda x: x + 1.0)(1.0)
    raise ZeroDivisionError


def test_kernels_that_are_only_loaded_start_no_process(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes on a busy machine."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    prepare()
    assert started
    monkeypatch.setattr(warming, "_warm_truth", slowly)
    said: list[str] = []
    started.clear()
    prepare(lambda: said.append("compiling"))
    assert not said
    assert not started


def test_the_other_process_ends_with_this_one() -> None:
    """Its standard input closes with the process that holds it, however that ends."""
    naps = f"{__name__}:sleep_long"
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {warming._PROGRAM}"
    helper = subprocess.Popen([sys.executable, "-c", program, naps], stdin=subprocess.PIPE)
    assert helper.stdin is not None
    with pytest.raises(subprocess.TimeoutExpired):
        helper.wait(0.5)
    helper.stdin.close()
    assert helper.wait(60) == 1


def sleep_long() -> None:
    time.sleep(600)
