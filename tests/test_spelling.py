"""Names, paths and messages that others chose do nothing to a terminal, a log, a table or a shell."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from harness import cli
from harness.subject.candidates import CandidateError, load
from harness.terminal.console import notes
from reports import spelling
from reports.github import workflow_commands
from reports.junit import junit
from reports.record.verdicts import Verdict

HOSTILE = "a\n::error::b\x1b[2J\u202egnp.py\x9b1m"


def test_a_line_is_one_line_that_nothing_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    notes().print(f"report: {HOSTILE}", soft_wrap=True)
    notes().print("  ::stop-commands::x", "##[error]y", soft_wrap=True)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "report: a\\n::error::b\\x1b[2J\\u202egnp.py\\x9b1m"
    assert first.isprintable()
    assert "::" not in second.split()[0][:2]
    assert "##[" not in second


@pytest.mark.parametrize("where", ["--out", "--input", "candidate", "replay"])
def test_a_command_that_is_given_such_a_name_answers_in_a_line_that_prints(
    where: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").touch()
    arguments = {
        "--out": ["run", "naive", "--out", f"x/{HOSTILE}"],
        "--input": ["run", "naive", "--input", HOSTILE],
        "candidate": ["run", f"{HOSTILE}:softmax"],
        "replay": ["replay", f"{HOSTILE}#0"],
    }[where]
    assert cli.run(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert line.isascii()


def test_an_annotation_is_one_workflow_command() -> None:
    verdict = Verdict(
        HOSTILE, "float32", "float32", None, None, "tier", "meets", "standard", None, "defect", HOSTILE
    )
    [told] = workflow_commands([verdict])
    assert told.isprintable()
    assert told.startswith("::error title=fail%3A a\\n%3A%3Aerror%3A%3Ab")
    assert "\u202e" not in junit([verdict]).decode()


NAMES = ["=1+1.py", "@a.py", "+a.py", "a\n.py", "a\x1b.py", "a\u202e.py", "a\u2028.py"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_a_table_cannot_show_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("def softmax(x): return x\n")
    with pytest.raises(CandidateError, match="prints on one line"):
        load(f"{name}:softmax")
    if name.isprintable():
        assert load(f"./{name}:softmax").name == f"./{name}:softmax"


def test_a_message_is_the_same_in_every_table_and_a_formula_in_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "class Formula(Exception): ...\n"
        "Formula.__name__ = Formula.__qualname__ = '=cmd|calc!A0'\n"
        "def softmax(x):\n    raise Formula('x\\ny\\x9b31m')\n"
    )
    few = ["--format", "float16", "--regime", "tied", "--length", "2", "--rows", "2", "--out", "run"]
    assert cli.run(["run", "own.py:softmax", *few]) == 0
    read = pd.read_csv("run/cells.csv", keep_default_na=False, na_values=[""])
    packed = pd.read_parquet("run/cells.parquet")
    [message] = set(read["message"])
    assert "Formula" in message or message.startswith("'=")
    assert list(packed["message"]) == list(read["message"])
    summary = Path("run/summary.json").read_text()
    assert all(line.isprintable() for line in summary.splitlines())
    assert [c["message"] for c in json.loads(summary)["cells"]] == [message]
    for fields in csv.reader(io.StringIO(Path("run/cells.csv").read_text())):
        assert not any(field.startswith(("=", "+", "@", "\t")) for field in fields)


@pytest.mark.parametrize("text", ["-8", "+1.5e-3", "-", "0.25", "-.5"])
def test_numbers_are_no_formulas(text: str) -> None:
    assert spelling.csv_cell(text) == text


@pytest.mark.parametrize("text", ["=1", "+a", "-1+cmd", "@x", "\tx", "\r=1"])
def test_formulas_are_texts(text: str) -> None:
    assert spelling.csv_cell(text).startswith("'")


@pytest.mark.parametrize("part", ["plain/run#01ab", "it's", "a b; touch ran", "$(touch ran)", HOSTILE, "`x`"])
def test_a_command_is_taken_apart_by_a_shell_as_it_was_put_together(part: str) -> None:
    printed = spelling.command("printf", "%s", part)
    assert printed.isprintable()
    told = subprocess.run(["bash", "-c", printed], capture_output=True, check=True)  # noqa: S607
    assert told.stdout.decode() == part
    if part.isprintable():
        assert shlex.split(printed) == ["printf", "%s", part]


def test_code_in_a_table_of_markdown_stays_in_its_cell() -> None:
    assert spelling.markdown_code("a | `b`\nc") == "`a \\| b c`"


def test_a_bar_shows_names_that_look_like_markup_as_they_are() -> None:
    from rich.console import Console

    from harness.terminal.console import progress_bar

    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress_bar(console) as bar:
        bar.add_task("checking x[/].py:softmax", total=1)
        bar.refresh()
    assert "x[/].py:softmax" in console.file.getvalue()  # type: ignore[attr-defined]
