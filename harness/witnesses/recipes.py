"""Long rows are not kept bit by bit but as the way to make them again: `reports.record.witness.Remade`.

Rows are a pure function of regime, format, length, seed and batch, in IEEE-exact operations only, so a
row that is made again is the same on every machine; its digest proves it, and says so where a later
version of a regime draws other rows. Rows of the user's own file are kept: the file may change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any, Final

import gmpy2
import mpmath
import numpy as np
from numpy.typing import NDArray

from harness.measurement import Judged, Rows
from harness.subject.subject import Subject
from harness.terminal.exceptions import UsageError
from harness.witnesses.batches import Part, smallest_part
from reference.errors import ulp_of
from reference.formats import FloatFormat, format_named
from reference.fused import Exact
from reference.model import RESIDUAL_TOLERANCE, Method, Truth
from reference.ops import Op, op_named
from reference.ops.fused import whole_truth
from reference.row_kinds import RowKind
from reports.figures import exact as spelled
from reports.figures import exact_power
from reports.record.witness import LONG_BEYOND, Batch, Remade, Witness, decoded
from strategies.corpora import CORPORA, FixedRows
from strategies.logit_range import LogitRange
from strategies.regimes import REGIMES

__all__ = [
    "Recipes",
    "batch_of",
    "completed",
    "completed_among",
    "entries_of_hex",
    "is_same_output",
    "kept_as_recipe",
    "row_of",
]

ENTRIES: Final = 8
"""Entries kept of a row, about the one that is meant, else about the greatest."""

_MOST_DIGITS: Final = 17

_NARROW: Final = gmpy2.context(precision=116)
"""More than twice the bits of so many digits."""

_WIDE: Final = gmpy2.context(precision=2200)
"""Differences lie below 2^1125, so that rounding them, or their product, to so many bits errs by little."""

_LOG10_E: Final = _WIDE.div(1, _WIDE.log(10))

_DRAWN: Final = re.compile(r"batch (\d+), row (\d+)")


@dataclass(frozen=True)
class Recipes:
    """Recipes of the long rows that a campaign draws, made from the batch that they are in.

    Attributes:
        seed: the campaign's.
        batches: the rows of each batch.
        within: the campaign's range.
    """

    seed: int
    batches: Mapping[int, int]
    within: LogitRange | None = None

    def of(self, judged: Judged, row: int, element: int | None) -> Remade | None:
        """Return the recipe of a row, about an element or the greatest entry; None where it keeps its bits.

        Those keep them that are short, and those with labels: some rows of a batch, or of a file.
        """
        rows = judged.rows
        if rows.labels or rows.x.shape[1] <= LONG_BEYOND:
            return None
        place = self.seed, rows.number, self.batches[rows.number], rows.first + row
        y, digest = judged.y[row], judged.output_digest(row)
        return _remade(place, rows, row, y, digest, element, self.within)


def kept_as_recipe(
    witness: Witness,
    seed: int,
    batches: Mapping[int, int],
    method: Method = "certified",
    within: LogitRange | None = None,
) -> Witness:
    """Return the witness without its bits, if its row is long and can be made again; else with its batch.

    Args:
        witness: of a campaign's row, with its bits, or already without.
        seed: the campaign's.
        batches: the rows of each batch that it may be of.
        method: how the exact results of the entries kept are found.
        within: the campaign's range.
    """
    cell = witness.cell
    fmt, out = format_named(cell.format), format_named(cell.out_format)
    place = None if witness.remade else _place(witness, fmt, seed, batches, within)
    if place is None:
        return witness
    if cell.length <= LONG_BEYOND:
        return replace(witness, batch=Batch(*place, within=_ends(within)))
    rows = Rows.of(fmt, decoded(witness.x, fmt)[None], out, method=method, op=op_named(cell.op))
    y = decoded(witness.y, out)
    digest = out.digest(y) if witness.y else ""
    return replace(witness, x="", y="", remade=_remade(place, rows, 0, y, digest, witness.element, within))


def _remade(
    place: tuple[int | None, int, int, int],
    rows: Rows,
    row: int,
    y: NDArray[Any],
    y_digest: str,
    element: int | None,
    within: LogitRange | None,
) -> Remade:
    """Return the recipe of a row of some rows, with the entries about an element or the greatest.

    Args:
        place: seed, batch, rows and row.
        rows: those that it is among.
        row: its number there.
        y: its outputs; empty where there are none.
        y_digest: their digest; empty likewise.
        element: which one is meant.
        within: the range of its batch.
    """
    values, out = rows.values[row], rows.truth.format
    meant = int(np.argmax(values)) if element is None else element
    first = max(0, min(meant - ENTRIES // 2, values.size - ENTRIES))
    kept = slice(first, first + ENTRIES)
    return Remade(
        *place,
        x_digest=rows.row_digest(row),
        y_digest=y_digest,
        first=first,
        x=rows.format.to_hex(rows.x[row, kept]),
        y=out.to_hex(y if rows.op.reduces else y[kept]),
        exact=_exact(values, rows.truth.of_rows(slice(row, row + 1)), first, rows.method, rows.op),
        within=_ends(within),
    )


def _ends(within: LogitRange | None) -> tuple[float, float] | None:
    return None if within is None else (within.low, within.high)


def row_of(witness: Witness) -> NDArray[Any]:
    """Return the row of a witness, shape (n,), from its bits or made again.

    Raises:
        UsageError: there is no row, or the row made is not the one recorded.
    """
    fmt = format_named(witness.cell.format)
    if witness.remade is None:
        row = fmt.from_bits(entries_of_hex(witness.x, fmt))
        if row.size == 0:
            raise UsageError(
                f"witness {witness.id}: its x holds no entry; give a line of witnesses.jsonl whole"
            )
        return row
    made = _made(witness, witness.remade, fmt)
    if made is None or fmt.digest(made) != witness.remade.x_digest:
        raise UsageError(
            f"witness {witness.id}: {witness.cell.regime} makes another row now than was recorded;"
            " replay it with the program's version that wrote it"
        )
    return made


def batch_of(witness: Witness) -> Part | None:
    """Return the batch that a witness was seen in; None where that is not known, or made otherwise now."""
    fmt, held = format_named(witness.cell.format), witness.batch
    if held is None and witness.remade is not None:
        remade = witness.remade
        held = Batch(remade.seed, remade.batch, remade.rows, remade.row, within=remade.within)
    if held is None:
        return None
    rows = _rows_of(witness, held, fmt)
    same = rows is not None and fmt.to_hex(rows[held.row]) == fmt.to_hex(row_of(witness))
    return Part(rows, held.row) if rows is not None and same else None


def _rows_of(witness: Witness, held: Batch, fmt: FloatFormat) -> NDArray[Any] | None:
    if held.x:
        return fmt.from_bits(entries_of_hex(held.x, fmt)).reshape(held.rows, -1)
    regime, length = witness.cell.regime, witness.cell.length
    if held.seed is not None and regime in REGIMES:
        return REGIMES[regime].rows(fmt, held.rows, length, held.seed, held.number, _range(held))
    of_length = (
        fixed.rows for fixed in _fixed(regime, length, fmt, _range(held)) if len(fixed.rows) == held.rows
    )
    return next(of_length, None)


def is_same_output(witness: Witness, y: NDArray[Any]) -> bool:
    """Tell whether outputs, shape (n,), have the bits that the witness recorded."""
    out = format_named(witness.cell.out_format)
    if witness.remade is None:
        return out.to_hex(y) == witness.y
    return out.digest(y) == witness.remade.y_digest


def entries_of_hex(text: str, fmt: FloatFormat) -> NDArray[Any]:
    """Return the encodings that a witness holds as hexadecimal digits, unsigned integers of shape (n,).

    Raises:
        UsageError: the text is not hexadecimal of whole entries.
    """
    try:
        return _entries(bytes.fromhex(text), fmt)
    except ValueError:
        raise UsageError(
            f"witness bits {text[:20]!r}...: not hexadecimal of {fmt.hex_digits} digits an entry"
        ) from None


def _entries(raw: bytes, fmt: FloatFormat) -> NDArray[Any]:
    return np.frombuffer(raw, dtype=fmt.bits_dtype.newbyteorder(">")).astype(fmt.bits_dtype)


def _place(
    witness: Witness, fmt: FloatFormat, seed: int, batches: Mapping[int, int], within: LogitRange | None
) -> tuple[int | None, int, int, int] | None:
    """Return seed, batch, rows and row of a row that can be made again; None of any other."""
    cell = witness.cell
    drawn = _DRAWN.fullmatch(witness.origin)
    if cell.regime in REGIMES and drawn:
        batch, row = map(int, drawn.groups())
        return seed, batch, batches[batch], row
    for fixed in _fixed(cell.regime, cell.length, fmt, within):
        for row, label in enumerate(fixed.labels):
            if label == witness.origin and fmt.to_hex(fixed.rows[row]) == witness.x:
                return None, 0, len(fixed.rows), row
    return None


def _made(witness: Witness, how: Remade, fmt: FloatFormat) -> NDArray[Any] | None:
    regime, length = witness.cell.regime, witness.cell.length
    if how.seed is not None and regime in REGIMES:
        rows = REGIMES[regime].rows(fmt, how.rows, length, how.seed, how.batch, _range(how))
        return np.asarray(rows[how.row])
    of_length = (fixed for fixed in _fixed(regime, length, fmt, _range(how)) if how.row < len(fixed.rows))
    return next((np.asarray(fixed.rows[how.row]) for fixed in of_length), None)


def _range(made: Batch | Remade) -> LogitRange | None:
    return None if made.within is None else LogitRange(*made.within)


def _fixed(regime: str, length: int, fmt: FloatFormat, within: LogitRange | None) -> list[FixedRows]:
    """Return the rows of a corpus that have the length and are in the range: one group of them, or none."""
    corpus = CORPORA.get(regime)
    groups = [] if corpus is None else [f for f in corpus.fixed_rows(fmt) if f.length == length]
    if within is None:
        return groups
    return [held for f in groups if (held := within.of_fixed(fmt, f)) is not None]


def _exact(row: NDArray[np.float64], known: Truth, first: int, method: Method, op: Op) -> tuple[str, ...]:
    """Spell the exact results of the entries kept of a row, by its truth; nothing of a policy row."""
    if RowKind(known.kinds[0]).is_policy:
        return ()
    if op.logarithmic:
        return tuple(_logarithms(known, first))
    if not op.fused.moves:
        top = int(np.argmax(row))
        kept = row[first : first + ENTRIES].tolist()
        return tuple(_shares(kept, float(row[top]), *_result_of(known, top)))
    (logits,) = op.fused.exact_rows(row[None])  # the greatest may be the sink
    top = max(range(len(logits)), key=logits.__getitem__)
    kept = logits[first : min(first + ENTRIES, row.size)]
    return tuple(
        _shares(kept, logits[top], *_result_of(whole_truth(op, row[None], known.format, method), top))
    )


def _logarithms(known: Truth, first: int) -> Iterator[str]:
    """Spell results that RN(r) and its residual give, to the digits that they give."""
    ulps = ulp_of(known)[0].tolist()
    results = list(zip(known.nearest[0].tolist(), known.residual[0].tolist(), ulps, strict=True))
    for nearest, residual, ulp in results[:1] if len(results) == 1 else results[first : first + ENTRIES]:
        if math.isinf(nearest) or not nearest:
            yield spelled(_context().mpf(nearest), 1)
            continue
        value = Fraction(nearest) + Fraction(residual) * Fraction(ulp)
        digits = _known_digits(abs(value), Fraction(ulp)) if residual else _MOST_DIGITS
        yield spelled(_context().mpf(value.numerator) / value.denominator, digits)


def _shares(logits: Sequence[Exact], greatest: Exact, scale: Any, digits: int) -> Iterator[str]:
    """Spell results of softmax: `scale`, that of the greatest logit, times exponentials of exact differences.

    As many digits are known of the smallest result as of that of the greatest.

    MPFR does not hold the exponential of g = -2^1125, which a difference may be. But e^g = 10^t with
    t = g log10(e), whose whole part is a power of ten, so that only 10^(t - floor(t)) is worked out. Each of
    the three roundings to `_WIDE` bits moves t by 2^1125 2^-2200 at most: together by less than 2^-1000.
    """
    for logit in logits:
        if logit == -math.inf:
            yield "0"
            continue
        power = _WIDE.mul(_WIDE.sub(logit, greatest), _LOG10_E)
        whole = _WIDE.floor(power)
        yield exact_power(_NARROW.mul(scale, _NARROW.exp10(_WIDE.sub(power, whole))), int(whole), digits)


def _result_of(known: Truth, entry: int) -> tuple[Any, int]:
    """Return an entry's result, by RN(r) and its residual, and how many digits of it are known."""
    there = (slice(None), slice(entry, entry + 1))
    one = Truth(known.format, known.nearest[there], known.residual[there], known.kinds)
    nearest, residual, ulp = (float(a.item()) for a in (one.nearest, one.residual, ulp_of(one)))
    value = Fraction(nearest) + Fraction(residual) * Fraction(ulp)
    return gmpy2.mpq(value), _known_digits(value, Fraction(ulp))


@cache
def _context() -> mpmath.MPContext:
    """Return a context of digits enough; what is asked of it changes nothing in it, so threads share it.

    To make one takes longer than all that is asked of it.
    """
    context = mpmath.MPContext()
    context.dps = 2 * _MOST_DIGITS
    return context


def _known_digits(value: Fraction, ulp: Fraction) -> int:
    """Return how many digits of a result are known, whose residual alone is inexact.

    With d digits the last one is worth at least 10^-d of the value, and the error is at most 10^-(d + 1) of
    it: the last digit is good to a tenth of itself besides its own rounding. The greatest result of a row of
    n is at least 1/n, so that one digit is known in the narrowest format and the longest row.
    """
    relative = Fraction(RESIDUAL_TOLERANCE) * ulp / value
    return max(1, min(_MOST_DIGITS, math.floor(-math.log10(relative)) - 1))


def completed(witness: Witness, subject: Subject) -> Witness:
    """Return the witness with its bits, where its row is made again with those that the candidate gives now.

    Raises:
        UsageError: its row cannot be made again.
    """
    if witness.remade is None:
        return witness
    row = row_of(witness)
    outputs = subject.outputs(row[None])
    y = "" if outputs is None else subject.out.to_hex(outputs[0])
    return replace(witness, x=subject.format.to_hex(row), y=y, remade=None)


def completed_among(witness: Witness, subject: Subject) -> tuple[Witness, Part]:
    """Return the witness with what its row gives in its batch, and the smallest part in which it gives that.

    Raises:
        UsageError: its batch is not known, or too large a part of it is needed to be written down.
    """
    whole = batch_of(witness)

    def output(part: Part) -> str:
        outcome = subject.run(part.x)
        came = outcome.outputs is not None and outcome.completed[part.row]
        return subject.out.to_hex(outcome.outputs[part.row]) if came and outcome.outputs is not None else ""

    y = "" if whole is None else output(whole)
    part = None if whole is None else smallest_part(whole, lambda some: output(some) == y)
    if part is None:
        raise UsageError(
            f"witness {witness.id}: its row shows it among all rows of its batch alone, which are too many to"
            " write down; replay it from its run"
        )
    return replace(witness, x=subject.format.to_hex(row_of(witness)), y=y, remade=None), part
