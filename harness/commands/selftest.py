"""`harness selftest`: plant known defects, show that each is caught and that nothing honest is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.console import notes, print_json, results
from harness.errors import UsageError
from harness.kernels import prepare_kernels

if TYPE_CHECKING:
    from harness.selftest.matrix import Matrix

__all__ = ["selftest"]


def selftest(
    *,
    seed: Annotated[int, typer.Option(help="What the constants of the defects are drawn from.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="One instance of each defect, and the controls of float32.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Processes; all processors.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the matrix as one JSON document.")] = False,
) -> int:
    """Plant known defects beside honest controls, and hold the gate, and common protocols, against them.

    Exit codes: 0 every defect is caught and every control passes, 1 one is not, 2 wrong usage.
    """
    from harness.selftest.suite import run_suite, suspects_of
    from harness.settings import available_jobs

    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least 1")
    prepare_kernels()
    suspects = suspects_of(seed, quick=quick)
    done = [0]

    def told(more: int) -> None:
        done[0] += more
        notes().print(f"{done[0]} of {len(suspects)}", end="\r" if notes().is_terminal else "\n")

    matrix = run_suite(suspects, seed, jobs or available_jobs(), told)
    if as_json:
        print_json(matrix.document())
    else:
        results().print(_text(matrix), soft_wrap=True)
    return matrix.exit_code


def _text(matrix: Matrix) -> str:
    from harness.selftest.telling import text

    return text(matrix)
