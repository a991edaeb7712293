"""Every row is tried once, and counted as a campaign counts it.

Evidence: itertools for the enumeration, the judge in mpmath and the full measurement for the counts,
candidates built to break each symmetry.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import combinations_with_replacement, count, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import cli
from harness.candidates import Candidate, load
from harness.dealing import Threads, deal
from harness.errors import UsageError
from harness.execution import Executor, Fault, InProcess, Outcome
from harness.exhaust import (
    NONE,
    Enumeration,
    Exhaustion,
    Range,
    Remembering,
    Symmetries,
    check_symmetries,
    exhaustion,
)
from harness.exhaust.counting import Counting, without_profiles
from harness.measurement import Rows, measure
from reference.errors import judge
from reference.formats import FORMATS, FloatFormat
from reference.truth import truth
from reports.ledger import Ledger
from reports.runs import open_ledger
from reports.tally import CellKey, Tally, merge

BOTH = Symmetries(permutation=True, one_zero=True)


@pytest.fixture(scope="module")
def here() -> Iterator[InProcess]:
    with InProcess() as executor:
        yield executor


def plain(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def candidate_of(function: Callable[[np.ndarray], np.ndarray]) -> tuple[Candidate, InProcess]:
    named = Candidate(name=function.__name__, spec=function.__name__, call=function)
    return named, InProcess(load=lambda _: named)


def everything(plan: Exhaustion, executor: Executor) -> Tally:
    return merge(tally for shard in plan.shards() for tally in plan.measure(shard, executor).values())


# Which rows ------------------------------------------------------------------------------


def finite_encodings(fmt: FloatFormat, *, one_zero: bool) -> list[int]:
    codes = [c for c in range(2 * fmt.sign_bit) if fmt.is_finite(c) and not (one_zero and c == fmt.sign_bit)]
    return sorted(codes, key=lambda c: (fmt.ordinal(c), c != fmt.sign_bit))


@pytest.mark.parametrize("one_zero", [True, False])
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_pairs_are_those_of_itertools(name: str, one_zero: bool) -> None:
    fmt = FORMATS[name]
    codes = finite_encodings(fmt, one_zero=one_zero)
    for unordered, expected in (
        (True, [pair[::-1] for pair in combinations_with_replacement(codes, 2)]),
        (False, list(product(codes, repeat=2))),
    ):
        rows = Enumeration(fmt, 2, unordered, one_zero)
        made = list(map(tuple, rows.encodings(0, rows.rows).tolist()))
        assert rows.rows == len(made) == len(expected)
        assert set(made) == set(expected)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_range_of_rows_can_be_made_alone(data: st.DataObject) -> None:
    fmt = FORMATS[data.draw(st.sampled_from(["float8_e5m2", "float16", "bfloat16", "float32"]))]
    rows = Enumeration(fmt, data.draw(st.integers(1, 3)), data.draw(st.booleans()), data.draw(st.booleans()))
    first = data.draw(st.integers(0, rows.rows - 200))
    inside = data.draw(st.integers(0, 199))
    whole = rows.encodings(first, 200)
    assert (whole[inside:] == rows.encodings(first + inside, 200 - inside)).all(), f"{rows}, row {first}"


def test_counts_of_rows_are_the_known_ones() -> None:
    float16 = FORMATS["float16"]
    assert Enumeration(float16, 2, unordered=True, one_zero=True).rows == 2_015_331_328
    assert Enumeration(float16, 2, unordered=True, one_zero=False).rows == 2_015_394_816
    assert Enumeration(float16, 2, unordered=False, one_zero=False).rows == 63_488**2
    assert Enumeration(float16, 1, unordered=False, one_zero=False).rows == 63_488


@pytest.mark.parametrize("length", [1, 2, 3])
def test_shards_cover_every_row_once(length: int) -> None:
    plan = Exhaustion(load("max_shifted"), FORMATS["float8_e5m2"], FORMATS["float8_e5m2"], length, BOTH)
    shards = list(plan.shards())
    assert shards[0].first == 0
    assert shards[-1].last == plan.enumeration.rows
    assert all(a.last == b.first for a, b in pairwise(shards))


# What is counted -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_figures_of_all_pairs_are_those_of_the_judge_in_mpmath(name: str, here: InProcess) -> None:
    fmt, candidate = FORMATS[name], load("max_shifted")
    tally = everything(Exhaustion(candidate, fmt, fmt, 2, BOTH), here)
    rows = Enumeration(fmt, 2, unordered=True, one_zero=True)
    x = fmt.from_bits(rows.encodings(0, rows.rows))
    verdict = judge(candidate(x), truth(fmt.to_float64(x), fmt, "mpmath"))
    assert tally.rows == rows.rows
    assert tally.max_ulp == pytest.approx(np.nanmax(verdict.ulp), abs=1e-6)
    assert tally.correct == verdict.correct.sum()
    assert tally.faithful == verdict.faithful.sum()
    assert tally.worst_row_sum_error == np.nanmax(verdict.row_sum_error)


def test_unordered_pairs_have_the_maxima_of_all_orders(here: InProcess) -> None:
    fmt, candidate = FORMATS["float8_e5m2"], load("max_shifted")
    assert check_symmetries(candidate, fmt, fmt, 2, here).permutation
    some, every = (everything(Exhaustion(candidate, fmt, fmt, 2, s), here) for s in (BOTH, NONE))
    assert some.rows < every.rows
    for figure in ("max_ulp", "max_bound_ratio", "max_algorithm_ratio", "worst_row_sum_error"):
        assert getattr(some, figure) == getattr(every, figure)


def quick_and_full(fmt: FloatFormat, name: str, length: int, first: int) -> tuple[Tally, Tally]:
    """Count 4096 rows both ways."""
    candidate = load(name)
    cell = CellKey(name, "softmax", fmt.name, fmt.name, "exhaustive", length)
    x = fmt.from_bits(Enumeration(fmt, length, unordered=False, one_zero=False).encodings(first, 4096))
    y, values = candidate(x), fmt.to_float64(x)
    labels = tuple(f"row {first + row}" for row in range(len(x)))
    rows = Rows(fmt, x, values, truth(values, fmt), 0, labels)
    full = without_profiles(measure(cell, rows, y, candidate.declared(fmt)))
    counting = Counting(cell, fmt, fmt, candidate.declared(fmt))
    counting.add(x[:1000], y[:1000], first)
    counting.add(x[1000:], y[1000:], first + 1000)
    return counting.tally(), full


NEAR = Fraction(1, 2**20)


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_quick_counts_are_those_of_the_full_measurement(data: st.DataObject) -> None:
    fmt = FORMATS[data.draw(st.sampled_from(["float16", "bfloat16", "float32", "float8_e5m2"]))]
    length = data.draw(st.integers(1, 3))
    every = Enumeration(fmt, length, unordered=False, one_zero=False).rows
    first = data.draw(st.integers(0, max(0, every - 4096)))
    name = data.draw(st.sampled_from(["max_shifted", "naive", "exp_minus_lse"]))
    if every < 4096:
        return
    quick, full = quick_and_full(fmt, name, length, first)
    for field in set(Tally.__dataclass_fields__) - {"ulp_sum", "histogram", "max_ulp", "witnesses"}:
        assert getattr(quick, field) == getattr(full, field), f"{field}, {name}, {fmt}, rows from {first}"
    assert abs(quick.ulp_sum - full.ulp_sum) <= 4096 * NEAR
    assert abs((quick.max_ulp or 0) - (full.max_ulp or 0)) <= NEAR
    assert sum(quick.histogram.values()) == sum(full.histogram.values())
    telling = {w for w in full.witnesses if w.kind != "max_ulp" or w.score > NEAR}
    assert telling <= set(quick.witnesses)


def test_settled_rows_are_those_with_one_entry_far_above_the_others() -> None:
    fmt = FORMATS["float16"]
    x = fmt.from_float64([[100.0, 0.0], [0.0, -33.0], [0.0, -20.0], [7.0, 7.0]])
    cell = CellKey("f", "softmax", "float16", "float16", "exhaustive", 2)
    wrong = fmt.from_float64([[1.0, 0.25], [1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    counting = Counting(cell, fmt, fmt, load("max_shifted").declared(fmt))
    counting.add(x, wrong, 10)
    tally = counting.tally()
    witness = next(w for w in tally.witnesses if w.kind == "max_ulp")
    assert (witness.origin, witness.element) == ("row 10", 1)
    assert tally.classes == {"normal": 5, "unavoidable_zero": 2, "spurious_nonzero": 1}


# Symmetries ------------------------------------------------------------------------------


def test_a_candidate_that_prefers_a_place_is_tried_in_all_orders() -> None:
    def lopsided(x: np.ndarray) -> np.ndarray:
        y = plain(x)
        y[:, 0] = np.nextafter(y[:, 0], np.float16(0))
        return y

    candidate, executor = candidate_of(lopsided)
    fmt = FORMATS["float16"]
    found = check_symmetries(candidate, fmt, fmt, 2, executor)
    assert (found.permutation, found.one_zero) == (False, True)
    assert Exhaustion(candidate, fmt, fmt, 2, found).enumeration.rows == 63_487**2


def test_a_candidate_that_sees_the_sign_of_zero_is_given_both() -> None:
    def picky(x: np.ndarray) -> np.ndarray:
        y = plain(x)
        y[np.signbit(x).all(axis=1) & (x == 0).all(axis=1)] = 0
        return y

    candidate, executor = candidate_of(picky)
    fmt = FORMATS["float16"]
    assert check_symmetries(candidate, fmt, fmt, 1, executor) == Symmetries(False, False, 17_424)
    assert "nothing is assumed" in str(check_symmetries(candidate, fmt, fmt, 1, executor))


def test_triples_permute_only_where_the_sum_does(here: InProcess) -> None:
    fmt = FORMATS["float16"]
    assert not check_symmetries(load("naive"), FORMATS["float32"], FORMATS["float32"], 3, here).permutation
    assert check_symmetries(load("max_shifted"), fmt, fmt, 2, here).permutation


# Going on after a kill -------------------------------------------------------------------


class Killed(BaseException):
    """What a kill is to the loop."""


def test_what_was_counted_before_a_kill_is_kept_and_the_rest_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: InProcess
) -> None:
    monkeypatch.setattr(exhaustion, "BATCH_ELEMENTS", 256)
    fmt = FORMATS["float8_e5m2"]
    plan = Exhaustion(load("max_shifted"), fmt, fmt, 2, BOTH)
    begun, measured = count(1), list[Range]()

    def stop_at_the_fifth(shard: Range, executor: Executor) -> dict[CellKey, Tally]:
        if next(begun) == 5:
            raise Killed
        return plan.measure(shard, executor)

    def counted(shard: Range, executor: Executor) -> dict[CellKey, Tally]:
        measured.append(shard)
        return plan.measure(shard, executor)

    def ledger() -> Ledger:
        return open_ledger(tmp_path, plan.identity(), plan.cells)

    with ledger() as first, pytest.raises(Killed):
        deal(plan.shards(), Threads(stop_at_the_fifth, InProcess(), 1), first, lambda *_: None)
    with ledger() as second:
        kept = second.finished()
        deal(plan.shards(), Threads(counted, here, 2), second, lambda *_: None)
        [(_, tally)] = second.tallies()
    assert 0 < len(kept) < len(list(plan.shards()))
    assert len(measured) == len(list(plan.shards())) - len(kept)
    assert tally == merge([everything(plan, here)])


# The command -----------------------------------------------------------------------------


def test_the_command_proves_and_its_witnesses_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["exhaust", "max_shifted", "--format", "float8_e5m2", "--length", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["proved"]
    assert document["statement"].startswith("proved over 30628 rows: every unordered float8_e5m2 pair")
    assert "checked bitwise" in document["assumed"]
    assert document["figures"]["rows"] == 30_628
    witness = next(w for w in document["witnesses"] if w["kind"] == "max_ulp")
    assert witness["score"] == document["figures"]["max_ulp"]
    assert cli.run(["replay", f"latest#{witness['id']}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same_bits"]


def test_an_interrupted_proof_is_not_reported_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    measure, begun = Exhaustion.measure, count()

    def interrupted(plan: Exhaustion, shard: Range, executor: Executor) -> dict[CellKey, Tally]:
        if next(begun) == 5:
            raise KeyboardInterrupt
        return measure(plan, shard, executor)

    monkeypatch.setattr(Exhaustion, "measure", interrupted)
    arguments = ["exhaust", "max_shifted", "--format", "float8_e5m2", "--length", "3", "--jobs", "1"]
    assert cli.run([*arguments, "--in-process", "--out", "run"]) == 130
    capsys.readouterr()
    assert cli.run(["report", "run"]) == 0
    out = capsys.readouterr().out
    assert "Incomplete: " in out
    assert "exhaustively" not in out
    assert json.loads(Path("run/summary.json").read_text())["incomplete"]["shards"] > 0


def test_all_orders_assume_nothing_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["exhaust", "max_shifted", "--format", "float8_e5m2", "--length", "2", "--all-orders"]
    assert cli.run(arguments) == 0
    out = capsys.readouterr().out
    assert f"proved over {248**2} rows: every float8_e5m2 pair of finite numbers, -0 and +0 apart" in out
    assert "nothing is assumed of the candidate" in out
    assert "correctly rounded: " in out


BAD = """
import os, time
import numpy as np

def dying(x):
    if np.isin(x, [1.5, -3.25, 0.0]).any(): os._exit(3)
    return np.ones_like(x)

def hanging(x):
    if (x == 1.5).any(): time.sleep(3600)
    return np.ones_like(x)
"""


@pytest.mark.parametrize(
    ("function", "kind", "bad"),
    [
        ("dying", "crashed", {"0000", "3e00", "c280"}),
        ("hanging", "timed_out", {"3e00"}),
    ],
)
def test_each_row_that_dies_or_hangs_is_named_and_all_others_are_proved(
    function: str,
    kind: str,
    bad: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(BAD)
    arguments = ["exhaust", f"mine.py:{function}", "--format", "float16", "--length", "1"]
    assert cli.run([*arguments, "--timeout", "0.3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    told = f"not proved: {len(bad)} of 63487 rows brought no outputs ({len(bad)} {kind.replace('_', ' ')})"
    assert document["statement"].startswith(told)
    assert document["figures"]["completed_rows"] == 63_487 - len(bad)
    assert document["figures"]["correctly_rounded"] == 1
    assert document["figures"]["faults"] == len(bad)
    faulty = {w["x"]: w["id"] for w in document["witnesses"] if w["kind"] == kind}
    assert set(faulty) == bad
    lines = [json.loads(line) for line in Path(document["run"], "witnesses.jsonl").read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == sorted({line["id"] for line in lines})
    assert set(faulty.values()) <= {line["id"] for line in lines}


def test_a_row_that_hangs_is_called_once_for_symmetries_estimate_and_proof() -> None:
    """A model of an executor that can tell which rows hang, and counts how often each is called."""
    fmt, called = FORMATS["float8_e5m2"], Counter[tuple[float, ...]]()

    class Counted(InProcess):
        def run(self, *arguments: Any, **_: Any) -> Outcome:
            x = arguments[1]
            hangs = (fmt.to_float64(x) == [1.0, 1.0]).all(axis=1)
            called.update(map(tuple, fmt.to_float64(x[hangs]).tolist()))
            y = np.full(x.shape, 0.5, dtype=fmt.dtype)
            faults = [Fault("timed_out", int(row), "no answer") for row in np.flatnonzero(hangs)]
            return Outcome(y, ~hangs, tuple(faults))

    with Counted() as each:
        executor = Remembering(each)
        candidate = load("max_shifted")
        symmetries = check_symmetries(candidate, fmt, fmt, 2, executor)
        plan = Exhaustion(candidate, fmt, fmt, 2, symmetries)
        plan.seconds_a_row(executor)
        tallies = [tally for shard in plan.shards() for tally in plan.measure(shard, executor).values()]
        row = fmt.from_float64(np.array([[-3.0, 1.5], [1.0, 1.0], [1.5, -3.0]]))
        alone = executor.run("max_shifted", row[1:2], fmt)
        again = executor.run("max_shifted", row, fmt)
    assert called == {(1.0, 1.0): 1}
    assert merge(tallies).faults == {"timed_out": 1}
    assert merge(tallies).completed == plan.enumeration.rows - 1
    assert (alone.outputs, alone.faults) == (None, (Fault("timed_out", 0, "no answer"),))
    assert again.completed.tolist() == [True, False, True]
    assert again.faults == (Fault("timed_out", 1, "no answer"),)


@pytest.mark.parametrize("bad", [{2.0}, {-3.0, 0.5, 1.0, 1.25, 20.0}, {k / 64 for k in range(1, 9)}])
def test_rows_given_up_for_the_sake_of_others_are_called_again(bad: set[float]) -> None:
    """A model of an executor that names two rows that fail, and completes no other row beyond them."""

    class Weary(InProcess):
        calls = 0

        def run(self, *arguments: Any, **_: Any) -> Outcome:
            self.calls += 1
            x = arguments[1]
            culprits = [row for row, value in enumerate(x[:, 0].tolist()) if value in bad]
            completed = np.arange(len(x)) < (culprits[2] if len(culprits) > 2 else len(x))
            completed[culprits] = False
            faults = tuple(Fault("crashed", row, "no") for row in culprits[:2])
            return Outcome(np.ones_like(x), completed, (*faults, Fault("crashed", None, "further rows")))

    fmt = FORMATS["float8_e5m2"]
    plan = Exhaustion(load("max_shifted"), fmt, fmt, 1, Symmetries(False, one_zero=True))
    x = fmt.from_bits(plan.enumeration.encodings(0, plan.enumeration.rows))
    weary = Weary()
    [tally] = plan.measure(next(plan.shards()), weary).values()
    expected = [value for value in fmt.to_float64(x)[:, 0].tolist() if value in bad]
    found = [
        float(fmt.to_float64(fmt.from_bits(np.uint8([int(w.x, 16)])))[0]) for w in tally.witnesses if w.x
    ]
    assert tally.rows - tally.completed == len(expected)
    assert [v for v in found if v in bad] == expected
    assert weary.calls <= len(expected) // 2 + 1


def test_rows_that_bring_no_outputs_are_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import numpy as np\n"
        "def softmax(x):\n"
        "    if (x == 1).any(): raise ValueError('not one')\n"
        "    return np.ones_like(x)\n"
    )
    arguments = ["exhaust", "mine.py:softmax", "--format", "float8_e5m2", "--length", "1", "--json"]
    assert cli.run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert not document["proved"]
    assert document["statement"].startswith("not proved: 1 of 247 rows brought no outputs")
    assert document["figures"]["faults"] == 1


def test_without_a_format_one_is_exhausted_that_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["exhaust", "max_shifted", "--in-process", "--policy", "subnormals=flush", "--json"]
    assert cli.run([*arguments, "--length", "1"]) == 0
    assert "every finite float16 number" in json.loads(capsys.readouterr().out)["statement"]
    Path("pyproject.toml").write_text('[tool.harness]\nformats = ["float32", "float8_e5m2"]\n')
    assert cli.run([*arguments, "--length", "1"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "every finite float8_e5m2 number" in document["statement"]
    with Ledger.open(Path(document["run"]) / "run.sqlite") as ledger:
        assert "subnormals=flush" in ledger.settings()["policies"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--policy", "subnormals=drown"), "subnormals=drown"),
        (("--format", "float16", "--length", "3"), "too many; give --yes"),
        (("--format", "float32", "--length", "2"), "beyond any machine"),
        (("--format", "float64", "--length", "1"), "beyond any machine"),
        (
            (
                "--format",
                "float12",
            ),
            "float12",
        ),
        (("--length", "0"), "length 0"),
    ],
)
def test_what_is_too_large_or_unknown_is_refused_in_one_line(
    arguments: tuple[str, ...],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["exhaust", "max_shifted", "--in-process", *arguments]) == UsageError.exit_code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert named in last
    assert not Path("harness-out").exists()


@pytest.mark.parametrize("command", ["search", "exhaust"])
def test_a_format_that_a_silent_candidate_refuses_is_one_line_and_leaves_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "def f(x):\n    if x.dtype.itemsize < 4:\n        raise TypeError('wide alone')\n    return x\n"
    )
    assert cli.run([command, "mine.py:f", "--format", "float8_e5m2", "--length", "2"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: candidate ")
    assert "does not take float8_e5m2 (TypeError: wide alone); give another --format" in said
    assert not (tmp_path / "harness-out").exists()
