"""What becomes of the output where it cannot go: the work is done, the exit code is the command's own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


def program(*arguments: str, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the program, what it prints in pipes but for the streams given."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(
        [sys.executable, *arguments], env=ENVIRONMENT, check=False, timeout=120, **{**pipes, **streams}
    )


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", command],  # noqa: S607
        env={**ENVIRONMENT, "PYTHON": sys.executable},
        capture_output=True,
        check=False,
        timeout=120,
    )


def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = program("-m", "harness", "list", stdout=full)
    assert done.returncode == 3
    assert done.stderr.startswith(b"error: ")
    assert b"No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("command", "code"), [("list", 0), ("lst", 2)])
def test_a_full_disk_behind_stderr_changes_no_exit_code(command: str, code: int) -> None:
    with Path("/dev/full").open("w") as full:
        assert program("-m", "harness", command, stderr=full).returncode == code


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_leaves_ends_the_output_and_not_the_work(stream: str) -> None:
    text = f"""
import sys
from harness.terminal.streams import settle_streams
settle_streams()
for _ in range(3):
    print("line\\n" * 10_000, file=sys.{stream}, flush=True)
sys.exit(7)
"""
    reading, writing = os.pipe()
    os.close(reading)
    done = program("-c", text, **{stream: writing})
    os.close(writing)
    assert done.returncode == 7, done
    assert not done.stdout
    assert not done.stderr


def test_a_closed_pipe_is_no_traceback() -> None:
    done = shell("$PYTHON -m harness list | head -n 1")
    assert (done.stdout, done.stderr) == (b"ops\n", b"")


def test_a_closed_stream_drops_what_no_encoding_carries() -> None:
    assert shell("$PYTHON -m harness report $(printf 'no\\377where') 2>&-").returncode == 2


def test_a_slow_reader_of_a_descriptor_that_does_not_wait_gets_all() -> None:
    text = """
import os
from harness.terminal.streams import settle_streams
os.set_blocking(1, False)
settle_streams()
print("x" * (1 << 20))
"""
    with subprocess.Popen([sys.executable, "-c", text], env=ENVIRONMENT, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert select.select([started.stdout], [], [], 60)[0], "nothing came"
        time.sleep(0.2)  # the pipe is full
        assert started.stdout.read() == b"x" * (1 << 20) + b"\n"
    assert started.returncode == 0


def test_a_crash_in_native_code_says_where() -> None:
    done = program(
        "-c",
        """
import os, signal
from harness import __main__, cli
cli.run = lambda arguments: os.kill(os.getpid(), signal.SIGSEGV)
__main__.main()
""",
    )
    assert done.returncode == -signal.SIGSEGV
    assert done.stderr.startswith(b"Fatal Python error: Segmentation fault")
