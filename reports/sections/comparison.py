"""What got better or worse since an earlier run of the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from reports.figures import count, figure
from reports.records import Record, State, records
from reports.rundata import RunData
from reports.section import Section

_STATES: Final[Mapping[str, State]] = {"worse": "bad", "better": "good"}
_LAST: Final = "noise"

Change = Mapping[str, Any]


def render(run: RunData) -> Markup:
    """Draw the changes, those for the worse first; nothing where the run was not compared."""
    document: Mapping[str, Any] = run.documents.get("comparison") or {}
    if not document:
        return Markup()
    changes: Sequence[Change] = document.get("changes") or ()
    headings = ("change", "metric", "candidate", "format", "cell", "before", "now")
    lines = [_record(change) for change in sorted(changes, key=_rank)]
    return records("comparison", headings, lines, more="cells.csv of both runs", intro=sentence(document))


def sentence(document: Mapping[str, Any]) -> str:
    """Return how many cells got better and worse, and against what."""
    counts = {
        name: int(document.get(name) or 0) for name in ("better", "worse", "noise", "equal", "incomparable")
    }
    said = ", ".join(f"{count(number)} {name}" for name, number in counts.items())
    return f"Against {document.get('base') or 'an earlier run'}: {said}."


def _rank(change: Change) -> int:
    """Order changes: the worse first, noise last; each kind stands in the order of its gravity."""
    name = change.get("change")
    return 0 if name == "worse" else 2 if name == _LAST else 1


def _record(change: Change) -> Record:
    fmt, out = change.get("format"), change.get("out_format")
    texts = (
        str(change.get("change", "")),
        str(change.get("metric", "")),
        str(change.get("candidate", "")),
        str(fmt) if fmt == out or not out else f"{fmt} > {out}",
        f"{change.get('regime', '')}, n={change.get('length', '')}",
        figure(change.get("before")),
        figure(change.get("after")),
    )
    return Record(texts, _STATES.get(texts[0], "plain"), str(change.get("message") or ""))


SECTION = Section(
    title="Compared with an earlier run",
    order=18,
    guide=(
        "Two cells are compared only if they had the same rows, bit for bit; the others are counted as"
        " incomparable. Every cell whose exact figures differ is listed, the gravest change first. A"
        " difference is noise if another draw of rows could make it; noise stands last."
    ),
    render=render,
)
