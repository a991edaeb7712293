"""Every command that writes a run says with which versions of the libraries under test it was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import scipy

from harness import cli
from tests.gating import briefly
from tests.longer import few_of

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

COMMANDS = {
    "run": [
        "run",
        "scipy",
        "--format",
        "float16",
        "--regime",
        "tied",
        "--length",
        "3",
        "--rows",
        "4",
        "--effort",
        "brief",
    ],
    "gate": ["gate", "scipy", "--format", "float16", "--tier", "fast"],
    "search": ["search", "scipy", "--format", "float16", "--length", "2", "--evals", "50"],
    "exhaust": ["exhaust", "scipy", "--format", "float16", "--length", "1"],
}


@pytest.mark.parametrize("command", few_of(COMMANDS, 2))
def test_a_run_names_the_command_and_the_version_of_the_library_under_test(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["harness", *COMMANDS[command]])
    briefly(monkeypatch, 3)
    assert cli.run([*COMMANDS[command], "--out", "r"]) in (0, 1)
    environment = json.loads(Path("r/summary.json").read_text())["environment"]
    assert environment["candidates"]["scipy"].endswith(scipy.__version__)
    assert environment["command"] == ["harness", *COMMANDS[command]]
    assert scipy.__version__ in Path("r/report.html").read_text()
