"""The contract of a candidate, apart from accuracy; a violation is a defect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.checks.accuracy import as_accurate, company, less_accurate
from harness.checks.check import Check, Examined, Examinee, differing_entry, number, same_bits
from harness.subject.execution import Outcome, Presentation
from harness.subject.execution.calls import OFTEN
from reference.formats import FloatFormat
from reference.ops import Op
from reference.tiers import FAST

__all__ = ["CONTRACT"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

REPEATS: Final = 3

SOME: Final = 4
"""Rows of a length that are called a hundred times, and in two threads."""


def _keeps_shape(examinee: Examinee, x: Array) -> Examined:
    """Rows, vectors, stacks and empty batches must come back in the shape and format asked for."""
    plain = examinee.outcome(x)
    wrong = {
        fault.row: fault.message
        for fault in plain.faults
        if fault.kind in ("wrong_shape", "wrong_dtype") and fault.row is not None
    }
    done, broken = plain.completed, np.zeros(len(x), dtype=np.bool_)
    broken[list(wrong)] = True
    notes = dict(wrong)
    arrangements: tuple[Presentation, ...] = ("vectors", "cube", "four_axes", "empty")
    for presentation in arrangements if done.any() else ():
        rows = np.flatnonzero(done)
        other = examinee.call(x[rows], presentation)
        lost = rows[~other.completed]
        broken[lost] = True
        told = other.faults[0].message if other.faults else ""
        notes |= {int(row): f"{presentation}: {told}" for row in lost if int(row) not in notes}
    return Examined(broken, done | broken, lambda row: notes[row])


def _leaves_input(examinee: Examinee, x: Array) -> Examined:
    outcome = examinee.call(x, "watched")
    changed = outcome.overwritten if outcome.overwritten is not None else np.zeros(len(x), dtype=np.bool_)
    return Examined(changed, outcome.completed | changed, lambda _: "its entries were overwritten")


def _repeats(examinee: Examinee, x: Array) -> Examined:
    first = examinee.outcome(x)
    found = [_compared(examinee, x, first, examinee.call(x)) for _ in range(REPEATS - 1)]
    return next((examined for examined in found if examined.broken.any()), found[0])


def _compared(
    examinee: Examinee, x: Array, first: Outcome, second: Outcome, what: str = "called again"
) -> Examined:
    both = first.completed & second.completed
    if first.outputs is None or second.outputs is None:
        return Examined.nothing(len(x))
    return _differing(examinee, first.outputs, second.outputs, both, what)


def _differing(examinee: Examinee, y: Array, other: Array, tried: Flags, what: str) -> Examined:
    broken = tried & ~same_bits(examinee.out, y, other).all(axis=1)

    def note(row: int) -> str:
        this, that = differing_entry(examinee.out, y[row], other[row])
        return f"{this}; {what}: {that}"

    return Examined(broken, tried, note)


def _alone_as_in_a_batch(examinee: Examinee, x: Array) -> Examined:
    """A row alone has the bits that it has in any batch; the same accuracy, where the policy is that."""
    return _alone_as_in(examinee, x, examinee.extent.batch_sizes(x.shape[1]))


def _alone_as_in_a_large_batch(examinee: Examinee, x: Array) -> Examined:
    sizes = examinee.extent.large_sizes(x.shape[1])
    return _alone_as_in(examinee, x, sizes) if sizes else Examined.nothing(len(x))


def _alone_as_in(examinee: Examinee, x: Array, sizes: Iterable[int]) -> Examined:
    """Hold rows called alone against every copy of them in batches of so many rows."""
    length = x.shape[1]
    crowd = np.concatenate([x, company(examinee.subject, length)])
    alone, done = _each_alone(examinee, x)
    tried, broken = np.zeros(len(x), dtype=np.bool_), np.zeros(len(x), dtype=np.bool_)
    notes: dict[int, str] = {}
    for wanted in sizes:
        size = examinee.affordable(wanted, length)
        batch = examinee.call(_repeated(crowd, size))
        found = _Copies(examinee, x, alone, done, batch, len(crowd))
        tried |= found.tried
        notes |= found.told(size)
        broken[list(notes)] = True
        if broken.any():
            break
    return Examined(broken, tried, lambda row: notes[row])


def _repeated(crowd: Array, size: int) -> Array:
    """Return so many rows, those given again and again."""
    whole = np.broadcast_to(crowd, (-(-size // len(crowd)), *crowd.shape)).reshape(-1, crowd.shape[1])
    return np.ascontiguousarray(whole[:size])


AT_ONCE: Final = 1 << 18
"""Entries that are compared together: few enough to stay in a processor's cache."""


class _Copies:
    """The copies of rows in a batch, held against the rows alone.

    Args:
        examinee: what was called.
        x: the rows.
        alone: their outputs alone, of those that are done.
        done: which completed alone.
        batch: what came of the batch, in which rows x begin every `period` rows.
        period: rows of x and of its company.
    """

    def __init__(
        self, examinee: Examinee, x: Array, alone: Array, done: Flags, batch: Outcome, period: int
    ) -> None:
        self._examinee = examinee
        self._x = x
        self._alone = alone
        self._done = done
        self._batch = batch
        self._period = period
        self.tried = np.zeros(len(x), dtype=np.bool_)
        self._wrong: dict[int, int] = {}
        if batch.outputs is not None:
            step = max(1, AT_ONCE // (period * x.shape[1])) * period
            for low in range(0, len(batch.outputs), step):
                self._compare(low, min(low + step, len(batch.outputs)))

    def _compare(self, low: int, high: int) -> None:
        assert self._batch.outputs is not None
        places = np.arange(low, high)
        places = places[(places % self._period < len(self._x)) & self._batch.completed[low:high]]
        places = places[self._done[places % self._period]]
        which = places % self._period
        self.tried[which] = True
        wrong = _other_than_alone(self._examinee, self._x, self._alone, self._batch.outputs, which, places)
        for row, place in zip(which[wrong].tolist(), places[wrong].tolist(), strict=True):
            self._wrong.setdefault(row, place)

    def told(self, size: int) -> dict[int, str]:
        """Return what is to be said of the rows that are not as they are alone, by their places in x."""
        return {row: self._told(row, place, size) for row, place in self._wrong.items()} or self._lost(size)

    def _told(self, row: int, place: int, size: int) -> str:
        assert self._batch.outputs is not None
        there, alone = self._batch.outputs[place], self._alone[row]
        this, that = differing_entry(self._examinee.out, there, alone)
        return f"as row {place} of {size}, {this}; alone: {that}"

    def _lost(self, size: int) -> dict[int, str]:
        """Tell of rows that complete alone, and not together, unless memory is what was lacking."""
        faults = [f for f in self._batch.faults if f.row is None and f.kind != "not_tried"]
        if not faults or not self._done.any():
            return {}
        if faults[0].kind == "out_of_memory":
            self._examinee.lacks_time_for(f"a call of {size} rows of {self._x.shape[1]} entries: no memory")
            return {}
        row = int(np.argmax(self._done))
        self.tried[row] = True
        return {row: f"in a batch of {size} rows: {faults[0].message}"}


def _each_alone(examinee: Examinee, x: Array) -> tuple[Array, Flags]:
    """Return the outputs of rows called one by one, and which completed."""
    outcome = examinee.call(x, "singly")
    nothing = examinee.no_outputs(len(x), x.shape[1])
    return nothing if outcome.outputs is None else outcome.outputs, outcome.completed


def _other_than_alone(
    examinee: Examinee, x: Array, y: Array, batch: Array, which: NDArray[np.intp], copies: NDArray[np.intp]
) -> Flags:
    """Tell which copies, of rows `which`, are not as the rows alone are."""
    other: Flags = np.asarray(~same_bits(examinee.out, batch[copies], y[which]).all(axis=1))
    if examinee.candidate.declaration.policy.batch == "bitwise":
        return other
    differing = np.flatnonzero(other)
    rows, there, alone = x[which[differing]], batch[copies[differing]], y[which[differing]]
    compared = np.ones(len(differing), dtype=np.bool_)
    other[differing] = less_accurate(examinee, rows, there, alone, compared) | less_accurate(
        examinee, rows, alone, there, compared
    )
    return other


def _keeps_its_bits(examinee: Examinee, x: Array) -> Examined:
    """A result is what it was after other calls, and the same bits come out of a hundred calls."""
    first = examinee.outcome(x)
    kept = _compared(examinee, x, first, examinee.call(x, "kept"), "after other calls")
    if kept.broken.any():
        return kept
    return _compared(examinee, x, first, examinee.call(x, "often"), f"one of {OFTEN} further calls")


def _keeps_going(examinee: Examinee, x: Array) -> Examined:
    """The same bits come out of call after call; a slow candidate is called fewer times."""
    first = examinee.outcome(x)
    most = OFTEN if examinee.is_slow(x) else examinee.extent.calls
    for calls in range(OFTEN, most + 1, OFTEN):
        told = f"one of calls {calls - OFTEN} to {calls}"
        again = _compared(examinee, x, first, examinee.call(x, "often"), told)
        if again.broken.any():
            break
    return again


def _same_in_two_threads(examinee: Examinee, x: Array) -> Examined:
    single = examinee.call(x, "halves")
    both = examinee.call(x, "two_threads")
    lost = single.completed & ~both.completed
    if not lost.any():
        return _compared(examinee, x, single, both, "called from two threads at once")
    told = both.faults[0].message if both.faults else "not completed"
    return Examined(lost, single.completed, lambda _: told)


def _logarithm_may_be_negative_zero(op: Op) -> str:
    return f"a result of {op} below 0 may round to -0" if op.logarithmic else ""


def _no_negative_zero(examinee: Examinee, x: Array) -> Examined:
    y, done = examinee.judged(x)
    values = examinee.out.to_float64(y)
    negative = (values == 0) & np.signbit(values)

    def note(row: int) -> str:
        k = int(np.argmax(negative[row]))
        return f"entry {k} is {number(examinee.out, y[row, k])}"

    return Examined(done & negative.any(axis=1), done, note)


def _check(name: str, title: str, rule: str, examine: Callable[..., Examined], **limits: Any) -> Check:
    return Check(name, "contract", title, rule, examine, **limits)


REORDERED: Final = (FAST,)
"""What calls whose rows are not contiguous are held to: NumPy adds one by one along a strided axis,
pairwise along a contiguous one (`numpy.sum`, Notes), so `standard` would refuse NumPy itself."""


def longest_reordered(fmt: FloatFormat) -> int:
    """Return how far NumPy's sum one by one in the format keeps to `fast`: (n - 1) u <= 1/8 in float16.

    Of longer rows all but a few entries are lowered, so that the sum has few terms that are not 0.
    """
    return max(257, 1 + (1 << max(fmt.precision - 3, 0)))


CONTRACT: Final = (
    _check(
        "shape",
        "shape and format kept",
        "Rows (k, n), vectors (n,), stacks (a, b, n) and (a, b, c, n), and an empty batch (0, n) come back in"
        " their shape, in the format asked for.",
        _keeps_shape,
        unpruned=True,
        most_rows=24,
    ),
    _check(
        "axis",
        "axis obeyed",
        "Along each axis of one to four, counted from either end, the outputs meet the tier fast if those of"
        " C-contiguous rows along the last axis do. In formats of 16 bits and fewer, all but a few entries of"
        " rows beyond 257 are lowered.",
        as_accurate(
            "only_axis",
            "first_axis",
            "last_axis",
            "first_from_the_end",
            "first_of_cube",
            "middle_of_cube",
            "last_of_cube",
            "middle_from_the_end",
            "first_of_cube_from_the_end",
            "first_of_four",
            "second_of_four",
            "third_of_four",
            "last_of_four",
            "third_from_the_end",
            "second_from_the_end",
            "first_of_four_from_the_end",
            tiers=REORDERED,
            dense=longest_reordered,
        ),
        needs_axis=True,
        dense=longest_reordered,
        takes=6,
    ),
    _check(
        "strides",
        "strided input accepted",
        "Every second column, the first columns of a wider array, negative strides, Fortran order and"
        " transposed stacks are accepted, and the outputs meet the tier fast if those of C-contiguous rows"
        " do. In formats of 16 bits and fewer, all but a few entries of rows beyond 257 are lowered.",
        as_accurate(
            "strided",
            "pitched",
            "reversed",
            "fortran",
            "transposed",
            tiers=REORDERED,
            dense=longest_reordered,
        ),
        dense=longest_reordered,
        takes=2,
    ),
    _check(
        "placed",
        "as accurate at any place in memory, and nothing beside it written",
        "Vectors (n,), stacks (a, b, n) and (a, b, c, n), and rows that begin anywhere in memory are"
        " C-contiguous too: their outputs meet every tier that those of rows (k, n) meet, and the memory"
        " beside them stays unchanged.",
        as_accurate("vectors", "cube", "four_axes", "amid"),
        most_rows=60,
    ),
    _check(
        "read_only",
        "read-only input accepted",
        "A read-only array is accepted, and its outputs meet every tier that those of a writable one meet.",
        as_accurate("read_only"),
    ),
    _check("unchanged", "input left unchanged", "The call changes no bit of its input.", _leaves_input),
    _check(
        "repeat", "same bits when called again", "Three calls on the same rows give the same bits.", _repeats
    ),
    _check(
        "keeps",
        "results unchanged by later calls",
        f"Calls with other rows leave an earlier output as it is, and {OFTEN} further calls give the same"
        " bits.",
        _keeps_its_bits,
        most_rows=SOME,
        most_entries=1 << 13,
        takes=3,
    ),
    _check(
        "batch",
        "a row alone as in a batch",
        "A C-contiguous row alone has the bits that it has anywhere in batches of 2 to 2048 rows, one of"
        " them square, and of up to 133 where rows are long, 16 where large_batch has more of them. With the"
        " policy batch=accurate the bits may differ, and both meet the same tiers.",
        _alone_as_in_a_batch,
        most_rows=16,
        rows_at_once=8,
        takes=4,
    ),
    _check(
        "negative_zero",
        "no -0",
        "No output of a row with an exact result is -0.",
        _no_negative_zero,
        needs_negative_zero=True,
        says_nothing_of=_logarithm_may_be_negative_zero,
    ),
    _check(
        "threads",
        "the same bits from two threads at once",
        "Two threads that call at once, each with rows of its own, get the bits that one thread gets.",
        _same_in_two_threads,
        needs_threads=True,
        most_rows=SOME,
        most_entries=1 << 15,
        rows_at_once=0,
        takes=5,
    ),
    _check(
        "endurance",
        "the same bits after thousands of calls",
        "Twenty thousand calls in succession give the same bits.",
        _keeps_going,
        only=3,
        most_rows=SOME,
        rows_at_once=0,
        takes=5,
    ),
    _check(
        "large_batch",
        "a row alone as in the largest calls",
        "A row alone has the bits that it has in a batch of 140 001 short rows, and in a call of more"
        " than 2^24 entries in long rows.",
        _alone_as_in_a_large_batch,
        most_rows=16,
        rows_at_once=0,
        takes=10,
    ),
)
