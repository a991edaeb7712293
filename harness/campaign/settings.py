"""The settings of a campaign: flags over `[tool.harness]` (see `configuration`) over defaults.

`Settings` is what a campaign runs on, with every name resolved. Only `Settings.identity` decides the figures.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from harness.terminal.exceptions import UsageError, choose, user_mistakes
from reference.declaration import Policy
from reference.formats import FORMATS, FloatFormat
from reference.model import Method
from reference.ops import OPS, SOFTMAX, Op
from strategies.lengths import DEEP, QUICK, STANDARD, USUAL, Drawn

if TYPE_CHECKING:
    from reference.tiers import Tier
    from strategies.input_file import InputRows
    from strategies.logit_range import LogitRange

__all__ = [
    "BRIEF",
    "EFFORTS",
    "LOCAL_CLUSTER",
    "USUAL_FORMATS",
    "Effort",
    "Settings",
    "available_jobs",
    "check_timeout",
    "resolve",
]

DEFAULT_CANDIDATES: Final = ("naive", "max_shifted")
DEFAULT_FORMATS: Final = ("float16", "float32", "float64")
USUAL_FORMATS: Final = (*DEFAULT_FORMATS, "bfloat16", "float8_e4m3fn", "float8_e5m2")
"""The formats that `--libraries` and `bench` measure by default; others must be named."""


LOCAL_CLUSTER: Final = "local"
_ADDRESS: Final = re.compile(r"(tcp|tls|ws|wss|ucx)://(\[[0-9a-fA-F:]+\]|[^:/\s]+):\d{1,5}")

LEAST_IMPORT_SECONDS: Final = 10.0

LONGEST: Final = 1 << 24
LARGEST_CELL: Final = 1 << 36
LARGEST_BATCH: Final = 64
LONGEST_TIMEOUT: Final = 86_400
"""Limits beyond which a value is more likely a typing mistake than intended."""


LONGEST_TIME: Final = 30 * 86_400
OTHER_SECONDS: Final = 3.0
"""Of a set time, for what is neither rows of cells nor checks: the start, the witnesses and the report."""

EFFICIENCY: Final = 0.8
"""Of a processor among several: they share a memory, and wait for each other in the end."""

LEAST_SHARE: Final = 1 / 2
"""Of a set time, for cells and checks in any case."""

LONGEST_SEARCHED: Final = 257
MOST_EVALUATIONS: Final = 200_000
"""The effort of a search within a campaign."""


@dataclass(frozen=True)
class Effort:
    """The number of rows in a cell: enough for `elements` elements, within limits. Never a time.

    Attributes:
        searches: whether the worst rows are searched for as well, where no regime is named.
        sweep: further lengths, at which there are only rows of the regime `medley`, and few.
        drawn: further such lengths, drawn from the seed; None for none.
        crowd: the least rows of the one call that has rows of the regime `crowd`; no such call where 0.
        extent: how far the checks look: a name of `harness.checks.samples.EXTENTS`.
        reductions: calls in which the witnesses of a candidate in a format are made small; None for those of
            `harness.witnesses.shrinking`.
        slow_seconds: about how long the calls of a slow candidate take in one format, which is given as many
            rows; one that is not slow is given all.
    """

    name: str
    lengths: tuple[int, ...]
    elements: int
    least_rows: int
    most_rows: int
    searches: bool = False
    sweep: tuple[int, ...] = ()
    drawn: Drawn | None = None
    crowd: int = 0
    extent: str = "quick"
    reductions: int | None = None
    slow_seconds: float = 300.0

    def rows(self, length: int) -> int:
        """Return the rows of a cell of that length."""
        return min(max(self.elements // length, self.least_rows), self.most_rows)

    @property
    def searched(self) -> tuple[int, ...]:
        """The lengths to search: longer rows cost much and add little."""
        return tuple(length for length in self.lengths if length <= LONGEST_SEARCHED)

    def evaluations(self, length: int) -> int:
        """Return the number of rows of a search: twice a cell's elements, or as many as a search can use."""
        return min(max(2 * self.elements // length, self.least_rows), MOST_EVALUATIONS)


BRIEF: Final = Effort(
    "brief", (1, 2, 3, 7, 17, 33, 127, 257, 4096), 1 << 12, 2, 1 << 8, extent="brief", slow_seconds=20.0
)
"""The effort for a unit test."""

EFFORTS: Final[Mapping[str, Effort]] = {
    e.name: e
    for e in (
        BRIEF,
        Effort(
            "quick",
            QUICK,
            1 << 14,
            4,
            1 << 12,
            drawn=Drawn(16, 1, 0),
            extent="brief",
            reductions=240,
            slow_seconds=60.0,
        ),
        Effort("standard", STANDARD, 1 << 17, 4, 1 << 13, sweep=USUAL, drawn=Drawn(64, 2, 7), crowd=1 << 17),
        Effort(
            "deep",
            DEEP,
            1 << 22,
            16,
            1 << 17,
            searches=True,
            sweep=USUAL,
            drawn=Drawn(512, 16, 7),
            crowd=1 << 20,
            slow_seconds=14_400.0,
        ),
    )
}


@dataclass(frozen=True)
class Settings:
    """A campaign, resolved.

    Attributes:
        candidates: their specs, in order.
        formats: input formats; out_format: the output format, None for the input's own.
        regimes: names of regimes and corpora; empty for all.
        lengths: row lengths; empty for those of the effort.
        rows: rows of each drawn cell; None for the effort's.
        inputs: the user's own rows, None where none were given.
        within: the range that every logit is in; None for any.
        policies: KEY=VALUE settings over every candidate's declared policy.
        tiers: those whose clauses are counted, beside the figures.
        max_time: seconds that the command may take; None where the effort alone decides how many rows there
            are.
        libraries: whether every installed library is among the candidates.
        op: what every candidate computes; None where each says it itself.
        cluster: the scheduler that shards are sent to, or `local`; None for this process alone.
    """

    candidates: tuple[str, ...] = DEFAULT_CANDIDATES
    formats: tuple[FloatFormat, ...] = tuple(FORMATS[name] for name in DEFAULT_FORMATS)
    out_format: FloatFormat | None = None
    regimes: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    rows: int | None = None
    effort: Effort = EFFORTS["standard"]
    seed: int = 0
    inputs: InputRows | None = None
    within: LogitRange | None = None
    policies: tuple[str, ...] = ()
    tiers: tuple[Tier, ...] = ()
    reference: Method = "certified"
    timeout: float = 60.0
    max_time: float | None = None
    max_memory: int | None = None
    in_process: bool = False
    libraries: bool = False
    op: Op | None = None
    cluster: str | None = None
    jobs: int = 1

    def rows_of(self, length: int) -> int:
        """Return the number of rows in a drawn cell of that length."""
        return self.effort.rows(length) if self.rows is None else self.rows

    @property
    def is_spread(self) -> bool:
        """Whether the campaign adds lengths and calls to those of the effort."""
        return not self.lengths and self.rows is None

    @property
    def import_timeout(self) -> float:
        """Return how many seconds importing a candidate may take: those of a call, but never too few."""
        return max(self.timeout, LEAST_IMPORT_SECONDS)

    @property
    def is_searched(self) -> bool:
        """Whether the campaign searches for the worst rows, besides the regimes."""
        from reports.record.cells import SEARCHED

        return SEARCHED in self.regimes if self.regimes else self.effort.searches or self.libraries

    def evaluations_of(self, length: int) -> int:
        """Return how many rows a search of that length may try."""
        return self.effort.evaluations(length) if self.rows is None else self.rows

    @property
    def slow_seconds(self) -> float:
        """About how long the calls of a slow candidate may take in a format; inf for any. No time is set."""
        return math.inf if self.rows is not None else self.effort.slow_seconds

    @property
    def processor_seconds(self) -> float:
        """The time of all processors that cells and checks may take; inf where no time is set."""
        if self.max_time is None:
            return math.inf
        seconds = max(self.max_time - OTHER_SECONDS, LEAST_SHARE * self.max_time)
        return seconds * (1.0 if self.jobs == 1 else self.jobs * EFFICIENCY)

    def identity(self) -> dict[str, Any]:
        """Return what decides the figures, as JSON carries it."""
        return {
            "candidates": list(self.candidates),
            "formats": [f.name for f in self.formats],
            "out_format": self.out_format.name if self.out_format else None,
            "regimes": list(self.regimes),
            "lengths": list(self.lengths),
            "rows": self.rows,
            "effort": self.effort.name,
            "seed": self.seed,
            "input": self.inputs.digest if self.inputs else None,
            "policies": list(self.policies),
            "tiers": [tier.name for tier in self.tiers],
            "reference": self.reference,
            "timeout": self.timeout,
            "max_memory": self.max_memory,
            "libraries": self.libraries,
            **({"op": self.op.name} if self.op else {}),
            **({"range": self.within.document()} if self.within else {}),
        }


def available_jobs() -> int:
    """Return the number of processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


# From the user's words to settings -------------------------------------------------------


def resolve(given: Mapping[str, Any]) -> Settings:
    """Return the settings for values keyed as in `[tool.harness]`; None and () mean not given.

    Raises:
        UsageError: a value is unknown or out of range.
    """
    values = {key: value for key, value in given.items() if value not in (None, (), [])}
    _check_numbers(values)
    values = _of_libraries(_via(values))
    values = _of_op(values)
    resolved = {key: _RESOLVERS.get(key, _as_given)(value) for key, value in values.items()}
    for key, name in (("input", "inputs"), ("range", "within")):
        if key in resolved:
            resolved[name] = resolved.pop(key)
    settings = Settings(**{"jobs": available_jobs(), **resolved})
    _check_regimes(settings)
    _check_range(settings)
    if settings.cluster is not None and settings.in_process:
        raise UsageError("--in-process: it is for debugging here; leave out --cluster")
    with user_mistakes():
        Policy().with_settings(settings.policies)
    return settings


def _via(values: dict[str, Any]) -> dict[str, Any]:
    """Have the user's own candidates called with the arrays of the library that `via` names."""
    via = values.pop("via", None)
    if via is None:
        return values
    from harness.subject.candidates.via import via_named

    with user_mistakes():
        named = via_named(via)
    candidates = values.get("candidates", ())
    if not any(":" in spec for spec in candidates):
        raise UsageError(
            f"via {via!r}: it is about candidates of your own; name a module:function or file.py:function"
        )
    return {**values, "candidates": [_handed(spec, str(named)) for spec in candidates]}


def _handed(spec: str, via: str) -> str:
    return f"{spec}@{via}" if ":" in spec and "@" not in spec.rpartition(":")[2] else spec


def _of_libraries(values: dict[str, Any]) -> dict[str, Any]:
    """Add every installed library to the candidates, in the usual formats where none is named."""
    if not values.get("libraries"):
        return values
    from harness.subject.candidates.libraries import installed

    op = OPS[choose("op", values.get("op", SOFTMAX.name), OPS)]
    names = [library.name for library in installed() if library.has(op)]
    if not names:
        raise UsageError(
            f"--libraries: none that has {op} is installed; pip install 'softmax-harness[libraries]'"
        )
    return {"formats": USUAL_FORMATS, **values, "candidates": [*values.get("candidates", ()), *names]}


def _of_op(values: dict[str, Any]) -> dict[str, Any]:
    """Have the built-ins of an op measured where one is named and no candidate is."""
    if "op" not in values or values.get("candidates"):
        return values
    from harness.subject.candidates import BUILTINS

    op = OPS[choose("op", values["op"], OPS)]
    names = DEFAULT_CANDIDATES if op is SOFTMAX else [c.name for c in BUILTINS.values() if c.op == op]
    return {**values, "candidates": names}


def _check_numbers(values: Mapping[str, Any]) -> None:
    for key in ("rows", "jobs"):
        _at_least(key, values.get(key), 1)
    for length in values.get("lengths", ()):
        _at_least("length", length, 1)
    _at_least("seed", values.get("seed"), 0)
    _at_least("max-memory", values.get("max_memory"), 1)
    check_timeout(values.get("timeout", 1.0))
    if not 0 < (seconds := values.get("max_time", 1.0)) <= LONGEST_TIME:
        raise UsageError(f"max-time {seconds}: give a number of seconds, above 0 and at most {LONGEST_TIME}")
    for length in values.get("lengths", ()) or (1,):
        if max(length, LARGEST_BATCH) * values.get("rows", 1) > LARGEST_CELL or length > LONGEST:
            raise UsageError(
                f"rows {values.get('rows', 1)}, length {length}: give rows of at most {LONGEST} entries,"
                f" and a cell at most {LARGEST_CELL // LARGEST_BATCH} rows and {LARGEST_CELL} entries"
            )


def check_timeout(seconds: float) -> None:
    """Refuse a timeout that no call can have.

    Raises:
        UsageError: it is no number from above 0 to a day.
    """
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise UsageError(
            f"timeout {seconds}: give a number of seconds, above 0 and at most {LONGEST_TIMEOUT}"
        )


def _at_least(what: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{what} {value}: give an integer from {least} on")


def _format(name: str) -> FloatFormat:
    return FORMATS[choose("format", name, FORMATS)]


def _address(cluster: str) -> str:
    if cluster == LOCAL_CLUSTER or _ADDRESS.fullmatch(cluster):
        return cluster
    raise UsageError(
        f"cluster {cluster!r}: give {LOCAL_CLUSTER}, or a scheduler such as tcp://scheduler:8786"
    )


def _inputs(path: str | Path) -> InputRows:
    from strategies.input_file import load

    with user_mistakes():
        return load(path)


def _check_regimes(settings: Settings) -> None:
    from reports.record.cells import SEARCHED
    from strategies.corpora import CORPORA
    from strategies.regimes import REGIMES

    for name in settings.regimes:
        if name == "input" and settings.inputs is None:
            raise UsageError("regime 'input': it is your own rows; add --input FILE")
        choose("regime", name, (*CORPORA, *REGIMES, "input", SEARCHED))


def _range(given: str | Sequence[float]) -> LogitRange:
    from strategies.logit_range import LogitRange

    with user_mistakes():
        return LogitRange.of(given)


def _check_range(settings: Settings) -> None:
    if settings.within is not None:
        with user_mistakes():
            for fmt in settings.formats:
                settings.within.require(fmt)


def _as_given(value: Any) -> Any:
    return value


def _unique(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


_RESOLVERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "candidates": _unique,
    "regimes": _unique,
    "lengths": _unique,
    "policies": _unique,
    "formats": lambda names: _unique(_format(name) for name in names),
    "out_format": _format,
    "op": lambda name: OPS[choose("op", name, OPS)],
    "effort": lambda name: EFFORTS[choose("effort", name, EFFORTS)],
    "cluster": _address,
    "reference": lambda name: choose("reference", name, get_args(Method)),
    "input": _inputs,
    "range": _range,
}
