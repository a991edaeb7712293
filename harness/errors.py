"""What the program says when it cannot do what was asked, and with which exit code.

HarnessError
├── UsageError   exit 2: wrong usage or configuration; one line: value, rule, next step
├── NoVerdict    exit 3: nothing ran, or too little, to answer
└── Interrupted  exit 130: the user stopped the work; what was measured is kept
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["HarnessError", "Interrupted", "NoVerdict", "UsageError", "choose", "user_mistakes"]


class HarnessError(Exception):
    """An error whose message is meant for the user, without a traceback."""

    exit_code = 3


class UsageError(HarnessError):
    """The user asked for something that is not there or makes no sense."""

    exit_code = 2


class NoVerdict(HarnessError):
    """The program ran, and cannot answer the question."""


class Interrupted(HarnessError):
    """The user stopped the work; the message says what is kept and how to go on."""

    exit_code = 130


@contextmanager
def user_mistakes() -> Iterator[None]:
    """Turn a ValueError or OSError raised while reading what the user gave into a UsageError."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def choose(what: str, value: str, known: Iterable[str]) -> str:
    """Return the value if it is known.

    Raises:
        UsageError: it is not; the message suggests the nearest or lists all.
    """
    names = list(known)
    if value in names:
        return value
    near = difflib.get_close_matches(value, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(names)}"
    raise UsageError(f"{what} {value!r}: unknown; {hint} (python -m harness list)")
