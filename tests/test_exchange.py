"""Messages between a process and its copy carry every array bit for bit, whichever way it goes."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.campaign import exchange
from harness.campaign.exchange import Line
from harness.campaign.exchange import _pickled as pickled
from harness.campaign.processes import _RemoteExecutor
from harness.subject.execution import Outcome
from reference.formats import FORMATS


@dataclass(frozen=True)
class Message:
    """As requests are: arrays among other things."""

    name: str
    arrays: tuple[NDArray[Any], ...]


def arrays(rows: int) -> tuple[NDArray[Any], ...]:
    words = np.random.default_rng(0).integers(0, 1 << 16, (rows, 6), dtype=np.uint16)
    wide = np.random.default_rng(1).random((rows, 6))
    return (
        *(words.view(dtype) for dtype in (np.float16, ml_dtypes.bfloat16)),
        wide,
        wide[:, ::2],
        wide.T,
        np.asfortranarray(wide),
        wide[:0],
        words.astype(np.uint8).view(ml_dtypes.float8_e4m3fn),
        np.array([True, False]),
    )


def same(these: Message, those: Message) -> bool:
    pairs = zip(these.arrays, those.arrays, strict=True)
    return these.name == those.name and all(
        (a.shape, a.dtype) == (b.shape, b.dtype) and a.tobytes() == b.tobytes() for a, b in pairs
    )


def test_a_request_carries_its_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format keeps what it has worked out, such as all its values; the other process has its own."""
    fmt = FORMATS["float16"]
    assert fmt.values.nbytes > 1 << 18
    ours, theirs = Line.pair()
    ours.send(answer := Outcome.failed(2))
    carried: list[Any] = []
    monkeypatch.setattr(exchange, "_pickled", lambda m, into: carried.append((pickled(m, into), into)) or b"")
    x = np.zeros((2, 3), np.float16)
    assert _RemoteExecutor(theirs).run("naive", x, fmt).faults == answer.faults
    [(message, parts)] = carried
    assert sum(part.raw().nbytes for part in parts) == x.nbytes
    assert len(message) < 500


@pytest.mark.parametrize("room", [exchange.ROOM, 1000, 1], ids=["shared", "some too large", "by the pipe"])
def test_what_is_sent_arrives(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(exchange, "ROOM", room)
    ours, theirs = Line.pair()
    sent = [Message(str(rows), arrays(rows)) for rows in (1, 40, 7)]
    received = []
    for message in sent:  # each fits the pipe, so that one process can play both
        ours.send(message)
        received.append(theirs.receive())
    assert all(map(same, sent, received))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2])
def test_arrays_go_through_the_memory_and_what_else_through_the_pipe(dtype: type) -> None:
    ours, theirs = Line.pair()
    sent = np.random.default_rng(2).normal(size=(64, 1024)).astype(dtype)
    ours.send(("rows", sent))  # by the pipe it would wait for a reader
    assert ours._memory[: sent.nbytes] == sent.tobytes()
    assert len(theirs._connection.recv_bytes()) < 1000


def test_an_array_that_arrived_stays_as_it_is_and_may_be_written_to() -> None:
    ours, theirs = Line.pair()
    ours.send(np.arange(5.0))
    first = theirs.receive()
    ours.send(np.zeros(5))
    theirs.receive()
    assert first.tolist() == [0, 1, 2, 3, 4]
    first[0] = 9
    assert first.flags.aligned, "kernels take no other"


def test_arrays_that_are_lent_are_those_of_the_memory_and_may_only_be_read() -> None:
    ours, theirs = Line.pair()
    sent = Message("lent", arrays(7))
    ours.send(sent, lent=True)
    held = theirs.receive()
    assert same(sent, held)
    assert all(array.flags.aligned for array in held.arrays)
    through_memory = [array for array in held.arrays if not array.flags.writeable]
    assert len(through_memory) >= 5
    with pytest.raises(ValueError, match="read-only"):
        through_memory[0][...] = 0
    theirs.send(ones := np.ones(5))
    assert through_memory[0].tobytes()[:40] == ones.tobytes()
    assert ours.receive().flags.writeable


def test_rows_of_a_request_are_lent_and_outputs_are_not() -> None:
    ours, theirs = Line.pair()
    x = np.arange(6.0).reshape(2, 3)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_RemoteExecutor(theirs).run, "naive", x, FORMATS["float64"])
        request = ours.receive()
        assert np.array_equal(request.x, x)
        assert not request.x.flags.writeable
        ours.send(Outcome(request.x, np.ones(2, dtype=np.bool_)))
        outcome = running.result()
    theirs.send(np.zeros(x.size))
    assert outcome.outputs is not None
    assert np.array_equal(outcome.outputs, x)


def test_a_copy_and_its_process_take_turns() -> None:
    """Arrays beyond the room too: the pipe alone holds 64 KiB."""
    ours, theirs = Line.pair()
    copy = os.fork()
    if copy == 0:
        try:
            for _ in range(3):
                theirs.send(theirs.receive() * 2)
        finally:
            os._exit(0)
    try:
        for size in (10, exchange.ROOM // 8, exchange.ROOM):
            ours.send(np.arange(float(size)))
            assert np.array_equal(ours.receive(), 2 * np.arange(float(size)))
    finally:
        os.kill(copy, signal.SIGKILL)
        os.waitpid(copy, 0)


def test_an_end_that_is_gone_is_an_error() -> None:
    ours, theirs = Line.pair()
    theirs.close()
    with pytest.raises(OSError, match="Broken pipe"):
        ours.send(1)
    with pytest.raises(EOFError):
        ours.receive()
