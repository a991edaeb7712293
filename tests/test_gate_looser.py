"""Who misses the tier asked for is told the tightest looser one that the same rows meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gating import briefly, failing, gate

WRONG = """
import numpy as np

def softmax(x):
    with np.errstate(all="ignore"):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) * np.float32(1.5)
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    briefly(monkeypatch, 2, 17, 65)


def told(text: str, tier: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    Path("mine.py").write_text(text)
    code, document = gate(capsys, "mine.py:softmax", "--format=float32", f"--tier={tier}")
    assert code == 1
    assert failing(document)
    return [line for line in document["in_common"] if " on the same rows " in line]


def test_a_sound_kernel_that_is_not_faithful_is_told_what_it_meets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line,) = told(WRONG.replace("1.5", "1"), "faithful", capsys)
    assert line.startswith(
        "mine.py:softmax: misses faithful in float32, and meets standard on the same rows ("
    )


def test_who_meets_none_is_told_of_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(WRONG, "standard", capsys) == []
