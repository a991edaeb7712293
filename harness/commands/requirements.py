"""The packages that gating a candidate needs: the project around it, or those that its file imports."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Final

from harness.subject.candidates.libraries import LIBRARIES
from harness.subject.candidates.loading import CandidateError, locate

__all__ = ["native_library", "requirements"]

_OURS: Final = "softmax-harness"
_PROJECT: Final = ("setup.py", "setup.cfg")


def requirements(candidate: str, folder: Path) -> list[str]:
    """Return the arguments for pip, this program first, for a candidate relative to a folder."""
    own = candidate.partition("@")[0]
    if own in LIBRARIES:
        return [f"{_OURS}[{own}]"]
    packages = [_OURS]
    if _is_project(folder):
        packages.append(".")
    if (folder / "requirements.txt").is_file():
        packages.append("-r requirements.txt")
    return packages if len(packages) > 1 else [_OURS, *_imported(candidate)]


def native_library(candidate: str) -> Path | None:
    """Return the compiled library of a candidate; None where it is not compiled."""
    try:
        location = locate(candidate)
    except CandidateError:  # a built-in's name
        return None
    return location.file if location.is_native else None


def _is_project(folder: Path) -> bool:
    if any((folder / name).is_file() for name in _PROJECT):
        return True
    file = folder / "pyproject.toml"
    return file.is_file() and "project" in tomllib.loads(file.read_text(encoding="utf-8-sig"))


def _imported(candidate: str) -> list[str]:
    """Return the distributions that the candidate's file imports, and those of its array library."""
    try:
        location = locate(candidate)
    except CandidateError:
        return []
    names = set() if location.via is None else {location.via.library}
    if location.file is not None and not location.is_native:
        names |= {name for name in _names(location.file) if not _lies_beside(location.file, name)}
    known = packages_distributions()
    wanted = {next(iter(known.get(name, (name,)))) for name in names - sys.stdlib_module_names}
    return sorted(wanted - _own_requirements())


def _names(file: Path) -> Iterator[str]:
    """Yield the top-level names that a file imports."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _lies_beside(file: Path, name: str) -> bool:
    return file.with_name(f"{name}.py").exists() or file.with_name(name).is_dir()


def _own_requirements() -> set[str]:
    """Return the distributions that are installed with this program."""
    named = (entry.partition(";") for entry in requires(_OURS) or ())
    return {
        _OURS,
        *(spec.strip().partition(">=")[0] for spec, _, marker in named if "extra" not in marker),
    }
