"""The command line: one module of `harness.commands` a command, and the exit codes.

0 all well · 1 a budget is exceeded or a defect was found · 2 wrong usage or configuration ·
3 no verdict · 130 interrupted. A user's mistake is one line on stderr, never a traceback.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Annotated, Any

import typer

from harness.commands import (
    bench,
    catalogue,
    claims,
    compare,
    exhaust,
    explain,
    gate,
    init,
    replay,
    report,
    search,
    selftest,
)
from harness.commands import run as run_command
from harness.subject.execution.fork_server import shared
from harness.terminal.exceptions import HarnessError, UsageError
from harness.terminal.interrupts import was_interrupted
from reports import spelling
from reports.files import error_message, is_known

__all__ = ["app", "run"]

PROGRAM = "softmax-harness"
"""The console script: what shells complete, since they cannot complete `python -m harness`."""

CRASHED = 3
INTERRUPTED = 130

app = typer.Typer(
    name=PROGRAM,
    help="Is this softmax right, and how wrong is it where it is wrong?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run_command.run)
app.command("gate")(gate.gate)
app.command("search")(search.search)
app.command("exhaust")(exhaust.exhaust)
app.command("explain")(explain.explain)
app.command("compare")(compare.compare)
app.command("init")(init.init)
app.command("replay")(replay.replay)
app.command("report")(report.report)
app.command("selftest")(selftest.selftest)
app.command("claims")(claims.claims)
app.command("bench")(bench.bench)
app.command("list")(catalogue.list_everything)


def _print_version(*, asked: bool) -> None:
    if not asked:
        return
    try:
        typer.echo(f"softmax-harness {version('softmax-harness')}")
    except PackageNotFoundError:
        typer.echo("softmax-harness (not installed)")
    raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; without one, say which there are."""
    if not arguments:
        run(["--help"])
        return UsageError.exit_code
    try:
        with shared():
            code = _commands()(args=list(arguments), standalone_mode=False, prog_name=PROGRAM) or 0
        sys.stdout.flush()  # report a full disk here, not at the exit of the interpreter
        return _complain("interrupted", code) if code == INTERRUPTED else code  # as Typer returns it
    except HarnessError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except typer.Exit as ended:
        return ended.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort of the program
        return _last_resort(error, arguments)


@cache
def _commands() -> Any:
    """Return the commands as Typer makes them of `app`, in some 40 ms."""
    return typer.main.get_command(app)


def _last_resort(error: Exception, arguments: Sequence[str]) -> int:
    if isinstance(error, OSError) and is_known(error):
        return _complain(f"{error_message(error)}; what was measured is kept", CRASHED)
    # Older versions of Typer make Abort of it, and other libraries errors of their own.
    if isinstance(error.__cause__, KeyboardInterrupt) or was_interrupted():
        return _complain("interrupted", INTERRUPTED)
    # Typer's own usage errors share a base class that it does not export.
    if hasattr(error, "format_message"):
        message = f"{error.format_message()}{_value_of(error, arguments)} (see --help)"
        return _complain(message, UsageError.exit_code)
    traceback.print_exception(error)
    return _complain("this is a fault of the harness, not of a candidate; please report it", CRASHED)


def _value_of(error: Exception, arguments: Sequence[str]) -> str:
    """Return the value that an option was given, which Typer's message leaves out."""
    options = getattr(getattr(error, "param", None), "opts", ())
    given = [b for a, b in pairwise(arguments) if a in options]
    given += [b for a in arguments for o, _, b in [a.partition("=")] if o in options and b]
    return f", not {given[-1]!r}" if given else ""


def _complain(message: str, code: int) -> int:
    print(f"error: {spelling.line(' '.join(message.split()))}", file=sys.stderr)  # noqa: T201 - stderr may not be a console
    return code
