"""A row that shows something only among others keeps its batch: it is replayed, and tested, in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import cli
from harness.subject.candidates import load
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from harness.witnesses.batches import MOST_KEPT, Part, smallest_part
from harness.witnesses.search import search
from reference.formats import FORMATS
from reports.record.witness import Witness

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

WRONG = """
import numpy as np

def softmax(x):
    rows = len(x)
    wrong = {wrong}
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return (y * np.where(wrong, 1.25, 1)).astype(x.dtype)
"""
MANY = "rows > 3"
BESIDE_A_LARGE_ONE = (
    "(rows > 1) & (abs(np.roll(x, 1, axis=0)).max() > 20) & (abs(x).max(axis=1) < 20)[:, None]"
)
FEW = ("--format=float32", "--length=5", "--rows=9", "--effort=brief", "--in-process", "--out=run")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def wrong(when: str) -> str:
    Path("mine.py").write_text(WRONG.format(wrong=when))
    return "mine.py:softmax"


def right() -> None:
    Path("mine.py").write_text(WRONG.format(wrong="False"))


def witnesses() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("run/witnesses.jsonl").read_text().splitlines()]


def greatest(regime: str) -> dict[str, Any]:
    found = [w for w in witnesses() if w["regime"] == regime and w["kind"] == "max_ulp" and "batch" in w]
    return max(found, key=lambda w: float(w["score"]))


def replay(witness: str, *more: str) -> int:
    return cli.run(["replay", witness, "--candidate=mine.py:softmax", "--expect", "--in-process", *more])


@pytest.mark.parametrize("regime", ["standard-normal", "digits-sane"])
def test_a_row_is_replayed_in_its_batch_where_alone_it_shows_nothing(
    regime: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the run's name and by the line alone; a candidate that was mended is sound again."""
    assert cli.run(["run", wrong(MANY), f"--regime={regime}", *FEW]) == 0
    line = json.dumps(greatest(regime))
    for asked in (f"run#{json.loads(line)['id']}", line):
        capsys.readouterr()
        assert replay(asked) == 1
        said = capsys.readouterr().out
        assert "rows that showed the fault; the row alone has other outputs" in said
        assert "the recorded bits" in said
        assert "not sound: " in said
        assert "is above 1.0" in said
    right()
    assert replay(line) == 0


def test_rows_of_more_than_a_thousand_entries_are_made_again_with_their_batch() -> None:
    long = ("--format=float32", "--length=1031", "--rows=5", "--in-process", "--out=run")
    assert cli.run(["run", wrong(MANY), "--regime=standard-normal", *long]) == 0
    (found,) = (w for w in witnesses() if "remade" in w)
    assert replay(f"run#{found['id']}") == 1
    right()
    assert replay(f"run#{found['id']}") == 0


@pytest.mark.parametrize("when", [MANY, BESIDE_A_LARGE_ONE])
def test_rows_of_a_file_keep_the_bits_of_a_part_of_their_batch(when: str) -> None:
    x = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    x[20] *= 100
    np.save("x.npy", x)
    assert cli.run(["run", wrong(when), "--input=x.npy", "--regime=input", *FEW]) == 0
    found = greatest("input")
    held = Witness.from_document(found).batch
    assert held is not None
    assert 1 < held.rows <= 40
    Path("x.npy").unlink()
    assert replay(json.dumps(found)) == 1
    right()
    assert replay(json.dumps(found)) == 0


def test_the_row_that_a_search_finds_keeps_its_batch() -> None:
    candidate = load(wrong(MANY))
    with InProcess() as executor:
        subject = Subject(candidate, FORMATS["float32"], FORMATS["float32"], executor)
        found = search(subject, 3, 600, 0, "ulp").witness
    assert found is not None
    assert found.batch is not None
    assert found.batch.rows == 4
    line = found.line()
    assert replay(line) == 1
    right()
    assert replay(line) == 0


@pytest.mark.parametrize("when", [MANY, BESIDE_A_LARGE_ONE])
def test_an_emitted_test_calls_the_row_among_others(when: str) -> None:
    x = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    x[20] *= 100
    np.save("x.npy", x)
    assert cli.run(["run", wrong(when), "--input=x.npy", "--regime=input", *FEW]) == 0
    assert replay(json.dumps(greatest("input")), "--emit-test=test_row.py") == 1
    text = Path("test_row.py").read_text()
    assert ("np.repeat" in text) == (when == MANY)
    emitted = [sys.executable, "test_row.py"]
    assert subprocess.run(emitted, capture_output=True, check=False).returncode == 1
    right()
    assert subprocess.run(emitted, capture_output=True, check=False).returncode == 0


def test_the_smallest_part_is_copies_before_neighbours_and_never_more_than_is_kept() -> None:
    x = np.arange(64, dtype=np.float32)[:, None] * np.ones(4, dtype=np.float32)
    whole = Part(x, 17)
    by_count = smallest_part(whole, lambda part: len(part.x) >= 5)
    assert by_count is not None
    assert by_count.is_of_copies
    assert len(by_count.x) == 8
    by_neighbour = smallest_part(whole, lambda part: bool((part.x == 12).any()))
    assert by_neighbour is not None
    assert len(by_neighbour.x) == 8
    assert by_neighbour.x[by_neighbour.row, 0] == 17
    wide = Part(np.zeros((9, MOST_KEPT // 2), dtype=np.float32), 8)
    sizes: list[int] = []
    smallest_part(wide, lambda part: bool(sizes.append(len(part.x))))  # type: ignore[func-returns-value]
    assert sizes == [2, 4, 8, 9, 2]


def test_a_batch_that_is_not_the_rows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", wrong(MANY), "--regime=standard-normal", *FEW]) == 0
    found = greatest("standard-normal")
    for batch in ({"rows": 1 << 25}, {"row": 9}, {"x_packed": "eJxjYGBgAAAABAAB"}, {"seed": -1}):
        assert replay(json.dumps({**found, "batch": {**found["batch"], **batch}})) == 2
        assert "witness: batch" in capsys.readouterr().err


def test_copies_are_told_by_their_bits() -> None:
    fmt = FORMATS["float32"]
    nan = fmt.from_bits(np.full((3, 2), 0x7FC00001, dtype=np.uint32))
    assert Part(nan, 1).is_of_copies
    assert not Part(np.array([[0.0], [-0.0]], dtype=np.float32), 0).is_of_copies
