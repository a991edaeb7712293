"""A format is one row of the table: with it the whole program takes the format, in every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.more_formats import MORE

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
import sys
from types import MappingProxyType

sys.path.insert(0, sys.argv.pop(1))
from reference import formats
from tests.more_formats import MORE

formats.FORMATS = MappingProxyType({**formats.FORMATS, **{fmt.name: fmt for fmt in MORE}})
from harness.__main__ import main

main()
"""


def harness(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(ROOT), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_row_more_is_listed(tmp_path: Path) -> None:
    told = json.loads(harness(tmp_path, "list", "--json"))["formats"]
    assert told["float8_e4m3b11fnuz"]["title"] == "p = 4, emin = -10, emax = 4, no infinity, no -0"
    assert {fmt.name for fmt in MORE} < told.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float8_e4m3b11fnuz", "float8_e3m4"])
def test_a_row_more_is_measured_and_proved(name: str, tmp_path: Path) -> None:
    common = ("--in-process", "--format", name, "--out", "out", "--overwrite")
    harness(tmp_path, "run", "upcast", "max_shifted", *common, "--length", "9", "--rows", "64")
    cells = json.loads((tmp_path / "out" / "summary.json").read_text())["cells"]
    assert {cell["status"] for cell in cells} == {"ok"}
    assert not any(cell["negative_zeros"] for cell in cells)
    assert max(cell["max_ulp"] or 0 for cell in cells if cell["candidate"] == "upcast") <= 0.5000001
    proof = harness(tmp_path, "exhaust", "upcast", "--length", "1", *common)
    assert "rows failed: 0\n" in proof
