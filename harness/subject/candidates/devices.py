"""Where the source of a user's candidate stands: its file, and the line of its function."""

from __future__ import annotations

import ast
from pathlib import Path

from harness.subject.candidates.loading import CandidateError, Location, locate

__all__ = ["place_of"]


def place_of(spec: str) -> tuple[Path, int] | None:
    """Return file and line of a candidate's function, line 1 where it is not plainly defined there.

    None for a built-in, a native library and a module that does not lie in the current folder.
    """
    try:
        location = locate(spec)
    except CandidateError:
        return None
    file = _source(location)
    return None if file is None else (file, _line(file, location.function.partition(".")[0]))


def _source(location: Location) -> Path | None:
    if location.file is not None:
        return None if location.is_native else location.file
    module = Path(location.folder, *location.module.split("."))
    files = (module.with_suffix(".py"), module / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _line(file: Path, name: str) -> int:
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return 1
    return next((node.lineno for node in reversed(body) if name in _names(node)), 1)


def _names(node: ast.stmt) -> set[str]:
    """Return what a statement defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return {target.id for target in targets if isinstance(target, ast.Name)}
