"""A project with modules named like our rooms: they stay its own, and what it calls of ours works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("reference", "reports", "strategies")

MINE = """
import numpy as np
import reference

assert reference.MINE == "reference"


def softmax(x, axis=-1):
    from reports.cells import MINE
    import strategies.cells

    assert MINE == "reports" and strategies.cells.MINE == "strategies"
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
"""

MINE_OF_MODULES = """
import numpy as np


def softmax(x, axis=-1):
    import reference, reports, strategies

    assert (reference.MINE, reports.MINE, strategies.MINE) == ("reference", "reports", "strategies")
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
"""

TESTS = """
import sys

import pytest
from hypothesis import HealthCheck, given, settings

import mine
from harness import testing


@pytest.fixture(autouse=True)
def names_stay_mine():
    yield
    import reference, reports, strategies

    assert (reference.MINE, reports.MINE, strategies.MINE) == ("reference", "reports", "strategies")
    assert not any(name.startswith("reference.formats") for name in sys.modules)


def test_contract():
    testing.check("shape", mine.softmax, effort="brief")
    with pytest.raises(AssertionError, match="x = "):
        testing.check("axis", lambda x, axis=-1: mine.softmax(x), effort="brief")


@given(testing.rows("float32", 3))
@settings(max_examples=4, suppress_health_check=list(HealthCheck))
def test_rows(x):
    testing.assert_keeps("range", mine.softmax, x)
"""

OF_A_RUN = """

def test_measure():
    import harness

    run = harness.measure(mine.softmax, "float16", regimes=["tied"], lengths=[4])
    assert list(run.cells["status"]) == ["ok"]
    assert "tied" in run._repr_html_()


def test_mistake():
    import harness
    from harness.terminal.exceptions import UsageError

    with pytest.raises(UsageError, match="did you mean 'float32'"):
        harness.measure(mine.softmax, "float31")
"""

OF_THE_TIER = """

def test_tier(assert_accurate):
    assert_accurate(mine.softmax, format="float32", tier="standard")
    with pytest.raises(AssertionError, match="misses rounded: "):
        assert_accurate(mine.softmax, format="float8_e5m2", tier="rounded")
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def report_of(folder: Path, *arguments: str) -> str:
    done = python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def packages(folder: Path) -> None:
    for room in ROOMS:
        (folder / room).mkdir()
        (folder / room / "__init__.py").write_text(f"MINE = {room!r}\n")
        (folder / room / "cells.py").write_text(f"MINE = {room!r}\n")


def modules(folder: Path) -> None:
    for room in ROOMS:
        (folder / f"{room}.py").write_text(f"MINE = {room!r}\n")


@pytest.mark.parametrize(
    "tests", [TESTS + OF_A_RUN, pytest.param(TESTS + OF_THE_TIER, marks=pytest.mark.slow)]
)
def test_the_plugin_beside_packages_of_these_names(tests: str, tmp_path: Path) -> None:
    packages(tmp_path)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["harness.testing"]\n')
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "test_it.py").write_text(tests)
    assert f"{tests.count('def test_')} passed" in report_of(tmp_path)


@pytest.mark.slow
def test_the_plugin_beside_modules_of_these_names_in_the_folder_of_the_tests(tmp_path: Path) -> None:
    inner = tmp_path / "tests"
    inner.mkdir()
    modules(inner)
    (inner / "conftest.py").write_text("import reports\n")
    (inner / "mine.py").write_text(MINE_OF_MODULES)
    (inner / "test_it.py").write_text(TESTS)
    assert "2 passed" in report_of(tmp_path, "-p", "harness.testing")


def test_reference_is_imported_beside_the_other_names(tmp_path: Path) -> None:
    for room in ("harness", "reports", "strategies"):
        (tmp_path / f"{room}.py").write_text("raise SystemExit('the stranger was imported')\n")
    program = (
        "import reference; print(reference.ulp_errors([0.0, 0.0], [0.5, 0.5], method='mpmath').tolist())"
    )
    done = python(tmp_path, "-c", program)
    assert done.stdout == "[0.0, 0.0]\n", done.stderr


@pytest.mark.parametrize("name", ["candidates", "campaign", "execution"])
def test_what_cannot_live_with_a_stranger_names_its_file(name: str, tmp_path: Path) -> None:
    modules(tmp_path)
    last = python(tmp_path, "-c", f"import harness.{name}").stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: {tmp_path / 'reference.py'}: it answers to 'reference'")
    assert "rename it" in last
