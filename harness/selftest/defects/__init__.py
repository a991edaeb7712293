"""The planted defects, by parts of softmax: each module here has a tuple `DEFECTS`, and is found."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from harness.selftest.planted import Defect

__all__ = ["DEFECTS"]


def _found() -> tuple[Defect, ...]:
    names = sorted(module.name for module in iter_modules(__path__))
    return tuple(d for name in names for d in import_module(f"{__name__}.{name}").DEFECTS)


DEFECTS: Final = _found()
"""Every planted defect, by module."""
