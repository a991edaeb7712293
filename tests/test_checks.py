"""The checks: each catches what it is there for, with a small row, and lets a correct softmax pass.

A correctly rounded softmax keeps every rule, properties included; the built-ins keep the contract in
every format, and break just those properties that floating-point order explains.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import reference
from harness import cli, testing
from harness.checks import CHECKS, CheckResult, check_named, each_check, run_checks
from harness.checks.check import written
from harness.checks.properties import exact_shifts
from harness.checks.samples import EXTENTS
from harness.subject.candidates import BUILTINS, Candidate, from_function, load
from harness.subject.execution import Fault, InProcess, Isolated, Outcome
from harness.subject.execution.calls import AROUND
from harness.subject.subject import Subject
from harness.witnesses.recipes import entries_of_hex
from reference.declaration import Declaration, Policy
from reference.formats import FORMATS, FloatFormat
from strategies.regimes import REGIMES
from tests.longer import few_of

F32 = FORMATS["float32"]

FEW = replace(
    EXTENTS["brief"],
    lengths=(1, 2, 3, 7, 65, 257),
    rows=2,
    long=(1026,),
    batches=(2, 7, 64, 2048),
    long_batches=(2, 16),
    large_batch=8000,
    calls=200,
)
"""Two rows of every regime and length: enough to show each defect here."""


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `few` be an effort, and a quick check no larger."""
    monkeypatch.setattr("harness.checks.samples.EXTENTS", {**EXTENTS, "quick": FEW, "few": FEW})


def max_shifted(x, axis=-1):
    """Rows are copied first, lest numpy add up in another order along a strided axis."""
    return np.moveaxis(along(np.ascontiguousarray(np.moveaxis(x, axis, -1)), -1), -1, axis)


def along(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def correctly_rounded(x, axis=-1):
    return np.moveaxis(reference.correctly_rounded(np.moveaxis(x, axis, -1)), -1, axis)


def results_of(
    function, fmt: FloatFormat = F32, checks=CHECKS, effort="few", **options
) -> dict[str, CheckResult]:
    candidate = function if isinstance(function, Candidate) else from_function(function)
    with InProcess(load=lambda _: candidate) as executor:
        results = run_checks(
            [Subject(candidate, fmt, fmt, executor)], checks=checks, effort=effort, **options
        )
    return {r.check.name: r for r in results}


def result_of(name: str, function, fmt: FloatFormat = F32, effort="few") -> CheckResult:
    return results_of(function, fmt, [check_named(name)], effort)[name]


def row_of(result: CheckResult) -> np.ndarray:
    assert result.witness is not None
    fmt = FORMATS[result.format]
    return fmt.to_float64(fmt.from_bits(entries_of_hex(result.witness.x, fmt)))


# The list ----------------------------------------------------------------------------------


def test_every_check_says_what_it_asks_and_every_property_what_may_break_it():
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for check in CHECKS:
        assert check.title
        assert check.rule.endswith(".")
        assert bool(check.consequence) == (check.kind == "property"), check.name
    with pytest.raises(ValueError, match=r"check 'axes': it is one of shape, axis,"):
        check_named("axes")


# Who keeps what ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", few_of(FORMATS, 2))
def test_correctly_rounded_softmax_keeps_every_rule(name):
    for result in results_of(correctly_rounded, FORMATS[name]).values():
        applies = FORMATS[name].has_negative_zero or result.check.name != "negative_zero"
        assert result.status == ("ok" if applies else "not_applicable"), (result.check.name, result.message)
        assert result.rows > 0 or not applies


@pytest.mark.parametrize(("candidate", "name"), few_of(product(BUILTINS, FORMATS), 4))
def test_built_ins_keep_the_contract_in_every_format(candidate, name):
    found = load(candidate)
    contract = [check for check in CHECKS if check.kind == "contract"]
    results = results_of(found, FORMATS[name], contract)
    for result in results.values():
        applies = FORMATS[name].has_negative_zero or result.check.name != "negative_zero"
        applies &= not result.check.says_nothing_of(found.op)
        wanted = "ok" if found.supports(FORMATS[name]) and applies else "not_applicable"
        assert result.status == wanted, (result.check.name, result.message)


KNOWN = {
    # broken by floating-point order alone, in float32
    "naive": {"row_sum", "shift", "permutation"},
    "max_shifted": {"permutation"},
    "online": {"permutation"},
    "exp_minus_lse": {"row_sum", "shift", "permutation"},
    "shifted_by_constant": {"row_sum", "shift", "permutation"},
}

OVERFLOWING = {"naive", "shifted_by_constant"}


@pytest.mark.parametrize("candidate", KNOWN)
def test_properties_that_built_ins_break_are_the_known_ones(candidate):
    found = load(candidate)
    contract, properties = ([c for c in CHECKS if c.kind == kind] for kind in ("contract", "property"))
    results = [
        *results_of(found, checks=contract).values(),
        *results_of(found, checks=properties, effort="brief").values(),
    ]
    broken = {r.check.name for r in results if r.status == "violated"}
    assert broken == KNOWN[candidate]
    beyond = {r.check.name for r in results if r.beyond}
    assert beyond == ({"row_sum"} if candidate in OVERFLOWING else set()), "their sums are lost, not rounded"
    for result in results:
        told = result.document()["consequence"]
        assert bool(told) == (result.check.name in broken - beyond), result.check.name


def test_max_shifted_pairs_are_the_same_in_either_order():
    """n = 2 is the one length at which addition has no order."""
    result = result_of("permutation", load("max_shifted"))
    assert len(row_of(result)) == 3


# What is caught ----------------------------------------------------------------------------


def squeezing(x, axis=-1):
    return np.squeeze(max_shifted(x, axis))


def widening(x, axis=-1):
    return max_shifted(x.astype(np.float64), axis)


def two_dimensional(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def last_axis_only(x, axis=-1):
    return max_shifted(x, -1)


def wrong_in_the_middle(x, axis=-1):
    return max_shifted(x, axis if axis != 1 else 0)


def contiguous_only(x):
    assert x.flags.c_contiguous, "not contiguous"
    return max_shifted(x)


def memory_order(x):
    flat = np.frombuffer(x.tobytes("A"), x.dtype).reshape(x.shape)
    return max_shifted(flat)


def in_place(x, axis=-1):
    x -= x.max(axis=axis, keepdims=True)
    return max_shifted(x, axis)


class Counting:
    """Another result from the second call on."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return max_shifted(x) * x.dtype.type(1 - 2**-20 * (self.calls > 1))


def maximum_of_the_batch(x):
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x[np.isfinite(x)].max(initial=-1e30))
    return e / e.sum(axis=-1, keepdims=True)


def negative_zero(x, axis=-1):
    y = max_shifted(x, axis)
    return np.where(y < 1e-30, -np.zeros_like(y), y)


def above_one(x, axis=-1):
    return np.nextafter(max_shifted(x, axis), np.float32(2))


def too_much(x, axis=-1):
    return max_shifted(x, axis) * x.dtype.type(1.001)


def plain(x, axis=-1):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def first_entry_favoured(x):
    y = max_shifted(x)
    y[..., 0] = np.nextafter(y[..., 0], np.float32(0))
    return y


def tail_path(x):
    """Another exp for the entries that a vector of four leaves over."""
    y, n = max_shifted(x), x.shape[-1]
    tail = slice(n - n % 4, n)
    y[..., tail] = np.nextafter(y[..., tail], np.float32(0))
    return y


CAUGHT = [
    ("shape", squeezing, 1),
    ("shape", widening, 1),
    ("shape", two_dimensional, 1),
    ("axis", last_axis_only, 1),
    ("axis", wrong_in_the_middle, 1),
    ("strides", contiguous_only, 2),
    ("strides", memory_order, 2),
    ("read_only", in_place, 1),
    ("unchanged", in_place, 1),
    ("repeat", Counting(), 1),
    ("batch", maximum_of_the_batch, 1),
    ("negative_zero", negative_zero, 2),
    ("range", above_one, 1),
    ("row_sum", too_much, 1),
    ("shift", plain, 1),
    ("permutation", first_entry_favoured, 2),
    ("monotone", tail_path, 5),
]


def name_of(value) -> str:
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    return str(value)


@pytest.mark.parametrize(("name", "function", "entries"), CAUGHT, ids=name_of)
def test_check_catches_what_it_is_there_for_with_a_small_row(name, function, entries):
    result = result_of(name, function)
    assert result.status == "violated"
    assert 0 < result.broken <= result.rows
    assert len(row_of(result)) <= entries, result.message
    assert written(F32, row_of(result).astype(np.float32)) in result.message


@pytest.mark.parametrize("name", ["batch", "permutation", "axis", "shift"])
def test_a_message_compares_two_numbers_of_one_entry_with_their_bits(name):
    function = next(function for check, function, _ in CAUGHT if check == name)
    message = result_of(name, function).message.partition("): ")[2]
    numbers = re.findall(r"(-?[\d.]+(?:e[-+]\d+)?|nan|inf) \(0x([0-9a-f]{8})\)", message)
    for decimal, bits in numbers[-2:]:
        value = float(F32.to_float64(F32.from_bits([int(bits, 16)]))[0])
        assert decimal == repr(value), message
    assert len(numbers) >= 2, message


def test_one_defect_is_told_by_the_checks_that_it_concerns_and_by_no_other():
    for function, concerned in [
        (in_place, {"read_only", "unchanged", "permutation", "repeat"}),
        (last_axis_only, {"axis", "permutation"}),
        (negative_zero, {"negative_zero", "permutation"}),
        (maximum_of_the_batch, {"batch", "large_batch", "permutation", "row_sum", "shift"}),
    ]:
        broken = {name for name, result in results_of(function).items() if result.status == "violated"}
        assert broken <= concerned, (name_of(function), broken - concerned)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_numpy_sum_along_a_strided_axis_is_no_defect(name):
    """Along a contiguous axis numpy adds in pairs, float16 in binary32; else one by one, in the format."""
    fmt = FORMATS[name]
    ones = fmt.from_float64(np.ones((4097, 2)))
    assert fmt.to_float64(ones.sum(axis=0))[0] == (2048 if name == "float16" else 4097)
    for check in ("axis", "strides"):
        assert result_of(check, along, fmt).status == "ok"


def test_counterexample_of_a_shift_is_an_exact_shift_that_changes_bits():
    result = result_of("shift", plain)
    row = row_of(result)
    moved, constants = exact_shifts(F32, row.astype(np.float32)[None])
    with np.errstate(all="ignore"):
        assert any((plain(m[None]) != plain(row.astype(np.float32)[None])).any() for m in moved)
    assert (constants != 0).any()


# Excuses and what does not apply --------------------------------------------------------------


def slightly_batch_dependent(x):
    y = max_shifted(x)
    return np.where(y > 0.01, np.nextafter(y, np.float32(0)), y) if len(x) > 1000 else y


def test_policy_excuses_a_batch_that_is_as_accurate():
    strict = from_function(slightly_batch_dependent)
    relaxed = replace(strict, declaration=Declaration(policy=Policy(batch="accurate")))
    assert result_of("batch", strict).status == "violated"
    assert result_of("batch", relaxed).status == "ok"
    careless = replace(from_function(maximum_of_the_batch), declaration=relaxed.declaration)
    assert result_of("batch", careless).status == "violated"


def test_axis_does_not_apply_without_an_axis_and_no_check_to_a_format_not_taken():
    assert result_of("axis", two_dimensional).status == "not_applicable"
    results = results_of(load("upcast"), FORMATS["float64"])
    assert {r.status for r in results.values()} == {"not_applicable"}
    assert all(r.message == "it does not take float64" for r in results.values())


def test_who_always_raises_is_not_judged():
    def broken(x, axis=-1):
        raise RuntimeError("always")

    results = results_of(broken)
    assert {r.status for r in results.values()} == {"not_run"}
    assert results["repeat"].message == "RuntimeError: always"


def test_rows_that_crash_cost_those_rows_and_not_the_checks(tmp_path):
    (tmp_path / "dying.py").write_text(
        "import os, numpy as np\n"
        "def softmax(x, axis=-1):\n"
        "    if np.isnan(x).any() and 65 in x.shape: os.abort()\n"
        "    x = np.ascontiguousarray(np.moveaxis(x, axis, -1))\n"
        "    e = np.exp(x - x.max(axis=-1, keepdims=True))\n"
        "    return np.moveaxis(e / e.sum(axis=-1, keepdims=True), -1, axis)\n"
    )
    candidate = load(f"{tmp_path}/dying.py:softmax")
    checks = [check_named(name) for name in ("axis", "shift", "batch")]
    with Isolated() as executor:
        statuses = [
            r.status
            for r in run_checks([Subject(candidate, F32, F32, executor)], effort="few", checks=checks)
        ]
    assert statuses == ["ok", "ok", "ok"]


def test_a_row_that_crashes_and_one_that_hangs_by_themselves_are_told_apart(tmp_path):
    (tmp_path / "dying.py").write_text(
        "import os, time, numpy as np\n"
        "def softmax(x):\n"
        "    assert x.shape == (1, 3)\n"
        "    if x[0, 0] == 2: os.abort()\n"
        "    if x[0, 0] == 5: time.sleep(60)\n"
        "    return x\n"
    )
    candidate = load(f"{tmp_path}/dying.py:softmax")
    x = np.repeat(np.arange(8, dtype=np.float32)[:, None], 3, axis=1)
    with Isolated(timeout=1.0) as executor:
        outcome = Subject(candidate, F32, F32, executor).run(x, "singly")
    assert {fault.row: fault.kind for fault in outcome.faults} == {2: "crashed", 5: "timed_out"}
    assert np.flatnonzero(~outcome.completed).tolist() == [2, 5]
    assert (outcome.outputs[outcome.completed] == x[outcome.completed]).all()


class Tired(InProcess):
    """Calls rows of up to so many entries in one presentation, and no longer ones."""

    def run(self, spec, x, out_format, timeout=None, presentation="plain", **options):
        if presentation == "amid" and x.shape[1] > 3:
            return Outcome.failed(len(x), Fault("not_tried", None, "no time was left"))
        return super().run(spec, x, out_format, timeout, presentation=presentation, **options)


def beside(x):
    """Refuse rows that lie amid other memory."""
    if x.base is not None and x.base.size == x.size + 2 * AROUND:
        raise ValueError("not mine")
    return max_shifted(x)


@pytest.mark.parametrize("kind", [InProcess, Tired])
def test_rows_that_are_not_tried_hide_no_row_that_fails(kind):
    candidate = from_function(beside)
    with kind(load=lambda _: candidate) as executor:
        [result] = run_checks(
            [Subject(candidate, F32, F32, executor)], effort="few", checks=[check_named("placed")]
        )
    assert result.status == "violated"
    assert "amid: " in result.message


def test_a_rule_that_no_row_was_tried_of_is_not_run():
    candidate = from_function(max_shifted)
    with Tired(load=lambda _: candidate) as executor:
        [result] = run_checks(
            [Subject(candidate, F32, F32, executor)], effort="few", checks=[check_named("placed")]
        )
    assert (result.status, result.message) == ("not_run", "no time was left")


# Results -----------------------------------------------------------------------------------


def test_results_are_the_same_every_time_and_plain_json():
    documents = [[r.document() for r in results_of(plain, seed=3).values()] for _ in range(2)]
    assert documents[0] == documents[1]
    assert json.loads(json.dumps(documents[0])) == documents[0]
    assert {"check", "kind", "status", "rows", "message", "consequence", "witness"} <= set(documents[0][0])


def test_checks_side_by_side_have_the_results_of_one_after_another():
    """The plain form breaks properties, and no rule of the contract."""
    candidate = load("naive")
    with Isolated(jobs=2) as executor:
        one, two = (
            [
                r.document()
                for r in each_check(Subject(candidate, F32, F32, executor), effort="few", jobs=jobs)
            ]
            for jobs in (1, 2)
        )
    assert one == two
    assert {document["status"] for document in one} == {"ok", "violated"}


# Exact shifts --------------------------------------------------------------------------------


SHIFTED = [
    (name, regime)
    for name, fmt in FORMATS.items()
    for regime in ("quantised", "ladder", "standard-normal", "masked", "uniform-bits")
    if REGIMES[regime].supports(fmt, 4)
]


@pytest.mark.parametrize(("name", "regime"), SHIFTED)
def test_exact_shifts_are_exact(name, regime):
    fmt = FORMATS[name]
    x = REGIMES[regime].rows(fmt, 40, 4, 0, 0)
    moved, constants = exact_shifts(fmt, x)
    moved = fmt.to_float64(moved).reshape(len(constants), *x.shape)
    for shifts, rows in zip(constants, moved, strict=True):
        for c, before, after in zip(shifts, fmt.to_float64(x), rows, strict=True):
            assert fmt.to_float64(fmt.from_float64(c)) == c
            for a, b in zip(before, after, strict=True):
                exact = a == b if np.isinf(a) else Fraction(a) + Fraction(c) == Fraction(b)
                assert exact, (a.hex(), float(c).hex(), b.hex())
    if regime == "quantised":
        assert (constants != 0).any(axis=0).mean() > 0.5


# For a user's own tests ------------------------------------------------------------------------


def test_functions_for_users_pass_and_fail_as_the_checks_do():
    for check in CHECKS:
        testing.check(check.name, correctly_rounded, format="float16", effort="few")
    with pytest.raises(
        AssertionError,
        match=r"last_axis_only in float32: axis obeyed: .* x = \[0\.0\] \(0x00000000\): first_axis: ",
    ):
        testing.check("axis", last_axis_only)
    with pytest.raises(AssertionError, match="not applicable: it has no axis parameter"):
        testing.check("axis", two_dimensional)
    with pytest.raises(AssertionError, match="Addition is not associative"):
        testing.check("permutation", max_shifted)
    with pytest.raises(ValueError, match="check 'order': it is one of shape, axis"):
        testing.check("order", max_shifted)
    with pytest.raises(ValueError, match="effort 'little': it is one of brief, quick, standard, deep"):
        testing.check("range", max_shifted, effort="little")


@settings(max_examples=30)
@given(testing.rows("float32", 5))
def test_rules_are_properties_for_hypothesis(x):
    for name in ("range", "monotone", "shift", "negative_zero", "axis", "row_sum"):
        testing.assert_keeps(name, max_shifted, x)


def test_hypothesis_finds_and_shrinks_what_breaks_a_rule():
    @settings(max_examples=200, database=None, derandomize=True)
    @given(testing.rows("float32", 3, ["quantised", "ladder"]))
    def shifted(x):
        testing.assert_keeps("shift", plain, x)

    with pytest.raises(
        AssertionError, match=r"invariant under an exact shift: x = \[0\.0, 0\.0, 0\.0\] \(0x00000000 "
    ):
        shifted()


@pytest.mark.parametrize("asserted", ["assert_keeps", "assert_accurate"])
def test_a_traceback_shows_the_test_and_the_verdict_alone(asserted, monkeypatch):
    monkeypatch.setattr("harness.gate.assertion.failure", lambda *_: "gate: fail (1 defect)")
    given = {"assert_keeps": ("shift", plain, np.float32([0, 100])), "assert_accurate": (plain,)}
    with pytest.raises(AssertionError) as raised:
        getattr(testing, asserted)(*given[asserted])
    assert [entry.name for entry in raised.traceback if not entry.ishidden(raised)] == [
        "test_a_traceback_shows_the_test_and_the_verdict_alone"
    ]


def test_a_row_that_raises_fails_the_rule_and_what_is_no_row_is_refused():
    def picky(x):
        raise ValueError("no")

    with pytest.raises(AssertionError, match="raised: ValueError: no"):
        testing.assert_keeps("range", picky, np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="one row is wanted"):
        testing.assert_keeps("range", max_shifted, np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="regime"):
        testing.rows("float32", 3, ["no-such"])


ROW_SUMS = """
import numpy as np

def low(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True) * np.float32(0.373)).astype(x.dtype)

def by_lse(x):
    top = x.max(-1, keepdims=True)
    return np.exp(x - (top + np.log(np.exp(x - top).sum(-1, keepdims=True))))
"""


@pytest.mark.usefixtures("few_checks")
@pytest.mark.parametrize(("name", "is_rounding"), [("low", False), ("by_lse", True)])
def test_a_row_sum_further_off_than_rounding_explains_is_not_called_rounding(
    name: str, is_rounding: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sums.py").write_text(ROW_SUMS)
    few = ["--format", "float32", "--regime", "wide-normal", "--length", "65", "--rows", "8"]
    assert cli.run(["run", f"sums.py:{name}", *few, "--effort", "brief", "--in-process", "--out", "r"]) == 0
    checks = json.loads(Path("r/summary.json").read_text())["checks"]
    [found] = [check for check in checks if check["check"] == "row_sum"]
    assert found["status"] == "violated"
    assert bool(found["consequence"]) == is_rounding
    assert ("more than rounding explains" in found["message"]) != is_rounding
    said = Path("r/summary.md").read_text()
    assert (f"sums.py:{name}: row\\_sum" in said) != is_rounding


@pytest.mark.parametrize("row", [[0.0], [1.5, -0.0, 2.0], [0.0] * 12 + [-np.inf], [np.nan, *[3.0] * 40]])
def test_the_row_of_a_broken_check_can_be_pasted_into_python(row):
    text, bits = written(FORMATS["float32"], np.float32(row)).rsplit(" (", 1)
    pasted = np.float32(eval(text))  # noqa: S307
    assert pasted.view(np.uint32).tolist() == np.float32(row).view(np.uint32).tolist(), (text, bits)
    assert bits.count("0x") <= 4, bits
