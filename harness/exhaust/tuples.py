"""Every row of three to five entries of a small format through the shift: bounds, and rows with high bounds.

Of n entries a softmax that shifts sees n - 1 rounded differences, and the place of the maximum. Given these,
the exact gaps lie in the box of their intervals (`differences`). With the weights w = exp(-gap) known to lie
between those at the ends of the intervals, each r is monotone in each weight, so its least and greatest
values are at corners of the box. They bound the error of an output above, whatever the row.

- *Bound.* The candidate is called once for all differences of a row, in each order, on (0, z, z', ...). The
  bound is computed in binary64 with each r widened by 2^-40, far more than a few dozen roundings take.
- *Measure.* No row need attain a corner, since all its gaps share a maximum. So where the bound exceeds the
  greatest error known so far, all maxima m are gone through: given m, the smaller entries range over
  neighbours in the format independently of each other, and a corner of this box is a row. The worst of
  these rows is measured by the certified reference. Where an ulp of r doubles within the box of m, the row
  just below is looked for along each of its lines: the error grows towards the highest such place from
  below, and behind it is greatest at the least or the greatest r.
- *Begin.* The greatest error known at first is that of a short search.

Rows in which a difference overflows have no plainest one: it may be that no maximum is far enough from
-Omega and near enough to the other entries. A row is looked for in the same way; without one there is nothing
to prove.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.campaign.deal import Measured
from harness.exhaust.bulk import Counting, without_profiles
from harness.exhaust.differences import Differences
from harness.exhaust.enumeration import Enumeration
from harness.exhaust.exhaustion import BATCH_ELEMENTS, Range, completed, faulty_tally
from harness.exhaust.shift import Called, ShiftedRows, check_shift, require_same
from harness.subject.execution import Executor
from harness.subject.subject import Subject
from harness.witnesses.search import search
from reference.certified.compiled import compiled
from reference.certified.evaluation import evaluate
from reports.record.tally import Tally, merge

__all__ = ["ShiftedTuples"]

Array = NDArray[Any]
Numbers = NDArray[np.int64]

EVALUATIONS: Final = 100_000
"""Rows of the search for the greatest error known at first."""

_BATCHES: Final = 8
"""Batches of a shard: a second or two, and what a kill can lose."""

_WIDER: Final = 2.0**-40

_AGREEMENT: Final = 1e-6
"""How close the certified error of a row must be to that in binary64."""


class _Gaps(NamedTuple):
    """The exact gaps of each rounded difference, and what is needed beside.

    Attributes:
        least, most: the least and the greatest gap of any pair, by number.
        light, heavy: exp(-gap) of the greatest and the least.
        values: all finite numbers, in order.
        precision, emin: of the outputs.
    """

    least: NDArray[np.float64]
    most: NDArray[np.float64]
    light: NDArray[np.float64]
    heavy: NDArray[np.float64]
    values: NDArray[np.float64]
    precision: int
    emin: int


@dataclass(frozen=True)
class ShiftedTuples(ShiftedRows):
    """Every row of three or more entries of a small format, through one candidate that shifts.

    Attributes:
        known: the greatest error known at first, and the encodings of the row that has it.
    """

    known: tuple[float, tuple[int, ...]]

    counted: ClassVar = "of the rows measured in full, "

    @classmethod
    def checked(cls, subject: Subject, length: int) -> ShiftedTuples:
        """Return the plan for a candidate whose outputs depend on rounded differences alone.

        Raises:
            NotByTheShift: they do not.
        """
        sample = check_shift(subject, Differences(subject.format), length)
        found = search(subject, length, EVALUATIONS, 0, "ulp")
        if found.witness is None or found.score is None:
            return cls(subject, sample, length, (0.0, (0,) * length))
        row = bytes.fromhex(found.witness.x)
        bits = np.frombuffer(row, dtype=subject.format.bits_dtype.newbyteorder(">"))
        return cls(subject, sample, length, (found.score, tuple(bits.tolist())))

    @cached_property
    def gaps(self) -> _Gaps:
        """The exact gaps of each."""
        fmt, out = self.subject.format, self.subject.out
        ends = fmt.to_float64(fmt.from_bits(self.differences.ends(np.arange(self.differences.count))))
        most, least = (end[:, 0] - end[:, 1] for end in ends)
        ordinals = np.arange(-fmt.largest_ordinal, fmt.largest_ordinal + 1)
        values = fmt.to_float64(fmt.from_bits(fmt.from_ordinals(ordinals)))
        light, heavy = (np.array([math.exp(-gap) for gap in gaps]) for gaps in (most, least))
        return _Gaps(least, most, light, heavy, values, out.precision, out.emin)

    @property
    def numbered(self) -> int:
        """How many combinations of differences there are."""
        return math.comb(self.differences.count + self.length - 2, self.length - 1)

    @property
    def batch(self) -> int:
        """How many of them make a call."""
        return BATCH_ELEMENTS // self.length

    @property
    def rows(self) -> int:
        """How many rows are called, but for those that are measured again."""
        return self.numbered * math.factorial(self.length)

    @property
    def scope(self) -> str:
        """Which rows the proof is of."""
        rows = Enumeration(self.subject.format, self.length, unordered=False, one_zero=True)
        many = {3: "pairs", 4: "triples", 5: "quadruples"}[self.length]
        return f"{rows} ({rows.rows:.3g}), through their {self.numbered} {many} of rounded differences"

    @property
    def assumed(self) -> str:
        """What is assumed, and on what grounds."""
        return (
            "assumed: outputs depend on the rounded differences and the place of the maximum alone, and -0"
            f" gives the bits of +0; checked bitwise on {self.sample} rows made to break it"
        )

    def identity(self) -> dict[str, Any]:
        """Return what decides the figures, as JSON carries it."""
        return {**super().identity(), "known": self.known[0]}

    @property
    def shard_size(self) -> int:
        """How many of them make a shard."""
        return self.batch * _BATCHES

    def measure(self, shard: Range, executor: Executor) -> Measured:
        """Return the tally of the rows of a shard that are measured.

        Raises:
            NotByTheShift: rows with the same rounded differences have different outputs.
        """
        part = _Part(self, self.subject.by(executor))
        if shard.first == 0:
            part.measure_row(np.array(self.known[1]))
        for first in range(shard.first, shard.last, self.batch):
            part.take(first, min(first + self.batch, shard.last))
        return Measured({self.cell: replace(part.tally(), digests={shard.number: part.digest()})})

    def seconds(self) -> float:
        """Return how long all takes one thread, by a few batches, the first of them not timed."""
        count = min(self.batch, self.numbered)
        spent = []
        for place in range(4):
            begun = time.perf_counter()
            first = (self.numbered - count) * place // 4
            _Part(self, self.subject).take(first, first + count)
            spent.append(time.perf_counter() - begun)
        return sum(spent[1:]) / (len(spent) - 1) / count * self.numbered


class _Part:
    """What is counted of some differences.

    Args:
        plan: the plan.
        subject: bound to the executor of the part.
    """

    def __init__(self, plan: ShiftedTuples, subject: Subject) -> None:
        self._plan, self._subject = plan, subject
        self._counting = Counting(plan.cell, subject)
        self._digest = hashlib.sha256()
        self._others: list[Tally] = []
        self._known = plan.known[0]

    def take(self, first: int, last: int) -> None:
        """Count the combinations of these numbers in every order."""
        plan, fmt = self._plan, self._subject.format
        numbers = np.empty((last - first, plan.length - 1), dtype=np.int64)
        _fill_numbers(np.array(_combination(first, plan.length - 1)), numbers)
        beyond = numbers[:, -1] == plan.differences.overflow
        bits = plan.differences.plain(numbers)
        if beyond.any():
            places = _first_rows(numbers[beyond], plan.gaps)
            bits[beyond] = fmt.from_ordinals(np.maximum(places, 0) - fmt.largest_ordinal)
            there = np.ones(len(numbers), dtype=np.bool_)
            there[beyond] = places[:, 0] >= 0
            numbers, bits = numbers[there], bits[there]
        if len(numbers):
            self._digest.update(np.ascontiguousarray(bits, dtype=bits.dtype.newbyteorder("<")).data)
            self._in_all_orders(numbers, fmt.from_bits(bits))

    def measure_row(self, bits: Array) -> None:
        """Measure a row in full."""
        x = self._subject.format.from_bits(bits[None, :])
        self._count(x, completed(self._subject, x))

    def tally(self) -> Tally:
        """Return what was counted so far."""
        return merge([self._counting.tally(), *self._others])

    def digest(self) -> str:
        """Return the digest of all rows called, but for those that are measured again."""
        return self._digest.hexdigest()

    def _in_all_orders(self, numbers: Numbers, x: Array) -> None:
        seen: Array | None = None
        for order in permutations(range(self._plan.length)):
            turned = np.ascontiguousarray(x[:, order])
            outcome = completed(self._subject, turned)
            if outcome.outputs is None or not outcome.completed.all():
                lost = np.flatnonzero(~outcome.completed)
                self._others.append(self._faulty(Called(turned, outcome), lost))
                if outcome.outputs is None:
                    continue
            y = outcome.outputs[:, np.argsort(order)]
            new = outcome.completed.copy()
            if seen is None:
                seen = self._subject.out.to_bits(y)
            else:
                new &= (self._subject.out.to_bits(y) != seen).any(axis=1)
            self._examine(numbers[new], x[new], y[new], order)

    def _faulty(self, called: Called, lost: NDArray[np.intp]) -> Tally:
        again = np.ascontiguousarray(called.x[lost])
        outcome = completed(self._subject, again)
        labels = [f"row {row}" for row in lost.tolist()]
        return without_profiles(faulty_tally(self._plan.cell, self._subject, again, labels, outcome))

    def _examine(self, numbers: Numbers, x: Array, y: Array, order: tuple[int, ...]) -> None:
        """Measure what may have a greater error than is known, and what is no number from 0 to 1."""
        if not len(numbers):
            return
        outputs = self._subject.out.to_float64(y)
        odd = ~((outputs >= 0) & (outputs <= 1)).all(axis=1)
        if odd.any():
            rows = np.ascontiguousarray(x[odd][:, order])
            self._count(rows, completed(self._subject, rows))
        bounds = _bounds(numbers, outputs, self._plan.gaps)
        high = np.flatnonzero((bounds > self._known) & ~odd)
        for place in high[np.argsort(-bounds[high], kind="stable")].tolist():
            if bounds[place] <= self._known:
                return
            self._refine(numbers[place], x[place], outputs[place], order)

    def _refine(self, numbers: Numbers, plain: Array, y: NDArray[np.float64], order: tuple[int, ...]) -> None:
        """Measure the worst row with these rounded differences."""
        subject, fmt = self._subject, self._subject.format
        error, places = _worst_row(numbers, y, self._plan.gaps)
        if error <= self._known:
            return
        row = fmt.from_bits(fmt.from_ordinals(places - fmt.largest_ordinal))
        x = np.ascontiguousarray(np.stack([plain, row])[:, order])
        called = Called(x, completed(subject, x))
        require_same(subject, called.part(0, 1), called.part(1, 2), range(self._plan.length))
        self._count(x[1:], called.part(1, 2).outcome)
        judgement, _ = evaluate(fmt.to_float64(row)[None, :], y[None, :], subject.out)
        self._known = float(judgement.ulp.max())
        if abs(self._known - error) > _AGREEMENT * max(error, 1.0):
            raise ArithmeticError(
                f"row {fmt.to_hex(row)}: the certified error is {self._known:.9g} ULP, not {error:.9g}: a"
                " result next to a power of two, which the proof does not settle; please report it"
            )

    def _count(self, x: Array, outcome: Any) -> None:
        if outcome.outputs is not None and outcome.completed.all():
            self._counting.add(x, outcome.outputs, np.arange(len(x)))
        else:
            self._others.append(self._faulty(Called(x, outcome), np.arange(len(x))))


# Kernels ---------------------------------------------------------------------------------


def _combination(number: int, count: int) -> list[int]:
    """Return the combination of that number, a <= b <= ..., in the order of Enumeration's multisets."""
    found: list[int] = []
    for left in range(count, 0, -1):
        value = 0
        while math.comb(value + left, left) <= number:
            value += 1
        number -= math.comb(value + left - 1, left)
        found.append(value)
    return found[::-1]


@compiled
def _fill_numbers(first: Any, numbers: Any) -> None:
    """Write a combination and those after it; `first` is used up."""
    k = len(first)
    for row in range(len(numbers)):
        for j in range(k):
            numbers[row, j] = first[j]
        j = 0
        while j < k - 1 and first[j] == first[j + 1]:
            first[j] = 0
            j += 1
        first[j] += 1


@compiled
def _ulp(r: float, precision: int, emin: int) -> Any:
    exponent = max(math.frexp(r)[1] - 1, emin)
    return math.ldexp(1.0, exponent - precision + 1)


@compiled
def _greatest_error(y: float, low: float, high: float, precision: int, emin: int) -> Any:
    """Return a bound of |y - r| / ulp(r) over low <= r <= high."""
    low, high = low * (1.0 - _WIDER), high * (1.0 + _WIDER)
    error = 0.0
    below, above = _ulp(low, precision, emin), _ulp(high, precision, emin)
    if y > low:
        error = (y - low) / below
    if y < high:
        error = max(error, (high - y) / above)
        if above > 2.0 * below:
            error = max(error, (high - y) / below)
        elif above > below:
            error = max(error, (math.ldexp(above, precision - 1) - y) / below)
    return error


@compiled
def _bounds(numbers: Any, y: Any, gaps: Any) -> Any:
    """Return a bound of the greatest error of any row with these rounded differences."""
    light, heavy, p, emin = gaps.light, gaps.heavy, gaps.precision, gaps.emin
    bounds = np.empty(len(numbers))
    for row in range(len(numbers)):
        least = most = 1.0
        for number in numbers[row]:
            least, most = least + light[number], most + heavy[number]
        bound = _greatest_error(y[row, 0], 1.0 / most, 1.0 / least, p, emin)
        for j in range(numbers.shape[1]):
            low, high = light[numbers[row, j]], heavy[numbers[row, j]]
            low, high = low / ((most - high) + low), high / ((least - low) + high)
            bound = max(bound, _greatest_error(y[row, j + 1], low, high, p, emin))
        bounds[row] = bound
    return bounds


@compiled
def _reach_of(values: Any, m: int, least: float, most: float, first: int, last: int) -> Any:
    """Return the first number at most `most` below number m, and the last at least `least` below it.

    The numbers of the maximum before are where to begin.
    """
    while values[m] - values[first] > most:
        first += 1
    while last + 1 <= m and values[m] - values[last + 1] >= least:
        last += 1
    return first, last


@compiled
def _reaches(m: int, numbers: Any, gaps: Any, reach: Any) -> Any:
    """Bring the places of each other entry from the maximum before to m, and tell whether there are any."""
    there = True
    for j in range(len(numbers)):
        least, most = gaps.least[numbers[j]], gaps.most[numbers[j]]
        reach[j, 0], reach[j, 1] = _reach_of(gaps.values, m, least, most, reach[j, 0], reach[j, 1])
        there &= reach[j, 0] <= reach[j, 1]
    return there


@compiled
def _begun(count: int) -> Any:
    reach = np.zeros((count, 2), dtype=np.int64)
    reach[:, 1] = -1
    return reach


@compiled
def _first_rows(numbers: Any, gaps: Any) -> Any:
    """Return a row with these differences, as places among all numbers; -1 where there is none."""
    rows = np.full((len(numbers), numbers.shape[1] + 1), -1, dtype=np.int64)
    for row in range(len(numbers)):
        reach = _begun(numbers.shape[1])
        for m in range(len(gaps.values)):
            if _reaches(m, numbers[row], gaps, reach):
                rows[row, 0] = m
                rows[row, 1:] = reach[:, 1]
                break
    return rows


@compiled
def _result(element: int, row: Any, values: Any) -> Any:
    """Return r of one element of a row, given by places, the maximum first."""
    total, own = 1.0, 1.0
    for j in range(1, len(row)):
        weight = math.exp(values[row[j]] - values[row[0]])
        total += weight
        own = weight if j == element else own
    return own / total


@compiled
def _error(y: Any, element: int, row: Any, gaps: Any) -> Any:
    """Return the error of one element; an r next to a power of two counts as below it.

    It is where the other entries hardly count: 1 / (1 + exp(-248)) is below 1, which binary64 cannot tell. By
    Lindemann-Weierstrass r is a power of two only where all entries are equal. One next above it would be a
    coincidence, which the certified error of the row shows.
    """
    r = _result(element, row, gaps.values)
    wider = 0.0 if row.min() == row[0] else _WIDER
    return abs(y[element] - r) / _ulp(r * (1.0 - wider), gaps.precision, gaps.emin)


@compiled
def _worst_row(numbers: Any, y: Any, gaps: Any) -> Any:
    """Return the greatest error of a row with these differences, and its places among all numbers."""
    best, worst = -1.0, np.zeros(len(numbers) + 1, dtype=np.int64)
    reach = _begun(len(numbers))
    for m in range(len(gaps.values)):
        if _reaches(m, numbers, gaps, reach):
            best = _worst_of_box(m, reach, y, gaps, best, worst)
    return best, worst


@compiled
def _worst_of_box(m: int, reach: Any, y: Any, gaps: Any, best: float, worst: Any) -> Any:
    """Return the greatest error of rows with maximum m and the others within reach, noting its places."""
    p, emin, count = gaps.precision, gaps.emin, len(reach)
    row = np.empty(count + 1, dtype=np.int64)
    row[0] = m
    for element in range(count + 1):
        low, high = np.inf, 0.0
        for corner in range(1 << count):
            for j in range(count):
                row[j + 1] = reach[j, (corner >> j) & 1]
            r = _result(element, row, gaps.values)
            low, high = min(low, r), max(high, r)
            error = _error(y, element, row, gaps)
            if error > best:
                best = error
                worst[:] = row
        doubled = math.ldexp(_ulp(high, p, emin), p - 1)
        if low < doubled <= high and _greatest_error(y[element], low, high, p, emin) > best:
            best = _worst_below(doubled, element, row, reach, y, gaps, best, worst)
    return best


@compiled
def _worst_below(
    doubled: float, element: int, row: Any, reach: Any, y: Any, gaps: Any, best: float, worst: Any
) -> Any:
    """Return the same of the rows just below a number, one for each line along the last entry."""
    last = len(reach)
    for j in range(last - 1):
        row[j + 1] = reach[j, 0]
    while True:
        row[last] = _last_below(doubled, element, row, reach[last - 1], gaps.values)
        error = _error(y, element, row, gaps)
        if error > best:
            best = error
            worst[:] = row
        j = 0
        while j < last - 1 and row[j + 1] == reach[j, 1]:
            row[j + 1] = reach[j, 0]
            j += 1
        if j == last - 1:
            return best
        row[j + 1] += 1


@compiled
def _last_below(doubled: float, element: int, row: Any, within: Any, values: Any) -> Any:
    """Return the last entry, within bounds, with which r is greatest of all below a number, if any is.

    r grows with the last entry if it is its own, and falls if not.
    """
    last = len(row) - 1
    rises = element == last
    begin, end = within
    while begin < end:
        middle = (begin + end + int(rises)) // 2
        row[last] = middle
        is_below = _result(element, row, values) * (1.0 - _WIDER) < doubled
        if rises and is_below:
            begin = middle
        elif rises:
            end = middle - 1
        elif is_below:
            end = middle
        else:
            begin = middle + 1
    return begin
