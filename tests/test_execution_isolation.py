"""Nothing that a candidate does hurts the harness, other rows or other batches.

Every misbehaviour is a real candidate in a file. It acts up when a row starts with the
MARK, and computes a plain softmax otherwise, so three things can be asked of each: the row is
named, every other row has the very bits of a well-behaved run, and nothing is left behind,
neither a process nor a changed working folder, output, signal handler or floating-point mode.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from programs import HEARING

from harness.subject.execution import ExecutorClosed, InProcess, Isolated, Outcome, fork_server, worker
from harness.subject.execution.fork_server import ForkServer, fresh
from harness.subject.execution.process import Worker
from reference.formats import FORMATS

TRIES = 3
"""A wall clock on a busy machine proves nothing by one late stop."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

ROOT = Path(__file__).resolve().parent.parent
FLOAT32 = FORMATS["float32"]
MARK = 77.0
ROWS, LENGTH, CULPRIT = 100, 16, 61

CANDIDATE = """
import ctypes, os, signal, subprocess, sys, threading, time
import numpy as np

COUNTER = {counter!r}

def plain(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def misbehave(x, marked):
    y = plain(x)
{body}
    return y

def softmax(x):
    marked = x[:, 0] == {mark}
    return misbehave(x, marked) if marked.any() else plain(x)
"""

SCRIBBLE = """for fd in range(3, 4096):
    link = f'/proc/self/fd/{fd}'
    if os.path.exists(link) and 'socket' in os.readlink(link):
        os.write(fd, b'x' * 99)"""

FATAL = {
    "segfault": ("ctypes.string_at(0)", "crashed", "SIGSEGV"),
    "abort": ("os.abort()", "crashed", "SIGABRT"),
    "leaves by os._exit": ("os._exit(0)", "crashed", "exit status 0"),
    "kills itself": ("os.kill(os.getpid(), signal.SIGKILL)", "crashed", "SIGKILL"),
    "kills its keeper": ("os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)", "crashed", ""),
    "hangs": ("time.sleep(60)", "timed_out", "0.3 s"),
    "hangs in C with the interpreter lock, deaf to SIGTERM": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); ctypes.PyDLL(None).sleep(60)",
        "timed_out",
        "0.3 s",
    ),
    "stops itself": ("os.kill(os.getpid(), signal.SIGSTOP)", "timed_out", "0.3 s"),
    "stops its keeper and hangs": ("os.kill(os.getppid(), signal.SIGSTOP); time.sleep(60)", "timed_out", ""),
    "closes every descriptor": ("os.closerange(0, 4096)", "crashed", "closed its connection"),
    "writes into every descriptor": (
        SCRIBBLE,
        "crashed",
        "wrote into",
    ),
    "writes what is noticed only when the last row has been called": (
        SCRIBBLE.replace("99", "2"),
        "crashed",
        "wrote into",
    ),
}

MILD = {
    "raises": ("raise RuntimeError('no such row')", "raised", "RuntimeError: no such row"),
    "raises SystemExit": ("sys.exit(3)", "raised", "SystemExit: 3"),
    "recurses without end": ("misbehave(x, marked)", "raised", "RecursionError"),
    "raises an exception that cannot be shown": (
        "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})",
        "raised",
        "Odd",
    ),
    "returns another shape": ("return y[:, 1:]", "wrong_shape", "(100, 15)"),
    "returns nothing": ("return None", "wrong_shape", "()"),
    "returns a ragged list": ("return [[1.0], [1.0, 2.0]]", "raised", "ValueError"),
    "returns another dtype": (
        "return y.astype(np.float64)",
        "wrong_dtype",
        "--out-format float64 takes it",
    ),
    "returns another order of bytes": (
        "return y.astype('>f4')",
        "wrong_dtype",
        "returned >f4 where float32 was asked for; its bytes are in the other order",
    ),
}

HARMLESS = {
    "closes its standard streams": "os.close(0); os.close(1); os.close(2)",
    "prints without measure": "[os.write(fd, b'x' * 65536) for fd in (1, 2) for _ in range(2000)]",
    "leaves the folder": "os.chdir('/')",
    "changes NumPy's error state": "np.seterr(all='raise')",
    "installs signal handlers": (
        "[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]"
    ),
    "leaves a thread": "threading.Thread(target=time.sleep, args=(60,)).start()",
    "leaves a child": "subprocess.Popen(['sleep', '60'])",
    "leaves a daemon in a session of its own": (
        "subprocess.Popen(['sh', '-c', 'sleep 60 & exit 0'], start_new_session=True)"
    ),
    "forks and both come back": "os.fork()",
    "turns warnings into errors": "import warnings; warnings.simplefilter('error')",
    "overwrites its input": "x[...] = 0",
}


@pytest.fixture
def candidate(tmp_path):
    """Return a function that writes a misbehaving candidate and gives its spec."""

    def write(body: str, name: str = "candidate") -> str:
        indented = "\n".join(f"    {line}" for line in body.split("\n"))
        text = CANDIDATE.format(body=indented, mark=MARK, counter=str(tmp_path / "calls"))
        (tmp_path / f"{name}.py").write_text(text)
        return f"{tmp_path / name}.py:softmax"

    return write


@pytest.fixture(autouse=True, scope="module")
def frozen():
    """Leave what is there before these tests out of the collections of garbage that they ask for."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch):
    """Hold every test to leaving no process and changing nothing of this process."""
    token = uuid.uuid4().hex
    monkeypatch.setenv("HARNESS_TEST_TOKEN", token)
    monkeypatch.setattr(fork_server, "_shared", [])  # other tests go on with theirs
    gc.collect()
    before = state()
    yield
    gc.collect()
    assert state() == before
    assert wait_for_none(token, 1.0) == []


def state() -> dict[str, object]:
    libm = ctypes.CDLL("libm.so.6")
    return {
        "folder": Path.cwd(),
        "streams": [os.fstat(fd)[:3] for fd in (0, 1, 2)],
        "handlers": [signal.getsignal(s) for s in sorted(signal.valid_signals())],
        "rounding": libm.fegetround(),
        "subnormals": float(np.float32(1e-45) * np.float32(1)),
        "numpy": np.geterr(),
        "descriptors": descriptors(),
    }


def descriptors() -> list[str]:
    """Return what the open descriptors lead to."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that read the folder
            found.append(f"{entry.name} -> {entry.readlink()}")
    return sorted(found)


def processes(token: str) -> list[str]:
    """Return the command lines of living processes that inherited the token."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.name) != os.getpid() and token.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def wait_for_none(token: str, seconds: float) -> list[str]:
    deadline = time.monotonic() + seconds
    while (left := processes(token)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def rows(marked: bool = True, seed: int = 1) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(ROWS, LENGTH)).astype(np.float32)
    if marked:
        x[CULPRIT, 0] = MARK
    return x


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def assert_only_culprit_missing(outcome: Outcome, kind: str, said: str, x: np.ndarray) -> None:
    assert [(f.kind, f.row) for f in outcome.faults] == [(kind, CULPRIT)], outcome.faults
    assert said in outcome.faults[0].message
    assert "\n" not in outcome.faults[0].message
    others = np.arange(ROWS) != CULPRIT
    np.testing.assert_array_equal(outcome.completed, others)
    assert_same_bits(outcome.outputs[others], softmax(x[others]))


def assert_same_bits(y: np.ndarray, expected: np.ndarray) -> None:
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y.view(np.uint32), expected.view(np.uint32))


# One misbehaviour, one test ---------------------------------------------------------------


@pytest.fixture(params=["forked", pytest.param("afresh", marks=pytest.mark.slow)])
def started(request, monkeypatch):
    """Have workers forked, or started from a new interpreter, as where no fork server is possible."""
    if request.param == "afresh":
        monkeypatch.setattr(ForkServer, "start", lambda _, *arguments: fresh(*arguments))


@contextlib.contextmanager
def about(name):
    """Name the misbehaviour in what fails."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"the candidate {name}")
        raise


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(("kind", "timeout"), [("crashed", 30.0), ("timed_out", 0.3)])
def test_a_row_that_costs_the_process_is_named_and_the_rest_completes(candidate, kind, timeout):
    """Whatever other candidates of the same executor do."""
    x = rows()
    with Isolated(timeout=timeout) as executor:
        for number, (name, (body, expected, said)) in enumerate(FATAL.items()):
            if expected == kind:
                with about(name):
                    outcome = executor.run(candidate(body, f"fatal{number}"), x, FLOAT32)
                    assert_only_culprit_missing(outcome, kind, said, x)


def test_a_row_without_usable_output_is_named_and_the_rest_completes(candidate):
    x = rows()
    with Isolated() as executor:
        for number, (name, (body, kind, said)) in enumerate(MILD.items()):
            alone = said.replace("(100", "(1")  # what is told is what the row does alone
            with about(name):
                outcome = executor.run(candidate(body, f"mild{number}"), x, FLOAT32)
                assert_only_culprit_missing(outcome, kind, alone, x)


@pytest.mark.usefixtures("started")
def test_what_costs_no_output_changes_none(candidate):
    """Neither in the call that does it nor in the next one of the same worker."""
    x, following = rows(), rows(marked=False, seed=2)
    with Isolated(timeout=20) as executor:
        for number, (name, body) in enumerate(HARMLESS.items()):
            spec = candidate(body, f"harmless{number}")
            first, second = executor.run(spec, x, FLOAT32), executor.run(spec, following, FLOAT32)
            with about(name):
                assert (first.faults, second.faults) == ((), ())
                assert_same_bits(first.outputs, softmax(x))
                assert_same_bits(second.outputs, softmax(following))


SETTING_KEPT = """import contextvars
globals().setdefault('setting', contextvars.ContextVar('setting', default='fresh'))
if not os.path.exists(COUNTER):
    open(COUNTER, 'w').close()
    setting.set('kept')
assert setting.get() == 'kept'"""


@pytest.mark.parametrize("executor", [Isolated, InProcess], ids=["isolated", "in process"])
def test_what_a_call_sets_in_its_context_is_there_in_the_next(candidate, executor):
    """As where users call it: PyTorch's compiler keeps its settings in context variables."""
    with executor() as running:
        spec = candidate(SETTING_KEPT)
        first, second = (running.run(spec, rows(), FLOAT32) for _ in range(2))
    assert (first.faults, second.faults) == ((), ())


ROUND_UP = "ctypes.CDLL('libm.so.6').fesetround(0x800)"
FLUSH = """environment = ctypes.create_string_buffer(64)
libm = ctypes.CDLL('libm.so.6')
libm.fegetenv(environment)
environment[28:30] = (int.from_bytes(environment[28:30], 'little') | 0x8040).to_bytes(2, 'little')
libm.fesetenv(environment)"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="writes x86's control word")
@pytest.mark.parametrize("body", [ROUND_UP, FLUSH], ids=["rounds upwards", "flushes subnormals"])
@pytest.mark.parametrize("executor", [Isolated, InProcess], ids=["isolated", "in process"])
def test_a_changed_floating_point_mode_ends_with_the_call(candidate, body, executor):
    following = rows(marked=False, seed=2)
    following[:, 1:] -= 95.0  # subnormal results
    assert (softmax(following)[:, 1:] < FLOAT32.smallest_normal).any()
    with executor() as running:
        spec = candidate(body)
        assert running.run(spec, rows(), FLOAT32).faults == ()
        assert_same_bits(running.run(spec, following, FLOAT32).outputs, softmax(following))


def test_memory_beyond_the_limit_is_refused_to_the_row_that_asks(candidate):
    x = rows()
    with Isolated(max_memory=1 << 30) as executor:
        outcome = executor.run(candidate("np.ones(1 << 28)"), x, FLOAT32)
    assert_only_culprit_missing(outcome, "out_of_memory", "MemoryError", x)


def test_a_limit_on_memory_that_cannot_be_kept_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValueError, match=r"max_memory 1024: darwin cannot limit .* leave it out"):
        Isolated(max_memory=1024)
    with pytest.raises(ValueError, match="max_memory 0: a number of bytes, at least 1"):
        Isolated(max_memory=0)
    with pytest.raises(ValueError, match="jobs 0: at least 1"):
        Isolated(jobs=0)


# Searching ---------------------------------------------------------------------------------


CRASHES_IN_TURN = """with open(COUNTER, 'a') as file:
    file.write('.')
if os.path.getsize(COUNTER) % 2:
    os.abort()"""


def test_a_candidate_that_keeps_losing_its_process_has_it_forked(candidate, monkeypatch):
    fresh = []
    start = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **kwargs: fresh.append(args) or start(*args, **kwargs)
    )
    spec = candidate(CRASHES_IN_TURN)
    with Isolated() as executor:
        for _ in range(6):
            outcome = executor.run(spec, rows(), FLOAT32)
            assert_same_bits(outcome.outputs, softmax(rows()))
    assert Path(spec.partition("candidate.py")[0], "calls").stat().st_size == 12
    assert len(fresh) == 1, "the fork server"


def test_a_fork_server_that_is_gone_costs_no_row(candidate, monkeypatch):
    servers = []
    begin = ForkServer.__init__
    monkeypatch.setattr(
        ForkServer, "__init__", lambda self, **its: servers.append(self) or begin(self, **its)
    )
    good, x = candidate("pass"), rows()
    with Isolated() as executor:
        assert_same_bits(executor.run(good, x, FLOAT32).outputs, softmax(x))
        servers[0]._process.kill()
        servers[0]._process.wait()
        time.sleep(1.5)  # until the keeper misses it, and ends its worker
        again = executor.run(good, x, FLOAT32)
        assert_same_bits(again.outputs, softmax(x))
        assert_same_bits(executor.run(good, x, FLOAT32).outputs, softmax(x))


def test_a_forked_process_that_has_ended_leaves_no_descriptor_though_it_is_still_known(candidate):
    server = ForkServer()
    before = descriptors()
    ended = Worker(start=server.start)
    assert ended.load(candidate("pass"), None) is None
    ended.kill()
    ended.wait()
    left = set(descriptors()) - set(before)
    server.close()
    assert [link for link in left if "pidfd" in link] == []


@pytest.mark.parametrize("fails", [False, True], ids=["begun", "no process was left for it then"])
def test_a_fork_server_that_is_begun_early_serves_the_first_request(candidate, monkeypatch, fails):
    def refused(*_, **__):
        raise OSError(errno.EAGAIN, "no process is left")

    server = ForkServer()
    with monkeypatch.context() as patches:
        if fails:
            patches.setattr(fork_server, "_started", refused)
        server.begin()
    begun = server._process
    assert (begun is None) is fails
    worker = Worker(start=server.start)
    assert worker.load(candidate("pass"), None) is None
    worker.kill()
    assert server.fits
    assert begun in (None, server._process)
    server.close()


def test_a_folder_that_cannot_be_opened_costs_one_start_and_not_the_server(candidate, monkeypatch):
    server, opened, afresh = ForkServer(), os.open, []
    spec = candidate("pass")

    def refuses(path, *given, **options):
        if path == ".":
            raise OSError(errno.EMFILE, "no descriptor is free")
        return opened(path, *given, **options)

    def counted(*given):
        afresh.append(given)
        return fresh(*given)

    monkeypatch.setattr(fork_server, "fresh", counted)
    for refused in (False, True, False):
        with monkeypatch.context() as patches:
            if refused:
                patches.setattr(fork_server.os, "open", refuses)
            started = Worker(start=server.start)
        assert started.load(spec, None) is None
        started.kill()
        started.wait()
        assert server.fits
    server.close()
    assert len(afresh) == 1


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="no limits of other processes can be set here")
def test_a_fork_server_that_cannot_fork_disturbs_no_other_candidate(candidate, monkeypatch):
    servers = []
    begin = ForkServer.__init__
    monkeypatch.setattr(
        ForkServer, "__init__", lambda self, **its: servers.append(self) or begin(self, **its)
    )
    afresh = []
    monkeypatch.setattr(
        "harness.subject.execution.fork_server.fresh", lambda *given: afresh.append(given) or fresh(*given)
    )
    good, other, x = candidate("pass", "good"), candidate("pass", "other"), rows()
    with Isolated() as executor:
        assert executor.run(good, x, FLOAT32).faults == ()
        server = servers[0]._process.pid
        taken = {int(file.name) for file in Path(f"/proc/{server}/fd").iterdir()}
        limit = [number for number in range(1024) if number not in taken][5]  # five are sent to it
        resource.prlimit(server, resource.RLIMIT_NOFILE, (limit, limit))
        for spec, seconds in ((other, 1.5), (good, 0.0)):  # until a keeper would miss its server
            outcome = executor.run(spec, x, FLOAT32)
            assert outcome.faults == ()
            assert_same_bits(outcome.outputs, softmax(x))
            time.sleep(seconds)
    assert len(afresh) == 1, "the worker of the other one"


def test_a_fork_server_without_processes_says_so_and_serves_on(monkeypatch):
    """It never becomes a worker itself: `os.fork` fails here, and the answer has no process."""

    class Ended(Exception):
        pass

    def raises(error):
        def call(*_):
            raise error

        return call

    monkeypatch.setattr(worker.os, "fork", raises(OSError("no process left")))
    monkeypatch.setattr(worker.os, "_exit", raises(Ended))
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker.importlib, "import_module", lambda _: None)
    ours, theirs = socket.socketpair()
    with ours:
        for _ in range(2):
            socket.send_fds(ours, [b"0"], [0] * 5)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(Ended):
            worker._serve_forks(theirs.detach(), 0)
        assert ours.recv(8) == b"111"


def test_several_culprits_are_all_named(candidate):
    x = rows()
    x[[3, 4, 99], 0] = MARK
    with Isolated() as executor:
        outcome = executor.run(candidate("os.abort()"), x, FLOAT32)
    assert [f.row for f in outcome.faults] == [3, 4, CULPRIT, 99]
    assert outcome.completed.sum() == ROWS - 4


def test_a_candidate_that_only_ever_crashes_is_given_up_soon(candidate):
    x = rows()
    x[:, 0] = MARK
    with Isolated() as executor:
        spec = candidate("open(COUNTER, 'a').write('.'); os._exit(7)")
        outcomes = [executor.run(spec, x, FLOAT32) for _ in range(5)]
    calls = len(Path(spec.partition("candidate.py")[0], "calls").read_text())
    # three batches, each called as a whole and by its first, middle and last row; some are tested
    assert 4 <= calls <= 3 * 4 + 4
    assert not any(o.completed.any() or o.outputs is not None for o in outcomes)
    assert [f.row for f in outcomes[0].faults] == [0, 49, 99, None]
    assert "not tried" in outcomes[-1].faults[0].message


def test_a_crash_that_does_not_repeat_is_told_as_such_and_costs_no_output(candidate):
    body = "if not os.path.exists(COUNTER):\n    open(COUNTER, 'w').close()\n    os.abort()"
    x = rows()
    with Isolated() as executor:
        outcome = executor.run(candidate(body), x, FLOAT32)
    assert [(f.kind, f.row) for f in outcome.faults] == [("crashed", None)]
    assert "not when called again" in outcome.faults[0].message
    assert_same_bits(outcome.outputs, softmax(x))


def test_rows_that_crash_only_together_are_told_as_such(candidate):
    x = rows()
    x[8, 0] = MARK
    with Isolated() as executor:
        outcome = executor.run(candidate("if marked.sum() == 2: os.abort()"), x, FLOAT32)
    assert [(f.kind, f.row) for f in outcome.faults] == [("crashed", None)]
    assert f"the first {CULPRIT + 1} rows fail together" in outcome.faults[0].message
    assert_same_bits(outcome.outputs, softmax(x))


def test_a_death_between_two_calls_is_told(candidate):
    body = "threading.Timer(0.1, os._exit, (5,)).start()"
    with Isolated() as executor:
        spec = candidate(body)
        assert executor.run(spec, rows(), FLOAT32).faults == ()
        time.sleep(0.5)
        outcome = executor.run(spec, rows(marked=False), FLOAT32)
    assert [(f.kind, f.row) for f in outcome.faults] == [("crashed", None)]
    assert "exit status 5 after an earlier call" in outcome.faults[0].message
    assert outcome.completed.all()


@pytest.fixture
def two_deaths(monkeypatch):
    monkeypatch.setattr("harness.subject.execution.isolated.MOST_IDLE_DEATHS", 2)


@pytest.mark.usefixtures("two_deaths")
def test_whoever_dies_after_every_call_is_given_up(candidate):
    """A start of a process for each of a thousand batches would take minutes."""
    body = "threading.Timer(0.02, os.kill, (os.getppid(), 15)).start()"
    with Isolated() as executor:
        spec = candidate(body)
        for _ in range(3):
            outcome = executor.run(spec, rows(), FLOAT32)
            time.sleep(0.1)
        assert outcome.completed.all()
        outcome = executor.run(spec, rows(), FLOAT32)
    assert not outcome.completed.any()
    assert "2 of its processes in a row ended after they had answered a call" in outcome.faults[0].message


@pytest.mark.usefixtures("two_deaths")
def test_one_that_lived_on_takes_earlier_deaths_back(candidate):
    body = "threading.Timer(0.02, os._exit, (5,)).start()"
    with Isolated() as executor:
        spec = candidate(body)
        for _ in range(3):
            executor.run(spec, rows(), FLOAT32)
            time.sleep(0.15)
            for _ in range(2):
                outcome = executor.run(spec, rows(marked=False), FLOAT32)
    assert outcome.completed.all()
    assert outcome.faults == ()


# Ends --------------------------------------------------------------------------------------

CAMPAIGN = """
import sys
sys.path.insert(0, {root!r})
import numpy as np
from harness.subject.execution import Isolated
from reference.formats import FORMATS
with Isolated(timeout=None) as executor:
    x = np.zeros((3, 4), np.float32)
    assert executor.run({idle!r}, x, FORMATS["float32"]).completed.all()
    x[1, 0] = {mark}
    print("ready", flush=True)
    try:
        executor.run({spec!r}, x, FORMATS["float32"])
    except KeyboardInterrupt:
        executor.close()
        sys.exit(130)
"""


def start_campaign(candidate) -> subprocess.Popen[bytes]:
    """Start a program whose candidate has left a daemon behind and now hangs."""
    child = HARMLESS["leaves a daemon in a session of its own"]
    spec = candidate(f"{child}\nopen(COUNTER, 'w').close()\ntime.sleep(60)")
    script = CAMPAIGN.format(root=str(ROOT), spec=spec, idle=candidate("pass", "idle"), mark=MARK)
    program = subprocess.Popen(
        [*HEARING, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert program.stdout.readline() == b"ready\n"
    counter = Path(spec.partition("candidate.py")[0], "calls")
    deadline = time.monotonic() + 20
    while not counter.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert counter.exists()
    return program


def test_no_process_survives_a_harness_that_is_killed(candidate):
    token = os.environ["HARNESS_TEST_TOKEN"]
    with start_campaign(candidate) as program:
        deadline = time.monotonic() + 10
        while len(processes(token)) < 6:  # the program, two keepers, two workers, a daemon
            assert time.monotonic() < deadline, processes(token)
            time.sleep(0.05)
        program.kill()
        program.communicate()
    assert wait_for_none(token, 2.0) == []


FORKS_TWICE = """child = os.fork()
if child == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
    os._exit(0)
os.waitpid(child, 0)"""


@pytest.mark.slow
@pytest.mark.usefixtures("started")
def test_no_daemon_that_was_forked_twice_outlives_any_of_fifty_runs(candidate):
    spec = candidate(FORKS_TWICE)
    for _ in range(50):
        with Isolated() as executor:
            assert executor.run(spec, rows(), FLOAT32).completed.all()
        assert wait_for_none(os.environ["HARNESS_TEST_TOKEN"], 1.0) == []


def test_an_interrupt_stops_within_two_seconds_and_no_worker_says_a_word(candidate):
    seconds = []
    while not seconds or (seconds[-1] >= 2.0 and len(seconds) < TRIES):
        with start_campaign(candidate) as program:
            os.killpg(program.pid, signal.SIGINT)
            since = time.monotonic()
            _, errors = program.communicate()
        seconds.append(time.monotonic() - since)
        assert (program.returncode, errors) == (130, b"")
        assert processes(os.environ["HARNESS_TEST_TOKEN"]) == []
    assert seconds[-1] < 2.0, seconds


def test_closing_from_another_thread_ends_a_batch_under_way(candidate):
    import threading

    executor = Isolated(timeout=None)
    spec = candidate("open(COUNTER, 'w').close()\ntime.sleep(60)")
    raised: list[BaseException] = []

    def run() -> None:
        try:
            executor.run(spec, rows(), FLOAT32)
        except ExecutorClosed as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not Path(spec.partition("candidate.py")[0], "calls").exists():
        time.sleep(0.02)
    since = time.monotonic()
    executor.close()
    thread.join()
    assert time.monotonic() - since < 2.0
    assert len(raised) == 1
    with pytest.raises(ExecutorClosed):
        executor.run(spec, rows(), FLOAT32)


# Together ----------------------------------------------------------------------------------


def test_four_threads_share_two_slots_and_no_candidate_disturbs_another(candidate):
    from concurrent.futures import ThreadPoolExecutor

    good, bad = candidate("pass", "good"), candidate("os.abort()", "bad")
    batches = [rows(marked=False, seed=seed) for seed in range(8)]
    with Isolated(jobs=2) as executor, ThreadPoolExecutor(4) as threads:
        poison = threads.submit(executor.run, bad, rows(), FLOAT32)
        outcomes = list(threads.map(lambda x: executor.run(good, x, FLOAT32), batches))
    for x, outcome in zip(batches, outcomes, strict=True):
        assert_same_bits(outcome.outputs, softmax(x))
    assert [f.row for f in poison.result().faults] == [CULPRIT]
