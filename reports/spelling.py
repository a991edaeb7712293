"""Text that others chose, such as names, paths and messages, spelled for where it goes.

A terminal obeys escape sequences, GitHub lines that begin with `::`, a spreadsheet cells that begin with
`=`, Markdown its marks, a shell its quotes. Every medium has its spelling here and nowhere else; HTML has
Jinja's, which escapes whatever a template is given. What does not print is written as Python writes it.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

__all__ = [
    "annotation",
    "annotation_property",
    "command",
    "csv_cell",
    "docstring",
    "is_name",
    "json_text",
    "line",
    "lines",
    "markdown",
    "markdown_code",
    "xml",
]

_BIDI: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_NO_NAME: Final = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029{_BIDI}\ud800-\udfff]|^[=+\-@]")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_HARMLESS: Final = re.compile(r"-|[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMAND: Final = re.compile(r"^(\s*):(?=:)|#(?=#\[)")
_BARE: Final = re.compile(r"[\w@%+=:,./-][\w@%+=:,./#-]*", re.ASCII)
_MARKS: Final = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|~"})


def is_name(text: str) -> bool:
    """Return whether a candidate may be called so: it prints on one line, in its order, in every table."""
    return _NO_NAME.search(text) is None


def _written(text: str, kept: str = "") -> str:
    """Write out what does not print, but for the characters kept."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


# Terminals and logs ----------------------------------------------------------------------------


def line(text: str) -> str:
    """Return one line of a terminal or a log, which neither that nor GitHub's runner obeys."""
    return _COMMAND.sub(lambda mark: f"{mark[1] or ''}{ascii_code(mark[0][-1])}", _written(text))


def ascii_code(character: str) -> str:
    """Return the code of a character that prints, as Python's literals have it."""
    return f"\\x{ord(character):02x}"


def lines(text: str) -> str:
    """Return text of several lines, each as `line` has it."""
    return "\n".join(map(line, text.split("\n")))


def command(*parts: str) -> str:
    """Return a command that a shell takes apart into these parts, on one line that prints."""
    return " ".join(map(_shell, parts))


def _shell(part: str) -> str:
    if _BARE.fullmatch(part):
        return part
    if part.isprintable():
        return shlex.quote(part)
    written = "".join(_ansi_c(c) for c in part)
    return f"$'{written}'"


def _ansi_c(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


# GitHub ----------------------------------------------------------------------------------------


def annotation(*texts: str) -> str:
    """Return lines as the data of a workflow command."""
    return "%0A".join(_written(text).replace("%", "%25") for text in texts)


def annotation_property(text: str) -> str:
    """Return text as the value of a property of a workflow command, such as its title."""
    return annotation(text).replace(":", "%3A").replace(",", "%2C")


# Files -----------------------------------------------------------------------------------------


def csv_cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula, the same for whoever reads it as a table."""
    written = _written(text)
    is_formula = text.startswith(_FORMULA) and not _HARMLESS.fullmatch(text)
    return f"'{written}" if is_formula else written


def markdown(text: object) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _written(" ".join(str(text).split())).translate(_MARKS)


def markdown_code(text: str) -> str:
    """Return text as code, also within a table."""
    written = _written(" ".join(text.split())).replace("`", "").replace("|", "\\|")
    return f"`{written}`"


def xml(text: str) -> str:
    """Return text whose every character XML 1.0 allows (section 2.2), and that shows in its order."""
    return _written(text, kept="\t\n")


def json_text(document: str) -> str:
    """Return a JSON document of one line with escapes in the place of what does not print in its strings."""
    if document.isprintable():
        return document
    return "".join(c if c.isprintable() else _json_escape(c) for c in document)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def docstring(text: str) -> str:
    """Return a literal of Python between three quotes, each line of the text on one of its own."""
    written = "".join("\\\\" if c == "\\" else '\\"' if c == '"' else c for c in text)
    return f'"""{_written(written, kept=chr(10))}"""'
