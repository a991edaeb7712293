"""Which rows of a batch are kept as witnesses, and how much each row shows of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from harness.measurement.judged import Judged
from harness.measurement.rows import Flags, Floats
from harness.measurement.tiers import TIER_KINDS, tier_judgement
from reference.attribution import RowOutcome, hedge
from reference.errors import ElementClass
from reports.record.witness import CellKey, Remade, Witness, kept_kinds
from reports.record.witness_kinds import kinds_shown_by

__all__ = ["Recipe", "scores_by_row", "witnesses"]

Recipe = Callable[[Judged, int, int | None], Remade | None]
"""Returns the recipe of a row, about an element or the greatest entry; None where it keeps its bits."""

_CLASS_WITNESSES: Mapping[str, ElementClass] = {
    kind: ElementClass[kind.upper()]
    for kind in kinds_shown_by("element")
    if kind.upper() in ElementClass.__members__
}
_OUTCOME_WITNESSES: Mapping[str, RowOutcome] = {
    kind: RowOutcome[kind.upper()] for kind in kinds_shown_by("outcome")
}


class _Shown(NamedTuple):
    """A row that shows something, by its number; see `Witness`."""

    kind: str
    score: float
    row: int
    element: int | None
    message: str = ""


def witnesses(cell: CellKey, judged: Judged, *, sparing: bool, recipe: Recipe | None) -> Iterator[Witness]:
    """Yield the first row of each defect, and the worst row of each figure.

    Args:
        cell: the cell that they name.
        judged: the batch.
        sparing: whether to leave out what a cell would not keep: the bits of long rows cost much to write.
        recipe: makes recipes, which witnesses hold in place of bits.
    """
    rows, out = judged.rows, judged.rows.truth.format
    outputs: dict[int, str] = {}
    found = list(_shown(judged))
    kept = kept_kinds((shown.kind for shown in found), cell.length if sparing else 0)
    for kind, score, row, element, message in found:
        if kind not in kept:
            continue
        meant, origin = None if rows.op.reduces else element, rows.origin(row)
        if recipe is not None and (remade := recipe(judged, row, meant)) is not None:
            yield Witness(cell, kind, score, "", "", meant, origin, message, remade)
            continue
        bits = outputs.get(row) or outputs.setdefault(row, out.to_hex(judged.y[row]))
        yield Witness(cell, kind, score, rows.hexadecimal(row), bits, meant, origin, message)


def _shown(judged: Judged) -> Iterator[_Shown]:
    out = judged.rows.truth.format
    for kind, outcome in _OUTCOME_WITNESSES.items() if judged.outcomes.any() else ():
        for row in np.flatnonzero(_failed(judged, outcome))[:1]:
            values = out.to_float64(judged.y[row])
            yield _Shown(kind, 0.0, int(row), None, hedge(outcome, values, judged.declaration))
    for kind, row, element in _firsts(judged):
        yield _Shown(kind, 0.0, row, element)
    for kind, (score, row, element) in judged.worst.items():
        if score > 0:
            yield _Shown(kind, score, row, None if kind == "row_sum" else element)
    for done in judged.behaviour:
        for place in done.violations()[:1]:
            row = int(done.rows[place])
            values = out.to_float64(judged.y[row]).tolist()
            yield _Shown("policy", 0.0, row, None, done.told(int(place), values))


def _firsts(judged: Judged) -> Iterator[tuple[str, int, int]]:
    """Yield each kind of witness that a class of elements shows, and row and element of the first."""
    firsts = judged.figures.first_of_class
    for kind, wanted in _CLASS_WITNESSES.items():
        if kind in ("flushed", "lost") and judged.has_flushes:
            where = _defective(kind, judged)
            if where.any():
                yield kind, *divmod(int(np.argmax(where)), where.shape[1])
        elif wanted in firsts:
            yield kind, *firsts[wanted]
    if judged.figures.first_negative_zero is not None:
        yield "negative_zero", *judged.figures.first_negative_zero


def scores_by_row(kind: str, judged: Judged) -> Floats:
    """Return how much each row shows of a kind of witness, shape (rows,); 0 where it shows nothing of it.

    Where the kind is a figure it is the greatest of the row; else 1 where the row shows it. The row of the
    greatest score is one that `measure` would keep as the witness of that kind.

    Raises:
        ValueError: outputs do not show that kind: it is a fault.
    """
    if kind in TIER_KINDS:
        scores = tier_judgement(TIER_KINDS[kind], judged).scores
        return np.asarray(scores.max(axis=1))
    figure: Floats | Flags | None
    if kind == "max_ulp":
        figure = judged.judgement.ulp
    elif kind == "row_sum":
        figure = judged.judgement.row_sum_error[:, None]
    elif kind in ("bound_ratio", "algorithm_ratio"):
        figure = judged.ratio(kind)
    else:
        figure = _defective(kind, judged)
    if figure is None:
        return np.zeros(len(judged.y))
    return np.asarray(np.fmax(figure, 0.0).max(axis=1), dtype=np.float64)


def _failed(judged: Judged, outcome: RowOutcome) -> Flags:
    """Tell which rows failed in a way, and not for excused flushes alone."""
    return np.asarray((judged.outcomes == outcome) & ~judged.collapsed_by_flushes)


def _defective(kind: str, judged: Judged) -> Flags:
    judgement = judged.judgement
    if kind in _CLASS_WITNESSES:
        of_class: Flags = judgement.classes == _CLASS_WITNESSES[kind]
        if kind == "lost":  # some excused flushes are of its class, as their results round up to 2^emin
            return of_class & ~judged.flushes
        return of_class | judged.flushes if kind == "flushed" else of_class
    if kind == "negative_zero":
        return np.asarray(judgement.negative_zero & (judgement.classes != ElementClass.POLICY))
    if kind in _OUTCOME_WITNESSES:
        return _failed(judged, _OUTCOME_WITNESSES[kind])[:, None]
    if kind == "policy":
        flags = np.zeros((len(judged.y), 1), dtype=np.bool_)
        for done in judged.behaviour:
            flags[done.rows[done.violations()]] = True
        return flags
    raise ValueError(f"witness of kind {kind!r}: no output shows it; it is a fault of the call")
