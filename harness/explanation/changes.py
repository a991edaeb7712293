"""What is another in a later explanation: the parts that changed, and the cause."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from harness.terminal.exceptions import UsageError

__all__ = ["PartChange", "changes", "explanation_in", "is_explanation"]

FACTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "shift": ("moved", "left_out"),
        "exp": ("worst_ulp", "worst_at", "last_nonzero", "scale", "least", "falls"),
        "sum": ("not_once", "accumulator_bits", "order", "heights"),
        "divide": ("way", "epsilon"),
        "output": ("subnormals_kept", "rounded_once"),
        "dependence": ("on",),
    }
)
"""What makes a part another; how many rows showed it does not."""

Explanation = Mapping[str, Any]


@dataclass(frozen=True)
class PartChange:
    """One part, or the cause, before and after, as text."""

    part: str
    before: str
    after: str

    def line(self) -> str:
        """Return it as one line."""
        return f"{self.part} changed: {self.before} -> {self.after}"

    def document(self) -> dict[str, str]:
        """Return it as JSON takes it."""
        return dict(vars(self))


def changes(before: Explanation, after: Explanation) -> Iterator[PartChange]:
    """Yield the cause and the parts that are another, the cause first."""
    causes = [_cause(e) for e in (before, after)]
    if causes[0] != causes[1]:
        yield PartChange("cause", *causes)
    parts = [{str(p["part"]): p for p in e.get("parts") or ()} for e in (before, after)]
    for name in FACTS:
        old, new = (found.get(name) for found in parts)
        if old is not None and new is not None and _facts(name, old) != _facts(name, new):
            yield PartChange(name, _said(old), _said(new))


def _cause(explanation: Explanation) -> str:
    cause = explanation.get("cause")
    if isinstance(cause, Mapping):
        return f"{cause.get('code')}: {cause.get('sentence')}"
    return "unexplained" if explanation.get("violations") else "none"


def _facts(name: str, part: Mapping[str, Any]) -> str:
    """Return what makes a part what it is, as text that JSON leaves as it is."""
    return json.dumps([part.get("state"), *(part.get(fact) for fact in FACTS[name])], sort_keys=True)


def _said(part: Mapping[str, Any]) -> str:
    state = "" if part.get("state") == "observed" else f"{part.get('state')}: "
    return f"{state}{part.get('text')}"


# Files -------------------------------------------------------------------------------------


def is_explanation(name: str) -> bool:
    """Tell whether a name is that of a JSON file, and not of a run."""
    return name.endswith(".json") and Path(name).is_file()


def explanation_in(name: str) -> dict[str, Any]:
    """Return the explanation that `explain --json` wrote to a file.

    Raises:
        UsageError: the file holds none.
    """
    if Path(name).is_dir():
        raise UsageError(f"{name}: a folder; give two runs, or two files that explain --json wrote")
    try:
        document = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{name}: cannot be read as JSON: {error}") from None
    if isinstance(document, dict) and "cells" in document:
        raise UsageError(f"{name}: the summary of a run; give the folder of the run")
    parts = document.get("parts") if isinstance(document, dict) else None
    if not isinstance(parts, Sequence) or not all(isinstance(p, dict) and "part" in p for p in parts):
        raise UsageError(f"{name}: no explanation; write one with python -m harness explain CANDIDATE --json")
    return dict(document)
