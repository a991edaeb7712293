"""Shrinking: what is kept, how small it gets, at what price; and the pytest files written of it.

Every shrunk witness is measured anew, by the slow truth, before anything is believed of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.measurement import Rows, measure
from harness.replay import replay_witness
from harness.subject.candidates import Candidate, from_function, load
from harness.subject.execution import Executor, Fault, InProcess, Isolated, Outcome
from harness.subject.subject import Subject
from harness.witnesses.recipes import entries_of_hex
from harness.witnesses.shrinking import Budget, emit_test, keep_small, reduced, shrink, shrink_all
from harness.witnesses.shrinking.simplicity import keys, significand_bits
from reference.bounds.intervals import bounds_of_rows
from reference.bounds.setting import setting_of
from reference.formats import FORMATS, FloatFormat, format_named
from reference.oracle import truth_mpmath
from reference.tiers import FAST, STANDARD
from reference.truth import truth
from reports.record.cells import frame
from reports.record.ledger import CellInfo, Ledger
from reports.record.tally import Tally
from reports.record.witness import CellKey, Witness
from strategies.regimes import REGIMES

F16, F32 = FORMATS["float16"], FORMATS["float32"]

USERS = """
import os, time
from decimal import Decimal, localcontext
import numpy as np

def correct(x, axis=-1):
    with localcontext(prec=60):
        rows = [exact(row) for row in np.moveaxis(x, axis, -1).astype(np.float64).tolist()]
    return np.array(rows).astype(x.dtype)

def exact(row):
    if max(row) == -np.inf:
        return [np.nan] * len(row)
    weights = [(Decimal(v) - Decimal(max(row))).exp() for v in row]
    return [float(w / sum(weights)) for w in weights]

def plain(x, axis=-1):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)

def crashing(x):
    if (x > 5).any():
        os.abort()
    return correct(x)

def hanging(x):
    if (x > 5).any():
        time.sleep(3600)
    return correct(x)

def raising(x):
    if (x > 5).any():
        raise ValueError("large")
    return correct(x)

def negative(x):
    y = correct(x)
    y[y < 1e-3] = -0.0
    return y

def leaking(x):
    y = correct(x)
    y[np.isneginf(x)] = 1e-30
    return y

def masked_uniform(x):
    with np.errstate(all="ignore"):
        y = correct(x)
    return np.where(np.isneginf(x).all(axis=-1, keepdims=True), 0, y).astype(x.dtype)
"""


@pytest.fixture(scope="module")
def users(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.py"
    path.write_text(USERS)
    return path


@pytest.fixture(scope="module")
def isolated():
    with Isolated(timeout=5.0) as executor:
        yield executor


@pytest.fixture(scope="module")
def here():
    with InProcess() as executor:
        yield executor


def measured(candidate: Candidate, executor: Executor, fmt: FloatFormat, regime: str, n: int) -> Tally:
    """The tally of 64 rows of a regime."""
    x = REGIMES[regime].rows(fmt, 64, n, 0, 0)
    values = fmt.to_float64(x)
    rows = Rows(fmt, x, values, truth(values, fmt), 0)
    outcome = executor.run(candidate.spec, x, fmt)
    assert outcome.outputs is not None
    cell = CellKey(candidate.name, "softmax", fmt.name, fmt.name, regime, n)
    return measure(cell, rows, outcome.outputs, candidate.declared(fmt))


def witness_of(tally: Tally, kind: str) -> Witness:
    [found] = [w for w in tally.witnesses if w.kind == kind]
    return found


def entries(witness: Witness) -> np.ndarray:
    fmt = format_named(witness.cell.format)
    return fmt.to_float64(fmt.from_bits(entries_of_hex(witness.x, fmt)))


# How small, how fast -----------------------------------------------------------------------


def test_float16_overflow_among_1024_comes_down_to_one_power_of_two(isolated):
    naive = load("naive")
    witness = witness_of(measured(naive, isolated, F16, "exp-overflow", 1024), "overflow")
    budget = Budget()
    small = shrink(witness, Subject.of(witness.cell, naive, isolated), budget)
    assert Budget().batches - budget.batches <= 10
    assert Budget().elements - budget.elements <= 100
    assert entries(small).tolist() == [16.0], small.x
    assert small.origin == f"{witness.origin}, shrunk from 1024 entries"
    assert small.cell == witness.cell


def test_crowd_that_overflows_comes_down_to_the_fewest_that_do(isolated):
    """65 520 ones are the fewest whose sum rounds beyond float16's largest number."""
    shifted = load("max_shifted")
    x = np.full((1, 66_000), 3.25, dtype=np.float16)
    cell = CellKey("max_shifted", "softmax", "float16", "float16", "tied", x.shape[1])
    bits = F16.to_bits(x).astype(">u2").tobytes().hex()
    zeros = "0000" * x.shape[1]
    small = shrink(
        Witness(cell, "overflow", 0.0, bits, zeros, None, "here"), Subject.of(cell, shifted, isolated)
    )
    assert entries(small).tolist() == [0.0] * 65_520


@pytest.mark.parametrize(("candidate", "name"), [("naive", "float16"), ("online", "bfloat16")])
@pytest.mark.parametrize("regime", ["wide-normal", "exp-overflow", "result-underflow", "masked"])
def test_what_is_shrunk_shows_the_same_and_is_simpler(here, candidate, name, regime):
    found, fmt = load(candidate), FORMATS[name]
    for witness in measured(found, here, fmt, regime, 33).witnesses:
        small = shrink(witness, Subject.of(witness.cell, found, here))
        if small is witness:
            continue
        replay = replay_witness(small, Subject.of(small.cell, found, here))
        again = witness_of(replay.tally, witness.kind)
        assert again.score >= 0.9 * witness.score, (witness.x, small.x)
        assert replay.same_bits, (small.x, small.y)
        rows = [fmt.from_bits(entries_of_hex(w.x, fmt))[None] for w in (small, witness)]
        simple, whole = (keys(fmt, row)[0] for row in rows)
        assert simple < whole, (small.x, witness.x)


def test_row_that_did_not_fail_is_not_shrunk_to_one_that_does(isolated):
    naive = load("naive")
    witness = witness_of(measured(naive, isolated, F32, "standard-normal", 257), "max_ulp")
    small = shrink(witness, Subject.of(witness.cell, naive, isolated))
    assert len(entries(small)) < 257
    assert "ok" in replay_witness(small, Subject.of(small.cell, naive, isolated)).tally.outcomes


def test_shrinking_stays_within_its_budget(isolated):
    naive = load("naive")
    witness = witness_of(measured(naive, isolated, F16, "standard-normal", 1024), "max_ulp")
    budget = Budget(elements=5000, batches=100)
    shrink(witness, Subject.of(witness.cell, naive, isolated), budget)
    assert budget.elements > -(1 << 15) - 1024  # one batch more than there was
    budget = Budget(batches=3)
    shrink(witness, Subject.of(witness.cell, naive, isolated), budget)
    assert budget.batches == 0


# Reduction, with a predicate in place of a candidate --------------------------------------------


@pytest.mark.parametrize("places", [(0,), (511,), (3, 700), (0, 1, 1023), (100, 101, 102, 900)])
def test_only_the_culprits_are_left(places):
    """Rows show it while they hold one entry of each culprit's value."""
    wanted = [1000.0 + i for i in range(len(places))]
    row = np.arange(1024, dtype=np.float32) / 8
    row[list(places)] = wanted
    budget = Budget()

    def shows(x):
        return np.all([(x == w).any(axis=1) for w in wanted], axis=0)

    steps = reduced(row, None, F32, shows, budget)
    assert sorted(steps[-1].tolist()) == wanted
    ranks = [keys(F32, step[None])[0] for step in steps]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(ranks)
    assert all(shows(step[None])[0] for step in steps)


def test_length_at_fault_is_found_exactly():
    steps = reduced(
        np.ones(1000, np.float32), None, F32, lambda x: np.full(len(x), x.shape[1] >= 37), Budget()
    )
    assert steps[-1].tolist() == [0.0] * 37


@pytest.mark.parametrize(
    ("holds", "row", "simplest"),
    [
        (lambda x: (x > 88.72).any(axis=1), [88.7228546, -3.14159, 17.5], [128.0]),
        (lambda x: (x[:, 0] > 88.72) & (x[:, 0] < 100), [88.7228546], [96.0]),
        (lambda x: ((x < 0) & (x > -0.3)).any(axis=1), [-0.123456], [-0.25]),
        (lambda x: np.isneginf(x).any(axis=1) & (x.max(axis=1) > 0), [-np.inf, 7.3, 2], [-np.inf, 1.0]),
    ],
)
def test_entries_become_as_simple_as_they_can_be(holds, row, simplest):
    steps = reduced(np.array(row, dtype=np.float32), None, F32, holds, Budget())
    assert steps[-1].tolist() == simplest


def test_no_row_is_called_twice():
    called = []

    def shows(x):
        called.extend(row.tobytes() for row in x)
        return (x > 88.72).any(axis=1)

    row = np.array([88.7228546, -3.14159, 17.5], dtype=np.float32)
    steps = reduced(row, None, F32, shows, Budget(), rows_at_once=1)
    assert steps[-1].tolist() == [128.0]
    assert len(called) == len(set(called))
    assert row.tobytes() not in called


def test_what_is_known_costs_nothing_and_a_row_left_as_it_is_is_not_changed_again(monkeypatch):
    """Rows of two entries are shortened and simplified, and then neither helps."""
    from harness.witnesses.shrinking import reduction

    changed, batches, rows = [], [], []

    def noted(fmt, row):
        changed.append(row.tobytes())
        return changes(fmt, row)

    def shows(x):
        batches.append(len(x))
        rows.append(x.size)
        return (x > 3.3).any(axis=1) & (x < -1).any(axis=1)

    changes = reduction.changes
    monkeypatch.setattr(reduction, "changes", noted)
    budget = Budget()
    steps = reduced(np.array([3.5, 1, -2.25, 0.5], np.float32), None, F32, shows, budget, rows_at_once=8)
    assert sorted(steps[-1].tolist()) == [-2.0, 4.0]
    assert len(changed) == len(set(changed))
    assert Budget().batches - budget.batches == len(batches)
    assert Budget().elements - budget.elements <= sum(rows)


def test_parts_of_a_row_have_two_lengths_the_longer_ones_first():
    from harness.witnesses.shrinking.reduction import _split

    spans = _split(11, 8)
    assert [s.stop - s.start for s in spans] == [2, 2, 2, 1, 1, 1, 1, 1]
    assert [i for s in spans for i in range(s.start, s.stop)] == [*range(11)]


def test_a_row_of_the_largest_numbers_is_changed_without_a_warning():
    """The middle of two of them is beyond the format."""
    from harness.witnesses.shrinking.changes import changes

    largest = np.finfo(np.float64).max
    with warnings.catch_warnings(action="error"):
        changed = changes(FORMATS["float64"], np.array([largest, np.nextafter(largest, 0)]))
    assert np.isfinite(changed).all()


def test_significands_are_counted_without_trailing_zeros():
    values = np.array([0.0, 1.0, 2.0**-1074, 1.5, 255.0, 1 + 2.0**-52])
    assert significand_bits(values).tolist() == [0, 1, 1, 2, 8, 53]


# Faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "kind"), [("raising", "raised"), ("crashing", "crashed"), ("hanging", "timed_out")]
)
def test_rows_that_crash_hang_or_raise_shrink_at_the_price_of_some_workers(
    users, isolated, function, kind, monkeypatch
):
    monkeypatch.setattr("harness.witnesses.shrinking.interestingness.PATIENCE_SECONDS", 0.3)
    candidate = load(f"{users}:{function}")
    row = np.linspace(-4, 4, 256, dtype=np.float32)
    row[77] = 6.5
    cell = CellKey(candidate.name, "softmax", "float32", "float32", "r", 256)
    bits = F32.to_bits(row).astype(">u4").tobytes().hex()
    budget = Budget()
    small = shrink(
        Witness(cell, kind, 0.0, bits, "", None, "batch 0, row 3"),
        Subject.of(cell, candidate, isolated),
        budget,
    )
    assert Budget().batches - budget.batches <= 20
    assert entries(small).tolist() == [8.0], small.x
    assert small.kind == kind
    assert small.message
    after = isolated.run(candidate.spec, np.zeros((1, 3), np.float32), F32)
    assert after.completed.all(), "shrinking must not use up the executor's patience with a candidate"


def test_witness_that_its_row_alone_does_not_show_stays_as_it_is():
    correct = load("upcast")
    cell = CellKey("upcast", "softmax", "float32", "float32", "r", 2)
    witness = Witness(cell, "max_ulp", 50.0, "3f80000000000000", "3f3b26a83e89654f", 0, "here")
    with InProcess() as executor:
        assert shrink(witness, Subject.of(witness.cell, correct, executor)) is witness


# A run's -----------------------------------------------------------------------------------


class Counted:
    """An executor that counts its calls, and hands them on."""

    def __init__(self, executor: Executor) -> None:
        self.calls, self._run = 0, executor.run

    def run(self, *arguments, **options):
        self.calls += 1
        return self._run(*arguments, **options)


@pytest.fixture(scope="module")
def a_run(tmp_path_factory, here):
    """Return a ledger with its small witnesses, its candidates and witnesses, and how many calls it took."""
    candidates = {name: load(name) for name in ("naive", "max_shifted")}
    tallies = {}
    for candidate in candidates.values():
        for regime in ("wide-normal", "exp-overflow", "result-underflow"):
            for n in (2, 33):
                tally = measured(candidate, here, F16, regime, n)
                tallies[tally.witnesses[0].cell] = tally
    path = tmp_path_factory.mktemp("run") / "run.sqlite"
    with Ledger.create(path, {}, [CellInfo(key, sampled=True) for key in tallies]) as ledger:
        ledger.record("one", tallies, 0.0)
        counted = Counted(here)
        small = shrink_all(ledger, candidates, counted)
        keep_small(ledger, small)
        witnesses = {w.id: w for tally in tallies.values() for w in tally.witnesses}
        yield ledger, candidates, witnesses, small, counted.calls


def test_a_small_witness_stands_for_every_one_of_a_run(a_run, here):
    """Each shows the same kind, nine tenths of the score at least, in no more entries."""
    _, candidates, witnesses, small, calls = a_run
    assert set(small) == set(witnesses)
    made = set(small.values())
    assert len(made) < len(witnesses) / 2
    assert calls <= 2 * 1200 + 3 * len(made), "a candidate's share, and a call before and after each row"
    replays = {w: replay_witness(w, Subject.of(w.cell, candidates[w.cell.candidate], here)) for w in made}
    for identity, witness in witnesses.items():
        found, replay = small[identity], replays[small[identity]]
        assert replay.same_bits, found.x
        assert witness_of(replay.tally, witness.kind).score >= 0.9 * witness.score, (witness.x, found.x)
        assert len(found.x) <= len(witness.x), (witness.x, found.x)
        assert found.cell.candidate == witness.cell.candidate
        before = replay_witness(witness, Subject.of(witness.cell, candidates[witness.cell.candidate], here))
        assert "ok" not in before.tally.outcomes or "ok" in replay.tally.outcomes, (witness.x, found.x)


def test_a_run_is_made_small_the_same_way_every_time_and_within_its_share(a_run, here):
    ledger, candidates, _, small, _ = a_run
    assert shrink_all(ledger, candidates, here) == small
    few = Counted(here)
    assert len(shrink_all(ledger, candidates, few, batches=1)) < len(small)
    assert few.calls < 20
    assert not shrink_all(ledger, {}, here)


def test_a_row_that_hangs_meanwhile_ends_the_shrinking_of_a_candidate(a_run):
    ledger, candidates, _, small, _ = a_run

    class Hanging(InProcess):
        hangs = 0

        def run(self, spec, x, *arguments, **options):
            if (x == 0).all(axis=1).any():
                self.hangs += 1
                return Outcome.failed(len(x), Fault("timed_out", None, "no answer"))
            return super().run(spec, x, *arguments, **options)

    hanging = Hanging()
    found = shrink_all(ledger, candidates, hanging)
    assert hanging.hangs == len(candidates)
    assert set(found) < set(small)


def test_cells_and_lines_name_the_small_witnesses_and_these_are_kept(a_run):
    ledger, _, witnesses, small, _ = a_run
    kept = {w.id for w in (*ledger.document_witnesses(), *witnesses.values())}
    for _, cell in frame(ledger).iterrows():
        for column in ("witness", "max_ulp_witness"):
            assert cell[f"small_{column}"] == small[cell[column]].id
            assert cell[f"small_{column}"] in kept
    for identity, witness in witnesses.items():
        line = json.loads(witness.line(ledger.small()[identity]))
        assert line["small"] == small[identity].id
        assert Witness.from_document(line) == witness
        assert ledger.shrunk().get(identity, witness) == small[identity]


def zero_on_policy_rows(x):
    values = x.astype(np.float64)
    e = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.nan_to_num(e / e.sum(axis=-1, keepdims=True)).astype(x.dtype)


@pytest.mark.parametrize(("regime", "row"), [("all-masked", [-np.inf]), ("positive-infinity", [np.inf])])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_policy_row_is_made_small_as_a_row_of_its_kind(regime, row):
    """What is expected of +inf says nothing of a row of -inf, though both are answered wrongly."""
    candidate = from_function(zero_on_policy_rows)
    with InProcess(load=lambda _: candidate) as executor:
        witness = witness_of(measured(candidate, executor, F16, regime, 9), "policy")
        small = shrink(witness, Subject.of(witness.cell, candidate, executor))
    assert entries(small).tolist() == row
    assert ("is all -inf" if regime == "all-masked" else "holds +inf") in small.message


# Emitted tests -----------------------------------------------------------------------------

EMITTED = [
    ("plain", "float32", "exp-overflow", "overflow"),
    ("plain", "float16", "wide-normal", "max_ulp"),
    ("plain", "float64", "standard-normal", "over_faithful"),
    ("plain", "float16", "standard-normal", "over_rounded"),
    ("plain", "bfloat16", "exp-overflow", "nonfinite"),
    ("plain", "float8_e4m3fn", "exp-overflow", "bound_ratio"),
    ("negative", "float32", "wide-normal", "negative_zero"),
    ("leaking", "float32", "masked", "mask_leak"),
    ("masked_uniform", "float32", "all-masked", "policy"),
    ("raising", "float32", "wide-normal", "raised"),
    ("crashing", "float32", "wide-normal", "crashed"),
]


def emitted(users: Path, executor: Executor, function: str, name: str, regime: str, kind: str) -> str:
    candidate, fmt = load(f"{users}:{function}"), FORMATS[name]
    if kind in ("raised", "crashed"):
        x = np.array([1.0, 6.5], dtype=np.float32)
        bits = F32.to_bits(x).astype(">u4").tobytes().hex()
        cell = CellKey(candidate.name, "softmax", name, name, regime, 2)
        witness = Witness(cell, kind, 0.0, bits, "", None, "here", "said")
    elif kind in ("over_faithful", "over_rounded"):
        witness = replace(witness_of(measured(candidate, executor, fmt, regime, 17), "max_ulp"), kind=kind)
    else:
        witness = witness_of(measured(candidate, executor, fmt, regime, 17), kind)
    return emit_test(shrink(witness, Subject.of(witness.cell, candidate, executor)), candidate)


@pytest.fixture(scope="module")
def emitted_tests(users, isolated, tmp_path_factory):
    """Every case as a file for the defective function, and as one for the correct one."""
    folder = tmp_path_factory.mktemp("emitted")
    for case in EMITTED:
        text = emitted(users, isolated, *case)
        name = "_".join(case)
        (folder / f"test_defective_{name}.py").write_text(text)
        swapped = text.replace(f"MODULE.{case[0]}\n", "MODULE.correct\n")
        assert swapped != text
        (folder / f"test_correct_{name}.py").write_text(swapped)
    return folder


def run_pytest(folder: Path, pattern: str) -> str:
    files = sorted(map(str, folder.glob(pattern)))
    options = ["-q", "-rfp", "-W", "error", "-p", "no:cacheprovider"]
    command = [sys.executable, "-P", "-m", "pytest", *options, *files]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, env=alone).stdout


def test_emitted_tests_fail_for_the_function_they_were_made_of_and_pass_for_a_correct_one(emitted_tests):
    told = run_pytest(emitted_tests, "test_*.py")
    assert told.count("\nFAILED test_defective_") == len(EMITTED), told
    assert told.count("\nPASSED test_correct_") == len(EMITTED), told
    assert f"{len(EMITTED)} failed, {len(EMITTED)} passed" in told.splitlines()[-1], told


def test_an_emitted_test_of_a_sound_row_passes_and_of_another_fails(isolated, tmp_path):
    """Only what `replay` finds sound is held to the bound alone: other rows may keep it and be wrong."""
    candidate = load("max_shifted")
    witness = witness_of(measured(candidate, isolated, F32, "wide-normal", 17), "max_ulp")
    assert witness.score > 4
    replay = replay_witness(witness, Subject.of(witness.cell, candidate, isolated))
    assert replay.is_sound
    assert replay.tally.max_bound_ratio < 1
    (tmp_path / "test_sound.py").write_text(emit_test(witness, candidate, is_sound=True))
    (tmp_path / "test_other.py").write_text(emit_test(witness, candidate))
    told = run_pytest(tmp_path, "test_*.py")
    assert "\nPASSED test_sound.py" in told, told
    assert "\nFAILED test_other.py" in told, told


@pytest.mark.parametrize("kind", ["over_fast", "over_standard", "max_ulp"])
def test_an_emitted_test_asks_for_the_tier_that_the_witness_is_about(isolated, kind):
    """The bounds written out are those of the tier, worked out here by the intervals of mpmath."""
    x = np.linspace(-3, 3, 300, dtype=np.float32)
    row = F32.to_bits(x).astype(">u4").tobytes().hex()
    cell = CellKey("naive", "softmax", "float32", "float32", "here", x.size)
    text = emit_test(Witness(cell, kind, 2.0, row, "", None, "here", ""), load("naive"))
    values = F32.to_float64(x)[None]
    tier = FAST if kind == "over_fast" else STANDARD
    algorithm = tier.algorithm_for(F32, x.size)
    expected = bounds_of_rows(values, truth_mpmath(values, F32), setting_of(algorithm, F32, F32))
    names = {"__name__": "emitted"}
    exec(compile(text, "emitted", "exec"), names)  # noqa: S102 - what a user would run
    most = np.array([entry[3] for entry in names["ENTRIES"]])
    np.testing.assert_allclose(most, expected[0], rtol=2.0**-20)


def test_emitted_tests_need_nothing_of_this_program(emitted_tests):
    for file in emitted_tests.iterdir():
        if file.suffix == ".py":
            text = file.read_text()
            assert not any(
                f"import {room}" in text for room in ("harness", "reference", "reports", "strategies")
            )
            assert "from harness" not in text


TENSORS = """import torch
def softmax(x, dim=-1):
    return torch.exp(x) / torch.exp(x).sum(dim=dim, keepdim=True)
"""


def test_functions_of_tensors_and_native_kernels_are_loaded_by_this_program(tmp_path):
    pytest.importorskip("torch")
    file = tmp_path / "tensors.py"
    file.write_text(TENSORS)
    candidate = load(f"{file}:softmax@torch")
    cell = CellKey(candidate.name, "softmax", "float32", "float32", "r", 1)
    text = emit_test(Witness(cell, "overflow", 0.0, "43000000", "7fc00000", None, "here"), candidate)
    assert f'softmax = load("{file}:softmax@torch").call' in text
    names = {"__name__": "emitted"}
    exec(compile(text, "emitted", "exec"), names)  # noqa: S102 - what a user would run
    with pytest.raises(AssertionError, match=r"y\[0\] = nan, exactly 1.0"):
        names["check"]()


def test_built_in_is_loaded_by_its_name_and_a_bare_function_is_refused():
    cell = CellKey("naive", "softmax", "float32", "float32", "r", 1)
    witness = Witness(cell, "overflow", 0.0, "43000000", "7fc00000", None, "here")
    text = emit_test(witness, load("naive"))
    assert 'softmax = load("naive")' in text
    names = {"__name__": "emitted"}
    exec(compile(text, "emitted", "exec"), names)  # noqa: S102 - what a user would run
    with pytest.raises(AssertionError, match=r"y\[0\] = nan, exactly 1.0"):
        names["check"]()
    with pytest.raises(ValueError, match="no spec"):
        emit_test(witness, replace(from_function(np.exp), spec=""))
    with pytest.raises(ValueError, match="it shows the check 'unchanged'; written tests judge outputs only"):
        emit_test(replace(witness, kind="unchanged"), load("naive"))


def test_a_candidate_that_compiles_for_each_shape_is_given_few_shapes():
    shapes = set()

    def shows(x):
        shapes.add(x.shape)
        return (x > 2).any(axis=1) & (np.abs(x).sum(axis=1) > 5)

    row = np.random.default_rng(4).normal(scale=3, size=300).astype(np.float32)
    steps = reduced(row, None, F32, shows, Budget())
    assert len(steps[-1]) <= 2
    lengths = {length for _, length in shapes}
    assert all(rows & (rows - 1) == 0 for rows, _ in shapes)
    assert len(shapes) <= 3 * len(lengths)
