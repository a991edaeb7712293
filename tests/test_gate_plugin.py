"""The pytest fixture as a user has it: opted in by conftest.py, under pytest-xdist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.gating import SUSPECTS

TESTS = """
import pytest
import suspects


@pytest.mark.parametrize("name", ["sound", "stagnating_at_2048", "all_nan"])
def test_softmax(assert_accurate, name):
    assert_accurate(getattr(suspects, name), format="float16", tier="standard")


def test_policy(assert_accurate):
    assert_accurate(
        suspects.flushing_subnormals, format="float32", tier="fast", policies=["subnormals=flush"]
    )
"""


@pytest.mark.slow
def test_the_fixture_works_under_xdist(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["harness.testing"]\n')
    (tmp_path / "suspects.py").write_text(SUSPECTS.read_text())
    (tmp_path / "test_it.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-q", "-rfE", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "2 failed, 2 passed" in said
    assert "gate: fail" in said
    assert "misses standard: " in said
    assert "x = " in said, "a witness is in the message"
    assert "INTERNALERROR" not in said


def test_the_fixture_is_there_only_for_who_asks(pytestconfig: pytest.Config) -> None:
    assert not pytestconfig.pluginmanager.has_plugin("harness.testing")
