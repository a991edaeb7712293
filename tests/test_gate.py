"""The gate by tiers: what is right passes, what is broken fails with a witness that replays."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import scipy.special

import reference
from harness import cli
from harness.campaign.campaign import Campaign
from harness.campaign.settings import resolve
from harness.gate import decision, gate_campaign, of_tier
from harness.gate.assertion import failure
from harness.terminal.exceptions import Interrupted
from reports.record.ledger import Ledger
from tests.gated import suspects
from tests.gating import (
    SUSPECTS,
    briefly,
    budget,
    failing,
    gate,
    judge_at_few_lengths,
    of_each_metric,
    replayed,
    statuses,
)
from tests.longer import few_of, sample
from tests.modes import flushing, mode_flushes

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")


@pytest.fixture(autouse=True)
def few_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge functions at a short length and a long one; the whole gate is for commands."""
    judge_at_few_lengths(monkeypatch, *sample((127, 4096), (1, 2, 7, 127, 4096)))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def suspect(name: str) -> str:
    return f"{SUSPECTS}:{name}"


# What is right passes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("softmax", "fmt"),
    few_of(
        [
            (softmax, fmt)
            for softmax in (suspects.sound, scipy.special.softmax)
            for fmt in ("float16", "float32", "float64")
        ],
        3,
    ),
)
def test_the_form_of_numpy_and_scipy_passes_standard(softmax: Any, fmt: str) -> None:
    assert failure(softmax, fmt, "standard", 0, ()) == ""


@pytest.mark.parametrize("fmt", few_of(["float16", "bfloat16", "float32", "float64"], 2))
def test_pytorch_passes_standard(fmt: str) -> None:
    pytest.importorskip("torch")
    assert failure(suspects.of_pytorch, fmt, "standard", 0, ()) == ""


def test_a_sum_one_by_one_is_fast_and_not_standard() -> None:
    assert failure(suspects.summing_one_by_one, "float32", "fast", 0, ()) == ""
    assert "misses standard: " in failure(suspects.summing_one_by_one, "float32", "standard", 0, ())


@pytest.mark.slow
@pytest.mark.parametrize("fmt", ["float32", "float64"])
def test_they_pass_the_whole_gate(fmt: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (suspect("sound"), "scipy.special:softmax", "--format", fmt, "--tier", "standard")
    code, document = gate(capsys, *arguments)
    assert (code, failing(document)) == (0, [])


@pytest.mark.slow
def test_in_float16_overflow_is_excused_where_an_exact_sum_would_and_a_repeated_gate_sees_the_same_bits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("--format", "float16", "--tier", "standard")
    code, together = gate(capsys, suspect("sound"), "scipy.special:softmax", *arguments, "--out", "together")
    assert (code, failing(together)) == (0, [])
    excused = [v for v in together["verdicts"] if "excused" in v["message"]]
    assert {v["length"] for v in excused} >= {70_001}
    assert min(v["length"] for v in excused) > 65_504  # so many exponentials of 1 are Omega of float16
    assert all("overflow" in v["message"] for v in excused)
    alone = gate(capsys, suspect("sound"), *arguments, "--out", "alone")[1]
    assert alone["verdicts"] == [v for v in together["verdicts"] if v["candidate"].endswith(":sound")]


@pytest.mark.slow
def test_correct_rounding_passes_every_tier() -> None:
    for tier in ("rounded", "faithful", "wide", "standard", "fast"):
        assert failure(correctly_rounded_or_nan, "float8_e4m3fn", tier, 0, ()) == "", tier


def correctly_rounded_or_nan(x: Any) -> Any:
    exact = np.isfinite(x.max(axis=-1)) & ~np.isnan(x).any(axis=-1)
    y = np.full_like(x, np.nan)
    if exact.any():
        y[exact] = reference.correctly_rounded(x[exact])
    return y


def test_rounded_and_faithful_refuse_what_is_only_standard() -> None:
    for tier in ("rounded", "faithful"):
        assert f"misses {tier}: " in failure(suspects.sound, "float16", tier, 0, ())


def test_a_truncating_store_is_wide_no_more() -> None:
    assert failure(suspects.in_binary32_and_rounded, "bfloat16", "wide", 0, ()) == ""
    assert "misses wide" in failure(suspects.in_binary32_and_cut_off, "bfloat16", "wide", 0, ())


# What is broken fails even fast ------------------------------------------------------------

BROKEN = [
    ("without_the_shift", "float32"),
    ("skipping_the_last", "float32"),
    ("with_a_float16_accumulator", "float32"),
    ("stagnating_at_2048", "float16"),
    ("stagnating_at_2048", "float32"),
    ("flushing_subnormals", "float32"),
    ("flushing_subnormals", "float16"),
    ("ignoring_the_axis", "float32"),
    ("overwriting_its_input", "float32"),
    ("all_nan", "float16"),
    ("all_zero", "float16"),
    ("uniform", "float64"),
    ("negative_zeros", "float32"),
]


@pytest.mark.parametrize(("name", "fmt"), few_of(BROKEN, 2))
def test_a_broken_softmax_fails_fast(name: str, fmt: str) -> None:
    said = failure(getattr(suspects, name), fmt, "fast", 0, ())
    assert said.startswith("gate: fail"), said
    assert "x = " in said


@pytest.mark.parametrize(
    ("name", "fmt", "metric"),
    few_of(
        [
            ("without_the_shift", "float32", "tier"),
            ("skipping_the_last", "float32", "tier"),
            ("with_a_float16_accumulator", "float32", "tier"),
            ("flushing_subnormals", "float32", "tier"),
            ("ignoring_the_axis", "float32", "contract axis"),
            ("overwriting_its_input", "float32", "contract unchanged"),
        ],
        2,
    ),
)
def test_its_witness_replays(
    name: str, fmt: str, metric: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 7)
    code, document = gate(capsys, suspect(name), "--format", fmt, "--tier", "fast")
    assert code == 1
    assert all(v["status"] in ("over_budget", "defect") and v["replay"] for v in failing(document))
    each = of_each_metric(failing(document))
    assert metric in [v["metric"] for v in each]
    for verdict in each:
        assert replayed(verdict) == 1, verdict
        assert "the recorded bits" in capsys.readouterr().out
        assert replayed(verdict, "--candidate", suspect("sound")) == 0, verdict


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("fmt", ["float16", "float32", "float64"])
def test_the_whole_gate_refuses_them(fmt: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [suspect(name) for name, of in BROKEN if of == fmt]
    code, document = gate(capsys, *names, "--format", fmt, "--tier", "fast")
    assert code == 1
    assert all(v["status"] in ("over_budget", "defect") for v in failing(document))
    first = {verdict["candidate"]: verdict for verdict in reversed(failing(document))}
    assert len(first) == len(names)
    for verdict in first.values():
        assert replayed(verdict) == 1, verdict


@pytest.mark.slow
def test_the_whole_gate_has_rows_whose_largest_entry_is_at_a_block_s_edge(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Alone they show it, and a brief gate has none."""
    lossy = suspect("losing_an_entry_at_a_block_s_edge")
    code, document = gate(capsys, lossy, "--format", "bfloat16", "--tier", "fast")
    assert code == 1
    assert min(v["length"] for v in failing(document) if v["length"]) > 200
    assert replayed(failing(document)[0]) == 1


@pytest.mark.parametrize(
    ("softmax", "tier"),
    few_of(
        [
            (softmax, tier)
            for softmax in (suspects.all_nan, suspects.all_zero)
            for tier in ("rounded", "faithful", "standard")
        ],
        2,
    ),
)
def test_nan_and_zero_fail_every_tier(softmax: Any, tier: str) -> None:
    assert failure(softmax, "float16", tier, 0, ()).startswith("gate: fail")


def test_flushing_is_excused_by_policy_alone() -> None:
    flushing = suspects.flushing_subnormals
    assert failure(flushing, "float32", "standard", 0, ()).startswith("gate: fail")
    assert failure(flushing, "float32", "standard", 0, ("subnormals=flush",)) == ""


# Tries to pass wrongly ---------------------------------------------------------------------

TRIES = [
    ("remembering_by_shape", "float32", "wrong on other rows of a shape seen before"),
    ("right_at_first", "float32", "right until it has been called often enough"),
    ("mostly_nan", "float32", "NaN outputs leave no ULP error behind"),
    ("excusing_itself", "float32", "a declaration that explains every failure"),
    ("overclaiming", "float32", "an algorithm that it does not run"),
    ("telling_lies_of_its_policy", "float32", "a policy that it does not keep"),
    ("raising_on_long_rows", "float32", "rows that it refuses leave no figure behind"),
    ("right_on_the_first_call", "float32", "right as long as nothing is asked twice"),
    pytest.param("right_in_small_batches", "float32", "a test has few rows", marks=pytest.mark.slow),
    pytest.param("right_in_large_batches", "float32", "a test has many rows", marks=pytest.mark.slow),
    ("right_on_rows_that_look_made", "float32", "a test has zeros, ties and whole numbers"),
    ("right_on_rows_that_look_drawn", "float32", "a test draws normals"),
    ("wrong_on_a_row_of_64", "float32", "wrong now and then"),
    ("returning_the_same_buffer", "float32", "right until it is called again"),
    ("changing_what_it_returned", "float32", "right while it is looked at"),
    ("returning_a_promise", "float32", "an array that comes about when it is looked at"),
    ("returning_two_faces", "float32", "methods that answer other than the memory holds"),
    pytest.param("returning_a_masked_array", "float32", "what is wrong is masked", marks=pytest.mark.slow),
]


TRICKS = {
    "remembering_by_the_first_entry": {"over_budget", "defect"},
    "refusing_where_it_would_overflow": {"defect", "not_run"},
    "rewriting_what_it_was_given": {"over_budget", "defect"},
    "patching_numpy": {"over_budget", "defect"},
    "patching_its_caller": {"over_budget", "defect"},
    "printing_a_verdict": {"over_budget", "defect"},
    "returning_its_input": {"over_budget", "defect"},
    "returning_objects": {"defect"},
    "returning_a_scalar": {"defect"},
    "returning_one_number_everywhere": {"over_budget", "defect"},
    "returning_wider_numbers": {"defect"},
    "returning_nothing": {"defect"},
    "returning_a_liar": {"over_budget", "defect"},
    "returning_bytes": {"defect"},
    "wrong_beside_others": {"over_budget", "defect"},
    "wrong_after_a_thousand_rows": {"over_budget", "defect"},
    "rounding_upwards": {"over_budget"},
    "changing_what_is_known_of_floats": {"over_budget"},
    "patching_the_reference": {"over_budget", "defect"},
    "telling_its_parent_that_all_is_well": {"over_budget", "defect"},
    "writing_into_the_run": {"over_budget", "defect"},
}
"""What a candidate may do in its own process, and the statuses of which one at least must come of it."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dying_where_it_would_overflow", "interrupting"])
def test_dying_where_it_would_fail_does_not_pass(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 2)
    code, document = gate(capsys, suspect(name), "--format", "float32", "--tier", "fast")
    assert code == 1
    assert "crashed" in statuses(document)


@pytest.mark.parametrize(
    "names", few_of([pytest.param(tuple(TRICKS)[i::5]) for i in range(5)], 1), ids=", ".join
)
def test_no_trick_in_its_own_process_passes(
    names: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 7)
    code, document = gate(capsys, *map(suspect, names), "--format", "float32", "--tier", "fast")
    assert code == 1
    found: dict[str, set[str]] = {name: set() for name in names}
    for verdict in failing(document):
        found[verdict["candidate"].rpartition(":")[2]].add(verdict["status"])
    for name in names:
        assert found[name] & TRICKS[name], (name, found[name])


def test_a_candidate_that_removes_the_run_does_not_pass(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 2)
    code = cli.run(["gate", suspect("removing_the_run"), "--format", "float32", "--tier", "fast"])
    assert code in (1, 3)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", few_of(["forging_the_ledger", "emptying_the_ledger"], 1))
def test_a_ledger_that_somebody_wrote_to_gives_no_verdict(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 7)
    code = cli.run(["gate", suspect(name), "--format", "float32", "--tier", "fast"])
    said = capsys.readouterr().err
    assert code == 3
    assert "run.sqlite" in said
    assert "Traceback" not in said


def test_a_file_that_changes_its_budget_when_imported_is_judged_by_the_one_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 2)
    Path("my.py").write_text(
        "import pathlib\nfile = pathlib.Path('budgets.toml')\n"
        "file.write_text(file.read_text().replace('limit = 1.0', 'limit = 1e9'))\n"
        "def softmax(x):\n    return x * 0 + x.dtype.type(1 / x.shape[-1])\n"
    )
    Path("budgets.toml").write_text(budget(candidate="my.py:softmax"))
    code, document = gate(capsys, "--budgets", "budgets.toml")
    assert "1e9" in Path("budgets.toml").read_text()
    assert code == 1
    assert {v["limit"] for v in failing(document) if v["metric"] == "bound_ratio"} == {1.0}


@pytest.mark.parametrize(("name", "fmt", "why"), few_of(TRIES, 3))
def test_no_trick_passes(name: str, fmt: str, why: str) -> None:
    said = failure(getattr(suspects, name), fmt, "fast", 0, ())
    assert said.startswith("gate: fail"), why


@pytest.mark.skipif(platform.machine() != "x86_64", reason="writes x86's control word")
def test_flushing_by_the_processor_s_mode_is_found_though_the_judge_shares_the_process() -> None:
    """As where somebody said torch.set_flush_denormal(True); `sound` passes in the default mode."""
    with flushing():
        said = failure(suspects.sound, "float64", "standard", 0, ())
        assert mode_flushes(), "the mode is given back"
    assert said.startswith("gate: fail")
    assert "result-underflow" in said


@pytest.mark.slow
def test_wrong_where_the_sum_may_overflow_is_not_excused(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = gate(capsys, suspect("wrong_where_no_bound_is"), "--format", "float16", "--tier", "fast")
    assert code == 1
    assert min(v["length"] for v in failing(document)) >= 60_000
    assert 70_001 in {v["length"] for v in failing(document)}


@pytest.mark.slow
def test_a_candidate_that_dies_or_hangs_has_its_own_status(capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"dying": "crashed", "leaving": "crashed", "exiting": "defect", "hanging": "timed_out"}
    arguments = ("--format", "float16", "--tier", "fast", "--timeout", "0.2")
    code, document = gate(capsys, *map(suspect, expected), *arguments)
    assert code == 1
    assert "pass" not in statuses(document)
    for name, status in expected.items():
        own = {v["status"] for v in document["verdicts"] if v["candidate"].endswith(f":{name}")}
        assert status in own, (name, own)


def test_a_candidate_that_takes_no_format_gives_no_verdict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 7)
    code, document = gate(
        capsys, suspect("taking_nothing"), "--format", "float16", "--tier", "fast", "--seed", "7"
    )
    assert document["seed"] == 7
    assert set(document) == {
        "schema_version",
        "outcome",
        "causes",
        "exit_code",
        "seed",
        "run",
        "policies",
        "in_common",
        "verdicts",
    }
    assert code == 3
    assert statuses(document) == {"not_run"}


def test_neither_a_good_candidate_nor_a_job_summary_that_cannot_be_written_hides_a_bad_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 7)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "no/such/folder/step.md")
    asked = ["gate", suspect("sound"), "--format", "float16", "--tier", "fast", "--jobs", "1"]
    assert cli.run(asked) == 0
    assert (
        "no job summary: GITHUB_STEP_SUMMARY no/such/folder/step.md: No such file" in capsys.readouterr().err
    )
    assert cli.run([*asked, suspect("all_zero")]) == 1
    assert cli.run([*asked, suspect("taking_nothing")]) == 3


# Where people look -------------------------------------------------------------------------


def test_junit_markdown_and_annotations_say_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 7, 33)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    code = cli.run(
        ["gate", suspect("printing_a_verdict"), "--format", "float16", "--tier", "fast", "--out", "run"]
    )
    out = capsys.readouterr().out
    assert code == 1
    annotations = [line for line in out.splitlines() if line.startswith(("::error", "::warning"))]
    [annotation] = annotations
    line = 1 + SUSPECTS.read_text().splitlines().index("def printing_a_verdict(x):")
    assert annotation.startswith(f"::error file={SUSPECTS},line={line},title=")
    assert "the gravest of" in annotation
    assert "python -m harness replay run#" in annotation
    suites = ET.parse("run/junit.xml").getroot()  # noqa: S314 - our own file
    assert int(suites.get("failures", "0")) == len(suites.findall(".//failure")) > 100
    assert suites.findall(".//error") == []
    text = (tmp_path / "step.md").read_text()
    assert text.startswith("**gate: fail")
    assert len(text.encode()) < 1 << 20
    assert (tmp_path / "run" / "report.html").read_text().count("over budget") > 0


def test_of_many_candidates_what_is_judged_alone_is_kept_in_memory_and_the_verdicts_are_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 7)
    arguments = (suspect("skipping_the_last"), "--format", "float16", "--tier", "fast", "--out")
    whole = gate(capsys, *arguments, "whole")[1]
    monkeypatch.setattr(gate_campaign, "KEPT_WHOLE", 0)
    part = gate(capsys, *arguments, "part")[1]
    assert [{**v, "replay": ""} for v in part["verdicts"]] == [{**v, "replay": ""} for v in whole["verdicts"]]
    assert Path("part/cells.csv").read_bytes() == Path("whole/cells.csv").read_bytes()


def test_an_interrupt_is_no_verdict_and_leaves_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(plan: Any, ledger: Any, executor: Any, *_: Any) -> None:
        shard = next(iter(plan.shards()))
        ledger.record(shard.id, Campaign(plan).measure(shard, executor).tallies, 0.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(decision, "measure_gated", measured)
    settings = resolve({"candidates": ["max_shifted"], "formats": ["float8_e5m2"]})
    budgets = of_tier("fast", ["max_shifted"], ["float8_e5m2"], None)
    with pytest.raises(Interrupted, match=r"no verdict; what was measured lies in .* draws it"):
        decision.decide(settings, budgets, tmp_path / "run")
    with Ledger.open(tmp_path / "run" / "run.sqlite") as ledger:
        assert len(ledger.finished()) == 1
