"""`harness explain`: the cause of what fails, held against the defects that `selftest` plants."""

import json
import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import pytest

from harness import cli
from harness.explanation import CODES
from harness.explanation.causes import Explanation
from harness.selftest.controls import Control
from harness.selftest.defects import DEFECTS
from harness.selftest.explained import named, scores, texts
from harness.selftest.suite import planted, suspects_of
from reference.ops import SOFTMAX
from tests import explaining
from tests.explaining import instance

NAMED = (
    "without the tail",
    "shift by a constant",
    "bit trick",
    "subnormals flushed",
    "finite sentinel",
    "right at first",
)
"""Defects whose causes lie in different parts."""

UNEXPLAINED = ("uniform", "softmin")
"""Defects that are no part of a softmax."""


@lru_cache
def explained(suspect):
    """Return its explanation, which depends on it alone and which several tests look at."""
    return explaining.explained(suspect)


@pytest.mark.parametrize("name", NAMED)
def test_the_cause_of_a_planted_defect_is_named(name):
    suspect = instance(name)
    explanation = explained(suspect)
    assert explanation.cause is not None, explanation.line()
    assert explanation.cause.code in suspect.defect.causes, explanation.line()
    assert explanation.cause.accounts >= 0.9 * explanation.cause.violations > 0


@pytest.mark.parametrize("name", UNEXPLAINED)
def test_what_no_part_accounts_for_is_left_unexplained(name):
    explanation = explained(instance(name))
    assert explanation.violations
    assert explanation.cause is None, explanation.line()


def test_what_accepts_a_class_of_violations_is_said():
    explanation = explained(instance("subnormals flushed"))
    assert explanation.line().endswith("; `--policy subnormals=flush` allows that"), explanation.line()
    explanation = explained(instance("all masked is uniform"))
    assert explanation.cause.code == "policy.masked"
    assert explanation.line().endswith("; `--policy masked_row=any` allows that"), explanation.line()
    zero_below = replace(instance("all masked is zero when short"), values=(1 << 20,))
    explanation = explained(zero_below)
    assert explanation.line().endswith("; `--policy masked_row=zero` allows that"), explanation.line()


PART = 5
"""One suspect in so many is asked in each change, and all of them in full."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("format", sorted({i.format.name for i in planted(0)}))
def test_planted_defects_are_named_rightly_in_full(format):
    hold_to_causes([s for s in suspects_of(0) if s.format.name == format], format)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("format", ["float16", "bfloat16", "float32", "float64"])
def test_one_in_five_planted_defects_is_named_rightly(format):
    hold_to_causes([s for s in suspects_of(0) if s.format.name == format][::PART], format)


def hold_to_causes(suspects, format):
    """Of a hundred at most one is named wrongly and at least 95 rightly; nothing honest is accused."""
    found = [(s.name, format, isinstance(s, Control), n) for s in suspects if (n := named(s)) is not None]
    score = scores(each[1:] for each in found)[format]
    told = "\n".join(texts(found))
    assert score.accused == 0, told
    assert score.wrong <= 0.01 * (score.planted + score.others), told
    assert score.right >= 0.95 * score.planted, told


def test_every_defect_of_a_softmax_has_codes_that_there_are():
    of_softmax = [d for d in DEFECTS if d.op == SOFTMAX.name]
    assert {code for d in of_softmax for code in d.causes} <= set(CODES)
    assert sum(bool(d.causes) for d in of_softmax) > 0.85 * len(of_softmax)
    assert not any(d.causes for d in DEFECTS if d.op != SOFTMAX.name)


def test_the_command_says_the_cause_and_what_it_accounts_for(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def softmax(x):\n"
        "    e = np.exp(x - x.max(axis=-1, keepdims=True))\n"
        "    return e / e[..., : max(1, x.shape[-1] - 1)].sum(axis=-1, keepdims=True)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert cli.run(["explain", "mine.py:softmax", "--in-process"]) == 0
    told = capsys.readouterr().out
    found = re.search(
        r"^sum.omits: left out of the sum: the last entry; accounts for (\d+) of (\d+)", told, re.MULTILINE
    )
    assert found, told
    assert found[1] == found[2] != "0"
    assert cli.run(["explain", "mine.py:softmax", "--in-process", "--json"]) == 0
    cause = json.loads(capsys.readouterr().out)["cause"]
    assert cause["code"] == "sum.omits"


@pytest.mark.parametrize("fmt", ["float16", "float64"])
def test_a_softmax_that_loses_numbers_is_explained_without_a_warning(tmp_path, monkeypatch, capsys, fmt):
    (tmp_path / "mine.py").write_text("def softmax(x):\n    return x * 0 + float('inf')\n")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["explain", "mine.py:softmax", "--in-process", f"--format={fmt}"]) == 0
    told = capsys.readouterr()
    assert "\nunexplained: " in told.out
    assert "Warning" not in told.err


def test_every_code_names_a_part_and_has_a_sentence():
    parts = {code.partition(".")[0] for code in CODES}
    known = {"shift", "max", "exp", "sum", "divide", "output", "input", "mask", "axis", "strides", "depends"}
    assert parts == known | {"policy"}
    assert all(CODES.values())


@pytest.mark.parametrize(
    ("body", "options", "code", "line"),
    [
        (
            "x",
            ("--tier", "wide", "--format", "float64"),
            2,
            "--tier wide: it says nothing of float64; give one",
        ),
        ("x", ("--tier", "fastest"), 2, "tier 'fastest': unknown; "),
        ("x", ("--tier", "fst"), 2, "tier 'fst': unknown; did you mean 'fast'?"),
        ("x", ("--length", "1"), 2, "--length 1: give a number from 2 to"),
        (
            "[][0]",
            (),
            3,
            "candidate 'mine.py:softmax': IndexError: list index out of range; ",
        ),
    ],
)
def test_a_mistake_and_a_candidate_that_raises_are_one_line(
    tmp_path, monkeypatch, capsys, body, options, code, line
):
    (tmp_path / "mine.py").write_text(f"def softmax(x):\n    return {body}\n")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["explain", "mine.py:softmax", "--in-process", *options]) == code
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith(f"error: {line}"), told
    assert code != 3 or told[-1].endswith(" went into failing calls"), told


def test_a_candidate_without_outputs_is_not_called_sound() -> None:
    told = Explanation(cast("Any", None), "fast", violations=0, rows=0, cause=None).line()
    assert told == "it gave no output for the rows that explain asks"


def test_nothing_is_said_of_the_shift_of_what_does_not_depend_on_its_row(tmp_path, monkeypatch, capsys):
    """Outputs that are always 0 are the same at every common offset, whatever is subtracted."""
    (tmp_path / "mine.py").write_text("def softmax(x):\n    return x * 0\n")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["explain", "mine.py:softmax", "--in-process", "--json"]) == 0
    parts = {part["part"]: part["state"] for part in json.loads(capsys.readouterr().out)["parts"]}
    assert parts["shift"] == "contradictory"
    assert (parts["exp"], parts["sum"], parts["divide"]) == ("not visible",) * 3
