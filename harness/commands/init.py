"""`harness init`: a starter configuration, budgets and a CI workflow."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from harness.terminal.console import results
from harness.terminal.exceptions import UsageError, user_mistakes
from reports.files import FileError, error_message, read_text

__all__ = ["init"]

CONFIGURATION = "pyproject.toml"
BUDGETS = "softmax-budgets.toml"
WORKFLOW = ".github/workflows/softmax.yml"

EXAMPLE = "max_shifted"
"""The candidate where the user names none: a built-in, so that the files work unchanged."""

CHANGE = 'a built-in; change it to your own, such as "my.py:softmax"'


BUILD = """\
      - name: Build {0}
        run: make {0} # change it to what builds yours
"""


def init(
    candidate: Annotated[
        str | None,
        typer.Argument(
            help="The candidate to gate, such as my.py:softmax; left out, a built-in that you replace."
        ),
    ] = None,
    *,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="Input format; repeat for several.")
    ] = None,
    tier: Annotated[str, typer.Option(help="The tier to gate at.")] = "standard",
) -> None:
    """Write a starter configuration, a file of budgets and a CI workflow into this folder.

    It overwrites nothing: pyproject.toml gets a table added if it has none.
    """
    from harness.subject.candidates import load
    from harness.terminal.exceptions import choose
    from reference.formats import FORMATS
    from reference.tiers import TIERS

    chosen = [choose("format", name, FORMATS) for name in formats or ["float32"]]
    choose("tier", tier, TIERS)
    with user_mistakes():
        load(candidate or EXAMPLE)
        _check_free()
        written = _write_all(_texts(candidate, chosen, tier))
    for line in written:
        results().print(line, soft_wrap=True)
    todo = f"fill in the reasons in {BUDGETS}"
    if candidate is None:
        todo = f"name your own softmax for {EXAMPLE} in {CONFIGURATION} and {BUDGETS}, {todo}"
    results().print(f"next: {todo}, then python -m harness gate", soft_wrap=True)


def _check_free() -> None:
    from harness.campaign.configuration import table_of

    for name in (BUDGETS, WORKFLOW):
        if Path(name).exists():
            raise UsageError(f"{name}: is there already; move it away to start anew")
    file = Path(CONFIGURATION)
    if file.exists() and table_of(file) is not None:
        raise UsageError(f"{CONFIGURATION}: has a [tool.harness] already; take it out to start anew")


def _texts(candidate: str | None, formats: list[str], tier: str) -> dict[str, str]:
    templates = files("harness").joinpath("starter")
    quoted = _quoted(candidate or EXAMPLE)
    change = "" if candidate else f"  # {CHANGE}"
    budgets = [
        templates.joinpath("budget.toml")
        .read_text("utf-8")
        .format(candidate=quoted, change=change, format=_quoted(name), tier=_quoted(tier))
        for name in formats
    ]
    head = templates.joinpath("budgets.toml").read_text("utf-8")
    table = templates.joinpath("table.toml").read_text("utf-8")
    return {
        CONFIGURATION: table.format(
            candidate=quoted,
            change=change,
            formats=", ".join(map(_quoted, formats)),
            budgets=_quoted(BUDGETS),
        ),
        BUDGETS: "\n".join([head, *budgets]),
        WORKFLOW: _workflow(templates.joinpath("workflow.yml").read_text("utf-8"), candidate or EXAMPLE),
    }


def _workflow(template: str, candidate: str) -> str:
    """Return the workflow that installs what the candidate needs, and builds it where it is compiled."""
    from harness.commands.requirements import native_library, requirements

    library = native_library(candidate)
    build = "" if library is None else BUILD.format(library.name)
    return template.replace("@INSTALL@", " ".join(requirements(candidate, Path.cwd()))).replace(
        "@BUILD@", build
    )


def _quoted(text: str) -> str:
    """Return a TOML basic string."""
    import json

    return json.dumps(text, ensure_ascii=False)


def _write_all(texts: Mapping[str, str]) -> list[str]:
    """Write every file, or leave all as they were; return a line on each.

    Raises:
        FileError: one cannot be written.
    """
    from reports.record.run_folder import write_atomically

    lines = []
    with ExitStack() as undo:
        for name, text in texts.items():
            file = Path(name)
            _make_folder(file.parent, undo)
            held = read_text(file) if file.exists() else ""
            undo.callback(_restore, file, file.read_bytes() if file.exists() else None)
            gap = "" if not held else "\n" if held.endswith("\n") else "\n\n"
            write_atomically(file, f"{held}{gap}{text}".encode())
            lines.append(f"{'added to' if held else 'wrote'} {file.as_posix()}")
        undo.pop_all()
    return lines


def _make_folder(folder: Path, undo: ExitStack) -> None:
    try:
        for missing in reversed([f for f in (folder, *folder.parents) if not f.exists()]):
            missing.mkdir()
            undo.callback(missing.rmdir)
        if not folder.is_dir():
            raise FileError(f"{folder}: it is no folder; move it away")
    except OSError as error:
        raise FileError(error_message(error, folder)) from error


def _restore(file: Path, content: bytes | None) -> None:
    with suppress(OSError):
        if content is None:
            file.unlink(missing_ok=True)
        elif file.read_bytes() != content:
            file.write_bytes(content)
