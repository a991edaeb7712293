"""Files of `reference` that import none of the rooms, loaded by their path.

A worker that runs a stranger's code has none of our rooms on its path, and a stranger's module may bear
the name of one of them.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

__all__ = ["reference_file"]

_REFERENCE: Final = Path(__file__).resolve().parents[3] / "reference"


@functools.cache
def reference_file(name: str) -> ModuleType:
    """Return `reference/NAME.py` as a module of a private name."""
    private = f"_softmax_harness_{name}"
    specification = importlib.util.spec_from_file_location(private, _REFERENCE / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[private] = module
    specification.loader.exec_module(module)
    return module
