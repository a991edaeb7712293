"""How fast candidates are, in coarse classes, and how many rows a slow one is given, so that a run ends.

A measured time decides a class of speed and nothing else, and the class is kept with the run: the same seed
and the same class give the same rows. What NumPy, a compiled kernel or a loop of Python takes is the class
of those that are not slow, which are given every row unless a time is set. Where one is set, the classes
are finer, also of those that are not slow, and what the program itself does counts as well.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from harness.subject.subject import Subject
from strategies.regimes import REGIMES

__all__ = [
    "COARSE",
    "FINE",
    "NO_RATIONS",
    "ORDINARY",
    "OWN",
    "Costs",
    "Group",
    "Load",
    "Ration",
    "Rations",
    "Speed",
    "Times",
    "divided",
    "in_words",
    "measured",
    "own_costs",
    "ration_of",
]


class Scale(NamedTuple):
    """A scale of classes.

    Attributes:
        unit: seconds from which on class 1 is; what takes less is of class 0, and taken to take nothing.
        factor: between the borders of classes.
        row, entry: the least classes of rows and of entries that are told apart from class 0.
    """

    unit: float
    factor: float
    row: int = 1
    entry: int = 1

    def border(self, number: int) -> float:
        """Return from where on a class is, in seconds."""
        return self.unit * self.factor ** (number - 1)

    def middle(self, number: int) -> float:
        """Return what is taken for the times of a class."""
        return self.border(number) * math.sqrt(self.factor) if number else 0.0

    def number(self, seconds: float, least: int) -> int:
        """Return the class of a time."""
        if seconds < self.border(least):
            return 0
        return 1 + math.floor(math.log(seconds / self.unit, self.factor))


COARSE: Final = Scale(1e-6, 4.0, row=4, entry=2)
"""Where no time is set. A factor is far more than a busy machine delays the fastest of a few calls.

The first classes are those of the slow: a row takes 64 us, an entry 4 us. In a loop of NumPy a row takes
20 us, in a loop of Python an entry 1 us."""

FINE: Final = Scale(COARSE.unit / 64, 2.0)
"""Where a time is set: from 16 ns on. An entry of NumPy's float32 softmax takes 5 ns, of float16 40 ns."""

WEIGHTS: Final = MappingProxyType({"known": 8.0, "drawn": 1.0, "further": 1 / 4})
"""The time of a cell, against that of a cell of drawn rows: of further lengths there are many."""

GRACE: Final = 32.0
"""How much longer than others a cell may take that has a single row."""

MOST_SECONDS: Final = 32.0
HALVINGS: Final = 24
QUARTERS: Final = 4
"""The times that a cell may be given: half of the usual limit of a call, halved so often. Where a time is
set there are so many steps to a halving."""

_MOST_TOLD: Final = 1e9


@dataclass(frozen=True)
class Speed:
    """A class of speed: how long a row takes, and each entry of it beyond that.

    Attributes:
        row, entry: the numbers of classes, each slower than the one before by the factor of the scale; 0 for
            what takes next to nothing, on the coarse scale for all that is not slow.
        scale: whose classes they are.
    """

    row: int = 0
    entry: int = 0
    scale: Scale = COARSE

    @property
    def is_slow(self) -> bool:
        """Whether either takes long."""
        return any(slow for _, _, slow in self._parts())

    @property
    def row_seconds(self) -> float:
        """What a row takes, about."""
        return self.scale.middle(self.row)

    @property
    def entry_seconds(self) -> float:
        """What an entry takes, about."""
        return self.scale.middle(self.entry)

    def seconds(self, rows: int, length: float) -> float:
        """Return how long rows take, about."""
        return rows * (self.row_seconds + length * self.entry_seconds)

    def told(self) -> str:
        """Return the class in words."""
        border = self.scale.border
        parts = [
            f"{what} takes {in_words(border(number))} to {in_words(border(number + 1))}"
            for what, number, slow in self._parts()
            if slow
        ]
        return " and ".join(parts) or "it is not slow"

    def _parts(self) -> Iterator[tuple[str, int, bool]]:
        """Yield what takes a time, the number of its class, and whether that is slow."""
        for what, number, least in (("a row", self.row, COARSE.row), ("an entry", self.entry, COARSE.entry)):
            yield what, number, number > 0 and self.scale.border(number) >= COARSE.border(least)


ORDINARY: Final = Speed()


class Times(NamedTuple):
    """What a row, and each entry of it beyond that, was measured to take, in seconds; 0 if unknown."""

    row: float = 0.0
    entry: float = 0.0

    def seconds(self, rows: int, length: float) -> float:
        """Return how long rows take."""
        return rows * (self.row + length * self.entry)

    def speed(self, scale: Scale = COARSE) -> Speed:
        """Return the class."""
        return Speed(scale.number(self.row, scale.row), scale.number(self.entry, scale.entry), scale)


class Costs(NamedTuple):
    """What the program itself spends, in seconds of a processor.

    Attributes:
        cell: on the rows of a cell, however few there are.
        row, entry: on each row, and on each entry of it.
    """

    cell: float
    row: float
    entry: float

    def seconds(self, rows: int, length: int) -> float:
        """Return what rows of one cell cost."""
        return self.cell + rows * (self.row + length * self.entry)


OWN: Final = Costs(3e-3, 1e-6, 0.12e-6)
"""What a cell costs the program itself beside the calls of a candidate; counted where a time is set.

It was fitted to every shard of whole gates, by a single process on a quiet machine, less the time of the
calls. The shards of a gate took 6.4 s for max_shifted in float32, 7.0 s in float16, 10.3 s in float8_e4m3fn,
10.1 s for a kernel whose outputs are all wrong, 13.6 s for naive in float16 and 14.7 s for online in float32;
by these costs it is 10.6 s. The fits were 1.9 to 3.6 ms a cell, 0.3 to 1.2 us a row and 0.06 to 0.2 us an
entry.
"""

FORMER_OWN: Final = Costs(0.0, 20e-6, 1.5e-6)
"""What it was where a run folder does not say it; its classes are those of the coarse scale."""

SHARED: Final = 1 / 3
"""The part of it that is spent once for all candidates, on rows and their truth, by the table of `bench`."""


def own_costs(candidates: int) -> Costs:
    """Return what the program spends on each of so many candidates that are given the same rows."""
    share = 1 - SHARED + SHARED / max(1, candidates)
    return Costs(*(share * cost for cost in OWN))


class Load(NamedTuple):
    """What a series of calls costs.

    Attributes:
        own: seconds that the program itself spends on them.
        rows, entries: that are called.
    """

    own: float
    rows: int
    entries: int

    def seconds(self, speed: Speed | Times) -> float:
        """Return what it costs with a candidate of a speed."""
        return self.own + speed.seconds(self.rows, self.entries / self.rows)


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
        halvings: how often what a cell may take is halved, from `MOST_SECONDS` on; None for any time. Where a
            time was set, it goes in quarters.
        own: what the program itself spends, which counts where a time was set; else None.
        target: seconds that all cells were to take.
    """

    speed: Speed
    halvings: float | None
    own: Costs | None
    target: int

    @property
    def seconds(self) -> float:
        """What a cell may take."""
        return math.inf if self.halvings is None else MOST_SECONDS / 2**self.halvings

    def row_seconds(self, length: int) -> float:
        """Return what a row of a length is taken to cost."""
        own = self.own.row + length * self.own.entry if self.own else 0.0
        return self.speed.seconds(1, length) + own

    @property
    def cell_seconds(self) -> float:
        """What a cell is taken to cost beside its rows."""
        return self.own.cell if self.own else 0.0

    def rows(self, group: Group) -> int:
        """Return how many rows of a cell are called: all, the first, or none."""
        each, cell = self.row_seconds(group.length), self.cell_seconds
        seconds = self.seconds * WEIGHTS[group.kind]
        if cell + each * group.rows <= seconds:
            return group.rows
        most = int((seconds - cell) / each) if seconds > cell else 0
        if most or group.kind == "further":
            return most
        return 1 if cell + each <= GRACE * self.seconds else 0

    def total(self, groups: Iterable[Group]) -> float:
        """Return the seconds that cells take."""
        given = ((self.rows(group), group.length) for group in groups)
        return sum(self.cell_seconds + rows * self.row_seconds(length) for rows, length in given if rows)

    def entries(self, seconds: float, length: int) -> int:
        """Return how many entries of short rows are called in so many seconds."""
        return int(min(1 << 62, seconds * length / self.row_seconds(length)))

    def document(self) -> dict[str, Any]:
        """Return it as JSON carries it."""
        return {
            "row": self.speed.row,
            "entry": self.speed.entry,
            "halvings": self.halvings,
            "timed": self.own is not None,
            "target": self.target,
            **({"own": self.own._asdict()} if self.own not in (None, FORMER_OWN) else {}),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Ration:
        """Return the ration that a ledger holds."""
        told = document.get("own")
        own = (Costs(**told) if told else FORMER_OWN) if document["timed"] else None
        speed = Speed(document["row"], document["entry"], FINE if told else COARSE)
        return cls(speed, document["halvings"], own, document["target"])


Rations = Mapping[tuple[str, str], Ration]
"""By the names of candidates and formats; those that are not in it are given all rows."""

NO_RATIONS: Final[Rations] = MappingProxyType({})


def ration_of(
    speed: Speed, groups: Iterable[Group], target: float, own: Costs | None = None
) -> Ration | None:
    """Return how many rows a candidate is given so that all take no longer than the target; None for all.

    Args:
        speed: of the candidate in the format.
        groups: its cells.
        target: seconds.
        own: what the program itself spends, where the user set a time; without it, a candidate that is not
            slow is given all.
    """
    if not (speed.is_slow or own):
        return None
    known = list(groups)
    whole = Ration(speed, None, own, math.ceil(min(target, _MOST_TOLD)))
    if whole.total(known) <= target:
        return None
    parts = QUARTERS if own else 1
    steps = [step / parts if own else step for step in range(HALVINGS * parts + 1)]
    given = [replace(whole, halvings=halvings) for halvings in steps]
    place = bisect_left(given, True, hi=len(given) - 1, key=lambda ration: ration.total(known) <= target)
    return given[place]


def divided(needs: Sequence[float], seconds: float) -> list[float]:
    """Return the parts of a time: each gets what it needs, or as much as any other that lacks some."""
    parts, left = [0.0] * len(needs), seconds
    for done, place in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        parts[place] = min(needs[place], left / (len(needs) - done))
        left -= parts[place]
    return parts


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


def measured(subject: Subject, *, finely: bool = False) -> Times:
    """Return what a subject takes, told from a few calls; nothing where it fails.

    A call of which something is told tells no speed: rows that came back only after a loss were waited for.

    Args:
        subject: the candidate, in a format.
        finely: whether calls are made again that do not look slow either.
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
            is_told = fastest <= slow and not finely
            if is_told or (COMPILING, PATIENCE, PATIENCE)[attempt] < fastest < math.inf:
                break
        return fastest

    if math.isinf(seconds(1, SHORT, math.inf)):  # starts a process, and what the candidate sets up first
        return Times()  # and leave it to the campaign to lose its processes, and to tell of them
    return _told_by(seconds)


def _told_by(seconds: Callable[[int, int, float], float]) -> Times:
    """Return what calls of rows of a length show: one row, then many, then long ones."""
    single = seconds(1, SHORT, PATIENCE / MANY)
    if math.isinf(single):
        return Times()
    many = max(2, min(MANY, int(PATIENCE / single)))
    row = (seconds(many, SHORT, many * COARSE.border(COARSE.row)) - single) / (many - 1)
    if math.isinf(row):
        return Times()
    entry = _entry_seconds(seconds, single, max(row, 0.0))
    return Times(max(0.0, row - SHORT * entry), entry)


def _entry_seconds(seconds: Callable[[int, int, float], float], single: float, row: float) -> float:
    """Return what an entry takes: told from a longer row, and from more and longer ones if that is fast."""
    entry = 0.0
    for rows, length in ((1, LONG[1] // 16), (1, LONG[1]), LONG):
        more = rows * length - SHORT
        took = seconds(rows, length, single + more * COARSE.border(COARSE.entry))
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
