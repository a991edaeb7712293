"""Cases and examples of which a few are tried by default, and all with the longer proofs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import pytest

__all__ = ["few_of", "sample"]

Tried = TypeVar("Tried")

ALL: Final = "SOFTMAX_HARNESS_ALL_EXAMPLES"
"""The environment variable with which `.ci/run` asks for the larger samples."""


def sample(few: Tried, most: Tried) -> Tried:
    """Return what to try, such as a number of examples: few where somebody waits, most where nobody does."""
    return most if os.environ.get(ALL) else few


def few_of(cases: Iterable[Any], few: int) -> list[Any]:
    """Return the cases for `parametrize`, all but so many, spread evenly, marked slow."""
    every = [_as_param(case) for case in cases]
    kept = {len(every) * i // few for i in range(few)}
    return [
        case if i in kept else pytest.param(*case.values, marks=[*case.marks, pytest.mark.slow])
        for i, case in enumerate(every)
    ]


def _as_param(case: Any) -> Any:
    if hasattr(case, "marks"):
        return case
    return pytest.param(*case) if isinstance(case, tuple) else pytest.param(case)
