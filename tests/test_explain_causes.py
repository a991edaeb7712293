"""`harness explain`: the cause of what fails, held against the defects that `selftest` plants."""

import json
import re

import pytest

from harness import cli
from harness.explanation import CODES, explanation_of
from harness.selftest.controls import controls
from harness.selftest.suite import planted
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from reference.ops import SOFTMAX

CAUSES = {
    "without the tail": "sum.omits",
    "tail counted twice": "sum.repeats",
    "padding counted": "sum.padded",
    "saturating": "sum.stagnates",
    "bfloat16 accumulator": "sum.accumulator",
    "block without rescale": "sum.not_rescaled",
    "maximum without the tail": "max.omits",
    "maximum of magnitudes": "shift.not_max",
    "shift by a constant": "shift.constant",
    "difference in float16": "shift.narrowed",
    "a base of two": "exp.wrong_base",
    "arguments clamped": "exp.clamped",
    "cut off": "exp.cut",
    "subnormals flushed": "output.flushed",
    "epsilon in the denominator": "divide.epsilon",
    "returned through bfloat16": "output.narrowed",
    "taken through float16": "input.narrowed",
    "finite sentinel": "mask.sentinel",
    "all masked is uniform": "policy.masked",
    "maximum of the whole tensor": "depends.batch",
}
"""Defects by name, and their causes."""

UNEXPLAINED = (
    "zeros",
    "uniform",
    "ones",
    "one hot",
    "right at first",
    "softmin",
    "noise",
    "wrong now and then",
)
"""Defects that are no part of a softmax, or that no table of parts tells."""


def explained(suspect):
    candidate = suspect.candidate()
    with InProcess(load=lambda _: candidate) as executor:
        subject = Subject(candidate, suspect.format, suspect.format, executor)
        return explanation_of(subject, tier=suspect.tier)


def instances(names):
    of_float32 = [i for i in planted(0) if i.format.name == "float32"]
    return [next(i for i in of_float32 if i.defect.name == name) for name in names]


@pytest.mark.parametrize("instance", instances(CAUSES), ids=lambda i: i.name)
def test_the_cause_of_a_planted_defect_is_named(instance):
    explanation = explained(instance)
    assert explanation.cause is not None, explanation.line()
    assert explanation.cause.code == CAUSES[instance.defect.name], explanation.line()
    assert explanation.cause.accounts >= 0.9 * explanation.cause.violations > 0


@pytest.mark.parametrize("instance", instances(UNEXPLAINED), ids=lambda i: i.name)
def test_what_no_part_accounts_for_is_left_unexplained(instance):
    explanation = explained(instance)
    assert explanation.violations
    assert explanation.cause is None, explanation.line()


@pytest.mark.slow
def test_no_cause_is_ever_given_of_an_honest_softmax():
    for control in controls():
        if control.candidate().op is SOFTMAX and control.format.name in ("float16", "float32", "float64"):
            explanation = explained(control)
            assert explanation.cause is None, f"{control.name}: {explanation.line()}"


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


def test_a_sentinel_is_named_by_its_number_in_a_wide_format():
    suspects = [i for i in planted(0) if i.defect.name == "finite sentinel" and i.format.name == "float64"]
    explanation = explained(suspects[0])
    assert explanation.cause is not None
    assert f"about {-suspects[0].values[0]:g} stands for -inf" in explanation.cause.sentence


def test_every_code_names_a_part_and_has_a_sentence():
    parts = {code.partition(".")[0] for code in CODES}
    assert parts <= {"shift", "max", "exp", "sum", "divide", "output", "input", "mask", "depends", "policy"}
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
            "candidate 'mine.py:softmax': IndexError: list index out of range; its failures took",
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


def test_nothing_is_said_of_the_shift_of_what_does_not_depend_on_its_row(tmp_path, monkeypatch, capsys):
    """Outputs that are always 0 are the same at every common offset, whatever is subtracted."""
    (tmp_path / "mine.py").write_text("def softmax(x):\n    return x * 0\n")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["explain", "mine.py:softmax", "--in-process", "--json"]) == 0
    parts = {part["part"]: part["state"] for part in json.loads(capsys.readouterr().out)["parts"]}
    assert parts["shift"] == "contradictory"
    assert (parts["exp"], parts["sum"], parts["divide"]) == ("not visible",) * 3
