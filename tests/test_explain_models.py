"""How causes are told apart, how calls are limited, and which part of the self-test is run."""

import numpy as np
import pytest

from harness import cli
from harness.explanation import explanation_of
from harness.explanation.allowance import Counted, Spent, calls_of_slow
from harness.explanation.cause import Cause, best_of
from harness.explanation.models.model import Model
from harness.explanation.orders import clades, known_orders
from harness.explanation.sums import order_of
from harness.explanation.violations import Shown
from harness.selftest.planted import sound
from harness.subject.candidates import from_function
from harness.subject.execution import InProcess
from reference.formats import FORMATS
from tests.explaining import asking, subject_of

X = np.array([[0.0, -1.0], [0.0, -2.0], [0.0, -3.0], [0.0, -4.0]])


def shown(y):
    whole = np.ones(len(X), dtype=bool)
    return Shown(X, y, y, np.zeros_like(y), whole, {}, whole)


def found(code, accounts, y):
    return Cause(code, "", accounts, 4), Model(code, "", lambda x: y[: len(x)])


def test_of_causes_that_account_for_as_much_the_one_with_the_bits_is_named():
    y = np.arange(8.0).reshape(4, 2)
    near = y + 1e-9
    assert (
        best_of([found("sum.omits", 4, near), found("exp.inaccurate", 4, y)], [shown(y)]).code
        == "exp.inaccurate"
    )
    assert best_of([found("sum.omits", 4, near), found("exp.inaccurate", 4, near)], [shown(y)]) is None
    assert (
        best_of([found("sum.omits", 4, near), found("exp.inaccurate", 3, y)], [shown(y)]).code == "sum.omits"
    )
    assert best_of([], [shown(y)]) is None


def test_of_ways_to_say_the_same_the_first_is_named():
    y = np.ones((4, 2))
    rivals = [found("exp.cut", 4, y), found("output.flushed", 4, y)]
    assert best_of(rivals, [shown(y)]).code == "output.flushed"


@pytest.mark.parametrize("length", [2, 5, 33, 130])
def test_every_known_order_adds_every_entry_once(length):
    for order in known_orders():
        tree = clades(order, length)
        assert len(tree) == length - 1, order.name
        assert (1 << length) - 1 in tree, order.name


def in_warps(x):
    """128 lanes, folded by 32 first, then the four sums one by one."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    filled = np.concatenate([e, np.zeros((len(e), -e.shape[1] % 128), e.dtype)], axis=1)
    lanes = np.cumsum(filled.reshape(len(e), -1, 128), axis=1)[:, -1].reshape(len(e), 4, 32)
    while lanes.shape[2] > 1:
        half = lanes.shape[2] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return e / np.cumsum(lanes[..., 0], axis=1)[:, -1:]


def test_lanes_of_warps_are_told_from_other_lanes_by_long_rows():
    seen = asking(in_warps, lambda questions: order_of(questions, 24))
    assert seen.order is not None
    assert seen.order.name == "128 lanes, empty ones 0, folded in warps of 32, which are added one by one"
    assert seen.agreed == seen.asked > 0


# Calls -------------------------------------------------------------------------------------


def test_calls_beyond_the_limit_are_not_made():
    candidate = from_function(sound, "mine")
    with InProcess(load=lambda _: candidate) as executor:
        counted = Counted(executor)
        subject = subject_of(candidate, counted)
        x = FORMATS["float32"].from_float64(X)
        subject.run(x)
        subject.run(x, "often")
        assert counted.calls == 101
        counted.limit(1)
        subject.run(x)
        with pytest.raises(Spent, match="do not show its parts"):
            subject.run(x)


def test_the_number_of_calls_of_a_slow_candidate_is_said_first(monkeypatch):
    monkeypatch.setattr("harness.explanation.questions.SLOW", 0.0)
    candidate = from_function(sound, "mine")
    lines, made = [], []
    with InProcess(load=lambda _: candidate) as executor:
        counted = Counted(executor)
        explanation = explanation_of(
            subject_of(candidate, counted),
            notify=lambda line: (lines.append(line), made.append(counted.calls)),
        )
    assert len(lines) == 1
    assert f"at most {calls_of_slow(0.0):,} calls follow" in lines[0]
    assert made[0] < 50
    assert counted.calls <= made[0] + calls_of_slow(0.0)
    assert explanation.left_out


# The self-test -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--mechanism", "sums"], "mechanism 'sums': unknown; did you mean 'sum'?"),
        (
            ["--mechanism", "sum", "--format", "float8_e5m2"],
            "nothing is planted there; leave one of them out",
        ),
    ],
)
def test_a_part_that_is_not_there_is_refused(given, line, capsys):
    assert cli.run(["selftest", *given]) == 2
    assert line in capsys.readouterr().err


def test_the_defects_of_one_part_are_planted_alone():
    from harness.commands.selftest import _selected

    some = _selected(0, ["float64"], ["sum"], quick=False)
    assert {suspect.format.name for suspect in some} == {"float64"}
    assert {suspect.defect.mechanism for suspect in some} == {"sum"}
    honest = _selected(0, [], ["honest"], quick=True)
    assert honest
    assert not any(hasattr(suspect, "defect") for suspect in honest)
