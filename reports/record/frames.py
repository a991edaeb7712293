"""A run as tables of pandas: its cells, its witnesses and its rates.

The columns `KEY` name the cell of a line in all three tables. The columns `witness`, `max_ulp_witness`,
`small_witness` and `small_max_ulp_witness` of a cell, and `small` of a witness, are an `id` of a witness.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from reference.formats import format_named
from reports.record.cells import Row, cell_row, table
from reports.record.ledger import Ledger
from reports.record.metrics import METRICS, documented
from reports.record.tally import Tally
from reports.record.witness import CellKey, Witness, decoded

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KEY", "RATES", "WITNESSES", "Column", "Frames", "frames"]

KEY: Final = tuple(field.name for field in fields(CellKey))
"""The columns that name a cell."""

_RATES: Final = tuple(
    name for name, metric in METRICS.items() if metric.unit == "rate" and not name.endswith(("_low", "_high"))
)

CATEGORIES: Final = (*(name for name in KEY if name != "length"), "status", "kind", "rate", "of")
"""The columns of few values, each repeated on many lines."""

Dtype = Literal["category", "str", "Int64", "float64", "object"]


@dataclass(frozen=True)
class Column:
    """One column of the table of witnesses or of rates: its name, its dtype, and what it means."""

    name: str
    dtype: Dtype
    meaning: str


_OF_KEY: Final = tuple(
    Column(name, "category" if name in CATEGORIES else "Int64", meaning)
    for name, meaning in documented()
    if name in KEY
)

WITNESSES: Final = (
    Column("id", "str", "ten hexadecimal digits; `python -m harness replay RUN#ID` runs the row again"),
    *_OF_KEY,
    Column("kind", "category", "what the row shows: a kind of witness, or the name of a check"),
    Column("score", "float64", "the figure of its kind, such as the ULP error; 0 where the kind has none"),
    Column("element", "Int64", "the index of the entry that shows it; <NA> where the whole row does"),
    Column("origin", "str", "where the row comes from, such as a batch and a row in it"),
    Column("message", "str", "what happened, where the kind does not say it"),
    Column("small", "str", "the id of the small row that shows the same; its own where it is small"),
    Column("x", "object", "the logits, an array of the format; None where only `replay` has them"),
    Column("y", "object", "the outputs, an array of out_format; None where there are none, or x is None"),
)
"""The columns of the table of witnesses."""

RATES: Final = (
    *_OF_KEY,
    Column("rate", "category", "the column of the table of cells that holds it, such as failed_rate"),
    Column("of", "category", "what is counted: rows or elements"),
    Column("events", "Int64", "how many of them have the event"),
    Column("trials", "Int64", "how many there are that could have it"),
    Column("value", "float64", "events over trials; NaN where there are no trials"),
    Column("low", "float64", "the low end of the 95 % interval; NaN where rows are not drawn independently"),
    Column("high", "float64", "the high end of that interval"),
)
"""The columns of the table of rates."""


@dataclass(frozen=True)
class Frames:
    """The tables of a run.

    Attributes:
        cells: one line a cell, with the columns of `METRICS`.
        witnesses: one line a witness, with the columns of `WITNESSES`.
        rates: one line a rate of a cell, with the columns of `RATES`.
    """

    cells: pd.DataFrame
    witnesses: pd.DataFrame
    rates: pd.DataFrame


def frames(ledger: Ledger) -> Frames:
    """Return the tables of a run, in one pass over its ledger.

    Raises:
        LedgerError: the ledger is damaged.
    """
    small = ledger.small()
    cells: list[Row] = []
    rates: list[Row] = []
    witnesses: dict[str, Witness] = {}
    for info, tally in ledger.tallies():
        row = cell_row(info, tally, small)
        cells.append(row)
        rates += _rates(row, tally)
        witnesses |= {witness.id: witness for witness in tally.witnesses}
    witnesses |= {witness.id: witness for witness in ledger.document_witnesses()}
    own = {small_id: small_id for small_id in small.values()}
    small = {**small, **own}
    lines = [_witness_row(witness, small.get(id_)) for id_, witness in witnesses.items()]
    tables = {
        "cells": table(cells),
        "witnesses": _frame(WITNESSES, lines),
        "rates": _frame(RATES, rates),
    }
    return Frames(**_categorised(tables))


def _rates(cell: Row, tally: Tally) -> Iterator[Row]:
    """Yield each rate of a cell with its counts."""
    key = {name: cell[name] for name in KEY}
    of_elements = {
        "underflow_rate": (cell["flushed"] + cell["lost"], tally.representable),
        "unavoidable_underflow_rate": (cell["unavoidable_zeros"], tally.positive),
    }
    for name in _RATES:
        of_rows = (cell.get(METRICS[name].events), cell["judged_rows"])
        events, trials = of_elements.get(name, of_rows)
        yield {
            **key,
            "rate": name,
            "of": "elements" if name in of_elements else "rows",
            "events": events,
            "trials": trials,
            "value": cell[name],
            "low": cell.get(f"{name}_low"),
            "high": cell.get(f"{name}_high"),
        }


def _witness_row(witness: Witness, small: str | None) -> Row:
    cell = witness.cell
    return {
        **{name: getattr(cell, name) for name in KEY},
        **{name: getattr(witness, name) for name in ("id", "kind", "score", "element", "origin", "message")},
        "small": small,
        "x": decoded(witness.x, format_named(cell.format)) if witness.x else None,
        "y": decoded(witness.y, format_named(cell.out_format)) if witness.y else None,
    }


def _frame(columns: Sequence[Column], rows: Iterable[Row]) -> pd.DataFrame:
    import pandas as pd

    lines = list(rows)
    dtypes = {column.name: "str" if column.dtype == "category" else column.dtype for column in columns}
    return pd.DataFrame(
        {name: pd.Series([line[name] for line in lines], dtype=dtype) for name, dtype in dtypes.items()}
    )


def _categorised(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Give columns of few values the same categories in all tables, and counts a null.

    pandas keeps a categorical in a merge only where both tables have the same categories.
    """
    import pandas as pd

    dtypes: dict[str, Any] = {}
    for name in CATEGORIES:
        values = [value for table in tables.values() if name in table for value in table[name]]
        dtypes[name] = pd.CategoricalDtype(list(dict.fromkeys(values)))
    counts = {name: "Int64" for name, metric in METRICS.items() if metric.dtype == "int64"}
    return {
        name: table.astype({c: dtype for c, dtype in (dtypes | counts).items() if c in table})
        for name, table in tables.items()
    }
