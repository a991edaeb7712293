"""Errors with a message for the user, and their exit codes.

HarnessError
├── UsageError   exit 2: wrong usage or configuration; one line: value, rule, next step
├── NoVerdict    exit 3: nothing ran, or too little, to answer
└── Interrupted  exit 130: the user stopped the work; what was measured is kept
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["HarnessError", "Interrupted", "NoVerdict", "UsageError", "choose", "nearest", "user_mistakes"]

_SHORT = 3
"""The most letters of a name that occurs within others by chance."""


class HarnessError(Exception):
    """An error whose message is meant for the user, without a traceback."""

    exit_code = 3


class UsageError(HarnessError):
    """The user named something that does not exist or makes no sense."""

    exit_code = 2


class NoVerdict(HarnessError):
    """The program ran but has no answer."""


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
    near = nearest(value, names)
    hint = f"did you mean {near!r}?" if near else f"it is one of {', '.join(names)}"
    raise UsageError(f"{what} {value!r}: unknown; {hint} (python -m harness list)")


def nearest(value: str, known: Iterable[str]) -> str | None:
    """Return the known name that is probably meant: an alias of a format, misspelt or in part; else None."""
    from reference.formats import OTHER_NAMES  # here, since this module is needed before the rooms are

    names = {name.lower(): name for name in known}
    asked = value.lower()
    if (other := OTHER_NAMES.get(asked, "")) in names:
        return names[other]
    near = difflib.get_close_matches(asked, names, n=1)
    within = [
        name for name in names if min(len(name), len(asked)) > _SHORT and (name in asked or asked in name)
    ]
    return next((names[name] for name in (*near, *within)), None)
