"""Slow candidates: how their speed is told, how many rows they get, and what is said when time is over."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import cli
from harness.campaign.campaign import Campaign
from harness.campaign.plan import Plan
from harness.campaign.progress import USUAL_SLOWNESS, Progress
from harness.campaign.schedule import LeftOut, Schedule
from harness.campaign.settings import EFFORTS, Settings, resolve
from harness.campaign.tasks import Shard
from harness.campaign.workload import Workload
from harness.gate.gate_campaign import GATE
from harness.subject.candidates import load
from harness.subject.execution import Fault, InProcess, Isolated, Outcome
from harness.subject.rations import (
    COARSE,
    FINE,
    FORMER_OWN,
    ORDINARY,
    OWN,
    Costs,
    Group,
    Load,
    Ration,
    Rations,
    Speed,
    Times,
    _told_by,
    divided,
    measured,
    own_costs,
    ration_of,
)
from harness.subject.subject import Subject
from harness.terminal.deadline import Deadline
from reference.formats import FORMATS
from reports.record.ledger import Ledger
from reports.record.witness import CellKey

FLOAT32 = FORMATS["float32"]

SLOW = """
import time
import numpy as np

def softmax(x):
    time.sleep({seconds} * (x.size // max(1, x.shape[-1])))
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
"""


def written(folder: Path, seconds: float) -> str:
    (folder / "slow.py").write_text(SLOW.format(seconds=seconds))
    return f"{folder / 'slow.py'}:softmax"


def planned(effort=GATE) -> list[Group]:
    return list(Workload(Settings(effort=effort)).groups(FLOAT32))


# Speed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "row", "entry", "speed"),
    [
        (1e-4, 2e-5, 1e-7, ORDINARY),
        (1e-4, 2e-5, 1e-6, ORDINARY),
        (5e-2, 1e-6, 1e-8, ORDINARY),
        (1e-4, 5e-4, 1e-8, Speed(5, 0)),
        (1e-4, 1e-1, 1e-8, Speed(9, 0)),
        (1e-4, 1e-6, 3e-5, Speed(0, 3)),
        (1e-4, 3e-3, 3e-5, Speed(6, 3)),
        (0.0, 2.0, 0.0, Speed(11, 0)),
    ],
)
def test_a_class_of_speed_is_told_from_a_few_calls(call, row, entry, speed):
    asked = []

    def seconds(rows, length, _slow):
        asked.append(rows * (row + length * entry))
        return call + asked[-1]

    assert _told_by(seconds).speed() == speed
    assert sum(asked) <= 4 + 4 * row, "slow ones are not asked for much"


def test_a_candidate_that_fails_is_not_slow():
    assert _told_by(lambda _rows, _length, _slow: math.inf) == Times()
    assert _told_by(lambda rows, _length, _slow: math.inf if rows > 1 else 0.1) == Times()
    assert Times().speed(COARSE) == ORDINARY


@pytest.mark.parametrize(
    ("compiling", "entry", "slow"), [(2.0, 1e-7, False), (0.7, 1e-7, False), (2.0, 1e-3, True)]
)
def test_what_compiles_for_every_shape_is_not_slow(compiling, entry, slow):
    """The first call of a shape takes long; those that follow show the speed."""
    shapes = set()

    class Compiling:
        def run(self, _spec: str, x: Any, *_: Any, **_options: Any) -> Outcome:
            took = entry * x.size + (0.0 if x.shape in shapes else compiling)
            shapes.add(x.shape)
            return replace(Outcome(x, np.ones(len(x), np.bool_)), seconds=took)

    fmt = FORMATS["float32"]
    assert measured(Subject(load("naive"), fmt, fmt, Compiling())).speed().is_slow is slow


# Rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("effort", ["quick", "standard", "deep"])
def test_who_is_not_slow_is_given_every_row(effort):
    groups = planned(EFFORTS[effort])
    assert ration_of(ORDINARY, groups, EFFORTS[effort].slow_seconds) is None
    fairly_slow = Speed(4, 0)
    assert ration_of(fairly_slow, groups, EFFORTS[effort].slow_seconds) is None


@pytest.mark.parametrize("speed", [Speed(5, 0), Speed(6, 0), Speed(8, 0), Speed(0, 3), Speed(5, 3)])
@pytest.mark.parametrize("seconds", [60.0, 240.0, 3600.0])
def test_a_ration_ends_in_time_and_leaves_no_more_out_than_it_must(speed, seconds):
    groups = planned()
    ration = ration_of(speed, groups, seconds)
    if ration is None:
        assert sum(speed.seconds(g.rows, g.length) for g in groups) <= seconds
        return
    assert seconds / 8 <= ration.total(groups) <= seconds
    assert all(0 <= ration.rows(group) <= group.rows for group in groups)
    assert Ration.from_document(json.loads(json.dumps(ration.document()))) == ration
    longer = ration_of(speed, groups, 4 * seconds)
    assert longer is None or all(longer.rows(group) >= ration.rows(group) for group in groups)


def test_a_kernel_of_a_millisecond_a_row_has_rows_in_every_cell_of_the_gate():
    ration = ration_of(Speed(5, 0), planned(), GATE.slow_seconds)
    assert ration is not None
    assert min(ration.rows(group) for group in planned()) > 0


def cell_of(shard: Shard, candidate: str) -> CellKey:
    """The cell of a softmax that a shard is a part of."""
    return CellKey(candidate, "softmax", shard.format.name, shard.out_format.name, shard.regime, shard.length)


def test_the_rows_of_a_slow_candidate_are_the_first_of_the_others_rows():
    settings = Settings(
        ("max_shifted", "naive"), (FLOAT32,), regimes=("tied", "known-bugs"), effort=EFFORTS["quick"]
    )
    whole = Plan(settings, tuple(load(name) for name in settings.candidates))
    ration = Ration(Speed(8, 0), 2, None, 60)
    few = replace(whole, rations={("naive", "float32"): ration})
    alone = replace(whole, candidates=whole.candidates[:1])
    seen: dict[str, list[np.ndarray]] = {"max_shifted": [], "naive": []}

    class Seeing(InProcess):
        def run(self, spec, x, *more, **options):
            seen[spec].append(x)
            return super().run(spec, x, *more, **options)

    shards = [shard for shard in few.shards() if shard.length <= 17]
    assert shards == [shard for shard in whole.shards() if shard.length <= 17]
    with Seeing() as executor:
        tallies = [Campaign(few).measure(shard, executor).tallies for shard in shards]
        apart = [Campaign(alone).measure(shard, executor).tallies for shard in shards]
    for shard, found, other in zip(shards, tallies, apart, strict=True):
        own = found[cell_of(shard, "naive")]
        kind = "known" if shard.regime == "known-bugs" else "drawn"
        assert own.rows == ration.rows(Group(shard.rows, shard.length, kind)) <= shard.rows
        assert found[cell_of(shard, "max_shifted")] == other[cell_of(shard, "max_shifted")]
    assert any(
        found[cell_of(shard, "naive")].rows < shard.rows for shard, found in zip(shards, tallies, strict=True)
    )
    for own, other in zip(seen["naive"], seen["max_shifted"], strict=False):
        np.testing.assert_array_equal(own, other[: len(own)])


def test_what_is_left_out_of_a_gate_has_no_verdict():
    from harness.gate.decision import _never_reached

    settings = Settings(("naive",), (FLOAT32,), effort=GATE)
    plan = Plan(settings, (load("naive"),))
    complete = ration_of(Speed(5, 0), planned(), 240.0)
    assert list(_never_reached(Schedule(replace(plan, rations={("naive", "float32"): complete})))) == []
    partial = ration_of(Speed(5, 5), planned(), 60.0)
    [verdict] = _never_reached(Schedule(replace(plan, rations={("naive", "float32"): partial})))
    assert verdict.status == "not_run"
    assert "were not measured" in verdict.message
    assert "--max-time" in verdict.message


# A time that is set ----------------------------------------------------------------------


@pytest.mark.parametrize("row", [0.0, 2e-7, 3e-6, 5e-5, 1e-3])
@pytest.mark.parametrize("entry", [0.0, 4e-8, 5e-7, 3e-6, 1e-4])
def test_a_fine_class_is_within_a_factor_of_what_was_measured(row, entry):
    speed = Times(row, entry).speed(FINE)
    for told, was in ((speed.row_seconds, row), (speed.entry_seconds, entry)):
        assert (not was and not told) or was / 1.42 < told < 1.42 * was
    assert speed.is_slow == (row >= 64e-6 or entry >= 4e-6) == Times(row, entry).speed().is_slow


@pytest.mark.parametrize("entry", [0.0, 4e-8, 5e-7, 3e-6, 1e-4])
@pytest.mark.parametrize("seconds", [2.0, 5.0, 30.0, 300.0])
def test_cells_take_most_of_a_time_that_is_set_and_no_more(entry, seconds):
    """The costs are added up here by the rows of each cell alone."""
    groups, speed = planned(), Times(1e-6, entry).speed(FINE)

    def seconds_of(rows: list[int]) -> float:
        row, of_entry = OWN.row + speed.row_seconds, OWN.entry + speed.entry_seconds
        return sum(
            OWN.cell + count * (row + group.length * of_entry)
            for count, group in zip(rows, groups, strict=True)
            if count
        )

    ration = ration_of(speed, groups, seconds, OWN)
    if ration is None:
        assert seconds_of([group.rows for group in groups]) <= seconds
        return
    assert seconds_of([group.rows for group in groups]) > seconds
    assert seconds / 3 <= seconds_of([ration.rows(group) for group in groups]) <= seconds


def test_rows_that_are_shared_cost_once():
    shared, judged = own_costs(1).row - 2 * (own_costs(1).row - own_costs(2).row), own_costs(2).row
    assert own_costs(1) == pytest.approx(OWN)
    assert judged < OWN.row < 2 * judged
    assert own_costs(1000).row == pytest.approx(shared, rel=0.01)


@pytest.mark.parametrize(
    ("needs", "seconds", "parts"),
    [
        ([1.0, 2.0], 10.0, [1.0, 2.0]),
        ([9.0, 1.0, 9.0], 7.0, [3.0, 1.0, 3.0]),
        ([5.0, 5.0], 4.0, [2.0, 2.0]),
        ([], 4.0, []),
    ],
)
def test_what_one_does_not_need_is_for_the_others(needs, seconds, parts):
    assert divided(needs, seconds) == pytest.approx(parts)


CHECKING = Load(1.0, 1_000_000, 100_000_000)


class Fast:
    """Calls whose entries take a time."""

    def __init__(self, entry: float) -> None:
        self.entry = entry

    def run(self, _spec: str, x: Any, *_: Any, **_options: Any) -> Outcome:
        return replace(Outcome(x, np.ones(len(x), np.bool_)), seconds=self.entry * x.size)


def in_time(entry: float, max_time: float | None, jobs: int = 2) -> Rations:
    settings = Settings(("naive",), (FLOAT32,), effort=GATE, max_time=max_time, jobs=jobs)
    plan = Plan(settings, (load("naive"),))
    return Schedule.rationed(plan, Fast(entry), CHECKING).plan.rations


@pytest.mark.parametrize("entry", [1e-8, 1e-7, 5e-7])
def test_nothing_is_left_out_where_all_ends_in_time(entry):
    """A gate of NumPy's softmax takes 12 s of a quiet machine of two processors, and one of 0.5 us 34 s."""
    assert in_time(entry, 100.0) == {}
    assert in_time(entry, 5.0)
    assert in_time(entry, None) == {}


def test_fewer_rows_are_left_out_by_more_processors():
    [one], [two] = (in_time(5e-7, 20.0, jobs).values() for jobs in (1, 2))
    assert one.target < two.target
    assert in_time(1e-8, 15.0, jobs=2) == {} != in_time(1e-8, 15.0, jobs=1)


def test_the_ration_of_a_former_version_is_read_as_it_was_meant():
    """A row of 4 entries of a candidate that is not slow was taken to cost 26 us."""
    former = {"row": 0, "entry": 0, "halvings": 9, "timed": True, "target": 5}
    ration = Ration.from_document(former)
    assert ration.own == FORMER_OWN
    assert ration.document() == former
    assert ration.rows(Group(100_000, 4)) == int(32.0 / 2**9 / 26e-6)
    slow = Ration.from_document({**former, "row": 5})
    assert slow.row_seconds(4) == pytest.approx(512e-6 + 26e-6)


@pytest.mark.parametrize("own", [OWN, own_costs(3), Costs(0.0, 0.0, 1e-7)])
def test_a_ledger_keeps_what_the_program_was_taken_to_spend(own):
    """Other costs are other rows: a run goes on with its own, whatever they are in a later version."""
    from reports.record.documents import SETTINGS

    ration = Ration(Times(1e-6, 5e-7).speed(FINE), 3.25, own, 30)
    document = json.loads(json.dumps(ration.document()))
    SETTINGS({"rations": {"naive": {"float32": document}}}, "")
    assert Ration.from_document(document) == ration


def test_an_untimed_ration_is_written_as_it_was():
    ration = Ration(Speed(5, 0), 2, None, 60)
    assert ration.document() == {"row": 5, "entry": 0, "halvings": 2, "timed": False, "target": 60}


@pytest.mark.parametrize(("own", "when"), [(OWN, "in time"), (None, "in about 2 s")])
def test_where_no_row_fits_that_is_said(own, when):
    ration = Ration(Times(3.0, 0.0).speed(FINE), 30, own, 2)
    told = LeftOut.of(ration, [Group(40, 3, "drawn"), Group(8, 17, "further")]).line()
    assert told.endswith(
        f"none of 48 rows can be measured to end {when}; --max-time SECONDS sets a longer time"
    )


# By the command --------------------------------------------------------------------------


def test_a_time_is_kept_told_and_gone_on_with(tmp_path, capsys):
    out, spec = tmp_path / "run", written(tmp_path, 4e-4)
    command = ["run", spec, "--format", "float32", "--regime", "tied", "--effort", "quick", "--jobs", "1"]
    command += ["--length", "3", "--length", "17", "--in-process", "--out", str(out)]
    assert cli.run([*command, "--max-time", "4", "--resume"]) in (0, 3)
    told = capsys.readouterr().err
    assert f"{out}: there is no run to resume; a new one begins" in told
    assert "a row takes 256 us to 512 us, so " in told
    assert "to end in time; " in told
    with Ledger.open(out / "run.sqlite") as ledger:
        begun = ledger.settings()["rations"]
        rows = sum(tally.rows for _, tally in ledger.tallies())
    assert 0 < rows < sum(EFFORTS["quick"].rows(length) for length in (3, 17))
    assert cli.run([*command, "--resume"]) == 0, "the class is the ledger's, whatever would be measured now"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["rations"] == begun
    assert sum(cell["rows"] for cell in summary["cells"]) == rows
    violated = [check["check"] for check in summary["checks"] if check["status"] == "violated"]
    assert set(violated) <= {"permutation"}, "the sum of NumPy depends on the order of its terms"
    assert sum(check["status"] == "ok" for check in summary["checks"]) > 10


def over_after_a_shard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the time be over when a shard is kept; return the names of those that are."""
    kept: list[str] = []
    monkeypatch.setattr(Deadline, "is_over", property(lambda _: bool(kept)))
    record = Ledger.record

    def record_and_end(ledger: Ledger, *args: Any, **kwargs: Any) -> None:
        record(ledger, *args, **kwargs)
        kept.append(args[0])

    monkeypatch.setattr(Ledger, "record", record_and_end)
    return kept


@pytest.mark.parametrize("seconds", ["0.5", "1"])
def test_a_gate_without_time_for_its_rows_gives_no_verdict(tmp_path, capsys, seconds):
    command = ["gate", "max_shifted", "--tier", "standard", "--format", "float16", "--jobs", "1"]
    assert cli.run([*command, "--max-time", seconds, "--out", str(tmp_path / "run")]) == 3
    assert "no verdict" in "".join(capsys.readouterr())


def test_a_run_whose_time_is_over_says_what_is_kept(tmp_path, monkeypatch, capsys):
    """The time is over as soon as the first shard is kept."""
    kept = over_after_a_shard(monkeypatch)
    command = ["run", "naive", "--format", "float16", "--regime", "tied", "--effort", "quick", "--in-process"]
    assert cli.run([*command, "--max-time", "30", "--out", str(tmp_path / "run")]) == 3
    told = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"error: --max-time 30: \d+ of \d+ shards are kept in ", told), told
    assert "--resume" in told
    assert kept


def test_a_gate_whose_time_is_over_says_what_remains(tmp_path, monkeypatch, capsys):
    """The time is over as soon as the first shard is kept."""
    over_after_a_shard(monkeypatch)
    command = ["gate", "naive", "--tier", "standard", "--format", "float8_e4m3fn", "--jobs", "1"]
    assert cli.run([*command, "--max-time", "30", "--out", str(tmp_path / "run")]) == 3
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: no verdict: --max-time 30 was over, and ")
    assert "remain" in told


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e9"])
def test_a_time_without_sense_is_refused(seconds, capsys):
    assert cli.run(["run", "naive", f"--max-time={seconds}"]) == 2
    assert "max-time" in capsys.readouterr().err


def test_the_progress_tells_how_long_the_rest_takes(monkeypatch, capsys):
    from harness.terminal.console import notes

    plan = Plan(resolve({"candidates": ["naive"], "effort": "quick"}), (load("naive"),))
    schedule = Schedule(plan)
    shards = [shard for shard in plan.shards() if shard.sampled]
    clock = iter(range(0, 100_000, 30))
    monkeypatch.setattr("harness.campaign.progress.monotonic", lambda: float(next(clock)))
    with Progress(notes(), shards, schedule.seconds) as progress:
        for shard in shards[:6]:
            progress(shard, {})
    assert "% done, about " in capsys.readouterr().err


@pytest.mark.parametrize("slowness", [0.5, 3.0])
def test_the_first_drawn_rows_say_once_how_long_all_takes(slowness, monkeypatch, capsys):
    """The clock goes by a task's weight times a slowness, and half an hour for all fixed rows."""
    from harness.terminal.console import notes

    plan = Plan(resolve({"candidates": ["naive"], "effort": "standard"}), (load("naive"),))
    schedule = Schedule(plan)
    shards = list(plan.shards())
    now = 0.0
    monkeypatch.setattr("harness.campaign.progress.monotonic", lambda: now)
    drawn = sum(schedule.seconds(shard) for shard in shards if shard.sampled)
    fixed = [shard for shard in shards if not shard.sampled]
    checks = 1000.0
    with Progress(notes(), shards, schedule.seconds, checks) as progress:
        for shard in shards:
            now += slowness * schedule.seconds(shard) if shard.sampled else 1800 / len(fixed)
            progress(shard, {})
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("measuring takes")]
    assert len(lines) == 1
    whole, rest = (_seconds(text) for text in re.findall(r"(?:about|and) ((?:\d+ min )?\d+ s)", lines[0]))
    assert whole == pytest.approx(1800 + slowness * drawn, rel=0.05), lines
    assert rest == pytest.approx(slowness * checks, rel=0.05), lines


@pytest.mark.parametrize("tasks", [1, 40])
def test_the_start_of_workers_is_not_taken_for_the_pace_of_checks(tasks, monkeypatch, capsys):
    """The first task takes a quarter of a minute, in which libraries are imported; a task takes a second.

    The checks take 100 s at slowness 1. After a single task `USUAL_SLOWNESS` is assumed.
    """
    from harness.terminal.console import notes

    plan = Plan(resolve({"candidates": ["naive"], "effort": "standard"}), (load("naive"),))
    shards = [shard for shard in plan.shards() if shard.sampled][:tasks]
    now = 0.0
    monkeypatch.setattr("harness.campaign.progress.monotonic", lambda: now)
    with Progress(notes(), shards, lambda _: 1.0, 100.0) as progress:
        for number, shard in enumerate(shards):
            now += 2.0 + (15.0 if number == 0 else 0.0)
            progress(shard, {})
    [told] = [line for line in capsys.readouterr().err.splitlines() if "checks" in line]
    [rest] = re.findall(r"((?:\d+ min )?\d+ s)(?: more for the checks)?$", told)
    assert _seconds(rest) == (USUAL_SLOWNESS * 100 if tasks == 1 else 200), told


def _seconds(text):
    parts = [int(number) for number in re.findall(r"\d+", text)]
    return sum(number * 60**place for place, number in enumerate(reversed(parts)))


def test_a_candidate_that_fails_is_left_to_the_campaign_after_one_call() -> None:
    """More would use up the batches that it may lose, and then nothing is tried, and nothing told."""

    class Failing:
        calls = 0

        def run(self, _spec: str, x: Any, *_: Any, **_options: Any) -> Outcome:
            self.calls += 1
            return Outcome.failed(len(x), Fault("crashed", 0, "died"))

    executor = Failing()
    fmt = FORMATS["float32"]
    assert measured(Subject(load("naive"), fmt, fmt, executor)) == Times()
    assert executor.calls == 1


BUSY = """
import time
import numpy as np

def softmax(x):
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    return x
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells waits for a processor")
def test_how_long_a_call_takes_is_told_without_waits_for_a_processor(tmp_path):
    (tmp_path / "busy.py").write_text(BUSY)
    (tmp_path / "slow.py").write_text(SLOW.format(seconds=0.1))
    x, allowed = np.ones((1, 4), dtype=np.float32), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    endless = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    others: list[subprocess.Popen[bytes]] = []
    try:
        with Isolated() as executor:
            for name in ("busy", "slow"):  # starts the workers
                executor.run(f"{tmp_path}/{name}.py:softmax", x, FLOAT32)
            for _ in range(2):  # a share for each
                others.append(subprocess.Popen(endless, stdout=subprocess.PIPE, start_new_session=True))
                assert others[-1].stdout is not None
                assert others[-1].stdout.readline() == b"\n"
            start = time.monotonic()
            busy = executor.run(f"{tmp_path}/busy.py:softmax", x, FLOAT32).seconds
            assert time.monotonic() - start > 1.2 * busy, "three share a processor"
            asleep = executor.run(f"{tmp_path}/slow.py:softmax", x, FLOAT32).seconds
    finally:
        os.sched_setaffinity(0, allowed)
        for other in others:
            other.kill()
            other.communicate()
    assert 0.09 <= busy <= 0.15
    assert asleep >= 0.1


def test_what_is_lost_on_the_way_is_no_sign_of_a_slow_candidate() -> None:
    """Rows that crash together come back as parts, after the starts of several processes."""

    class Recovering:
        def run(self, _spec: str, x: Any, *_: Any, **_options: Any) -> Outcome:
            if len(x) == 1:
                return Outcome(x, np.ones(1, dtype=np.bool_))
            time.sleep(0.1)
            return Outcome(x, np.ones(len(x), dtype=np.bool_), (Fault("crashed", None, "died"),))

    fmt = FORMATS["float32"]
    assert measured(Subject(load("naive"), fmt, fmt, Recovering())) == Times()


WAITING = """
import os, time
import numpy as np

def softmax(x):
    while ({where}) and not os.path.exists({go!r}):
        time.sleep(0.1)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
"""


@pytest.mark.parametrize(
    ("where", "jobs", "left"),
    [
        ("x.shape[-1] == 5 and x.ndim == 2 and len(x) > 9", "2", "1 of 2 shards are kept"),
        ("x.ndim == 3", "1", "all 2 shards, and the checks of 0 of 1 candidates and formats, are kept"),
    ],
    ids=["in a shard", "in a check"],
)
def test_a_time_is_looked_at_in_the_midst_of_a_call(tmp_path, monkeypatch, capsys, where, jobs, left):
    monkeypatch.setattr("harness.terminal.deadline.GRACE", 0.5)
    out, go = tmp_path / "run", tmp_path / "go"
    (tmp_path / "waiting.py").write_text(WAITING.format(where=where, go=str(go)))
    command = ["run", f"{tmp_path}/waiting.py:softmax", "--format", "float32", "--regime", "tied"]
    command += ["--length", "3", "--length", "5", "--rows", "10", "--effort", "brief", "--jobs", jobs]
    command += ["--out", str(out)]
    start = time.monotonic()
    assert cli.run([*command, "--max-time", "2"]) == 3
    assert time.monotonic() - start < 40, "the time limit of a call is 60 s"
    assert f"--max-time 2: {left}" in capsys.readouterr().err
    go.touch()
    assert cli.run([*command, "--resume"]) == 0
    cells = json.loads((out / "summary.json").read_text())["cells"]
    assert [(cell["rows"], cell["status"]) for cell in cells] == [(10, "ok")] * 2


@pytest.mark.parametrize("command", [["run"], ["gate", "--tier", "standard"]])
def test_many_candidates_are_imported_no_longer_than_there_is_time(tmp_path, capsys, command):
    specs = []
    for number in range(8):
        text = "import time\nopen(__file__ + '.begun', 'w')\ntime.sleep(1)\nsoftmax = abs\n"
        (tmp_path / f"slow{number}.py").write_text(text)
        specs.append(f"{tmp_path}/slow{number}.py:softmax")
    assert cli.run([*command, *specs, "--max-time", "0.5", "--out", str(tmp_path / "run")]) == 3
    assert 1 <= len(list(tmp_path.glob("*.begun"))) <= 3
    assert "--max-time 0.5: over before the first row was measured" in capsys.readouterr().err


def test_what_is_compiled_meanwhile_takes_nothing_of_a_time():
    deadline = Deadline.in_seconds(0.05)
    with deadline.paused():
        time.sleep(0.1)
    deadline.check()
    time.sleep(0.1)
    assert deadline.is_over
    deadline.check_grace()
