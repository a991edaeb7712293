"""Files that cannot be read or written, or never end: one line that helps, and nothing half-written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.campaign.settings import Settings
from harness.gate import Decision, Gated, draw
from harness.terminal.exceptions import NoVerdict
from reference.formats import FORMATS
from reports.files import FileError, error_message, writing_atomically
from reports.record.ledger import LedgerError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert cli.run(arguments) == code
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    assert not printed.out
    assert line.isprintable()
    assert "Errno" not in line
    return line


def strange(name: str, kind: str) -> str:
    """Make a file that is none, and return its path."""
    path = Path(name)
    if kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 33)
    elif kind == "not UTF-8":
        path.write_bytes(b"reason = '\xff'")
    elif kind == "deep":
        path.write_text("a = " + "[" * 100_000)
    return str(path)


KINDS = ("endless", "pipe", "folder", "loop", "huge", "not UTF-8", "deep", "missing")


@pytest.mark.parametrize("kind", KINDS)
def test_budgets_that_are_no_such_file_are_refused_in_a_line(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "gate", "naive", "--budgets", strange("budgets.toml", kind))
    assert "budgets.toml: " in said
    assert len(said) < 400


@pytest.mark.parametrize("kind", KINDS[:5])
@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_logits_that_are_no_such_file_are_refused_in_a_line(
    kind: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "run", "naive", "--input", strange(f"logits.{suffix}", kind))
    assert f"input 'logits.{suffix}'" in said


@pytest.mark.parametrize("kind", ["huge", "not UTF-8", "deep"])
def test_a_configuration_that_cannot_be_read_is_refused_in_a_line(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    strange("pyproject.toml", kind)
    assert "pyproject.toml: " in refused(capsys, "run", "naive")


def test_a_budget_about_rows_of_millions_is_refused_before_any_is_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("budgets.toml").write_text(
        '[[budget]]\ncandidate = "naive"\nformat = "float16"\nmetric = "max_ulp"\nlimit = 9\n'
        'reason = "r"\nlength = 16_777_216\n'
    )
    assert "budget[0].length" in refused(capsys, "gate", "--budgets", "budgets.toml")


@pytest.mark.parametrize("out", ["file/below", "loop/below", "n" * 300, "/proc/harness-out"])
def test_a_folder_that_cannot_be_made_is_told_with_the_way_out(
    out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    Path("loop").symlink_to("loop")
    assert "give another --out" in refused(capsys, "run", "naive", "--out", out)


# Writing ---------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all() -> None:
    Path("folder").mkdir()
    with pytest.raises(FileError), writing_atomically(Path("folder")) as file:
        file.write(b"half")
    with pytest.raises(TypeError), writing_atomically(Path("other")) as file:
        file.write("text")  # type: ignore[call-overload]
    assert sorted(path.name for path in Path().iterdir()) == ["folder"]


@pytest.mark.parametrize(
    ("code", "way"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "can be written to"),
        (errno.EACCES, "permissions"),
        (errno.EMFILE, "ulimit"),
    ],
)
def test_what_is_said_helps_with_what_went_wrong(code: int, way: str) -> None:
    said = error_message(OSError(code, os.strerror(code), "run.html"))
    assert said.startswith(f"run.html: {os.strerror(code)}; ")
    assert way in said
    assert ("free some space" in said) == (code == errno.ENOSPC)


def test_a_gate_offers_no_way_that_it_has_not() -> None:
    for ways in ("free some space, then --resume", "--resume it, or --overwrite it"):
        assert "--resume" not in LedgerError(f"x: {ways}").anew
    assert LedgerError("x: free some space, then --resume").anew == "x: free some space, then begin anew"


@pytest.mark.parametrize("obstacle", [".github", ".github/workflows"])
def test_init_writes_all_or_nothing(obstacle: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text("[project]\nname = 'own'\n")
    Path(obstacle).parent.mkdir(exist_ok=True)
    Path(obstacle).touch()
    before = sorted(map(str, Path().rglob("*")))
    assert ".github" in refused(capsys, "init")
    assert sorted(map(str, Path().rglob("*"))) == before
    assert Path("pyproject.toml").read_text() == "[project]\nname = 'own'\n"


def test_a_current_folder_that_is_gone_is_told_in_a_line() -> None:
    program = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m harness list"
    done = subprocess.run(
        ["sh", "-c", program],  # noqa: S607
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: the current folder is gone")
    assert "Traceback" not in done.stderr


def test_a_gate_whose_ledger_does_not_fit_does_not_offer_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise LedgerError("run.sqlite: the disk is full; free some space, then --resume")

    monkeypatch.setattr("harness.campaign.provenance.open_measured", full)
    assert cli.run(["gate", "naive", "--format", "float16", "--tier", "fast", "--out", "run"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("free some space, then begin anew")


def test_a_gate_whose_run_is_taken_away_has_no_verdict() -> None:
    gated = Gated((), (), (), Settings(("naive",), (FORMATS["float32"],)))
    with pytest.raises(NoVerdict, match=r"gone/junit.xml: No such file.*\(after all was measured\)"):
        draw(Decision(Path("gone"), gated, ()))


def test_a_folder_named_as_a_candidate_is_told_from_a_built_in(capsys: pytest.CaptureFixture[str]) -> None:
    Path("src").mkdir()
    told = refused(capsys, "run", "src")
    assert told.startswith("error: candidate 'src': it is a folder; name a function of a file in it")


def test_a_folder_given_as_input_is_told_to_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    Path("logits").mkdir()
    told = refused(capsys, "run", "--input", "logits", "naive")
    assert told == "error: input 'logits': it is not a file; give the path of a file of logits"
