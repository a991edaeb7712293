"""A bracket holds the proven maximum, and a row that breaks what it assumes refuses it.

Evidence: proofs over all rows of the 8-bit formats, and candidates with planted faults.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness import cli
from harness.exhaust import NONE, Bracket, Exhaustion, NoBracket, bracket
from harness.subject.candidates import Candidate, load
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from harness.terminal.exceptions import NoVerdict, UsageError
from reference.formats import FORMATS
from reference.tiers import TIERS
from reports.record.tally import Tally, merge
from tests.longer import few_of
from tests.more_formats import EIGHT

Array = NDArray[Any]


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bracket, "EVALUATIONS", 3000)
    monkeypatch.setattr(bracket, "_PROBED", 600)


def built_in(name: str, fmt: str) -> Subject:
    candidate = load(name)
    return Subject(candidate, FORMATS[fmt], FORMATS[fmt], InProcess(load=lambda _: candidate))


def of(call: Callable[[Array], Array], fmt: str) -> Subject:
    candidate = Candidate(name="f", spec="f", call=call)
    return Subject(candidate, FORMATS[fmt], FORMATS[fmt], InProcess(load=lambda _: candidate))


def measured(plan: Bracket | Exhaustion) -> Tally:
    return merge(plan.measure(shard, plan.subject.executor).tallies[plan.cell] for shard in plan.shards())


@pytest.mark.parametrize("name", few_of(EIGHT, 2))
def test_holds_the_proven_maximum_of_pairs(name: str) -> None:
    subject = built_in("max_shifted", name)
    proven = measured(Exhaustion(subject, 2, NONE)).max_ulp
    plan = Bracket.checked(subject, 2, None)
    tally = measured(plan)
    below, above = plan.ends(tally)
    assert plan.refuted_by(tally) is None
    assert proven is not None
    assert below <= proven <= above
    assert below >= 0.9 * proven


def shifted(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def drops_small(x: Array) -> Array:
    """Outputs below 2^-40 are 0."""
    y = shifted(x)
    return np.where(y < 2.0**-40, 0, y).astype(x.dtype)


def loses_a_row(x: Array) -> Array:
    """NaN where the entries are far apart."""
    y = shifted(x)
    y[x.max(axis=-1) - x.min(axis=-1) > np.float32(3e5)] = np.nan
    return y


@pytest.mark.parametrize("faulty", [drops_small, loses_a_row])
def test_a_row_that_breaks_the_bound_refutes_it(faulty: Callable[[Array], Array]) -> None:
    plan = Bracket.checked(of(faulty, "float32"), 5, TIERS["standard"])
    found = plan.refuted_by(measured(plan))
    assert found is not None
    assert found[1] is not None, "the row is shown"


def test_a_flush_that_the_policy_excuses_refutes_nothing() -> None:
    def flushes(x: Array) -> Array:
        y = shifted(x)
        return np.where(y < np.float32(2.0**-127), 0, y).astype(x.dtype)

    subject = of(flushes, "float32")
    excused = replace(subject, candidate=subject.candidate.under(["subnormals=flush"]))
    for taken, is_refuted in ((subject, True), (excused, False)):
        plan = Bracket.checked(taken, 5, TIERS["standard"])
        tally = measured(plan)
        assert (plan.refuted_by(tally) is not None) == is_refuted
        assert ("flushes to zero" in plan.assumed) != is_refuted
        assert is_refuted or plan.ends(tally)[0] < plan.ends(tally)[1]


def test_rows_without_outputs_are_told() -> None:
    def raises(x: Array) -> Array:
        if (np.abs(x) > 1e38).any():
            raise ValueError("too large")
        return shifted(x)

    plan = Bracket.checked(of(raises, "float32"), 5, TIERS["standard"])
    tally = measured(plan)
    assert tally.completed < tally.rows
    assert f"{tally.rows - tally.completed} more brought no outputs (" in plan.grounds(tally)


def test_an_honest_candidate_is_held_against_the_tier_that_is_named() -> None:
    for tier in ("standard", "fast"):
        plan = Bracket.checked(of(shifted, "float32"), 5, TIERS[tier])
        tally = measured(plan)
        ratio = plan.assumption.greatest_ratio(tally)
        assert plan.refuted_by(tally) is None
        assert ratio is not None
        assert 0 < ratio <= 1
        assert tier in plan.assumed


def test_without_a_declared_algorithm_the_tier_is_standard() -> None:
    assert Bracket.checked(of(shifted, "float64"), 2, None).assumption.tier is TIERS["standard"]


@pytest.mark.parametrize("tier", [None, "rounded", "faithful"])
def test_what_has_no_bound_has_no_bracket(tier: str | None) -> None:
    with pytest.raises(NoBracket):
        Bracket.checked(built_in("naive", "float32"), 2, None if tier is None else TIERS[tier])


def test_the_same_searches_give_the_same_bracket() -> None:
    subject = built_in("max_shifted", "bfloat16")
    first, second = (measured(Bracket.checked(subject, 8, None)) for _ in range(2))
    assert first.rows_digest() == second.rows_digest()
    assert first.max_ulp == second.max_ulp


# The command ---------------------------------------------------------------------------------


def test_a_format_beyond_proof_gets_a_bracket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["exhaust", "max_shifted", "--format", "float32", "--length", "5", "--in-process", "--json"]
    assert cli.run(command) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    ends = document["bracket"]
    assert document["proved"] is False
    assert ends["below"] == document["figures"]["max_ulp"] <= ends["above"]
    assert ends["assumed"] in document["assumed"]
    assert "3000 rows" in said.err, "the cost is said before it starts"


def test_the_command_refuses_a_bracket_with_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["exhaust", "naive", "--format", "float32", "--length", "5", "--in-process"]
    assert cli.run([*command, "--tier", "standard"]) == NoVerdict.exit_code
    [last] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "no bracket" in last
    assert "x = [" in last
    assert cli.run(command) == UsageError.exit_code
    assert "--tier" in capsys.readouterr().err


def test_an_interrupted_bracket_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [
        "exhaust",
        "max_shifted",
        "--format",
        "float32",
        "--length",
        "5",
        "--in-process",
        "--jobs",
        "1",
    ]
    assert cli.run([*command, "--out", "whole", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    measure = Bracket.measure
    monkeypatch.setattr(
        Bracket, "measure", lambda plan, shard, executor: _stop_at(1, measure, plan, shard, executor)
    )
    assert cli.run([*command, "--out", "part"]) == 130
    monkeypatch.setattr(Bracket, "measure", measure)
    capsys.readouterr()
    assert cli.run([*command, "--out", "part", "--resume", "--json"]) == 0
    part = json.loads(capsys.readouterr().out)
    assert part["bracket"] == whole["bracket"]
    assert part["figures"] == whole["figures"]


def _stop_at(number: int, measure: Any, plan: Bracket, shard: Any, executor: Any) -> Any:
    if shard.number == number:
        raise KeyboardInterrupt
    return measure(plan, shard, executor)
