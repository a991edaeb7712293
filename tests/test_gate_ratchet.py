"""The ratchet: limits are lowered to what was seen and a margin, raised by hand alone, and slack is told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from harness.gate.budgets import read_budgets
from harness.gate.ratchet import loosen, slack_verdicts, tighten
from harness.terminal.exceptions import UsageError
from tests.gating import budget, gated, limit_on, written
from tests.synthetic_run import key, tally_of


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def at(limit: float, **changes: Any) -> str:
    return budget(candidate="naive", format="float32", metric="max_ulp", limit=limit, **changes)


def test_tightening_lowers_what_has_room_and_nothing_else() -> None:
    comment = "# why not more\n"
    file = written(comment + at(4.0) + at(1.0, regime="tied") + at(2.0, regime="masked"))
    run = gated(
        ("normal", tally_of(key(), [1.0])),
        ("tied", tally_of(key(), [2.0])),
        ("masked", tally_of(key(), [1.9])),
    )
    difference = tighten(file, run, read_budgets(file), 0.1)
    # the first saw 2.0, the second is broken, and 1.9 with its margin is more than the third allows
    assert [b.limit for b in read_budgets(file)] == [2.2, 1.0, 2.0]
    assert difference.count("+limit") == 1


def test_tightening_leaves_the_margin_and_the_comments() -> None:
    file = written("# why not more\n" + at(4.0))
    run = gated(("normal", tally_of(key(), [1.0])))
    difference = tighten(file, run, read_budgets(file), 0.1)
    assert "-limit = 4.0" in difference
    assert [b.limit for b in read_budgets(file)] == [1.1]
    assert file.read_text().startswith("# why not more\n")
    assert tighten(file, run, read_budgets(file), 0.5) == ""
    assert [b.limit for b in read_budgets(file)] == [1.1]


def test_a_budget_that_fails_is_not_tightened() -> None:
    file = written(at(1.0))
    assert tighten(file, gated(("normal", tally_of(key(), [2.0]))), read_budgets(file), 0.1) == ""


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf])
def test_a_margin_is_a_number_from_0_on(margin: float) -> None:
    file = written(at(4.0))
    with pytest.raises(UsageError, match="margin"):
        tighten(file, gated(("normal", tally_of(key(), [1.0]))), read_budgets(file), margin)


def test_loosening_needs_a_reason_and_is_recorded() -> None:
    file = written(at(4.0))
    with pytest.raises(UsageError, match="reason"):
        loosen(file, "max_ulp=5", None, (), ())
    with pytest.raises(UsageError, match=r"not looser than 4\.0"):
        loosen(file, "max_ulp=3", "why", (), ())
    with pytest.raises(UsageError, match="finite number"):
        loosen(file, "max_ulp=inf", "why", (), ())
    assert read_budgets(file)[0].limit == 4.0
    assert "+limit = 5" in loosen(file, "max_ulp=5", "a new exp", (), ())
    assert read_budgets(file)[0].limit == 5
    assert "4.0 to 5: a new exp" in file.read_text()


def test_slack_of_more_than_a_quarter_is_seen() -> None:
    run = gated(("normal", tally_of(key(), [1.0])))
    assert [v.status for v in slack_verdicts(run, [limit_on("max_ulp", 1.5)])] == ["over_budget"]
    assert list(slack_verdicts(run, [limit_on("max_ulp", 1.25)])) == []
