"""A deep campaign searches for the worst rows, records each search once, and says what its figures are of.

Evidence: the search called by itself, a campaign broken off and taken up again, figures made up.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.campaign.campaign import Campaign
from harness.campaign.plan import Plan
from harness.campaign.settings import EFFORTS, Settings
from harness.subject.candidates import load
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from harness.witnesses.search import search
from reference.formats import FORMATS
from reports.record.cells import SEARCHED
from reports.record.ledger import CellInfo, Ledger
from reports.record.run_folder import open_ledger
from reports.record.tally import Tally
from reports.record.witness import CellKey
from reports.rundata import RunData, build
from reports.sections.search import render
from reports.verdict import sentences
from tests.synthetic_run import key, overflowing, profiled, tally_of

FLOAT16, FLOAT32 = FORMATS["float16"], FORMATS["float32"]
SEARCHED_ALONE = Settings(
    formats=(FLOAT16, FLOAT32), regimes=(SEARCHED,), lengths=(2, 5), rows=400, seed=3, effort=EFFORTS["deep"]
)


class Killed(BaseException):
    """What a kill is to the loop."""


def planned(settings: Settings) -> Plan:
    return Plan(settings, tuple(load(spec) for spec in settings.candidates))


def filled(
    folder: Path, settings: Settings, killed_after: int = 0
) -> tuple[list[tuple[CellInfo, Tally]], Any]:
    """Return the cells and the document `search` of a campaign, killed when so many pieces are recorded."""
    recorded = []

    def progress(piece: object, _: object) -> None:
        recorded.append(piece)
        if len(recorded) == killed_after:
            raise Killed

    plan = planned(settings)
    folder.mkdir(exist_ok=True)
    with open_ledger(folder, settings.identity(), list(plan.cells())) as ledger, InProcess() as executor:
        Campaign(plan).run(ledger, executor, progress)
        return list(ledger.tallies()), ledger.get("search")


# The plan --------------------------------------------------------------------------------


def test_deep_runs_search_short_rows_of_every_candidate_and_format() -> None:
    deep = planned(Settings(effort=EFFORTS["deep"]))
    found = {(s.candidate, s.format.name, s.length) for s in deep.searches()}
    lengths = {n for n in EFFORTS["deep"].lengths if n <= 257}
    assert {1, 2, 8, 257} <= lengths
    names = [f.name for f in deep.settings.formats]
    assert found == {(c, f, n) for c in ("naive", "max_shifted") for f in names for n in lengths}
    assert {info.key.length for info in deep.cells() if info.key.regime == SEARCHED} == lengths


@pytest.mark.parametrize("effort", ["quick", "standard"])
def test_other_runs_search_where_asked_to(effort: str) -> None:
    assert not list(planned(Settings(effort=EFFORTS[effort])).searches())
    asked = Settings(effort=EFFORTS[effort], regimes=(SEARCHED, "tied"), lengths=(9,))
    assert {s.length for s in planned(asked).searches()} == {9}
    assert not list(planned(Settings(effort=EFFORTS["deep"], regimes=("tied",))).searches())


def test_evaluations_follow_the_effort_or_the_rows_asked_for() -> None:
    deep = EFFORTS["deep"]
    assert (deep.evaluations(8), deep.evaluations(257)) == (200_000, 2 * deep.elements // 257)
    assert {s.evaluations for s in planned(SEARCHED_ALONE).searches()} == {400}


# What is found ---------------------------------------------------------------------------


def test_cells_hold_what_the_search_by_itself_finds(tmp_path: Path) -> None:
    cells, documents = filled(tmp_path, SEARCHED_ALONE)
    assert len(cells) == len(documents) == 8
    told = {(d["candidate"], d["format"], d["length"]): d for d in documents}
    with InProcess() as executor:
        for info, tally in cells:
            cell = info.key
            alone = search(Subject.of(cell, load(cell.candidate), executor), cell.length, 400, 3, "ulp")
            assert (tally.rows, tally.max_ulp) == (400, alone.score), cell
            document = told[cell.candidate, cell.format, cell.length]
            assert document["curve"] == [list(step) for step in alone.curve], cell
            assert document["witness"] in {w.id for w in tally.witnesses}, cell
            assert document["sample"] == "worst found in 400 evaluations, seed 3"


@pytest.mark.parametrize("pieces", [1, 5])
def test_a_campaign_killed_in_its_searches_ends_as_if_it_had_not_been(tmp_path: Path, pieces: int) -> None:
    with pytest.raises(Killed):
        filled(tmp_path / "killed", SEARCHED_ALONE, killed_after=pieces)
    resumed, whole = (filled(tmp_path / name, SEARCHED_ALONE) for name in ("killed", "whole"))
    assert resumed[0] == whole[0]
    assert [timeless(d) for d in resumed[1]] == [timeless(d) for d in whole[1]]


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in document.items() if k not in ("seconds", "evaluations_per_second")}


def test_cells_and_curves_are_the_same_whatever_the_jobs(tmp_path: Path) -> None:
    few, many = (filled(tmp_path / str(n), replace(SEARCHED_ALONE, jobs=n)) for n in (1, 3))
    assert few[0] == many[0]
    assert [timeless(d) for d in few[1]] == [timeless(d) for d in many[1]]


def test_the_report_draws_the_curves(tmp_path: Path) -> None:
    filled(tmp_path, SEARCHED_ALONE)
    with Ledger.open(tmp_path / "run.sqlite") as ledger:
        drawn = str(render(build(ledger, "made-up")))
    assert drawn.count("worst found in 400 evaluations, seed 3") == 8
    assert "max_shifted float32 n=5" in drawn


# What is said ----------------------------------------------------------------------------


def run_of(folder: Path, *tallies: tuple[CellKey, Tally]) -> RunData:
    plan = [CellInfo(cell, sampled=cell.regime != SEARCHED) for cell, _ in tallies]
    folder.mkdir(exist_ok=True)
    with open_ledger(folder, {"seed": 7}, plan) as ledger:
        ledger.record("all", dict(tallies), 1.0)
        return build(ledger, "made-up")


def test_a_searched_figure_is_said_to_be_one(tmp_path: Path) -> None:
    drawn, found = key(), key(regime=SEARCHED)
    run = run_of(tmp_path, (drawn, tally_of(drawn, [2.0], rows=4)), (found, tally_of(found, [9.0], rows=6)))
    told = " ".join(sentences(run))
    assert "9 ULP (naive, float32, search, n=8); worst found in 6 evaluations, seed 7." in told


def test_rates_are_those_of_drawn_rows_where_these_have_any(tmp_path: Path) -> None:
    drawn, found = key(), key(regime=SEARCHED)
    often = (found, overflowing(found, [1.0], rows=4, failed=4))
    some = run_of(tmp_path / "some", (drawn, overflowing(drawn, [1.0], rows=4, failed=1)), often).standings[0]
    none = run_of(tmp_path / "none", (drawn, tally_of(drawn, [1.0], rows=4)), often).standings[0]
    for standing, regime, rate in ((some, drawn.regime, 0.25), (none, SEARCHED, 1.0)):
        worst = standing.worst("failed_rate")
        assert worst is not None
        assert (worst["regime"], worst["failed_rate"]) == (regime, rate)


def test_places_are_of_rows_that_every_candidate_saw(tmp_path: Path) -> None:
    drawn, found = key(), key(regime=SEARCHED)
    parts = [(cell, profiled(tally_of(cell, [1.0]))) for cell in (drawn, found)]
    both = run_of(tmp_path / "both", *parts).standings[0]
    one = run_of(tmp_path / "one", parts[0]).standings[0]
    alone = run_of(tmp_path / "alone", parts[1]).standings[0]
    assert both.errors.places == one.errors.places == alone.errors.places
    assert both.errors.rows == 2 * one.errors.rows
