"""The matrix as people read it: defects by mechanism, a column a protocol, and the score beneath."""

from __future__ import annotations

from collections.abc import Iterator

from harness.selftest.matrix import GATE, Matrix
from harness.selftest.protocols import PROTOCOLS

__all__ = ["text", "titles"]

_WIDTH = 13
_CAUGHT, _MISSED, _SILENT = "caught", "missed", "-"


def text(matrix: Matrix) -> str:
    """Return the matrix, the controls, the score and what went wrong, as lines."""
    return "\n".join(_lines(matrix))


def _lines(matrix: Matrix) -> Iterator[str]:
    mechanisms = {t.kind: t.mechanism for t in matrix.trials}
    wide = max((len(t.kind) for t in matrix.trials), default=0) + 2
    head = "".join(f"{column:>{_WIDTH}}" for column in matrix.columns)
    last = ""
    for kind, row in matrix.rows().items():
        if mechanisms[kind] != last:
            last = mechanisms[kind]
            yield f"{last + ' defects':{wide}}{head}"
        yield f"  {kind:{wide - 2}}" + "".join(f"{_share(*row[c]):>{_WIDTH}}" for c in matrix.columns)
    if controls := matrix.rows(honest=True):
        yield f"{'controls':{wide}}{head}"
        for kind, row in controls.items():
            yield f"  {kind:{wide - 2}}" + "".join(f"{_honest(*row[c]):>{_WIDTH}}" for c in matrix.columns)
    yield ""
    yield from _score(matrix)
    yield ""
    yield from _wrong(matrix)


def _share(caught: int, planted: int) -> str:
    """Say how many of the instances were caught; in a word where it was all or none."""
    if not planted:
        return _SILENT
    return _CAUGHT if caught == planted else f"{caught} of {planted}" if caught else _MISSED


def _honest(refused: int, tried: int) -> str:
    if not tried:
        return _SILENT
    return f"{refused} refused" if refused else "passed"


def titles() -> dict[str, str]:
    """Return what each column does, by its name."""
    return {GATE: "harness gate, standard or fast", **{p.name: p.title for p in PROTOCOLS}}


def _score(matrix: Matrix) -> Iterator[str]:
    told = titles()
    for column in matrix.columns:
        s = matrix.score(column)
        yield (
            f"{column:{_WIDTH}} caught {s.caught} of {s.planted} instances, {s.whole} of {s.kinds} defects in"
            f" all of theirs; refused {s.refused} of {s.honest} controls: {told.get(column, column)}"
        )


def _wrong(matrix: Matrix) -> Iterator[str]:
    for trial in matrix.missed():
        yield f"missed: {trial.name}, held to {trial.tier}; seen: {trial.seen}"
    for trial in matrix.refused():
        yield f"refused: {trial.name}, held to {trial.tier}: {trial.verdict}"
    score = matrix.score(GATE)
    outcome = "pass" if matrix.exit_code == 0 else "fail"
    yield (
        f"selftest: {outcome} ({score.caught} of {score.planted} defects caught, {score.refused} of"
        f" {score.honest} controls refused; seed {matrix.seed})"
    )
