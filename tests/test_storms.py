"""What a candidate's failures may cost, and what they may not: other rows, other candidates, the run."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from harness.subject.execution import Isolated
from harness.subject.execution.allowance import (
    _FEATURES,
    LEAST_CULPRITS,
    Allowance,
    _Beyond,
    _features,
    _reach,
)
from harness.subject.execution.attempts import Attempt, Failure
from harness.subject.execution.culprits import complete
from reference.formats import FORMATS
from reports.record.witness_kinds import kinds_shown_by
from tests.gating import briefly, failing, gate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="isolation as Linux has it")

ROOT = Path(__file__).resolve().parent.parent
FLOAT32 = FORMATS["float32"]
HUGE = float(np.finfo(np.float64).max)

CANDIDATE = """
import ctypes, os, random, signal, time
import numpy as np

def plain(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def deep():
    deep()

def softmax(x):
    m = np.max(x, initial=-np.inf, where=~np.isnan(x))
{body}
    return plain(x)
"""

WRITE = """
for fd in range(3, 1200):
    try:
        os.write(fd, {data!r})
    except OSError:
        pass"""

MISBEHAVIOUR = {
    "crashes above 50": ("if m > 50: ctypes.string_at(0)", "crashed"),
    "crashes above 80": ("if m > 80: ctypes.string_at(0)", "crashed"),
    "hangs above 50": ("if m > 50: time.sleep(1000)", "timed_out"),
    "exits above 50": ("if m > 50: os._exit(3)", "crashed"),
    "raises above 50": ("if m > 50: raise ValueError('no')", "crashed"),
    "runs out of memory": ("raise MemoryError('no')", "crashed"),
    "runs out of memory above 50": ("if m > 50: raise MemoryError('no')", "crashed"),
    "recurses": ("deep()", "crashed"),
    "loses a column above 50": ("if m > 50: return plain(x)[..., :-1]", "crashed"),
    "crashes in calls of over 100 rows": ("if x.ndim > 1 and len(x) > 100: ctypes.string_at(0)", "ok"),
    "crashes in a hundredth of calls": ("if random.random() < 0.01: ctypes.string_at(0)", "ok"),
    "crashes in a fifth of calls": ("if random.random() < 0.2: ctypes.string_at(0)", "ok"),
    "writes into descriptors": (WRITE.format(data=b"\0\0\0\2{}"), "crashed"),
    "dies of a real-time signal above 50": ("if m > 50: os.kill(os.getpid(), 40)", "crashed"),
    "does all of it": (
        """if m > 80: ctypes.string_at(0)
if m > 50: time.sleep(1000)
if x.shape[-1] == 17: os._exit(3)
if x.min(initial=0) < -50: raise MemoryError('no')""",
        "crashed",
    ),
}


def written(folder: Path, body: str, name: str = "candidate") -> str:
    indented = "\n".join(f"    {line}" for line in body.split("\n"))
    (folder / f"{name}.py").write_text(CANDIDATE.format(body=indented))
    return f"{folder / name}.py:softmax"


class Model:
    """Fails on rows whose first entry is above a threshold; each failure costs time that is no one's."""

    def __init__(self, allowance: Allowance, above: float, cost: float) -> None:
        self.allowance, self.above, self.cost = allowance, above, cost
        self.failures = 0

    def __call__(self, x, parts, patience=1.0):  # noqa: ARG002
        for number, (low, high) in enumerate(parts):
            if (x[low:high, 0] > self.above).any():
                self.failures += 1
                self.allowance.charge(self.cost)
                return Attempt(number, 2 * x, Failure("crashed", "no", fatal=True))
        return Attempt(len(parts), 2 * x, None)


def drawn(batches: int, rows: int = 200):
    rng = np.random.default_rng(3)
    return [rng.normal(scale=40, size=(rows, 4)).astype(np.float32) for _ in range(batches)]


def test_a_storm_of_crashes_costs_no_sound_row_that_its_fault_can_be_told_from():
    allowance = Allowance()
    model = Model(allowance, 60, 0.5)
    sound = lost = 0
    for x in drawn(300):
        x[:, 1:] = np.minimum(x[:, 1:], x[:, :1])  # the greatest entry is the first
        outcome = complete(model, x, allowance)
        fine = x[:, 0] <= model.above
        assert not outcome.completed[~fine].any()
        sound += int(fine.sum())
        lost += int((fine & ~outcome.completed).sum())
    assert model.failures <= 30
    assert lost < sound / 20
    assert "the greatest entry is at least" in allowance.summary()


def test_when_time_is_spent_only_what_accounts_for_the_faults_keeps_rows_from_being_called():
    allowance = Allowance()
    model = Model(allowance, 60, 2.0)
    rng = np.random.default_rng(4)
    first = drawn(12)
    wide = [(-np.abs(x) * 100).astype(np.float32) for x in drawn(4)]
    masked = [np.full((50, 4), -np.inf, dtype=np.float32)]
    with_nan = [
        np.where(rng.random(x.shape) < 0.3, np.nan, np.minimum(x, 55)).astype(np.float32) for x in wide
    ]
    longer = [rng.normal(size=(20, 300)).astype(np.float32)]
    for x in first:
        x[:, 1:] = np.minimum(x[:, 1:], x[:, :1])
        complete(model, x, allowance)
    assert not allowance.narrows
    for x in (*wide, *masked, *with_nan, *longer):
        assert complete(model, x, allowance).completed.all()


def test_the_reach_of_what_is_called_grows_towards_the_fault_while_little_is_lost():
    allowance = Allowance()
    model = Model(allowance, 60, 0.4)
    for top in (1e6, 1e4):
        x = np.linspace(top / 10, top, 20, dtype=np.float32).repeat(2).reshape(-1, 2)
        complete(model, np.concatenate([np.zeros((200, 2), dtype=np.float32), x]), allowance)
    allowance.charge(2.0)
    assert allowance.is_spent
    sound = lost = 0
    for x in (np.abs(batch[:, :1]).repeat(2, axis=1) for batch in drawn(60)):
        fine = x[:, 0] <= model.above
        outcome = complete(model, x, allowance)
        sound, lost = sound + int(fine.sum()), lost + int((fine & ~outcome.completed).sum())
    assert lost < sound / 20


def test_rows_that_were_never_called_are_not_tried_and_never_crashed():
    allowance = Allowance()
    model = Model(allowance, -1e9, 5.0)
    for x in drawn(4):
        outcome = complete(model, x, allowance)
    assert [fault.kind for fault in outcome.faults] == ["not_tried"]
    assert model.failures <= 5


class ByChance:
    """Fails in a share of calls, whatever it is given, and on rows whose first entry is above a threshold."""

    def __init__(self, share: float, above: float = np.inf, kind: str = "crashed") -> None:
        self.share, self.above, self.kind = share, above, kind
        self.rng = np.random.default_rng(5)
        self.calls = self.failures = 0

    def __call__(self, x, parts, patience=1.0):  # noqa: ARG002
        for number, (low, high) in enumerate(parts):
            self.calls += 1
            if (x[low:high, 0] > self.above).any() or self.rng.random() < self.share:
                self.failures += 1
                return Attempt(number, 2 * x, Failure(self.kind, "no", fatal=self.kind != "raised"))
        return Attempt(len(parts), 2 * x, None)


@pytest.mark.parametrize("kind", ["crashed", "timed_out", "raised"])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.4])
def test_what_fails_by_chance_costs_no_row_and_its_share_is_told(share, kind):
    allowance, model = Allowance(), ByChance(share, kind=kind)
    for x in drawn(300):
        outcome = complete(model, x, allowance)
        assert outcome.completed.all()
        np.testing.assert_array_equal(outcome.outputs, 2 * x)
        assert all(fault.row is None and "not when called again" in fault.message for fault in outcome.faults)
    summary = allowance.summary()
    failures, calls = map(
        int, re.search(r"(\d+) of (\d+) calls failed, and succeeded when", summary).groups()
    )
    assert 0.95 * model.calls <= calls <= model.calls
    assert 0.95 * model.failures <= failures <= model.failures, "a few came again, by chance too"
    low, high = (
        float(x) / 100 for x in re.search(r"([\d.]+) to ([\d.]+) % of calls fail by chance", summary).groups()
    )
    assert low <= share <= high


def test_rows_that_fail_are_told_from_chance():
    allowance, model = Allowance(), ByChance(0.2, above=150)
    for x in drawn(100):
        outcome = complete(model, x, allowance)
        np.testing.assert_array_equal(outcome.completed, x[:, 0] <= 150)
        assert {f.row for f in outcome.faults if f.row is not None} == set(np.flatnonzero(x[:, 0] > 150))


def test_chance_is_called_again_in_parts_where_a_call_holds_few_rows():
    allowance, model = Allowance(), ByChance(0.2)
    allowance.most_together = 10
    for x in drawn(20):
        outcome = complete(model, x, allowance)
        assert outcome.completed.all()
        np.testing.assert_array_equal(outcome.outputs, 2 * x)


def test_a_presentation_of_many_calls_teaches_nothing_of_how_many_rows_a_call_may_hold():
    """Chance strikes nearly each of its attempts, whatever rows it is given."""
    allowance, once, often = Allowance(), ByChance(0.2), ByChance(0.9)
    for x in drawn(30, rows=4):
        complete(once, x, allowance)
    for x in drawn(30, rows=4):
        complete(often, x, allowance, is_plain=False)
    assert allowance.chance.has_faults
    assert allowance.most_together is None


@pytest.mark.parametrize(("rows", "seconds"), [(1, 2.0), (1, 60.0), (50, 60.0)])
def test_a_first_hang_costs_one_time_limit_and_the_others_an_eighth(rows, seconds):
    allowance = Allowance()
    calls = []

    def hang(x, _parts, _patience=1.0):
        calls.append(allowance.limit(seconds, len(x), 4))
        allowance.charge(calls[-1])
        return Attempt(0, x, Failure("timed_out", "no answer", fatal=True))

    outcome = complete(hang, np.zeros((rows, 4), dtype=np.float32), allowance)
    assert [fault.kind for fault in outcome.faults] == ["timed_out"]
    assert calls == [seconds] if seconds > 10 else [seconds, 0.5]
    allowance.grant()
    complete(hang, np.zeros((1, 4), dtype=np.float32), allowance)
    assert calls[-1] == max(seconds / 8, 0.5)


def test_a_few_culprits_are_no_rule_while_there_is_time():
    allowance = Allowance()
    x = drawn(1)[0]
    culprits = np.zeros(len(x), dtype=bool)
    culprits[np.argsort(x[:, 0])[-LEAST_CULPRITS + 1 :]] = True
    allowance.charge(1.0)
    allowance.learn(x, ~culprits, culprits)
    assert not allowance.set_aside(x).any()


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn"])
@pytest.mark.parametrize("length", [1, 2, 32, 33, 100])
def test_rows_reach_as_far_as_the_farthest_of_them(name, length):
    """The reach of a batch is taken in one pass; here it is held against features row by row, in float64."""
    rng = np.random.default_rng(length)
    x = 50 * rng.normal(size=(20, length))
    if name != "float8_e4m3fn":
        x[rng.random(x.shape) < 0.1] = np.inf
        x[rng.random(x.shape) < 0.1] = -np.inf
    x[rng.random(x.shape) < 0.1] = np.nan
    x[3] = np.nan
    for batch in (
        x.astype(FORMATS[name].dtype),
        np.where(np.isnan(x), -0.0, x).astype(FORMATS[name].dtype),
        np.nan_to_num(x).clip(-400, 400).astype(FORMATS[name].dtype),
    ):
        wide = batch.astype(np.float64)
        greatest, least = np.fmax.reduce(wide, axis=1), np.fmin.reduce(wide, axis=1)
        columns = [greatest, -greatest, least, -least, np.zeros(20), np.zeros(20)]
        expected = np.nan_to_num(columns, nan=-HUGE, posinf=HUGE, neginf=-HUGE)
        expected[4:] = [[length], [-length]]
        features = np.stack([*expected, np.isnan(wide).any(axis=1)], axis=1)
        np.testing.assert_array_equal(_features(batch), features)
        np.testing.assert_array_equal(_reach(batch), features.max(axis=0))


def test_many_small_calls_reach_as_far_as_all_their_rows_together():
    """Their rows are looked at later, whatever becomes of the array by then."""
    rng = np.random.default_rng(3)
    beyond, reach = _Beyond(), np.full(len(_FEATURES), -np.inf)
    for length in rng.choice([1, 2, 2, 2, 5, 3000], size=400).tolist():
        x = rng.normal(scale=40, size=(3, length)).astype(rng.choice(["float32", "float64"]))
        completed = np.array([True, length != 5, False])
        reach = np.maximum(reach, _features(x[completed]).max(axis=0))
        beyond.add(x, completed, np.zeros(3, dtype=bool))
        x[:] = 1e9
    np.testing.assert_array_equal(beyond._sound_to, reach)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\2{}",
        b"\0\0\0\x20" + b'{"passed": 1, "failure": null}  ',
        b"\0\0\0\x0a" + b"[[[[[[[[[[",
        b"\xff\xff\xff\xff",
        b"\0\0\0\1",
    ],
)
def test_whatever_a_candidate_writes_ends_that_candidate_alone(tmp_path, data):
    x = np.ones((3, 4), dtype=np.float32)
    with Isolated(timeout=20.0) as executor:
        outcome = executor.run(written(tmp_path, WRITE.format(data=data)), x, FLOAT32)
        assert {fault.kind for fault in outcome.faults} <= {"crashed", "not_tried"}
        assert any("own connection" in fault.message for fault in outcome.faults)
        assert executor.run("max_shifted", x, FLOAT32).completed.all()


def test_a_real_time_signal_is_a_crash_as_any_other(tmp_path):
    with Isolated() as executor:
        spec = written(tmp_path, "os.kill(os.getpid(), 40)")
        outcome = executor.run(spec, np.ones((1, 2), dtype=np.float32), FLOAT32)
    assert "signal 40" in outcome.faults[0].message


def test_a_memory_error_does_not_cost_the_process(tmp_path):
    count = tmp_path / "starts"
    spec = written(tmp_path, "raise MemoryError('no')")
    source = tmp_path / "candidate.py"
    source.write_text(source.read_text() + f"\nopen({str(count)!r}, 'a').write('.')\n")
    with Isolated() as executor:
        outcome = executor.run(spec, np.ones((50, 2), dtype=np.float32), FLOAT32)
    assert outcome.faults[0].kind == "out_of_memory"
    assert len(count.read_text()) == 1


def test_a_slow_candidate_is_not_taken_for_one_that_hangs(tmp_path):
    count = tmp_path / "calls"
    spec = written(tmp_path, f"open({str(count)!r}, 'a').write('.')\ntime.sleep(0.01 * len(x))")
    x = np.ones((68, 2), dtype=np.float32)
    with Isolated(timeout=0.4) as executor:
        outcome = executor.run(spec, x, FLOAT32)
        assert outcome.completed.all(), outcome.faults
        before = len(count.read_text())
        assert executor.run(spec, x, FLOAT32).completed.all()
        assert len(count.read_text()) == before + 1, "the second time it is given what it needs at once"


def test_a_candidate_in_a_crowd_is_imported_once_and_keeps_its_process(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.subject.execution.isolated.MANY_PER_JOB", 2)
    count = tmp_path / "starts"
    specs = []
    for number in range(6):
        specs.append(written(tmp_path, "pass", f"candidate{number}"))
        file = tmp_path / f"candidate{number}.py"
        file.write_text(file.read_text() + f"\nopen({str(count)!r}, 'a').write('.')\n")
    x = np.ones((3, 4), dtype=np.float32)
    with Isolated() as executor:
        for _ in range(3):
            for spec in specs:
                assert executor.run(spec, x, FLOAT32).completed.all()
    assert len(count.read_text()) == len(specs)


# By the command ------------------------------------------------------------------------------

CELLS = ("--rows", "128", *(word for n in (2, 3, 7, 17, 33, 127) for word in ("--length", str(n))))
ASKED = ("--effort", "brief", "--format", "float32", "--timeout", "2", *CELLS)

BEYOND_SECONDS = 20

NO_ROWS_DOING = {
    "crashes in calls of over 100 rows",
    "crashes in a hundredth of calls",
    "crashes in a fifth of calls",
}
"""What no single row shows."""


EVERY_TWENTIETH = """
with open({count!r}, "a") as file:
    file.write(".")
if os.path.getsize({count!r}) % 20 == 0:
    ctypes.string_at(0)"""


def test_the_gate_refuses_a_kernel_that_dies_in_one_call_of_twenty(tmp_path, monkeypatch, capsys):
    briefly(monkeypatch, 3)
    spec = written(tmp_path, EVERY_TWENTIETH.format(count=str(tmp_path / "calls")))
    code, document = gate(
        capsys, spec, "--format", "float32", "--tier", "fast", "--out", str(tmp_path / "run")
    )
    assert code == 1
    crashes = [verdict for verdict in failing(document) if verdict["status"] == "crashed"]
    assert crashes
    assert any("not when called again" in verdict["message"] for verdict in crashes)
    others = [v for v in failing(document) if v["status"] not in ("crashed", "not_run")]
    assert all(v["metric"].startswith("contract") and "SIGSEGV" in v["message"] for v in others), others


@dataclass(frozen=True)
class Taken:
    """What a command took: seconds on the wall, and of processors, all of its processes together."""

    wall: float
    processor: float
    said: str = ""

    @classmethod
    def by(cls, *command: str, code: int = 0) -> Taken:
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "harness", *command], cwd=ROOT, check=False, capture_output=True, text=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == code, done.stderr
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return cls(time.monotonic() - start, used, done.stderr)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    folder = tmp_path_factory.mktemp("healthy")
    command = ("run", written(folder, "pass"), *ASKED, "--overwrite", "--out", str(folder / "run"))
    Taken.by(*command)  # compiles, once
    return Taken.by(*command)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_a_storm_ends_within_twenty_seconds_of_the_healthy_run(tmp_path, name, healthy):
    """Of an idle machine: a busy one takes as much longer as it does for the healthy run."""
    body, status = MISBEHAVIOUR[name]
    out = tmp_path / "run"
    taken = Taken.by("run", written(tmp_path, body), *ASKED, "--out", str(out))
    slowness = max(1.0, healthy.wall / healthy.processor)
    beyond = (taken.wall - healthy.wall) / slowness
    cells = json.loads((out / "summary.json").read_text())["cells"]
    statuses = Counter(cell["status"] for cell in cells)
    witnesses = [json.loads(line) for line in (out / "witnesses.jsonl").read_text().splitlines()]
    shown = next((w for w in witnesses if w["kind"] in kinds_shown_by("call")), None)
    if shown is not None and name not in NO_ROWS_DOING:
        Taken.by("replay", f"{out}#{shown['id']}", "--expect", "--timeout", "2", code=1)
    print(f"{name}: {beyond:.1f} s beyond {healthy.wall / slowness:.1f} s; {dict(statuses)}")  # noqa: T201
    assert (shown is not None) or name in NO_ROWS_DOING
    assert status in statuses
    assert ("of calls fail by chance (95 %)" in taken.said) or name != "crashes in a fifth of calls"
    assert set(statuses) <= {"ok", "crashed", "timed_out", "not_tried"}
    assert beyond <= BEYOND_SECONDS


def is_soon(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition, no longer than it takes, and return whether it came about."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds


def alive(token: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if token.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_an_interrupted_selftest_leaves_no_process():
    token = uuid.uuid4().hex
    command = [sys.executable, "-m", "harness", "selftest", "--quick", "--jobs", "2"]
    running = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "HARNESS_TEST_TOKEN": token}, stderr=subprocess.DEVNULL
    )
    assert is_soon(lambda: len(alive(token)) >= 4, 60), "itself, a resource tracker, two workers"
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    assert is_soon(lambda: alive(token) == [], 1), alive(token)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_daemon_that_forked_twice_outlives_its_candidate(tmp_path, monkeypatch):
    token = uuid.uuid4().hex
    monkeypatch.setenv("HARNESS_TEST_TOKEN", token)
    twice = "if os.fork() == 0:\n    os.setsid()\n    os.fork()\n    time.sleep(600)"
    spec = written(tmp_path, twice)
    for _ in range(50):
        with Isolated() as executor:
            executor.run(spec, np.ones((1, 2), dtype=np.float32), FLOAT32)
    assert is_soon(lambda: not any("worker.py" in line for line in alive(token)), 0.5), alive(token)
