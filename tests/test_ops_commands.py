"""Log_softmax and logsumexp by the commands that a user types: from naming an op to a replayed witness."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

from harness import cli, testing
from harness.campaign.campaign import Campaign
from harness.campaign.plan import Plan
from harness.campaign.settings import resolve
from harness.gate.gate_campaign import temporary_ledger
from harness.subject.candidates import BUILTINS, CandidateError, from_function, load
from harness.subject.execution import InProcess, Isolated
from harness.subject.probe import other_op
from reference import ulp_errors
from reference.formats import FORMATS, FloatFormat
from reference.ops import LOG_SOFTMAX, LOGSUMEXP, OPS, SOFTMAX
from reports.record.witness import CellKey, Witness
from reports.sections.witnesses import instance
from tests.gated import logarithms
from tests.gating import briefly, failing, gate, judge_at_few_lengths, replayed, shrink_little
from tests.longer import few_of, sample

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

FLOAT32 = FORMATS["float32"]

GATED = Path(logarithms.__file__)
DEFECTS = (
    "barely_above_zero",
    "log_of_softmax",
    "maximum_left_out_of_the_sum",
    "log_in_float16",
    "logsumexp_without_a_shift",
)

KERNELS = """
import numpy as np

def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)

def log_softmax(x, axis=-1):
    z = x - x.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))

def logsumexp(x, axis=-1):
    m = x.max(axis=axis, keepdims=True)
    m = np.where(np.isfinite(m), m, 0).astype(x.dtype)
    return np.squeeze(m + np.log(np.exp(x - m).sum(axis=axis, keepdims=True)), axis)

def unnamed(x, axis=-1):
    return log_softmax(x, axis)

def declaring(x, axis=-1):
    return log_softmax(x, axis)

declaring.declares = {"op": "log_softmax"}

def of_softmax(x, axis=-1):
    return np.log(softmax(x, axis))
"""


@pytest.fixture
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def kernels(tmp_path: Path, in_an_empty_folder: None) -> Path:
    path = tmp_path / "kernels_of_ops.py"
    path.write_text(KERNELS)
    return path


# Which op it is ----------------------------------------------------------------------------


def test_name_declaration_and_option_say_which_op_it_is(kernels: Path) -> None:
    assert load(f"{kernels}:softmax").op is SOFTMAX
    assert load(f"{kernels}:log_softmax").op is LOG_SOFTMAX
    assert load(f"{kernels}:logsumexp").op is LOGSUMEXP
    assert load(f"{kernels}:declaring").op is LOG_SOFTMAX
    assert load(f"{kernels}:unnamed").op is SOFTMAX
    assert load(f"{kernels}:unnamed", op=LOG_SOFTMAX).op is LOG_SOFTMAX


def test_what_is_no_op_and_a_built_in_of_another_are_refused_in_one_line(
    kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def odd(x: Any) -> Any:
        return x

    odd.declares = {"op": "softmx"}  # type: ignore[attr-defined]
    with pytest.raises(CandidateError, match="op 'softmx': did you mean 'softmax'"):
        from_function(odd)
    assert cli.run(["run", "naive", "--op", "log_softmax"]) == 2
    assert "'naive': it computes softmax; leave out --op log_softmax" in capsys.readouterr().err
    assert cli.run(["run", "--op", "logsumex"]) == 2
    assert "did you mean 'logsumexp'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("function", "given", "looks_like"),
    [
        ("softmax", None, None),
        ("unnamed", None, LOG_SOFTMAX),
        ("unnamed", LOG_SOFTMAX, None),
        ("softmax", LOG_SOFTMAX, SOFTMAX),
        ("logsumexp", SOFTMAX, LOGSUMEXP),
        ("logsumexp", None, None),
        ("log_softmax", LOGSUMEXP, LOG_SOFTMAX),
    ],
)
def test_four_equal_logits_tell_an_op_from_another(
    kernels: Path, function: str, given: Any, looks_like: Any
) -> None:
    candidate = load(f"{kernels}:{function}", op=given)
    with InProcess() as executor:
        assert other_op(candidate, FLOAT32, FLOAT32, executor) == looks_like


def test_a_logsumexp_taken_for_a_softmax_is_one_clear_line(
    kernels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["run"], ["gate", "--tier", "fast"], ["search"]):
        assert cli.run([*command, f"{kernels}:logsumexp", "--op", "softmax", "--format", "float32"]) == 2
        said = capsys.readouterr().err
        assert "four equal logits give what logsumexp gives, and it is judged as softmax" in said
        assert "give --op logsumexp" in said
        assert not (tmp_path / "harness-out").exists()


def test_what_is_refused_overwrites_no_earlier_run(kernels: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    arguments = ["--format", "float16", "--length", "2", "--evals", "50", "--out", str(earlier)]
    assert cli.run(["search", "logsumexp_naive", *arguments]) == 0
    before = (earlier / "run.sqlite").read_bytes()
    for command in (["run"], ["gate", "--tier", "fast"], ["search"]):
        refused = [*command, f"{kernels}:logsumexp", "--op", "softmax", "--out", str(earlier), "--overwrite"]
        assert cli.run(refused) == 2
        assert (earlier / "run.sqlite").read_bytes() == before


def test_commands_that_know_softmax_only_say_so(kernels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", f"{kernels}:log_softmax"]) == 2
    assert "it computes log_softmax, and" in capsys.readouterr().err
    for name, length in (("logsumexp", "2"), ("log_softmax", "3")):
        arguments = ["--through-shift", "--format", "float16", "--length", length]
        assert cli.run(["exhaust", f"{kernels}:{name}", *arguments]) == 2
        assert f"kernels_of_ops.py:{name} computes {name}, length {length}" in capsys.readouterr().err


@pytest.mark.parametrize("name", few_of(["log_of_softmax", "logsumexp_naive"], 1))
def test_all_pairs_of_a_small_format_are_those_of_each_row_by_mpmath(
    name: str, tmp_path: Path, in_an_empty_folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Held against the plain path over every pair, which shares neither truth nor counting with the proof.

    Outputs of a pair turned round are those of the pair, to the bit; so one of the two is judged. The exact
    log_softmax depends on the distance alone; so one is judged of the pairs of a distance and equal outputs.
    """
    fmt, candidate = FORMATS["float8_e4m3fnuz"], BUILTINS[name]
    assert cli.run(["exhaust", name, "--format", fmt.name, "--all-orders", "--out", "proof", "--json"]) == 0
    proof = json.loads(capsys.readouterr().out)
    codes = np.arange(256, dtype=np.uint8)
    codes = codes[np.isfinite(fmt.to_float64(fmt.from_bits(codes)))]
    pairs = fmt.from_bits(np.stack(np.meshgrid(codes, codes), axis=-1).reshape(-1, 2))
    outputs, turned = fmt.to_bits(candidate(pairs)), fmt.to_bits(candidate(pairs[:, ::-1]))
    np.testing.assert_array_equal(outputs, turned[:, ::-1] if outputs.shape == pairs.shape else turned)
    half = pairs[np.less_equal(*fmt.to_float64(pairs).T)]
    half = half if candidate.op.reduces else half[_of_each_distance(fmt, half, candidate(half))]
    errors = ulp_errors(half, candidate(half), fmt, "mpmath", op=candidate.op.name)
    figures = proof["figures"]
    assert figures["rows"] == len(pairs)
    assert figures["max_ulp"] == pytest.approx(
        np.nanmax(np.where(np.isinf(errors), np.nan, errors)), rel=1e-6
    )


def _of_each_distance(fmt: FloatFormat, pairs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the numbers of pairs of which each distance and pair of outputs has one."""
    low, high = fmt.to_float64(pairs).T  # of 8 bits, whose differences are exact
    return np.unique(np.column_stack([high - low, fmt.to_bits(outputs)]), axis=0, return_index=True)[1]


# Calling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [InProcess, Isolated])
def test_one_result_a_row_comes_back_as_a_column_however_rows_are_presented(executor: Any) -> None:
    x = np.arange(24, dtype=np.float32).reshape(6, 4)
    x[1, 2] = -np.inf
    expected = [float(mpmath.log(sum(mpmath.exp(v) for v in row if np.isfinite(v)))) for row in x.tolist()]
    with executor() as calls:
        for presentation in ("plain", "cube", "vectors", "first_axis", "middle_of_cube", "empty", "amid"):
            outcome = calls.run("logsumexp_shifted", x, FLOAT32, presentation=presentation, reduces=True)
            assert outcome.faults == (), presentation
            assert outcome.outputs.shape == (6, 1)
            np.testing.assert_allclose(outcome.outputs[:, 0], expected, rtol=1e-6, err_msg=presentation)


def test_a_kept_axis_is_another_shape_than_was_asked_for() -> None:
    with InProcess(load=lambda _: from_function(lambda x: x.sum(axis=-1, keepdims=True))) as executor:
        (fault,) = executor.run("f", np.zeros((2, 3), np.float32), FLOAT32, reduces=True).faults[:1]
    assert fault.kind == "wrong_shape"
    assert "its op gives one number a row" in fault.message


# Measuring ---------------------------------------------------------------------------------


@pytest.mark.parametrize("op", few_of(["logsumexp", "log_softmax"], 1))
def test_a_sound_kernel_keeps_within_its_bound_and_its_contract(
    kernels: Path,
    tmp_path: Path,
    op: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shrink_little(monkeypatch)
    lengths = sample(["--length=33"], ["--length=3", "--length=33"])
    arguments = ["--format=float32", "--effort=brief", *lengths, "--rows=8", "--jobs=1"]
    folder = tmp_path / "run"
    assert cli.run(["run", f"{kernels}:{op}", *arguments, "--out", str(folder)]) == 0
    assert f"judged as {op}, as its name or its declaration says" in capsys.readouterr().err
    summary = json.loads((folder / "summary.json").read_text())
    for cell in summary["cells"]:
        assert cell["op"] == op
        assert cell["failed_rate"] in (0, None), cell
        assert cell["bound_ratio"] is None or cell["bound_ratio"] <= 1, cell
        assert cell["underflow_rate"] is None
    violated = {
        c["check"] for c in summary["checks"] if c["status"] == "violated" and c["kind"] == "contract"
    }
    assert violated == set()
    asked = {c["check"]: c["status"] for c in summary["checks"]}
    assert asked["row_sum"] == asked["negative_zero"] == "not_applicable"
    assert (asked["monotone"] == "not_applicable") == OPS[op].reduces


def test_candidates_of_several_ops_see_the_same_rows(kernels: Path) -> None:
    names = [f"{kernels}:{f}" for f in ("softmax", "log_softmax", "logsumexp")]
    given = {"formats": ["float16"], "effort": "brief", "lengths": [5], "regimes": ["dominated"], "jobs": 1}
    plan = Plan.of(resolve({"candidates": names, **given}))
    with temporary_ledger(plan) as ledger, InProcess() as executor:
        Campaign(plan).run(ledger, executor, lambda _task, _tallies: None)
        counted = {info.key.op: tally for info, tally in ledger.tallies()}
    assert set(counted) == set(OPS)
    assert len({tuple(tally.digests.items()) for tally in counted.values()}) == 1
    for op, tally in counted.items():
        assert tally.elements == tally.rows * (1 if OPS[op].reduces else 5)
        assert set(tally.outcomes) == {"ok"}


def without_a_shift(x: np.ndarray) -> np.ndarray:
    return np.log(np.exp(x).sum(axis=-1))


def logarithm_of_softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.log(e / e.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize(
    ("function", "op"), few_of([(logarithm_of_softmax, "log_softmax"), (without_a_shift, "logsumexp")], 1)
)
def test_a_known_defect_fails_the_tier_fast(
    function: Callable[..., Any], op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge_at_few_lengths(monkeypatch, 7)
    with pytest.raises(AssertionError, match=r"misses fast|rows? failed"):
        testing.assert_accurate(function, format="float32", tier="fast", op=op)


@pytest.mark.parametrize("name", few_of(["logsumexp_shifted", "log_softmax_shifted"], 1))
def test_the_form_of_libraries_meets_standard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    judge_at_few_lengths(monkeypatch, 3, 257)
    candidate = BUILTINS[name]
    testing.assert_accurate(candidate.call, format="float32", tier="standard", op=candidate.op.name)


def test_a_witness_of_a_lost_tail_is_shrunk_and_replays(
    kernels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    arguments = ["--op", "log_softmax", "--format", "float32", "--effort", "brief", "--length", "9",
                 "--regime", "dominated", "--jobs", "1", "--out", str(folder)]  # fmt: skip
    assert cli.run(["run", f"{kernels}:of_softmax", *arguments]) == 0
    lines = [json.loads(line) for line in (folder / "witnesses.jsonl").read_text().splitlines()]
    lost = next(line for line in lines if line["kind"] == "unexplained")
    capsys.readouterr()
    assert cli.run(["replay", f"{folder}#{lost['id']}", "--expect", "--json"]) == 1
    replayed = json.loads(capsys.readouterr().out)
    assert replayed["same_bits"]
    assert any(e["y"] == "-inf" and e["element_class"] == "nonfinite" for e in replayed["elements"])
    with mpmath.workdps(120):
        row = [mpmath.mpf(float(e["x"])) for e in replayed["elements"]]
        lse = mpmath.log(mpmath.fsum(mpmath.exp(v) for v in row))
        for e, v in zip(replayed["elements"], row, strict=True):
            assert abs(mpmath.mpf(e["exact"]) - (v - lse)) <= abs(v - lse) * mpmath.mpf(10) ** -19


def test_the_one_result_of_a_row_is_replayed_beside_its_largest_logit(
    tmp_path: Path, in_an_empty_folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "search"
    search = ["search", "logsumexp_naive", "--length", "4", "--evals", "2000", "--out", str(folder), "--json"]
    assert cli.run(search) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["witness"]["op"] == "logsumexp"
    assert found["witness"]["element"] is None
    assert cli.run(["replay", f"{folder}#{found['witness']['id']}", "--json"]) in (0, 1)
    elements = json.loads(capsys.readouterr().out)["elements"]
    (judged,) = [e for e in elements if e["y"]]
    assert float(judged["x"]) == max(float(e["x"]) for e in elements)
    assert judged["ulp"] == pytest.approx(found["score"], rel=1e-6)


def test_a_page_names_the_one_result_of_a_row_without_an_entry() -> None:
    cell = CellKey("f", "logsumexp", "float32", "float32", "r", 2)
    x, y = FLOAT32.to_hex(np.zeros(2, np.float32)), FLOAT32.to_hex(np.ones(1, np.float32))
    assert instance(Witness(cell, "inflated", 0.0, x, y, None, "here")) == (
        "logsumexp([0.0, 0.0]) = 1; exact: 0.6931; bits of x: 00000000 00000000"
    )
    assert instance(Witness(cell, "max_ulp", 5.0, x, y, None, "here")) == (
        "5 ULP at logsumexp([0.0, 0.0]); bits of x: 00000000 00000000"
    )


# Libraries and planted defects ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_of_logarithms_fails_with_a_small_row_that_replays(
    name: str,
    in_an_empty_folder: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    briefly(monkeypatch, 2, 5)
    arguments = (f"{GATED}:{name}", "--tier", "standard", "--format", "float32", "--jobs", "1")
    code, document = gate(capsys, *arguments, "--out", "found")
    assert code == 1
    lines = [json.loads(line) for line in Path("found/witnesses.jsonl").read_text().splitlines()]
    assert {line["op"] for line in lines} == {load(f"{GATED}:{name}").op.name}
    verdict = next(v for v in failing(document) if v.get("replay"))
    assert replayed(verdict) == 1
    small = {line["id"]: line for line in lines}[verdict["replay"].partition("#")[2].split()[0]]
    assert len(small["x"]) // FLOAT32.hex_digits <= 3, small


@pytest.mark.slow
@pytest.mark.parametrize("fmt", ["float32", "float64"])
@pytest.mark.parametrize("op", ["log_softmax", "logsumexp"])
@pytest.mark.parametrize("library", ["scipy", "torch"])
def test_the_logarithms_of_libraries_meet_standard(
    library: str, op: str, fmt: str, in_an_empty_folder: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(library)
    briefly(monkeypatch, 1, 2, 33, 257)
    accepted = ["--policy", "pos_inf=any"]  # SciPy gives NaN at the infinities only
    arguments = ["--op", op, "--tier", "standard", "--format", fmt, "--out", "gate"]
    assert cli.run(["gate", library, *arguments, *accepted]) == 0
