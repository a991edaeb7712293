"""The README and the pages of `docs/`: their blocks of code, and what the text says of running them.

A comment just above a block says how it is run, in clauses parted by `;`:

    <!-- test: skip, WHY -->      it is not run; `tests/test_documents.py` counts these
    <!-- test: needs NAME -->     only where a module or a program of that name is installed
    <!-- test: exit 1 -->         the last command of the block exits so
    <!-- test: exact -->          every quoted line is printed as it stands, not only in its shape
    <!-- test: slow -->           only where documents are run in full
    <!-- test: brief -->          measures few rows, unless documents are run in full
    <!-- test: add --rows 6 -->   so does a `run` with these options more
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "blocks", "title_of"]

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
RUN = ("console", "python", "c")
"""The languages of blocks that are run, or written to a file."""

_MARK = re.compile(r"<!-- test: (.*) -->")
_FENCE = re.compile(r"```(?: \{ \.)?(\w*)(?: \})?(?: title=\"([^\"]+)\")?")
_SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
_WORDS = ("skip", "needs", "exit", "exact", "slow", "brief", "add")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: the file that it stands in.
        line: of its first line in that file.
        language: of its fence.
        title: the file that it is to be written to; empty where it is run.
        text: what it holds.
        marks: what the comment above it says, by its first words.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str
    marks: Mapping[str, str]

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def steps(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each command of a console with the lines that are quoted of what it prints."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        assert not parts[0], f"{self.place}: a console begins with a command"
        for part in parts[1:]:
            command, *printed = part.splitlines()
            while command.endswith("\\"):
                command = f"{command[:-1]} {printed.pop(0)}"
            yield command, [line for line in printed if line and line != "..."]

    def added(self) -> list[str]:
        """Return the options that make its commands brief."""
        return shlex.split(self.marks.get("add", ""))


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    marks: dict[str, str] = {}
    for number, line in lines:
        if fence := _FENCE.fullmatch(line):
            body = "".join(f"{inner}\n" for inner in _until_fence(lines))
            text = _SNIPPET.sub(lambda found: (ROOT / "docs" / found[1]).read_text(encoding="utf-8"), body)
            yield Block(page, number, fence[1], fence[2] or "", text, marks)
        mark = _MARK.fullmatch(line)
        marks = _clauses(mark[1]) if mark else {}


def _until_fence(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        if line == "```":
            return
        yield line


def _clauses(text: str) -> dict[str, str]:
    clauses = {}
    for clause in text.split("; "):
        [word, rest] = re.fullmatch(r"(\w+),? ?(.*)", clause).groups()  # type: ignore[union-attr]
        assert word in _WORDS, f"{clause}: begin with one of {_WORDS}"
        clauses[word] = rest
    return clauses


def title_of(page: Path) -> str:
    """Return the title of a page."""
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
