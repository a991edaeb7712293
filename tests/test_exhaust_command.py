"""`exhaust` proves what it says it proves, and says what it does not.

Evidence: counts that are known beforehand, candidates that die or hang at known rows, models of an executor.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import cli
from harness.campaign.deal import Measured
from harness.exhaust import (
    Exhaustion,
    Range,
    Remembering,
    Symmetries,
    check_symmetries,
    exhaustion,
)
from harness.subject.candidates import load
from harness.subject.execution import Executor, Fault, InProcess, Outcome
from harness.subject.subject import Subject
from harness.terminal.exceptions import UsageError
from reference.formats import FORMATS
from reports.record.ledger import Ledger
from reports.record.tally import merge


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
    monkeypatch.setattr(exhaustion, "BATCH_ELEMENTS", 2048)
    measure, begun = Exhaustion.measure, count()

    def interrupted(plan: Exhaustion, shard: Range, executor: Executor) -> Measured:
        if next(begun) == 1:
            raise KeyboardInterrupt
        return measure(plan, shard, executor)

    monkeypatch.setattr(Exhaustion, "measure", interrupted)
    arguments = ["exhaust", "max_shifted", "--format", "float8_e5m2", "--length", "2", "--jobs", "1"]
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
        pytest.param("hanging", "timed_out", {"3e00"}, marks=pytest.mark.slow),
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
    told = f"not proved: {len(bad)} of 63487 rows gave no output ({len(bad)} {kind.replace('_', ' ')})"
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
        subject = Subject(candidate, fmt, fmt, executor)
        plan = Exhaustion(subject, 2, check_symmetries(subject, 2))
        plan.seconds_a_row()
        tallies = [
            tally for shard in plan.shards() for tally in plan.measure(shard, executor).tallies.values()
        ]
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
    weary = Weary()
    subject = Subject(load("max_shifted"), fmt, fmt, weary)
    plan = Exhaustion(subject, 1, Symmetries(False, one_zero=True))
    x = fmt.from_bits(plan.enumeration.encodings(0, plan.enumeration.rows))
    [tally] = plan.measure(next(plan.shards()), weary).tallies.values()
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
    assert document["statement"].startswith("not proved: 1 of 247 rows gave no output")
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
        (("--format", "float16", "--length", "4"), "too many; give --yes"),
        (("--bracket", "--all-orders"), "--bracket with --all-orders"),
        (("--tier", "standard", "--through-shift"), "--tier with --through-shift"),
        (("--bracket", "--length", "1"), "--bracket with --length 1"),
        (("--tier", "good"), "tier 'good'"),
        (("--tier", "faithful"), "tier faithful"),
        (("--format", "float32", "--length", "2", "--all-orders"), "beyond any machine"),
        (("--through-shift", "--length", "6"), "--through-shift with --length 6"),
        (("--through-shift", "--all-orders"), "--through-shift with --all-orders"),
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
