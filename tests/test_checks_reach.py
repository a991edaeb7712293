"""The contract asked of long rows, huge calls, many calls, two threads and four axes.

Each defect is one of the self-test's, and is caught by the check that is there for it.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from harness.checks import CheckResult, check_named, run_check, run_checks
from harness.checks.accuracy import company
from harness.checks.samples import EXTENTS, Paces, Slow, rows_of
from harness.selftest.defects.reach import DEFECTS
from harness.subject.candidates import from_function, load
from harness.subject.execution import InProcess, Isolated
from harness.subject.execution.calls import FEW_OVERLAP_CALLS, OFTEN, THREAD_CALLS, call
from harness.subject.subject import Subject
from reference.formats import FORMATS
from reports.gate_text import terminal
from reports.looking import looked_at, looked_at_in_all
from reports.record.verdicts import Verdict

F32 = FORMATS["float32"]

WATCHED_BY = {
    "static scratch": "threads",
    "static scratch of long rows": "threads",
    "long rows wrong now and then": "keeps",
    "long input overwritten": "unchanged",
    "entries beyond a cap": "large_batch",
    "rows beyond a cap": "large_batch",
    "long rows split by the batch": "batch",
    "four axes passed through": "placed",
    "empty batch refused": "shape",
    "long strided rows wrong": "strides",
    "long vectors wrong": "placed",
    "long rows off a vector wrong": "placed",
    "axis one of a matrix taken for zero": "axis",
    "third axis from the end miscounted": "axis",
    "inner axis of four taken for the last": "axis",
    "columns beyond a grid": "axis",
    "wrong after many calls": "endurance",
    "long rows in random order": "repeat",
}

SLOW = ("long rows in random order", "entries beyond a cap", "columns beyond a grid")


def result_of(candidate, name: str, fmt=F32, effort="quick", seed=0) -> CheckResult:
    with InProcess(load=lambda _: candidate) as executor:
        return run_check(check_named(name), Subject(candidate, fmt, fmt, executor), seed, effort)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_every_defect_of_reach_is_tried_here():
    assert {defect.name for defect in DEFECTS} == set(WATCHED_BY)


CASES = [
    pytest.param(defect, check, marks=[pytest.mark.slow] if defect.name in SLOW else [])
    for defect in DEFECTS
    for check in (WATCHED_BY[defect.name],)
]


@pytest.mark.parametrize(("defect", "check"), CASES, ids=lambda value: str(getattr(value, "name", value)))
def test_defect_is_caught_by_the_check_that_is_there_for_it(defect, check):
    instance = next(i for i in defect.instances(0) if i.format == F32 or F32.name not in defect.formats)
    result = result_of(instance.candidate(), check, instance.format)
    assert result.status == "violated", result
    assert result.message


def along(x, axis=-1):
    """NumPy adds one by one in the format along a strided axis: 2048 ones and one more are 2048."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def strided_beyond(edge: int):
    """A strided row is gathered into a buffer of fixed size."""

    def softmax(x, axis=-1):
        moved = np.moveaxis(x, axis, -1)
        y = np.moveaxis(along(x, axis), axis, -1)
        if moved.strides[-1] != x.itemsize:
            y[..., edge:] = 0
        return np.moveaxis(y, -1, axis)

    return softmax


SIXTEEN_BITS = [
    pytest.param(name, check, edge, marks=[pytest.mark.slow] if edge > 4096 else [])
    for name, check, edge in product(("float16", "bfloat16"), ("axis", "strides"), (4096, 70_000))
]


@pytest.mark.parametrize(("name", "check", "edge"), SIXTEEN_BITS)
def test_long_rows_of_16_bits_are_seen_along_strided_axes(monkeypatch, name, check, edge):
    fmt, longest = FORMATS[name], 8193 if edge == 4096 else 70_001
    few = replace(EXTENTS["brief"], lengths=(257,), rows=1, long=(longest,))
    monkeypatch.setattr("harness.checks.samples.EXTENTS", {"quick": few})
    honest = result_of(from_function(along), check, fmt)
    assert (honest.status, honest.looked.longest_row) == ("ok", longest), honest
    found = result_of(from_function(strided_beyond(edge)), check, fmt)
    assert found.status == "violated"
    assert found.witness.cell.length == longest
    assert "all but a few entries lowered" in found.witness.origin


def test_what_happens_in_one_call_of_twenty_is_seen_with_99_percent():
    assert 0.95**OFTEN < 0.01
    calls = []

    def counted(x):
        calls.append(x.shape)
        return softmax(x)

    result = result_of(from_function(counted), "keeps")
    assert result.status == "ok"
    for length in (3, 1025, 1026, 2048, 4096, 8193, 70_001):
        assert sum(shape[1] == length for shape in calls) >= OFTEN, length
    assert result.looked.calls <= len(calls) + 2 * len(set(calls))


@pytest.mark.parametrize("seed", range(3))
def test_another_order_of_long_sums_at_every_call_is_seen_at_every_seed(seed):
    generator = np.random.default_rng(seed)

    def random_order(x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        parts = np.add.reduceat(e, np.arange(0, x.shape[-1], 1024), axis=-1)
        return e / np.cumsum(generator.permuted(parts, axis=-1), axis=-1)[..., -1:]

    assert result_of(from_function(random_order), "keeps", seed=seed).status == "violated"


# Two threads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tries", range(5))
def test_a_static_scratch_is_seen_every_time(tries):
    defect = next(d for d in DEFECTS if d.name == "static scratch")
    assert result_of(defect.instances(tries)[1].candidate(), "threads").status == "violated"


STATIC = """
#include <math.h>
static float scratch[1 << 17];
void softmax(const float *x, float *y, long rows, long n) {
    for (long r = 0; r < rows; r++, x += n, y += n) {
        float top = x[0], sum = 0;
        for (long i = 1; i < n; i++) if (x[i] > top) top = x[i];
        for (long i = 0; i < n; i++) { scratch[i] = expf(x[i] - top); sum += scratch[i]; }
        for (long i = 0; i < n; i++) y[i] = scratch[i] / sum;
    }
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_static_scratch_of_native_code_is_seen_and_an_automatic_one_let_by(tmp_path):
    found = {}
    for name, source in {"static": STATIC, "local": STATIC.replace("static float", "__thread float")}.items():
        (tmp_path / f"{name}.c").write_text(source)
        library = tmp_path / f"{name}.so"
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", library, tmp_path / f"{name}.c", "-lm"]
        subprocess.run(command, check=True)
        native = ctypes.CDLL(str(library))

        def softmax(x, native=native):
            x = np.ascontiguousarray(x)
            y = np.empty_like(x)
            n = x.shape[-1]
            if x.size:
                pointers = (ctypes.c_void_p(a.ctypes.data) for a in (x, y))
                native.softmax(*pointers, ctypes.c_long(x.size // n), ctypes.c_long(n))
            return y

        found[name] = result_of(from_function(softmax), "threads").status
    assert found == {"static": "violated", "local": "ok"}


def test_threads_call_with_different_rows_at_the_same_time():
    inside, together = set(), []

    class Seeing:
        axis_parameter = None

        def call(self, x):
            inside.add(threading.get_ident())
            together.append(len(inside))
            time.sleep(1e-4)
            inside.discard(threading.get_ident())
            return softmax(x)

    x = np.arange(15, dtype=np.float32).reshape(3, 5) ** 2
    y = call(Seeing(), x, x.dtype, "two_threads")
    assert max(together) == 2
    assert (y == call(Seeing(), x, x.dtype, "halves")).all()
    assert np.allclose(y, softmax(x))


@pytest.mark.parametrize(("overlaps", "least"), [(0, THREAD_CALLS), (10**9, FEW_OVERLAP_CALLS)])
def test_threads_call_more_often_where_few_of_their_calls_overlap(monkeypatch, overlaps, least):
    """The slower of the two makes as many calls as are asked for; it may have begun another."""
    monkeypatch.setattr("harness.subject.execution.calls.OVERLAPS", overlaps)
    made: Counter[int] = Counter()

    def counted(x):
        made[threading.get_ident()] += 1
        return softmax(x)

    x = np.arange(15, dtype=np.float32).reshape(3, 5)
    call(from_function(counted), x, x.dtype, "two_threads")
    del made[threading.get_ident()]
    assert least <= min(made.values()) <= least + 1, made


def test_who_declares_that_threads_may_not_call_at_once_is_not_asked():
    defect = next(d for d in DEFECTS if d.name == "static scratch")
    candidate = defect.instances(0)[1].candidate()
    alone = replace(candidate, declaration=replace(candidate.declaration, threads=False))
    result = result_of(alone, "threads")
    assert (result.status, result.message) == (
        "not_applicable",
        "it declares that threads may not call it at once",
    )


def test_the_declaration_is_read_from_the_function(tmp_path):
    (tmp_path / "mine.py").write_text("def softmax(x): return x\nsoftmax.declares = {'threads': False}\n")
    assert load(f"{tmp_path}/mine.py:softmax").declaration.threads is False


# What was looked at --------------------------------------------------------------------------


class Counting(InProcess):
    """Counts the calls and their entries."""

    calls = entries = 0

    def run(self, spec, x, *arguments, **keywords):
        self.calls += 1
        self.entries += x.size
        return super().run(spec, x, *arguments, **keywords)


def results_and_counts(effort: str) -> tuple[dict[str, CheckResult], Counting]:
    candidate = load("max_shifted")
    with Counting() as executor:
        results = run_checks([Subject(candidate, F32, F32, executor)], effort=effort)
    return {result.check.name: result for result in results}, executor


def test_a_candidate_and_format_take_few_requests_of_few_entries():
    _, made = results_and_counts("brief")
    assert made.calls <= 1500, made.calls
    assert made.entries <= 1 << 24, made.entries


def test_quick_checks_take_few_requests_too_and_tell_as_data_what_they_looked_at():
    """Of their entries more than half are those of two calls and of batches of long rows."""
    results, made = results_and_counts("quick")
    assert made.calls <= 2000, made.calls
    assert made.entries <= 5 << 24, made.entries
    large = results["large_batch"].looked
    assert large.largest_call >= 17 << 20
    assert large.longest_row == 70_001
    assert results["threads"].looked.threads == 2
    endurance = results["endurance"].document()["looked"]
    assert endurance["calls"] > 20_000
    assert endurance["unseen"] == []


@pytest.mark.parametrize("effort", ["quick", "standard", "deep"])
def test_each_row_of_the_largest_call_begins_once_more_beyond_2_to_the_24(effort):
    extent = EXTENTS[effort]
    [(length, _)] = extent.large_calls
    [rows] = extent.large_sizes(length)
    [called] = (r for r in rows_of(F32, extent, 0) if r.x.shape[1] == length)
    subject = Subject(load("naive"), F32, F32, InProcess())
    period = len(called.x) + len(company(subject, length))
    assert (rows - period) * length >= 1 << 24


SMALL = replace(
    EXTENTS["brief"],
    large_batch=4000,
    calls=2000,
    row_paces=Paces((Slow(2e-4, 500), Slow(1.0, 16))),
    entry_paces=Paces((Slow(1.0, 50_000),)),
    slow_call=5e-3,
)
"""Few calls, and borders far from what a busy machine and the sleeps below take."""


def test_a_slow_candidate_is_asked_less_and_the_result_says_so(monkeypatch):
    monkeypatch.setattr("harness.checks.samples.EXTENTS", {"quick": SMALL})

    def slow(x):
        time.sleep(4e-4 * (x.size // x.shape[-1]))
        return softmax(x)

    candidate = from_function(slow)
    large = result_of(candidate, "large_batch")
    assert large.status == "ok"
    assert "a call of 4000 rows of 3 entries (a row takes over 200 us)" in large.looked.unseen
    assert large.looked.largest_call == 500 * 17

    def slow_at_three(x):
        time.sleep(1e-2 if x.shape == (4, 3) else 0)
        return softmax(x)

    endurance = result_of(from_function(slow_at_three), "endurance")
    assert endurance.looked.unseen == ("2000 calls in succession (a call takes over 5 ms)",)
    assert endurance.looked.calls == OFTEN + 1


def test_what_is_looked_at_does_not_depend_on_what_else_the_machine_does(monkeypatch):
    """Two runs, of which the second is delayed at random, give the same documents."""
    monkeypatch.setattr("harness.checks.samples.EXTENTS", {"quick": SMALL})
    noise = random.Random(0)
    names = ("large_batch", "endurance", "batch", "keeps")

    def delayed(x):
        if noise.random() < 0.02:
            time.sleep(noise.uniform(0, 0.01))
        return softmax(x)

    documents = [
        [result_of(from_function(function), name).document() for name in names]
        for function in (softmax, delayed)
    ]
    for of_one in documents:
        for document in of_one:
            assert document["looked"]["unseen"] == []
            document["candidate"] = "f"
    assert documents[0] == documents[1]


@pytest.mark.parametrize(("seconds", "most"), [(1e-7, 1 << 62), (1e-6, 1 << 62), (2e-5, 50_000), (1e-3, 500)])
def test_speed_falls_into_few_classes_far_from_what_is_common(seconds, most):
    paces = EXTENTS["quick"].entry_paces
    assert paces.at(seconds).most == most
    if seconds <= 1e-7:
        assert paces.at(40 * seconds).most == most


def test_memory_of_a_huge_call_is_given_back():
    x = np.zeros((300, 70_001), np.float32)
    with Isolated() as executor:
        executor.run("max_shifted", x, F32)
        ((_, worker),) = executor._idle
        descriptor = worker._memory.descriptor
        held = os.fstat(descriptor).st_blocks * 512
        again = executor.run("max_shifted", x[:1], F32)
    assert held <= 33 << 20
    assert again.completed.all()


def test_one_line_says_what_the_contract_was_asked_of():
    looked = {"longest_row": 70_001, "largest_call": 21_000_300, "calls": 20_201, "threads": 2, "unseen": []}
    checks = [
        {"kind": "contract", "candidate": "f", "format": "float32", "rows": 1640, "looked": looked},
        {
            "kind": "contract",
            "candidate": "f",
            "format": "float32",
            "looked": {"calls": 1, "unseen": ["a", "b", "c"]},
        },
        {"kind": "property", "candidate": "f", "format": "float32", "looked": looked},
    ]
    said = (
        "1,640 rows of up to 70,001 entries, 20,202 calls of up to 21,000,300 entries, 2 threads at once;"
        " not looked at: a, b, and 1 more"
    )
    assert looked_at(checks) == {("f", "float32"): said}
    for status, begins in (
        ("pass", "pass  f, float32, contract: 1 check, "),
        ("defect", "the contract of f, float32, was checked on "),
    ):
        verdict = Verdict(
            "f", "float32", "float32", None, None, "contract batch", "<=", 0.0, 0.0, status, "a row alone"
        )
        shown = terminal([verdict], {}, "out", looked=looked_at(checks))
        lines = [str(line) for line in shown.renderables]
        assert any(line.startswith(begins) and line.endswith(said) for line in lines), lines


def test_checks_of_older_runs_tell_nothing_of_it():
    assert looked_at([{"kind": "contract", "candidate": "f", "format": "float32", "rows": 3}]) == {}
    assert looked_at_in_all([]) == ""
