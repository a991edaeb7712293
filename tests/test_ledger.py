"""The ledger keeps every recorded shard whole, whatever happens to the program, and says what is wrong."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from synthetic_run import SETTINGS, key, ledger_at, overflowing, planned, tally_of

from reports.record.ledger import SCHEMA_VERSION, CellInfo, Ledger, LedgerError, packed
from reports.record.tally import Tally, merge

FIRST, SECOND = key(length=8), key(length=4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_at(tmp_path, FIRST, SECOND) as ledger:
        yield ledger


def test_what_is_recorded_is_read_back_merged_in_the_order_of_the_plan(ledger: Ledger, path: Path) -> None:
    a, b, c = tally_of(SECOND, [0.25]), overflowing(FIRST, [3.0]), tally_of(SECOND, [0.5], batch=1)
    ledger.record("s1", {SECOND: a, FIRST: b}, 0.5)
    ledger.record("s2", {SECOND: c}, 0.25)
    with Ledger.open(path) as reader:
        assert list(reader.tallies()) == [
            (CellInfo(FIRST, sampled=True), merge([Tally(), b])),
            (CellInfo(SECOND, sampled=True), merge([a, c])),
        ]
        assert reader.finished() == {"s1", "s2"}
        assert reader.seconds() == 0.75
        assert reader.settings() == SETTINGS


def test_shards_may_arrive_in_any_order_and_in_any_number(tmp_path: Path) -> None:
    shards = [tally_of(FIRST, [0.1 * i, 2.0**-i], batch=i) for i in range(40)]
    texts = []
    for number, order in enumerate((range(40), reversed(range(40)))):
        with ledger_at(tmp_path / str(number), FIRST) as ledger:
            for i in order:
                ledger.record(f"s{i}", {FIRST: shards[i]}, 0.0)
            texts.append([tally.to_json() for _, tally in ledger.tallies()])
    assert texts[0] == texts[1] == [merge(shards).to_json()]


def test_whole_tallies_are_held_where_they_are_all_of_a_cell(ledger: Ledger, path: Path) -> None:
    a, b, c = tally_of(FIRST, [0.25]), tally_of(SECOND, [0.5]), tally_of(SECOND, [3.0], batch=1)
    ledger.record("s1", {FIRST: packed(a), SECOND: packed(b)}, 0.0, whole={FIRST: a, SECOND: b})
    assert ledger.held() == {FIRST: a, SECOND: b}
    with Ledger.open(path) as reader:
        assert list(reader.tallies()) == list(ledger.tallies())
    ledger.record("s2", {SECOND: packed(c)}, 0.0, whole={SECOND: c})
    assert ledger.held() == {FIRST: a}
    assert [tally for _, tally in ledger.tallies()] == [a, merge([b, c])]


def test_of_a_run_that_goes_on_only_cells_begun_anew_are_held(ledger: Ledger, path: Path) -> None:
    a, b, c = tally_of(FIRST, [0.25]), tally_of(FIRST, [3.0], batch=1), tally_of(SECOND, [0.5])
    ledger.record("s1", {FIRST: a}, 0.0)
    ledger.close()
    with Ledger.open(path, SETTINGS) as ledger:
        ledger.record("s2", {FIRST: b, SECOND: c}, 0.0, whole={FIRST: b, SECOND: c})
        assert ledger.held() == {SECOND: c}
        assert [tally for _, tally in ledger.tallies()] == [merge([a, b]), c]


def test_no_more_is_held_than_there_is_room_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = tally_of(FIRST, [0.25]), tally_of(SECOND, [0.5])
    monkeypatch.setattr(ledger, "_room", max(len(packed(a)), len(packed(b))))
    ledger.record("s1", {FIRST: a}, 0.0, whole={FIRST: a})
    ledger.record("s2", {SECOND: b}, 0.0, whole={SECOND: b})
    assert ledger.held() == {FIRST: a}
    assert [tally for _, tally in ledger.tallies()] == [a, b]


def test_a_cell_that_is_held_no_more_makes_room_for_another(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = tally_of(FIRST, [0.25]), tally_of(FIRST, [3.0], batch=1), tally_of(SECOND, [0.5])
    monkeypatch.setattr(ledger, "_room", max(len(packed(a)), len(packed(c))))
    ledger.record("s1", {FIRST: a}, 0.0, whole={FIRST: a})
    ledger.record("s2", {FIRST: b}, 0.0, whole={FIRST: b})
    ledger.record("s3", {SECOND: c}, 0.0, whole={SECOND: c})
    assert ledger.held() == {SECOND: c}
    assert [tally for _, tally in ledger.tallies()] == [merge([a, b]), c]


def test_a_cell_without_shards_has_an_empty_tally(ledger: Ledger) -> None:
    assert [tally for _, tally in ledger.tallies()] == [Tally(), Tally()]


def test_a_shard_counts_once(ledger: Ledger) -> None:
    ledger.record("s1", {FIRST: tally_of(FIRST, [1.0])}, 0.1)
    before = list(ledger.tallies())
    with pytest.raises(LedgerError, match="shard 's1' is recorded already"):
        ledger.record("s1", {FIRST: tally_of(FIRST, [9.0])}, 0.1)
    assert list(ledger.tallies()) == before


def test_a_shard_with_a_cell_outside_the_plan_is_recorded_not_at_all(ledger: Ledger) -> None:
    stranger = key(candidate="stranger")
    with pytest.raises(LedgerError, match=r"stranger.*not in the plan"):
        ledger.record("s1", {FIRST: tally_of(FIRST, [1.0]), stranger: Tally()}, 0.1)
    assert ledger.finished() == set()


def test_status_and_documents_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    refused = CellInfo(SECOND, sampled=True, status="unsupported", message="TypeError <float32 alone>")
    claim = {"id": 1, "statement": "exp is even", "verdict": "refuted"}
    with Ledger.create(path, SETTINGS, [*planned(FIRST), refused]) as ledger:
        ledger.put("claims", [{**claim, "figures": {"ulp": float("inf"), "none": float("nan")}}])
    with Ledger.open(path) as reader:
        assert reader.cells()[1] == refused
        assert reader.get("claims") == [{**claim, "figures": {"ulp": "inf", "none": None}}]
        assert reader.get("timing") is None


def test_a_reader_cannot_write(ledger: Ledger, path: Path) -> None:
    with Ledger.open(path) as reader, pytest.raises(LedgerError, match="open for reading"):
        reader.put("claims", [])


# One writer ----------------------------------------------------------------------------------


def test_a_second_writer_is_turned_away_until_the_first_is_done(tmp_path: Path, path: Path) -> None:
    with ledger_at(tmp_path, FIRST):
        with pytest.raises(LedgerError, match="another run is writing here"):
            Ledger.open(path, SETTINGS)
        with pytest.raises(LedgerError, match="another run is writing here"):
            Ledger.create(path, SETTINGS, planned(FIRST))
    Ledger.open(path, SETTINGS).close()


def test_an_existing_run_is_never_begun_anew(ledger: Ledger, path: Path) -> None:
    ledger.record("s1", {}, 0.0)
    ledger.close()
    with pytest.raises(LedgerError, match="--resume it, or --overwrite it"):
        Ledger.create(path, SETTINGS, planned(FIRST))
    with Ledger.open(path) as reader:
        assert reader.finished() == {"s1"}


KILLED = """
    import os, pathlib, sys
    from synthetic_run import key, ledger_at, tally_of
    ledger = ledger_at(pathlib.Path(sys.argv[1]), key())
    if os.fork() == 0:  # a worker that outlives the program
        import time
        time.sleep(60)
    for number in range(10**6):
        ledger.record(f"s{number}", {key(): tally_of(key(), [1.0], batch=number)}, 0.0)
        print(number, os.getpid(), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("shards", [1, 5, 23])
def test_killed_at_any_moment_it_keeps_every_shard_it_confirmed(
    tmp_path: Path, path: Path, shards: int
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())])}
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True
    ) as program:
        assert program.stdout is not None
        confirmed = [int(program.stdout.readline().split()[0]) for _ in range(shards)]
        program.kill()  # the worker that it forked lives on, and must not hold the lock
        program.wait()
        with Ledger.open(path, SETTINGS) as ledger:
            assert ledger.finished() >= {f"s{number}" for number in confirmed}
            [(_, tally)] = ledger.tallies()
            assert tally.ulp_count == len(ledger.finished())
            ledger.record("resumed", {key(): tally_of(key(), [1.0], batch=10**7)}, 0.0)
        os.killpg(program.pid, signal.SIGKILL)


# What cannot be used ---------------------------------------------------------------------------


@pytest.fixture
def finished_run(tmp_path: Path, path: Path) -> Path:
    with ledger_at(tmp_path, FIRST) as ledger:
        for number in range(200):
            errors = [1.0 + number * j for j in range(100)]
            ledger.record(f"s{number}", {FIRST: tally_of(FIRST, errors, batch=number)}, 0.0)
    return path


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_truncated_ledger_is_named_so_and_left_alone(finished_run: Path, share: float) -> None:
    content = finished_run.read_bytes()
    part = content[: int(len(content) * share)]
    finished_run.write_bytes(part)
    for settings in (None, SETTINGS):
        with pytest.raises(LedgerError, match="damaged or truncated"):
            Ledger.open(finished_run, settings)
    assert finished_run.read_bytes() == part


@pytest.mark.parametrize("content", [b"", b"hello\n" * 1000, b"SQLite format 3\0"])
def test_a_file_that_is_no_ledger_is_named_so_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for settings in (None, SETTINGS):
        with pytest.raises(LedgerError, match=r"not a ledger|damaged"):
            Ledger.open(path, settings)
    assert path.read_bytes() == content


def test_a_strange_database_is_named_so(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(LedgerError, match="not a ledger of this program"):
        Ledger.open(path, SETTINGS)


def test_no_file_at_all_is_named_so(path: Path) -> None:
    with pytest.raises(LedgerError, match="no run here"):
        Ledger.open(path)


def test_another_schema_version_is_named_so(finished_run: Path) -> None:
    connection = sqlite3.connect(finished_run)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(LedgerError, match=f"schema version {SCHEMA_VERSION + 1}, this program reads"):
        Ledger.open(finished_run)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 8}, "seed was 7, now 8"),
        ({"rows": 5}, 'rows was "not set", now 5'),
        ({"effort": None}, "effort"),
    ],
)
def test_other_settings_are_refused_naming_the_first_that_differs(
    finished_run: Path, change: dict[str, object], named: str
) -> None:
    with pytest.raises(LedgerError, match=named):
        Ledger.open(finished_run, {**SETTINGS, **change})


def test_a_finished_run_is_readable_from_a_folder_that_is_not_writable(finished_run: Path) -> None:
    finished_run.parent.chmod(0o555)
    finished_run.chmod(0o444)
    try:
        with Ledger.open(finished_run) as reader:
            assert len(reader.finished()) == 200
    finally:
        finished_run.parent.chmod(0o755)


def _record_many(ledger: Ledger) -> None:
    for number in range(1, 1000):
        errors = [float(j * number) for j in range(200)]
        ledger.record(f"s{number}", {FIRST: tally_of(FIRST, errors, batch=number)}, 0.0)


def test_on_a_full_disk_it_says_so_and_keeps_what_was_there(tmp_path: Path, path: Path) -> None:
    with ledger_at(tmp_path, FIRST) as ledger:
        ledger.record("s0", {FIRST: tally_of(FIRST, [1.0])}, 0.0)
        [(pages,)] = ledger._select("PRAGMA page_count")
        ledger._select(f"PRAGMA max_page_count = {pages}")  # what SQLite reports as SQLITE_FULL
        with pytest.raises(LedgerError, match="the disk is full"):
            _record_many(ledger)
        survivors = ledger.finished()
        assert "s0" in survivors
    with Ledger.open(path, SETTINGS) as ledger:
        assert ledger.finished() == survivors
        ledger.record("later", {FIRST: tally_of(FIRST, [1.0], batch=9999)}, 0.0)


def test_every_error_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "run.sqlite"
    for attempt in (partial(Ledger.open, missing), partial(Ledger.create, missing, {}, [])):
        with pytest.raises(LedgerError) as caught:
            attempt()
        assert str(missing) in str(caught.value)
        assert "\n" not in str(caught.value)
