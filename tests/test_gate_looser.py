"""Who misses the tier asked for is told the tightest looser one that the same rows meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gating import briefly, failing, gate

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

WRONG = """
import numpy as np

def softmax(x):
    with np.errstate(all="ignore"):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) * np.float32(1.5)
"""

RESCALING = """
import numpy as np

LOG2E = np.float32(1.4426950408889634)

def softmax(x):
    with np.errstate(all="ignore"):
        top, total = np.full(x.shape[:-1], -np.inf, x.dtype), np.zeros(x.shape[:-1], x.dtype)
        for entry in np.moveaxis(x, -1, 0):
            higher = np.maximum(top, entry)
            kept = np.where(top == -np.inf, np.float32(0), total * np.exp2((top - higher) * LOG2E))
            total = kept + np.where(entry == -np.inf, np.float32(0), np.exp2((entry - higher) * LOG2E))
            top = higher
        e = np.exp2((x - top[..., None]) * LOG2E)
        return e / total[..., None]
"""
"""As attention kernels have it: one pass, a running maximum, exp2."""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    briefly(monkeypatch, 65)


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


@pytest.mark.slow
def test_a_rescaling_online_kernel_is_told_that_it_is_fast(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = told(RESCALING, "standard", capsys)
    assert line.startswith("mine.py:softmax: misses standard in float32, and meets fast on the same rows (")


def test_who_meets_none_is_told_of_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(WRONG, "standard", capsys) == []
