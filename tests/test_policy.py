"""A declared policy excuses what it says and nothing else, in every command that binds candidates to one.

Evidence that does not come from the program: the threshold log(2^-emin - 1) in mpmath, beyond which exp(0)
over exp(0) + exp(d) lies below 2^emin; and a softmax that flushes exactly that, computed in binary64.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args, get_type_hints

import mpmath
import numpy as np
import pytest

from harness import cli
from harness.gate.assertion import failure
from harness.measurement import Judged, Rows, measure
from harness.measurement.policy import policy_rows
from harness.measurement.tiers import judge_by_tiers
from reference.declaration import Declaration, Policy
from reference.errors import below_normal
from reference.formats import FORMATS, FloatFormat
from reference.tiers import TIERS
from reference.truth import truth
from reports.record.ledger import Ledger
from reports.record.witness import CellKey
from tests.gating import briefly, failing, gate, gate_of_a_module, judge_at_few_lengths, statuses
from tests.longer import few_of
from tests.more_formats import EIGHT

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

FLUSH = "--policy=subnormals=flush"
FLUSHING = """
import numpy as np

def softmax(x):
    t = x.astype(np.float64)
    e = np.exp(t - t.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return np.where(y < 2.0**-14, 0, y).astype(np.float16)

softmax.formats = ["float16"]
"""

ZEROS = """
import numpy as np

def softmax(x):
    with np.errstate(all="ignore"):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.nan_to_num(e / e.sum(axis=-1, keepdims=True))
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flushing.py").write_text(FLUSHING)


@pytest.fixture(scope="module")
def without_a_policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any]]:
    """What the gate says of zeros where NaN is due, in rows of 5 and in the fixed ones."""
    folder = tmp_path_factory.mktemp("zeros")
    (folder / "zeros.py").write_text(ZEROS)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        briefly(monkeypatch, 5)
        return gate_of_a_module(*OF_ZEROS)


OF_ZEROS = ("zeros.py:softmax", "--format=float32", "--tier=fast")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Return the JSON document of a command that exits 0."""
    assert cli.run([*arguments, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


# Applied once ------------------------------------------------------------------------------


def test_a_run_makes_the_row_small_that_a_policy_of_the_command_line_forbids(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A row that is all -inf comes down to one entry, though the candidate itself declares NaN there."""
    few = (
        "--format=float32",
        "--regime=all-masked",
        "--length=5",
        "--rows=4",
        "--effort=brief",
        "--in-process",
    )
    document = printed(capsys, "run", "max_shifted", *few, "--policy=masked_row=zero", "--out=run")
    (cell,) = (c for c in document["cells"] if c["policy_violations"])
    assert cell["small_witness"] is not None
    assert cli.run(["replay", f"run#{cell['small_witness']}", "--expect", "--in-process"]) == 1
    assert "shrunk from 5 entries" in capsys.readouterr().out


def test_a_search_leaves_out_what_the_policy_excuses(capsys: pytest.CaptureFixture[str]) -> None:
    """A flushed result is 1024 ULP off in float16; beside those, rounding twice leaves half of one."""
    asked = ("search", "flushing.py:softmax", "--format=float16", "--length=2", "--evals=3000")
    strict, lenient = (printed(capsys, *asked, *more, "--in-process") for more in ((), (FLUSH,)))
    assert strict["score"] > 1000
    assert 0.49 < lenient["score"] < 0.51
    small = lenient["shrunk"] or lenient["witness"]
    assert small["y"][4 * small["element"] :][:4] != "0000"


def test_a_proof_is_held_to_the_policy(capsys: pytest.CaptureFixture[str]) -> None:
    document = printed(
        capsys, "exhaust", "max_shifted", "--format=float8_e5m2", "--length=1", FLUSH, "--in-process"
    )
    with Ledger.open(Path(document["run"]) / "run.sqlite") as ledger:
        assert "subnormals=flush" in ledger.settings()["policies"]


def test_a_witness_by_itself_is_replayed_by_the_policy_given(capsys: pytest.CaptureFixture[str]) -> None:
    line = json.dumps(
        {
            "candidate": "flushing.py:softmax", "op": "softmax", "format": "float16", "out_format": "float16",
            "regime": "r", "length": 2, "kind": "over_standard", "score": 9.0, "x": "c8da1400",
            "y": "00003c00", "element": 0, "origin": "here", "message": "",
        }
    )  # fmt: skip
    asked = ["replay", line, "--candidate=flushing.py:softmax", "--expect", "--in-process"]
    assert cli.run(asked) == 1
    assert "lost, which the tier standard forbids" in capsys.readouterr().out
    assert cli.run([*asked, FLUSH]) == 0


# What is said of it ------------------------------------------------------------------------


def test_a_wrong_output_far_into_a_row_is_shown() -> None:
    """The ninth or eleventh of eleven outputs is 0 and the others NaN; then all are NaN."""
    fmt = FORMATS["float32"]
    rows = Rows.of(fmt, np.full((1, 11), -np.inf, dtype=np.float32), fmt)
    nan = "NaN " * 8
    for place in (8, 10):
        y = np.full((1, 11), np.nan, dtype=np.float32)
        y[0, place] = 0.0
        [done] = policy_rows(rows, y, Policy())
        assert f"got {nan}... 0 at entry {place}; accepted" in done.told(0, y[0].tolist())
        assert f"got {nan}...; accepted" in done.told(0, [math.nan] * 11)


SAYING = [
    ("nan", "nan_row", "row holds NaN: expected all NaN, got ", "any"),
    ("all-masked", "masked_row", "row is all -inf: expected all NaN, got 0 0 0 0 0; ", "zero"),
    ("positive-infinity", "pos_inf", "row holds +inf: expected all NaN, got ", "any"),
]


@pytest.mark.parametrize(("regime", "key", "said", "accepting"), few_of(SAYING, 1))
def test_a_violation_says_what_was_expected_what_came_and_what_accepts_it(
    regime: str, key: str, said: str, accepting: str, without_a_policy: tuple[int, dict[str, Any]],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    code, document = without_a_policy
    told = [v for v in failing(document) if v["metric"] == "policy" and v["message"].startswith(said)]
    assert code == 1
    assert told
    setting = f"{key}={accepting}"
    assert all(v["message"].endswith(f"; accepted by --policy {setting}") for v in told)
    Path("zeros.py").write_text(ZEROS)
    briefly(monkeypatch, 5)
    code, document = gate(capsys, *OF_ZEROS, f"--policy={setting}")
    assert not [v for v in failing(document) if v["metric"] == "policy" and v["message"].startswith(said)]


@pytest.mark.parametrize("command", ["run", "gate", "search", "exhaust", "replay"])
def test_help_names_every_key_and_value(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([command, "--help"]) == 0
    said = "".join(capsys.readouterr().out.replace("\u2502", "").split())
    assert Policy.spelled().replace(" ", "") in said


def test_the_documents_name_every_key_and_value() -> None:
    root = Path(__file__).resolve().parent.parent
    page = (root / "docs" / "guides" / "policies.md").read_text()
    readme = (root / "README.md").read_text()
    for key, hint in get_type_hints(Policy).items():
        assert f"| `{key}` | {', '.join(f'`{value}`' for value in get_args(hint))} |" in page
        assert f"`{key}={'|'.join(get_args(hint))}`" in readme


def test_a_pass_says_how_much_was_excused_and_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    briefly(monkeypatch, 20_000)
    assert cli.run(["gate", "flushing.py:softmax", "--tier=fast", FLUSH, "--jobs=1"]) == 0
    said = capsys.readouterr().out
    named = re.search(r"; excused: [\d,]+ flushed outputs in (.+) and \d+ more cells", said)
    assert named
    assert len(named[1].split("; ")) == 3


ACCEPTING = ("nan_row=any", "masked_row=any", "pos_inf=any")


def rows_excused(
    capsys: pytest.CaptureFixture[str], settings: Sequence[str], *asked: str
) -> dict[str, tuple[int, str]]:
    """Return how many rows a gate that passes says to be excused, and in which cells, by the setting."""
    assert cli.run(["gate", *asked, "--jobs=1", *(f"--policy={setting}" for setting in settings)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if ", tier fast: " in line)
    found = re.findall(r"; excused: ([\d,]+) rows? by (\w+=\w+) in ([^;]+)", line)
    return {setting: (int(amount.replace(",", "")), where) for amount, setting, where in found}


def test_a_pass_says_which_policy_rows_were_excused_and_how_many(
    without_a_policy: tuple[int, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As many as are violations without the settings; rows as the default wants them are none of them."""
    Path("zeros.py").write_text(ZEROS)
    briefly(monkeypatch, 5)
    broken = sum(v["observed"] for v in failing(without_a_policy[1]) if v["metric"] == "policy")
    excused = rows_excused(capsys, ACCEPTING, *OF_ZEROS)
    assert set(excused) == set(ACCEPTING)
    assert sum(amount for amount, _ in excused.values()) == broken
    assert all(re.search(r", n=\d+", where) for _, where in excused.values())
    narrower = rows_excused(capsys, ("nan_row=any", "masked_row=zero", "pos_inf=any"), *OF_ZEROS)
    assert narrower["masked_row=zero"] == excused["masked_row=any"]
    assert rows_excused(capsys, ACCEPTING, "max_shifted", *OF_ZEROS[1:]) == {}


# What a flush is ---------------------------------------------------------------------------


def below(fmt: FloatFormat, x: np.ndarray) -> np.ndarray:
    """Tell of pairs (rows, 2) which results lie below 2^emin: near the threshold by the exact distance."""
    with mpmath.workprec(300):
        threshold = mpmath.log(mpmath.mpf(2) ** -fmt.emin - 1)
        distance = x[:, ::-1] - x
        far: np.ndarray = distance > float(threshold)
        for row, entry in np.argwhere(np.abs(distance - float(threshold)) < 1e-6):
            d = Fraction(x[row, 1 - entry]) - Fraction(x[row, entry])
            far[row, entry] = mpmath.mpf(d.numerator) / d.denominator > threshold
    return far


def finite(fmt: FloatFormat) -> np.ndarray:
    values = fmt.to_float64(fmt.from_bits(np.arange(1 << fmt.storage_bits, dtype=fmt.bits_dtype)))
    return values[np.isfinite(values)]


def around_the_threshold(fmt: FloatFormat) -> np.ndarray:
    """Pairs of numbers whose distance is within a few ulps of the threshold, on both sides."""
    with mpmath.workprec(300):
        threshold = mpmath.log(mpmath.mpf(2) ** -fmt.emin - 1)
        (low,) = fmt.ordinals(fmt.to_bits(fmt.from_float64([-float(threshold)]))).tolist()
        lower = fmt.to_float64(fmt.from_bits(fmt.from_ordinals(np.arange(low - 12, low + 13)))).tolist()
        steps = [k * 2.0 ** -(fmt.precision + 2) for k in range(-8, 9)]
        beside = [[float(threshold + a) + step for step in steps] for a in lower]
    upper = fmt.to_float64(fmt.from_float64(np.array(beside)))
    return np.array([(a, b) for a, row in zip(lower, upper.tolist(), strict=True) for b in row])


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("method", ["certified", "mpmath"])
def test_results_below_the_normal_range_are_told_exactly_in_every_pair(name: str, method: Any) -> None:
    fmt = FORMATS[name]
    values = finite(fmt) if method == "certified" else finite(fmt)[::7]
    x = np.stack(np.meshgrid(values, values), axis=-1).reshape(-1, 2)
    exact = below(fmt, x)
    assert exact.any()
    assert (below_normal(truth(x, fmt, method)) == exact).all()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("method", ["certified", "mpmath"])
def test_results_next_to_the_least_normal_number_are_told_exactly(name: str, method: Any) -> None:
    fmt = FORMATS[name]
    x = around_the_threshold(fmt)
    exact, known = below(fmt, x), truth(x, fmt, method)
    assert (below_normal(known) == exact).all()
    assert set(exact[:, 0].tolist()) == {True, False}
    if name in ("float16", "float32", "float64"):
        least = float(fmt.smallest_normal)
        assert (exact & (known.nearest == least)).any(), "none rounds up to it"


@pytest.mark.parametrize("name", ["float16", *EIGHT])
def test_a_tie_at_the_least_normal_number_is_no_flush_and_any_entry_beside_makes_it_one(name: str) -> None:
    fmt = FORMATS[name]
    ties = np.zeros((2, 2**-fmt.emin + 1))
    ties[0, -1], ties[1, -1] = -np.inf if fmt.has_infinity else fmt.from_float64([-1e9])[0], -fmt.largest
    if not fmt.has_infinity:
        ties[0] = ties[1]
    known = truth(ties, fmt)
    assert (known.nearest[:, 0] == float(fmt.smallest_normal)).all()
    assert below_normal(known)[:, 0].tolist() == [not fmt.has_infinity, True]
    assert not below_normal(known)[0, -1] or not fmt.has_infinity


# What it excuses ---------------------------------------------------------------------------


CELL = CellKey("f", "softmax", "float16", "float16", "r", 2)


def judged(bits: list[int], y: list[float], policy: Policy) -> Judged:
    fmt = FORMATS["float16"]
    x = fmt.from_bits(np.array([bits], dtype=fmt.bits_dtype))
    values = fmt.to_float64(x)
    return Judged(
        Rows(fmt, x, values, truth(values, fmt), 0),
        fmt.from_float64([y]),
        Declaration("shifted", policy=policy),
    )


@pytest.mark.parametrize("tier", TIERS)
def test_what_rounds_up_to_the_least_normal_number_is_excused(tier: str) -> None:
    """exp(-9.7...) over the sum is 6.10289e-5, below 2^-14 = 6.10352e-5, and RN of it is 2^-14."""
    strict, lenient = (judged([0xC8DA, 0x1400], [0.0, 1.0], p) for p in (Policy(), Policy("flush")))
    assert judge_by_tiers(CELL, strict, [TIERS[tier]]).violations
    held = judge_by_tiers(CELL, lenient, [TIERS[tier]])
    assert (held.violations, held.excused) == ({}, {f"over_{tier}:flushed": 1})


def test_what_is_excused_is_not_called_lost() -> None:
    strict, lenient = (judged([0xC8DA, 0x1400], [0.0, 1.0], p) for p in (Policy(), Policy("flush")))
    kinds = [
        {w.kind for w in measure(CELL, j.rows, j.y, j.declaration).witnesses} & {"lost", "flushed"}
        for j in (strict, lenient)
    ]
    assert kinds == [{"lost"}, {"flushed"}]


def test_a_kernel_that_flushes_passes_by_that_policy_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In float16 all results of more than 2^14 equal entries are subnormal, and come back as zeros."""
    briefly(monkeypatch, 20_000)
    asked = ("flushing.py:softmax", "--format=float16", "--tier=standard")
    code, document = gate(capsys, *asked, FLUSH)
    assert (code, statuses(document)) == (0, {"pass"}), failing(document)
    assert document["policies"] == {"flushing.py:softmax": ["subnormals=flush"]}
    code, document = gate(capsys, *asked)
    assert code == 1
    assert {"over_budget"} <= statuses(document)


def test_a_flush_is_no_breach_of_a_declared_algorithm_or_of_a_limit_on_the_ratio(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 17)
    algorithm = {"exp_ulps": 3.0, "summation": "sequential"}
    declares = {"argument": "shifted", "algorithm": algorithm, "policy": {"subnormals": "flush"}}
    Path("flushing.py").write_text(f"{FLUSHING}\nsoftmax.declares = {declares!r}\n")
    Path("b.toml").write_text(
        '[[budget]]\ncandidate = "flushing.py:softmax"\nformat = "float16"\nmetric = "bound_ratio"\n'
        'limit = 1.0\nlength = 17\nreason = "a test"\n'
    )
    code, document = gate(capsys, "--budgets=b.toml")
    held = [v for v in document["verdicts"] if v["length"] == 17]
    assert {v["status"] for v in held} == {"pass"}
    code, document = gate(capsys, "--budgets=b.toml", "--policy=subnormals=keep")
    assert code == 1
    assert {v["metric"] for v in failing(document) if v["length"] == 17} >= {"bound_ratio", "algorithm_ratio"}


def test_beyond_the_normal_range_no_zero_is_excused(monkeypatch: pytest.MonkeyPatch) -> None:
    judge_at_few_lengths(monkeypatch, 2, 127)

    def lossy(x: np.ndarray) -> np.ndarray:
        e = np.exp(np.float64(x) - np.float64(x).max(axis=-1, keepdims=True))
        y = e / e.sum(axis=-1, keepdims=True)
        return np.where(y < 2.0**-13, 0, y).astype(np.float16)

    assert "0 where the result is a normal number" in failure(
        lossy, "float16", "fast", 0, ("subnormals=flush",)
    )
