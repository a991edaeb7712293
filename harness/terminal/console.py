"""Where the program prints: results on stdout, everything else on stderr.

With `--json` nothing but one JSON document goes to stdout.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import IO, TYPE_CHECKING, Any

from harness.terminal.exceptions import UsageError
from reports.spelling import line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task

__all__ = ["carries", "notes", "print_json", "print_lines", "progress_bar", "read_input", "results"]

PIPE_WIDTH = 140


def read_input(most: int) -> str:
    """Return what comes in on stdin.

    Raises:
        UsageError: there is none, it is more than so many characters, or no text.
    """
    try:
        text = sys.stdin.read(most + 1)
    except (AttributeError, OSError, ValueError) as error:
        raise UsageError(f"stdin: cannot be read as text ({error}); pipe text into the command") from error
    if len(text) > most:
        raise UsageError(f"stdin: more than {most} characters; give one line")
    return text


def results() -> Console:
    """Return the console of stdout; into a pipe it is wide, plain and never wrapped."""
    return _console(sys.stdout)


def notes() -> Console:
    """Return the console of stderr."""
    return _console(sys.stderr)


def print_lines(console: Console, text: str) -> None:
    """Print text of several lines."""
    for each in text.split("\n"):
        console.print(each, soft_wrap=True)


def _console(stream: IO[str]) -> Console:
    width = None if stream.isatty() else PIPE_WIDTH
    return _of_lines()(file=stream, width=width, highlight=False, markup=False, emoji=False)


@cache
def _of_lines() -> type[Console]:
    """Return a console that prints a text as one line, in which nothing is obeyed."""
    from rich.console import Console

    class Lines(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*(line(o) if isinstance(o, str) else o for o in objects), **options)

    return Lines


def progress_bar(console: Console) -> Progress:
    """Return a bar with how much is done; it shows on a terminal alone.

    A task may say how long the rest takes, in its field `rest`; else the number of pieces tells it.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rest(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            return Text(task.fields["rest"]) if "rest" in task.fields else super().render(task)

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rest(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def carries(stream: IO[str], text: str) -> bool:
    """Return whether the stream's encoding can carry the text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True
