"""The program: command line, candidates, execution, campaigns."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

__all__ = ["Run", "load", "measure", "testing"]

__room_of__ = "softmax-harness"

_ALONE = frozenset(
    f"harness.{name}"
    for name in (
        "__main__",
        "rooms",
        "terminal",
        "terminal.exceptions",
        "terminal.interrupts",
        "terminal.streams",
        "testing",
    )
)
"""Modules that need no other room to be imported."""


def __getattr__(name: str) -> Any:
    """Import what notebooks use when it is asked for; workers and `--help` never do."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "testing":
        return import_module("harness.testing")
    from harness.rooms import at_home

    with at_home():
        return getattr(import_module("harness.notebook"), name)


def __dir__() -> list[str]:
    """Show what users call, and nothing of how it is made."""
    return sorted(__all__)


class _Guard:
    """Checks, before a module of ours is imported, that the names of the rooms that it needs mean ours.

    It lives here and imports nothing until then: the current folder may still be on `sys.path`.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:  # noqa: ARG004 - the protocol
        ours = getattr(sys.modules.get("harness"), "_Guard", None) is _Guard
        if ours and name.startswith("harness.") and name not in _ALONE:
            from harness.rooms import require_rooms

            require_rooms()


sys.meta_path.insert(0, _Guard)
