"""A proof through the shift is the proof over all pairs.

Evidence: the ends of every rounding interval by enumeration of all pairs; proofs over all pairs of the 8-bit
formats and of float16, of softmaxes and of functions of the rounded difference with random errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import flint
import numpy as np
import pytest
from numpy.typing import NDArray

from harness import cli
from harness.exhaust import (
    Exhaustion,
    NotByTheShift,
    ShiftedPairs,
    ShiftedTuples,
    Symmetries,
    pairs,
    tuples,
)
from harness.exhaust.differences import Differences
from harness.exhaust.quiet import edges
from harness.measurement import Rows, measure
from harness.subject.candidates import Candidate, load
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from harness.terminal.exceptions import UsageError
from reference import correctly_rounded, ulp_errors
from reference.formats import FORMATS, FloatFormat
from reference.ops import LOG_SOFTMAX, SOFTMAX, Op
from reference.pairs import LOG_SOFTMAX_PAIRS, SOFTMAX_PAIRS
from reports.record.tally import Tally, merge
from tests import arb
from tests.longer import few_of, sample
from tests.more_formats import EIGHT

Array = NDArray[Any]

BOTH = Symmetries(permutation=True, one_zero=True)


def subject_of(call: Callable[[Array], Array], fmt: FloatFormat, op: Op = SOFTMAX) -> Subject:
    candidate = Candidate(name="f", spec="f", call=call, op=op)
    return Subject(candidate, fmt, fmt, InProcess(load=lambda _: candidate))


def proved(plan: Exhaustion | ShiftedPairs | ShiftedTuples) -> Tally:
    executor = plan.subject.executor
    return merge(plan.measure(shard, executor).tallies[plan.cell] for shard in plan.shards())


def gaps_of_all_pairs(fmt: FloatFormat) -> dict[int, tuple[Fraction, Fraction]]:
    """Return the least and the greatest exact gap by the number of the rounded difference.

    A float64 holds each gap: 8 bits are within 34 binary places.
    """
    codes = [fmt.from_ordinal(o) for o in range(-fmt.largest_ordinal, fmt.largest_ordinal + 1)]
    values = np.array([float(value) for code in codes if (value := fmt.decode(code)) is not None])
    gaps = np.unique(np.subtract.outer(values, values))
    found: dict[int, tuple[Fraction, Fraction]] = {}
    for gap in map(Fraction, gaps[gaps >= 0].tolist()):
        number = min(fmt.ordinal(fmt.round(gap)), fmt.largest_ordinal + 1)
        least, greatest = found.get(number, (gap, gap))
        found[number] = min(least, gap), max(greatest, gap)
    return found


def by_rounded_difference(table: Callable[[NDArray[np.int64]], Array], fmt: FloatFormat) -> Any:
    """Return a candidate that looks its outputs up by the number of the rounded difference."""
    differences = Differences(fmt)

    def call(x: Array) -> Array:
        bits = fmt.to_bits(x)
        order = np.argsort(-fmt.ordinals(bits), axis=1, kind="stable")
        numbers = differences.numbers(np.take_along_axis(x, order, axis=1))[:, 0]
        y = np.empty_like(x)
        np.put_along_axis(y, order, table(numbers), axis=1)
        return y

    return call


def with_random_errors(fmt: FloatFormat, seed: int, op: Op = SOFTMAX) -> Any:
    """Return a candidate whose outputs are a few ulps off, by the rounded difference alone."""
    differences = Differences(fmt)
    numbers = np.arange(differences.count)
    rounded = correctly_rounded(fmt.from_bits(differences.plain(numbers[:, None])), op=op.name)
    steps = np.random.default_rng(seed).integers(-2, 3, rounded.shape)
    steps[0] = 0
    least, most = (-fmt.largest_ordinal, 0) if op.logarithmic else (0, fmt.ordinal(fmt.round(Fraction(1))))
    ordinals = np.clip(fmt.ordinals(fmt.to_bits(rounded)) + steps, least, most)
    table = fmt.from_bits(fmt.from_ordinals(ordinals))
    return by_rounded_difference(lambda which: table[which], fmt)


@pytest.mark.parametrize("name", EIGHT)
def test_rows_at_the_ends_have_the_least_and_the_greatest_gap(name: str) -> None:
    fmt = FORMATS[name]
    differences = Differences(fmt)
    numbers = np.arange(differences.count)
    values = fmt.to_float64(fmt.from_bits(differences.ends(numbers)))
    gaps = values[:, :, 0] - values[:, :, 1]
    found = {n: (Fraction(least), Fraction(most)) for n, (most, least) in enumerate(gaps.T.tolist())}
    assert found == gaps_of_all_pairs(fmt)


@pytest.mark.parametrize("name", few_of(EIGHT, 1))
def test_float8_maxima_are_those_of_all_pairs(name: str) -> None:
    fmt = FORMATS[name]
    whole = [subject_of(with_random_errors(fmt, seed), fmt) for seed in range(sample(4, 8))]
    whole += [Subject(load(name), fmt, fmt, InProcess()) for name in ("max_shifted", "online")]
    for subject in whole:
        plan = ShiftedPairs.checked(subject)
        every, tally = proved(Exhaustion(subject, 2, BOTH)), proved(plan)
        assert tally.max_ulp == every.max_ulp, subject.candidate.name
        assert tally.completed == tally.rows >= plan.rows
        assert tally.outcomes.keys() == every.outcomes.keys()


@pytest.mark.parametrize("name", few_of(EIGHT, 1))
def test_float8_maxima_of_log_softmax_are_those_of_all_pairs(name: str) -> None:
    fmt = FORMATS[name]
    whole = [
        subject_of(with_random_errors(fmt, seed, LOG_SOFTMAX), fmt, LOG_SOFTMAX)
        for seed in range(sample(4, 8))
    ]
    forms = ("log_softmax_shifted", "log_softmax_log1p", "log_of_softmax")
    whole += [Subject(load(form), fmt, fmt, InProcess()) for form in forms]
    for subject in whole:
        every, tally = proved(Exhaustion(subject, 2, BOTH)), proved(ShiftedPairs.checked(subject))
        assert tally.max_ulp == every.max_ulp, subject.candidate.name
        assert tally.completed == tally.rows


@pytest.mark.parametrize(("name", "op"), few_of(product(EIGHT, (SOFTMAX, LOG_SOFTMAX)), 2), ids=str)
def test_outputs_that_are_off_by_the_same_are_judged_at_the_ends_of_their_gaps(name: str, op: Op) -> None:
    """Outputs are some steps off where pairs are nearly tied or far apart, so that the worst row is there."""
    fmt = FORMATS[name]
    differences = Differences(fmt)
    tied, far = edges(differences, fmt)
    every = np.arange(differences.count)
    rounded = correctly_rounded(fmt.from_bits(differences.plain(every[:, None])), op=op.name)
    ordinals = fmt.ordinals(fmt.to_bits(rounded))

    def off_between(first: int, last: int, steps: int) -> Array:
        inside = ((every >= first) & (every < last))[:, None]
        moved = ordinals + np.where(inside, np.sign(ordinals) * steps, 0)
        return fmt.from_bits(fmt.from_ordinals(np.clip(moved, -fmt.largest_ordinal, fmt.largest_ordinal)))

    for first, last, steps in product((0, far), (tied, fmt.largest_ordinal + 2), (-9, -1, 9)):
        table = off_between(first, last, steps)
        subject = subject_of(by_rounded_difference(lambda which, table=table: table[which], fmt), fmt, op)
        whole, tally = proved(Exhaustion(subject, 2, BOTH)), proved(ShiftedPairs(subject, 1))
        assert tally.max_ulp == whole.max_ulp, (first, last, steps)
        assert tally.outcomes.keys() == whole.outcomes.keys()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_float16_maxima_are_those_of_all_pairs() -> None:
    subject = Subject(load("max_shifted"), FORMATS["float16"], FORMATS["float16"], InProcess())
    every, tally = proved(Exhaustion(subject, 2, BOTH)), proved(ShiftedPairs.checked(subject))
    assert tally.max_ulp == every.max_ulp


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_rows_of_float16_have_the_extreme_gaps_of_all_pairs() -> None:
    """For one larger entry after another: as the smaller falls, gaps and the numbers of differences rise."""
    fmt = FORMATS["float16"]
    differences = Differences(fmt)
    ordinals = np.arange(fmt.largest_ordinal, -fmt.largest_ordinal - 1, -1)
    values = fmt.to_float64(fmt.from_bits(fmt.from_ordinals(ordinals)))
    least, most = np.full(differences.count, np.inf), np.full(differences.count, -np.inf)
    limits = [
        limit for pairs in (SOFTMAX_PAIRS, LOG_SOFTMAX_PAIRS) for limit in pairs.limits(fmt, 2 * fmt.largest)
    ]
    nearest = np.array([np.inf if limit.beyond else -np.inf for limit in limits])
    beyond, places = nearest > 0, np.array([float(limit.gap) for limit in limits])
    for place, larger in enumerate(values):
        gaps = larger - values[place:]
        numbers = np.minimum(fmt.to_bits(fmt.from_float64(gaps)).astype(np.int64), differences.overflow)
        firsts = np.flatnonzero(np.diff(numbers, prepend=-1))
        lasts = np.append(firsts[1:], len(gaps)) - 1
        least[numbers[firsts]] = np.minimum(least[numbers[firsts]], gaps[firsts])
        most[numbers[lasts]] = np.maximum(most[numbers[lasts]], gaps[lasts])
        after = np.searchsorted(gaps, places)
        above, below = beyond & (after < len(gaps)), ~beyond & (after > 0)
        nearest[above] = np.minimum(nearest[above], gaps[after[above]])
        nearest[below] = np.maximum(nearest[below], gaps[after[below] - 1])
    rows = fmt.to_float64(fmt.from_bits(differences.ends(np.arange(differences.count))))
    found = rows[:, :, 0] - rows[:, :, 1]
    assert np.array_equal(found[0], most)
    assert np.array_equal(found[1], least)
    for limit, gap in zip(limits, nearest.tolist(), strict=True):
        [(_, row)] = differences.beside([limit])
        x = fmt.to_float64(fmt.from_bits(np.array(row, dtype=fmt.bits_dtype)))
        assert x[0] - x[1] == gap, f"limit {float(limit.gap).hex()}: {gap.hex()}"


def exponents(op: Op, gap: Fraction, fmt: FloatFormat) -> list[int]:
    """Return the exponents of the ulps of both results of a pair, by ball arithmetic."""
    high, low = arb.exact(-gap), arb.exact(gap)

    def results() -> list[Any]:
        if op.logarithmic:
            return [flint.arb(one).exp().log1p() for one in (high, low)]
        return [1 / (1 + flint.arb(one).exp()) for one in (high, low)]

    def binades(balls: list[Any]) -> list[Any]:
        return [(flint.arb(ball).log() / flint.arb(2).log()).floor().unique_fmpz() for ball in balls]

    found = arb.raised_until(lambda: binades(results()), lambda ends: None not in ends, bits=1024)
    return [max(int(end), fmt.emin) for end in found]


@pytest.mark.parametrize("op", [SOFTMAX, LOG_SOFTMAX], ids=str)
@pytest.mark.parametrize("name", ["float8_e5m2", "float16", "float32"])
def test_an_ulp_doubles_at_limits_alone(op: Op, name: str) -> None:
    """Evidence: Arb, 2^-390 on either side of each; and as many limits as there are binades to cross."""
    fmt, greatest, step = FORMATS[name], Fraction(300), Fraction(1, 2**390)
    assert op.pairs is not None
    limits = list(op.pairs.limits(fmt, greatest))
    for limit in limits:
        fine, coarse = (step, -step) if limit.beyond else (-step, step)
        smaller, greater = (exponents(op, limit.gap + side, fmt) for side in (fine, coarse))
        assert sum(greater) - sum(smaller) == 1, f"{float(limit.gap).hex()}: {greater}, {smaller}"
    crossed = zip(exponents(op, step, fmt), exponents(op, greatest, fmt), strict=True)
    assert len(limits) == sum(abs(first - last) for first, last in crossed)


def test_a_row_below_a_doubling_of_the_ulp_is_called() -> None:
    """The correct softmax but for one difference, at which the greatest error is within the interval."""
    fmt = FORMATS["float16"]
    number, row = Differences(fmt).beside(SOFTMAX_PAIRS.limits(fmt, 2 * fmt.largest))[1]
    off = fmt.from_float64([[1.0, 2.0**-10]])
    x = fmt.from_bits(np.array([row], dtype=fmt.bits_dtype))

    def table(numbers: NDArray[np.int64]) -> Array:
        y = correctly_rounded(fmt.from_bits(Differences(fmt).plain(numbers[:, None])))
        y[numbers == number] = off
        return np.asarray(y)

    tally = proved(ShiftedPairs(subject_of(by_rounded_difference(table, fmt), fmt), 1))
    worst = next(w for w in tally.witnesses if w.kind == "max_ulp")
    assert worst.x == fmt.to_hex(x[0])


def test_shards_of_any_size_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ShiftedPairs(Subject(load("max_shifted"), FORMATS["float16"], FORMATS["float16"], InProcess()), 1)
    whole = proved(plan)
    monkeypatch.setattr(pairs, "_BATCH", 1000)
    monkeypatch.setattr(pairs, "_BATCHES", 3)
    assert plan.shard_count == 11
    parts = proved(plan)
    assert (parts.rows, parts.max_ulp, parts.classes) == (whole.rows, whole.max_ulp, whole.classes)


def test_counts_are_those_of_the_rows_called() -> None:
    """Held against the plain measurement of every row that a proof calls, the settled ones among them."""
    fmt, shifted = FORMATS["float16"], load("max_shifted")
    called: list[np.ndarray] = []

    def noted(x: np.ndarray) -> np.ndarray:
        called.append(x.copy())
        return shifted.call(x)

    plan = ShiftedPairs(subject_of(noted, fmt), 1)
    tally = proved(plan)
    rows = Rows.about(plan.subject, np.concatenate(called))
    whole = measure(plan.cell, rows, shifted.call(rows.x), plan.subject.declaration)
    for counted in ("rows", "elements", "representable", "correct", "faithful", "classes", "outcomes"):
        assert getattr(tally, counted) == getattr(whole, counted), counted


def test_the_command_proves_what_the_rows_called_show_and_its_witness_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["exhaust", "max_shifted", "--format", "bfloat16", "--through-shift", "--in-process"]
    assert cli.run([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["proved"]
    assert document["through_shift"]
    assert "through their 32641 rounded differences" in document["statement"]
    assert document["assumed"].startswith("assumed: outputs depend on the rounded difference alone")
    witness = next(w for w in document["witnesses"] if w["kind"] == "max_ulp")
    assert witness["score"] == document["figures"]["max_ulp"]
    assert witness["score"] == pytest.approx(document["max_ulp_by_mpmath"], abs=1e-6)
    assert cli.run(["replay", f"latest#{witness['id']}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same_bits"]


def test_the_plain_form_is_refused_with_the_rows_that_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["exhaust", "naive", "--format", "float32", "--in-process"]) == UsageError.exit_code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: candidate 'naive': its outputs depend on more than the differences")
    assert " gives [" in last
    assert not Path("harness-out").exists()


def spoiled(rows: Iterable[tuple[float, float]], fmt: FloatFormat) -> Any:
    """Return a correct softmax but for some rows."""

    def call(x: Array) -> Array:
        y = correctly_rounded(x)
        for row in rows:
            y[(fmt.to_float64(x) == row).all(axis=1)] = 0.5
        return np.asarray(y)

    return call


def test_a_row_that_the_sample_lacks_is_found_among_those_measured() -> None:
    fmt = FORMATS["float16"]
    number = fmt.round(Fraction(5.203125))
    [[row], _] = fmt.to_float64(fmt.from_bits(Differences(fmt).ends(np.array([number])))).tolist()
    with pytest.raises(NotByTheShift, match="gives"):
        proved(ShiftedPairs(subject_of(spoiled([tuple(row)], fmt), fmt), 1))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: correctly_rounded(x + (x == 0) * np.signbit(x)),
        lambda x: np.where(x[:, :1] > x[:, 1:], 1, correctly_rounded(x)).astype(x.dtype),
        lambda x: correctly_rounded(x * (np.abs(x) < 30000)),
        lambda x: correctly_rounded(x * (np.abs(x) >= 2.0**-14)),
    ],
    ids=["sign of zero", "place", "clamped", "subnormal inputs flushed"],
)
def test_what_sees_more_than_the_difference_is_refused(call: Callable[[Array], Array]) -> None:
    with pytest.raises(NotByTheShift):
        ShiftedPairs.checked(subject_of(call, FORMATS["float16"]))


# Triples ---------------------------------------------------------------------------------


def rows_with_random_errors(fmt: FloatFormat, seed: int, length: int = 3) -> Any:
    """Return a candidate whose outputs are a few ulps off, by the rounded differences alone."""
    differences = Differences(fmt)
    shape = (*[differences.count] * (length - 1), length)
    steps = np.random.default_rng(seed).integers(-2, 3, shape, dtype=np.int8)

    def call(x: Array) -> Array:
        order = np.argsort(-fmt.ordinals(fmt.to_bits(x)), axis=1, kind="stable")
        numbers = differences.numbers(np.take_along_axis(x, order, axis=1))
        rounded = correctly_rounded(fmt.from_bits(differences.plain(numbers)))
        ordinals = fmt.ordinals(fmt.to_bits(rounded)) + steps[tuple(numbers.T)]
        ordinals = np.clip(ordinals, 0, fmt.ordinal(fmt.round(Fraction(1))))
        y = np.empty_like(x)
        np.put_along_axis(y, order, fmt.from_bits(fmt.from_ordinals(ordinals)), axis=1)
        return y

    return call


def known_of_nothing(subject: Subject, length: int = 3) -> ShiftedTuples:
    """Return a plan that begins with a row of no error, so that all is found by the bounds."""
    return ShiftedTuples(subject, 1, length, (0.0, (0,) * length))


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("float8_e4m3fnuz", 2),  # the worst row is tied at the top: its result is below 1/2 by exp(-248)
        pytest.param("float8_e5m2", 0, marks=pytest.mark.slow),
        *(pytest.param(name, seed, marks=pytest.mark.slow) for name in EIGHT for seed in range(3, 6)),
    ],
)
def test_float8_triples_have_the_maximum_of_all(name: str, seed: int) -> None:
    fmt = FORMATS[name]
    subject = subject_of(rows_with_random_errors(fmt, seed), fmt)
    every, tally = proved(Exhaustion(subject, 3, BOTH)), proved(known_of_nothing(subject))
    assert tally.max_ulp == pytest.approx(every.max_ulp, abs=1e-9)
    assert tally.rows < every.rows // 100


@cache
def differences_of_all_pairs(fmt: FloatFormat) -> tuple[Array, NDArray[np.int64]]:
    """Return all numbers, and the rounded difference of each pair; -1 where the second is the larger."""
    differences = Differences(fmt)
    every = fmt.from_bits(fmt.from_ordinals(np.arange(-fmt.largest_ordinal, fmt.largest_ordinal + 1)))
    count = len(every)
    pairs = np.stack([np.repeat(every, count), np.tile(every, count)], axis=1)
    rounded = differences.numbers(pairs)[:, 0].reshape(count, count)
    values = fmt.to_float64(every)
    return every, np.where(values[None, :] <= values[:, None], rounded, -1)


def rows_with(numbers: NDArray[np.int64], fmt: FloatFormat) -> Array:
    """Return all rows with these rounded differences, the maximum first, by rounding every difference."""
    every, rounded_by_top = differences_of_all_pairs(fmt)
    found = []
    for top, rounded in zip(every, rounded_by_top, strict=True):
        choices = [every[rounded == number] for number in numbers]
        if all(map(len, choices)):
            grids = np.meshgrid(*choices, indexing="ij")
            rest = np.stack([grid.ravel() for grid in grids], axis=1)
            found.append(np.concatenate([np.full((len(rest), 1), top, dtype=every.dtype), rest], axis=1))
    return np.concatenate(found) if found else np.empty((0, len(numbers) + 1), dtype=every.dtype)


@pytest.mark.parametrize(
    ("name", "length"),
    [("float8_e4m3fn", 4), ("float8_e5m2", 4), *(pytest.param(n, 5, marks=pytest.mark.slow) for n in EIGHT)],
)
def test_the_worst_row_of_given_differences_is_the_worst_of_all_of_them(name: str, length: int) -> None:
    fmt, rng = FORMATS[name], np.random.default_rng(length)
    plan = known_of_nothing(Subject(load("max_shifted"), fmt, fmt, InProcess()), length)
    near = fmt.ordinal(fmt.round(Fraction(1, 4))), fmt.ordinal(fmt.round(Fraction(9)))
    compared = 0
    for _ in range(40):
        numbers = np.sort(rng.integers(near[0], near[1], length - 1))
        rows = rows_with(numbers, fmt)
        if not len(rows):
            continue
        steps = rng.integers(-3, 4, length)
        plain = correctly_rounded(fmt.from_bits(plan.differences.plain(numbers[None, :])))
        y = fmt.from_bits(fmt.from_ordinals(np.maximum(fmt.ordinals(fmt.to_bits(plain)) + steps, 0)))
        outputs = np.repeat(y, len(rows), axis=0)
        worst = float(ulp_errors(rows, outputs).max())
        error, places = tuples._worst_row(numbers, fmt.to_float64(y)[0], plan.gaps)
        row = fmt.from_bits(fmt.from_ordinals(places - fmt.largest_ordinal))
        assert (rows == row).all(axis=1).any(), fmt.to_hex(row)
        assert error == pytest.approx(worst, abs=1e-9), numbers.tolist()
        assert tuples._bounds(numbers[None, :], fmt.to_float64(y), plan.gaps)[0] >= worst - 1e-9
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("length", [3, 4, 5])
def test_combinations_of_differences_are_numbered_without_a_gap(length: int) -> None:
    count, k = 7, length - 1
    every = [c[::-1] for c in product(range(count), repeat=k) if list(c) == sorted(c, reverse=True)]
    for first in range(0, len(every), 5):
        numbers = np.empty((len(every) - first, k), dtype=np.int64)
        tuples._fill_numbers(np.array(tuples._combination(first, k)), numbers)
        assert numbers.tolist() == [list(c) for c in every[first:]]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", EIGHT)
def test_no_quadruple_of_float8_is_worse_than_the_proven_maximum(name: str) -> None:
    fmt, rng = FORMATS[name], np.random.default_rng(4)
    subject = Subject(load("max_shifted"), fmt, fmt, InProcess())
    proven = proved(ShiftedTuples.checked(subject, 4)).max_ulp
    ordinals = rng.integers(-fmt.largest_ordinal, fmt.largest_ordinal + 1, (1_000_000, 4))
    x = fmt.from_bits(fmt.from_ordinals(ordinals))
    assert proven is not None
    assert np.nanmax(ulp_errors(x, load("max_shifted").call(x))) <= proven + 1e-9


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("candidate", ["max_shifted"])
def test_float8_triples_of_built_ins_have_the_maximum_of_all_orders(name: str, candidate: str) -> None:
    fmt = FORMATS[name]
    subject = Subject(load(candidate), fmt, fmt, InProcess())
    every = proved(Exhaustion(subject, 3, Symmetries(permutation=False, one_zero=True)))
    for plan in (ShiftedTuples.checked(subject, 3), known_of_nothing(subject)):
        tally = proved(plan)
        assert tally.max_ulp == pytest.approx(every.max_ulp, abs=1e-9)
        assert tally.outcomes.get("overflow", 0) == 0 or "overflow" in every.outcomes


def test_shards_of_triples_of_any_size_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fmt = FORMATS["float8_e5m2"]
    plan = known_of_nothing(Subject(load("max_shifted"), fmt, fmt, InProcess()))
    whole = proved(plan)
    monkeypatch.setattr(tuples, "BATCH_ELEMENTS", 3 * 997)
    monkeypatch.setattr(tuples, "_BATCHES", 2)
    assert plan.shard_count == 4
    assert proved(plan).max_ulp == whole.max_ulp


def test_the_command_proves_triples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["exhaust", "max_shifted", "--format", "float8_e5m2", "--length", "3", "--in-process"]
    assert cli.run([*arguments, "--through-shift", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["proved"]
    assert "through their 7875 pairs of rounded differences" in document["statement"]
    assert document["figures"]["max_ulp"] == pytest.approx(12.98835150761945, abs=1e-9)
    witness = next(w for w in document["witnesses"] if w["kind"] == "max_ulp")
    assert cli.run(["replay", f"latest#{witness['id']}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same_bits"]
    assert cli.run([*arguments[:1], "naive", *arguments[2:], "--through-shift"]) == UsageError.exit_code
    assert "so rows of 3 are not proved through the shift: [" in capsys.readouterr().err
