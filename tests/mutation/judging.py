"""Whether a mutant is noticed: the tests that execute it are run until one fails."""

from __future__ import annotations

import ast
import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

import pytest

from tests.mutation.changes import MODULES, Mutant, parsed, statements_of
from tests.mutation.covering import Coverage, Memos, is_covered
from tests.mutation.forking import Outcome, forked, keep_no_kernels, pytest_session
from tests.mutation.importing import Functions, substitute

__all__ = ["judge_all", "tests_for"]

Note = Callable[[Mutant, Outcome], bool]

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


def judge_all(
    mutants: list[Mutant], coverage: Coverage, folder: Path, note: Note, *, change: bool = True
) -> None:
    """Try mutants, and note the outcome of each: `status`, and the test that noticed it.

    Those that change what runs on import come first, each in a session of its own; then one session is
    collected, and every other mutant gets a fork of it. One of either kind is tried without its change first:
    tests that fail without a change would seem to notice every mutant.

    Args:
        mutants: whom to try.
        coverage: which tests execute what.
        folder: for logs.
        note: is told each outcome, and says whether to go on.
        change: whether the change is made; without it nothing may be noticed.

    Raises:
        RuntimeError: tests fail without a change, or pytest itself does.
    """
    is_checked = not change
    for mutant in (m for m in mutants if not m.function):
        chosen = _within(tests_for(mutant, coverage))
        if chosen and not is_checked:
            _check(_tried(partial(_session, mutant, list(chosen), folder, change=False), chosen, folder))
            is_checked = True
        outcome = _tried(partial(_session, mutant, list(chosen), folder, change=change), chosen, folder)
        if not note(mutant, outcome):
            return
    within = [m for m in mutants if m.function]
    if within:
        files = [name for name, entry in coverage.tests.items() if entry["tests"] and is_covered(name)]
        loop = _Loop(within, coverage, folder, note, change=change)
        if pytest_session(files, loop, folder) == pytest.ExitCode.INTERNAL_ERROR:
            raise RuntimeError("the session broke down: see above")


def _check(unchanged: Outcome) -> None:
    if unchanged["status"] != "survived" or not unchanged["tests"]:
        raise RuntimeError(f"tests fail without a change: {unchanged}")


def _tried(work: Callable[[], Outcome], chosen: dict[str, float], folder: Path) -> Outcome:
    return (
        forked(work, folder, 10 + 3 * sum(chosen.values())) if chosen else {"status": "survived", "tests": 0}
    )


def _within(tests: dict[str, float]) -> dict[str, float]:
    """Return the first tests that take no longer than `_MOST` together."""
    chosen: dict[str, float] = {}
    for name, seconds in tests.items():
        if chosen and sum(chosen.values()) + seconds > _MOST:
            break
        chosen[name] = seconds
    return chosen


@dataclass(eq=False)  # pytest keeps plugins in sets
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
    return {**(watcher.failure or {"status": "survived"}), "tests": watcher.ran}


class _Loop:
    """A pytest plugin that forks a collected session for every mutant."""

    def __init__(
        self, mutants: list[Mutant], coverage: Coverage, folder: Path, note: Note, *, change: bool
    ) -> None:
        self.mutants, self.coverage, self.folder, self.note = mutants, coverage, folder, note
        self.change = change

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            raise RuntimeError(f"{report.nodeid} cannot be collected:\n{report.longreprtext}")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from reference.certified import prepare

        prepare()
        items = {item.nodeid: item for item in session.items}
        self._warm(items)
        functions, memos = Functions(), Memos()
        gc.collect()
        gc.freeze()  # a collection in a fork would copy every page that it looks at
        is_checked = not self.change
        for mutant in self.mutants:
            chosen = {n: s for n, s in _within(tests_for(mutant, self.coverage)).items() if n in items}
            work = partial(self._child, mutant, [items[name] for name in chosen], functions, memos)
            if chosen and not is_checked:
                _check(_tried(partial(work, change=False), chosen, self.folder))
                is_checked = True
            if not self.note(mutant, _tried(partial(work, change=self.change), chosen, self.folder)):
                break
        return True

    def _warm(self, items: dict[str, pytest.Item]) -> None:
        """Run a few tests of every file, so that what they load and compile is there before the fork."""
        for name in filter(is_covered, self.coverage.tests):
            tests = self.coverage.tests[name]["tests"]
            ordered = sorted((seconds, test) for test, (seconds, _) in tests.items())
            for _, test in ordered[: -1 : max(1, len(ordered) // 4)]:
                if test in items:
                    items[test].ihook.pytest_runtest_protocol(item=items[test], nextitem=None)

    def _child(
        self,
        mutant: Mutant,
        items: list[pytest.Item],
        functions: Functions,
        memos: Memos,
        *,
        change: bool,
    ) -> Outcome:
        keep_no_kernels()
        memos.forget()
        if change:
            functions.exchange(mutant.module, mutant.tree(), mutant.function)
        watcher = _Watcher([])
        items[0].config.pluginmanager.register(watcher)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if watcher.failure:
                break
        return {**(watcher.failure or {"status": "survived"}), "tests": watcher.ran}
