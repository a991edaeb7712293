"""Data read from files: its shape is checked before it is used.

A rule looks at a value as JSON carries it, and returns nothing or raises `Malformed`: where, which value, and
what it must be. Nothing is converted, expanded or run on the way.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, Final

__all__ = [
    "ANYTHING",
    "BOOLEAN",
    "COUNT",
    "FIGURE",
    "LARGEST_COUNT",
    "OBJECT",
    "WORDS",
    "Malformed",
    "Rule",
    "inflated",
    "integer",
    "list_of",
    "mapping_of",
    "one_of",
    "optional",
    "parsed",
    "record",
    "text",
]

Rule = Callable[[Any, str], None]
"""Called with the value and its place."""

LARGEST_COUNT: Final = 1 << 63
LONGEST_TEXT: Final = 1 << 16
LARGEST_SHOWN: Final = 1 << 256
DEEPEST: Final = 16
_SHOWN: Final = 60
_MOST_ACCEPTED: Final = 1 << 14


class Malformed(ValueError):
    """Data of a wrong shape; the message is one line."""


def parsed(content: str | bytes) -> Any:
    """Return the value of a JSON document.

    Raises:
        Malformed: it is none, is nested too deeply, or holds a number that JSON has not.
    """
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except RecursionError:
        raise Malformed("JSON nested too deeply") from None
    except ValueError as error:
        raise Malformed(f"not JSON ({error})") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def inflated(content: bytes, most: int) -> bytes:
    """Return deflated bytes inflated.

    Raises:
        Malformed: they are none, or are more than `most`.
    """
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(content, most)
    except zlib.error as error:
        raise Malformed(f"not deflated ({error})") from None
    if not inflater.eof:
        raise Malformed(f"cut off, or inflates to more than {most} bytes")
    return plain


def _fail(where: str, value: Any, rule: str) -> None:
    shown = ascii(value) if not isinstance(value, int) or abs(value) < LARGEST_COUNT else "a huge integer"
    place = f"{where}: " if where else ""
    raise Malformed(f"{place}{shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}: {rule}")


# Single values -------------------------------------------------------------------------------


def text(most: int = LONGEST_TEXT, pattern: str = "") -> Rule:
    """Return the rule of a text of at most so many characters, all of the pattern where one is given."""
    whole = re.compile(pattern) if pattern else None
    accepted: set[str] = set()

    def rule(value: Any, where: str) -> None:
        if type(value) is str and value in accepted:  # names come by the thousand, and are few
            return
        if not isinstance(value, str) or len(value) > most:
            _fail(where, value, f"it is a text of at most {most} characters")
        if whole is not None and whole.fullmatch(value) is None:
            _fail(where, value, f"it is written as {whole.pattern}")
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            _fail(where, value, "it is a text that UTF-8 can carry")
        if len(value) <= _SHOWN and len(accepted) < _MOST_ACCEPTED:
            accepted.add(value)

    return rule


def integer(least: int = 0, most: int = LARGEST_COUNT) -> Rule:
    """Return the rule of an integer within limits."""

    def rule(value: Any, where: str) -> None:
        if type(value) is not int or not least <= value <= most:
            _fail(where, value, f"it is an integer from {least} to {most}")

    return rule


def number(least: float, most: float) -> Rule:
    """Return the rule of a number within limits."""

    def rule(value: Any, where: str) -> None:
        if type(value) not in (int, float) or not least <= value <= most:
            _fail(where, value, f"it is a number from {least:g} to {most:g}")

    return rule


def one_of(known: Collection[Any]) -> Rule:
    """Return the rule of a value that is one of those known."""

    def rule(value: Any, where: str) -> None:
        if not isinstance(value, str) or value not in known:
            _fail(where, value, f"it is one of {', '.join(map(str, known))}")

    return rule


def optional(other: Rule) -> Rule:
    """Return the rule of a value that may be null."""

    def rule(value: Any, where: str) -> None:
        if value is not None:
            other(value, where)

    return rule


def _figure(value: Any, where: str) -> None:
    is_number = type(value) is float or (type(value) is int and abs(value) <= LARGEST_COUNT)
    if value not in (None, "inf") and not (is_number and math.isfinite(value)):
        _fail(where, value, 'it is a finite number, "inf" or null')


def _boolean(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        _fail(where, value, "it is true or false")


def _object(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        _fail(where, value, "it is an object")


def _anything(value: Any, where: str, depth: int = 0) -> None:
    """Accept any JSON that is not nested deeply, for values that are only shown."""
    if depth > DEEPEST:
        raise Malformed(f"{where}: nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        for name, entry in value.items():
            _TEXT(name, where)
            _anything(entry, where, depth + 1)
    elif isinstance(value, list):
        for entry in value:
            _anything(entry, where, depth + 1)
    elif isinstance(value, str):
        _TEXT(value, where)
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) >= LARGEST_SHOWN):
        _figure(value, where)


_TEXT: Final = text()

FIGURE: Final[Rule] = _figure
"""The rule of a figure that `reports.record.witness.json_float` writes."""

BOOLEAN: Final[Rule] = _boolean
OBJECT: Final[Rule] = _object
"""The rule of an object whose reader checks what it holds."""

ANYTHING: Final[Rule] = _anything
COUNT: Final[Rule] = integer()


# Several ---------------------------------------------------------------------------------------


def list_of(item: Rule, most: int | None = None) -> Rule:
    """Return the rule of a list."""

    def rule(value: Any, where: str) -> None:
        if not isinstance(value, list) or (most is not None and len(value) > most):
            _fail(where, value, "it is a list" + (f" of at most {most}" if most is not None else ""))
        for number, entry in enumerate(value):
            item(entry, f"{where}[{number}]")

    return rule


WORDS: Final[Rule] = list_of(text())


def mapping_of(key: Rule, item: Rule) -> Rule:
    """Return the rule of an object whose keys are not known beforehand."""

    def rule(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _fail(where, value, "it is an object")
        for name, entry in value.items():
            key(name, where)
            item(entry, _within(where, name))

    return rule


def record(
    required: Mapping[str, Rule], more: Mapping[str, Rule] | None = None, *, open_: bool = False
) -> Rule:
    """Return the rule of an object with these keys.

    Args:
        required: those that it has.
        more: those that it may have.
        open_: whether it may have others, of which nothing is made.
    """
    rules = {**required, **(more or {})}

    def rule(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _fail(where, value, "it is an object")
        for name in required:
            if name not in value:
                raise Malformed(f"{where}: it lacks {name}".removeprefix(": "))
        for name, entry in value.items():
            if name in rules:
                rules[name](entry, _within(where, name))
            elif open_:
                ANYTHING(entry, _within(where, name))
            else:
                _fail(where, name, "no such key is known")

    return rule


@lru_cache(maxsize=4096)
def _within(where: str, name: str) -> str:
    shown = name if name.isidentifier() and name.isascii() and len(name) <= _SHOWN else ascii(name[:_SHOWN])
    return f"{where}.{shown}" if where else shown
