"""What the checks of a candidate looked at, in one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from reports.figures import plural

__all__ = ["looked_at", "looked_at_in_all"]

Check = Mapping[str, Any]

UNSEEN_SHOWN: Final = 2
"""Phrases about rows that there was no time or memory for, in one line."""


def looked_at(checks: Iterable[Check]) -> dict[tuple[str, str], str]:
    """Return what the checks of the contract looked at, by candidate and formats, where it is recorded.

    Args:
        checks: documents of the ledger.
    """
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.get("kind") == "contract" and (check.get("looked") or {}).get("calls"):
            fmt, out = str(check["format"]), str(check.get("out_format") or check["format"])
            formats = fmt if out == fmt else f"{fmt} > {out}"
            groups.setdefault((str(check["candidate"]), formats), []).append(check)
    return {place: _line(members) for place, members in groups.items()}


def looked_at_in_all(checks: Iterable[Check]) -> str:
    """Return the most that the checks of all candidates looked at; empty where none recorded it."""
    looking = [check for check in checks if (check.get("looked") or {}).get("calls")]
    return _line(looking) if looking else ""


def _line(checks: Sequence[Check]) -> str:
    looked = [check["looked"] for check in checks]
    rows = max(int(check.get("rows") or 0) for check in checks)
    calls = sum(int(one.get("calls", 0)) for one in looked)
    longest, largest, threads = (
        max(int(one.get(key, 0)) for one in looked) for key in ("longest_row", "largest_call", "threads")
    )
    text = (
        f"{plural(rows, 'row')} of up to {plural(longest, 'entry')},"
        f" {plural(calls, 'call')} of up to {plural(largest, 'entry')}"
    )
    if threads > 1:
        text += f", {threads} threads at once"
    return text + _unseen([str(what) for one in looked for what in one.get("unseen") or ()])


def _unseen(phrases: Sequence[str]) -> str:
    different = list(dict.fromkeys(phrases))
    if not different:
        return ""
    more = len(different) - UNSEEN_SHOWN
    return f"; not looked at: {', '.join(different[:UNSEEN_SHOWN])}{f', and {more} more' if more > 0 else ''}"
