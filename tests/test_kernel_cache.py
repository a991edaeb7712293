"""A kernel in the cache is the one that would be compiled now, though another file has changed since."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference.certified.compiled import inlined

ROOT = Path(__file__).resolve().parents[1]


def block_of(**names: Any) -> Any:
    """Return a block of kernels, made in a module of those global names."""
    module: dict[str, Any] = {"__name__": __name__, "inlined": inlined, **names}
    exec("@inlined\ndef block(x):\n    return x\n", module)  # noqa: S102
    return module["block"]


def fingerprinted(**names: Any) -> str:
    """Return the name of such a block: kernels are cached under names that are made in the same way."""
    return str(block_of(**names).py_func.__qualname__)


class Before(IntEnum):
    FIRST = 0
    SECOND = 1


class After(IntEnum):
    FIRST = 1
    SECOND = 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (2.0**-21, 2.0**-20),
        (0.0, -0.0),
        (8, 9),
        (8, 8.0),
        (np.float64(1.0), np.nextafter(1.0, 2.0)),
        ((1, 2.0), (1, 3.0)),
        (np.arange(4), np.arange(4)[::-1]),
        (np.zeros(8, np.uint8), np.zeros(1)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (Before, After),
        (block_of(limit=1.0), block_of(limit=2.0)),
        (
            block_of(block=block_of(limit=1.0)),
            block_of(block=block_of(limit=2.0)),
        ),
    ],
    ids=[
        "float",
        "zero",
        "integer",
        "type",
        "scalar",
        "tuple",
        "array",
        "type of an array",
        "shape",
        "enumeration",
        "block",
        "block of a block",
    ],
)
def test_a_kernel_is_cached_by_what_it_holds_of_other_modules(before: Any, after: Any) -> None:
    assert fingerprinted(held=before) == fingerprinted(held=before)
    assert fingerprinted(held=before) != fingerprinted(held=after)


def test_what_numba_does_not_compile_in_leaves_the_name_as_it_is() -> None:
    assert fingerprinted() == fingerprinted(made_anew=object(), also=[1], __file__="elsewhere.py")


BLOCK = """
from reference.certified.compiled import inlined

@inlined
def doubled(x):
    return {}
"""

PROGRAM = """
import kernel
print(kernel.scaled(1.0), sum(kernel.scaled.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_a_constant_or_block_of_another_file_that_changes_is_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(
        "from blocks import doubled\n"
        "from constants import FACTOR\n"
        "from reference.certified.compiled import compiled\n"
        "@compiled\n"
        "def scaled(x):\n"
        "    return FACTOR * doubled(x)\n"
    )
    said = []
    for factor, twice in ((2.0, "2 * x"), (2.0, "2 * x"), (3.0, "2 * x"), (2.0, "2 * x"), (2.0, "3 * x")):
        (tmp_path / "constants.py").write_text(f"FACTOR = {factor}\n")
        (tmp_path / "blocks.py").write_text(BLOCK.format(twice))
        done = subprocess.run(
            [sys.executable, "-B", "-c", PROGRAM],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(done.stdout.split())
    values, hits = zip(*said, strict=True)
    assert values == ("4.0", "4.0", "6.0", "4.0", "6.0")
    assert hits == ("0", "1", "0", "1", "0")
