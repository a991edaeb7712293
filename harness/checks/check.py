"""What a check is, whom it examines, and what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness.checks.samples import EXTENTS, Extent
from harness.subject.candidates import Candidate
from harness.subject.execution import Outcome, Presentation
from harness.subject.execution.calls import OFTEN, THREAD_CALLS
from harness.subject.rations import Ration, in_words
from harness.subject.subject import Subject
from reference.formats import FloatFormat
from reference.ops import Op
from reference.row_kinds import RowKind
from reports.record.witness import Witness
from reports.rows import grouped, in_python

__all__ = [
    "SHOWN",
    "Check",
    "CheckResult",
    "Examined",
    "Examinee",
    "Floor",
    "Kind",
    "Looked",
    "NotTried",
    "Pace",
    "Status",
    "differing_entry",
    "number",
    "same_bits",
    "written",
]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

Kind = Literal["contract", "property"]
"""A contract's violation is a defect; a property's may be a known consequence of floating-point order."""

Status = Literal["ok", "violated", "not_applicable", "not_run"]

Floor = Literal["rounded", "faithful"]
"""A tier that every output of the plain calls meets."""

SHOWN: Final = 8
"""Values written out of a long row."""


TIMED: Final = 5
"""Calls of which the fastest tells how fast a candidate is."""

TIMED_ENTRIES: Final = 1 << 14
"""Entries of such a call, at most, where one of few is to be had."""

TELLING_ROWS: Final = 8
TELLING_ENTRIES: Final = 1 << 10
"""Of fewer, it is the call that takes the time."""


CHECK_SHARE: Final = 1 / 60
"""What one check may take of the time that the cells have; there are some twenty checks."""

LENGTHS: Final = 12
CALLS_OF_A_LENGTH: Final = 10
"""About how many lengths of rows a check looks at, and calls it makes of each."""


class NotTried(Exception):
    """Rows were not called, so that a check has nothing to say."""


@dataclass(frozen=True)
class Examined:
    """What an examination of rows (k, n) found.

    Attributes:
        broken: the rows that break the rule, shape (k,).
        tried: the rows that could have.
        note: says of a broken row, by its place, what was seen.
        beyond: the rows that break it by more than rounding explains; None where that is not told apart.
    """

    broken: Flags
    tried: Flags
    note: Callable[[int], str]
    beyond: Flags | None = None

    @property
    def worst(self) -> Flags:
        """The rows that break it by more than rounding explains, where there are any, else all that do."""
        return self.broken if self.beyond is None or not self.beyond.any() else self.beyond

    @classmethod
    def nothing(cls, rows: int) -> Examined:
        """Return what is found where the rule has nothing to say."""
        none = np.zeros(rows, dtype=np.bool_)
        return cls(none, none, lambda _: "")


@dataclass(frozen=True)
class Looked:
    """What a check looked at.

    Attributes:
        longest_row: entries of the longest row.
        largest_call: entries of the largest call.
        calls: how often the candidate was called, at least.
        threads: of how many threads it was called at once.
        unseen: what there was no time or memory for, a phrase each.
    """

    longest_row: int = 0
    largest_call: int = 0
    calls: int = 0
    threads: int = 1
    unseen: tuple[str, ...] = ()

    def at(self, x: Array, presentation: Presentation) -> Looked:
        """Return this and one request more."""
        return replace(
            self,
            longest_row=max(self.longest_row, x.shape[1]),
            largest_call=max(self.largest_call, x.shape[1] if presentation == "singly" else x.size),
            calls=self.calls + _calls_of(presentation, len(x)),
            threads=2 if presentation == "two_threads" else self.threads,
        )


_CALLS: Final[dict[str, int]] = {
    "kept": 3,
    "empty": 2,
    "often": OFTEN,
    "halves": 2,
    "two_threads": 2 * (1 + THREAD_CALLS),
}
"""Calls of a request, where it is more than one."""


def _calls_of(presentation: Presentation, rows: int) -> int:
    return rows if presentation == "singly" else _CALLS.get(presentation, 1)


@dataclass(frozen=True)
class Pace:
    """How long a candidate takes, in seconds.

    Attributes:
        row: a row of many, where that is what takes the time.
        entry: an entry of many.
    """

    row: float = 0.0
    entry: float = 0.0


@dataclass
class Examinee:
    """A subject under examination: what of it is looked at, and what has been.

    Attributes:
        floor: what its plain calls were seen to keep, so that other calls must keep it too.
        extent: how much is looked at.
        ration: how many rows there are for it, of a candidate that is not given all.
        looked: what has been looked at.
        spent: seconds that the calls have taken, by the class of speed.
    """

    subject: Subject
    floor: Floor | None = None
    extent: Extent = EXTENTS["quick"]
    ration: Ration | None = None
    looked: Looked = Looked()
    spent: float = 0.0
    _pace: Pace | None = None
    _seen: dict[int, tuple[Array, Outcome]] = field(default_factory=dict)

    @property
    def candidate(self) -> Candidate:
        """Whom it is about."""
        return self.subject.candidate

    @property
    def format(self) -> FloatFormat:
        """The input's format."""
        return self.subject.format

    @property
    def out(self) -> FloatFormat:
        """The output's format."""
        return self.subject.out

    def call(self, x: Array, presentation: Presentation = "plain") -> Outcome:
        """Return what the candidate makes of rows (k, n), called now.

        Raises:
            NotTried: rows were not called, and no other failed: what is not called breaks no rule.
        """
        self.looked = self.looked.at(x, presentation)
        if self.ration is not None:
            self.spent += len(x) * self.ration.row_seconds(x.shape[1]) * _CALLS.get(presentation, 1)
        outcome = self.subject.run(x, presentation)
        if outcome.faults and all(fault.kind == "not_tried" for fault in outcome.faults):
            raise NotTried(outcome.faults[0].message)
        return outcome

    def remember(self, x: Array) -> Outcome:
        """Call it on rows that more than one check will look at."""
        outcome = self.call(x)
        self._seen[id(x)] = (x, outcome)  # keeps x alive, and so its id its own
        return outcome

    def outcome(self, x: Array) -> Outcome:
        """Return what it made of rows, called now or remembered."""
        if id(x) not in self._seen:
            return self.call(x)
        self.looked = self.looked.at(x, "plain")
        return self._seen[id(x)][1]

    def lacks_time_for(self, what: str) -> None:
        """Note what is not looked at."""
        self.looked = replace(self.looked, unseen=tuple(dict.fromkeys((*self.looked.unseen, what))))

    def affordable(self, rows: int, length: int) -> int:
        """Return as many of so many rows as its speed allows in a call, two at least; note what is left."""
        pace = self._measured()
        by_row, by_entry = self.extent.row_paces.at(pace.row), self.extent.entry_paces.at(pace.entry)
        most = max(2, min(rows, by_row.most, by_entry.most // length))
        if most < rows:
            what, slow = ("row", by_row) if by_row.most <= by_entry.most // length else ("entry", by_entry)
            article = "an" if what == "entry" else "a"
            told = f"{article} {what} takes over {in_words(slow.over)}"
            self.lacks_time_for(f"a call of {rows} rows of {length} entries ({told})")
        return min(rows, most)

    def is_slow(self, x: Array) -> bool:
        """Tell whether a call of few rows is too slow to be made by the thousand; note it where so."""
        if self.ration is not None:
            seconds = len(x) * self.ration.row_seconds(x.shape[1])
            slow = self.extent.calls * seconds > self.ration.target * CHECK_SHARE
        else:
            slow = self._seconds(x) > self.extent.slow_call
        if slow and self.ration is not None:
            self.lacks_time_for(f"{self.extent.calls} calls in succession")
        elif slow:
            told = f"a call takes over {in_words(self.extent.slow_call)}"
            self.lacks_time_for(f"{self.extent.calls} calls in succession ({told})")
        return slow

    def _seconds(self, x: Array) -> float:
        """Return how long the fastest of a few calls takes: what else a machine does delays some of them."""
        return min(self._timed(x) for _ in range(TIMED))

    def _timed(self, x: Array) -> float:
        start = time.perf_counter()
        told = self.subject.run(x).seconds
        return time.perf_counter() - start if told is None else told

    def anew(self) -> Examinee:
        """Return it as another check begins with it: nothing looked at, no time spent."""
        return replace(self, looked=Looked(), spent=0.0)

    def share(self, rows: int, length: int) -> int:
        """Return how many of so many rows of a length there is time for in each call; none where too slow."""
        if self.ration is None:
            return rows
        each = self.ration.row_seconds(length) * CALLS_OF_A_LENGTH
        most = int(self.ration.target * CHECK_SHARE / LENGTHS / each)
        return min(rows, max(most, 2 if each <= self.ration.target * CHECK_SHARE else 0))

    @property
    def has_time(self) -> bool:
        """Whether the check may look at further rows."""
        return self.ration is None or self.spent <= self.ration.target * CHECK_SHARE

    def _measured(self) -> Pace:
        """Return how long rows and entries take, of the calls remembered that have most of either."""
        if self.ration is not None and self.ration.speed.is_slow:
            return Pace(self.ration.speed.row_seconds, self.ration.speed.entry_seconds)
        if self._pace is None:
            done = [x for x, outcome in self._seen.values() if outcome.completed.all() and len(x)]
            few = [x for x in done if x.size <= TIMED_ENTRIES] or done
            if not few:
                return Pace()
            by_row, by_entry = max(few, key=len), max(few, key=lambda x: x.size)
            row = self._seconds(by_row) / len(by_row) if len(by_row) >= TELLING_ROWS else 0.0
            entry = self._seconds(by_entry) / by_entry.size if by_entry.size >= TELLING_ENTRIES else 0.0
            self._pace = Pace(row, entry)
        return self._pace

    def judged(self, x: Array) -> tuple[Array, Flags]:
        """Return outputs of rows (k, n), and which rows are completed and have an exact result."""
        outcome = self.outcome(x)
        if outcome.outputs is None:
            return self.no_outputs(len(x), x.shape[1]), np.zeros(len(x), dtype=np.bool_)
        exact = self.subject.op.kinds(self.format.to_float64(x)) < RowKind.NAN
        return outcome.outputs, outcome.completed & exact

    def no_outputs(self, rows: int, length: int) -> Array:
        """Return zeros in the shape of the outputs of rows."""
        return np.zeros((rows, 1 if self.subject.op.reduces else length), dtype=self.out.dtype)


@dataclass(frozen=True)
class Check:
    """One thing that every candidate is asked.

    Attributes:
        name: as given to users.
        kind: what a violation means.
        title: what is asked, in a few words.
        rule: exactly when it is kept.
        consequence: of a property, how floating-point order alone may break it.
        examine: looks at rows (k, n) of a examinee.
        needs_axis: whether it applies only to candidates with an axis parameter.
        unpruned: whether it looks also at rows that a plain call does not complete.
        needs_threads: whether it applies only to candidates that threads may call at once.
        needs_negative_zero: whether it applies only to output formats that have one.
        says_nothing_of: why it does not apply to an op; empty where it does.
        only: the one length of rows that is examined; 0 for all.
        dense: in rows of more entries all but a few are lowered; depends on the output format.
        most_rows: of rows of one length so many are examined, at most.
        most_entries: and no more than so many entries, one row at least.
        rows_at_once: rows examined together when a counterexample is shrunk; 0 where it is left as found.
        takes: about how long it takes, against others. Where several run side by side, those that take
            longest begin first, so that none of them is left to run alone in the end.
    """

    name: str
    kind: Kind
    title: str
    rule: str
    examine: Callable[[Examinee, Array], Examined]
    consequence: str = ""
    needs_axis: bool = False
    needs_threads: bool = False
    needs_negative_zero: bool = False
    says_nothing_of: Callable[[Op], str] = lambda _: ""
    unpruned: bool = False
    only: int = 0
    dense: Callable[[FloatFormat], int] | None = None
    most_rows: int = 1 << 20
    most_entries: int = 1 << 30
    rows_at_once: int = 1 << 15
    takes: int = 1

    def examines(self, length: int) -> bool:
        """Tell whether rows of a length are examined."""
        return self.only in (0, length)

    def thins(self, length: int, fmt: FloatFormat) -> bool:
        """Tell whether all but a few entries of such rows are lowered, for an output format."""
        return self.dense is not None and length > self.dense(fmt)

    def most(self, length: int) -> int:
        """Return how many rows of a length are examined, at most."""
        return max(1, min(self.most_rows, self.most_entries // length))


@dataclass(frozen=True)
class CheckResult:
    """What came of a check of a candidate in a format.

    Attributes:
        check: what was asked.
        candidate, format, out_format: of whom.
        status: `not_applicable` where the rule does not speak of it, `not_run` where nothing could be called.
        rows: rows tried.
        broken: how many of them break the rule.
        message: what was seen, or why there is nothing to see; empty where all is well.
        witness: the smallest counterexample found.
        looked: what was looked at.
    """

    check: Check
    candidate: str
    format: str
    out_format: str
    status: Status
    rows: int = 0
    broken: int = 0
    message: str = ""
    witness: Witness | None = None
    looked: Looked = Looked()
    beyond: int = 0

    def document(self) -> dict[str, Any]:
        """Return this result as JSON carries it."""
        named = ("candidate", "format", "out_format", "status", "rows", "broken", "message")
        check = self.check
        is_consequence = self.status == "violated" and check.kind == "property" and not self.beyond
        return {
            "check": check.name,
            "kind": check.kind,
            "title": check.title,
            **{name: getattr(self, name) for name in named},
            "consequence": check.consequence if is_consequence else "",
            "looked": {**asdict(self.looked), "unseen": list(self.looked.unseen)},
            "witness": {"id": self.witness.id, **self.witness.document()} if self.witness else None,
        }


def same_bits(fmt: FloatFormat, a: Array, b: Array) -> Flags:
    """Tell which elements are the same bits, or both NaN."""
    equal = np.asarray(fmt.to_bits(a) == fmt.to_bits(b))
    if equal.all():
        return equal
    return np.asarray(equal | (np.isnan(fmt.to_float64(a)) & np.isnan(fmt.to_float64(b))))


def written(fmt: FloatFormat, row: Array) -> str:
    """Return a row as an expression of Python with its bits beside it, the first entries of a long one."""
    if bits := grouped(fmt.to_hex(row), fmt, prefix="0x"):
        return f"{in_python(bits, fmt)} ({bits})"
    shown = row[:SHOWN]
    values = [repr(value) for value in fmt.to_float64(shown).tolist()]
    more = [f"... {len(row) - SHOWN} more"] if len(row) > SHOWN else []
    return f"[{', '.join([*values, *more])}] ({' '.join(map(_bits(fmt), shown))})"


def number(fmt: FloatFormat, entry: Any) -> str:
    """Return an entry of an array in decimal with its bits beside it: 0.5 (0x3800)."""
    return f"{float(fmt.to_float64(np.asarray(entry)))!r} ({_bits(fmt)(entry)})"


def differing_entry(fmt: FloatFormat, one: Array, other: Array) -> tuple[str, str]:
    """Return the first entry of two rows that has other bits: `entry 3 is 0.5 (0x3800)`, and the other's.

    Where more entries differ, the second text says how many.
    """
    [places] = np.nonzero(~same_bits(fmt, one, other))
    k = int(places[0]) if places.size else 0
    more = f" (and {len(places) - 1} more entries differ)" if len(places) > 1 else ""
    return f"entry {k} is {number(fmt, one[k])}", f"{number(fmt, other[k])}{more}"


def _bits(fmt: FloatFormat) -> Callable[[Any], str]:
    return lambda entry: f"0x{fmt.to_hex(np.asarray(entry).reshape(1))}"
