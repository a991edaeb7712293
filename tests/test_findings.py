"""Every block of FINDINGS.md prints what stands under it, with the version of the library that it names."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parent.parent / "FINDINGS.md").read_text(encoding="utf-8")
ENTRIES = re.findall(
    r"^## (.+?)\n(.*?)```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE
)
PROJECTS = {"jax": "jax", "mlx": "mlx", "openvino": "openvino", "tensorflow": "tensorflow"}


def library_of(code: str) -> str:
    return next(name for name in PROJECTS if re.search(rf"^import {name}\b", code, re.MULTILINE))


def installed(library: str) -> str | None:
    for distribution in (library, f"{library}-cpu"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None


def test_every_entry_has_a_reproduction() -> None:
    assert len(ENTRIES) == TEXT.count("\n## ") > 0


@pytest.mark.parametrize(("title", "said", "code", "printed"), ENTRIES, ids=[e[0][:40] for e in ENTRIES])
def test_a_reproduction_prints_what_is_said(title: str, said: str, code: str, printed: str) -> None:
    library = library_of(code)
    if f"{library} {installed(library)}" not in said:
        pytest.skip(f"{library} of the version named is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == printed.strip(), title
