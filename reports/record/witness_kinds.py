"""The kinds of witness: how outputs show one, its score, and the test that it becomes.

A check of the contract leaves witnesses of its own name, which stand in no row here: the check says whether
a row still shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

__all__ = [
    "DEFECT_KINDS",
    "FATAL_KINDS",
    "WITNESS_KINDS",
    "Evidence",
    "WitnessKind",
    "gravity_of",
    "kinds_shown_by",
]

Evidence = Literal["call", "format", "outcome", "element", "policy", "tier", "figure"]
"""How a kind is shown when its row is called again.

`call`: the call comes to nothing. `format`: the candidate does not take the format, which no row shows.
`outcome`: the row failed so. `element`: an element is of that class or sign. `policy`: a policy row is not
answered as is declared. `tier`: the row does not meet the tier. `figure`: a figure of the row is as great.
"""


@dataclass(frozen=True)
class WitnessKind:
    """One kind of witness.

    Attributes:
        name: as witnesses have it.
        shown_by: how outputs show it, and a replay shows it again.
        meaning: in a few words, what a row of that kind shows.
        score: the name of its figure; empty where the kind alone ranks it.
        of_element: whether the score is that of one element.
        is_fatal: whether each call of its row costs a process, so that its test calls it in one of its own.
    """

    name: str
    shown_by: Evidence
    meaning: str
    score: Literal["", "ULP", "bound", "sum", "score of the tier"] = ""
    of_element: bool = False
    is_fatal: bool = False

    @property
    def is_defect(self) -> bool:
        """Whether it shows a defect, not only a greatest figure or a flush that a policy may excuse."""
        return self.shown_by != "figure" and self.name != "flushed"


_ROWS: Final = (
    WitnessKind("crashed", "call", "the process of the candidate died", is_fatal=True),
    WitnessKind("timed_out", "call", "the candidate did not return within the time limit", is_fatal=True),
    WitnessKind("out_of_memory", "call", "the candidate took more memory than there is", is_fatal=True),
    WitnessKind("raised", "call", "the candidate raised an error"),
    WitnessKind("wrong_shape", "call", "the candidate returned another shape"),
    WitnessKind("wrong_dtype", "call", "the candidate returned another dtype"),
    WitnessKind("unsupported", "format", "the candidate does not take the format"),
    WitnessKind("unexplained", "outcome", "the row failed for no reason that the candidate declares"),
    WitnessKind("mask_leak", "element", "an output is wrong where the logit is -inf"),
    WitnessKind("overflow", "outcome", "the row failed because its exponentials or their sum overflow"),
    WitnessKind("total_underflow", "outcome", "the row failed because all its exponentials underflow"),
    WitnessKind("inaccurate", "outcome", "the outputs are finite, and their sum is far from the exact one"),
    WitnessKind("nonfinite", "element", "an output is NaN or an infinity"),
    WitnessKind("lost", "element", "an output is 0 where RN(r) is normal"),
    WitnessKind("out_of_range", "element", "an output lies outside the range of results"),
    WitnessKind("negative_zero", "element", "an output is -0"),
    WitnessKind("policy", "policy", "the outputs of a policy row break the declared policy"),
    WitnessKind("over_rounded", "tier", "the row does not meet `rounded`", score="score of the tier"),
    WitnessKind("over_faithful", "tier", "the row does not meet `faithful`", score="score of the tier"),
    WitnessKind("over_fast", "tier", "the row does not meet `fast`", score="score of the tier"),
    WitnessKind("over_standard", "tier", "the row does not meet `standard`", score="score of the tier"),
    WitnessKind("over_wide", "tier", "the row does not meet `wide`", score="score of the tier"),
    WitnessKind(
        "bound_ratio", "figure", "the greatest error over the bound of `standard`", "bound", of_element=True
    ),
    WitnessKind(
        "algorithm_ratio",
        "figure",
        "the greatest error over the bound of the declared algorithm",
        "bound",
        of_element=True,
    ),
    WitnessKind("flushed", "element", "an output is 0 where RN(r) is subnormal"),
    WitnessKind("row_sum", "figure", "the sum of outputs furthest from the exact one", "sum"),
    WitnessKind("max_ulp", "figure", "the greatest ULP error", "ULP", of_element=True),
)

WITNESS_KINDS: Final[Mapping[str, WitnessKind]] = MappingProxyType({kind.name: kind for kind in _ROWS})
"""Every kind by name, the gravest first."""

DEFECT_KINDS: Final = frozenset(kind.name for kind in _ROWS if kind.is_defect)
"""The kinds that show a defect, not only a greatest figure."""

FATAL_KINDS: Final = frozenset(kind.name for kind in _ROWS if kind.is_fatal)
"""The kinds for which every call costs a process."""

_RANKS: Final = {name: rank for rank, name in enumerate(WITNESS_KINDS)}


def gravity_of(kind: str) -> int:
    """Return the rank of a kind, 0 for the gravest; -1 for the kind of a check."""
    return _RANKS.get(kind, -1)


def kinds_shown_by(*evidence: Evidence) -> tuple[str, ...]:
    """Return the names of the kinds that are shown this way, the gravest first."""
    return tuple(kind.name for kind in _ROWS if kind.shown_by in evidence)
