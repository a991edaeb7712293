"""What the README states, a command or a test gives."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import reference
from harness import cli
from harness.claims import evaluate

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line[2:] for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]
SMALL = ["--regime", "sum-overflow", "--regime", "tied", "--length", "2", "--rows", "6", "--effort", "brief"]

SOFTMAX = """
import numpy as np
def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
"""


def claims_table() -> str:
    rows = "".join(f"| {c.id} | {c.statement} | {c.verdict} |\n" for c in evaluate(0))
    return f"| # | claim | verdict |\n|--:|---|---|\n{rows}"


def test_claims_are_those_of_a_run() -> None:
    written = re.search(r"<!-- claims -->\n(.*?)<!-- /claims -->", README, re.DOTALL)
    assert written is not None
    assert written[1] == claims_table()


def test_both_first_commands_are_those_of_continuous_integration() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert all(command in script.splitlines() for command in COMMANDS[:2])


def without_dots(block: str) -> list[str]:
    return [line for line in block.splitlines() if line and line != "..."]


@pytest.mark.parametrize("name", ["search", "exhaust", "gate"])
def test_quoted_lines_are_printed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures of NumPy's float32 exp are the processor's: where it is another, numbers are left out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(SOFTMAX)
    (command, quoted), *_ = re.findall(
        rf"\$ (python -m harness {name} .*?)\n(.*?)(?=```|\$ )", README, re.DOTALL
    )
    assert cli.run(shlex.split(command)[3:]) == 0
    printed = capsys.readouterr().out
    numbers = r"[\d.]+" if name != "exhaust" else "(?!)"
    assert {re.sub(numbers, "N", line) for line in without_dots(quoted)} <= {
        re.sub(numbers, "N", line) for line in printed.splitlines()
    }


def test_a_limit_is_raised_as_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(SOFTMAX)
    [(command, quoted)] = re.findall(r"\$ (python -m harness gate --loosen .*?)\n(.*?)```", README, re.DOTALL)
    assert cli.run(["init", "my.py:softmax"]) == 0
    capsys.readouterr()
    assert cli.run(shlex.split(command)[3:]) == 0
    undated = [re.sub(r"\d{4}-\d\d-\d\d", "DATE", line) for line in capsys.readouterr().out.splitlines()]
    assert {re.sub(r"\d{4}-\d\d-\d\d", "DATE", line) for line in without_dots(quoted)} <= set(undated)


MORE_WANTED = ("--via", ".so:", "--libraries", "--cluster")
"""What marks commands that need a library, a compiler or a scheduler, and have tests of their own."""

QUOTED_RUN = "python -m harness run --effort quick"

RUNS = [
    command
    for command in COMMANDS
    if command.startswith("python -m harness run")
    and command != QUOTED_RUN
    and not any(mark in command for mark in MORE_WANTED)
]


@pytest.mark.parametrize("command", RUNS)
def test_run_commands_work(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is run as it stands, with few rows where it draws any."""
    monkeypatch.chdir(tmp_path)
    Path("path").mkdir()
    for folder in (tmp_path, tmp_path / "path"):
        (folder / "my.py").write_text(SOFTMAX)
    np.save("logits.npy", np.array([[1.0, 2.0], [3.0, 700.0]]))
    arguments = shlex.split(command)[3:]
    assert cli.run([*arguments, *([] if "--input" in arguments else SMALL)]) == 0


def shape(line: str) -> str:
    """A line of a run with its figures as N and its places as AT, however many and wherever they stand."""
    line = re.sub("─+", "-", line)
    line = re.sub(r"n=[\d,]+|\b[a-z]+(-[a-z]+)+\b|\bmasked\b", "AT", line)
    line = re.sub(r"\b\d[\d.,]*(e\d+)?( %)?", "N", line)
    return re.sub(r"(\b(?:AT|N)\b)( \1\b)+", r"\1", " ".join(line.split()))


def test_quoted_run_has_the_shape_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [quoted] = re.findall(rf"\$ {QUOTED_RUN}\n(.*?)```", README, re.DOTALL)
    few = [
        f"--regime={name}" for name in ("known-bugs", "close-together", "sum-overflow", "result-underflow")
    ]
    assert cli.run(["run", "--effort", "quick", *few, "--length", "7", "--rows", "40"]) == 0
    printed = capsys.readouterr()
    shapes = {shape(line) for line in (printed.out + printed.err).splitlines()}
    missing = [line for line in without_dots(quoted) if shape(line) not in shapes]
    assert missing == [], shapes


def test_replayed_witness_is_that_of_the_quick_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["--format", "float16", "--regime", "sum-overflow", "--length", "2"]
    assert cli.run(["run", "--effort", "quick", *few]) == 0
    capsys.readouterr()
    [(command, printed)] = re.findall(r"\$ (python -m harness replay.*?)\n(.*?)```", README, re.DOTALL)
    assert cli.run(shlex.split(command)[3:]) == 0
    assert capsys.readouterr().out == printed


def test_list_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert "python -m harness list" in COMMANDS
    assert cli.run(["list"]) == 0
    assert "sum-overflow" in capsys.readouterr().out


def test_python_examples_work() -> None:
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        program = f"{SOFTMAX}\nmy_softmax = softmax\n{block}"
        if "def test_softmax" in block:
            program += "\ntest_softmax()"
        if "harness.measure" in program:
            quick = 'format="float16", regimes=["tied"], lengths=[2]'
            program = program.replace('format="float16"', quick)
        result = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr


def test_sum_of_the_exponentials_of_the_example_overflows() -> None:
    x = np.array([10.40625, 10.6015625])
    shares = reference.softmax([*x.tolist(), 0.0])
    assert round(float(1 / shares[2]) - 1) == 73263
    assert reference.FORMATS["float16"].largest < 73263
