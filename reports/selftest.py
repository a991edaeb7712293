"""The results of a self-test, from its document: planted defects by testing protocol, and the score.

The document `selftest` holds `seed`, `exit_code`, `scores` by column (caught, planted, whole, kinds, refused
and honest counts), `titles` by column, and `trials`: one suspect each, with kind, mechanism, where such a
thing was seen, whether it is honest, and by column whether it was noticed (null where not spoken of).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from reports.figures import NOTHING, count, plural

__all__ = ["GATE", "MatrixCell", "MatrixRow", "columns", "matrix_rows", "score_rows", "sentences"]

GATE: Final = "gate"
"""The column of this program; the others are there to compare."""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class MatrixCell:
    """The result of a column on the instances of one kind, in words, and how good it is."""

    text: str
    state: Literal["good", "open", "bad", "plain"]


@dataclass(frozen=True)
class MatrixRow:
    """One defect, or one control.

    Attributes:
        kind, mechanism, seen: which, in what part of softmax, and where such a thing was seen.
        instances: the number of its instances.
        cells: one a column, in their order.
    """

    kind: str
    mechanism: str
    seen: str
    instances: int
    cells: tuple[MatrixCell, ...]


def columns(document: Document) -> tuple[str, ...]:
    """Return the gate, then the protocols."""
    return tuple(document["scores"])


def matrix_rows(document: Document, *, honest: bool) -> list[MatrixRow]:
    """Return the defects, or the controls, in the suite's order."""
    by_kind: dict[str, list[Document]] = {}
    for trial in document["trials"]:
        if trial["honest"] is honest:
            by_kind.setdefault(str(trial["kind"]), []).append(trial)
    spell = _control if honest else _defect
    return [
        MatrixRow(
            kind,
            str(trials[0]["mechanism"]),
            str(trials[0]["seen"]),
            len(trials),
            tuple(spell(*_noticed(trials, column)) for column in columns(document)),
        )
        for kind, trials in by_kind.items()
    ]


def _noticed(trials: Sequence[Document], column: str) -> tuple[int, int]:
    spoken = [found for trial in trials if (found := trial["noticed"].get(column)) is not None]
    return sum(spoken), len(spoken)


def _defect(caught: int, planted: int) -> MatrixCell:
    if not planted:
        return MatrixCell(NOTHING, "plain")
    if caught == planted:
        return MatrixCell("caught", "good")
    return MatrixCell(f"{caught} of {planted}", "open") if caught else MatrixCell("missed", "bad")


def _control(refused: int, tried: int) -> MatrixCell:
    if not tried:
        return MatrixCell(NOTHING, "plain")
    return MatrixCell(f"{refused} refused", "bad") if refused else MatrixCell("passed", "good")


def score_rows(document: Document) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield column, what it does, and what it caught: instances, whole defects, and controls refused."""
    titles = document.get("titles") or {}
    for column, score in document["scores"].items():
        yield (
            column,
            str(titles.get(column, column)),
            f"{count(score['caught'])} of {count(score['planted'])}",
            f"{count(score['whole'])} of {count(score['kinds'])}",
            f"{count(score['refused'])} of {count(score['honest'])}",
        )


def sentences(document: Document) -> Iterator[str]:
    """Yield how the gate did, what it got wrong, and how the best of the protocols did."""
    scores = document["scores"]
    gate = scores.get(GATE)
    if not document["trials"] or gate is None:
        yield "Self-test: nothing was planted, so nothing is shown."
        return
    outcome = "Self-test passed" if document["exit_code"] == 0 else "Self-test failed"
    yield (
        f"{outcome}: the gate caught {count(gate['caught'])} of {plural(gate['planted'], 'planted defect')}"
        f" and refused {count(gate['refused'])} of {plural(gate['honest'], 'honest control')}."
    )
    yield from _wrong(document)
    others = {name: score for name, score in scores.items() if name != GATE and score["planted"]}
    if others:
        best = max(others, key=lambda name: others[name]["caught"] / others[name]["planted"])
        yield (
            f"Of the common protocols beside it, {best} caught most:"
            f" {count(others[best]['caught'])} of the {count(others[best]['planted'])} that it speaks of."
        )


def _wrong(document: Document) -> Iterator[str]:
    wrong = [trial for trial in document["trials"] if bool(trial["noticed"][GATE]) is bool(trial["honest"])]
    for word, honest in (("Missed", False), ("Refused", True)):
        names = [str(trial["name"]) for trial in wrong if trial["honest"] is honest]
        if names:
            more = f", and {count(len(names) - 5)} more" if len(names) > 5 else ""
            yield f"{word}: {', '.join(names[:5])}{more}."
