"""A failing gate and a run with failed rows say why, first, in little time and at no cost to the verdict."""

import json
import threading
from pathlib import Path

import pytest

from harness import cli
from harness.commands import causes
from harness.terminal import deadline
from tests.gating import briefly

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

CANDIDATES = """
import os
import time
import numpy as np

def without_the_tail(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    whole = x.shape[-1] // 4 * 4 or x.shape[-1]
    return e / e[..., :whole].sum(axis=-1, keepdims=True)

def asked_in_pairs_of_far_entries(x):
    return x.shape[-1] == 2 and (x == -208).any()

def hangs_when_opened(x):
    if asked_in_pairs_of_far_entries(x):
        time.sleep(600)
    return without_the_tail(x)

def dies_when_opened(x):
    if asked_in_pairs_of_far_entries(x):
        os._exit(3)
    return without_the_tail(x)

def sound(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
"""

CAUSE = "sum.omits: left out of the sum: the last n mod 4 entries; accounts for "


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("SOFTMAX_HARNESS_NO_EXPLAIN")
    (tmp_path / "mine.py").write_text(CANDIDATES)
    monkeypatch.chdir(tmp_path)
    briefly(monkeypatch, 5)
    return tmp_path


def gated(capsys, name, *options):
    asked = ["gate", f"mine.py:{name}", "--tier=fast", "--format=float32", "--out=run", "--jobs=1", *options]
    code = cli.run(asked)
    return code, capsys.readouterr().out


def test_the_first_line_of_a_failing_gate_says_why(capsys):
    code, told = gated(capsys, "without_the_tail")
    assert code == 1
    assert told.startswith(f"cause: mine.py:without_the_tail, float32: {CAUSE}"), told
    assert cli.run(["report", "run"]) == 0
    assert capsys.readouterr().out.startswith("cause: mine.py:without_the_tail, float32: sum.omits")


def test_a_json_document_of_a_gate_has_the_cause(capsys):
    code, told = gated(capsys, "without_the_tail", "--json")
    [found] = json.loads(told)["causes"]
    assert code == 1
    assert (found["candidate"], found["format"]) == ("mine.py:without_the_tail", "float32")
    assert found["cause"]["code"] == "sum.omits"
    assert found["line"].startswith(CAUSE)


def test_no_cause_is_asked_for_where_it_is_left_out_or_nothing_fails(capsys, monkeypatch):
    monkeypatch.setattr(causes, "_explained", None)
    assert gated(capsys, "sound")[0] == 0
    code, told = gated(capsys, "without_the_tail", "--no-explain", "--overwrite")
    assert code == 1
    assert "cause" not in told


@pytest.mark.parametrize("name", ["hangs_when_opened", "dies_when_opened"])
def test_a_candidate_that_cannot_be_opened_costs_no_verdict_and_little_time(capsys, monkeypatch, name):
    for name_of, seconds in (("SECONDS", 1.5), ("LEAST", 1.0), ("GRACE", 0.5)):
        monkeypatch.setattr(causes, name_of, seconds)
    monkeypatch.setattr(deadline, "GRACE", 0.5)
    code, told = gated(capsys, name)
    assert code == 1
    first, *rest = told.splitlines()
    assert first.startswith(f"cause: mine.py:{name}, float32: "), told
    assert rest[0].startswith("gate: fail"), told


def test_an_error_in_the_explanation_costs_no_verdict(capsys, monkeypatch):
    def breaks(*_, **__):
        raise ZeroDivisionError("of its own")

    monkeypatch.setattr("harness.explanation.explanation_of", breaks)
    code, told = gated(capsys, "without_the_tail")
    assert code == 1
    assert told.startswith(
        "cause: mine.py:without_the_tail, float32: not found: ZeroDivisionError: of its own"
    )


def test_a_run_with_failed_rows_says_why_first_and_leaves_its_summary_as_it_is(capsys):
    asked = [
        "run",
        "mine.py:without_the_tail",
        "--format=float32",
        "--length=5",
        "--regime=standard-normal",
        "--effort=brief",
        "--jobs=1",
    ]
    assert cli.run([*asked, "--out=with"]) == 0
    assert capsys.readouterr().out.startswith(f"cause: mine.py:without_the_tail, float32: {CAUSE}")
    assert cli.run([*asked, "--out=without", "--no-explain"]) == 0
    assert "cause" not in capsys.readouterr().out
    summaries = [json.loads(Path(run, "summary.json").read_text()) for run in ("with", "without")]
    for summary in summaries:
        del summary["environment"], summary["timing"]
    assert summaries[0] == summaries[1]
    assert cli.run(["report", "with", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["cells"]
    assert CAUSE in told.err


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupt_meanwhile_ends_a_run_which_resumed_asks_again(capsys):
    asked = ["run", "mine.py:without_the_tail", "--format=float32", "--length=5", "--regime=standard-normal"]
    asked += ["--effort=brief", "--jobs=1", "--out=run"]
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(causes, "_explained", interrupt)
        assert cli.run(asked) == 130
    assert "all is measured and kept in run" in capsys.readouterr().err
    assert cli.run([*asked, "--resume"]) == 0
    assert capsys.readouterr().out.startswith(f"cause: mine.py:without_the_tail, float32: {CAUSE}")


def test_a_run_that_had_no_time_to_ask_does_so_when_resumed(capsys):
    asked = ["run", "mine.py:without_the_tail", "--format=float32", "--length=5", "--regime=standard-normal"]
    asked += ["--effort=brief", "--jobs=1", "--out=run"]
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(causes, "LEAST", 1e9)
        assert cli.run(asked) == 0
    assert "not asked for, as there was no time" in capsys.readouterr().out
    assert cli.run([*asked, "--resume"]) == 0
    assert capsys.readouterr().out.startswith(f"cause: mine.py:without_the_tail, float32: {CAUSE}")


def test_an_interrupt_meanwhile_costs_a_gate_no_verdict(capsys, monkeypatch):
    monkeypatch.setattr(causes, "_explained", interrupt)
    code, told = gated(capsys, "without_the_tail")
    assert code == 1
    first, second, *_ = told.splitlines()
    assert first == "cause: mine.py:without_the_tail, float32: not found: interrupted"
    assert second.startswith("gate: fail")


TWO_FORMATS = ("--format=float32", "--format=float64", "--length=5", "--regime=standard-normal")


def test_causes_found_side_by_side_are_those_found_one_by_one(capsys):
    found = {}
    for jobs in (1, 2):
        asked = ["run", "mine.py:without_the_tail", *TWO_FORMATS, "--effort=brief", f"--jobs={jobs}"]
        assert cli.run([*asked, f"--out=by-{jobs}"]) == 0
        found[jobs] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cause: ")]
    assert found[1] == found[2]
    assert [line.split(": ")[1] for line in found[1]] == [
        "mine.py:without_the_tail, float32",
        "mine.py:without_the_tail, float64",
    ]
    assert all(CAUSE in line for line in found[1])


def test_an_interrupt_ends_the_calls_of_all_whose_causes_are_asked_for(capsys, monkeypatch):
    asking = []

    def interrupted_meanwhile(future):
        with pytest.raises(TimeoutError):
            future.result(timeout=1)
        asking.extend(thread for thread in threading.enumerate() if thread.name.startswith("cause"))
        raise KeyboardInterrupt

    monkeypatch.setattr(causes, "awaited", interrupted_meanwhile)
    monkeypatch.setattr(causes, "SECONDS", 600.0)
    monkeypatch.setattr(deadline, "GRACE", 600.0)
    asked = ["run", "mine.py:hangs_when_opened", *TWO_FORMATS, "--effort=brief", "--jobs=2", "--out=run"]
    assert cli.run(asked) == 130
    assert "all is measured and kept in run" in capsys.readouterr().err
    assert len(asking) == 2
    for thread in asking:
        thread.join(30)
        assert not thread.is_alive()


TIED = ("--format=float16", "--regime=tied", "--rows=2", "--effort=brief", "--jobs=1", "--out=long")


def test_of_sums_of_too_many_terms_the_run_itself_knows_the_cause(capsys, monkeypatch):
    monkeypatch.setattr(causes, "_explained", None)
    assert cli.run(["run", "max_shifted", *TIED, "--length=2", "--length=70001"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("cause: max_shifted, float16: every failed row overflows"), first
    assert "may exceed 65,504, the largest float16 number" in first
    assert first.endswith("none of 2 shorter rows failed")


LONG_ROWS = """
import numpy as np

def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    with np.errstate(all="ignore"):
        return e / e.sum(axis=-1, keepdims=True)

def nan_in_long_rows(x):
    return softmax(x.astype(np.float32)).astype(x.dtype) * (np.nan if x.shape[1] > 65535 else 1)

def raises_at_three(x):
    if x.shape[1] == 3:
        raise ValueError("three")
    return softmax(x)

raises_at_three.declares = {"algorithm": {"argument": "shifted", "exp_ulps": 4, "summation": "pairwise"}}
"""


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("naive", (2, 70001)),
        ("long.py:nan_in_long_rows", (2, 70001)),
        ("long.py:raises_at_three", (2, 3, 70001)),
    ],
)
def test_where_more_may_be_wrong_than_the_number_of_terms_the_cause_is_asked_for(monkeypatch, name, lengths):
    """Shorter rows fail too, or no algorithm is declared, or rows gave nothing."""
    asked_for = []

    def explained(one, *_):
        asked_for.append(one)
        return {**one.document(), "line": ""}

    monkeypatch.setattr(causes, "_explained", explained)
    Path("long.py").write_text(LONG_ROWS)
    more = ["--regime=sum-overflow", *(f"--length={n}" for n in lengths)]
    assert cli.run(["run", name, *TIED, *more]) == 0
    assert [(one.candidate, one.format) for one in asked_for] == [(name, "float16")]
