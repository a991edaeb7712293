"""Calling candidates: the same outputs in process and apart, findings instead of exceptions.

The search for culprits is held to its promise on drawn batches against a model of a candidate that
fails on known rows; formats and presentations are tried on real ones, in both executors.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.subject.candidates import BUILTINS
from harness.subject.execution import Executor, InProcess, Isolated, Outcome
from harness.subject.execution.allowance import Allowance
from harness.subject.execution.attempts import Attempt, Failure, Part
from harness.subject.execution.culprits import complete as completed_within
from reference.formats import FORMATS

FLOAT32 = FORMATS["float32"]


# Narrowing, against a model ---------------------------------------------------------------


class Model:
    """A candidate that fails on rows whose entry is in `culprits`, and doubles the others."""

    def __init__(self, culprits: set[int], kind: str = "crashed", allowance: Allowance | None = None) -> None:
        self.culprits = culprits
        self.kind = kind
        self.allowance = allowance or Allowance()
        self.failures = 0
        self.called = 0
        self.waited = 0.0

    def __call__(self, x: np.ndarray, parts: Sequence[Part], patience: float = 1.0) -> Attempt:
        outputs = np.full_like(x, np.nan)
        for number, (low, high) in enumerate(parts):
            assert low < high
            self.called += high - low
            if self.culprits & set(x[low:high, 0].astype(int).tolist()):
                self.failures += 1
                self.waited += self.allowance.limit(60.0, high - low, 1, patience) / 60.0
                return Attempt(number, outputs, Failure(self.kind, "no", fatal=self.kind != "raised"))
            outputs[low:high] = 2 * x[low:high]
        return Attempt(len(parts), outputs, None)


def complete(model: Model, x: np.ndarray, *, is_plain: bool = True) -> Outcome:
    return completed_within(model, x, model.allowance, is_plain=is_plain)


def known_to_last(faults: int = 64) -> Allowance:
    """Return the allowance of a candidate whose faults all came again so far, so that few are tested."""
    allowance = Allowance()
    for _ in range(faults):
        allowance.chance.count_repeated()
    return allowance


def numbered(rows: int) -> np.ndarray:
    return np.arange(rows, dtype=np.float32)[:, None]


@st.composite
def batches(draw):
    rows = draw(st.integers(1, 5000))
    culprits = draw(st.sets(st.integers(0, rows - 1), min_size=1, max_size=6))
    return rows, culprits


@given(batches(), st.sampled_from(["crashed", "raised"]))
@settings(max_examples=60)
def test_every_culprit_is_named_and_every_other_row_completes(batch, kind):
    rows, culprits = batch
    outcome = complete(Model(culprits, kind), numbered(rows))
    fails_everywhere = {0, (rows - 1) // 2, rows - 1} <= culprits and kind == "crashed"
    if not fails_everywhere:
        assert {f.row for f in outcome.faults} == culprits
        assert set(np.flatnonzero(~outcome.completed).tolist()) == culprits
    if outcome.outputs is not None:
        done = outcome.completed
        np.testing.assert_array_equal(outcome.outputs[done], 2 * numbered(rows)[done])


@pytest.mark.parametrize(("rows", "most"), [(1000, 2), (30_000, 3), (1_000_000, 3)])
def test_a_lone_culprit_costs_few_workers(rows, most):
    model = Model({rows // 3}, allowance=known_to_last())
    complete(model, numbered(rows))
    assert model.failures <= most
    model = Model({rows // 3})
    complete(model, numbered(rows))
    assert model.failures <= most + 2, "the first and the second fault are told from chance"


def test_what_fails_on_everything_is_called_four_times():
    model = Model(set(range(100_000)), allowance=known_to_last())
    complete(model, numbered(100_000))
    assert model.failures == 4
    model = Model(set(range(100_000)))
    outcome = complete(model, numbered(100_000))
    assert model.failures == 4 + 3, "the first, second and fourth fault are told from chance"
    assert [f.row for f in outcome.faults] == [0, 49_999, 99_999, None]
    assert "99997 further rows" in outcome.faults[-1].message


def test_losses_have_a_limit_and_what_was_left_out_is_told():
    culprits = set(range(5, 1000, 10))
    model = Model(culprits, allowance=known_to_last())
    outcome = complete(model, numbered(1000))
    assert model.failures <= 50
    named = {f.row for f in outcome.faults[:-1]}
    assert named
    assert named < culprits
    assert outcome.faults[-1].row is None
    missing = int((~outcome.completed).sum()) - len(named)
    assert f"{missing} further rows were not tried" in outcome.faults[-1].message


@pytest.mark.parametrize(("is_plain", "untried"), [(True, "84 rows were not tried"), (False, None)])
def test_rows_that_all_fail_in_another_presentation_are_told_by_its_check_alone(is_plain, untried):
    allowance = known_to_last()
    model = Model(set(range(100)), "raised", allowance)
    complete(model, numbered(100), is_plain=is_plain)
    told = allowance.summary()
    assert untried in told if untried else told is None, told


def test_time_limits_have_a_lower_limit():
    model = Model(set(range(5, 1000, 10)), "timed_out", known_to_last())
    complete(model, numbered(1000))
    assert model.failures <= 9


@pytest.mark.parametrize("culprits", [{7}, {3, 400, 401}, {0, 1, 2, 9, 59_998, 59_999}])
def test_each_row_that_hangs_costs_little_more_than_one_time_limit(culprits):
    for allowance, tests in ((known_to_last(), 0), (Allowance(), 4)):
        model = Model(culprits, "timed_out", allowance)
        outcome = complete(model, numbered(60_000))
        assert {f.row for f in outcome.faults} == culprits
        most = 2 + 1.25 * len(culprits) + tests / 8
        assert model.waited <= most, "the whole batch, maybe a sample, each of them, and tests for chance"


def test_half_of_a_batch_may_raise_at_the_cost_of_some_calls():
    culprits = set(range(0, 1000, 2))
    model = Model(culprits, "raised")
    outcome = complete(model, numbered(1000))
    assert {f.row for f in outcome.faults} == culprits
    assert model.called < 6000


# Both executors ----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["isolated", "in process"])
def executor(request):
    with Isolated() if request.param == "isolated" else InProcess() as running:
        yield running


def logits(fmt, rows: int = 37, length: int = 19) -> np.ndarray:
    values = np.random.default_rng(3).normal(scale=4.0, size=(rows, length))
    return fmt.from_float64(values)


@pytest.fixture(scope="module")
def both():
    with Isolated() as apart, InProcess() as here:
        yield apart, here


@pytest.mark.parametrize("name", BUILTINS)
def test_both_executors_give_the_same_bits_in_every_format(both, name):
    apart, here = both
    for fmt in FORMATS.values():
        if not BUILTINS[name].supports(fmt, fmt):
            continue
        x = logits(fmt)
        reduces = BUILTINS[name].op.reduces
        outcomes = [executor.run(name, x, fmt, reduces=reduces) for executor in (apart, here)]
        assert [o.faults for o in outcomes] == [(), ()]
        first, second = (fmt.to_bits(o.outputs) for o in outcomes)
        np.testing.assert_array_equal(first, second, err_msg=f"{name} {fmt}")


@pytest.fixture
def spec(tmp_path):
    """Return a function that writes a function's body into a file and gives its spec."""

    def write(body: str, signature: str = "x") -> str:
        lines = "\n".join(f"    {line}" for line in body.split("\n"))
        path = tmp_path / "written.py"
        path.write_text(f"import numpy as np\ndef softmax({signature}):\n{lines}\n")
        return f"{path}:softmax"

    return write


def only_fault(executor: Executor, spec: str, x: np.ndarray, **how: str) -> tuple[str, int | None, str]:
    outcome = executor.run(spec, x, FORMATS[x.dtype.name], **how)
    (fault,) = [f for f in outcome.faults if f.row in (None, 0)][:1]
    return fault.kind, fault.row, fault.message


def test_a_format_that_is_refused_is_unsupported_and_not_a_crash(executor, spec):
    where = spec("if x.dtype.itemsize < 4: raise RuntimeError('not implemented for Half')\nreturn np.exp(x)")
    kind, row, message = only_fault(executor, where, logits(FORMATS["float16"]))
    assert (kind, row) == ("unsupported", None)
    assert message == "RuntimeError: not implemented for Half"
    assert executor.run(where, logits(FLOAT32), FLOAT32).faults == ()


def test_what_raises_in_every_format_is_not_excused_as_unsupported(executor, spec):
    assert only_fault(executor, spec("return x.nothing()"), logits(FLOAT32))[0] == "raised"


def test_a_missing_candidate_is_a_finding(executor):
    kind, row, message = only_fault(executor, "max_shiftet", logits(FLOAT32))
    assert (kind, row) == ("raised", None)
    assert "did you mean 'max_shifted'" in message


def test_bfloat16_in_and_float32_out(executor, spec):
    bfloat16 = FORMATS["bfloat16"]
    x = logits(bfloat16)
    outcome = executor.run(spec("return np.exp(x.astype(np.float32))"), x, FLOAT32)
    assert outcome.faults == ()
    np.testing.assert_array_equal(outcome.outputs, np.exp(x.astype(np.float32)))


@pytest.mark.parametrize("bits", [0x7FA00001, 0xFFC12345, 0x80000000, 0x00000001])
def test_every_bit_passes_unchanged_both_ways(executor, spec, bits):
    x = FLOAT32.from_bits(np.full((3, 5), bits))
    outcome = executor.run(spec("return x"), x, FLOAT32)
    assert (FLOAT32.to_bits(outcome.outputs) == bits).all()


def test_rows_of_another_shape_or_dtype_are_the_callers_mistake(executor):
    with pytest.raises(ValueError, match=r"rows of shape \(3,\): an executor takes \(rows, n\)"):
        executor.run("naive", np.zeros(3, np.float32), FLOAT32)
    with pytest.raises(ValueError, match="dtype int64: it is one of float16"):
        executor.run("naive", np.zeros((3, 3), np.int64), FLOAT32)


# Presentations -----------------------------------------------------------------------------


def test_the_callers_rows_are_never_changed(executor, spec):
    x = logits(FLOAT32)
    x.flags.writeable = False
    before = x.copy()
    outcome = executor.run(spec("x[1:3] = 0\nreturn x"), x, FLOAT32)
    np.testing.assert_array_equal(x, before)
    assert (outcome.outputs[1:3] == 0).all()


def test_a_candidate_that_changes_its_input_is_seen_where_it_is_watched(executor, spec):
    where = spec("y = np.exp(x)\nx[2, 4] = -x[2, 4]\nreturn y")
    outcome = executor.run(where, logits(FLOAT32), FLOAT32, presentation="watched")
    assert np.flatnonzero(outcome.overwritten).tolist() == [2]


@pytest.mark.parametrize("presentation", ["read_only", "strided"])
def test_the_same_values_arrive_read_only_and_strided(executor, spec, presentation):
    flag = {"read_only": "not x.flags.writeable", "strided": "x.strides[1] == 8"}[presentation]
    x = logits(FLOAT32)
    outcome = executor.run(spec(f"assert {flag}\nreturn x.copy()"), x, FLOAT32, presentation=presentation)
    assert outcome.faults == ()
    np.testing.assert_array_equal(outcome.outputs, x)


@pytest.mark.parametrize("keyword", ["axis", "dim"])
def test_the_first_axis_is_asked_for_by_its_keyword(executor, spec, keyword):
    where = spec(f"assert {keyword} == (-1 if len(x) == 37 else 0)\nreturn x.copy()", f"x, {keyword}=1")
    x = logits(FLOAT32)
    for presentation in ("plain", "first_axis"):
        outcome = executor.run(where, x, FLOAT32, presentation=presentation)
        assert outcome.faults == ()
        np.testing.assert_array_equal(outcome.outputs, x)


def test_a_candidate_without_an_axis_says_so(executor, spec):
    fault = only_fault(executor, spec("return np.exp(x)"), logits(FLOAT32), presentation="first_axis")
    assert fault == ("unsupported", None, "it takes no axis")


def test_the_users_own_interrupt_is_no_finding(spec):
    with InProcess() as executor, pytest.raises(KeyboardInterrupt):
        executor.run(spec("raise KeyboardInterrupt"), logits(FLOAT32), FLOAT32)


def test_in_process_calls_whatever_its_loader_gives():
    square = SimpleNamespace(call=np.square, axis_parameter=None)
    with InProcess(load={"square": square}.__getitem__) as executor:
        x = logits(FLOAT32)
        np.testing.assert_array_equal(executor.run("square", x, FLOAT32).outputs, x * x)
        assert executor.run("cube", x, FLOAT32).faults[0].kind == "raised"
