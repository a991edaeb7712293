"""Every block of FINDINGS.md prints what stands under it, with the version of the library that it names."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.subject.candidates.libraries import LIBRARIES

TEXT = (Path(__file__).resolve().parent.parent / "FINDINGS.md").read_text(encoding="utf-8")
ENTRIES = re.findall(
    r"^## (.+?)\n(.*?)```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE
)
PROJECTS = ("jax", "mlx", "onnxruntime", "openvino", "tensorflow", "tinygrad", "triton")


def library_of(code: str) -> str:
    return next(name for name in PROJECTS if re.search(rf"^import {name}\b", code, re.MULTILINE))


def lacks(library: str, said: str) -> str | None:
    """Say why a reproduction cannot be tried here, if so."""
    if library in LIBRARIES:
        missing, found = LIBRARIES[library].lacks(), LIBRARIES[library].version()
    else:  # Triton, which needs PyTorch for its arrays
        missing = LIBRARIES["torch"].lacks()
        found = version(library) if find_spec(library) else None
    if missing or f"{library} {found}" in said:
        return missing
    return f"{library} of the version named is not installed"


def test_every_entry_has_a_reproduction() -> None:
    assert len(ENTRIES) == TEXT.count("\n## ") > 0


@pytest.mark.parametrize(("title", "said", "code", "printed"), ENTRIES, ids=[e[0][:40] for e in ENTRIES])
def test_a_reproduction_prints_what_is_said(
    title: str, said: str, code: str, printed: str, tmp_path: Path
) -> None:
    if missing := lacks(library_of(code), said):
        pytest.skip(missing)
    file = tmp_path / "reproduction.py"
    file.write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", file], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == printed.strip(), title
