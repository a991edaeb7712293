"""Whether a mutant is noticed: the tests that execute it are run until one fails."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

import pytest

from tests.mutation.changes import MODULES, Mutant, parsed, statements_of
from tests.mutation.covering import Coverage
from tests.mutation.forking import Outcome, forked, keep_no_kernels, pytest_session
from tests.mutation.importing import substitute

__all__ = ["tests_for", "tried"]

_FIRST: Final = 2.0
"""Seconds of tests that are tried first: few files to collect, and mostly enough."""

_MOST: Final = 12.0
"""Seconds of tests that a mutant is given in all."""


def tests_for(mutant: Mutant, coverage: Coverage) -> dict[str, float]:
    """Return the tests that may notice a mutant, in the order in which they are best tried.

    They are those that execute its statement. What stands outside of functions is executed on
    import: there they are those that execute a statement that uses the name it defines, or else any of the
    module. The first case of every test comes before the second of any, and the quick before the slow.
    """
    found = coverage.of(mutant.statement) or _by_use(mutant, coverage)
    cases: Counter[str] = Counter()
    order = []
    for test, seconds in sorted(found.items(), key=lambda entry: entry[1]):
        function = test.partition("[")[0]
        order.append((cases[function], seconds, test))
        cases[function] += 1
    return {test: seconds for _, seconds, test in sorted(order)}


def _by_use(mutant: Mutant, coverage: Coverage) -> dict[str, float]:
    statements = statements_of(parsed(mutant.module))
    names = {n for s, (_, key) in statements.items() if key == mutant.statement for n in _defined(s, mutant)}
    users = [key for name in sorted(names) for key in _users().get(name, ())]
    tests = {test: seconds for key in users for test, seconds in coverage.of(key).items()}
    if tests:
        return tests
    return {t: s for _, key in statements.values() for t, s in coverage.of(key).items()}


def _defined(statement: ast.stmt, mutant: Mutant) -> set[str]:
    names = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        names = {statement.name}
    return names | ({mutant.scope.split(".")[-1]} if mutant.scope else set())


@cache
def _users() -> dict[str, list[str]]:
    """Return the keys of the statements that mention each name."""
    users: dict[str, list[str]] = {}
    for module in MODULES:
        for statement, (_, key) in statements_of(parsed(module)).items():
            for node in ast.walk(statement):
                name = getattr(node, "id", None) or getattr(node, "attr", None)
                if name:
                    users.setdefault(name, []).append(key)
    return users


def tried(mutant: Mutant, tests: dict[str, float], folder: Path, *, change: bool = True) -> Outcome:
    """Return the outcome of a mutant: `status`, and the test or message that noticed it.

    Args:
        mutant: what is changed.
        tests: those to run, with their seconds, in order.
        folder: for logs.
        change: whether the change is made; without it nothing may be noticed.
    """
    ran = 0
    for part, seconds in _parts(tests):
        outcome = forked(partial(_session, mutant, part, folder, change=change), folder, 30 + 4 * seconds)
        ran += outcome.pop("ran", 0)
        if outcome["status"] != "passed":
            return {**outcome, "tests": ran}
    return {"status": "survived", "tests": ran}


def _parts(tests: dict[str, float]) -> Iterator[tuple[list[str], float]]:
    """Yield the tests to run, with their seconds: a few first, then the rest as far as time allows."""
    names = list(tests)
    first = _within(names, tests, _FIRST)
    for part in (first, _within(names, tests, _MOST)[len(first) :]):
        if part:
            yield part, sum(tests[name] for name in part)


def _within(names: list[str], tests: dict[str, float], seconds: float) -> list[str]:
    """Return the first tests that take no longer together."""
    chosen, total = [], 0.0
    for name in names:
        total += tests[name]
        if total > seconds and chosen:
            break
        chosen.append(name)
    return chosen


@dataclass
class _Watcher:
    """A pytest plugin that runs chosen tests in their order and keeps the first failure."""

    chosen: list[str]
    failure: Outcome | None = None
    ran: int = 0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        place = {name: number for number, name in enumerate(self.chosen)}
        items[:] = sorted((i for i in items if i.nodeid in place), key=lambda item: place[item.nodeid])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.failure is None:
            self.failure = {"status": "not imported", "by": report.nodeid}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call"
        if report.failed and self.failure is None:
            self.failure = {"status": "failed", "by": report.nodeid}


def _session(mutant: Mutant, chosen: list[str], folder: Path, *, change: bool) -> Outcome:
    keep_no_kernels()
    if change:
        substitute({mutant.module: mutant.tree})
    watcher = _Watcher(chosen)
    files = list(dict.fromkeys(name.partition("::")[0] for name in chosen))
    code = pytest_session(files, watcher, folder)
    if watcher.failure is None and code not in (0, 5):
        watcher.failure = {"status": "not imported", "by": f"pytest exit status {code}"}
    return {**(watcher.failure or {"status": "passed"}), "ran": watcher.ran}
