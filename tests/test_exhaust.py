"""Every row is tried once, and counted as a campaign counts it.

Evidence: itertools for the enumeration, the judge in mpmath and the full measurement for the counts,
candidates built to break each symmetry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import combinations_with_replacement, count, pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.campaign.deal import Measured, Record, Threads, deal
from harness.commands.exhaust import LARGEST
from harness.exhaust import (
    NONE,
    Enumeration,
    Exhaustion,
    Range,
    Symmetries,
    check_symmetries,
    exhaustion,
)
from harness.exhaust.bulk import Counting, without_profiles
from harness.measurement import Rows, measure
from harness.subject.candidates import Candidate, load
from harness.subject.execution import Executor, InProcess
from harness.subject.subject import Subject
from reference.errors import judge
from reference.formats import FORMATS, FloatFormat
from reports.record.ledger import Ledger
from reports.record.run_folder import open_ledger
from reports.record.tally import Tally, merge
from reports.record.witness import CellKey
from tests.longer import few_of
from tests.more_formats import EIGHT
from tests.pair_truths import truth_of_pairs

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


def subject(name: str, fmt: str, executor: Executor | None = None) -> Subject:
    return Subject(load(name), FORMATS[fmt], FORMATS[fmt], executor or InProcess())


def everything(plan: Exhaustion, executor: Executor) -> Tally:
    return merge(tally for shard in plan.shards() for tally in plan.measure(shard, executor).tallies.values())


# Which rows ------------------------------------------------------------------------------


def finite_encodings(fmt: FloatFormat, *, one_zero: bool) -> list[int]:
    codes = [c for c in range(2 * fmt.sign_bit) if fmt.is_finite(c) and not (one_zero and c == fmt.sign_bit)]
    return sorted(codes, key=lambda c: (fmt.ordinal(c), c != fmt.sign_bit))


@pytest.mark.parametrize("one_zero", [True, False])
@pytest.mark.parametrize("name", EIGHT)
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
@settings(max_examples=40)
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
    plan = Exhaustion(subject("max_shifted", "float8_e5m2"), length, BOTH)
    shards = list(plan.shards())
    assert shards[0].first == 0
    assert shards[-1].last == plan.enumeration.rows
    assert all(a.last == b.first for a, b in pairwise(shards))


# What is counted -------------------------------------------------------------------------


@pytest.mark.parametrize("name", few_of(EIGHT, 1))
def test_figures_of_all_pairs_are_those_of_the_judge_in_mpmath(name: str, here: InProcess) -> None:
    fmt, candidate = FORMATS[name], load("max_shifted")
    tally = everything(Exhaustion(Subject(candidate, fmt, fmt, here), 2, BOTH), here)
    rows = Enumeration(fmt, 2, unordered=True, one_zero=True)
    x = fmt.from_bits(rows.encodings(0, rows.rows))
    verdict = judge(candidate(x), truth_of_pairs(fmt.to_float64(x), fmt))
    assert tally.rows == rows.rows
    assert tally.max_ulp == pytest.approx(np.nanmax(verdict.ulp), abs=1e-6)
    assert tally.correct == verdict.correct.sum()
    assert tally.faithful == verdict.faithful.sum()
    assert tally.worst_row_sum_error == np.nanmax(verdict.row_sum_error)


def test_unordered_pairs_have_the_maxima_of_all_orders(here: InProcess) -> None:
    fmt, candidate = FORMATS["float8_e5m2"], load("max_shifted")
    assert check_symmetries(Subject(candidate, fmt, fmt, here), 2).permutation
    some, every = (
        everything(Exhaustion(Subject(candidate, fmt, fmt, here), 2, s), here) for s in (BOTH, NONE)
    )
    assert some.rows < every.rows
    for figure in ("max_ulp", "max_bound_ratio", "max_algorithm_ratio", "worst_row_sum_error"):
        assert getattr(some, figure) == getattr(every, figure)


def quick_and_full(fmt: FloatFormat, name: str, length: int, first: int) -> tuple[Tally, Tally]:
    """Count 4096 rows both ways."""
    candidate = load(name)
    subject = Subject(candidate, fmt, fmt, InProcess())
    cell = subject.cell("exhaustive", length)
    x = fmt.from_bits(Enumeration(fmt, length, unordered=False, one_zero=False).encodings(first, 4096))
    y = candidate(x).reshape(len(x), -1)
    labels = tuple(f"row {first + row}" for row in range(len(x)))
    rows = Rows.about(subject, x, labels=labels)
    full = without_profiles(measure(cell, rows, y, candidate.declared(fmt)))
    counting = Counting(cell, subject)
    counting.add(x[:1000], y[:1000], np.arange(first, first + 1000))
    counting.add(x[1000:], y[1000:], np.arange(first + 1000, first + len(x)))
    return counting.tally(), full


NEAR = Fraction(1, 2**20)


@given(st.data())
@settings(max_examples=50)
def test_quick_counts_are_those_of_the_full_measurement(data: st.DataObject) -> None:
    fmt = FORMATS[data.draw(st.sampled_from(["float16", "bfloat16", "float32", "float8_e5m2"]))]
    length = data.draw(st.integers(1, 3))
    every = min(Enumeration(fmt, length, unordered=False, one_zero=False).rows, LARGEST)
    first = data.draw(st.integers(0, max(0, every - 4096)))
    ops = ["log_of_softmax", "log_softmax_shifted", "logsumexp_naive", "logsumexp_shifted"]
    name = data.draw(st.sampled_from(["max_shifted", "naive", "exp_minus_lse", *ops]))
    if every < 4096:
        return
    quick, full = quick_and_full(fmt, name, length, first)
    for field in set(Tally.__dataclass_fields__) - {"ulp_sum", "histogram", "max_ulp", "witnesses"}:
        assert getattr(quick, field) == getattr(full, field), f"{field}, {name}, {fmt}, rows from {first}"
    assert abs(quick.ulp_sum - full.ulp_sum) <= 4096 * NEAR * max(1, full.max_ulp or 0)
    assert abs((quick.max_ulp or 0) - (full.max_ulp or 0)) <= NEAR
    assert sum(quick.histogram.values()) == sum(full.histogram.values())
    telling = {w for w in full.witnesses if w.kind != "max_ulp" or w.score > NEAR}
    assert telling <= set(quick.witnesses)


def test_settled_rows_are_those_with_one_entry_far_above_the_others() -> None:
    fmt = FORMATS["float16"]
    x = fmt.from_float64([[100.0, 0.0], [0.0, -33.0], [0.0, -20.0], [7.0, 7.0]])
    cell = CellKey("f", "softmax", "float16", "float16", "exhaustive", 2)
    wrong = fmt.from_float64([[1.0, 0.25], [1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    counting = Counting(cell, Subject(load("max_shifted"), fmt, fmt, InProcess()))
    counting.add(x, wrong, np.arange(10, 10 + len(x)))
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
    found = check_symmetries(Subject(candidate, fmt, fmt, executor), 2)
    assert (found.permutation, found.one_zero) == (False, True)
    assert Exhaustion(Subject(candidate, fmt, fmt, executor), 2, found).enumeration.rows == 63_487**2


def test_a_candidate_that_sees_the_sign_of_zero_is_given_both() -> None:
    def picky(x: np.ndarray) -> np.ndarray:
        y = plain(x)
        y[np.signbit(x).all(axis=1) & (x == 0).all(axis=1)] = 0
        return y

    candidate, executor = candidate_of(picky)
    fmt = FORMATS["float16"]
    assert check_symmetries(Subject(candidate, fmt, fmt, executor), 1) == Symmetries(False, False, 17_424)
    assert "nothing is assumed" in str(check_symmetries(Subject(candidate, fmt, fmt, executor), 1))


def test_triples_permute_only_where_the_sum_does(here: InProcess) -> None:
    assert not check_symmetries(subject("naive", "float32", here), 3).permutation
    assert check_symmetries(subject("max_shifted", "float16", here), 2).permutation


# Going on after a kill -------------------------------------------------------------------


class Killed(BaseException):
    """What a kill is to the loop."""


def test_what_was_counted_before_a_kill_is_kept_and_the_rest_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: InProcess
) -> None:
    monkeypatch.setattr(exhaustion, "BATCH_ELEMENTS", 2048)
    fmt = FORMATS["float8_e5m2"]
    plan = Exhaustion(Subject(load("max_shifted"), fmt, fmt, here), 2, BOTH)
    begun, measured = count(1), list[Range]()

    def stop_at_the_fifth(shard: Range, executor: Executor) -> Measured:
        if next(begun) == 5:
            raise Killed
        return plan.measure(shard, executor)

    def counted(shard: Range, executor: Executor) -> Measured:
        measured.append(shard)
        return plan.measure(shard, executor)

    def ledger() -> Ledger:
        return open_ledger(tmp_path, plan.identity(), plan.cells)

    with ledger() as first, pytest.raises(Killed):
        deal(plan.shards(), Threads(stop_at_the_fifth, InProcess(), 1), Record(first), lambda *_: None)
    with ledger() as second:
        kept = second.finished()
        deal(plan.shards(), Threads(counted, here, 2), Record(second), lambda *_: None)
        [(_, tally)] = second.tallies()
    assert 0 < len(kept) < len(list(plan.shards()))
    assert len(measured) == len(list(plan.shards())) - len(kept)
    assert tally == merge([everything(plan, here)])
