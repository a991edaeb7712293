"""What holds for all tests: no example of Hypothesis is held to a time, and causes are asked for where told.

A cause costs a second or two; the tests of them, `test_explain_gate`, unset the variable.
"""

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from harness.subject.execution.fork_server import shared
from tests.gating import look_at_few

os.environ["SOFTMAX_HARNESS_NO_EXPLAIN"] = "1"
for variable in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):  # verdicts of tests are none of a workflow's
    os.environ.pop(variable, None)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads spin at every start of a process
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
gc.set_threshold(10_000)  # as the program does


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process neighbouring tests, which share fixtures; an idle one takes some of another's."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.fixture(scope="session", autouse=True)
def one_fork_server() -> Iterator[None]:
    """Start the fork servers once a session, not once a command."""
    with shared():
        yield


@pytest.fixture
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `look_at_few`."""
    look_at_few(monkeypatch)


@pytest.fixture
def one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that name no jobs have one: copies of a process cost more than little work does."""
    monkeypatch.setattr("harness.campaign.settings.available_jobs", lambda: 1)
