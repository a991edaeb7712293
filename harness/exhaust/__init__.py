"""Every row of a small format and length: a proof, not a sample."""

from __future__ import annotations

from harness.exhaust.bracket import Bracket, NoBracket
from harness.exhaust.enumeration import Enumeration
from harness.exhaust.exhaustion import MOST_ROWS, REGIME, THOROUGH, Exhaustion, Range
from harness.exhaust.memory import Remembering
from harness.exhaust.pairs import ShiftedPairs
from harness.exhaust.shift import NotByTheShift
from harness.exhaust.symmetry import NONE, Symmetries, check_symmetries
from harness.exhaust.tuples import ShiftedTuples

__all__ = [
    "MOST_ROWS",
    "NONE",
    "REGIME",
    "THOROUGH",
    "Bracket",
    "Enumeration",
    "Exhaustion",
    "NoBracket",
    "NotByTheShift",
    "Range",
    "Remembering",
    "ShiftedPairs",
    "ShiftedTuples",
    "Symmetries",
    "check_symmetries",
]
