"""A run is of one program: what was replaced, between or while it ran, is never mixed in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness import cli
from reports.record.ledger import Ledger
from reports.record.program import Program

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

FEW = (
    "--format",
    "float16",
    "--regime",
    "tied",
    "--length",
    "3",
    "--rows",
    "4",
    "--jobs",
    "1",
    "--effort",
    "brief",
)

OWN = """
import numpy as np
import helper

def softmax(x, axis=-1):
    {inside}
    e = helper.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)
"""

HELPER = "from numpy import exp\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two files, and a candidate in a folder of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.cfg").touch()
    write(tmp_path, "pass")
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "late.py").write_text("")
    return tmp_path


def write(folder: Path, inside: str) -> None:
    (folder / "own.py").write_text(OWN.format(inside=inside))


def run(*more: str) -> int:
    return cli.run(["run", "own.py:softmax", *FEW, "--out", "run", *more])


def refused(capsys: pytest.CaptureFixture[str], *more: str, code: int = 2) -> str:
    capsys.readouterr()
    assert run(*more) == code
    return next(line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))


def test_a_run_goes_on_with_the_files_that_it_began_with_and_no_others(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, "import late")
    assert run() == 0
    assert run("--resume") == 0
    for name in ("own.py", "helper.py", "late.py"):
        before = (project / name).read_text()
        (project / name).write_text(f"{before}# another\n")
        said = refused(capsys, "--resume")
        assert f"{project / name}" in said
        assert "replaced" in said
        assert "--overwrite" in said
        assert "another --out" in said
        (project / name).write_text(before)
    (project / "unused.py").write_text("")
    assert run("--resume") == 0
    (project / "helper.py").write_text("from numpy import exp, log\n")
    assert run("--overwrite") == 0


def test_a_run_goes_on_as_it_was_called_by_the_version_that_began_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run() == 0
    assert "called isolated, now they would be in-process" in refused(capsys, "--resume", "--in-process")
    with monkeypatch.context() as patched:
        patched.setattr("harness.campaign.provenance.ROWS_VERSION", 1000)
        assert "1000" in refused(capsys, "--resume")
    with monkeypatch.context() as patched:
        patched.setattr("harness.campaign.provenance.own_version", lambda: "9.9")
        assert "is 9.9" in refused(capsys, "--resume")
    with Ledger.open(Path("run/run.sqlite")) as ledger:
        program, settings = ledger.program(), ledger.settings()
    assert program is not None
    assert re.fullmatch(r"\d+\.\d+.*", program.candidates["own.py:softmax"].versions["numpy"])
    document = json.loads(json.dumps(program.document()).replace('"numpy": "', '"numpy": "0.'))
    with Ledger.open(Path("run/run.sqlite"), settings) as ledger:
        ledger.put_program(Program.from_document(document))
    assert "numpy" in refused(capsys, "--resume")


REPLACING = 'open(__file__, "a").write("#")'


@pytest.mark.parametrize("how", ["isolated", "in-process"])
def test_a_file_replaced_while_it_is_measured_gives_no_figures(
    project: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    write(project, REPLACING)
    said = refused(capsys, *(("--in-process",) if how == "in-process" else ()), code=3)
    assert f"{project / 'own.py'}: replaced while" in said
    assert not Path("run/summary.json").exists()


def test_a_search_and_a_proof_of_a_file_that_is_replaced_are_none(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, REPLACING)
    for command in (
        ["search", "own.py:softmax", "--length", "2", "--evals", "200"],
        ["exhaust", "own.py:softmax", "--length", "1", "--format", "float8_e5m2"],
    ):
        assert cli.run(command) == 3
        assert "replaced while" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_a_gate_of_a_file_that_is_replaced_gives_no_verdict(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, REPLACING)
    assert cli.run(["gate", "own.py:softmax", "--format", "float16", "--tier", "standard"]) == 3
    assert "replaced while" in capsys.readouterr().err.splitlines()[-1]
