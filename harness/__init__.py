"""The program: command line, candidates, execution, campaigns."""

from __future__ import annotations

from typing import Any

__all__ = ["Run", "measure"]

__room_of__ = "softmax-harness"


def __getattr__(name: str) -> Any:
    """Import what notebooks use when it is asked for; workers and `--help` never do."""
    if name in __all__:
        from harness import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
