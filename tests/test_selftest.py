"""The self-test: what is planted is caught, what is honest passes, protocols are as they are."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from harness import cli
from harness.campaign.settings import BRIEF, USUAL_FORMATS, Effort
from harness.checks import check_named, run_check
from harness.commands import selftest as command
from harness.selftest import suite
from harness.selftest.controls import controls
from harness.selftest.defects import (
    DEFECTS,
    constants,
    division,
    exponentials,
    layout,
    shift,
    sizes,
    state,
    sums,
)
from harness.selftest.matrix import Matrix, Trial
from harness.selftest.matrix_text import text
from harness.selftest.planted import Defect, Instance, of_rows, sound
from harness.selftest.protocols import PROTOCOLS
from harness.selftest.suite import planted, run_suite, suspects_of
from harness.selftest.trial import Suspect, first_failures
from harness.subject.candidates import from_function
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from reference.formats import FORMATS
from reports.selftest import GATE, matrix_rows
from tests.longer import sample

BY_NAME = {protocol.name: protocol for protocol in PROTOCOLS}


def candidate_of(function, *values):
    return from_function(of_rows(function)(*values), function.__name__)


# What is planted ---------------------------------------------------------------------------


def test_the_suite_is_as_large_as_it_says():
    instances = planted(0)
    assert len({defect.name for defect in DEFECTS}) >= 60
    assert len(instances) >= 300
    assert len({defect.mechanism for defect in DEFECTS}) >= 9
    assert {i.format.name for i in instances} == set(USUAL_FORMATS)
    assert len(controls()) >= 15
    assert len({suspect.name for suspect in suspects_of(0)}) == len(suspects_of(0))


def test_every_defect_says_where_such_a_thing_was_seen():
    assert [d.name for d in DEFECTS if len(d.seen) < 8] == []


def test_constants_depend_on_the_seed_and_on_nothing_else():
    names = [[i.name for i in planted(seed)] for seed in (0, 0, 1)]
    assert names[0] == names[1]
    assert len(set(names[0]) - set(names[2])) > 100


def test_a_fresh_candidate_remembers_nothing_of_another():
    (instance,) = Defect(
        "state", state.right_at_first, state.right_at_first, lambda _: (1,), ("float32",)
    ).instances(0)
    x = np.float32([[0, 1, 2]])
    first, second = instance.candidate(), instance.candidate()
    assert first(x).tolist() != first(x).tolist()
    assert second(x).tolist() == instance.candidate()(x).tolist()


# The gate catches it -----------------------------------------------------------------------


def held(*pairs, fmt="float32", tier="fast"):
    """The verdicts on functions of rows, or makers, by name."""
    suspects = []
    for make, values, first in pairs:
        defect = Defect("any", make, of_rows(make) if first is None else first, lambda _, v=values: v, (fmt,))
        (instance,) = defect.instances(0)
        suspects.append(Suspect(instance.name, instance.candidate, (tier,), checks_first=first is not None))
    return suspects, first_failures(suspects, FORMATS[fmt])


def test_one_defect_of_each_part_is_caught():
    suspects, failures = held(
        (shift.maximum_from_zero, (), None),
        (shift.maximum_rounded_anew, (2,), None),
        (sums.without_the_tail, (16,), None),
        (sums.block_without_rescale, (48,), None),
        (exponentials.arguments_clamped, (88,), None),
        (exponentials.eight_ulps, (sample(64, 8),), None),
        (division.approximate_reciprocal, (12,), None),
        (constants.noise, (5,), None),
    )
    assert {s.name for s in suspects} == set(failures)


@pytest.mark.parametrize(
    ("function", "values", "metric"),
    [
        (layout.stale_row, (30_000,), "contract large_batch"),
        (layout.rows_beyond_a_limit, (65_535,), "contract large_batch"),
        (layout.stale_row, (100,), "contract batch"),
        (layout.square_batch_transposed, (), "contract batch"),
        (layout.only_the_first_of_a_stack, (), "contract strides"),
    ],
)
def test_rows_of_batches_are_held_against_rows_alone(function, values, metric):
    suspects, failures = held((function, values, of_rows(function)))
    assert failures[suspects[0].name].metric == metric


@pytest.mark.parametrize(
    ("make", "values", "check"),
    [
        (state.output_used_again, (), "keeps"),
        (state.last_bit_now_and_then, (50,), "keeps"),
        (state.right_at_first, (30,), "keeps"),
        (state.overwrites_its_input, (), "unchanged"),
        (state.sum_in_random_order, (), "repeat"),
    ],
)
def test_calls_are_held_against_earlier_ones(make, values, check):
    candidate = from_function(make(*values))
    with InProcess(load=lambda _: candidate) as executor:
        subject = Subject(candidate, FORMATS["float32"], FORMATS["float32"], executor)
        result = run_check(check_named(check), subject)
    assert result.status == "violated"


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("negative axis miscounted", "contract axis"),
        ("row pitch ignored", "contract strides"),
        ("writes beyond its input", "contract placed"),
        ("axis of length over a block", "contract axis"),
    ],
)
def test_layout_is_looked_at_from_every_side(name, metric):
    instance = next(i for i in planted(0) if i.defect.name == name and i.format.name == "float32")
    suspect = Suspect(instance.name, instance.candidate, ("fast",), checks_first=True)
    assert first_failures([suspect], instance.format)[instance.name].metric == metric


@pytest.mark.parametrize("values", [(16, 14), (64, 37), (128, 13)])
def test_a_tail_of_one_particular_length_is_met(values):
    suspects, failures = held((state.wrong_at_one_residue, values, None))
    assert failures[suspects[0].name].regime is not None


FEW = Effort("few", (2, 33, 257), elements=1 << 10, least_rows=2, most_rows=32)
BRIEFER = replace(FEW, lengths=(1, 3, 33, 257), extent="brief")


@pytest.mark.slow
def test_suspects_judged_together_fare_as_each_alone():
    """Sound and broken ones of two tiers and two declarations, and one that raises."""
    fmt, broken = FORMATS["float16"], {f"{name} [float16]" for name in ("no shift", "nan swallowed", "zeros")}
    sound = {f"{name} [float16]" for name in ("one by one", "built-in max_shifted", "correctly rounded")}
    members = [suite._gated(s) for s in suspects_of(0) if s.name in broken | sound]

    def raising(x):
        raise ValueError("no")

    named = replace(from_function(raising), name="raising", spec="raising")
    members.append(Suspect("raising", lambda: named, ("fast",)))
    assert {member.name for member in members} == {*broken, *sound, "raising"}
    alone = {}
    for member in members:
        alone |= first_failures([member], fmt, effort=FEW)
    assert set(alone) == {*broken, "raising"}
    assert first_failures(members, fmt, effort=FEW) == alone


@pytest.mark.usefixtures("few_checks")
def test_who_is_near_is_not_shown_a_crowd():
    function, effort = sizes.rows_counted_anew_from_a_limit, Effort("few", (2,), 64, 2, 2, crowd=1 << 13)
    instance = Instance(Defect("size", function, of_rows(function)), FORMATS["float32"], (5_000,))
    far = Suspect(instance.name, instance.candidate, ("fast",))
    assert first_failures([far], instance.format, effort=effort)[instance.name].regime == "crowd"
    assert first_failures([replace(far, near=True)], instance.format, effort=effort) == {}


def test_a_quick_suite_shows_all_to_defects_of_reach_alone():
    gated = {s.name: suite._gated(s, quick=True) for s in planted(0)}
    far = {s.defect.mechanism for s in planted(0) if not gated[s.name].near}
    assert far == {"reach", "size"}
    assert not any(suite._gated(s).near for s in suspects_of(0))


# Honest ones pass --------------------------------------------------------------------------

LEAN = {"by the reciprocal [float32]", "correctly rounded [float8_e5m2]", "one format up [bfloat16]"}


@pytest.mark.usefixtures("few_checks")
@pytest.mark.parametrize("control", [c for c in controls() if c.name in LEAN], ids=lambda c: c.name)
def test_an_honest_one_passes_a_brief_gate(control):
    suspect = Suspect(control.name, control.candidate, control.tiers, strict=True)
    assert first_failures([suspect], control.format, effort=sample(BRIEFER, BRIEF)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS)
def test_defects_are_sound_but_for_the_defect(fmt):
    suspect = Suspect("sound", lambda: suite_named(candidate_of(sound)), ("standard",), strict=True)
    assert first_failures([suspect], FORMATS[fmt]) == {}


def suite_named(candidate):
    return replace(candidate, name="sound", spec="sound")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_suite():
    matrix = run_suite(suspects_of(0), jobs=2)
    assert matrix.exit_code == 0, text(matrix)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_other_constants_are_caught_as_well():
    matrix = run_suite(suspects_of(20, quick=True), 20, jobs=2)
    assert matrix.exit_code == 0, text(matrix)


# Protocols are emulated as they are --------------------------------------------------------

EXAMPLES = {
    # what each notices, and a defect that it lets by
    "allclose": (candidate_of(division.epsilon_in_the_denominator, 1), candidate_of(shift.no_shift)),
    "assert_close": (candidate_of(exponentials.power_of_two), candidate_of(shift.no_shift)),
    "node tests": (candidate_of(shift.no_shift), candidate_of(sums.of_the_first_entries, 5)),
    "3n + 3 ULP": (candidate_of(exponentials.bit_trick), candidate_of(division.approximate_reciprocal, 23)),
    "2 x baseline": (candidate_of(exponentials.bit_trick), candidate_of(shift.no_shift)),
    "atol 1e-2": (candidate_of(constants.ones), candidate_of(constants.uniform)),
}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_protocol_notices_one_defect_and_lets_another_by(name):
    noticed, missed = EXAMPLES[name]
    fmt = FORMATS["float32"]
    assert BY_NAME[name].notices(noticed, fmt) is True, noticed.name
    assert BY_NAME[name].notices(missed, fmt) is False, missed.name


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda p: p.name)
def test_a_protocol_accepts_the_correctly_rounded_result(protocol):
    right = next(c for c in controls() if c.title == "correctly rounded").make()
    for fmt in protocol.formats:
        if fmt in ("float16", "float32"):
            assert protocol.notices(right, FORMATS[fmt]) is False, fmt


def test_tolerances_are_those_of_torch():
    testing = pytest.importorskip("torch.testing._comparison")
    torch = pytest.importorskip("torch")
    protocol = BY_NAME["assert_close"]
    for fmt in protocol.formats:
        rtol, atol = testing.default_tolerances(getattr(torch, fmt))
        sample = protocol.samples(FORMATS[fmt])[1]
        expected = FORMATS[fmt].to_float64(sample.expected)
        for factor, accepted in ((0.5, True), (4.0, False)):
            y = FORMATS[fmt].from_float64(expected + factor * (atol + rtol * expected))
            assert protocol.accepts(FORMATS[fmt], sample, y) is accepted, (fmt, factor)


def test_a_protocol_calls_along_an_axis_only_what_takes_one():
    def along_the_last(x, axis=-1):
        return np.moveaxis(sound(np.moveaxis(x, -1, -1)), -1, -1)

    node_tests = BY_NAME["node tests"]
    assert node_tests.notices(from_function(along_the_last), FORMATS["float32"]) is True
    assert node_tests.notices(candidate_of(sound), FORMATS["float32"]) is False


def test_whoever_raises_or_returns_another_shape_is_noticed():
    def raising(x):
        raise ValueError("no")

    for protocol in PROTOCOLS:
        for broken in (raising, lambda _: np.float32([1]), lambda x: np.full_like(x, np.nan)):
            assert protocol.notices(from_function(broken), FORMATS["float32"]) is True, protocol.name


def test_a_protocol_is_silent_about_formats_that_it_is_not_for():
    assert BY_NAME["allclose"].notices(candidate_of(constants.zeros), FORMATS["float16"]) is None


# The matrix --------------------------------------------------------------------------------


def trial(name, *, honest=False, gate=True, other=None, kind="a"):
    return Trial(name, kind, "sum", "seen", "float32", ("fast",), honest, {GATE: gate, "other": other}, "why")


def test_the_matrix_counts_what_each_column_noticed():
    matrix = Matrix(
        0,
        (
            trial("1", other=True),
            trial("2", other=False),
            trial("3", kind="b", other=True),
            trial("4", kind="c"),
            trial("5", honest=True, gate=False, other=True),
        ),
    )
    other = matrix.score("other")
    assert (other.caught, other.planted, other.missed) == (2, 3, 1)
    assert (other.whole, other.kinds) == (1, 2)  # b in all of its instances, a in one of two, c not spoken of
    assert (other.refused, other.honest) == (1, 1)
    spelt = {
        row.kind: [cell.text for cell in row.cells] for row in matrix_rows(matrix.document(), honest=False)
    }
    assert spelt == {"a": ["caught", "1 of 2"], "b": ["caught", "caught"], "c": ["caught", "-"]}
    assert matrix.exit_code == 0
    assert json.loads(json.dumps(matrix.document()))["scores"]["gate"]["caught"] == 4
    shown = text(matrix)
    assert "1 of 2" in shown
    assert "selftest: pass (4 of 4 defects caught, 0 of 1 controls refused; seed 0)" in shown


@pytest.mark.parametrize(
    ("trials", "code", "said"),
    [
        ((trial("1"),), 0, "selftest: pass"),
        ((trial("1"), trial("2", gate=False)), 1, "missed: 2"),
        ((trial("1"), trial("2", honest=True, gate=True)), 1, "refused: 2"),
        ((), 3, "selftest: fail"),
    ],
)
def test_the_command_exits_by_the_gates_column(trials, code, said, monkeypatch, capsys):
    monkeypatch.setattr(suite, "run_suite", lambda *_, **__: Matrix(0, trials))
    assert cli.run(["selftest"]) == code
    assert said in capsys.readouterr().out
    assert cli.run(["selftest", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["exit_code"] == code


def test_the_matrix_is_kept_as_a_report(tmp_path, monkeypatch, capsys):
    trials = (
        trial("<b>", kind="<i>shift</i>", other=True),
        trial("2", kind="<i>shift</i>", other=False),
        trial("3", kind="stale", gate=False, other=False),
        trial("4", kind="rounded", honest=True, gate=False),
    )
    monkeypatch.setattr(suite, "run_suite", lambda *_, **__: Matrix(0, trials))
    out = tmp_path / "kept"
    assert cli.run(["selftest", "--out", str(out)]) == 1
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert (
        "Self-test failed: the gate caught 2 of 3 planted defects and refused 0 of 1 honest control." in page
    )
    assert "Missed: 3." in page
    cells = re.findall(r'<td class="state-(\w+)" data-label="(\w+)">([^<]+)</td>', page)
    assert cells == [
        ("good", "gate", "caught"), ("open", "other", "1 of 2"),
        ("bad", "gate", "missed"), ("bad", "other", "missed"),
        ("good", "gate", "passed"), ("plain", "other", "-"),
    ]  # fmt: skip
    assert "&lt;i&gt;shift" in page
    assert "<i>shift" not in page
    assert '<section id="environment"' in page
    assert '<section id="cells"' not in page, "it measured none"
    assert json.loads((out / "summary.json").read_text())["selftest"]["scores"]["gate"]["caught"] == 2
    assert "| stale | sum | missed | missed |" in (out / "summary.md").read_text()

    drawn = {name: (out / name).read_bytes() for name in ("report.html", "summary.md", "summary.json")}
    assert cli.run(["report", str(out)]) == 0
    assert {name: (out / name).read_bytes() for name in drawn} == drawn
    assert cli.run(["selftest", "--out", str(out)]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert cli.run(["selftest", "--out", str(out), "--overwrite"]) == 1


def test_a_slip_of_the_hand_is_one_line(capsys):
    assert cli.run(["selftest", "--jobs", "0"]) == 2
    assert capsys.readouterr().err == "error: --jobs 0: at least 1\n"


def test_a_small_suite_runs_on_two_processes():
    some = [s for s in suspects_of(0, quick=True) if s.name.startswith(("zeros", "no shift ["))]
    one, two = run_suite(some, jobs=1), run_suite(some, jobs=2)
    assert one == two
    assert one.exit_code == 0
    assert [t.noticed["atol 1e-2"] for t in one.trials] == [False, False]
    assert command.selftest.__doc__
