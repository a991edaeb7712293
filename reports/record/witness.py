"""Witnesses: single rows, as exact bits, that show a cell's worst figure or a defect."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from reference.formats import FORMATS, Array, FloatFormat
from reference.ops import OPS, op_named
from reports.record.schema import (
    FIGURE,
    Malformed,
    Rule,
    inflated,
    integer,
    list_of,
    one_of,
    optional,
    record,
    text,
)
from reports.record.witness_kinds import DEFECT_KINDS, gravity_of

__all__ = [
    "ALONE_BEYOND",
    "CELL",
    "LONGEST_ROW",
    "LONG_BEYOND",
    "PACKED_BEYOND",
    "WITNESS",
    "Batch",
    "CellKey",
    "Remade",
    "Witness",
    "decoded",
    "gravity",
    "json_float",
    "kept_kinds",
    "parse_float",
]

PACKED_BEYOND: Final = 32
"""Rows of more entries than this are packed in a line of witnesses.jsonl."""

ALONE_BEYOND: Final = 256
"""A cell with rows of more entries than this keeps only its gravest witness and its greatest error."""

LONG_BEYOND: Final = 1000
"""Rows of more entries than this are kept as a recipe, where the program made them.

A row of 70 001 float64 entries is a megabyte of bits; one a cell would be most of what a run leaves.
"""


@dataclass(frozen=True, order=True)
class CellKey:
    """candidate x op x format x out_format x regime x length, the unit of aggregation."""

    candidate: str
    op: str
    format: str
    out_format: str
    regime: str
    length: int


@dataclass(frozen=True)
class Remade:
    """The recipe of a long row, and the few entries of it that are kept.

    The row is row `row` of the batch `batch` of `rows` rows that its regime draws from `seed`; or without a
    seed, row `row` of the corpus that its regime is. The digests tell whether it is still that one.

    Attributes:
        x_digest: the SHA-256 of the input encodings, big-endian.
        y_digest: that of the output encodings; empty where the candidate returned none.
        first: the index of the first entry kept.
        x, y: the encodings of the entries kept, as a witness has them.
        exact: the exact results of the entries kept, in decimal; empty where there are none.
        within: the ends of the range that its batch was brought into, or those of its corpus's rows that are
            in it; None where there was no range.
    """

    seed: int | None
    batch: int
    rows: int
    row: int
    x_digest: str
    y_digest: str
    first: int
    x: str
    y: str
    exact: tuple[str, ...] = ()
    within: tuple[float, float] | None = None

    def document(self) -> dict[str, Any]:
        """Return the recipe as JSON."""
        return _with_range(dict(vars(self)))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Remade:
        """Return the recipe of a `document` whose shape has been checked."""
        return cls(**{**document, "exact": tuple(document["exact"]), "within": _range_of(document)})


@dataclass(frozen=True)
class Batch:
    """The batch of a row that shows its violation only there, not alone.

    Its rows are the batch `number` that the regime draws from `seed`, or without a seed those of the corpus
    that its regime is; or they are held bit by bit.

    Attributes:
        rows: the number of rows; `row` is the index of this one.
        x: the encodings of all of them; empty where they are made again.
        within: as in `Remade`.
    """

    seed: int | None
    number: int
    rows: int
    row: int
    x: str = ""
    within: tuple[float, float] | None = None

    def document(self) -> dict[str, Any]:
        """Return the batch as JSON, with its bits packed."""
        document = _with_range(dict(vars(self)))
        bits = document.pop("x")
        return {**document, "x_packed": _packed(bits)} if bits else document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Batch:
        """Return the batch of a `document` whose shape has been checked."""
        values = {key: value for key, value in document.items() if key != "x_packed"}
        values["within"] = _range_of(document)
        return cls(**values, x=_unpacked(document["x_packed"]) if "x_packed" in document else "")


def _with_range(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document in which `within` is as JSON takes it, and left out where there is none."""
    within = document.pop("within")
    return document if within is None else {**document, "within": [_end(value) for value in within]}


def _end(value: float) -> float | str:
    return value if math.isfinite(value) else "inf" if value > 0 else "-inf"


def _range_of(document: Mapping[str, Any]) -> tuple[float, float] | None:
    if "within" not in document:
        return None
    low, high = map(float, document["within"])
    return low, high


@dataclass(frozen=True)
class Witness:
    """One row, as exact bits, that shows a cell's worst figure or a defect.

    Attributes:
        cell: the cell that it comes from.
        kind: one of `WITNESS_KINDS`, or the name of a check.
        score: its worst figure (ULP, ratio, row sum error); 0 where the kind alone ranks it.
        x: input encodings, fixed-width hexadecimal, concatenated; empty where the row is made again.
        y: output encodings likewise; empty where the candidate returned none.
        element: the index of the element meant, None where the whole row is.
        origin: how the row came about, e.g. "batch 0, row 17" or "pytorch/pytorch#25110".
        message: a description, where the kind does not suffice.
        remade: the recipe of the row, where its bits are not kept.
        batch: the one that it was seen in, where that is known; a row that is made again says so itself.
    """

    cell: CellKey
    kind: str
    score: float
    x: str
    y: str
    element: int | None
    origin: str
    message: str = ""
    remade: Remade | None = None
    batch: Batch | None = None

    @cached_property
    def id(self) -> str:
        """Ten hexadecimal digits of the SHA-256 of everything that the witness records of its row."""
        document = self.document()
        document.pop("batch", None)
        text = json.dumps(document, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def document(self) -> dict[str, Any]:
        """Return the JSON document of this witness, without its id."""
        document = {**vars(self.cell), **vars(self), "score": json_float(self.score)}
        for name in ("cell", "remade", "batch", "id"):
            document.pop(name, None)
        if self.remade is not None:
            document["remade"] = self.remade.document()
        if self.batch is not None:
            document["batch"] = self.batch.document()
        return document

    def line(self, small: str | None = None) -> str:
        """Return the line of witnesses.jsonl: the id, and the document with long rows packed.

        Args:
            small: the id of the small witness that stands for this one, its own where it is small itself.
        """
        document = {"id": self.id, **({"small": small} if small else {}), **self.document()}
        if self.cell.length > PACKED_BEYOND and self.remade is None:
            for name in ("x", "y"):
                document[f"{name}_packed"] = _packed(document.pop(name))
        return json.dumps(document, ensure_ascii=False)

    @classmethod
    def from_document(cls, document: Any) -> Witness:
        """Return the witness of a `document` or a `line`, without checking its id.

        Raises:
            ValueError: it is not what was written; the message names the place and the rule.
        """
        try:
            WITNESS(document, "")
            values = {k: v for k, v in document.items() if k in cls.__dataclass_fields__}
            values |= {name: _bits(document, name) for name in ("x", "y")}
            if "remade" in values:
                values["remade"] = Remade.from_document(values["remade"])
            if "batch" in values:
                values["batch"] = Batch.from_document(values["batch"])
            cell = CellKey(**{name: document[name] for name in CellKey.__dataclass_fields__})
            witness = cls(cell=cell, **{**values, "score": parse_float(values["score"])})
            _check_bits(witness)
        except Malformed as error:
            raise ValueError(f"witness: {error}; give a line of witnesses.jsonl as it was written") from None
        return witness


def decoded(encodings: str, fmt: FloatFormat) -> Array:
    """Return the entries that a witness holds as hexadecimal digits, an array of the format."""
    return fmt.from_bits(np.frombuffer(bytes.fromhex(encodings), fmt.bits_dtype.newbyteorder(">")))


def gravity(w: Witness) -> tuple[bool, bool, int]:
    """Return the rank of a witness in its cell: a defect first, then the greatest ULP error, then others."""
    return _gravity(w.kind)


def _gravity(kind: str) -> tuple[bool, bool, int]:
    return kind not in DEFECT_KINDS, kind != "max_ulp", gravity_of(kind)


def kept_kinds(kinds: Iterable[str], length: int) -> frozenset[str]:
    """Return of which kinds a cell keeps a witness: of long rows the gravest, and the greatest ULP error.

    Args:
        kinds: those that its rows show.
        length: of the rows.
    """
    shown = frozenset(kinds)
    if length <= ALONE_BEYOND or not shown:
        return shown
    return shown & {min(shown, key=_gravity), "max_ulp"}


def _packed(encodings: str) -> str:
    """Return hexadecimal digits as base64 of their deflated bytes."""
    return base64.b64encode(zlib.compress(bytes.fromhex(encodings))).decode()


def _bits(document: Mapping[str, Any], name: str) -> str:
    """Return the encodings of a line, packed or not, or of a document."""
    packed = document.get(f"{name}_packed")
    if packed is not None:
        return _unpacked(packed)
    if name not in document:
        raise Malformed(f"it lacks {name}")
    return str(document[name])


def _unpacked(packed: str) -> str:
    try:
        content = base64.b64decode(packed, validate=True)
    except ValueError as error:
        raise Malformed(f"packed bits are base64 ({error})") from None
    return inflated(content, LONGEST_ROW * _WIDEST_BYTES).hex()


# What is written ---------------------------------------------------------------------------


LONGEST_ROW: Final = 1 << 24
"""The most entries of a row."""

MOST_MADE: Final = 1 << 26
"""The most entries of a batch that a recipe makes with the row."""

_WIDEST_BYTES: Final = max(fmt.storage_bits for fmt in FORMATS.values()) // 8
_HEX: Final = text(2 * _WIDEST_BYTES * LONGEST_ROW, "[0-9a-f]*")
_PACKED_TEXT: Final = text(2 * _WIDEST_BYTES * LONGEST_ROW, "[A-Za-z0-9+/=]*")
_DIGEST: Final = text(64, "[0-9a-f]{64}")


def _op(value: Any, where: str) -> None:
    """Check the name of an op, with its settings if it has any."""
    text(200)(value, where)
    try:
        op_named(value)
    except ValueError:
        one_of(OPS)(value, where)


CELL: Final[Mapping[str, Rule]] = {
    "candidate": text(4096),
    "op": _op,
    "format": one_of(FORMATS),
    "out_format": one_of(FORMATS),
    "regime": text(200),
    "length": integer(0, LONGEST_ROW),
}
"""The rules of a `CellKey`."""

_EXACT: Final = text(500, r"-|-inf|-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,400})?")
"""A decimal is shown as it is written, not expanded, because its exponent may have 300 digits."""


def _range_end(value: Any, where: str) -> None:
    """Check an end of a range: a finite number, or an infinity as text."""
    is_number = type(value) in (int, float) and abs(value) <= float(FORMATS["float64"].largest)
    if not is_number and value not in ("inf", "-inf"):
        raise Malformed(f"{where}: {value!r:.60}: it is a number, inf or -inf")


def _range(value: Any, where: str) -> None:
    """Check the ends of a range, the lower one first."""
    list_of(_range_end, 2)(value, where)
    if len(value) != 2 or not float(value[0]) <= float(value[1]):
        raise Malformed(f"{where}: {value!r}: two numbers, the lower first")


_RANGE: Final[Rule] = _range

_REMADE: Final = record(
    {
        "seed": optional(integer(0, 1 << 256)),
        "batch": integer(),
        "rows": integer(1, MOST_MADE),
        "row": integer(0, MOST_MADE),
        "x_digest": _DIGEST,
        "y_digest": text(64, "([0-9a-f]{64})?"),
        "first": integer(0, LONGEST_ROW),
        "x": text(4096, "[0-9a-f]*"),
        "y": text(4096, "[0-9a-f]*"),
        "exact": list_of(_EXACT, 256),
    },
    {"within": _RANGE},
)

_BATCH: Final = record(
    {
        "seed": optional(integer(0, 1 << 256)),
        "number": integer(),
        "rows": integer(1, MOST_MADE),
        "row": integer(0, MOST_MADE),
    },
    {"x_packed": _PACKED_TEXT, "within": _RANGE},
)

WITNESS: Final = record(
    {
        **CELL,
        "kind": text(100, "[a-z][a-z0-9_]*"),
        "score": FIGURE,
        "element": optional(integer(0, LONGEST_ROW)),
        "origin": text(4096),
        "message": text(),
    },
    {
        "id": text(64, "[0-9a-f]*"),
        "small": text(64, "[0-9a-f]*"),
        "x": _HEX,
        "y": _HEX,
        "x_packed": _PACKED_TEXT,
        "y_packed": _PACKED_TEXT,
        "remade": _REMADE,
        "batch": _BATCH,
    },
)
"""The rule of a witness's `document` or `line`."""


def _check_bits(witness: Witness) -> None:
    """Check the bits against the formats: whole entries, and at least one in the row."""
    cell = witness.cell
    for name, encodings, fmt in (("x", witness.x, cell.format), ("y", witness.y, cell.out_format)):
        entries, rest = divmod(len(encodings), FORMATS[fmt].hex_digits)
        if rest or entries > LONGEST_ROW:
            raise Malformed(f"{name}: {entries} entries of {fmt}, and {rest} digits: not a row of it")
    if witness.score is None:
        raise Malformed("score: null: it is a number")
    remade, batch = witness.remade, witness.batch
    if batch is not None:
        if not (batch.row < batch.rows and batch.rows * cell.length <= MOST_MADE):
            raise Malformed("batch: the row is in no batch that the program makes")
        entries = len(witness.x) * batch.rows
        if batch.x and (remade is not None or len(batch.x) != entries):
            raise Malformed("batch: x_packed holds other rows than so many of the row's length")
    if remade is None and not witness.x:
        raise Malformed("x: it holds no entry of the row")
    if remade is not None and not (remade.row < remade.rows and remade.rows * cell.length <= MOST_MADE):
        raise Malformed("remade: it is no row of a batch that the program makes")


def json_float(value: float | None) -> float | str | None:
    """Return a figure for JSON: "inf" for +inf, null for None and NaN."""
    if value is None or math.isnan(value):
        return None
    return "inf" if math.isinf(value) else value


def parse_float(value: float | str | None) -> float | None:
    """Return the figure of a `json_float`."""
    return math.inf if value == "inf" else None if value is None else float(value)
