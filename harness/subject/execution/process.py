"""One worker process as the harness sees it: load, call, kill.

Why not pebble: it forks or spawns Python's `multiprocessing` processes, which import the
program's `__main__` (hence our rooms, under their generic names, in front of the candidate's),
passes arrays by pickle, ends a worker by SIGTERM first and leaves the candidate's own children
alive. A worker here is started from its file's path, by a fresh interpreter or by the fork server, which a
fresh interpreter started. So nothing of the harness's threads, locks or native thread pools is forked,
and a candidate's library runs in a process as clean as that of a user's own script.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Any, Final, cast, get_args

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.attempts import Attempt, Failure, Part
from harness.subject.execution.calls import FaultKind, Presentation, name_of, outputs_shape
from harness.subject.execution.fork_server import Start, fresh
from harness.subject.execution.shared import SharedRows
from harness.subject.execution.wire import DISCONNECTED, LENGTH_BYTES, frame
from harness.terminal.interrupts import ATTENTION_SECONDS

__all__ = ["Worker", "WorkerLost"]

Array = NDArray[Any]

LONGEST_ANSWER: Final = 1 << 20
LONGEST_MESSAGE: Final = 400
TOKEN_BYTES: Final = 16
STDERR_KEPT: Final = 4096
START_SECONDS: Final = 1.0  # an interpreter uses at most so many before its first request
GRACE_SECONDS: Final = 0.5  # for the keeper to report how a silent worker ended
KILL_SECONDS: Final = 10.0  # longer than a keeper sweeps: a keeper killed before that leaves orphans


class WorkerLost(Exception):
    """The worker died, was killed for time, or fell silent.

    Attributes:
        failure: how the worker was lost.
        part_is_known: whether it happened in the part that is being called, and not in an earlier one.
    """

    def __init__(self, failure: Failure, *, part_is_known: bool = True) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.part_is_known = part_is_known


class Worker:
    """A process that has one candidate loaded.

    Args:
        max_memory: bytes of address space that the candidate may take, 0 for no limit.
        start: starts the keeper and the worker, as `fork_server.fresh` does.

    Raises:
        WorkerLost: the keeper and the worker did not start.

    Attributes:
        files: digests of the files of the candidate's project that the worker has loaded, as last reported.
        start_seconds: processor time until the candidate was loaded; 0 where the worker reports none.
    """

    def __init__(self, max_memory: int = 0, start: Start = fresh) -> None:
        self._memory = SharedRows()
        self._control, theirs = socket.socketpair()
        self._lifeline, keepers = socket.socketpair()
        self._stderr, writing = os.pipe()
        os.set_blocking(self._stderr, False)
        descriptors = (theirs.fileno(), keepers.fileno(), self._memory.descriptor)
        try:
            self._process = start(descriptors, writing, max_memory)
        except OSError as error:
            self._release()
            raise WorkerLost(Failure("crashed", f"its process did not start: {error}", fatal=True)) from None
        finally:
            theirs.close()
            keepers.close()
            os.close(writing)
        self.files: dict[str, str] = {}
        self.start_seconds = 0.0
        self._stderr_end = b""
        self._received = b""
        self._token = ""
        self._meanwhile = ""
        self._selector = selectors.DefaultSelector()
        for source in (self._control, self._lifeline, self._stderr):
            self._selector.register(source, selectors.EVENT_READ)

    def describe(self, spec: str, timeout: float | None) -> dict[str, Any]:
        """Import a user's candidate; return the description that `loading.described` makes.

        Raises:
            WorkerLost: the import cost the worker.
        """
        answer = self._ask({"describe": spec}, timeout)
        texts = [answer.get(name) for name in ("axis", "doc", "error")]
        if not ({"axis", "declares", "doc"} <= answer.keys() or "error" in answer) or not all(
            text is None or isinstance(text, str) for text in texts
        ):
            raise self._garbled()
        return answer

    def load(self, spec: str, timeout: float | None) -> Failure | None:
        """Import the candidate; return why that failed, if so.

        Raises:
            WorkerLost: the import cost the worker.
        """
        asked = time.monotonic()
        answer = self._ask({"load": spec}, timeout)
        seconds = answer.get("processor_seconds")
        if type(seconds) is float and 0 < seconds < time.monotonic() - asked + START_SECONDS:
            self.start_seconds = seconds
        return self._failure(answer)

    def call(
        self,
        x: Array,
        parts: Sequence[Part],
        out_dtype: np.dtype[Any],
        presentation: Presentation,
        timeout: float | None,
        *,
        reduces: bool = False,
    ) -> Attempt:
        """Call the candidate on parts of x in turn; `reduces` as `calls.call` has it.

        Where the worker is lost meanwhile, the failure of the attempt is fatal, and this object is of no
        further use.
        """
        self._meanwhile = " while it was called"
        outputs_at, size = self._memory.place(x, out_dtype)
        request = {
            "dtype": name_of(x.dtype),
            "out_dtype": name_of(out_dtype),
            "shape": x.shape,
            "outputs_at": outputs_at,
            "bytes": size,
            "parts": parts,
            "presentation": presentation,
            "reduces": reduces,
        }
        seconds, part_is_known = None, True
        try:
            asked = time.monotonic()
            answer = self._ask(request, timeout)
            reported = answer.get("seconds")
            if type(reported) is float and 0 <= reported <= time.monotonic() - asked:
                seconds = reported
            passed, failure = self._checked(answer, parts)
        except WorkerLost as lost:
            passed, failure = self._memory.current_part(len(parts)), lost.failure
            part_is_known = lost.part_is_known
        outputs = self._memory.outputs(outputs_shape(x.shape, reduces=reduces), out_dtype, outputs_at)
        watched = self._memory.differs(x) if presentation == "watched" else None
        self._memory.release()
        return Attempt(passed, outputs, failure, watched, seconds, part_is_known)

    def death(self) -> Failure | None:
        """Return how the worker died between calls; None if it lives."""
        if not any(key.fileobj is self._lifeline for key, _ in self._selector.select(0)):
            return None
        return self._lost(" after an earlier call").failure

    def wait(self) -> None:
        """Wait until nothing is left of a worker that was let go, at most 10 s."""
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:  # the candidate did something to its keeper
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End the worker and all processes that it started, within 10 s, and free their memory."""
        self._end()
        self._selector.close()
        self._release()

    def _release(self) -> None:
        self._lifeline.close()
        self._control.close()
        os.close(self._stderr)
        self._memory.close()

    def let_go(self) -> None:
        """Tell the keeper to end everything, without waiting for it."""
        self._process.send_signal(signal.SIGCONT)  # the candidate may have stopped it
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)

    def _end(self) -> None:
        self.let_go()
        self.wait()

    # Exchange ------------------------------------------------------------------------------

    def _ask(self, request: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        asked = time.monotonic()
        self._memory.reset(asked)
        self._token = secrets.token_hex(TOKEN_BYTES)
        try:
            self._control.sendall(frame({**request, "token": self._token}))
        except OSError:
            raise self._lost(self._meanwhile) from None
        while (answer := self._answer()) is None:
            since = self._memory.started(asked)
            left = None if timeout is None else since + timeout - time.monotonic()
            if left is not None and left <= 0:
                raise self._overdue(cast("float", timeout))
            self._listen(ATTENTION_SECONDS if left is None else min(left, ATTENTION_SECONDS))
        self.files = _files(answer) or self.files
        return answer

    def _listen(self, seconds: float) -> None:
        """Wait for the worker and read what it sends.

        Raises:
            WorkerLost: it died or closed its end.
        """
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._control:
                self._hear()
            elif key.fileobj is self._lifeline:
                raise self._lost(self._meanwhile)
            else:
                self._drain()

    def _hear(self) -> None:
        try:
            data = self._control.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            raise self._lost(self._meanwhile)
        self._received += data

    def _answer(self) -> dict[str, Any] | None:
        """Return the answer when all of it has arrived, else None."""
        if len(self._received) < LENGTH_BYTES:
            return None
        length = int.from_bytes(self._received[:LENGTH_BYTES], "big")
        if length > LONGEST_ANSWER:
            raise self._garbled()
        if len(self._received) < LENGTH_BYTES + length:
            return None
        data, self._received = self._received[LENGTH_BYTES:], b""
        if len(data) > length:
            raise self._garbled()
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            raise self._garbled() from None
        if not isinstance(answer, dict) or answer.pop("token", None) != self._token:
            raise self._garbled()
        return answer

    def _checked(self, answer: dict[str, Any], parts: Sequence[Part]) -> tuple[int, Failure | None]:
        """Return how many parts passed, and how the next failed.

        Raises:
            WorkerLost: a worker never sends such an answer; the candidate wrote it.
        """
        passed, failure = answer.get("passed"), self._failure(answer)
        if (
            type(passed) is not int
            or not 0 <= passed <= len(parts)
            or (passed == len(parts)) is bool(failure)
        ):
            raise self._garbled()
        return passed, failure

    def _failure(self, answer: dict[str, Any]) -> Failure | None:
        """Return the failure that an answer reports.

        Raises:
            WorkerLost: a worker never sends such an answer.
        """
        failure = answer.get("failure", ())
        if failure is None:
            return None
        if not (isinstance(failure, list) and len(failure) == 2 and all(isinstance(s, str) for s in failure)):
            raise self._garbled()
        kind, message = failure
        if kind not in get_args(FaultKind) or kind == "not_tried":
            raise self._garbled()
        return Failure(kind, " ".join(message.split())[:LONGEST_MESSAGE])

    def _drain(self) -> None:
        """Read the worker's standard error, and keep its end."""
        try:
            data = os.read(self._stderr, 1 << 16)
        except OSError:
            data = b""
        if not data:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._stderr)
        self._stderr_end = (self._stderr_end + data)[-STDERR_KEPT:]

    # Ends ----------------------------------------------------------------------------------

    def _overdue(self, timeout: float) -> WorkerLost:
        self._end()
        return WorkerLost(Failure("timed_out", f"no answer within {timeout:g} s", fatal=True))

    def _garbled(self) -> WorkerLost:
        """Return the failure of a candidate that wrote here; later parts may have been called since."""
        self._end()
        message = "it wrote into the harness's own connection"
        return WorkerLost(Failure("crashed", message, fatal=True), part_is_known=False)

    def _lost(self, when: str) -> WorkerLost:
        status = self._reported_status()
        with contextlib.suppress(OSError):
            self._drain()
        message = f"{_manner(status)}{when}{_quote(self._stderr_end)}"
        self._end()
        return WorkerLost(Failure("crashed", message, fatal=True))

    def _reported_status(self) -> int | None:
        """Return the wait status that the keeper reports, None if the worker lives on."""
        self._lifeline.settimeout(GRACE_SECONDS)
        try:
            return int(self._lifeline.recv(64))
        except (OSError, ValueError):
            return None


def _files(answer: dict[str, Any]) -> dict[str, str]:
    sources = answer.get("sources")
    files = sources.get("files") if isinstance(sources, dict) else None
    items = files.items() if isinstance(files, dict) else ()
    return {path: digest for path, digest in items if isinstance(digest, str)}


def _manner(status: int | None) -> str:
    if status is None or os.waitstatus_to_exitcode(status) == DISCONNECTED:
        return "its process closed its connection to the harness"
    if os.WIFSIGNALED(status):
        return f"its process died of {_signal_name(os.WTERMSIG(status))}"
    return f"its process ended by itself with exit status {os.waitstatus_to_exitcode(status)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _quote(stderr: bytes) -> str:
    """Quote the first and the innermost line of a fault handler's report, or the last line."""
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    fatal = [i for i, line in enumerate(lines) if line.startswith("Fatal Python error")]
    if not fatal:
        return f" ({lines[-1][:200]})" if lines else ""
    before = lines[fatal[0] - 1 : fatal[0]]  # abort's own message, such as glibc's
    frames = [line for line in lines[fatal[0] :] if line.startswith("File ")][:1]
    report = "; ".join([*before, *frames])
    return f" ({report[:300]})" if report else ""
