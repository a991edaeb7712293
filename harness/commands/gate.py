"""`harness gate`: judge implementations against budgets or a tier; the CI command."""

from __future__ import annotations

import math
import os
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.campaign.configuration import configured_gate
from harness.campaign.settings import LARGEST_CELL, Settings, resolve
from harness.commands.causes import (
    NoExplain,
    asked_of_verdicts,
    causes_of,
    interrupted,
    keep,
    seconds_left,
)
from harness.commands.single import OpName, Policies, Range
from harness.subject.execution.fork_server import begin
from harness.terminal.console import notes, print_json, print_lines, results
from harness.terminal.exceptions import NoVerdict, UsageError, user_mistakes
from reports.spelling import line

if TYPE_CHECKING:
    from harness.gate import Budget, Decision
    from reports.record.verdicts import Verdict

__all__ = ["gate"]

Many = list[str] | None
Pairs = frozenset[tuple[str, str]] | None

_OF_RUNS = ("regimes", "lengths", "rows", "effort", "input")


def gate(
    candidates: Annotated[
        Many, typer.Argument(help="Built-in names, module:function or file.py:function.")
    ] = None,
    *,
    formats: Annotated[Many, typer.Option("--format", help="Input format; repeat for several.")] = None,
    op: OpName = None,
    via: Annotated[
        str | None, typer.Option(help="Hand it arrays of torch, jax or cupy; torch@cuda on a device.")
    ] = None,
    out_format: Annotated[str | None, typer.Option(help="Output format, where not the input's.")] = None,
    tiers: Annotated[
        Many, typer.Option("--tier", help="rounded, faithful, wide, standard or fast; repeat for several.")
    ] = None,
    budgets: Annotated[Path | None, typer.Option(help="A TOML file of budgets.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="An earlier run (a folder, latest, previous): be no worse.")
    ] = None,
    range: Range = None,
    policies: Policies = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same rows; by default 0.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="A new seed, printed; for a nightly job.")] = False,
    rows: Annotated[int | None, typer.Option(help="At least this many rows of each drawn cell.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail too where more than 25 % of a limit is unused.")
    ] = False,
    tighten: Annotated[
        bool, typer.Option("--tighten", help="Lower limits in the file to what was seen.")
    ] = False,
    margin: Annotated[float, typer.Option(help="What --tighten leaves above what was seen.")] = 0.1,
    loosen: Annotated[str | None, typer.Option(help="METRIC=LIMIT: raise that limit in the file.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why a limit is raised.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; harness-out/... where not given.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    jobs: Annotated[int | None, typer.Option(help="Processors to keep busy; by default all.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that one call of a candidate may take.")
    ] = None,
    max_time: Annotated[
        float | None,
        typer.Option(help="Seconds that the gate may take; it draws fewer rows to keep to that."),
    ] = None,
    no_explain: NoExplain = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as one JSON document.")] = False,
) -> int:
    """Judge implementations against budgets or a tier; exit 1 where one is worse than allowed.

    Exit codes: 0 all pass, 1 over a budget or a defect, 2 wrong usage, 3 no verdict.
    """
    begun = time.monotonic()
    begin(candidates or ())  # before the imports that take longest
    given = {
        "candidates": candidates, "op": op, "via": via, "formats": formats,
        "out_format": out_format, "tiers": tiers,
        "budgets": None if budgets is None else str(budgets), "policies": policies, "seed": seed,
        "range": range,
        "jobs": jobs, "timeout": timeout, "max_time": max_time,
    }  # fmt: skip
    values, file = _values(given, tier_alone=bool(tiers) and budgets is None)
    path = Path(values["budgets"]) if "budgets" in values else None
    if (tighten or strict or loosen or reason) and path is None:
        raise UsageError("--tighten, --loosen, --reason and --strict are about a file; give --budgets FILE")
    if tighten and fresh:
        raise UsageError(
            "--tighten with --fresh: limits follow the rows that every gate sees; leave out --fresh"
        )
    _check_numbers(rows, margin)
    if baseline is not None and fresh:
        raise UsageError("--baseline with --fresh: a baseline is about its own rows; leave out --fresh")
    if path is not None and (loosen or reason):
        return _loosen(path, values, loosen, reason)
    from harness.gate import decide, read_baseline

    with user_mistakes():
        earlier = None if baseline is None else read_baseline(baseline)
    allowed, settings, pairs = _allowed(values, file, is_compared=earlier is not None)
    if fresh:
        settings = replace(settings, seed=secrets.randbits(32) if seed is None else seed)
        notes().print(f"fresh rows: --seed {settings.seed}")
    decision = decide(
        settings,
        allowed,
        out,
        fresh=fresh,
        rows=rows,
        overwrite=overwrite,
        strict=strict,
        baseline=earlier,
        pairs=pairs,
    )
    causes = [] if no_explain else _causes(decision, settings, begun)
    code = _tell(decision, causes, as_json=as_json)
    _draw(decision, as_json=as_json)
    if path is not None:
        _tell_slack(decision, allowed, path, margin if tighten else None)
    return code


def _check_numbers(rows: int | None, margin: float) -> None:
    """Refuse contradictory options before anything is measured."""
    from harness.gate import GATE

    most = LARGEST_CELL // max(GATE.lengths)
    if rows is not None and not 1 <= rows <= most:
        raise UsageError(
            f"rows {rows}: give an integer from 1 to {most}; --rows never lowers the rows of a cell"
        )
    if not 0 <= margin < math.inf:
        raise UsageError(f"margin {margin}: give a number from 0 on, such as 0.1")


def _loosen(path: Path, values: dict[str, Any], setting: str | None, reason: str | None) -> int:
    from harness.gate.ratchet import loosen

    if setting is None:
        raise UsageError("--reason: it goes with --loosen METRIC=LIMIT")
    chosen = values["chosen"]
    candidates, formats = (values[key] if key in chosen else () for key in ("candidates", "formats"))
    print_lines(results(), loosen(path, setting, reason, candidates, formats))
    return 0


def _tell_slack(decision: Decision, allowed: Sequence[Budget], path: Path, margin: float | None) -> None:
    """Print limits with unused room, or lower them and print the change."""
    from harness.gate.ratchet import slack_verdicts, tighten

    if margin is not None:
        difference = tighten(path, decision.gated, allowed, margin)
        unchanged = f"{path}: no limit can be lowered with a margin of {margin:g}"
        print_lines(notes(), difference or line(unchanged))
        return
    for verdict in slack_verdicts(decision.gated, allowed):
        notes().print(f"slack: {verdict.name}: {verdict.message}", soft_wrap=True)


# Options -----------------------------------------------------------------------------------


def _values(given: dict[str, Any], *, tier_alone: bool) -> tuple[dict[str, Any], Path | None]:
    """Return flags over the configuration, with paths relative to its folder, and the file."""
    from harness.gate.budgets import spec_from

    here = Path.cwd()
    values, file = configured_gate(here)
    if file is not None:
        notes().print(f"configuration: {file}", soft_wrap=True)
        values["candidates"] = [spec_from(spec, file.parent) for spec in values.get("candidates", ())]
    if tier_alone:
        values.pop("budgets", None)
    given = {key: value for key, value in given.items() if value not in (None, [])}
    if "candidates" in given:
        given["candidates"] = [spec_from(spec, here) for spec in given["candidates"]]
    values["chosen"] = given.keys() & {"candidates", "formats"}
    return {key: value for key, value in {**values, **given}.items() if key not in _OF_RUNS}, file


def _allowed(
    values: dict[str, Any], file: Path | None, *, is_compared: bool
) -> tuple[list[Budget], Settings, Pairs]:
    """Return the budgets, the settings, and the pairs of candidate and format to measure."""
    from harness.gate import of_tier, read_budgets

    chosen, tiers, path = values.pop("chosen"), values.pop("tiers", ()), values.pop("budgets", None)
    budgets = read_budgets(Path(path)) if path is not None else []
    _check_candidates(budgets)
    unwritten = sum("TODO" in budget.reason for budget in budgets)
    if unwritten:
        notes().print(f"{path}: {unwritten} reasons are still to be written (TODO)", soft_wrap=True)
    pairs = None if tiers else _pairs(values, budgets)
    for key, name in (("candidates", "candidate"), ("formats", "format")):
        if key in chosen:
            budgets = [b for b in budgets if getattr(b, name) in values[key]]
        else:
            values[key] = [*values.get(key, ()), *(getattr(b, name) for b in budgets)]
    if not values["candidates"]:
        raise UsageError("gate: no candidate; name one, or list candidates or budgets in [tool.harness]")
    settings = resolve(values)
    names = [f.name for f in settings.formats]
    out = settings.out_format.name if settings.out_format else None
    for tier in reversed(dict.fromkeys(tiers)):
        budgets = [*of_tier(tier, settings.candidates, names, out), *budgets]
    if not budgets and not is_compared:
        hint = f"; {file} names no budgets" if file and path is None else ""
        raise NoVerdict(
            f"no budget to judge by{hint}; give --tier standard, --budgets FILE or --baseline RUN"
        )
    return budgets, settings, pairs


def _pairs(values: dict[str, Any], budgets: Sequence[Budget]) -> Pairs:
    """Return the pairs that budgets name, and those of the listed candidates and formats.

    Where only candidates are listed, or only formats, each goes with whatever the budgets name.
    """
    own = frozenset((b.candidate, b.format) for b in budgets)
    candidates, formats = (values.get(key) or () for key in ("candidates", "formats"))
    if not own or (candidates and formats):
        return None
    if candidates:
        return own | {(candidate, b.format) for candidate in candidates for b in budgets}
    return own | {(b.candidate, fmt) for fmt in formats for b in budgets}


def _check_candidates(budgets: Sequence[Budget]) -> None:
    """Refuse budgets for candidates that do not exist."""
    from harness.subject.candidates import load

    named = dict.fromkeys(budget.candidate for budget in budgets)
    begin(named)
    with user_mistakes():
        for spec in named:
            load(spec)


# Results ----------------------------------------------------------------------------------


def _causes(decision: Decision, settings: Settings, begun: float) -> list[dict[str, Any]]:
    """Return why whatever fails does, as far as it is found in a limited time; the report has it too."""
    asked = asked_of_verdicts(decision.verdicts)
    try:
        found = causes_of(asked, decision.gated.candidates, settings, seconds_left(settings, begun))
    except KeyboardInterrupt:  # what was judged is printed all the same
        return interrupted(asked)
    keep(decision.folder, found)
    return found


def _tell(decision: Decision, causes: Sequence[dict[str, Any]], *, as_json: bool) -> int:
    from reports.causes import cause_lines
    from reports.gate_text import markdown, terminal
    from reports.github import workflow_commands
    from reports.looking import looked_at

    verdicts, relaxations = decision.verdicts, decision.gated.relaxations()
    folder = decision.folder.as_posix()
    if as_json:
        print_json({**decision.document(), "causes": list(causes)})
    else:
        for told in cause_lines(causes):
            results().print(told, soft_wrap=True)
        looked = looked_at(check.document() for check in decision.gated.checks)
        results().print(terminal(verdicts, relaxations, folder, looked=looked), soft_wrap=True)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        stream = sys.stderr if as_json else sys.stdout
        stream.writelines(f"{line}\n" for line in workflow_commands(verdicts, _places(verdicts)))
    _summarise(markdown(verdicts, relaxations, folder))
    return decision.exit_code


def _draw(decision: Decision, *, as_json: bool) -> None:
    """Draw the report after the verdict is printed, so that no failure in it changes the verdict."""
    from harness.gate import draw

    page = decision.folder / "report.html"
    if failed := draw(decision):
        notes().print(f"{page}: sections that could not be drawn: {', '.join(failed)}", soft_wrap=True)
    if not as_json:
        results().print(f"report: {page}", soft_wrap=True)


def _places(verdicts: Sequence[Verdict]) -> dict[str, tuple[str, int]]:
    """Return the file and line of each candidate's function, relative to the top of the checkout."""
    from harness.subject.candidates.devices import place_of

    top = Path(os.environ.get("GITHUB_WORKSPACE", os.curdir)).resolve()
    lines_by_candidate = {}
    for name in {verdict.candidate for verdict in verdicts}:
        if (place := place_of(name)) is not None:
            file, line = place
            shown = file.relative_to(top) if file.is_relative_to(top) else file
            lines_by_candidate[name] = (shown.as_posix(), line)
    return lines_by_candidate


def _summarise(text: str) -> None:
    """Append to GitHub's job summary, if there is one; a failure to write changes no verdict."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return
    try:
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        notes().print(f"no job summary: GITHUB_STEP_SUMMARY {name}: {error.strerror}", soft_wrap=True)
