"""A user's own logits, from a file: one row a logit vector.

`.npy`, and `.npz` that holds one array: real numbers of one or two dimensions. `.csv`: numbers
parted by commas, correctly rounded to float64; a first line without any number is a header.
`.parquet`: numeric columns, a row across them, or one column of lists of numbers.

Values must be what float64 holds exactly (a CSV's decimals are rounded to it); a campaign
rounds them to nearest into each format and says how many changed. Every error is a
ValueError of one line: the value, the rule, the next step.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.fixed import FixedRows, fixed_rows
from strategies.source import F64

__all__ = ["InputRows", "load"]

Array = NDArray[Any]

_LOST_DTYPES: Final = {1: "a float8", 2: "bfloat16"}
_PIECE: Final = 1 << 20
_LONGEST_LINE: Final = 1 << 29
_ARCHIVE: Final = b"PK"
_UNREADABLE: Final = (OSError, ValueError, EOFError, BadZipFile, MemoryError)


@dataclass(frozen=True)
class InputRows:
    """The rows of a file.

    Attributes:
        path: where they come from.
        values: (k, n) float64, k and n at least 1.
    """

    path: Path
    values: F64

    @property
    def digest(self) -> str:
        """The SHA-256 of the rows' shape and float64 bits, wherever the file lies."""
        content = repr(self.values.shape).encode() + self.values.astype("<f8", copy=False).tobytes()
        return hashlib.sha256(content).hexdigest()

    def fixed_rows(self, fmt: FloatFormat) -> tuple[FixedRows, ...]:
        """Return the rows that the format holds, rounded to nearest; () where it holds none.

        A row in which a finite value would become infinite or NaN, or an infinity NaN, is left out.
        """
        labels = [f"{self.path.name}[{i}]" for i in range(len(self.values))]
        return fixed_rows(fmt, self.values, labels)

    def changed(self, fmt: FloatFormat) -> int:
        """Return how many values rounding to nearest into the format changes; NaN is never changed."""
        rounded = fmt.to_float64(fmt.from_float64(self.values))
        return int(np.count_nonzero((rounded != self.values) & ~np.isnan(self.values)))

    def left_out(self, fmt: FloatFormat) -> int:
        """Return how many rows the format cannot hold."""
        return len(self.values) - sum(len(held.labels) for held in self.fixed_rows(fmt))


def load(path: str | Path) -> InputRows:
    """Read the logits in a file.

    Raises:
        ValueError: the file is missing, empty, of another kind, not numeric or ragged.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{_name(path)}: it is not a file; give the path of a file of logits")
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise ValueError(
            f"{_name(path)}: its extension is none of {', '.join(_READERS)}; convert it to one of them"
        )
    if not path.exists():
        raise ValueError(f"{_name(path)}: there is no such file; give the path of a file of logits")
    if path.stat().st_size == 0:
        raise ValueError(f"{_name(path)}: the file is empty; it needs at least one row of logits")
    return InputRows(path, _rows(path, read(path)))


def _name(path: Path) -> str:
    return f"input {str(path)!r}"


# From an array to rows ---------------------------------------------------------------------


def _rows(path: Path, array: Array) -> F64:
    """Check an array and return it as float64 rows."""
    _require_real(path, array.dtype)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{_name(path)}: the array has shape {array.shape}; one row is a logit vector, so it has one"
            " or two dimensions; reshape it to (rows, n)"
        )
    if array.size == 0:
        raise ValueError(
            f"{_name(path)}: shape {array.shape} holds no value; it needs at least one row of logits"
        )
    return np.ascontiguousarray(np.atleast_2d(_exact(path, array)))


def _require_real(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind in "fiu":
        return
    lost = _LOST_DTYPES.get(dtype.itemsize) if dtype.kind == "V" and dtype.names is None else None
    if lost:
        raise ValueError(
            f"{_name(path)}: dtype {dtype.str} is no number; np.save writes {lost} without its dtype;"
            " save array.astype(np.float32), which holds every value"
        )
    raise ValueError(f"{_name(path)}: dtype {dtype} is not real numbers; save floating-point logits")


def _exact(path: Path, array: Array) -> F64:
    with np.errstate(all="ignore"):
        values = array.astype(np.float64)
        back = values.astype(array.dtype)
    inexact = np.flatnonzero((back != array) & ~np.isnan(values) | (values >= _wraps_from(array.dtype)))
    if inexact.size:
        raise ValueError(
            f"{_name(path)}: {array.dtype} value {array.ravel()[inexact[0]]} is none that float64 holds"
            " exactly; round the logits yourself, so that the rows are the ones you mean"
        )
    return values


def _wraps_from(dtype: np.dtype[Any]) -> float:
    """The least float64 that is too large for an integer dtype; NaN, which nothing reaches, for another."""
    return 2.0 ** (8 * dtype.itemsize - (dtype.kind == "i")) if dtype.kind in "iu" else np.nan


# Readers: from a file to an array -------------------------------------------------------------


def _read_npy(path: Path) -> Array:
    return np.asarray(_loaded(path))


def _read_npz(path: Path) -> Array:
    with _loaded(path) as arrays:
        names = list(arrays)
        if len(names) != 1:
            raise ValueError(
                f"{_name(path)}: it holds {len(names)} arrays ({', '.join(names)}); one is wanted;"
                " save it alone"
            )
        return np.asarray(_guarded(path, lambda: arrays[names[0]]))


def _loaded(path: Path) -> Any:
    with path.open("rb") as file:
        is_archive = file.read(len(_ARCHIVE)) == _ARCHIVE
    if is_archive != (path.suffix.lower() == ".npz"):
        raise ValueError(f"{_name(path)}: the content is not {path.suffix}; give the file its own extension")
    return _guarded(path, lambda: np.load(path, allow_pickle=False))


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    """Read, and turn what NumPy or Arrow raise about a bad file into one line."""
    try:
        return read()
    except _UNREADABLE as error:
        if "pickle" in str(error):
            raise ValueError(
                f"{_name(path)}: it holds Python objects or is no {path.suffix} file; pickles are"
                " never loaded; save a floating-point array with np.save"
            ) from None
        reason = " ".join(str(error).split())
        raise ValueError(f"{_name(path)}: not readable as {path.suffix} ({reason}); write it again") from None


def _read_csv(path: Path) -> Array:
    lines = list(_csv_lines(path))
    if lines and not any(_number(field) is not None for field in lines[0][1]):
        lines = lines[1:]
    if not lines:
        raise ValueError(
            f"{_name(path)}: no line holds a number; it needs one row of logits a line, parted by commas"
        )
    width = len(lines[0][1])
    for number, fields in lines:
        if len(fields) != width:
            raise ValueError(
                f"{_name(path)}: line {number} has {len(fields)} values, line {lines[0][0]} has {width};"
                " rows of one file are equally long; split the file by length"
            )
    return np.array([_csv_values(path, number, fields) for number, fields in lines])


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and fields of each line that is not blank."""
    import csv

    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(_lines(text))
            for fields in reader:
                if any(field.strip() for field in fields):
                    yield reader.line_num, fields
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"{_name(path)}: not readable as UTF-8 text ({error}); write it again") from None


def _lines(text: TextIO) -> Iterator[str]:
    """Yield lines piece by piece, so that a file that is no text is not read to its end.

    Raises:
        ValueError: it holds zero bytes, or a line is longer than any row's.
    """
    pieces: list[str] = []
    while piece := text.readline(_PIECE):
        pieces.append(piece)
        if "\0" in piece or len(pieces) > _LONGEST_LINE // _PIECE:
            raise ValueError("a line is no text, or longer than any row's")
        if len(piece) < _PIECE or piece.endswith("\n"):
            yield "".join(pieces)
            pieces = []
    if pieces:
        yield "".join(pieces)


def _csv_values(path: Path, number: int, fields: list[str]) -> list[float]:
    values = [_number(field) for field in fields]
    if None in values:
        place = values.index(None)
        raise ValueError(
            f"{_name(path)}: line {number}, value {place + 1}: {fields[place]!r} is not a float64 number; a"
            " line is numbers parted by commas (-inf for a masked entry), without index or label columns"
        )
    return [value for value in values if value is not None]


def _number(field: str) -> float | None:
    """Return the number nearest to a decimal; None for what is none, or is finite and too large."""
    try:
        value = float(field.replace("_", "?"))
    except ValueError:
        return None
    return None if math.isinf(value) and "inf" not in field.lower() else value


def _read_parquet(path: Path) -> Array:
    table = _guarded(path, lambda: _parquet_table(path))
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            raise ValueError(
                f"{_name(path)}: column {name!r} has {column.null_count} missing values; every value of a row"
                " is a number; fill them in, or write -inf for a masked entry"
            )
    frame = table.to_pandas()  # leaves out an index that pandas stored
    if frame.shape[1] == 1 and frame.iloc[:, 0].dtype == object:
        return _stacked(path, frame.iloc[:, 0])
    for name, dtype in frame.dtypes.items():
        if not isinstance(dtype, np.dtype) or dtype.kind not in "fiu":
            raise ValueError(
                f"{_name(path)}: column {name!r} is of {dtype}; logits are numbers; leave the column out"
            )
    columns = [frame.iloc[:, i].to_numpy() for i in range(frame.shape[1])]
    return np.column_stack([_exact(path, column) for column in columns])  # integers beside floats would round


def _parquet_table(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)


def _stacked(path: Path, lists: Any) -> Array:
    """Return the lists of one column as the rows of an array."""
    rows = [np.asarray(entry) for entry in lists]
    lengths = sorted({row.size for row in rows})
    if len(lengths) > 1:
        raise ValueError(
            f"{_name(path)}: lists of {lengths[0]} to {lengths[-1]} values; rows of one file are"
            " equally long; split the file by length"
        )
    return np.array(rows)


_READERS: Final[dict[str, Callable[[Path], Array]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
