"""The worst rows, as exact bits, each with its replay command."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from reference.formats import FloatFormat, format_named
from reference.ops import Op, op_named
from reference.row_kinds import RowKind
from reports.figures import NOTHING, count, plural, shortened, ulps
from reports.figures import exact as spelled
from reports.record.witness import Remade, Witness, decoded
from reports.rows import in_python
from reports.rundata import RunData
from reports.section import Section, fill

MOST: Final = 24
"""The most witnesses to draw; the rest are in witnesses.jsonl."""

ENTRIES: Final = 8
"""The most entries of a row to draw."""

MOST_IN_A_LINE: Final = 3
"""The most entries of a row that is shown in one line."""

EXACT_UP_TO: Final = 1 << 17
"""The longest row whose exact result is computed for the page, in about two seconds; few are so long."""

DIGITS: Final = 17

EXACT_BITS: Final = 64


@dataclass(frozen=True)
class Entry:
    """One entry of a row: values in decimal, and the encodings of input and output."""

    index: int
    x: str
    x_bits: str
    y: str
    y_bits: str
    exact: str


@dataclass(frozen=True)
class Card:
    """A witness as it is drawn."""

    witness: Witness
    figure: str
    entries: tuple[Entry, ...]
    hidden: int
    command: str
    shrunk_note: str = ""
    meant: int = 0


def card(witness: Witness, command: str, found: Witness | None = None) -> Card:
    """Lay out a witness: the entries around the one that matters, or the first ones.

    Args:
        witness: the row to draw.
        command: replays it.
        found: the row that it was shrunk from; None where it was not.
    """
    cell = witness.cell
    kept: Witness | Remade = witness.remade or witness
    x = _decoded(kept.x, format_named(cell.format))
    y = _decoded(kept.y, format_named(cell.out_format))
    op = op_named(cell.op)
    first = kept.first if isinstance(kept, Remade) else 0
    meant = _meant(witness, [value for value, _ in x], first)
    shown = _shown(meant - first, len(x))
    at = {i: i for i in shown} if not op.reduces else {meant - first: 0}
    exact: Mapping[int, str]
    if isinstance(kept, Remade):
        exact = dict(enumerate(kept.exact))
    else:
        exact = _exact([value for value, _ in x], op, at.values())
    entries = tuple(
        Entry(
            first + i,
            *_texts(x[i]),
            *(_texts(y[at[i]]) if y and i in at else (NOTHING, "")),
            exact[at[i]] if exact and i in at else NOTHING,
        )
        for i in shown
    )
    length = cell.length if isinstance(kept, Remade) else len(x)
    shrunk_note = "" if found is None else _shrunk_note(witness, found, length)
    return Card(witness, _figure(witness), entries, length - len(entries), command, shrunk_note, meant)


def _meant(witness: Witness, x: Sequence[float], first: int) -> int:
    """Return the entry that stands for a row: the one meant, else the greatest of those kept."""
    if witness.element is not None or not x:
        return witness.element or 0
    return first + max(range(len(x)), key=lambda i: (not math.isnan(x[i]), x[i]))


def _shrunk_note(drawn: Witness, found: Witness, length: int) -> str:
    """Return which row the figure is of, where the original row has another figure."""
    figure, before = _figure(drawn), _figure(found)
    if figure == before:
        return ""
    return (
        f"{figure} is the figure of the row drawn here, shrunk to {plural(length, 'entry')};"
        f" the row as found, of {count(found.cell.length)}, showed {before}."
    )


def instance(witness: Witness) -> str:
    """Return one line on the row: its worst figure, or input, output and truth; a short row with its bits."""
    row = card(witness, "")
    if not row.entries or all(not e.y_bits for e in row.entries):
        return ""
    is_whole = not row.hidden and len(row.entries) <= MOST_IN_A_LINE
    bits = " ".join(e.x_bits.removeprefix("0x") for e in row.entries)
    said = _instance(row, bits) if is_whole else _instance(row, "")
    return f"{said}; bits of x: {bits}" if is_whole else said


def _instance(row: Card, bits: str) -> str:
    """Return the line without bits, of a whole row given by its bits or of a part of one."""
    x, y, exact = ([shortened(getattr(e, name)) for e in row.entries] for name in ("x", "y", "exact"))
    meant = next((k for k, e in enumerate(row.entries) if e.index == row.meant), 0)
    cell = row.witness.cell
    op = op_named(cell.op)
    settings = f", {op.fused}" if op.fused else ""
    whole = f"{op.plain or op}({in_python(bits, format_named(cell.format))}{settings})"
    name = whole if bits else f"a row of {count(cell.length)} entries"
    where = name if op.reduces else f"entry {row.entries[meant].index} of {name}"
    if row.figure:
        return f"{row.figure} at {where}"
    if op.reduces:
        text, truth = f"{name} = {y[meant]}", exact[meant]
    elif not bits:
        text, truth = f"{where}: {x[meant]} gives {y[meant]}", exact[meant]
    else:
        text, truth = f"{name} = ({', '.join(y)})", f"({', '.join(exact)})"
    return f"{text}; exact: {truth}" if exact[meant] != NOTHING else text


def _decoded(text: str, fmt: FloatFormat) -> list[tuple[float, str]]:
    """Return value and encoding of every entry."""
    digits = fmt.hex_digits
    codes = [text[i : i + digits] for i in range(0, len(text), digits)]
    values = fmt.to_float64(decoded(text, fmt))
    return list(zip(values.tolist(), codes, strict=True))


def _texts(entry: tuple[float, str]) -> tuple[str, str]:
    value, code = entry
    return repr(value), f"0x{code}"


def _exact(values: list[float], op: Op, wanted: Iterable[int]) -> dict[int, str]:
    """Spell the exact results that are wanted, by their places; none of a policy row or a very long one."""
    row = np.array([values])
    if len(values) > EXACT_UP_TO or not values or RowKind(op.kinds(row)[0]).is_policy:
        return {}
    results = np.reshape(op.exact(row, EXACT_BITS), -1)
    return {place: spelled(results[place], DIGITS) for place in wanted}


def _shown(element: int, length: int) -> range:
    first = max(0, min(element - ENTRIES // 2, length - ENTRIES))
    return range(first, min(first + ENTRIES, length))


def _figure(witness: Witness) -> str:
    """Return the figure in which the witness is the worst."""
    if witness.kind == "max_ulp":
        return f"{ulps(witness.score)} ULP"
    if witness.kind in ("bound_ratio", "algorithm_ratio"):
        return f"{ulps(witness.score)} of the bound"
    if witness.kind == "row_sum" and math.isfinite(witness.score):
        return f"row sum off by {witness.score:.3g}"
    return ""


def render(run: RunData) -> Markup:
    """Draw the gravest witnesses, and say where the rest are."""
    cards = [card(w, run.replay_command(w.id), run.found.get(w.id)) for w in run.telling_witnesses(MOST)]
    return fill("witnesses.html", run=run, cards=cards)


SECTION = Section(
    title="Worst witnesses",
    order=60,
    guide=(
        "A witness is one row, bit for bit, that shows a defect or a greatest figure. Here stands the"
        " worst one of each candidate, format and kind, the gravest kinds first. The exact column is the"
        " softmax of the row over the reals, to 17 digits. A shrunk row has a figure of its own; the"
        " tables show that of the original row. The command replays the whole row."
    ),
    render=render,
    of_cells=True,
)
