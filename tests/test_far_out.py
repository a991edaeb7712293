"""A gate that fails at logits far out alone says so, says why, and names the range to ask about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.campaign.settings import Effort
from harness.gate import decision, gate_campaign
from harness.gate.far_out import far_out
from harness.subject.candidates import Candidate
from reference.formats import FORMATS
from reference.ops import op_named
from reports.common import in_common
from reports.record.verdicts import Verdict
from reports.record.witness import CellKey, Witness
from tests.gating import gate

SCALED = """
import numpy as np

def before(x):
    z = x * x.dtype.type(0.3)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

before.declares = {"scale": 0.3}
"""


def said_of(row: list[float], op: str = "softmax", fmt: str = "float32") -> str:
    """Return what is said of a witness with this row."""
    x = np.array(row, FORMATS[fmt].dtype)
    bits = x.astype(x.dtype.newbyteorder(">")).tobytes().hex()
    cell = CellKey("f", op, fmt, fmt, "close-together", len(row))
    return far_out(
        Witness(cell, "lost", 0.0, bits, "", None, "a test"), Candidate("f", "f", max, op=op_named(op))
    )


@pytest.mark.parametrize(
    ("row", "op", "fmt", "rounds"),
    [
        ([3016830720.0, 3016830464.0], "softmax(scale=0.3)", "float32", "multiples of 32"),
        ([-(2.0**28), -np.inf], "logsumexp(scale=1.5)", "float32", "multiples of 32"),
        ([2.0**57, np.nan], "log_softmax(scale=-2.0)", "float64", "multiples of 32"),
        ([3016830720.0, 3016830464.0], "softmax", "float32", "2 or more apart"),
        ([2.0**24, 0.0], "softmax(scale=0.3)", "float32", "2 or more apart"),
    ],
)
def test_logits_far_out_are_said_to_be(row: list[float], op: str, fmt: str, rounds: str) -> None:
    said = said_of(row, op, fmt)
    assert rounds in said
    assert said.endswith("--range -1000,1000")
    assert ("Subtract the maximum before you scale" in said) is ("32" in rounds)


def test_the_roundings_are_those_of_the_format() -> None:
    """Neighbours at the borders that the sentences name."""
    for fmt, dtype in (("float32", np.float32), ("float64", np.float64)):
        precision = FORMATS[fmt].precision
        assert np.spacing(dtype(2.0 ** (precision + 4))) == 32
        assert np.spacing(dtype(2.0**precision)) == 2


@pytest.mark.parametrize(
    ("row", "op", "fmt"),
    [
        ([1000.0, -1000.0], "softmax(scale=0.3)", "float32"),
        ([2.0**24 - 1, -np.inf], "softmax", "float32"),
        ([1e30, 0.0], "softmax", "bfloat16"),  # whose ordinary logits are 2 and more apart as well
        ([2.0**20, 0.0], "softmax(scale=1e6)", "float32"),  # nor would the range keep its product small
    ],
)
def test_nothing_is_said_of_others(row: list[float], op: str, fmt: str) -> None:
    assert said_of(row, op, fmt) == ""


def test_one_ordinary_violation_is_enough_to_say_nothing() -> None:
    def verdict(far: str, status: Any = "over_budget") -> Verdict:
        return Verdict("f", "float32", "float32", "tied", 3, "tier", "meets", "fast", None, status, far=far)

    assert in_common([verdict("far out"), verdict("", "pass")]) == ["f in float32: far out"]
    assert in_common([verdict("far out"), verdict("")]) == []


@pytest.mark.slow
def test_a_scale_before_the_shift_is_named_and_passes_in_the_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scaled.py").write_text(SCALED)
    some = Effort("brief", (3,), elements=1 << 13, least_rows=512, most_rows=1 << 11, extent="brief")
    for module in (decision, gate_campaign):
        monkeypatch.setattr(module, "GATE", some)
    asked = ("scaled.py:before", "--tier", "standard", "--format", "float32")
    code, document = gate(capsys, *asked)
    assert code == 1
    assert "a scale before the shift loses the differences there" in document["in_common"][-1]
    code, document = gate(capsys, *asked, "--range", "-1000,1000", "--out", "within")
    assert (code, document["in_common"]) == (0, [])
