"""The shape of what a ledger holds as JSON: its documents, settings and places.

A ledger may come from anywhere; what reports are made of is held to these rules when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, get_args

from reports.record.schema import (
    ANYTHING,
    BOOLEAN,
    COUNT,
    FIGURE,
    WORDS,
    Rule,
    integer,
    list_of,
    mapping_of,
    number,
    one_of,
    optional,
    record,
    text,
)
from reports.record.verdicts import VerdictStatus
from reports.record.witness import WITNESS

__all__ = ["DOCUMENTS", "KIND", "SETTINGS"]

_TEXT: Final = text()
_MAYBE: Final = optional(_TEXT)
_OBJECT: Final = mapping_of(_TEXT, ANYTHING)

_ENVIRONMENT: Final = record(
    {}, {"libraries": _OBJECT, "candidates": _OBJECT, "cpu_features": WORDS}, open_=True
)

KIND: Final[Rule] = _ENVIRONMENT
"""The parts of a machine that can change figures."""

_CLASS: Final = integer(0, 64)
_SECONDS: Final = number(0, 1)
_COSTS: Final = record({"cell": _SECONDS, "row": _SECONDS, "entry": _SECONDS})
_RATION: Final = record(
    {
        "row": _CLASS,
        "entry": _CLASS,
        "halvings": number(0, 64),
        "timed": BOOLEAN,
        "target": integer(0, 1 << 32),
    },
    {"own": _COSTS},
)

SETTINGS: Final[Rule] = record(
    {},
    {
        "candidates": WORDS,
        "formats": WORDS,
        "regimes": WORDS,
        "policies": WORDS,
        "tiers": WORDS,
        "lengths": list_of(COUNT),
        "rations": mapping_of(_TEXT, mapping_of(_TEXT, _RATION)),
    },
    open_=True,
)

_CLAIM: Final = record(
    {"id": integer(), "statement": _TEXT, "verdict": _TEXT},
    {
        "source": _TEXT,
        "explanation": _TEXT,
        "figures": mapping_of(_TEXT, ANYTHING),
        "witness": optional(WITNESS),
        "witnesses": list_of(WITNESS),
    },
    open_=True,
)

_LOOKED: Final = record(
    {},
    {
        **dict.fromkeys(("longest_row", "largest_call", "calls", "threads"), COUNT),
        "unseen": list_of(_TEXT),
    },
)

_CHECK: Final = record(
    {"check": _TEXT, "candidate": _TEXT, "format": _TEXT, "status": _TEXT},
    {
        **dict.fromkeys(("kind", "title", "out_format", "message", "consequence"), _MAYBE),
        "rows": COUNT,
        "broken": COUNT,
        "witness": optional(WITNESS),
        "looked": _LOOKED,
    },
    open_=True,
)


def _limit(value: Any, where: str) -> None:
    """Check that the limit of a verdict is a figure or the name of a tier."""
    (_TEXT if isinstance(value, str) else FIGURE)(value, where)


_VERDICT: Final = record(
    {
        **dict.fromkeys(("candidate", "format", "out_format", "metric", "operator"), _TEXT),
        "status": one_of(get_args(VerdictStatus)),
    },
    {
        **dict.fromkeys(("message", "replay", "bits", "policy"), _TEXT),
        "regime": _MAYBE,
        "length": optional(COUNT),
        "witness": _MAYBE,
        "observed": FIGURE,
        "limit": _limit,
    },
    open_=True,
)

_CHANGE: Final = record(
    {}, {"change": _TEXT, "metric": _TEXT, "before": FIGURE, "after": FIGURE, "message": _MAYBE}, open_=True
)

_COMPARISON: Final = record(
    {},
    {
        **dict.fromkeys(("better", "worse", "noise", "equal", "incomparable", "new", "gone"), COUNT),
        "base": _MAYBE,
        "run": _MAYBE,
        "changes": list_of(_CHANGE),
    },
    open_=True,
)

_SEARCH: Final = record(
    {"curve": list_of(list_of(FIGURE, 2))},
    {"objective": _TEXT, "candidate": _TEXT, "format": _TEXT, "length": COUNT, "evaluations": COUNT},
    open_=True,
)

_SCORE: Final = record(dict.fromkeys(("caught", "planted", "whole", "kinds", "refused", "honest"), COUNT))

_TRIAL: Final = record(
    {
        **dict.fromkeys(("name", "kind", "mechanism", "seen"), _TEXT),
        "honest": BOOLEAN,
        "noticed": mapping_of(_TEXT, optional(BOOLEAN)),
    },
    open_=True,
)

_EXPLANATION: Final = record(
    dict.fromkeys(("candidate", "format", "out_format", "line"), _TEXT),
    {"parts": list_of(_OBJECT)},
    open_=True,
)

_SELFTEST: Final = record(
    {"scores": mapping_of(_TEXT, _SCORE), "trials": list_of(_TRIAL), "exit_code": integer(0, 255)},
    {"titles": mapping_of(_TEXT, _TEXT)},
    open_=True,
)

DOCUMENTS: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "claims": list_of(_CLAIM),
        "checks": list_of(_CHECK),
        "findings": list_of(_OBJECT),
        "shrunk": mapping_of(_TEXT, WITNESS),
        "small": mapping_of(_TEXT, _TEXT),
        "faulty": list_of(WITNESS),
        "shards": COUNT,
        "pairs": COUNT,
        "verdicts": list_of(_VERDICT),
        "comparison": _COMPARISON,
        "search": list_of(_SEARCH),
        "command": WORDS,
        "selftest": _SELFTEST,
        "explanations": list_of(_EXPLANATION),
        "environment": _ENVIRONMENT,
        "timing": _OBJECT,
    }
)
"""The rules by name; other documents are checked where they are read."""
