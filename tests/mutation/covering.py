"""Which tests execute which statements, and how long each takes.

A test is said to execute what its fixtures of wider scope do, and what a memoised function would have to
compute again: such results are forgotten before each test.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.mutation.changes import MODULES, ROOT, path_of
from tests.mutation.forking import Outcome, forked, pytest_session, tell
from tests.mutation.importing import HITS, counting

__all__ = ["Coverage", "Memos", "gather", "is_covered"]

_LEFT_OUT: Final = frozenset(
    f"test_{name}.py"
    for name in (
        *("certified_sabotage", "browser", "package", "readme", "init", "mutation"),
        *("bench", "cli", "execution", "execution_imports", "execution_isolation", "resume"),
    )
)
"""Tests of the program from outside, in processes that see no mutant; and of time limits and interrupts,
whose outcome depends on the machine's load."""

_TIMED: Final = re.compile("_no_time|_a_second|_a_minute")
"""In the names of tests that hold the program to a time, which a busy machine makes them miss."""

_SECONDS: Final = 500.0


@dataclass
class Coverage:
    """The passing tests by test file, with their seconds and the keys of the statements that they execute."""

    file: Path
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Coverage:
        """Return what was gathered before, nothing where there is no such file."""
        return cls(file, json.loads(file.read_text(encoding="utf-8")) if file.exists() else {})

    def write(self) -> None:
        """Keep it for the next time."""
        self.file.write_text(json.dumps(self.tests), encoding="utf-8")

    def of(self, key: str) -> dict[str, float]:
        """Return the tests that execute a statement, with their seconds."""
        return self._by_statement.get(key, {})

    @functools.cached_property
    def _by_statement(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for name, entry in self.tests.items():
            for test, (seconds, keys) in entry["tests"].items() if is_covered(name) else ():
                for key in keys if not _TIMED.search(test) else ():
                    found.setdefault(key, {})[test] = seconds
        return found


def gather(coverage: Coverage, folder: Path, until: float) -> bool:
    """Gather what is not known of test files that are new or changed; False where time ran out before."""
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        digest = _digest(path)
        name = f"tests/{path.name}"
        if not is_covered(name) or coverage.tests.get(name, {}).get("digest") == digest:
            continue
        if time.monotonic() > until:
            return False
        outcome = forked(functools.partial(_covered, name, folder), folder, _SECONDS)
        tests = outcome.get("tests", {})
        tell(f"{name}: {len(tests)} tests, {sum(s for s, _ in tests.values()):.1f} s {outcome['status']}")
        coverage.tests[name] = {"digest": digest, "tests": tests}
        coverage.write()
    return True


def is_covered(name: str) -> bool:
    """Tell whether a test file is one that may see mutants."""
    return Path(name).name not in _LEFT_OUT


def _digest(path: Path) -> str:
    """Digest a test file, the helpers beside it, and the modules that are changed."""
    helpers = sorted(p for p in path.parent.glob("*.py") if not p.name.startswith("test_"))
    digest = hashlib.sha256()
    for source in (path, *helpers, *(path_of(module) for module in MODULES)):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _covered(name: str, folder: Path) -> Outcome:
    counting(MODULES)
    recorder = _Recorder()
    pytest_session([name, "--maxfail=1000"], recorder, folder)
    return {"status": "", "tests": recorder.tests}


class _Recorder:
    """A pytest plugin that notes what each passing test executes."""

    def __init__(self) -> None:
        self.tests: dict[str, tuple[float, list[str]]] = {}
        self.passed: set[str] = set()
        self.by_fixture: dict[Any, set[str]] = {}
        self.memos: Memos | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.memos = self.memos or Memos()
        self.memos.forget()
        HITS.clear()
        start = time.process_time()
        result = yield
        seconds = time.process_time() - start
        if item.nodeid in self.passed:
            self.tests[item.nodeid] = (round(seconds, 3), sorted(HITS | self._of_fixtures(item)))
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        before = set(HITS)
        HITS.clear()
        result = yield
        if fixturedef.scope != "function":
            self.by_fixture[fixturedef] = set(HITS)
        HITS.update(before)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        elif report.failed:
            self.passed.discard(report.nodeid)

    def _of_fixtures(self, item: Any) -> set[str]:
        definitions = [d for many in item._fixtureinfo.name2fixturedefs.values() for d in many]
        return set().union(*(self.by_fixture.get(definition, set()) for definition in definitions))


class Memos:
    """The memoised functions of the changed modules and of the tests, as far as they are imported."""

    def __init__(self) -> None:
        self.functions = [
            found
            for found in gc.get_objects()
            if type(found) is functools._lru_cache_wrapper
            and ((found.__module__ or "") in MODULES or "test" in (found.__module__ or ""))
        ]

    def forget(self) -> None:
        """Forget their results, and those of the formats' properties."""
        for function in self.functions:
            function.cache_clear()
        formats = sys.modules.get("reference.formats")
        for fmt in formats.FORMATS.values() if formats else ():
            for name, attribute in vars(type(fmt)).items():
                if isinstance(attribute, functools.cached_property):
                    vars(fmt).pop(name, None)
