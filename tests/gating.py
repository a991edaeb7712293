"""Running the gate as a user does, for its tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import cli

__all__ = ["SUSPECTS", "budget", "error_of", "failing", "gate", "replays", "statuses"]

SUSPECTS = Path(__file__).resolve().parent / "gated" / "suspects.py"


def gate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON document of `harness gate`; the document is empty where there is none."""
    code = cli.run(["gate", *arguments, "--json"])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Return exit code and what is said on stderr."""
    code = cli.run(["gate", *arguments])
    return code, capsys.readouterr().err


def statuses(document: dict[str, Any]) -> set[str]:
    return {verdict["status"] for verdict in document["verdicts"]}


def failing(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [verdict for verdict in document["verdicts"] if verdict["status"] != "pass"]


def replays(verdicts: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> bool:
    """Tell whether each verdict has a replay command, and the first gives the recorded bits."""
    commands = [verdict["replay"] for verdict in verdicts]
    code = cli.run(["replay", commands[0].split("'")[1]])
    return all(commands) and code == 0 and "the recorded bits" in capsys.readouterr().out


def budget(**changes: Any) -> str:
    """Return a [[budget]] of TOML, of a numeric metric unless said otherwise."""
    values = {
        "candidate": "max_shifted",
        "format": "float16",
        "metric": "bound_ratio",
        "limit": 1.0,
        "reason": "a test",
        **changes,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    return "\n".join(["[[budget]]", *lines, ""])


def _toml(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (str, list)) else str(value)
