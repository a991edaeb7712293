"""A gate's verdicts for a terminal and for Markdown: the verdict first, then what did not pass.

Figures have as many digits as it takes to distinguish them from their limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from reports import spelling
from reports.common import in_common
from reports.figures import NOTHING, count, plural
from reports.record.verdicts import FORMAT, Verdict, counted, headline_name, worst_first
from reports.spelling import markdown as escaped
from reports.spelling import markdown_code

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["MARKDOWN_BYTES", "headline", "markdown", "spelled", "terminal", "verdict_lines", "worst_by_group"]

MARKDOWN_BYTES: Final = 1 << 20
"""GitHub refuses a step's summary of more than 1 MiB."""

SHOWN: Final = 12
"""Verdicts that a terminal shows one by one."""

NONE_LOOKED: Final[Mapping[tuple[str, str], str]] = MappingProxyType({})

_LISTED: Final = 400

_EXCUSED: Final = re.compile(r"excused: (\d+) ([\w=]+)")
_EXCUSED_NOUNS: Final = {"overflow": "overflowing row", "flushed": "flushed output"}
_NAMED: Final = 3
"""The most cells to name among those where something was excused."""


def headline(verdicts: Sequence[Verdict]) -> str:
    """Return the outcome in one sentence."""
    counts = ", ".join(f"{count} {status}" for status, count in counted(verdicts).items())
    return f"gate: {headline_name(verdicts)} ({counts or 'nothing was judged'})"


def spelled(verdict: Verdict) -> tuple[str, str]:
    """Return limit and figure, with enough digits to show which is greater."""
    limit, observed = verdict.limit, verdict.observed
    if not isinstance(limit, (int, float)):
        text = "none" if limit is None else limit
        return text, NOTHING if observed is None else f"{observed:.6g}"
    if observed is None:
        return f"{limit:.6g}", NOTHING
    for digits in (4, 6, 9, 12, 17):
        texts = f"{limit:.{digits}g}", f"{observed:.{digits}g}"
        if texts[0] != texts[1] or limit == observed:
            return texts
    return repr(limit), repr(observed)


def terminal(
    verdicts: Sequence[Verdict],
    relaxations: Mapping[str, Sequence[str]],
    folder: str,
    most: int = SHOWN,
    looked: Mapping[tuple[str, str], str] = NONE_LOOKED,
) -> RenderableType:
    """Return the text for a terminal: what violations have in common, what passes, then the worst.

    Args:
        verdicts: all of them.
        relaxations: policies by candidate.
        folder: the run folder, where junit.xml holds all verdicts.
        most: the most violations to show.
        looked: the rows and calls of the contract's checks, by candidate and formats.
    """
    from rich.console import Group
    from rich.text import Text

    failing = [v for v in worst_first(verdicts) if v.stops]
    lines = [*in_common(verdicts), *_passed(verdicts, looked), *_unsupported(verdicts)]
    lines += [line for v in worst_by_group(failing)[:most] for line in verdict_lines(v)]
    if len(failing) > most:
        lines.append(f"{most} of {count(len(failing))} shown; all are in {folder}/junit.xml and with --json")
    lines += [f"policy of {name}: {', '.join(p)}" for name, p in relaxations.items() if p]
    return Group(*(Text(spelling.line(line)) for line in [*lines, headline(verdicts)]))


def worst_by_group(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts in turns: the worst of each candidate, format, status and metric, then the next."""
    seen: dict[tuple[str, ...], int] = {}
    turns = []
    for verdict in verdicts:
        group = (verdict.candidate, verdict.formats, verdict.status, verdict.metric)
        seen[group] = seen.get(group, -1) + 1
        turns.append((seen[group], verdict))
    return [verdict for _, verdict in sorted(turns, key=lambda turn: turn[0])]


def _passed(
    verdicts: Sequence[Verdict], looked: Mapping[tuple[str, str], str] = NONE_LOOKED
) -> Iterator[str]:
    """Yield a line for each group that passes, and for each contract what its checks looked at."""
    groups: dict[tuple[str, str, str, str], list[Verdict]] = {}
    for v in verdicts:
        metric = "contract" if v.metric.startswith("contract ") else v.metric
        groups.setdefault((v.candidate, v.formats, metric, f"{v.operator} {v.limit}"), []).append(v)
    for (candidate, formats, metric, limit), members in groups.items():
        passes = all(v.status == "pass" for v in members)
        seen = looked.get((candidate, formats)) if metric == "contract" else None
        if passes:
            held = metric if metric == "contract" else f"{metric} {limit}"
            line = f"pass  {candidate}  {formats}  {held}: {_worst(metric, members)}"
            yield f"{line}, {seen}" if seen else line
        elif seen:
            yield f"looked at  {candidate}  {formats}  contract: {seen}"


def _unsupported(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield from (line for v in verdicts if v.status == "unsupported" for line in verdict_lines(v))


def _worst(metric: str, members: Sequence[Verdict]) -> str:
    if metric == "contract":
        return plural(len(members), "check")
    figures = [v for v in members if v.observed is not None]
    notes = "".join(f"; {text}" for text in _excused(members))
    if not figures:
        return f"{plural(len(members), 'cell')}, no figure{notes}"
    least = members[0].operator == ">=" or members[0].limit in ("rounded", "faithful")
    worst = (min if least else max)(figures, key=lambda v: v.observed or 0.0)
    return f"{plural(len(members), 'cell')}, worst {spelled(worst)[1]} ({worst.place}){notes}"


def _excused(members: Sequence[Verdict]) -> Iterator[str]:
    """Yield how much was excused for each reason, and the first cells."""
    amounts: dict[str, int] = {}
    places: dict[str, list[str]] = {}
    for v in members:
        for amount, name in _EXCUSED.findall(v.message):
            amounts[name] = amounts.get(name, 0) + int(amount)
            places.setdefault(name, []).append(v.place)
    for name, amount in amounts.items():
        where = places[name]
        more = f" and {plural(len(where) - _NAMED, 'more cell')}" if len(where) > _NAMED else ""
        said = plural(amount, _EXCUSED_NOUNS.get(name, "row"))
        by = f" by {name}" if "=" in name else ""
        yield f"excused: {said}{by} in {'; '.join(where[:_NAMED])}{more}"


def verdict_lines(v: Verdict) -> Iterator[str]:
    """Yield the lines about a verdict: the verdict, its row if short, and its replay command."""
    if v.metric == FORMAT:
        yield f"{v.status}  {v.candidate}  {v.formats}: {v.message}"
        return
    limit, observed = spelled(v)
    figure = "" if v.observed is None else f"{observed}, "
    message = f"; {v.message}" if v.message else ""
    yield f"{v.status}  {v.name}: {figure}limit {v.operator} {limit}{message}"
    if v.policy:
        yield f"      policy: {v.policy}"
    if v.bits:
        yield f"      x = {v.bits}"
    if v.replay:
        yield f"      {v.replay}"


# Markdown ----------------------------------------------------------------------------------


def markdown(verdicts: Sequence[Verdict], relaxations: Mapping[str, Sequence[str]], folder: str) -> str:
    """Return a job summary of less than MARKDOWN_BYTES: the verdict, then all that does not pass.

    Args:
        verdicts: all of them.
        relaxations: policies by candidate.
        folder: the run folder, where junit.xml holds all verdicts.
    """
    everything = f"{folder}/junit.xml"
    failing = [v for v in worst_first(verdicts) if v.stops]
    head = [f"**{escaped(headline(verdicts))}**", ""]
    head += [f"{escaped(sentence)}\n" for sentence in in_common(verdicts)]
    head += [f"policy of {escaped(name)}: {escaped(', '.join(p))}\n" for name, p in relaxations.items() if p]
    lines = [*head, *_table(failing[:_LISTED]), *_beyond(len(failing), everything), *_passes(verdicts)]
    text = "\n".join(lines) + "\n"
    while len(text.encode()) >= MARKDOWN_BYTES:
        lines = lines[: len(lines) // 2]
        text = "\n".join([*lines, "", f"... cut short; all are in {escaped(everything)}"]) + "\n"
    return text


def _table(failing: Sequence[Verdict]) -> Iterator[str]:
    if not failing:
        return
    yield "| status | what | observed | limit | why | replay |"
    yield "|---|---|--:|--:|---|---|"
    for v in failing:
        limit, observed = spelled(v)
        replay = markdown_code(v.replay) if v.replay else ""
        cells = (v.status, v.name, observed, f"{v.operator} {limit}", v.message)
        yield f"| {' | '.join(escaped(cell) for cell in cells)} | {replay} |"
    yield ""


def _beyond(failing: int, where: str) -> list[str]:
    if failing <= _LISTED:
        return []
    return [f"{count(_LISTED)} of {count(failing)} shown; all are in {escaped(where)}", ""]


def _passes(verdicts: Sequence[Verdict]) -> Iterator[str]:
    lines = [*_passed(verdicts), *_unsupported(verdicts)]
    if lines:
        yield "<details><summary>What passes</summary>"
        yield ""
        yield from (f"- {escaped(line)}" for line in lines)
        yield ""
        yield "</details>"
