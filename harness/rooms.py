"""Make sure that the four rooms this program imports are its own.

The package names are generic: a stranger's `reference.py` in the current folder, or another
distribution's `reports` beside ours, would be imported in place of a room. So the current
folder is off `sys.path` in this process (a candidate's folder is put first where its code
runs), and every room is checked to be the one that lies beside this file.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Final

from harness.errors import UsageError

__all__ = ["ROOMS", "ROOT", "secure"]

ROOT: Final = Path(__file__).resolve().parent.parent
ROOMS: Final = ("reference", "strategies", "reports")
MARK: Final = "__room_of__"


def secure() -> None:
    """Take the current folder off `sys.path` and import the rooms from beside this one.

    Raises:
        UsageError: a room is missing, or something else answers to its name.
    """
    here = os.path.realpath(os.curdir)
    outside = [p for p in sys.path if os.path.realpath(p) not in (here, str(ROOT))]
    sys.path[:] = [str(ROOT), *outside]
    for name in ROOMS:
        _import_ours(name)


def _import_ours(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"package {name!r} beside {ROOT / 'harness'}: {error}; install again") from error
    if getattr(module, MARK, None) != "softmax-harness":
        origin = getattr(module, "__file__", None) or "a folder without __init__.py"
        raise UsageError(
            f"{origin}: it answers to {name!r}, which softmax-harness needs as its own; "
            "rename it, or install softmax-harness in a virtual environment of its own"
        )
