"""Fused kernels by the commands that a user types: declared, handed their settings, judged, replayed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from longer import few_of

from harness import cli, testing
from harness.subject.candidates import CandidateError, from_function, load
from harness.subject.candidates.fusing import garbled
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from harness.witnesses.recipes import _exact
from reference.formats import FORMATS
from reference.fused import Fused
from reference.ops import LOGSUMEXP, SOFTMAX, op_named
from tests.gated import fused as kernels
from tests.gating import briefly, failing, gate, replayed

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

FLOAT32 = FORMATS["float32"]
KERNELS = Path(kernels.__file__)
HONEST = ("all_at_once", "scaled_before", "scaled_after", "with_sink", "masked")
DEFECTS = (
    "garbage_in_the_maximum",
    "scaled_twice",
    "sink_among_the_outputs",
    "maximum_pinned_at_zero",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOFTMAX_HARNESS_NO_EXPLAIN", "1")
    briefly(monkeypatch, 9)


def declaring(function: Callable[..., Any], **declares: Any) -> Callable[..., Any]:
    function.declares = declares  # type: ignore[attr-defined]
    return function


# What is declared and handed over -----------------------------------------------------------


def test_the_op_of_a_candidate_has_the_settings_that_it_declares() -> None:
    candidate = load(f"{KERNELS}:all_at_once")
    assert candidate.op is op_named("softmax(scale=0.125, sink=-1.5, mask)")
    assert candidate.op.fused == Fused(0.125, -1.5, mask=True)
    assert load(f"{KERNELS}:scaled_after").op.fused == Fused(kernels.ROOT)
    assert load(f"{KERNELS}:with_sink", op=LOGSUMEXP).op is op_named("logsumexp(sink=0.0)")


@pytest.mark.parametrize(
    ("declares", "said"),
    [
        ({"scale": 0}, "scale 0.0: it is a number from 2^-100 to 2^100"),
        ({"scale": float("nan")}, "scale nan: it is a number"),
        ({"scale": True}, "scale True: it is a number that float64 holds exactly"),
        ({"scale": 2**53 + 1}, "scale 9007199254740993: it is a number that float64 holds exactly"),
        ({"sink": "0"}, "sink '0': it is a number"),
        ({"sink": float("inf")}, "sink inf: it is a finite number"),
        ({"mask": 3}, "mask 3: it is the name of a parameter, or True"),
        ({"mask": "hidden"}, "mask 'hidden': the function has no parameter of that name; it has x"),
        ({"scal": 2.0}, "declares 'scal': did you mean 'scale'"),
    ],
)
def test_what_is_no_setting_is_refused_in_one_line(declares: dict[str, Any], said: str) -> None:
    def softmax(x: Any) -> Any:
        return x

    with pytest.raises(CandidateError) as refusal:
        from_function(declaring(softmax, **declares))
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_settings_are_passed_by_name_and_garbage_stands_at_masked_places() -> None:
    seen: dict[str, Any] = {}

    def softmax(x: Any, scale: float, sink: float, hidden: Any) -> Any:
        seen.update(x=x.copy(), scale=scale, sink=sink, mask=hidden)
        return np.zeros_like(x)

    candidate = from_function(declaring(softmax, scale=0.5, sink=2, mask="hidden"))
    x = np.array([[-np.inf, 1, -np.inf, 2, -np.inf, -np.inf, -np.inf]] * 8, dtype=np.float32)
    x[:, 1] += np.arange(8)
    with InProcess(load=lambda _: candidate) as executor:
        subject = Subject(candidate, FLOAT32, FLOAT32, executor)
        assert subject.run(x).completed.all()
    assert (seen["scale"], seen["sink"]) == (0.5, 2)
    counts = x != -np.inf
    assert np.array_equal(seen["mask"], counts)
    assert np.array_equal(seen["x"][counts], x[counts])
    found = seen["x"][~counts]
    for kind in (np.isnan, np.isposinf, lambda v: v == np.finfo(np.float32).max, lambda v: v == 1):
        assert kind(found).any()
    assert not np.isneginf(found).any()


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "float8_e5m2"])
def test_a_row_has_the_same_garbage_alone_in_a_batch_and_along_any_axis(name: str) -> None:
    fmt, rng = FORMATS[name], np.random.default_rng(1)
    values = np.where(rng.random((9, 6)) < 0.5, -np.inf, rng.standard_normal((9, 6)))
    x = fmt.from_float64(values)
    whole, mask = garbled(x)
    assert np.array_equal(mask, values > -np.inf)
    for row in range(9):
        assert garbled(x[row])[0].tobytes() == whole[row].tobytes()
    turned, _ = garbled(np.ascontiguousarray(x.T), axis=0)
    assert np.ascontiguousarray(turned.T).tobytes() == whole.tobytes()


def test_a_kernel_that_writes_beside_its_rows_or_into_them_is_seen_though_it_has_a_copy() -> None:
    def beside(x: Any, mask: Any) -> Any:
        np.lib.stride_tricks.as_strided(x, (x.size + 1,), (x.itemsize,), writeable=True)[-1] = 7
        return np.zeros_like(x)

    def into(x: Any, mask: Any) -> Any:
        x[...] = np.where(mask, x, 0)
        return np.zeros_like(x)

    x = np.array([[0.0, -np.inf]], dtype=np.float32)
    for function, presentation in ((beside, "plain"), (into, "watched")):
        candidate = from_function(declaring(function, mask=True))
        with InProcess(load=lambda _, found=candidate: found) as executor:
            outcome = Subject(candidate, FLOAT32, FLOAT32, executor).run(x, presentation)
        if function is into:
            assert outcome.overwritten is not None
            assert outcome.overwritten.all()
        else:
            assert "wrote to memory beside the rows" in outcome.faults[0].message


def test_a_mask_wants_a_format_with_an_infinity(capsys: pytest.CaptureFixture[str], here: None) -> None:
    assert cli.run(["search", f"{KERNELS}:masked", "--format", "float8_e4m3fn", "--evals", "10"]) == 2
    assert "it has a mask, and float8_e4m3fn no infinity" in capsys.readouterr().err


# Judged --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", few_of(HONEST, 1))
def test_an_honest_kernel_meets_standard(name: str, here: None, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (f"{KERNELS}:{name}", "--tier", "standard", "--format", "float32", "--jobs", "1")
    code, document = gate(capsys, *arguments)
    assert code == 0, failing(document)


@pytest.mark.parametrize("name", few_of(DEFECTS, 1))
def test_a_defect_fails_with_a_small_row_that_replays(
    name: str, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (f"{KERNELS}:{name}", "--tier", "standard", "--format", "float32", "--jobs", "1")
    code, document = gate(capsys, *arguments, "--out", "found")
    assert code == 1
    lines = [json.loads(line) for line in Path("found/witnesses.jsonl").read_text().splitlines()]
    assert {line["op"] for line in lines} == {str(load(f"{KERNELS}:{name}").op)}
    verdict = next(v for v in failing(document) if v.get("replay"))
    assert replayed(verdict) == 1
    said = capsys.readouterr().out
    assert "exact" in said
    small = {line["id"]: line for line in lines}[verdict["replay"].partition("#")[2].split()[0]]
    assert len(small["x"]) // FLOAT32.hex_digits <= 3, small


def test_a_witness_keeps_its_settings_and_is_not_put_to_a_kernel_of_others(
    here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.run(["search", f"{KERNELS}:with_sink", "--length", "2", "--evals", "300", "--json"])
    witness = json.loads(capsys.readouterr().out)["witness"]
    assert (code, witness["op"]) == (0, "softmax(sink=0.0)")
    assert cli.run(["replay", json.dumps(witness), "--candidate", f"{KERNELS}:with_sink"]) == 0
    capsys.readouterr()
    assert cli.run(["replay", json.dumps(witness), "--candidate", f"{KERNELS}:scaled_before"]) == 2
    said = capsys.readouterr().err
    assert "it declares scale=0.0883" in said
    assert "softmax(sink=0.0)" in said


def test_pairs_of_8_bits_are_exhausted_with_settings(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["exhaust", f"{KERNELS}:with_sink", "--format", "float8_e5m2", "--length", "2"]
    assert cli.run([*arguments, "--out", "proof"]) == 0
    capsys.readouterr()
    assert cli.run([*arguments, "--through-shift"]) == 2
    assert "--through-shift: it proves rows of softmax" in capsys.readouterr().err


def test_explain_refuses_settings_in_one_line(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", f"{KERNELS}:scaled_before", "--format", "float32"]) == 2
    said = capsys.readouterr().err
    assert "it computes softmax(scale=0.08838834764831845)" in said


@pytest.mark.slow
def test_assert_accurate_knows_settings(here: None) -> None:
    with pytest.raises(AssertionError, match="sink_among_the_outputs"):
        testing.assert_accurate(kernels.sink_among_the_outputs)


def test_checks_that_say_nothing_of_a_setting_are_left_out() -> None:
    for name, function in (("row_sum", kernels.with_sink), ("shift", kernels.scaled_before)):
        with pytest.raises(AssertionError, match="not applicable"):
            testing.check(name, function, effort="brief")
    testing.check("shift", kernels.masked, effort="brief")
    assert SOFTMAX.fused == Fused()


@pytest.mark.parametrize("settings", ["scale=0.3, sink=30.0", "scale=0.3", "sink=-2.0"])
def test_long_rows_are_written_down_with_the_exact_results_of_their_settings(settings: str) -> None:
    op, fmt = op_named(f"softmax({settings})"), FORMATS["float16"]
    x = fmt.from_float64(np.random.default_rng(2).standard_normal(40) * 3)
    values = fmt.to_float64(x)
    spelt = _exact(values, op.truth(values[None], fmt, "certified"), 5, "certified", op)
    results = op.exact(values, 200)[5 : 5 + len(spelt)]
    for said, exact in zip(spelt, results, strict=True):
        assert abs(mpmath.mpf(said) / exact - 1) < 1e-3, (said, exact)


TENSORS = """
import torch


def masked(x, mask, scale):
    return torch.softmax((x * scale).masked_fill(~mask, float("-inf")), dim=-1)


def unmasked(x, mask, scale):
    return torch.softmax(x * scale, dim=-1) * mask


masked.declares = unmasked.declares = {"mask": True, "scale": 0.3}
"""


@pytest.mark.slow
def test_a_mask_is_handed_over_as_a_tensor(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    Path("tensors.py").write_text(TENSORS)
    rows = ["--format", "float32", "--effort", "brief", "--regime", "masked", "--length", "5", "--rows", "20"]
    for name, fails in (("masked", False), ("unmasked", True)):
        assert cli.run(["run", f"tensors.py:{name}", "--via", "torch", *rows, "--out", name, "--json"]) == 0
        cells = json.loads(capsys.readouterr().out)["cells"]
        failed = sum(cell["inaccurate_rows"] + cell["unexplained_rows"] for cell in cells)
        assert bool(failed) is fails, cells
        assert fails or all(cell["bound_ratio"] <= 1 for cell in cells)
