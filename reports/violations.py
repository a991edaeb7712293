"""A verdict of a gate in words: what was observed, what was allowed, and what accepts it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from reports.figures import NOTHING, count, plural, ulps
from reports.record.metrics import DEFECTS
from reports.record.verdicts import FORMAT, Verdict, counted, headline_name

__all__ = [
    "clauses",
    "counts_of",
    "excused",
    "limit_of",
    "outcome",
    "spelled",
    "status_name",
    "subject",
]

_CLAUSE: Final = re.compile(r"(\d+) ([\w=]+)")
_BROKEN: Final[dict[str, tuple[str, str]]] = {
    "over_bound": ("error", "above the bound"),
    "not_rounded": ("output", "not correctly rounded"),
    "not_faithful": ("output", "not faithful"),
    "no_bound": ("output", "without a bound"),
    "lost": ("output", "0 where the result is a normal number"),
    "overflow": ("row", "overflowed"),
    "total_underflow": ("row", "underflowed as a whole"),
    "unexplained": ("row", "failed for no reason that the candidate declares"),
}
"""What each clause of a tier counts, and what is wrong with it."""

_EXCUSED: Final = {"overflow": "overflowing row", "flushed": "flushed output"}
_UNITS: Final = {metric.shown_by: metric.unit[:-1].replace("element", "output") for metric in DEFECTS}
_PLAIN: Final = frozenset({"no_budget", "not_run", "crashed", "timed_out", "uncertified"})
"""The statuses whose message says all."""


_COUNTED: Final[dict[str, str]] = {
    "crashed": "crashed",
    "timed_out": "timed out",
    "defect": "defect",
    "over_budget": "limit exceeded",
    "uncertified": "uncertified",
    "not_run": "not run",
    "no_budget": "without a limit",
    "unsupported": "unsupported",
    "pass": "limit met",
}
"""What each status is counted as."""


def status_name(v: Verdict) -> str:
    """Return the outcome of one verdict in a word or two."""
    if v.status == "unsupported":
        return "unsupported"
    return headline_name([v])


def counts_of(verdicts: Iterable[Verdict]) -> str:
    """Return how many verdicts have each status, the gravest first: `2 defects, 14 limits met`."""
    parts = []
    for status, number in counted(verdicts).items():
        noun, _, rest = _COUNTED[status].partition(" ")
        is_noun = noun in ("defect", "limit")
        parts.append(
            " ".join(filter(None, (plural(number, noun) if is_noun else f"{count(number)} {noun}", rest)))
        )
    return ", ".join(parts)


def limit_of(v: Verdict) -> str:
    """Return the limit of a verdict in words."""
    limit = spelled(v)[0]
    if v.metric == "tier":
        return f"tier {limit}"
    if v.metric.startswith("contract "):
        return "no row"
    if v.limit is None:
        return "no limit"
    return {"<=": "at most", ">=": "at least"}.get(v.operator, v.operator) + f" {limit}"


def subject(v: Verdict) -> str:
    """Return the candidate, formats and cell that a verdict is about."""
    return ", ".join(part for part in (v.candidate, v.formats, v.place) if part)


def outcome(v: Verdict) -> str:
    """Return what a verdict says of its subject, in one clause."""
    if v.metric == FORMAT:
        return v.message
    if v.status in _PLAIN:
        return f"{v.metric}: {v.message}" if v.status == "uncertified" else v.message
    if v.metric == "tier":
        return _of_tier(v)
    if v.metric.startswith("contract "):
        return f"the contract is broken in {plural(int(v.observed or 0), 'row')}: {v.message}"
    if v.metric in _UNITS and v.limit == 0:
        return _of_defect(v)
    limit, observed = spelled(v)
    side = {"<=": "above", ">=": "below"}.get(v.operator, "not")
    reason = "" if " is not " in v.message else f"; {v.message}" * bool(v.message)
    return f"{v.metric} {observed} is {side} its limit {limit}{reason}"


def _of_defect(v: Verdict) -> str:
    unit, number = _UNITS[v.metric], int(v.observed or 0)
    if v.metric == "policy":
        among = f" of {count(v.rows)}" if v.rows else ""
        return f"{count(number)}{among} rows break the declared policy: {v.message}"
    return f"{plural(number, unit)} {v.message}; none is allowed"


def _of_tier(v: Verdict) -> str:
    if v.status == "pass":
        return f"meets {v.limit}"
    broken = []
    for number, name in clauses(v.message):
        noun, what = _BROKEN.get(name, ("output", name))
        beyond = f", up to {ulps(v.observed)} times it" if name == "over_bound" else ""
        broken.append(f"{plural(number, noun)} {what}{beyond}")
    allowed = [f"{plural(number, noun)} excused{by}" for number, noun, by in excused(v.message)]
    return f"misses {v.limit}: {'; '.join([*broken, *allowed])}"


def clauses(message: str) -> Iterator[tuple[int, str]]:
    """Yield how often each clause of a tier is broken, by the message of its verdict."""
    for number, name in _CLAUSE.findall(message.partition("excused")[0]):
        yield int(number), name


def excused(message: str) -> Iterator[tuple[int, str, str]]:
    """Yield how often something was excused, a noun for it, and the setting: 3, `row`, ` by nan_row=any`."""
    for number, name in re.findall(r"excused: (\d+) ([\w=]+)", message):
        yield int(number), _EXCUSED.get(name, "row"), f" by {name}" if "=" in name else ""


def spelled(v: Verdict) -> tuple[str, str]:
    """Return limit and figure, with enough digits to show which is greater."""
    limit, observed = v.limit, v.observed
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
