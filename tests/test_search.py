"""The search finds what sampling misses, says what it did, and survives what a candidate does.

Evidence that does not come from the search: exhaustive maxima of small formats, brute force over
neighbourhoods and niches, Python integers, and the judge in mpmath.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import combinations, count, pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import cli
from harness.exhaust import NONE, Exhaustion
from harness.replay import replay_witness
from harness.subject.candidates import Candidate, load
from harness.subject.execution import InProcess, Isolated
from harness.subject.subject import Subject
from harness.terminal.exceptions import UsageError
from harness.witnesses.search import INTERRUPTED, OBJECTIVES, SearchResult, search, search_tally
from harness.witnesses.search.archive import Archive
from harness.witnesses.search.lines import Lines
from harness.witnesses.search.mutations import Breeder, Parents, moved, values_of
from harness.witnesses.search.neighbourhood import Neighbourhood
from harness.witnesses.search.novelty import Memory
from harness.witnesses.search.scan import Scan
from reference.formats import FORMATS, FloatFormat
from reports.record.tally import Tally, merge
from strategies.words import Words
from tests.benchmarks.search_comparison import METHODS, Task, of_regime, of_search, of_target
from tests.longer import few_of, sample
from tests.more_formats import EIGHT

MAX_SHIFTED = load("max_shifted")
FLOAT32 = FORMATS["float32"]


@pytest.fixture(scope="module")
def here() -> Iterator[InProcess]:
    with InProcess() as executor:
        yield executor


def candidate_of(function: Callable[[np.ndarray], np.ndarray]) -> tuple[Candidate, InProcess]:
    """Return a function as a candidate, and an executor that calls it."""
    named = Candidate(name=function.__name__, spec=function.__name__, call=function)
    return named, InProcess(load=lambda _: named)


def plain(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def timeless(result: SearchResult) -> dict[str, object]:
    document = result.document()
    del document["seconds"], document["evaluations_per_second"]
    return document


# What it finds ---------------------------------------------------------------------------


def exhaustive(fmt: FloatFormat, executor: InProcess) -> Tally:
    plan = Exhaustion(Subject(MAX_SHIFTED, fmt, fmt, executor), 2, NONE)
    return merge(tally for shard in plan.shards() for tally in plan.measure(shard, executor).tallies.values())


@pytest.mark.parametrize("name", EIGHT)
def test_the_exhaustive_maximum_of_pairs_is_found_in_nine_of_ten_seeds(name: str, here: InProcess) -> None:
    fmt = FORMATS[name]
    every = exhaustive(fmt, here)
    for objective, greatest in (("ulp", every.max_ulp), ("row_sum", every.worst_row_sum_error)):
        found = [
            search(Subject(MAX_SHIFTED, fmt, fmt, here), 2, 6000, seed, objective).score for seed in range(10)
        ]
        assert found.count(greatest) >= 9, f"{objective}: {found} beside {greatest}"


def test_search_finds_more_than_sampling_and_targeting_at_equal_evaluations(here: InProcess) -> None:
    task = Task(MAX_SHIFTED, FLOAT32, 8, here)
    found = [of_search(task, 20_000, seed) for seed in range(5)]
    assert statistics.median(found) > 65
    for regime in ("standard-normal", "uniform-bits"):
        sampled = [of_regime(regime, task, 20_000, seed) for seed in range(3)]
        assert statistics.median(sampled) < statistics.median(found), regime
    few = [of_search(task, 200, seed) for seed in range(5)]
    targeted = [of_target(task, 200, seed) for seed in range(sample(3, 5))]
    assert statistics.median(targeted) < statistics.median(few)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 200 000 examples of Hypothesis, one to four milliseconds of a processor each
@pytest.mark.parametrize(("name", "length"), [("float32", 8), ("float16", 2), ("float64", 8)])
def test_search_finds_more_than_every_other_way_at_twenty_thousand(
    name: str, length: int, here: InProcess
) -> None:
    task = Task(MAX_SHIFTED, FORMATS[name], length, here)
    medians = {
        method: statistics.median(find(task, 20_000, seed) for seed in range(10))
        for method, find in METHODS.items()
    }
    assert max(medians, key=medians.__getitem__) == "search", medians


@pytest.mark.parametrize("seeds", few_of([3, 10], 1))
def test_the_worst_float32_rows_of_eight_are_found(seeds: int, here: InProcess) -> None:
    found = [
        search(Subject(MAX_SHIFTED, FLOAT32, FLOAT32, here), 8, 200_000, seed, "ulp").score or 0.0
        for seed in range(seeds)
    ]
    assert statistics.median(found) >= 69, found


def test_the_worst_float64_row_of_eight_is_found(here: InProcess) -> None:
    result = search(Subject(MAX_SHIFTED, FORMATS["float64"], FORMATS["float64"], here), 8, 200_000, 0, "ulp")
    assert result.score is not None
    assert result.score > 515
    assert result.algorithm_bound is not None
    assert result.score <= result.algorithm_bound


@pytest.mark.slow
def test_the_worst_float16_pair_of_all_is_found_in_nine_of_ten_seeds(here: InProcess) -> None:
    fmt = FORMATS["float16"]
    found = [
        search(Subject(MAX_SHIFTED, fmt, fmt, here), 2, 200_000, seed, "ulp").score or 0.0
        for seed in range(10)
    ]
    assert found.count(max(found)) >= 9
    plan = Exhaustion(
        Subject(MAX_SHIFTED, fmt, fmt, here), 2, NONE.__class__(permutation=True, one_zero=True)
    )
    every = merge(tally for shard in plan.shards() for tally in plan.measure(shard, here).tallies.values())
    assert every.max_ulp == max(found)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("name", "length"), [("float32", 2), ("float16", 3), ("bfloat16", 3)])
def test_nine_of_ten_seeds_find_the_same_row_and_none_a_worse_one(
    name: str, length: int, here: InProcess
) -> None:
    """No proof: `exhaust` takes minutes. That none is worse is seen here from other seeds alone."""
    fmt = FORMATS[name]
    subject = Subject(MAX_SHIFTED, fmt, fmt, here)
    found = [search(subject, length, 60_000, seed, "ulp").score or 0.0 for seed in range(10)]
    assert found.count(max(found)) >= 9, [score.hex() for score in found]


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("length", [2, 3])
def test_rows_of_a_scan_lie_at_the_ends_of_rounding_intervals(name: str, length: int) -> None:
    """Evidence: exact fractions. An end lies at least a quarter of an ulp from what it rounds to."""
    fmt = FORMATS[name]
    scan = Scan(
        Subject(MAX_SHIFTED, fmt, fmt, InProcess()), length, -fmt.largest_ordinal, fmt.largest_ordinal
    )
    rows = np.concatenate(list(scan.batches(2000, 512)))
    values = fmt.to_float64(fmt.from_bits(fmt.from_ordinals(rows)))
    assert len(rows) > 50
    assert len(np.unique(rows, axis=0)) > len(rows) / 2
    ends = 0
    for row in values.tolist():
        d = Fraction(max(row)) - Fraction(min(row))
        z = fmt.decode(fmt.round(d))
        ends += z is not None and abs(d - z) * 4 >= fmt.ulp(z) if z else 0
    assert ends > len(rows) / 2, f"{ends} of {len(rows)}"


def test_a_scan_keeps_to_its_ends() -> None:
    fmt = FORMATS["float16"]
    low, high = fmt.ordinal(fmt.round(Fraction(-4))), fmt.ordinal(fmt.round(Fraction(2)))
    scan = Scan(Subject(MAX_SHIFTED, fmt, fmt, InProcess()), 2, low, high)
    rows = np.concatenate(list(scan.batches(3000, 512)))
    assert len(rows)
    assert low <= rows.min() < rows.max() <= high


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_score_is_the_greatest_figure_of_all_rows_tried(objective: str, here: InProcess) -> None:
    fmt = FORMATS["float8_e4m3fn"]
    result, tally = search_tally(Subject(MAX_SHIFTED, fmt, fmt, here), 3, 4000, 1, objective)
    figures = {
        "ulp": tally.max_ulp,
        "bound_ratio": tally.max_bound_ratio,
        "row_sum": tally.worst_row_sum_error,
    }
    assert tally.rows == result.evaluations == 4000
    assert result.score == figures.get(objective, result.score)
    assert result.witness in tally.witnesses
    assert OBJECTIVES[objective].witness in (result.witness.kind, "lost")


def test_underflow_searches_for_the_greatest_result_returned_as_zero() -> None:
    def flushing(x: np.ndarray) -> np.ndarray:
        y = plain(x)
        return np.where(y < np.float32(1e-3), np.float32(0), y)

    candidate, executor = candidate_of(flushing)
    result = search(Subject(candidate, FLOAT32, FLOAT32, executor), 3, 20_000, 0, "underflow")
    assert result.score is not None
    assert result.score == pytest.approx(1e-3, rel=1e-4)
    assert result.witness is not None
    assert result.witness.kind == "lost"


def test_nothing_is_claimed_where_nothing_is_shown(here: InProcess) -> None:
    result = search(Subject(MAX_SHIFTED, FLOAT32, FLOAT32, here), 1, 500, 0, "underflow")
    assert result.witness is None
    assert result.ulp is None


# What it says ----------------------------------------------------------------------------


def test_the_witness_has_that_error_by_the_judge_in_mpmath(here: InProcess) -> None:
    result = search(Subject(MAX_SHIFTED, FLOAT32, FLOAT32, here), 5, 5000, 3, "ulp")
    witness = result.witness
    assert witness is not None
    again = replay_witness(witness, Subject.of(witness.cell, MAX_SHIFTED, here))
    assert again.same_bits
    assert again.elements[witness.element or 0].ulp == pytest.approx(result.score, abs=1e-6)
    assert result.score == result.ulp


def test_the_same_seed_gives_the_same_search_isolated_or_not(here: InProcess) -> None:
    first = search(Subject(MAX_SHIFTED, FLOAT32, FLOAT32, here), 4, 6000, 7, "ulp")
    with Isolated() as executor:
        second = search(Subject(MAX_SHIFTED, FLOAT32, FLOAT32, executor), 4, 6000, 7, "ulp")
    other = search(Subject(MAX_SHIFTED, FLOAT32, FLOAT32, here), 4, 6000, 8, "ulp")
    assert timeless(first) == timeless(second)
    assert timeless(first) != timeless(other)


@pytest.mark.parametrize("evaluations", [1, 2, 37, 3000])
def test_every_evaluation_is_spent_and_the_curve_rises_to_the_score(
    evaluations: int, here: InProcess
) -> None:
    calls = []
    result = search(
        Subject(MAX_SHIFTED, FLOAT32, FLOAT32, here),
        3,
        evaluations,
        0,
        "ulp",
        observe=lambda t: calls.append(len(t.scores)),
    )
    assert sum(calls) == result.evaluations == evaluations
    steps, scores = zip(*result.curve, strict=True)
    assert list(steps) == sorted(set(steps))
    assert list(scores) == sorted(set(scores))
    assert (scores[-1], steps[-1] <= evaluations) == (result.score, True)


def test_a_polished_row_is_the_worst_of_its_neighbourhood(here: InProcess) -> None:
    fmt = FORMATS["float16"]
    result = search(Subject(MAX_SHIFTED, fmt, fmt, here), 2, 20_000, 0, "ulp")
    assert result.polished
    assert result.neighbourhood == "all changes of one and two entries by up to 4 ulps"
    assert result.witness is not None
    row = fmt.ordinals(np.frombuffer(bytes.fromhex(result.witness.x), ">u2").astype(np.uint16))
    steps = np.array(list(product(range(-4, 5), repeat=2)))
    x = fmt.from_bits(fmt.from_ordinals(row + steps))
    assert Task(MAX_SHIFTED, fmt, 2, here).worst(x) == result.score


# Its parts -------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=200)
def test_steps_stop_at_the_largest_numbers(data: st.DataObject) -> None:
    fmt = FORMATS[data.draw(st.sampled_from(sorted(FORMATS)))]
    largest = fmt.largest_ordinal
    ordinal = data.draw(st.integers(-largest, largest))
    step = data.draw(st.integers(-(2**63) + 1, 2**63 - 1))
    expected = max(-largest, min(largest, ordinal + step))
    assert moved(fmt, np.array([ordinal]), np.array([step])).tolist() == [expected]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("length", [1, 2, 9])
def test_children_are_finite_rows_and_most_of_them_new(name: str, length: int) -> None:
    fmt, words = FORMATS[name], Words(("children", name, length))
    largest = fmt.largest_ordinal
    rows = words.below(2 * largest + 1, (2, 450, length)) - largest
    worst = words.below(length, (450,))
    children = Breeder(fmt, words).children(Parents(rows[0], worst, rows[1]))
    assert children.shape == (450, length)
    assert np.abs(children).max() <= largest
    assert (children != rows[0]).any(axis=1).mean() > 0.5


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-9, 9)), min_size=1, max_size=40), st.integers(1, 8))
def test_the_archive_keeps_the_best_of_each_niche(entries: list[tuple[int, float]], most: int) -> None:
    archive, best = Archive.empty(1, most), dict[int, float]()
    for start in range(0, len(entries), 7):
        places, scores = (np.array(column) for column in zip(*entries[start : start + 7], strict=True))
        archive = archive.joined(places[:, None], scores.astype(float), places, np.zeros_like(places))
    for place, score in entries:
        best[place] = max(score, best.get(place, score))
    if len(best) <= most:
        kept = dict(zip(archive.niches.tolist(), archive.scores.tolist(), strict=True))
        assert kept == best
    assert archive.scores.tolist() == sorted(archive.scores.tolist(), reverse=True)
    assert archive.scores[0] == max(best.values())
    assert (archive.rows[:, 0] == archive.niches).all()


def test_rows_without_a_score_are_never_parents() -> None:
    rows = np.arange(3)[:, None]
    archive = Archive.empty(1, 8).joined(rows, np.array([-np.inf, 1.0, -np.inf]), rows[:, 0], rows[:, 0])
    assert archive.rows.tolist() == [[1]]


@given(st.integers(1, 4), st.integers(1, 3))
def test_a_neighbourhood_holds_all_changes_of_one_and_two_entries(length: int, ulps: int) -> None:
    fmt = FORMATS["float16"]
    row = np.arange(length) * 1000
    hood = Neighbourhood(length, ulps, min(2, length))
    rows = np.concatenate(list(hood.rows(fmt, row, 50)))
    steps = [step for step in range(-ulps, ulps + 1) if step]
    changes = {
        tuple(row + sum(np.eye(length, dtype=int)[i] * step for i, step in zip(where, chosen, strict=True)))
        for count in (1, 2)
        for where in combinations(range(length), count)
        for chosen in product(steps, repeat=count)
    }
    assert len(rows) == hood.size == len(changes)
    assert set(map(tuple, rows.tolist())) == {tuple(map(int, change)) for change in changes}


def test_a_neighbourhood_shrinks_to_what_may_be_spent() -> None:
    assert (Neighbourhood.within(8, 25_000).ulps, Neighbourhood.within(8, 25_000).entries) == (4, 2)
    assert (Neighbourhood.within(1024, 25_000).ulps, Neighbourhood.within(1024, 25_000).entries) == (4, 1)
    assert Neighbourhood.within(1024, 5).entries == 0
    assert all(
        Neighbourhood.within(n, most).size <= most for n in (1, 2, 8, 100) for most in (0, 3, 99, 9999)
    )


def test_memory_knows_rows_tried_and_repeated() -> None:
    memory = Memory(2)
    rows = np.array([[1, 2], [3, 4], [1, 2], [-(2**62), 5]])
    assert memory.stale(rows).tolist() == [2]
    memory.keep(rows[:2])
    assert memory.stale(rows).tolist() == [0, 1, 2]
    assert memory.stale(rows[:, ::-1].copy()).tolist() == [2]


# Candidates that misbehave ---------------------------------------------------------------


def test_a_row_that_raises_costs_that_row() -> None:
    def raising(x: np.ndarray) -> np.ndarray:
        if (x[:, 0] > 1e30).any():
            raise ValueError("too large")
        return plain(x)

    candidate, executor = candidate_of(raising)
    result, tally = search_tally(Subject(candidate, FLOAT32, FLOAT32, executor), 3, 4000, 0, "ulp")
    assert result.evaluations == tally.rows == 4000
    assert result.faults["raised"] == tally.faults["raised"] > 0
    assert 3000 < tally.completed < 4000
    assert result.score is not None
    assert result.score > 50


HANGING = """
import time
import numpy as np

def hangs(x):
    if ((x[:, 0] > 1.0) & (x[:, 0] < 1.001)).any():
        time.sleep(60)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
"""


def test_a_row_that_hangs_costs_that_row(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HANGING)
    candidate = load(f"{tmp_path}/mine.py:hangs")
    with Isolated() as executor:
        result = search(Subject(candidate, FLOAT32, FLOAT32, executor, timeout=0.3), 4, 600, 4, "ulp")
    assert result.faults["timed_out"] > 0
    assert result.evaluations == 600
    assert result.score is not None


def test_a_candidate_that_always_raises_ends_the_search() -> None:
    def broken(x: np.ndarray) -> np.ndarray:
        raise RuntimeError("no luck")

    candidate, executor = candidate_of(broken)
    result = search(Subject(candidate, FLOAT32, FLOAT32, executor), 3, 4000, 0, "ulp")
    assert (result.score, result.witness) == (None, None)
    assert result.stopped
    assert result.evaluations < 4000


def interrupting_at(call: int) -> tuple[Candidate, InProcess]:
    calls = count(1)

    def interrupted(x: np.ndarray) -> np.ndarray:
        if next(calls) == call:
            raise KeyboardInterrupt
        return plain(x)

    return candidate_of(interrupted)


def test_an_interrupt_is_raised_unless_what_was_found_is_asked_for() -> None:
    candidate, executor = interrupting_at(8)
    with pytest.raises(KeyboardInterrupt):
        search(Subject(candidate, FLOAT32, FLOAT32, executor), 3, 4000, 0, "ulp")
    candidate, executor = interrupting_at(8)
    result, tally = search_tally(
        Subject(candidate, FLOAT32, FLOAT32, executor), 3, 4000, 0, "ulp", keep_interrupted=True
    )
    assert result.stopped == INTERRUPTED
    assert 0 < result.evaluations == tally.rows < 4000
    assert result.witness in tally.witnesses


# The command -----------------------------------------------------------------------------


def test_an_interrupted_command_keeps_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import numpy as np\n"
        "calls = iter(range(9))\n"
        "def softmax(x):\n"
        "    if next(calls) == 8: raise KeyboardInterrupt\n"
        "    e = np.exp(x - x.max(axis=-1, keepdims=True))\n"
        "    return e / e.sum(axis=-1, keepdims=True)\n"
    )
    asked = ["search", "mine.py:softmax", "--in-process", "--length", "8"]
    assert cli.run([*asked, "--evals", "4000", "--json"]) == 130
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["stopped"] == "interrupted"
    assert f"what {document['evaluations']} of 4000 evaluations found is kept" in said.err
    assert cli.run(["report", "latest"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"stopped after {document['evaluations']:,} of 4,000 evaluations: interrupted" in told
    assert cli.run(["replay", f"latest#{document['witness']['id']}", "--candidate", "max_shifted"]) == 0


def test_a_folder_that_holds_a_run_is_refused_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["search", "max_shifted", "--in-process", "--evals", "50", "--out", "mine"]
    assert cli.run(arguments) == 0
    searched = "harness.witnesses.search.search_tally"
    monkeypatch.setattr(searched, lambda *_, **__: pytest.fail("searched all the same"))
    assert cli.run(arguments) == UsageError.exit_code
    assert "mine: holds a run already" in capsys.readouterr().err


FAST = ("--format", "float16", "--length", "2", "--evals", "3000")


def test_the_command_keeps_a_witness_that_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["search", "max_shifted", *FAST, "--seed", "5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sample"] == "worst found in 3000 evaluations, seed 5"
    assert document["curve"][-1][1] == document["score"] == document["witness"]["score"]
    for witness in (f"latest#{document['witness']['id']}", json.dumps(document["witness"])):
        assert cli.run(["replay", witness, "--json"]) == 0
        replayed = json.loads(capsys.readouterr().out)
        assert replayed["same_bits"]
        assert replayed["max_ulp"] == pytest.approx(document["score"], abs=1e-6)
    cells = json.loads((tmp_path / document["run"] / "summary.json").read_text())["cells"]
    assert [(c["regime"], c["sampled"], c["rows"]) for c in cells] == [("search", False, 3000)]


def test_the_command_says_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["search", "max_shifted", *FAST]) == 0
    out = capsys.readouterr().out
    for words in ("worst found in 3000 evaluations, seed 0", "a-priori bound", "evaluations a second"):
        assert words in out
    row = re.search(
        r"^    x = (\[.*\])  # bits: ([0-9a-f ]+)\n    python -m harness (replay .*)$", out, re.MULTILINE
    )
    assert row is not None, out
    values, bits, command = row.groups()
    assert np.float16(ast.literal_eval(values)).astype(">f2").tobytes().hex() == bits.replace(" ", "")
    assert cli.run(command.split()) == 0


TAIL = """
import numpy as np

def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    whole = x.shape[-1] // 8 * 8
    e[..., whole:] *= np.float32(1.01)
    return e / e.sum(axis=-1, keepdims=True)
"""


def test_without_a_length_the_entries_beyond_whole_lanes_are_searched_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(TAIL)
    asked = ["search", "mine.py:softmax", "--in-process", "--evals", "1000"]
    assert cli.run([*asked, "--length", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] < 100
    assert cli.run([*asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["score"] > 100_000
    scores = {each["length"]: each["score"] for each in document["lengths"]}
    assert list(scores) == [5, 7, 8, 33, 128]
    assert scores[document["length"]] == document["score"] == max(scores.values())
    assert scores[8] < 100
    assert sum(each["evaluations"] for each in document["lengths"]) == 1000
    cells = json.loads((tmp_path / document["run"] / "summary.json").read_text())["cells"]
    assert sorted(cell["length"] for cell in cells) == [5, 7, 8, 33, 128]
    assert cli.run(["replay", f"latest#{document['witness']['id']}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same_bits"]
    assert cli.run([*asked, "--length", "3", "--length", "9"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in told[:2]] == ["length 3", "length 9"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("max_shifted", "--evals", "4"), "evaluations 4: there are 5 lengths"),
        (("no_such",), "no_such"),
        (("max_shifted", "--format", "float12"), "float12"),
        (("max_shifted", "--objective", "ulps"), "ulps"),
        (("max_shifted", "--evals", "0"), "evaluations 0"),
        (("max_shifted", "--length", "0"), "length 0"),
        (("max_shifted", "--timeout", "-1"), "timeout -1"),
        (("max_shifted", "--format", "float32", "--out-format", "float16"), "float16"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["search", *arguments]) == UsageError.exit_code
    err = capsys.readouterr().err.strip()
    assert named in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("error: ")


def test_what_a_candidate_raises_is_said_on_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(
        "def softmax(x):\n    raise ValueError(f'rows of {x.shape[-1]} are too long')\n"
    )
    arguments = ["--length", "4", "--evals", "8", "--out", str(tmp_path / "out")]
    assert cli.run(["search", f"{tmp_path / 'mine.py'}:softmax", *arguments]) == 3
    said = capsys.readouterr()
    assert " times: ValueError: rows of 4 are too long" in said.out + said.err


RAISING = """
import numpy as np

def softmax(x):
    if (x[..., 0] > 1).any():
        raise ValueError("no")
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
"""


def test_rows_set_aside_end_no_search(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(RAISING)
    asked = ["search", "own.py:softmax", "--format", "float16", "--length", "2", "--evals", "2000", "--json"]
    assert cli.run(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["evaluations"] == 2000
    assert found["stopped"] == ""
    assert found["faults"]["raised"] > 0


# Lines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16"])
def test_a_stretch_runs_through_successive_distances_that_are_rounded_alike(name: str) -> None:
    """Evidence: exact fractions."""
    fmt = FORMATS[name]
    half_an_ulp = 2.0 ** (6 - fmt.precision)
    row = fmt.ordinals(fmt.to_bits(fmt.from_float64([half_an_ulp * 0.75, -71.0])))
    archive = Archive.empty(2, 4).joined(row[None], np.array([9.0]), np.array([0]), np.array([1]))
    lines = Lines(fmt, -fmt.largest_ordinal, fmt.largest_ordinal)
    stretches = [stretch for stretch in lines.next(archive, 9) if not stretch.doubles]
    assert len(stretches) == 4, "two directions, of the row and of its mirror"
    for stretch in stretches:
        values = fmt.to_float64(fmt.from_bits(fmt.from_ordinals(stretch.rows(12))))
        exact = [Fraction(a) - Fraction(b) for a, b in values.tolist()]
        rounded = [Fraction(fmt.decode(fmt.round(d))) for d in exact]
        steps = {abs(b - a) for a, b in pairwise(rounded)}
        assert steps == {2 * Fraction(half_an_ulp)}, [float(step).hex() for step in steps]
        assert len({d - r for d, r in zip(exact, rounded, strict=True)}) == 1
    sides = [np.sign(values_of(fmt, s.row)[0]) for s in stretches]
    assert sorted(sides) == [-1, -1, 1, 1]


def test_a_line_goes_on_where_its_last_stretch_was_best() -> None:
    row = FLOAT32.ordinals(FLOAT32.to_bits(FLOAT32.from_float64([0.0, -71.0])))
    archive = Archive.empty(2, 4).joined(row[None], np.array([9.0]), np.array([0]), np.array([1]))
    lines = Lines(FLOAT32, -FLOAT32.largest_ordinal, FLOAT32.largest_ordinal)
    climb, up, down = lines.next(archive, 9)
    steps = climb.rows(99)[:, 1] - row[1]
    assert sorted(abs(steps).tolist()) == sorted([2**k for k in range(20)] * 2)
    lines.note(up, np.full(5, 3.0))
    lines.note(down, np.full(5, 4.0))
    (first,) = lines.next(archive, 1)
    assert (first.step, first.start) == (down.step, down.start + 5 * down.step)
