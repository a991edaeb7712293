"""Options and steps shared by the commands about one candidate, one format and one length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.campaign.configuration import configured
from harness.campaign.notices import print_ops
from harness.campaign.settings import Settings, resolve
from harness.subject.candidates import Candidate, load
from harness.subject.subject import Subject
from harness.terminal.console import notes
from harness.terminal.deadline import NEVER, Deadline
from harness.terminal.exceptions import UsageError, user_mistakes
from reference.declaration import Policy
from reference.formats import FloatFormat
from reference.ops import OPS, SOFTMAX
from reports.figures import plural

if TYPE_CHECKING:
    from harness.subject.execution import Executor
    from reports.record.ledger import CellInfo, Ledger
    from reports.record.witness import Witness
    from strategies.logit_range import LogitRange

__all__ = [
    "AsJson",
    "CandidateSpec",
    "FormatName",
    "InProcessHere",
    "OpName",
    "OutFolder",
    "OutFormatName",
    "Overwrite",
    "Policies",
    "Single",
    "ViaLibrary",
    "begin",
    "executor_for",
    "finish",
    "replay_command",
    "require_format",
    "require_softmax",
    "row_lines",
    "single",
    "tell_new_run",
]

CandidateSpec = Annotated[str, typer.Argument(help="A built-in name, module:function or file.py:function.")]
FormatName = Annotated[str | None, typer.Option("--format", help="Input format; by default float32.")]
OutFormatName = Annotated[str | None, typer.Option(help="Output format, where not the input's.")]
Range = Annotated[
    str | None,
    typer.Option("--range", metavar="LOW,HIGH", help="Logits in this range only, for kernels made for it."),
]
Policies = Annotated[
    list[str] | None,
    typer.Option("--policy", help=f"What to excuse; repeat for several: {Policy.spelled()}."),
]
OpName = Annotated[
    str | None,
    typer.Option(
        "--op", help=f"{', '.join(OPS)}; by default what the candidate declares or is called, else softmax."
    ),
]
ViaLibrary = Annotated[
    str | None, typer.Option("--via", help="Hand it arrays of torch, jax or cupy; torch@cuda on a device.")
]
OutFolder = Annotated[Path | None, typer.Option(help="The run folder; harness-out/... where not given.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")]
InProcessHere = Annotated[bool, typer.Option("--in-process", help="Call the candidate here, to debug it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_CAMPAIGN_ONLY = (
    "candidates", "formats", "lengths", "regimes", "rows", "effort", "input", "reference", "range"
)  # fmt: skip


@dataclass(frozen=True)
class Single:
    """One candidate under the settings' policies, its formats and the first length, and the settings."""

    settings: Settings
    candidate: Candidate
    fmt: FloatFormat
    out_format: FloatFormat
    length: int

    def subject(self, executor: Executor) -> Subject:
        """Return the candidate in its formats, bound to its executor."""
        settings = self.settings
        return Subject(
            self.candidate, self.fmt, self.out_format, executor, settings.timeout, within=settings.within
        )


def single(
    candidate: str,
    format: str | None,
    length: int | Sequence[int],
    given: Mapping[str, Any],
    default: str = "float32",
    suits: Callable[[str], bool] = lambda _: True,
    *,
    takes_range: bool = False,
) -> Single:
    """Return the request of the user: flags over `[tool.harness]` over defaults.

    Args:
        candidate: its spec.
        format: the flag; else the first of the file's formats that suits, else the default.
        length: entries of a row; several where the command takes several.
        given: further flags by the names of `harness.campaign.settings`; None and False mean not given.
        default: the format where none is given.
        suits: whether the command can do anything with a format of the file.
        takes_range: whether the command keeps to the file's range.

    Raises:
        UsageError: anything given is unknown, out of its range, or not taken by the candidate.
    """
    values, file = configured(Path.cwd())
    if file is not None:
        notes().print(f"configuration: {file}", soft_wrap=True)
    chosen = format or next(filter(suits, values.get("formats") or ()), default)
    kept = {key: value for key, value in values.items() if key not in _CAMPAIGN_ONLY}
    if takes_range and "range" in values:
        kept["range"] = values["range"]
    kept.update({key: value for key, value in given.items() if value is not None and value is not False})
    lengths = [length] if isinstance(length, int) else list(length)
    settings = resolve({**kept, "candidates": [candidate], "formats": [chosen], "lengths": lengths})
    with user_mistakes():
        loaded = load(settings.candidates[0], settings.import_timeout, settings.op).under(settings.policies)
    fmt = settings.formats[0]
    out = settings.out_format or fmt
    if not loaded.supports(fmt, out):
        said = loaded.refusal(fmt, out) if loaded.op.fused.mask else f"does not take {fmt} to {out}"
        raise UsageError(f"candidate {candidate!r}: {said}; give another --format")
    return Single(settings, loaded, fmt, out, settings.lengths[0])


def executor_for(settings: Settings, *, every_row: bool = False, deadline: Deadline = NEVER) -> Executor:
    """Return the executor of the settings; with `every_row` it sets no row aside."""
    from harness.subject.execution import FIRST_SECONDS, InProcess, Isolated

    fault_seconds = math.inf if every_row else FIRST_SECONDS
    if settings.in_process:
        return InProcess(fault_seconds=fault_seconds, deadline=deadline)
    with user_mistakes():
        return Isolated(
            jobs=settings.jobs,
            timeout=settings.timeout,
            max_memory=None if settings.max_memory is None else settings.max_memory << 20,
            load_timeout=settings.import_timeout,
            fault_seconds=fault_seconds,
            deadline=deadline,
        )


def tell_new_run(folder: Path) -> None:
    """Print that a run begins where one was to be resumed."""
    notes().print(f"{folder}: there is no run to resume; a new one begins", soft_wrap=True)


def require_format(asked: Single, executor: Executor) -> None:
    """Refuse a format that the candidate does not declare and in which it refuses a tiny row; print its op.

    Raises:
        UsageError: a row of zeros of it raises, and one of another format does not; or the candidate gives
            what another op gives, see `print_ops`.
    """
    from harness.subject.probe import probed

    refused = probed(asked.candidate, [asked.fmt], asked.out_format, executor, asked.settings.within).refused
    if said := refused.get(asked.fmt.name):
        raise UsageError(
            f"candidate {asked.candidate.name!r}: does not take {asked.fmt} ({said}); give another --format"
        )
    print_ops([asked.candidate], asked.settings, executor)


def require_softmax(asked: Single, does: str, instead: str) -> None:
    """Refuse a candidate of another op than softmax, which the command knows nothing of.

    Args:
        asked: the request.
        does: what the command does.
        instead: what to use for it.

    Raises:
        UsageError: the candidate computes another op.
    """
    if asked.candidate.op is not SOFTMAX:
        name, op = asked.candidate.name, asked.candidate.op
        raise UsageError(f"candidate {name!r}: it computes {op}, and {does} softmax only; {instead}")


# The run folder --------------------------------------------------------------------------


def begin(folder: Path, asked: Single, identity: Mapping[str, Any], cells: list[CellInfo]) -> Ledger:
    """Open the ledger of a prepared folder, with the documents that every run has.

    Raises:
        UsageError: it is of other settings or programs, damaged, or being written by another run.
    """
    from harness.campaign.provenance import open_measured

    with user_mistakes():
        return open_measured(folder, identity, cells, asked.settings, [asked.candidate])


def finish(
    ledger: Ledger, candidate: Candidate, executor: Executor, within: LogitRange | None = None
) -> dict[str, Witness]:
    """Shrink the witnesses, record the shrunk ones, and return them by the ids of the original ones.

    Within a range, if one is given, no entry leaves it.

    Raises:
        NoVerdict: the candidate was replaced meanwhile.
    """
    from harness.campaign.provenance import record_program
    from harness.witnesses.shrinking import keep_small, shrink_all

    executor.grant()
    keep_small(ledger, shrink_all(ledger, {candidate.name: candidate}, executor, within=within))
    record_program(ledger, executor)
    return ledger.shrunk()


def row_lines(folder: Path, witness: Witness, small: Witness | None) -> Iterator[str]:
    """Yield a row in Python with its bits, the command that replays it, and the same of its small row."""
    from reports.rows import row_line

    places = {"": witness} if small is None else {"": witness, "made smaller: ": small}
    for name, row in places.items():
        written = row_line(row) or f"x: {plural(row.cell.length, 'entry')}"
        yield f"    {name}{written}"
        yield f"    {replay_command(folder, row)}"


def replay_command(folder: Path, witness: Witness) -> str:
    """Return the command that replays a witness."""
    from reports.record import run_folder as runs

    return runs.replay_command(runs.reference_of(folder), witness.id)
