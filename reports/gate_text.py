"""A gate's verdicts for a terminal and for Markdown: the verdict first, then what did not pass.

Figures have as many digits as it takes to distinguish them from their limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from reference.formats import format_named
from reports import spelling
from reports.common import in_common
from reports.figures import count, plural
from reports.record.verdicts import Verdict, headline_name, worst_first
from reports.rows import in_python
from reports.spelling import markdown as escaped
from reports.spelling import markdown_code
from reports.violations import (
    counts_of,
    excused,
    limit_of,
    outcome,
    spelled,
    status_name,
    subject,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["MARKDOWN_BYTES", "alike", "headline", "markdown", "terminal", "verdict_lines"]

MARKDOWN_BYTES: Final = 1 << 20
"""GitHub refuses a step's summary of more than 1 MiB."""

SHOWN: Final = 12
"""Verdicts that a terminal shows one by one."""

NONE_LOOKED: Final[Mapping[tuple[str, str], str]] = MappingProxyType({})

_LISTED: Final = 400

_NAMED: Final = 3
"""The most cells to name among those where something was excused."""


def headline(verdicts: Sequence[Verdict]) -> str:
    """Return the outcome in one sentence."""
    return f"gate: {headline_name(verdicts)} ({counts_of(verdicts) or 'nothing was judged'})"


def terminal(
    verdicts: Sequence[Verdict],
    relaxations: Mapping[str, Sequence[str]],
    folder: str,
    most: int = SHOWN,
    looked: Mapping[tuple[str, str], str] = NONE_LOOKED,
) -> RenderableType:
    """Return the text for a terminal: the outcome, what violations have in common, the worst, what passes.

    Args:
        verdicts: all of them.
        relaxations: policies by candidate.
        folder: the run folder, where junit.xml holds all verdicts.
        most: the most violations to show.
        looked: the rows and calls of the contract's checks, by candidate and formats.
    """
    from rich.console import Group
    from rich.text import Text

    groups = alike([v for v in worst_first(verdicts) if v.stops])
    lines = [headline(verdicts), *in_common(verdicts)]
    lines += [line for worst, *others in groups[:most] for line in verdict_lines(worst, others)]
    if groups:
        lines.append(f"all violations are in {folder}/junit.xml and with --json")
    lines += [*_passed(verdicts, looked), *_unsupported(verdicts)]
    lines += [f"policy of {name}: {', '.join(p)}" for name, p in relaxations.items() if p]
    return Group(*(Text(spelling.line(line)) for line in lines))


def alike(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    """Return verdicts in groups that one example stands for, each group in the order given."""
    groups: dict[tuple[str, ...], list[Verdict]] = {}
    for v in verdicts:
        accepted = v.message.rpartition("--policy ")[2] if v.metric == "policy" else ""
        key = (v.candidate, v.formats, v.status, v.metric, accepted)
        groups.setdefault(key, []).append(v)
    return list(groups.values())


def _passed(
    verdicts: Sequence[Verdict], looked: Mapping[tuple[str, str], str] = NONE_LOOKED
) -> Iterator[str]:
    """Yield a line for each group that passes, and for each contract what its checks looked at."""
    groups: dict[tuple[str, str, str, str], list[Verdict]] = {}
    for v in verdicts:
        metric = "contract" if v.metric.startswith("contract ") else v.metric
        groups.setdefault((v.candidate, v.formats, metric, limit_of(v)), []).append(v)
    for (candidate, formats, metric, limit), members in groups.items():
        passes = all(v.status == "pass" for v in members)
        seen = looked.get((candidate, formats)) if metric == "contract" else None
        if passes:
            held = {"contract": metric, "tier": limit}.get(metric, f"{metric} {limit}")
            line = f"pass  {candidate}, {formats}, {held}: {_worst(metric, members)}"
            yield f"{line}, {seen}" if seen else line
        elif seen:
            yield f"the contract of {candidate}, {formats}, was checked on {seen}"


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
    figure = spelled(worst)[1]
    of_tier = {
        "rounded": f"at least {figure} of outputs correctly rounded",
        "faithful": f"at least {figure} of outputs faithful",
    }
    is_tier = metric == "tier"
    said = of_tier.get(str(worst.limit), f"at most {figure} of the bound") if is_tier else f"worst {figure}"
    return f"{plural(len(members), 'cell')}, {said} ({worst.place}){notes}"


def _excused(members: Sequence[Verdict]) -> Iterator[str]:
    """Yield how much was excused for each reason, and the first cells."""
    amounts: dict[tuple[str, str], int] = {}
    places: dict[tuple[str, str], list[str]] = {}
    for v in members:
        for amount, noun, by in excused(v.message):
            amounts[noun, by] = amounts.get((noun, by), 0) + amount
            places.setdefault((noun, by), []).append(v.place)
    for (noun, by), amount in amounts.items():
        where = places[noun, by]
        more = f" and {plural(len(where) - _NAMED, 'more cell')}" if len(where) > _NAMED else ""
        yield f"excused: {plural(amount, noun)}{by} in {'; '.join(where[:_NAMED])}{more}"


def verdict_lines(v: Verdict, others: Sequence[Verdict] = ()) -> Iterator[str]:
    """Yield the lines about a verdict: what it says, its row if that is short, and its replay command.

    Args:
        v: the verdict.
        others: of the same kind, which are counted alone.
    """
    yield f"{status_name(v)}  {subject(v)}: {outcome(v)}"
    if v.policy:
        yield f"      policy: {v.policy}"
    if v.bits:
        yield f"      x = {in_python(v.bits, format_named(v.format))}  # bits: {v.bits}"
    if v.replay:
        yield f"      {v.replay}"
    if others:
        places = "; ".join(other.place or other.metric for other in others[:_NAMED])
        more = " ..." if len(others) > _NAMED else ""
        yield f"      {plural(len(others), 'further cell')} like it: {places}{more}"


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
    yield "| outcome | of | what is wrong | replay |"
    yield "|---|---|---|---|"
    for v in failing:
        replay = markdown_code(v.replay) if v.replay else ""
        cells = (status_name(v), subject(v), outcome(v))
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
