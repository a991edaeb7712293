"""Messages about mistakes in a configuration file: the place, the rule, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["mistake"]


def mistake(
    parents: Iterable[int | str], key: int | str, message: str, kind: str, known: Iterable[str]
) -> str:
    """Return one line about a mistake that pydantic found.

    Args:
        parents: the path to the table.
        key: the key in it.
        message: pydantic's.
        kind: pydantic's type of mistake.
        known: the keys that the table may have.
    """
    path = ".".join(str(part) for part in (*parents, key))
    if kind != "extra_forbidden":
        return f"{path}: {message[0].lower()}{message[1:]}"
    names = list(known)
    near = difflib.get_close_matches(str(key), names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(names)}"
    return f"{path}: unknown key; {hint}"
