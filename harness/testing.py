"""Checks for a user's own tests: over rows of every regime, and of one row, for Hypothesis to draw.

    from hypothesis import given
    from harness import testing

    def test_axis():
        testing.check("axis", softmax, format="float32")

    @given(testing.rows("float32", 8))
    def test_order(x):
        testing.assert_keeps("monotone", softmax, x)

or, with `pytest_plugins = ["harness.testing"]` in conftest.py, by a fixture:

    def test_tier(assert_accurate):
        assert_accurate(softmax, format="float16", tier="standard")

A function is called in this process, with arrays of the format. A broken rule raises AssertionError with
the smallest row found, in decimal with its bits; so does a rule that could not be tried. What the function
declares, such as its batch policy, holds here too. The rules are those of `harness.checks.CHECKS`; a sound
softmax may break some of the properties (range, row_sum, shift, permutation, monotone), as the message then
says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.rooms import at_home, called_at_home

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

    from harness.checks import CheckResult
    from harness.subject.candidates import Candidate

__all__ = ["assert_accurate", "assert_keeps", "check", "rows"]

Softmax = Callable[..., Any]


@called_at_home
def assert_accurate(
    f: Softmax,
    format: str = "float32",
    tier: str = "standard",
    seed: int = 0,
    policies: Sequence[str] = (),
    via: str | None = None,
    op: str | None = None,
    range: tuple[float, float] | None = None,
) -> None:
    """Assert that a function meets a tier and keeps its contract, over rows of every regime.

    Args:
        f: `f(x)`, `f(x, axis=)` or `f(x, dim=)`.
        format: a format's name.
        tier: rounded, faithful, wide, standard or fast.
        seed: decides the rows.
        policies: KEY=VALUE settings that relax what is asked, as `--policy` takes them.
        via: the library of f's arrays: `torch`, `jax` or `cupy`, with @device if needed; NumPy by default.
        op: what f computes, `softmax`, `log_softmax` or `logsumexp`; by default what it declares or its name
            says.
        range: the least and the greatest logit, for a function made for such; -inf lets masked entries in.

    Raises:
        AssertionError: it does not; the verdicts and shrunk rows are in the message.
        harness.terminal.exceptions.UsageError: an argument is unknown.
    """
    __tracebackhide__ = True
    from harness.gate.assertion import failure

    said = failure(f, format, tier, seed, policies, via, op, range)
    if said:
        raise AssertionError(said)


@called_at_home
def check(name: str, f: Softmax, format: str = "float32", seed: int = 0, effort: str = "quick") -> None:
    """Assert that a function keeps a rule, over rows of every regime.

    Args:
        name: one of `harness.checks.CHECKS`: shape, axis, strides, placed, read_only, unchanged, repeat,
            keeps, large_batch, endurance, threads, batch, negative_zero, range, row_sum, shift, permutation,
            monotone.
        f: `f(x)`, `f(x, axis=)` or `f(x, dim=)`.
        format: a format's name.
        seed: decides the rows.
        effort: brief, quick, standard or deep: how many rows, lengths and calls.

    Raises:
        AssertionError: it does not, or the rule does not apply to it; the message has the smallest row.
        ValueError: there is no such check, format or effort.
    """
    __tracebackhide__ = True
    from harness.checks import check_named, run_check
    from harness.subject.execution import InProcess
    from harness.subject.subject import Subject
    from reference.formats import format_named

    candidate, fmt = _candidate(f), format_named(format)
    with InProcess(load=lambda _: candidate) as executor:
        result = run_check(check_named(name), Subject(candidate, fmt, fmt, executor), seed, effort)
    if result.status != "ok":
        raise AssertionError(_told(result))


@called_at_home
def assert_keeps(name: str, f: Softmax, x: NDArray[Any]) -> None:
    """Assert that a function keeps a rule on one row.

    Args:
        name: the check's, e.g. "monotone".
        f: `f(x)`, `f(x, axis=)` or `f(x, dim=)`.
        x: the row, shape (n,), an array of a format.

    Raises:
        AssertionError: it does not, or its call fails; the row is in the message.
        ValueError: there is no such check, or x is no row of a format.
    """
    __tracebackhide__ = True
    from harness.checks import Examinee, check_named
    from harness.checks.check import written
    from harness.subject.execution import InProcess
    from harness.subject.subject import Subject
    from reference.formats import format_of
    from reference.inputs import as_numpy

    x = as_numpy(x)
    asked, fmt = check_named(name), format_of(x.dtype)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"x of shape {x.shape}: one row is wanted, of shape (n,)")
    candidate = _candidate(f)
    with InProcess(load=lambda _: candidate) as executor:
        examinee = Examinee(Subject(candidate, fmt, fmt, executor))
        for fault in examinee.call(x[None]).faults:
            raise AssertionError(f"x = {written(fmt, x)}: {fault.kind}: {fault.message}")
        examined = asked.examine(examinee, x[None])
        if examined.broken[0]:
            raise AssertionError(f"{asked.title}: x = {written(fmt, x)}: {examined.note(0)}")


@called_at_home
def rows(format: str, length: int, regimes: Sequence[str] = ()) -> SearchStrategy[NDArray[Any]]:
    """Return the Hypothesis strategy of a row (length,) of any of the regimes.

    Args:
        format: a format's name.
        length: the number of entries.
        regimes: names of regimes; where left out, all whose rows of that length have an exact result.

    Raises:
        ValueError: there is no such format or regime, or one of those named has no such rows.
    """
    from hypothesis import strategies as st

    from reference.formats import format_named
    from strategies import REGIMES, logits

    fmt = format_named(format)
    names = regimes or [n for n, r in REGIMES.items() if r.supports(fmt, length) and not r.policy]
    any_row = st.one_of([logits(fmt, length, name) for name in names])

    @st.composite
    def row(draw: Callable[[SearchStrategy[NDArray[Any]]], NDArray[Any]]) -> NDArray[Any]:
        with at_home():
            return draw(any_row)

    return row()


def _candidate(f: Softmax) -> Candidate:
    from harness.subject.candidates import from_function

    return from_function(f)


def _told(result: CheckResult) -> str:
    where = f"{result.candidate} in {result.format}: {result.check.title}"
    if result.status != "violated":
        return f"{where}: {result.status.replace('_', ' ')}: {result.message}"
    consequence = f" [{result.check.consequence}]" if result.check.consequence else ""
    return f"{where}: {result.broken} of {result.rows} rows break it; {result.message}{consequence}"


if "pytest" in sys.modules:  # loaded as a plugin; who only calls the functions need not have it
    import pytest

    @pytest.fixture(scope="session", name="assert_accurate")
    def assert_accurate_fixture() -> Callable[..., None]:
        """Return `assert_accurate`, for tests that do not import it."""
        return assert_accurate
