"""What was found of one part of a softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Part", "State"]

State = Literal["observed", "not visible", "contradictory"]


@dataclass(frozen=True)
class Part:
    """One part, and how it is known.

    Attributes:
        name: `shift`, `exp`, `sum`, `divide`, `output` or `dependence`.
        state: whether it was seen, cannot be seen in this format, or gave answers that contradict each other.
        text: what was seen, or why it was not.
        rows: the rows that were asked for it.
        facts: the same as values, for JSON and for who goes on from it.
    """

    name: str
    state: State
    text: str
    rows: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {"part": self.name, "state": self.state, "text": self.text, "rows": self.rows, **self.facts}
