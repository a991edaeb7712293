"""The work of a dask worker: it unpacks the plan once and measures the tasks that it receives.

A user's file is taken from its own path where the worker has it there with the same bytes; else from
the text that was sent with the campaign, in a folder of its own. What the file imports must be on
the worker: before anything is measured, the candidate is imported there, apart, and refused by name
where that fails, or where a file at the same path differs from the one that the campaign began with.
"""

from __future__ import annotations

import hashlib
import pickle
import signal
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.campaign.campaign import Campaign
from harness.campaign.deal import Done
from harness.campaign.environment import here
from harness.campaign.plan import Plan
from harness.campaign.settings import Settings
from harness.campaign.tasks import Task
from harness.subject.candidates import Candidate, CandidateError, load
from harness.subject.execution import Isolated
from harness.subject.rations import Ration
from harness.terminal.kernels import MEASURING
from reports.record.ledger import Place, packed
from reports.record.tally import Tally

if TYPE_CHECKING:
    from strategies.input_file import InputRows

__all__ = ["Refused", "measure", "packed_work"]

DISTRIBUTION: Final = "softmax-harness"


class Refused(Exception):
    """This worker cannot do what it is asked; the message is one line: who, why, the next step."""


@dataclass(frozen=True)
class Source:
    """A user's file: where it lies at home, and its bytes."""

    path: str
    content: bytes

    def there(self, folder: Path) -> str:
        """Return the path to use here, written into the folder where the file is not at its own."""
        own = Path(self.path)
        try:
            if own.read_bytes() == self.content:
                return self.path
        except OSError:
            pass
        digest = hashlib.sha256(self.content).hexdigest()[:16]
        sent = folder / digest / own.name
        sent.parent.mkdir(exist_ok=True)
        sent.write_bytes(self.content)
        return str(sent)


@dataclass(frozen=True)
class _Work:
    """A plan as it is sent; the user's rows go with the tasks that need them."""

    version: str
    settings: Settings
    candidates: tuple[Candidate, ...]
    pairs: frozenset[tuple[str, str]] | None
    rations: dict[tuple[str, str], Ration]
    sources: tuple[Source, ...]


def packed_work(plan: Plan) -> bytes:
    """Return what a worker must know of a plan."""
    settings = replace(plan.settings, inputs=None)
    candidates = tuple(_plain(candidate) for candidate in plan.candidates)
    sources = tuple(_sources(candidates))
    work = _Work(version(DISTRIBUTION), settings, candidates, plan.pairs, dict(plan.rations), sources)
    return pickle.dumps(work)


def _plain(candidate: Candidate) -> Candidate:
    """Return the candidate without what cannot be sent."""
    algorithms = dict(candidate.algorithms)
    return replace(candidate, call=_called_elsewhere, variant=None, algorithms=algorithms)


def _called_elsewhere(*_: Any) -> Any:
    """Stand for a candidate's function, which is imported in a process of its own."""
    raise NotImplementedError


def _sources(candidates: Iterable[Candidate]) -> Iterable[Source]:
    for candidate in candidates:
        path = candidate.spec.rpartition(":")[0]
        if not candidate.version and Path(path).is_file():
            yield Source(path, Path(path).read_bytes())


def measure(work: bytes, task: Task, inputs: InputRows | None) -> Done[Task]:
    """Measure a task; runs in a thread of a dask worker.

    Raises:
        Refused: this worker has another version, cannot import a candidate, or has other files of it.
        SourceReplaced: a file of a candidate was replaced here meanwhile.
    """
    opened = _unpacked(work)
    plan = replace(opened.plan, settings=replace(opened.plan.settings, inputs=inputs))
    start = time.perf_counter()
    measured = Campaign(plan).measure(task, opened.executor)
    held = {key: packed(tally) for key, tally in measured.tallies.items()}
    counts = {key: _counts(tally) for key, tally in measured.tallies.items()}
    return Done(task, held, counts, measured.document, time.perf_counter() - start, opened.place)


def _counts(tally: Tally) -> Tally:
    """Return what progress shows of a tally; the rest stays packed."""
    return Tally(
        rows=tally.rows, completed=tally.completed, outcomes=dict(tally.outcomes), max_ulp=tally.max_ulp
    )


# Once for each campaign ------------------------------------------------------------------


@dataclass(frozen=True)
class _Opened:
    """A plan as it is measured here; the folder, of files that were sent, goes with the process."""

    plan: Plan
    executor: Isolated
    place: Place
    folder: tempfile.TemporaryDirectory[str]


_LOCK: Final = threading.Lock()
_KNOWN: dict[bytes, _Opened] = {}


def _unpacked(work: bytes) -> _Opened:
    """Return the plan as it is measured here, made at its first task; one is kept at a time."""
    with _LOCK:
        if work not in _KNOWN:
            folder = tempfile.TemporaryDirectory(prefix="softmax-harness-")
            plan = _opened(pickle.loads(work), Path(folder.name))  # noqa: S301 - dask runs what it is sent
            for before in _KNOWN.values():
                before.executor.close()
                before.folder.cleanup()
            _KNOWN.clear()
            _KNOWN[work] = _Opened(plan, _executor(plan), here(plan.candidates), folder)
        return _KNOWN[work]


def _opened(work: _Work, folder: Path) -> Plan:
    if work.version != version(DISTRIBUTION):
        raise Refused(
            f"{_name()}: it has {DISTRIBUTION} {version(DISTRIBUTION)}, and the run {work.version};"
            " install the same version on every worker"
        )
    paths = {source.path: source.there(folder) for source in work.sources}
    timeout = work.settings.import_timeout
    candidates = tuple(_placed(candidate, paths, timeout) for candidate in work.candidates)
    if work.settings.reference == "certified":
        from reference.certified import prepare

        prepare(also=(MEASURING,))
    return Plan(work.settings, candidates, work.pairs, work.rations)


def _placed(candidate: Candidate, paths: dict[str, str], timeout: float) -> Candidate:
    """Return the candidate as it is called here, with the version of its library here."""
    path, separator, function = candidate.spec.rpartition(":")
    if not separator:
        return candidate
    asked = candidate.name if candidate.version else f"{paths.get(path, path)}:{function}"
    try:
        loaded_here = load(asked, timeout, candidate.op)
    except CandidateError as error:
        reason = str(error).partition(": ")[2]
        raise Refused(
            f"{_name()}: candidate {candidate.name!r}: {reason}; a file is sent by itself: what it"
            " imports must be installed there, or its folder lie at the same path"
        ) from None
    _require_same_files(candidate, loaded_here)
    return replace(candidate, spec=loaded_here.spec, version=loaded_here.version, sources=loaded_here.sources)


def _require_same_files(candidate: Candidate, loaded_here: Candidate) -> None:
    """Compare the files loaded here with those loaded where the campaign began, path by path."""
    began_with = candidate.sources.get("files", {})
    for path, loaded in loaded_here.sources.get("files", {}).items():
        if began_with.get(path, loaded) != loaded:
            raise Refused(
                f"{_name()}: candidate {candidate.name!r}: {path} is not the file that the campaign began"
                " with; copy that one there"
            )


def _executor(plan: Plan) -> Isolated:
    from distributed import get_worker

    settings = plan.settings
    executor = Isolated(
        jobs=get_worker().state.nthreads,
        timeout=settings.timeout,
        max_memory=None if settings.max_memory is None else settings.max_memory << 20,
        load_timeout=settings.import_timeout,
    )
    for candidate in plan.candidates:
        executor.expect(candidate.spec, candidate.sources.get("files", {}))
    return executor


def _name() -> str:
    from distributed import get_worker

    return f"worker {get_worker().address} on {here().host}"


def dask_setup(_worker: Any) -> None:
    """Leave Ctrl-C to the campaign: what dask calls in the workers that `--cluster local` starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
