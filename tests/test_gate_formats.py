"""The gate of candidates that do not take every format: what they do not take is told, and fails nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from harness import cli
from harness.gate.assertion import failure
from reports.record.ledger import Ledger
from tests.gating import briefly, gate, gate_of_a_module, judge_at_few_lengths, statuses, written
from tests.gating import budget as toml
from tests.longer import few_of

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

SOFTMAX = """
import numpy as np

def {name}(x):
    {first}
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
"""
CANDIDATES = "\n".join(
    [
        SOFTMAX.format(name="declaring", first="pass"),
        "declaring.formats = ['float32']",
        SOFTMAX.format(name="refusing", first="if x.dtype != np.float32: raise TypeError('float32 alone')"),
        SOFTMAX.format(name="wide", first="pass"),
        "wide.formats = ['float64']",
        SOFTMAX.format(name="odd", first="pass"),
        "odd.formats = ['bfloat16']",
        SOFTMAX.format(name="wrong", first="x = x * np.float32(1.5)"),
        "wrong.formats = ['float32']",
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    (folder / "mine.py").write_text(CANDIDATES)
    return folder


@pytest.fixture(scope="module")
def of_one_format(folder: Path) -> dict[str, tuple[int, dict[str, Any]]]:
    """What the gate says, by name, of kernels that take float32 alone; the runs are of the same names."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        briefly(monkeypatch, 5)
        return {
            name: gate_of_a_module(f"mine.py:{name}", "--tier=standard", f"--out={name}")
            for name in ("declaring", "refusing")
        }


@pytest.fixture(autouse=True)
def in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    briefly(monkeypatch, 5)


def by_status(verdicts: list[dict[str, Any]], status: str) -> list[tuple[str, str]]:
    return [(v["candidate"], v["format"]) for v in verdicts if v["status"] == status]


@pytest.mark.parametrize(
    ("name", "why"), [("declaring", "it declares float32"), ("refusing", "TypeError: float32 alone")]
)
def test_a_kernel_of_one_format_passes_where_none_is_named(
    name: str, why: str, of_one_format: dict[str, tuple[int, dict[str, Any]]]
) -> None:
    spec = f"mine.py:{name}"
    code, document = of_one_format[name]
    assert code == 0
    assert document["outcome"] == "pass"
    assert by_status(document["verdicts"], "unsupported") == [(spec, "float16"), (spec, "float64")]
    assert all(why in v["message"] for v in document["verdicts"] if v["status"] == "unsupported")
    assert {v["format"] for v in document["verdicts"] if v["status"] == "pass"} == {"float32"}


@pytest.mark.parametrize("name", ["declaring", "refusing"])
@pytest.mark.usefixtures("of_one_format")
def test_the_ledger_holds_them_as_a_run_does(name: str) -> None:
    cells = json.loads(Path(name, "summary.json").read_text())["cells"]
    assert {c["status"] for c in cells if c["format"] != "float32"} == {"unsupported"}


@pytest.mark.usefixtures("of_one_format")
def test_a_baseline_that_had_the_same_formats_is_no_reason_to_stop(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, document = gate(capsys, "mine.py:declaring", "--tier=standard", "--baseline=declaring")
    assert (code, statuses(document)) == (0, {"pass", "unsupported"})


def test_each_of_many_is_judged_in_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.run(["gate", "mine.py:declaring", "mine.py:wide", "--tier=standard", "--out=many", "--jobs=1"])
    out = capsys.readouterr().out
    assert code == 0
    for line in ("declaring, float16", "declaring, float64", "wide, float16", "wide, float32"):
        assert f"unsupported  mine.py:{line}: does not take " in out
    suites = {s.get("name"): s for s in ET.parse("many/junit.xml").getroot()}  # noqa: S314
    counts = suites["mine.py:wide float16"]
    assert (counts.get("tests"), counts.get("errors"), counts.get("skipped")) == ("1", "0", "1")
    assert suites["mine.py:wide float16"].find("testcase/skipped") is not None
    assert "does not take float16" in Path("many/gate.md").read_text()


def test_a_violation_is_not_buried_among_what_is_not_taken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code = cli.run(["gate", "mine.py:wrong", "--tier=standard", "--jobs=1"])
    out = capsys.readouterr().out
    assert code == 1
    annotations = [line for line in out.splitlines() if line.startswith("::")]
    assert annotations
    assert all("float16" not in line and "float64" not in line for line in annotations)


@pytest.mark.parametrize("more", few_of([pytest.param(("mine.py:declaring",)), pytest.param(())], 1))
def test_whoever_takes_none_of_the_formats_leaves_the_gate_without_a_verdict(
    more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["gate", "mine.py:odd", *more, "--tier=fast", f"--out=odd{len(more)}", "--jobs=1"]) == 3
    with Ledger.open(Path(f"odd{len(more)}", "run.sqlite")) as ledger:
        not_run = by_status(ledger.get("verdicts"), "not_run")
    assert not_run == [("mine.py:odd", f) for f in ("float16", "float32", "float64")]
    said = capsys.readouterr().out
    assert (
        "no verdict  mine.py:odd, float16: does not take float16; it declares bfloat16;"
        " it takes none of the formats gated: give --format with one that it takes" in said
    )


def test_a_budget_of_the_file_is_judged_or_the_gate_has_no_verdict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Who writes a budget for a format wants it judged: a kernel that refuses it now does not pass."""
    mine = {"candidate": "mine.py:refusing", "metric": "bound_ratio", "limit": 1.0}
    written(toml(**mine, format="float32"))
    code, document = gate(capsys, "--budgets=budgets.toml")
    assert (code, {v["format"] for v in document["verdicts"]}) == (0, {"float32"})
    written(toml(**mine, format="float32"), toml(**mine, format="float16"))
    code, document = gate(capsys, "--budgets=budgets.toml")
    assert (code, statuses(document)) == (3, {"pass", "not_run"})
    (missing,) = (v for v in document["verdicts"] if v["status"] == "not_run")
    assert "budget[1] is about it: take it out" in missing["message"]


def test_a_unit_test_says_in_one_line_that_a_format_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    judge_at_few_lengths(monkeypatch, 5)

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))

    softmax.formats = ["float64"]  # type: ignore[attr-defined]
    said = failure(softmax, "float32", "standard", 0, ())
    assert said.splitlines()[0].startswith("gate: no verdict (1 not run)")
    assert "does not take float32; it declares float64" in said
    assert failure(softmax, "float64", "standard", 0, ()) == ""
