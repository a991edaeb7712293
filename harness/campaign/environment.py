"""Where a run ran: what can make the same seed give other figures."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from harness.subject.candidates import Candidate
from reports.record.ledger import Place

__all__ = ["environment", "here", "own_version"]

DECIDING: Final = ("python", "machine", "cpu", "cpu_features", "libraries", "candidates")
"""The parts of an environment that can change figures; the rest identifies the machine."""

LIBRARIES: Final = (
    "softmax-harness",
    "numpy",
    "ml_dtypes",
    "mpmath",
    "gmpy2",
    "numba",
    "pandas",
    "hypothesis",
)


def environment(candidates: Iterable[Candidate] = ()) -> dict[str, Any]:
    """Return versions, platform and processor features, as JSON carries them.

    Args:
        candidates: those measured; the versions of their libraries are included.
    """
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cpu_features": _cpu_features(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "candidates": {c.name: c.version for c in candidates if c.version},
    }


def here(candidates: Iterable[Candidate] = ()) -> Place:
    """Return where this process runs, and by which versions of the candidates' libraries."""
    document = {name: value for name, value in environment(candidates).items() if name in DECIDING}
    return Place(platform.node(), json.dumps(document, sort_keys=True))


def own_version() -> str:
    """Return this program's version, `not installed` where it runs from a folder."""
    return _version(LIBRARIES[0]) or "not installed"


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    from llvmlite import binding

    return str(binding.get_host_cpu_name())


def _cpu_features() -> list[str]:
    """Return the vector extensions that libraries choose their exp by."""
    from llvmlite import binding

    vector = ("sse", "avx", "fma", "f16c", "neon", "sve", "vsx", "amx", "bf16", "fullfp16")
    features = binding.get_host_cpu_features()
    return sorted(name for name, present in features.items() if present and name.startswith(vector))
