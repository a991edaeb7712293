"""Run folders are found, resumed and overwritten without touching what is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_run import SETTINGS, key, ledger_at, planned, tally_of, witness

from reports.files import FileError
from reports.record.ledger import Ledger, LedgerError
from reports.record.run_folder import (
    RunFolderError,
    find_run,
    find_witness,
    open_ledger,
    prepare,
    reference_of,
    write_atomically,
)

CELL = key()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    with ledger_at(folder, CELL) as ledger:
        ledger.record("s", {CELL: tally_of(CELL, [1.0])}, 0.0)
    return folder


def test_a_run_without_out_gets_a_folder_of_its_own_that_latest_names(tmp_path: Path) -> None:
    parent = tmp_path / "harness-out"
    folders = [prepare(None, seed=3, parent=parent) for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(f.parent == parent and f.name.endswith("Z-3") for f in folders)
    assert (parent / "latest").read_text() == f"{folders[-1].name}\n"
    assert (parent / ".gitignore").read_text() == "*\n"


def test_latest_and_previous_are_the_last_two(tmp_path: Path) -> None:
    first, second = (prepare(None, seed=0, parent=tmp_path) for _ in range(2))
    for folder in (first, second):
        open_ledger(folder, SETTINGS, planned(CELL)).close()
    assert find_run("latest", tmp_path) == second
    assert find_run("previous", tmp_path) == first
    assert find_run(first.name, tmp_path) == first
    assert find_run(first, tmp_path) == first
    assert reference_of(tmp_path / "harness-out" / first.name) == first.name


def test_resume_without_out_goes_on_with_the_latest_and_begins_one_where_there_is_none(
    tmp_path: Path,
) -> None:
    begun = prepare(None, seed=0, resume=True, parent=tmp_path)
    assert prepare(None, seed=0, resume=True, parent=tmp_path) == begun
    assert prepare(None, seed=0, parent=tmp_path) != begun


def test_a_run_is_kept_unless_resumed_or_overwritten(run: Path) -> None:
    with pytest.raises(RunFolderError, match=r"holds a run already; --resume it, --overwrite it"):
        prepare(run, seed=0)
    with pytest.raises(RunFolderError, match=r"holds a run already; --overwrite it"):
        prepare(run, seed=0, resume=None)
    assert prepare(run, seed=0, resume=True) == run
    with open_ledger(run, SETTINGS, planned(CELL)) as ledger:
        assert ledger.finished() == {"s"}
    assert prepare(run, seed=0, overwrite=True) == run
    with open_ledger(run, SETTINGS, planned(CELL)) as ledger:
        assert ledger.finished() == set()
    with pytest.raises(RunFolderError, match="--resume and --overwrite"):
        prepare(run, seed=0, resume=True, overwrite=True)


def test_overwriting_removes_our_files_and_no_others(run: Path) -> None:
    (run / "report.html").write_text("ours")
    (run / "notes.txt").write_text("theirs")
    (run / "plots").mkdir()
    prepare(run, seed=0, overwrite=True)
    assert {entry.name for entry in run.iterdir()} == {"notes.txt", "plots", "run.lock"}


def test_a_run_that_is_being_written_is_not_overwritten(run: Path) -> None:
    with (
        Ledger.open(run / "run.sqlite", SETTINGS),
        pytest.raises(LedgerError, match="another run is writing"),
    ):
        prepare(run, seed=0, overwrite=True)
    with Ledger.open(run / "run.sqlite") as ledger:
        assert ledger.finished() == {"s"}


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + bytes(200)])
def test_a_strange_file_of_the_same_name_is_not_removed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.sqlite").write_bytes(content)
    with pytest.raises(RunFolderError, match="not a ledger of this program"):
        prepare(tmp_path, seed=0, overwrite=True)
    assert (tmp_path / "run.sqlite").read_bytes() == content


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "thesis.tex").write_text("theirs")
    with pytest.raises(RunFolderError, match=r"holds 'thesis.tex' and no run"):
        prepare(tmp_path, seed=0, resume=resume)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_place_that_cannot_be_written_to_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("theirs")
    for out in (file, file / "below"):
        with pytest.raises(RunFolderError, match="cannot be written to") as caught:
            prepare(out, seed=0)
        assert "\n" not in str(caught.value)


def test_a_run_that_does_not_exist_is_named_so(tmp_path: Path) -> None:
    for name in ("latest", "previous", "elsewhere"):
        with pytest.raises(RunFolderError, match=name):
            find_run(name, tmp_path)


def test_a_witness_is_found_by_its_id_or_the_beginning_of_it(run: Path) -> None:
    wanted = witness(CELL, score=1.0)
    assert find_witness(run, wanted.id) == wanted
    assert find_witness(run, wanted.id[:4]) == wanted
    for identity in ("ffffffffff", ""):
        with pytest.raises(RunFolderError, match=r"witness(es)? begins?"):
            find_witness(run, identity)


def test_an_interrupted_write_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(FileError, match=r"No space left on device; free some space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
