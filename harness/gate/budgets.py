"""Budgets: the most that a metric may be, each with its reason, read strictly from TOML.

    [[budget]]
    candidate = "my.py:softmax"     # a path is taken from the file's own folder
    format = "float32"
    metric = "bound_ratio"          # a numeric column of the table of cells, or "tier"
    limit = 1.0                     # for "tier" its name
    reason = "what the standard tier allows"
    # and, optionally:
    out_format = "float32"
    regime = "masked"
    length = 4096
    date = 2026-01-31
    loosened = ["..."]              # written by `gate --loosen`, one line each time

A file with a mistake is refused whole, with every mistake and where it is.
"""

from __future__ import annotations

import datetime as dt
import math
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.campaign.mistakes import mistake
from harness.subject.candidates.native import SUFFIXES
from harness.terminal.exceptions import UsageError, choose
from reference.formats import FORMATS, FloatFormat
from reference.tiers import TIERS
from reports.files import FileError, read_text
from reports.record.metrics import JUDGED, METRICS, Metric

__all__ = [
    "TIER",
    "Budget",
    "budgets_of",
    "of_tier",
    "read_budgets",
    "spec_from",
]

TIER: Final = "tier"

LONGEST_GATED: Final = 1 << 20
"""The most entries of a row in a budget: rows of every regime are made, and longer ones take hours."""


@dataclass(frozen=True)
class Budget:
    """The most that a metric may be, wherever the budget applies.

    Attributes:
        candidate: its spec, as `load` takes it from the current folder.
        format, out_format: their names; the output's is the input's where it is None.
        regime, length: of which cells; of all where None.
        metric: one of `JUDGED`, or TIER.
        limit: a number, or the name of a tier.
        reason: why it is that.
        number: its place in the file, None where it comes from the command line.
    """

    candidate: str
    format: str
    metric: str
    limit: float | str
    reason: str
    out_format: str | None = None
    regime: str | None = None
    length: int | None = None
    number: int | None = None

    @property
    def operator(self) -> str:
        """The comparison of figure and limit."""
        if self.metric == TIER:
            return "meets"
        return ">=" if self.is_at_least else "<="

    @property
    def is_at_least(self) -> bool:
        """Whether the limit is a lower one, as more of the metric is better."""
        return self.metric != TIER and METRICS[self.metric].better == "more"

    @property
    def is_of_rate(self) -> bool:
        """Whether it limits a rate."""
        return self.metric != TIER and METRICS[self.metric].unit == "rate"

    @property
    def key(self) -> tuple[Any, ...]:
        """The key, different for any two budgets."""
        return (
            self.candidate,
            self.format,
            self.out_format or self.format,
            self.regime,
            self.length,
            self.metric,
        )

    def applies_to(self, row: Mapping[str, Any]) -> bool:
        """Return whether the budget applies to a cell, a row of the table of cells."""
        return (
            (row["candidate"], row["format"]) == (self.candidate, self.format)
            and row["out_format"] == (self.out_format or self.format)
            and self.regime in (None, row["regime"])
            and self.length in (None, row["length"])
        )


def of_tier(
    tier: str, candidates: Iterable[str], formats: Iterable[str], out_format: str | None
) -> list[Budget]:
    """Return the budgets of a built-in tier, for every candidate in every format.

    Raises:
        UsageError: there is no such tier, or it does not speak of a format.
    """
    choose("tier", tier, TIERS)
    names = list(formats)
    for name in names:
        if not TIERS[tier].takes(FORMATS[out_format or name]):
            raise UsageError(TIERS[tier].refusal(FORMATS[out_format or name]))
    return [
        Budget(candidate, name, TIER, tier, "asked for", out_format)
        for candidate in candidates
        for name in names
    ]


def read_budgets(path: Path) -> list[Budget]:
    """Return the budgets of a file.

    Raises:
        UsageError: it cannot be read, or holds a mistake; all are listed with their paths.
    """
    try:
        text = read_text(path)
    except FileError as error:
        raise UsageError(f"not readable as a file of budgets: {error}") from error
    return budgets_of(text, path)


def budgets_of(text: str, path: Path) -> list[Budget]:
    """Return the budgets of a file's text.

    Raises:
        UsageError: it holds a mistake; all are listed with their paths.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not readable as a file of budgets ({error})") from error
    entries, mistakes = _validated(document)
    mistakes += [text for number, values, _ in entries for text in _meaningless(f"budget[{number}]", values)]
    budgets = [_budget(values, number, path.parent) for number, values, whole in entries if whole]
    mistakes += _duplicates(budgets)
    if not budgets and not mistakes:
        mistakes = ["it holds no [[budget]]"]
    if mistakes:
        raise UsageError(f"{path}: {'; '.join(mistakes)}")
    return budgets


def spec_from(spec: str, folder: Path) -> str:
    """Return a candidate's spec with the path of its file in a folder, relative to the current one."""
    where, separator, function = spec.rpartition(":")
    if not separator or not where.endswith((".py", *SUFFIXES)):
        return spec
    file = Path(os.path.relpath(folder.resolve() / Path(where).expanduser()))
    return f"{file.as_posix()}:{function}"


def _validated(document: Mapping[str, Any]) -> tuple[list[tuple[int, dict[str, Any], bool]], list[str]]:
    """Return the number of each entry, its well-formed values, whether these are all, and the mistakes."""
    from pydantic import BaseModel, ConfigDict, Field, ValidationError

    class Entry(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        candidate: str = Field(min_length=1)
        format: str
        metric: str
        limit: float | str
        reason: str = Field(min_length=1)
        out_format: str | None = None
        regime: str | None = None
        length: int | None = Field(default=None, ge=1, le=LONGEST_GATED)
        date: dt.date | None = None
        loosened: list[str] = []

    known = {"budget": None}
    mistakes = [mistake((), key, "", "extra_forbidden", known) for key in document if key not in known]
    listed = document.get("budget", [])
    if not isinstance(listed, list):
        return [], [*mistakes, "budget: write [[budget]], once for each"]
    entries: list[tuple[int, dict[str, Any], bool]] = []
    for number, values in enumerate(listed):
        try:
            entries.append((number, Entry.model_validate(values).model_dump(), True))
        except ValidationError as error:
            wrong = {key for mistake in error.errors() for key in mistake["loc"][:1]}
            rest = values if isinstance(values, dict) else {}
            entries.append((number, {key: rest[key] for key in rest.keys() - wrong}, False))
            mistakes += _told(number, error.errors(), Entry.model_fields)
    return entries, mistakes


def _told(number: int, errors: Sequence[Any], known: Mapping[str, Any]) -> Iterator[str]:
    """Yield each mistake once, as Pydantic reports a value that fits neither of two types for both."""
    seen = set()
    for error in errors:
        key = error["loc"][0] if error["loc"] else "entry"
        if key not in seen:
            seen.add(key)
            several = "input should be a number or the name of a tier"
            message = several if key == "limit" and error["type"] != "missing" else error["msg"]
            yield mistake((f"budget[{number}]",), key, message, error["type"], known)


def _budget(values: Mapping[str, Any], number: int, folder: Path) -> Budget:
    kept = {key: value for key, value in values.items() if key not in ("date", "loosened")}
    return Budget(**{**kept, "candidate": spec_from(values["candidate"], folder)}, number=number)


# What is well formed and means nothing -----------------------------------------------------


def _meaningless(at: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the mistakes in the well-formed values of an entry, some of which may be missing."""
    from strategies.corpora import CORPORA
    from strategies.regimes import REGIMES

    metric, limit = values.get("metric"), values.get("limit")
    names = {
        "metric": (*JUDGED, TIER),
        "format": FORMATS,
        "out_format": FORMATS,
        "regime": (*CORPORA, *REGIMES),
    }
    for key, known in names.items():
        value = values.get(key)
        if key == "metric" and _counts_rows_asked(value):
            yield f"{at}.metric {value!r}: it depends on the request, not on outputs; limit another column"
        elif value is not None:
            yield from _unknown(f"{at}.{key}", value, known)
    if not any(character.isalnum() for character in values.get("reason", "given")):
        yield f"{at}.reason: say why the limit is what it is"
    if limit is None:
        return
    if metric == TIER:
        yield from _unknown(f"{at}.limit", limit, TIERS)
        yield from _not_of_tier(f"{at}.limit", limit, values.get("out_format") or values.get("format"))
    elif isinstance(metric, str) and metric in JUDGED:
        written = values.get("out_format") or values.get("format")
        yield from _unlimited(f"{at}.limit", JUDGED[metric], limit, FORMATS.get(str(written)))


def _not_of_tier(where: str, tier: Any, written: Any) -> Iterator[str]:
    if tier in TIERS and written in FORMATS and not TIERS[tier].takes(FORMATS[written]):
        yield f"{where}: {TIERS[tier].refusal(FORMATS[written])}"


def _unknown(where: str, value: Any, known: Iterable[str]) -> Iterator[str]:
    try:
        choose(where, str(value), known)
    except UsageError as error:
        yield str(error)


def _counts_rows_asked(name: Any) -> bool:
    """Return whether a column does not depend on the candidate's outputs, so that a limit judges nothing."""
    metric = METRICS.get(name) if isinstance(name, str) else None
    return metric is not None and metric.better is None and metric.dtype == "int64"


def _unlimited(where: str, metric: Metric, limit: float | str, written: FloatFormat | None) -> Iterator[str]:
    if isinstance(limit, str):
        yield f"{where} {limit!r}: {metric.name} is limited by a number"
    elif math.isnan(limit) or math.isinf(limit) or limit < 0:
        yield f"{where} {limit}: give a finite number from 0 on"
    elif metric.unit == "rate" and limit >= 1:
        yield f"{where} {limit}: a rate of {limit} cannot be exceeded; give less than 1"
    elif metric.better == "more" and not 0 < limit <= 1:
        yield f"{where} {limit}: {metric.name} is a share, limited from below; give more than 0, at most 1"
    elif written is not None and limit >= (most := _of_zeros(metric, written)):
        yield f"{where} {limit}: outputs that are all 0 would pass in {written}; give less than {most:.17g}"


def _of_zeros(metric: Metric, written: FloatFormat) -> float:
    """Return a value that outputs of 0 cannot exceed; infinity where the metric alone does not give one.

    It is less than 2^p ULP off, and no bound is less than 1/4 of one (1/2, but at r = 1).
    """
    match metric.unit:
        case "ULP":
            return 2.0**written.precision
        case "bound":
            return 2.0 ** (written.precision + 1)
        case "sum":
            return 1.0
    return math.inf


def _duplicates(budgets: Iterable[Budget]) -> list[str]:
    first: dict[tuple[Any, ...], Budget] = {}
    messages = []
    for budget in budgets:
        earlier = first.setdefault(budget.key, budget)
        if earlier is not budget:
            messages.append(
                f"budget[{budget.number}]: the same cells and metric as budget[{earlier.number}]; keep one"
            )
    return messages
