"""Lengths and calls that the seed draws: no gap between those that are listed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import cli
from harness.campaign.plan import Plan
from harness.campaign.settings import EFFORTS, Effort, Settings
from harness.campaign.workload import Batch
from harness.checks.samples import EXTENTS
from harness.gate.gate_campaign import GATE, gate_settings
from harness.selftest.defects import sizes
from harness.selftest.planted import Defect, Instance, of_rows
from harness.selftest.trial import Suspect, first_failures
from reference.formats import FORMATS
from reference.ops import SOFTMAX
from reports.record.cells import NOT_A_FAMILY
from reports.record.run_folder import find_run
from strategies.lengths import SWEEP, USUAL, Drawn
from strategies.regimes import REGIMES
from strategies.regimes.medley import LONG, MEDLEY

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

SEEDS = range(5)

FLOAT32 = (FORMATS["float32"],)


def lengths_of_gate(seed: int = 0) -> set[int]:
    settings = gate_settings(Settings(("max_shifted",), FLOAT32, seed=seed, effort=GATE), ("standard",))
    return {shard.length for shard in Plan.of(settings).shards() if shard.regime == "medley"}


@pytest.fixture
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Lengths -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_every_residue_of_512_is_drawn_beyond_2048(seed: int) -> None:
    drawn = Drawn(512, 16, 7).lengths(seed)
    assert {n % 512 for n in drawn if 2048 <= n < 8192} == set(range(512))
    assert len(drawn) == len(set(drawn)) == 512 + 3 * 16 + 7 * 2


@pytest.mark.parametrize("seed", SEEDS)
def test_no_range_of_a_seventh_of_its_lengths_is_passed_over(seed: int) -> None:
    looked_at = sorted(lengths_of_gate(seed))
    assert looked_at[-1] > 500_000
    for low in range(1, 4096):
        assert any(low <= n < low + -(-low // 7) for n in looked_at), low
    assert max(high / low for low, high in itertools.pairwise(looked_at) if low > 4096) < 2.8


def test_another_seed_draws_others_and_the_same_the_same() -> None:
    first, again, other = (set(Drawn(64, 2, 7).lengths(seed)) for seed in (0, 0, 1))
    assert first == again
    assert len(first & other) < 20


def test_lengths_that_people_use_are_swept_by_the_gate_and_by_runs() -> None:
    assert {2400, 32_000, 32_064, 50_257, 128_256, 151_936} == set(USUAL)
    assert set(USUAL) <= set(SWEEP)
    assert set(USUAL) <= lengths_of_gate()
    assert all(set(USUAL) <= set(EFFORTS[name].sweep) for name in ("standard", "deep"))


@pytest.mark.parametrize("fmt", ["float16", "float32", "float64"])
def test_at_a_usual_length_some_row_has_weight_at_its_end(fmt: str) -> None:
    effort = Effort("gate", (2,), 64, 2, 2, sweep=tuple(n for n in USUAL if n < 40_000))
    for seed in SEEDS:
        settings = gate_settings(Settings((), (FORMATS[fmt],), seed=seed, effort=effort), ("fast",))
        plan = Plan(settings, ())
        swept = [shard for shard in plan.shards() if shard.length in effort.sweep]
        assert len(swept) == len(effort.sweep)
        for shard in swept:
            shares = [weight_at_the_end(FORMATS[fmt].to_float64(b.x)) for b in plan.workload.batches(shard)]
            assert max(share.max() for share in shares) > 0.005, (seed, shard)


def weight_at_the_end(x: np.ndarray) -> np.ndarray:
    """The share that a hundredth of each row, its last, has of the sum."""
    with np.errstate(over="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e[:, -(x.shape[1] // 100) :].sum(axis=1) / e.sum(axis=1))


def test_a_run_measures_what_its_seed_draws(in_an_empty_folder: None) -> None:
    assert cli.run(["run", "naive", "--format", "float16", "--effort", "quick", "--regime", "medley"]) == 0
    cells = json.loads((find_run("latest") / "summary.json").read_text())["cells"]
    effort = EFFORTS["quick"]
    assert effort.drawn is not None
    assert {cell["length"] for cell in cells} == {*effort.lengths, *effort.drawn.lengths(0)}


def test_a_rate_is_named_by_a_family_of_rows_not_by_three_of_a_medley(
    in_an_empty_folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert MEDLEY in NOT_A_FAMILY
    chosen = [
        "--regime",
        "medley",
        "--regime",
        "wide-normal",
        "--length",
        "7",
        "--rows",
        "50",
        "--effort",
        "brief",
    ]
    assert cli.run(["run", "naive", "--format", "float16", *chosen]) == 0
    assert "of the rows of wide-normal, n=7 failed" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [{"lengths": (5,)}, {"rows": 3}])
def test_who_names_lengths_or_rows_gets_those_alone(asked: dict[str, Any]) -> None:
    settings = Settings(("naive",), FLOAT32, **asked)
    shapes = {(s.regime, s.length) for s in Plan.of(settings).shards() if s.sampled}
    assert {length for _, length in shapes} <= {*settings.effort.lengths, 5}
    assert "crowd" not in {regime for regime, _ in shapes}


# Calls -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gate_makes_one_call_of_more_rows_than_an_index_counts(seed: int) -> None:
    settings = gate_settings(Settings(("max_shifted",), FLOAT32, seed=seed, effort=GATE), ("standard",))
    (crowd,) = (shard for shard in Plan.of(settings).shards() if shard.regime == "crowd")
    ((number, rows),) = crowd.batches()
    assert number == 0
    assert rows > 1 << 20
    assert rows * crowd.length < 1 << 23


def test_rows_of_a_crowd_differ() -> None:
    rows = REGIMES["crowd"].rows(FORMATS["float32"], 100_000, 16, 0, 0)
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_the_last_entry_dominates_in_a_row_of_each_further_length() -> None:
    """Elsewhere a sum that loses it is off by less than a bound of rows so long."""
    settings = gate_settings(Settings(("max_shifted",), FLOAT32, effort=GATE), ("standard",))
    plan = Plan.of(settings)
    seen = dict.fromkeys((s.length for s in plan.shards() if s.regime == MEDLEY and s.length > LONG), 0.0)
    assert max(seen) > 500_000
    for shard in plan.shards():
        for batch in plan.workload.batches(shard) if shard.regime == MEDLEY and shard.length > LONG else ():
            with np.errstate(all="ignore"):
                others = np.exp(batch.x[:, :-1] - batch.x[:, -1:]).sum(axis=1)
            seen[shard.length] = max(seen[shard.length], float(1 / (1 + np.nanmin(others))))
    assert min(seen.values()) >= 0.5, {n: share for n, share in seen.items() if share < 0.5}


def test_a_crowd_is_called_whole_and_judged_in_parts() -> None:
    settings = gate_settings(Settings(("max_shifted",), FLOAT32, effort=GATE), ("standard",))
    plan = Plan.of(settings)
    (crowd,) = (shard for shard in plan.shards() if shard.regime == "crowd")
    (batch,) = plan.workload.batches(crowd)
    parts = batch.parts(SOFTMAX)
    _, first = next(parts)
    part, second = next(parts)
    assert first.x.size <= 1 << 17
    assert np.array_equal(second.x, batch.x[part])
    assert second.origin(3) == f"batch 0, row {part.start + 3}"
    assert isinstance(batch, Batch)


CANDIDATE = """
import numpy as np

def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    y[100_000:] = 0
    return y
"""


@pytest.mark.slow
def test_a_run_shows_rows_that_are_lost_far_into_a_call(tmp_path: Path, in_an_empty_folder: None) -> None:
    (tmp_path / "my.py").write_text(CANDIDATE)
    command = ["run", "my.py:softmax", "--format", "float32", "--regime", "crowd"]
    assert cli.run([*command, "--jobs", "1", "--out", "one"]) == 0
    assert cli.run([*command, "--jobs", "2", "--out", "two"]) == 0
    one, two = (json.loads(Path(out, "summary.json").read_text()) for out in ("one", "two"))
    assert one["cells"] == two["cells"]
    (cell,) = one["cells"]
    assert cell["rows"] > 131_072
    assert cell["failed_rows"] == cell["rows"] - 100_000


# What is planted is caught -----------------------------------------------------------------

PART = {
    "calls": Effort("gate", (2,), 64, 2, 2, crowd=GATE.crowd),
    "lengths": Effort("gate", (2,), 64, 2, 2, sweep=USUAL, drawn=GATE.drawn),
}


@pytest.mark.slow
@pytest.mark.parametrize("fmt", ["float32", "float64"])
@pytest.mark.parametrize(
    ("part", "function", "values"),
    [
        ("lengths", sizes.tail_lost_at_some_residues, (2, 5, 6)),
        ("lengths", sizes.tail_lost_at_one_residue_of_long_rows, (256,)),
        ("lengths", sizes.tail_lost_in_a_narrow_range, (1500,)),
        ("lengths", sizes.tail_lost_at_a_usual_length, (32_064,)),
        ("lengths", sizes.entries_beyond_a_limit_unsummed, (300_000,)),
        ("calls", sizes.rows_counted_anew_from_a_limit, (131_072,)),
        ("calls", sizes.one_row_in_many, (200_003,)),
    ],
)
def test_defects_of_size_are_caught_by_what_the_seed_draws(
    part: str, function: Any, values: tuple[int, ...], fmt: str
) -> None:
    instance = Instance(Defect("size", function, of_rows(function)), FORMATS[fmt], values)
    suspect = Suspect(instance.name, instance.candidate, ("fast",))
    found = first_failures([suspect], instance.format, effort=PART[part])
    assert found[instance.name].regime == ("crowd" if part == "calls" else "medley")


@pytest.mark.slow
@pytest.mark.parametrize("limit", [4_194_240, 16_700_000, 1 << 24])
@pytest.mark.parametrize("fmt", ["float32", "float64"])
def test_elements_that_an_index_does_not_reach_break_the_contract(
    limit: int, fmt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.checks.samples.EXTENTS", EXTENTS)  # all: the calls must be large
    function = sizes.elements_beyond_a_limit_unwritten
    instance = Instance(Defect("size", function, of_rows(function)), FORMATS[fmt], (limit,))
    suspect = Suspect(instance.name, instance.candidate, ("fast",))
    found = first_failures([suspect], instance.format, effort=Effort("gate", (2,), 64, 2, 2))
    assert found[instance.name].metric in ("contract batch", "contract large_batch")
