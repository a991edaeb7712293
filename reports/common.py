"""What the violations of a gate have in common, one sentence for each candidate, before they are listed.

A dozen alike are one finding. A fact is stated only where it holds of every violation of a candidate's cells,
and only where the gate looked further: "at lengths 257 to 4,096, none at 128 or less" says that several cells
of the same regimes were gated at 128 or less, and that all passed. Where the number of rows in a cell parts
those that fail from those that pass, that is stated too. So is that all of them have logits far out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import comb
from typing import Final

from reports.figures import count, plural
from reports.record.verdicts import Verdict

__all__ = ["in_common"]

LEAST: Final = 3
"""The least violations of a candidate for a sentence; fewer are shorter listed."""

_SENTENCES: Final = 4
_STEPS: Final = (2, 4, 8, 16, 32, 64, 128)
_CHANCE: Final = 1e-4
_NAMED: Final = 3

_NOUNS: Final = {
    "over_budget": "violations",
    "defect": "defects",
    "crashed": "cells that crashed",
    "timed_out": "cells that timed out",
    "uncertified": "cells that cannot be certified",
    "not_run": "cells that were not run",
    "no_budget": "cells without a limit",
}
_OF_METRICS: Final = {
    "failed_rows": "cells with failed rows",
    "bound_ratio": "cells with an error above the bound",
}
_SHARED: Final = {
    "over_bound": "an error above the bound",
    "not_rounded": "an output that is not correctly rounded",
    "not_faithful": "an output that is not faithful",
    "no_bound": "an output without a bound",
    "lost": "an output 0 where the result is a normal number",
    "flushed": "a flushed output",
    "overflow": "a row that overflowed",
    "total_underflow": "a row that underflowed as a whole",
    "unexplained": "a failed row that nothing declared explains",
}
"""What a cell has where a clause of a tier is broken there."""

_CLAUSE: Final = re.compile(r"\d+ (\w+)")
_LOST: Final = " rows gave no output: "


def in_common(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a sentence for each candidate whose violations have something in common, at most a few."""
    sentences = list(filter(None, (_of_candidate(own) for own in _by_candidate(verdicts))))
    left = len(sentences) - _SENTENCES
    more = [f"{plural(left, 'more candidate')} likewise"] if left > 0 else []
    further = (list(found(verdicts))[:_SENTENCES] for found in (_looser_met, _far_out))
    return [*sentences[:_SENTENCES], *more, *chain.from_iterable(further)]


def _looser_met(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield the candidates that miss a tier, with the tightest looser one that all their cells meet."""
    from reference.tiers import TIERS

    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for v in verdicts:
        if v.metric == "tier" and v.stops:
            groups.setdefault((v.candidate, v.formats, str(v.limit)), []).append(v)
    for (candidate, formats, asked), members in groups.items():
        if all(v.meets in TIERS for v in members):
            name = max((v.meets for v in members), key=list(TIERS).index)
            yield (
                f"{candidate}: misses {asked} in {formats}, and meets {name} on the same rows"
                f" ({TIERS[name].title})"
            )


def _far_out(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield what holds of candidates whose violations in a format all have logits far out."""
    groups: dict[tuple[str, str], list[str]] = {}
    for v in verdicts:
        if v.stops and _is_of_cell(v):
            groups.setdefault((v.candidate, v.formats), []).append(v.far)
    for (candidate, formats), said in groups.items():
        if all(said) and len(set(said)) == 1:
            yield f"{candidate} in {formats}: {said[0]}"


def _by_candidate(verdicts: Sequence[Verdict]) -> Iterable[list[Verdict]]:
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(verdict.candidate, []).append(verdict)
    return groups.values()


def _of_candidate(own: Sequence[Verdict]) -> str:
    """Return the sentence about one candidate; empty where its violations share nothing."""
    failing = [v for v in own if v.stops]
    cells = [v for v in failing if _is_of_cell(v)]
    if len(cells) < LEAST:
        return ""
    facts = list(_facts(cells, [v for v in own if _is_of_cell(v)]))
    if not facts:
        return ""
    others = list(dict.fromkeys(v.metric for v in failing if not _is_of_cell(v) and v.status != "not_run"))
    beside = f"; it also breaks {_listed(others)}" if others else ""
    what = f"{count(len(cells))} {_what(cells)} are"
    if facts[0].startswith("in every "):  # each violation is in one; together they are in all
        sentence = f"the {what} spread over {', '.join(facts).removeprefix('in ')}"
    else:
        sentence = f"all {what} {', '.join(facts)}"
    return f"{own[0].candidate}: {sentence}{beside}"


def _is_of_cell(verdict: Verdict) -> bool:
    return verdict.regime is not None and verdict.length is not None


def _what(cells: Sequence[Verdict]) -> str:
    """Return a noun for the violations: their status, if they share it, and the limit."""
    statuses = {v.status for v in cells}
    limits = {f"tier {v.limit}" if v.metric == "tier" else v.metric for v in cells}
    noun = _NOUNS[next(iter(statuses))] if len(statuses) == 1 else "violations"
    if len(limits) > 1 or not statuses & {"over_budget", "defect"}:
        return noun
    [limit] = limits
    return _OF_METRICS.get(limit, f"{noun} of {limit}")


def _facts(cells: Sequence[Verdict], gated: Sequence[Verdict]) -> Iterator[str]:
    """Yield what holds of all these cells and not of the other gated cells."""
    regimes = {str(v.regime) for v in cells}
    yield from _where(cells, [v for v in gated if v.regime in regimes])
    yield from _extent("regime", regimes, {str(v.regime) for v in gated})
    yield from _extent("format", {v.formats for v in cells}, {v.formats for v in gated})
    yield from _reasons(cells)


def _where(cells: Sequence[Verdict], gated: Sequence[Verdict]) -> Iterator[str]:
    """Yield the lengths or the numbers of rows of the failing cells, as far as passing cells show it."""
    failing = {_place(v): v for v in cells}
    passing = {_place(v): v for v in gated if _place(v) not in failing}
    lengths = _Line([v.length or 0 for v in failing.values()], [v.length or 0 for v in passing.values()])
    rows = _Line([v.rows or 0 for v in failing.values()], [v.rows or 0 for v in passing.values()])
    if lengths.parts and rows.parts:
        yield f"{_of_lengths(lengths)}; these cells have {_of_rows(rows)}, and that may be the reason"
    elif rows.parts:
        yield f"in cells of {_of_rows(rows)}"
    elif lengths.is_supported:
        yield _of_lengths(lengths)


def _place(verdict: Verdict) -> tuple[str, str | None, int | None]:
    return verdict.formats, verdict.regime, verdict.length


@dataclass(frozen=True)
class _Line:
    """A figure of the failing cells and of the passing cells."""

    failing: Sequence[int]
    passing: Sequence[int]

    @property
    def below(self) -> int | None:
        """The greatest passing figure below all failing ones; None where there are too few."""
        least = min(self.failing)
        figures = [n for n in self.passing if n < least]
        return max(figures) if len(figures) >= LEAST else None

    @property
    def above(self) -> int | None:
        """The least passing figure above all failing ones; None where there are too few."""
        most = max(self.failing)
        figures = [n for n in self.passing if n > most]
        return min(figures) if len(figures) >= LEAST else None

    @property
    def is_supported(self) -> bool:
        """Whether enough passing figures lie on one side of all failing ones."""
        return self.below is not None or self.above is not None

    @property
    def parts(self) -> bool:
        """Whether all passing figures lie on one side of all failing ones, and are enough."""
        least, most = min(self.failing), max(self.failing)
        one_side = (self.below is None) != (self.above is None)
        return one_side and not any(least <= n <= most for n in self.passing)


def _of_lengths(line: _Line) -> str:
    least, most = min(line.failing), max(line.failing)
    failing = set(line.failing)
    gated = failing | {n for n in line.passing if least <= n <= most}
    if least == most:
        where = f"only at length {count(least)}"
    elif len(failing) < len(gated):
        where = (
            f"at {count(len(failing))} of {count(len(gated))} lengths from {count(least)} to {count(most)}"
        )
        where += _multiples(failing, gated)
    else:
        where = f"at lengths {count(least)} to {count(most)}"
    sides = [f"{count(line.below)} or less"] if line.below is not None else []
    sides += [f"{count(line.above)} or more"] if line.above is not None else []
    return f"{where}, none at {' and none at '.join(sides)}"


def _multiples(failing: set[int], gated: set[int]) -> str:
    """Return the multiples that fail alone or are spared, where chance would hardly part lengths so.

    Of the ways to choose as many lengths of those gated, at most `_CHANCE` have only such, or none.
    """
    ways = comb(len(gated), len(failing))
    for step in _STEPS:
        multiples = {n for n in gated if n % step == 0}
        if not failing & multiples and comb(len(gated - multiples), len(failing)) <= _CHANCE * ways:
            return f" (none of the {count(len(multiples))} multiples of {step} among them)"
    for step in reversed(_STEPS):
        multiples = {n for n in gated if n % step == 0}
        if failing <= multiples and comb(len(multiples), len(failing)) <= _CHANCE * ways:
            return f" (all of them multiples of {step})"
    return ""


def _of_rows(line: _Line) -> str:
    if line.below is not None:
        return f"{count(min(line.failing))} rows and more, none of {count(line.below)} or fewer"
    return f"{count(max(line.failing))} rows and fewer, none of {count(line.above or 0)} or more"


def _extent(noun: str, failing: set[str], gated: set[str]) -> Iterator[str]:
    """Yield where the violations are, if that is one, a few, all, or all but a few."""
    spared = gated - failing
    if len(gated) == 1:
        return
    if not spared:
        yield f"in every {noun}"
    elif len(failing) <= _NAMED:
        yield f"only in {noun}{'' if len(failing) == 1 else 's'} {_listed(sorted(failing))}"
    elif len(spared) <= _NAMED:
        yield f"in every {noun} but {_listed(sorted(spared))}"


def _reasons(cells: Sequence[Verdict]) -> Iterator[str]:
    """Yield what every message of a tier names, and the reason for lost rows if they share one."""
    named = [_CLAUSE.findall(v.message.partition("excused")[0]) for v in cells if v.metric == "tier"]
    if named:
        shared = [word for word in named[0] if all(word in words for words in named)]
        if shared and shared != ["over_bound"]:
            yield f"each with {_listed([_SHARED.get(word, word) for word in shared])}"
    lost = {v.message.partition(_LOST)[2] for v in cells}
    if len(lost) == 1 and lost != {""}:
        yield f"for one reason: {lost.pop()}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
