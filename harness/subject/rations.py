"""How fast candidates are, in coarse classes, and how many rows a slow one is given, so that a run ends.

A measured time decides a class of speed and nothing else, and the class is kept with the run: the same seed
and the same class give the same rows. What NumPy, a compiled kernel or a loop of Python takes is the class
of those that are not slow, which are given every row unless a time is set.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from harness.subject.subject import Subject
from strategies.regimes import REGIMES

__all__ = [
    "NO_RATIONS",
    "ORDINARY",
    "OWN",
    "Group",
    "Ration",
    "Rations",
    "Speed",
    "in_words",
    "measured",
    "ration_of",
]

FACTOR: Final = 4.0
"""Between the borders of classes: far more than a busy machine delays the fastest of a few calls."""

UNIT: Final = 1e-6
LEAST_ROW: Final = 4
LEAST_ENTRY: Final = 2
"""The first classes of the slow: a row takes 64 us, an entry 4 us. In a loop of NumPy a row takes 20 us,
in a loop of Python an entry 1 us."""

WEIGHTS: Final = MappingProxyType({"known": 8.0, "drawn": 1.0, "further": 1 / 4})
"""The time of a cell, against that of a cell of drawn rows: of further lengths there are many."""

GRACE: Final = 32.0
"""How much longer than others a cell may take that has a single row."""

MOST_SECONDS: Final = 32.0
HALVINGS: Final = 24
"""The times that a cell may be given: half of the usual limit of a call, halved so often."""

_MOST_TOLD: Final = 1e9


@dataclass(frozen=True)
class Speed:
    """A class of speed: how long a row takes, and each entry of it beyond that.

    Attributes:
        row, entry: the numbers of classes, each `FACTOR` times slower than the one before; 0 for what is not
            slow.
    """

    row: int = 0
    entry: int = 0

    @property
    def is_slow(self) -> bool:
        """Whether either takes long."""
        return self.row > 0 or self.entry > 0

    @property
    def row_seconds(self) -> float:
        """What a row takes, about."""
        return _middle(self.row)

    @property
    def entry_seconds(self) -> float:
        """What an entry takes, about."""
        return _middle(self.entry)

    def seconds(self, rows: int, length: int) -> float:
        """Return how long rows take, about."""
        return rows * (self.row_seconds + length * self.entry_seconds)

    def told(self) -> str:
        """Return the class in words."""
        parts = [
            f"{what} takes {in_words(_border(number))} to {in_words(_border(number + 1))}"
            for what, number in (("a row", self.row), ("an entry", self.entry))
            if number
        ]
        return " and ".join(parts) or "it is not slow"


ORDINARY: Final = Speed()


def _border(number: int) -> float:
    """Return from where on a class is, in seconds."""
    return UNIT * FACTOR ** (number - 1)


def _middle(number: int) -> float:
    return _border(number) * math.sqrt(FACTOR) if number else 0.0


def _class(seconds: float, least: int) -> int:
    if seconds < _border(least):
        return 0
    return 1 + math.floor(math.log(seconds / UNIT, FACTOR))


class _Costs(NamedTuple):
    row: float
    entry: float

    def seconds(self, rows: int, length: int) -> float:
        return rows * (self.row + length * self.entry)


OWN: Final = _Costs(20e-6, 1.5e-6)
"""What the truth of a row and its judging cost the program itself, about; counted where a time is set."""


class Group(NamedTuple):
    """The rows of a cell before they are rationed.

    Attributes:
        kind: `known` rows are few and chosen; `further` are those at lengths that are swept or drawn, and
            those of the one call of many rows; `drawn` are the others.
    """

    rows: int
    length: int
    kind: Literal["known", "drawn", "further"] = "drawn"


@dataclass(frozen=True)
class Ration:
    """How many rows a candidate is given in a format.

    Attributes:
        speed: its class.
        halvings: how often what a cell may take is halved, from `MOST_SECONDS` on; None for any time.
        is_timed: whether a time was set, so that the program's own work counts as well.
        target: seconds that all cells were to take.
    """

    speed: Speed
    halvings: int | None
    is_timed: bool
    target: int

    @property
    def seconds(self) -> float:
        """What a cell may take."""
        return math.inf if self.halvings is None else MOST_SECONDS / 2**self.halvings

    def row_seconds(self, length: int) -> float:
        """Return what a row of a length is taken to cost."""
        own = OWN.seconds(1, length) if self.is_timed else 0.0
        return self.speed.seconds(1, length) + own

    def rows(self, group: Group) -> int:
        """Return how many rows of a cell are called: all, the first, or none."""
        each = self.row_seconds(group.length)
        seconds = self.seconds * WEIGHTS[group.kind]
        if each * group.rows <= seconds:
            return group.rows
        most = int(seconds / each)
        if most or group.kind == "further":
            return most
        return 1 if each <= GRACE * self.seconds else 0

    def total(self, groups: Iterable[Group]) -> float:
        """Return the seconds that cells take."""
        return sum(self.rows(group) * self.row_seconds(group.length) for group in groups)

    def entries(self, seconds: float, length: int) -> int:
        """Return how many entries of short rows are called in so many seconds."""
        return int(min(1 << 62, seconds * length / self.row_seconds(length)))

    def document(self) -> dict[str, Any]:
        """Return it as JSON carries it."""
        return {
            "row": self.speed.row,
            "entry": self.speed.entry,
            "halvings": self.halvings,
            "timed": self.is_timed,
            "target": self.target,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Ration:
        """Return the ration that a ledger holds."""
        speed = Speed(document["row"], document["entry"])
        return cls(speed, document["halvings"], document["timed"], document["target"])


Rations = Mapping[tuple[str, str], Ration]
"""By the names of candidates and formats; those that are not in it are given all rows."""

NO_RATIONS: Final[Rations] = MappingProxyType({})


def ration_of(speed: Speed, groups: Iterable[Group], target: float, *, is_timed: bool) -> Ration | None:
    """Return how many rows a candidate is given so that all take no longer than the target; None for all.

    Args:
        speed: of the candidate in the format.
        groups: its cells.
        target: seconds.
        is_timed: whether the user set a time; else one that is not slow is given all.
    """
    if not (speed.is_slow or is_timed):
        return None
    known = list(groups)
    given = Ration(speed, None, is_timed, math.ceil(min(target, _MOST_TOLD)))
    if given.total(known) <= target:
        return None
    for halvings in range(HALVINGS + 1):
        given = replace(given, halvings=halvings)
        if given.total(known) <= target:
            break
    return given


# Measuring -------------------------------------------------------------------------------

MANY: Final = 256
LONG: Final = (8, 2048)
SHORT: Final = 4
PATIENCE: Final = 0.5
"""Seconds that a call may take which tells a speed, once nothing is compiled any more."""

COMPILING: Final = 8 * PATIENCE
"""Seconds that the first call of a shape may take and be made again: a library compiles for it."""

TRIES: Final = 3
"""Calls of which the fastest counts, where it looks slow: the first may compile."""


def measured(subject: Subject) -> Speed:
    """Return the class of speed of a subject, told from a few calls; that of the fast where it fails.

    A call of which something is told tells no speed: rows that came back only after a loss were waited for.
    """

    def seconds(rows: int, length: int, slow: float) -> float:
        """Return how long a call takes; inf where it fails."""
        x = REGIMES["standard-normal"].rows(subject.format, rows, length, 0, 0, subject.within)
        fastest = math.inf
        for attempt in range(TRIES):
            start = time.perf_counter()
            outcome = subject.run(x)
            if not outcome.completed.all():
                return math.inf
            if not outcome.faults:
                took = time.perf_counter() - start if outcome.seconds is None else outcome.seconds
                fastest = min(fastest, took)
            if fastest <= slow or (COMPILING, PATIENCE, PATIENCE)[attempt] < fastest < math.inf:
                break
        return fastest

    if math.isinf(seconds(1, SHORT, math.inf)):  # starts a process, and what the candidate sets up first
        return ORDINARY  # and leave it to the campaign to lose its processes, and to tell of them
    return _told_by(seconds)


def _told_by(seconds: Callable[[int, int, float], float]) -> Speed:
    """Return the class that calls of rows of a length show: one row, then many, then long ones."""
    single = seconds(1, SHORT, PATIENCE / MANY)
    if math.isinf(single):
        return ORDINARY
    many = max(2, min(MANY, int(PATIENCE / single)))
    row = (seconds(many, SHORT, many * _border(LEAST_ROW)) - single) / (many - 1)
    if math.isinf(row):
        return ORDINARY
    entry = _entry_seconds(seconds, single, max(row, 0.0))
    return Speed(_class(row - SHORT * entry, LEAST_ROW), _class(entry, LEAST_ENTRY))


def _entry_seconds(seconds: Callable[[int, int, float], float], single: float, row: float) -> float:
    """Return what an entry takes: told from a longer row, and from more and longer ones if that is fast."""
    entry = 0.0
    for rows, length in ((1, LONG[1] // 16), (1, LONG[1]), LONG):
        more = rows * length - SHORT
        took = seconds(rows, length, single + more * _border(LEAST_ENTRY))
        if math.isinf(took):
            return 0.0
        entry = max(0.0, (took - single - (rows - 1) * row) / more)
        if took > PATIENCE / 2:
            break
    return entry


def in_words(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    scale, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    return f"{seconds / scale:.3g} {unit}"


_UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
