"""What a candidate was loaded from, told by the process that loaded it.

Of its own project's files the digests, of installed libraries the versions. A project is the nearest folder
upwards that says so (`pyproject.toml`, a repository), else the candidate's own. Standard library only: a
worker loads this file by its path.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = ["Sources", "digest", "loaded_from"]

Sources = dict[str, dict[str, str]]
"""`files`: digests by absolute path; `versions`: those of installed libraries by name."""

MARKS: Final = ("pyproject.toml", "setup.py", "setup.cfg", ".git", ".hg")
MOST_FILES: Final = 1000
LARGEST_DIGESTED: Final = 1 << 26
"""Of a larger file, such as a library of a gigabyte, size and time of change stand for its content."""

_INSTALLED: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_OURS: Final = __name__.partition(".")[0]


def loaded_from(folder: str, file: str | None = None) -> Sources:
    """Return what this process has loaded of a candidate's project, and of installed libraries.

    Args:
        folder: where the candidate lies.
        file: its own file, where it has one.
    """
    project = _project(folder)
    found = {path for path in (*_module_files(), *_mapped()) if _is_of(project, path)}
    files = sorted(path for path in found | ({file} if file else set()) if path.isprintable())[:MOST_FILES]
    return {"files": {path: digest(path) for path in files}, "versions": dict(_versions())}


def digest(path: str) -> str:
    """Return the SHA-256 of a file, or what stands for it where it is large; empty where it is unreadable."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            return ""
        if status.st_size > LARGEST_DIGESTED:
            return f"{status.st_size} bytes of {status.st_mtime_ns}"
        with Path(path).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""


@cache
def _project(folder: str) -> str:
    own = Path(folder)
    marked = (f for f in (own, *own.parents) if any((f / mark).exists() for mark in MARKS))
    return str(next(marked, own)).rstrip(os.sep) + os.sep


def _is_of(project: str, path: str) -> bool:
    return path.startswith(project) and not path.startswith(_standard()) and not _is_installed(path)


@cache
def _standard() -> tuple[str, ...]:
    return tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib"))


def _is_installed(path: str) -> bool:
    return any(part in path for part in _INSTALLED)


def _modules() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what each module that is loaded holds, without waking one that loads itself late."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] != _OURS and hasattr(type(module), "__dict__"):
            try:
                yield name, object.__getattribute__(module, "__dict__")
            except AttributeError:
                continue


def _module_files() -> Iterator[str]:
    for _, held in _modules():
        file = held.get("__file__")
        if isinstance(file, str):
            yield file if file.startswith(os.sep) else str(Path(file).absolute())


def _mapped() -> Iterator[str]:
    """Yield the native libraries that this process has mapped, where the system tells."""
    try:
        with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as regions:
            paths = {region.rstrip("\n").partition("/")[2] for region in regions}
    except OSError:
        return
    yield from (f"/{path}" for path in paths if ".so" in path)


def _versions() -> Iterator[tuple[str, str]]:
    for name, held in sorted(_modules(), key=lambda found: found[0]):
        version, file = held.get("__version__"), held.get("__file__")
        if "." not in name and isinstance(version, str) and isinstance(file, str) and _is_installed(file):
            yield name, version
