"""The planted defects, one module a part of softmax, each with a tuple `DEFECTS`; found by scanning this folder."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from harness.selftest.planted import Defect

__all__ = ["DEFECTS"]


def _found() -> tuple[Defect, ...]:
    names = sorted(found.name for found in iter_modules(__path__))
    return tuple(d for name in names for d in import_module(f"{__name__}.{name}").DEFECTS)


DEFECTS: Final = _found()
"""Every planted defect, by module."""
