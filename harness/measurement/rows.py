"""One batch of rows with its truth, and the encodings that witnesses carry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.measurement.kernels.places import Extents, extents, gap_peaks
from harness.subject.subject import Subject
from reference.errors import Judgement
from reference.formats import FloatFormat
from reference.model import Method, Truth
from reference.ops import SOFTMAX, Op, with_settings
from reference.ops.fused import whole_truth
from reference.tiers import STANDARD, Tier
from reports.record.bins import Bins
from reports.record.profiles import place_numbers

__all__ = ["Flags", "Floats", "Rows", "digest"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """One batch of rows with its truth, shared by all candidates that see it.

    Results, outputs and bounds have shape (rows, n), or (rows, 1) where the op reduces a row to one number.

    Attributes:
        format: the input format.
        x: the rows in it, shape (rows, n).
        values: the same as float64.
        truth: their truth in the output format.
        number: the batch's number within its cell.
        labels: where each row comes from; drawn rows are named by batch and row.
        method: how the truth was made, and outputs are to be judged.
        first: how many rows of the batch come before these.
        op: what the truth is about.
    """

    format: FloatFormat
    x: NDArray[Any]
    values: Floats
    truth: Truth
    number: int
    labels: tuple[str, ...] = ()
    method: Method = "certified"
    first: int = 0
    op: Op = SOFTMAX

    @classmethod
    def of(
        cls,
        fmt: FloatFormat,
        x: NDArray[Any],
        out: FloatFormat,
        number: int = 0,
        labels: tuple[str, ...] = (),
        method: Method = "certified",
        op: Op = SOFTMAX,
    ) -> Self:
        """Return rows of a format with their truth in another."""
        values = fmt.to_float64(x)
        exact = op.truth(values, out, method)
        return cls(fmt, x, values, exact, number, labels, method, op=op)

    @classmethod
    def about(
        cls,
        subject: Subject,
        x: NDArray[Any],
        number: int = 0,
        labels: tuple[str, ...] = (),
        method: Method = "certified",
    ) -> Self:
        """Return rows of a subject's format with the truth about what it computes."""
        return cls.of(subject.format, x, subject.out, number, labels, method, subject.op)

    def origin(self, row: int) -> str:
        """Say where a row comes from."""
        return self.labels[row] if self.labels else f"batch {self.number}, row {self.first + row}"

    def hexadecimal(self, row: int) -> str:
        """Return a row's encodings, big-endian and fixed-width."""
        if row not in self._encodings:  # of most witnesses: one row is often several
            self._encodings[row] = self.format.to_hex(self.x[row])
        return self._encodings[row]

    @cached_property
    def _encodings(self) -> dict[int, str]:
        return {}

    def row_digest(self, row: int) -> str:
        """Return the SHA-256 of a row's encodings, big-endian."""
        if row not in self._row_digests:
            self._row_digests[row] = self.format.digest(self.x[row])
        return self._row_digests[row]

    @cached_property
    def _row_digests(self) -> dict[int, str]:
        return {}

    def digest(self) -> str:
        """Return the SHA-256 of the batch's input bits, little-endian, row after row."""
        return digest(self.format, self.x)

    @property
    def standard_bounds(self) -> Floats:
        """The bounds of the standard tier in ULP, of the results' shape."""
        return self.bounds_of(STANDARD)

    def bounds_of(self, tier: Tier) -> Floats:
        """Return the bounds of a tier in ULP, of the results' shape; made once for all candidates."""
        if tier.name not in self._bounds:
            self._bounds[tier.name] = self.bounds_made(tier)
        return self._bounds[tier.name]

    def bounds_made(self, tier: Tier, *, overflowing: bool = True) -> Floats:
        """Return the bounds of a tier, made now; `overflowing` as `Tier.bounds` has it."""
        fused = self.op.fused
        if not self.op.logarithmic:
            return tier.bounds(
                self.values, self.whole_shares, self.format, overflowing=overflowing, fused=fused
            )
        return tier.logarithm_bounds(
            self.values,
            self.truth,
            self.whole_shares,
            self.format,
            reduces=self.op.reduces,
            overflowing=overflowing,
            fused=fused,
        )

    @cached_property
    def whole_shares(self) -> Truth:
        """The truth about the softmax of these rows, a sink's own share last: what bounds are made of."""
        if not self.op.logarithmic and self.op.fused.sink is None:
            return self.truth
        return whole_truth(with_settings(SOFTMAX, self.op.fused), self.values, self.truth.format, self.method)

    @cached_property
    def _bounds(self) -> dict[str, Floats]:
        return {}

    @cached_property
    def plain_values(self) -> Floats:
        """The values as kernels take them, which have one signature."""
        return np.require(self.values, requirements=["C", "W"])

    @cached_property
    def entries(self) -> Floats:
        """The logit that each result belongs to; the largest, where a row has one result."""
        return self.extents.largest[:, None] if self.op.reduces else self.plain_values

    @property
    def masked(self) -> Flags:
        """Which results are those of masked entries, of the results' shape."""
        if self.op.masked is None:
            return np.zeros(self.truth.nearest.shape, dtype=np.bool_)
        return np.asarray((self.truth.nearest == self.op.masked) & (self.truth.residual == 0))

    @cached_property
    def extents(self) -> Extents:
        """The largest and the smallest entry of each row that is not -inf."""
        return extents(self.plain_values)

    @cached_property
    def gap_bounds(self) -> Bins:
        """The histogram bin of the greatest bound of the standard tier, by bins of the gap."""
        return gap_peaks(self.entries, self.extents.largest, self.standard_bounds)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """The number of each row's place, by its largest logit and its spread, shape (rows,)."""
        with np.errstate(invalid="ignore", over="ignore"):
            return place_numbers(self.extents.largest, self.extents.largest - self.extents.smallest)

    def judge(self, y: NDArray[Any]) -> Judgement:
        """Return the verdict on outputs of these rows."""
        if self.method == "mpmath":
            return self.op.judge(y, self.truth)
        return self.op.judge_certified(y, self.truth, 1)

    def repeated(self, times: int, tiers: Iterable[Tier] = ()) -> Rows:
        """Return the rows so many times, one batch after the other, with the bounds of some tiers."""

        def again(part: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([part] * times)

        exact, labels = self.truth, self.labels * times
        truth = Truth(exact.format, again(exact.nearest), again(exact.residual), again(exact.kinds))
        rows = replace(self, x=again(self.x), values=again(self.values), truth=truth, labels=labels)
        vars(rows)["_bounds"] = {tier.name: again(self.bounds_of(tier)) for tier in tiers}
        return rows

    def take(self, chosen: Flags) -> Rows:
        """Return the chosen rows alone, labelled as they were."""
        labels = tuple(self.origin(int(row)) for row in np.flatnonzero(chosen))
        truth = self.truth.of_rows(chosen)
        return replace(self, x=self.x[chosen], values=self.values[chosen], truth=truth, labels=labels)


def digest(fmt: FloatFormat, x: NDArray[Any]) -> str:
    """Return the SHA-256 of rows' bits, little-endian, row after row."""
    bits = fmt.to_bits(x)
    return hashlib.sha256(np.ascontiguousarray(bits, bits.dtype.newbyteorder("<")).data).hexdigest()
