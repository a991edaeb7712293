"""The causes that a failing gate, and a run with failed rows, print before their results.

They are asked for when all is measured and judged, in a process of their own, for a limited time in all:
whatever becomes of the asking changes no figure, no verdict and no exit code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from harness.commands.single import executor_for
from harness.subject.candidates import Candidate
from harness.subject.subject import Subject
from harness.terminal.deadline import GRACE, Deadline, OutOfTime
from harness.terminal.exceptions import HarnessError
from harness.terminal.interrupts import awaited
from reference.formats import FloatFormat, format_named
from reference.ops import SOFTMAX
from reports.causes import NOT_ASKED
from reports.figures import plural
from reports.record.verdicts import Verdict
from reports.spelling import command

if TYPE_CHECKING:
    from harness.campaign.settings import Settings
    from harness.subject.execution import Executor
    from reports.rundata import RunData, Standing

__all__ = [
    "SECONDS",
    "Asked",
    "NoExplain",
    "are_whole",
    "asked_of_run",
    "asked_of_verdicts",
    "causes_of",
    "interrupted",
    "keep",
    "seconds_left",
]

SECONDS: Final = 15.0
"""What the causes of all candidates and formats may take together."""

LEAST: Final = GRACE + 0.5
"""Of less nothing comes."""

NoExplain = Annotated[
    bool,
    typer.Option(
        "--no-explain",
        envvar="SOFTMAX_HARNESS_NO_EXPLAIN",
        help=f"Do not ask for the cause of what fails, which takes {SECONDS:g} s at most.",
    ),
]

_SILENT: Final = frozenset({"crashed", "timed_out", "not_run", "unsupported", "no_budget"})
"""What is said of a candidate that gave no outputs to explain."""


@dataclass(frozen=True)
class Asked:
    """A candidate of which something fails, in its formats.

    Attributes:
        candidate: its name.
        format, out: by name.
        tier: that it misses; None where no tier was asked of it.
        known: the cause, where the run's own rows show it of an algorithm that subtracts the maximum.
    """

    candidate: str
    format: str
    out: str
    tier: str | None = None
    known: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {"candidate": self.candidate, "format": self.format, "out_format": self.out}


def asked_of_verdicts(verdicts: Iterable[Verdict]) -> tuple[Asked, ...]:
    """Return whom failing verdicts are about, in their order."""
    found: dict[tuple[str, str, str], Asked] = {}
    for v in verdicts:
        if v.stops and v.status not in _SILENT:
            tier = str(v.limit) if v.operator == "meets" else None
            key = (v.candidate, v.format, v.out_format)
            known = found.setdefault(key, Asked(*key, tier))
            if known.tier is None and tier is not None:
                found[key] = replace(known, tier=tier)
    return tuple(found.values())


def asked_of_run(run: RunData) -> tuple[Asked, ...]:
    """Return whom a run's failed rows and findings are about, in the plan's order."""
    found = {(f.candidate, f.format, f.out_format) for f in run.findings}
    asked = []
    for s in run.standings:
        key = (s.key.candidate, s.key.format, s.key.out_format)
        if s.is_measured and ((s.greatest("failed_rate") or 0) > 0 or key in found):
            asked.append(Asked(*key, known="" if key in found else _too_many_terms(s)))
    return tuple(asked)


def _too_many_terms(standing: Standing) -> str:
    """Say that sums of too many terms overflow, where nothing else is wrong; empty otherwise.

    It holds for an algorithm that is declared to subtract the maximum: its terms are at most 1, so its sum
    overflows only where there are more terms than the largest number.
    """
    key = standing.key
    most = float(format_named(key.format).largest)
    longer = [cell for cell in standing.cells if cell["length"] > most]
    shorter = sum(cell["judged_rows"] for cell in standing.cells if cell["length"] <= most)
    failed, overflown = (sum(cell[name] for cell in longer) for name in ("failed_rows", "overflow_rows"))
    alone = shorter and failed == overflown == standing.total("failed_rows") > 0
    beyond = (standing.greatest("algorithm_ratio") or 0) > 1
    if key.format != key.out_format or standing.wrongs or standing.lost_rows or beyond or not alone:
        return ""
    return (
        f"every failed row overflows, and has more than {most:,.10g} entries: the sum of its exponentials"
        f" may exceed {most:,.10g}, the largest {key.format} number;"
        f" none of {plural(shorter, 'shorter row')} failed"
    )


def _is_shifted(candidate: Candidate, fmt: str) -> bool:
    algorithm = candidate.declared(format_named(fmt)).algorithm
    return algorithm is not None and algorithm.argument == "shifted"


def causes_of(
    asked: Sequence[Asked], candidates: Iterable[Candidate], settings: Settings, seconds: float = SECONDS
) -> list[dict[str, Any]]:
    """Return a document on the cause of each softmax, with its `line` as people read it."""
    named = {candidate.name: candidate for candidate in candidates if candidate.op is SOFTMAX}
    asked = [one for one in asked if one.candidate in named]
    if settings.within is not None:
        told = f"not asked for: the rows that would show it are not all in the range {settings.within}"
        return [{**one.document(), "line": told} for one in asked]
    deadline = Deadline.in_seconds(seconds - GRACE)

    def document(one: Asked, executor: Executor) -> dict[str, Any]:
        candidate = named[one.candidate]
        if one.known and _is_shifted(candidate, one.format):
            return {**one.document(), "line": one.known}
        if seconds < LEAST or deadline.is_over:
            return {**one.document(), "line": NOT_ASKED}
        return _explained(one, candidate, settings, executor)

    return _side_by_side(document, asked, lambda: executor_for(settings, deadline=deadline), settings)


def _side_by_side(
    of_one: Callable[[Asked, Executor], dict[str, Any]],
    asked: Sequence[Asked],
    new_executor: Callable[[], Executor],
    settings: Settings,
) -> list[dict[str, Any]]:
    """Return the document of each, several made at once; an interrupt ends the calls of all.

    In this process one candidate is called at a time, by the thread that hears interrupts.
    """
    with ExitStack() as executors:
        own = [executors.enter_context(new_executor()) for _ in asked]
        if settings.in_process or min(settings.jobs, len(asked)) < 2:
            return list(map(of_one, asked, own))
        pool = ThreadPoolExecutor(settings.jobs, thread_name_prefix="cause")
        try:
            futures = [pool.submit(of_one, *one) for one in zip(asked, own, strict=True)]
            return [awaited(future) for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def interrupted(asked: Iterable[Asked]) -> list[dict[str, Any]]:
    """Return documents for candidates whose causes were being asked for when the user interrupted."""
    return [{**one.document(), "line": "not found: interrupted"} for one in asked]


def are_whole(documents: Iterable[Mapping[str, Any]] | None) -> bool:
    """Tell whether there are documents, and time was left for each."""
    lines = [document["line"] for document in documents or ()]
    return bool(lines) and NOT_ASKED not in lines


def keep(folder: Path, documents: Sequence[dict[str, Any]]) -> None:
    """Put the documents into the ledger of a run folder, for its report; one that takes none is left."""
    from contextlib import suppress

    from reports.record.ledger import Ledger, LedgerError
    from reports.record.run_folder import LEDGER

    if not documents:
        return
    path = folder / LEDGER
    with suppress(LedgerError):
        with Ledger.open(path) as ledger:
            settings = ledger.settings()
        with Ledger.open(path, settings) as ledger:
            ledger.put("explanations", documents)


def seconds_left(settings: Settings, begun: float) -> float:
    """Return what the causes may take of a command that began at a moment of the monotonic clock."""
    if settings.max_time is None:
        return SECONDS
    return min(SECONDS, settings.max_time - (time.monotonic() - begun))


def _explained(one: Asked, candidate: Candidate, settings: Settings, executor: Executor) -> dict[str, Any]:
    fmt, out = format_named(one.format), format_named(one.out)
    try:
        with executor:
            from harness.explanation import explanation_of

            subject = Subject(candidate, fmt, out, executor, settings.timeout)
            explanation = explanation_of(subject, tier=_fitting(one.tier, out))
            told = explanation.line()
            if explanation.cause is None:
                told += f"; {_opened(candidate, one)} says what it is made of"
            return {**one.document(), "line": told, **explanation.document()}
    except OutOfTime:
        told = f"not found within the time; {_opened(candidate, one)} looks for it as long as it takes"
    except HarnessError as error:
        told = f"not found: {error}"
    except Exception as error:  # noqa: BLE001  whatever fails in it costs no verdict
        told = f"not found: {type(error).__name__}: {error}"
    return {**one.document(), "line": told}


def _fitting(tier: str | None, out: FloatFormat) -> str | None:
    from reference.tiers import TIERS

    return tier if tier is not None and TIERS[tier].takes(out) else None


def _opened(candidate: Candidate, one: Asked) -> str:
    out = () if one.out == one.format else ("--out-format", one.out)
    return command("python", "-m", "harness", "explain", candidate.spec, "--format", one.format, *out)
