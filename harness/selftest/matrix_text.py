"""The matrix as people read it: defects by mechanism, a column a protocol, and the score beneath."""

from __future__ import annotations

from collections.abc import Iterator

from harness.selftest.explained import texts
from harness.selftest.matrix import Matrix
from harness.selftest.protocols import PROTOCOLS
from reports.selftest import GATE, matrix_rows

__all__ = ["text", "titles"]

_WIDTH = 13


def text(matrix: Matrix) -> str:
    """Return the matrix, the controls, the score and what went wrong, as lines."""
    return "\n".join(_lines(matrix))


def _lines(matrix: Matrix) -> Iterator[str]:
    document = matrix.document()
    wide = max((len(t.kind) for t in matrix.trials), default=0) + 2
    head = "".join(f"{column:>{_WIDTH}}" for column in matrix.columns)
    last = ""
    for row in (*matrix_rows(document, honest=False), *matrix_rows(document, honest=True)):
        title = f"{row.mechanism} defects" if row.mechanism else "controls"
        if title != last:
            last = title
            yield f"{title:{wide}}{head}"
        yield f"  {row.kind:{wide - 2}}" + "".join(f"{cell.text:>{_WIDTH}}" for cell in row.cells)
    yield ""
    yield from _score(matrix)
    yield ""
    yield from _wrong(matrix)


def titles() -> dict[str, str]:
    """Return what each column does, by its name."""
    return {GATE: "harness gate, standard or fast", **{p.name: p.title for p in PROTOCOLS}}


def _score(matrix: Matrix) -> Iterator[str]:
    what = titles()
    for column in matrix.columns:
        s = matrix.score(column)
        yield (
            f"{column:{_WIDTH}} caught {s.caught} of {s.planted} instances, {s.whole} of {s.kinds} defects in"
            f" every instance; refused {s.refused} of {s.honest} controls: {what.get(column, column)}"
        )


def _wrong(matrix: Matrix) -> Iterator[str]:
    for trial in matrix.missed():
        yield f"missed: {trial.name}, held to {', '.join(trial.tiers)}; seen: {trial.seen}"
    yield from texts((t.name, t.format, t.honest, t.named) for t in matrix.trials if t.named is not None)
    for trial in matrix.refused():
        yield f"refused: {trial.name}, held to {', '.join(trial.tiers)}: {trial.verdict}"
    score = matrix.score(GATE)
    outcome = "pass" if matrix.exit_code == 0 else "fail"
    yield (
        f"selftest: {outcome} ({score.caught} of {score.planted} defects caught, {score.refused} of"
        f" {score.honest} controls refused; seed {matrix.seed})"
    )
