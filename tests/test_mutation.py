"""The mutation of the program: what a mutant is, that files stay as they are, and what has been measured."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from typing import Any

import numpy as np
import pytest

from reference.row_kinds import RowKind, row_kinds
from tests.mutation import changes, importing, judging
from tests.mutation.__main__ import ANSWERS, RESULTS

SOURCE = '''
LIMIT: int = 3

def within(values: list[int], least: int = 0) -> bool:
    """Say 1 + 1."""
    assert least >= 0, "message"
    for value in values:
        if value < least or value > LIMIT:
            return False
    return all(-v % 2 == 0 for v in values)
'''


@pytest.fixture
def of_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "parsed", lambda _: ast.parse(SOURCE))


@pytest.mark.usefixtures("of_source")
def test_changes_are_those_of_a_careless_hand() -> None:
    found = {(m.kind, m.before, m.after) for m in changes.mutants("module")}
    expected = {
        ("constant", "3", "4"),
        ("constant", "0", "1"),
        ("comparison", "value < least", "value <= least"),
        ("comparison", "value > LIMIT", "value <= LIMIT"),
        ("and/or", "value < least or value > LIMIT", "value < least and value > LIMIT"),
        ("constant", "False", "True"),
        ("name", "all", "any"),
        ("sign", "-v", "+v"),
        ("operator", "-v % 2", "-v // 2"),
        ("returns None", "return False", "return None"),
    }
    assert expected <= found, expected - found


@pytest.mark.usefixtures("of_source")
def test_words_and_assertions_are_left_alone() -> None:
    pieces = " ".join(m.before for m in changes.mutants("module"))
    for alone in ("message", "Say", "least >= 0", "list[int]"):
        assert alone not in pieces, f"{alone!r} is changed"


@pytest.mark.usefixtures("of_source")
def test_every_mutant_changes_one_place_and_compiles() -> None:
    original = ast.unparse(ast.parse(SOURCE)).splitlines()
    for mutant in changes.mutants("module"):
        changed = ast.unparse(mutant.tree()).splitlines()
        compile(mutant.tree(), "module", "exec")
        differing = [pair for pair in zip(original, changed, strict=True) if pair[0] != pair[1]]
        assert len(differing) == 1, (mutant, differing)


def test_an_edit_elsewhere_moves_no_mutant(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = (SOURCE, f"def another(a: int) -> int:\n    return a + 1\n{SOURCE}")
    ids = []
    for source in sources:
        monkeypatch.setattr(changes, "parsed", lambda _, source=source: ast.parse(source))
        ids.append({m.id for m in changes.mutants("module")})
    assert ids[0] < ids[1]


def test_a_mutant_lives_in_the_process_that_imports_it() -> None:
    mutant = next(m for m in changes.mutants("reference.row_kinds") if (m.before, m.after) == ("0", "1"))
    path = changes.path_of("reference.row_kinds")
    before = path.read_bytes()
    program = (
        "from tests.mutation import changes, importing\n"
        f"(m,) = [m for m in changes.mutants('reference.row_kinds') if m.id == {mutant.id!r}]\n"
        "importing.substitute({m.module: m.tree})\n"
        "import reference.row_kinds\n"
        "print(int(reference.row_kinds.RowKind.FINITE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=changes.ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1"), f"{mutant}: {done.stdout}{done.stderr}"
    assert path.read_bytes() == before


def test_a_function_that_is_there_already_gets_other_code() -> None:
    x = np.array([[0.0, -np.inf], [np.inf, 0.0]])
    mutant = next(m for m in changes.mutants("reference.row_kinds") if m.before == "smallest == -np.inf")
    assert mutant.function == "row_kinds"
    original = row_kinds.__code__
    try:
        importing.Functions().exchange(mutant.module, mutant.tree(), mutant.function)
        changed = row_kinds(x).tolist()
    finally:
        row_kinds.__code__ = original
    assert (changed, row_kinds(x).tolist()) == (
        [RowKind.FINITE, RowKind.POS_INF],
        [RowKind.MASKED, RowKind.POS_INF],
    )


def test_what_runs_on_import_is_in_no_function() -> None:
    functions = {m.function for m in changes.mutants("reference.row_kinds")}
    assert functions == {"", "RowKind.is_policy", "row_kinds"}


def test_a_session_that_fails_without_a_change_is_refused_and_one_that_runs_nothing_too() -> None:
    judging._check({"status": "survived", "tests": 1})
    for unchanged in (
        {"status": "not imported", "by": "pytest exit status 3"},
        {"status": "survived", "tests": 0},
    ):
        with pytest.raises(RuntimeError, match="fail without a change"):
            judging._check(unchanged)


def test_pytest_may_keep_the_plugins_of_a_session_in_a_set() -> None:
    assert len({judging._Watcher([]), judging._Watcher([])}) == 2


# What has been measured ----------------------------------------------------------------------


def measured() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return document


def test_nine_mutants_in_ten_are_noticed() -> None:
    document = measured()
    noticed = [entry for entry in document["mutants"] if entry["status"] != "survived"]
    assert (document["drawn"], document["noticed"]) == (len(document["mutants"]), len(noticed))
    assert document["drawn"] >= 200
    assert len(noticed) >= 0.9 * document["drawn"]


def test_every_survivor_has_its_reason() -> None:
    answers = tomllib.loads(ANSWERS.read_text(encoding="utf-8"))
    survivors = {entry["id"] for entry in measured()["mutants"] if entry["status"] == "survived"}
    reasons = {**answers["equivalent"], **answers.get("open", {})}
    assert survivors == set(reasons), survivors ^ set(reasons)
    assert all(len(reason) > 30 for reason in reasons.values())


def test_the_documents_state_the_figure() -> None:
    document = measured()
    page = (changes.ROOT / "docs" / "truth.md").read_text(encoding="utf-8")
    assert f"{document['noticed']} of {document['drawn']}" in page
