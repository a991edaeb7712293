"""What an op is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.declaration import Policy
from reference.errors import Judgement
from reference.formats import FloatFormat
from reference.fused import PLAIN, Exact, Fused
from reference.model import METHODS, Method, Truth
from reference.pairs import Pairs
from reference.reductions import over_rows
from reference.row_kinds import RowKind, row_kinds

__all__ = ["OBSERVED", "Op", "shares_at_infinity"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


OBSERVED: Final = ("nan", "zero", "nan_at_inf", "limit", "uniform")
"""What a candidate may do on a row without an exact result, beside anything else."""


@dataclass(frozen=True)
class Op:
    """An op: what it computes of a row of logits, and how its outputs are judged.

    Inside, logits have shape (rows, n), and results and outputs (rows, n) too, or (rows, 1) where the op
    reduces a row to one number.

    Attributes:
        name: as users write it.
        formula: the exact result, for people.
        reduces: whether a row has one result; else every entry has one.
        masked: the exact result at a masked entry; None where there is none.
        least: what no exact result lies below.
        most: what no exact result lies above; outputs beyond are out of range.
        underflows: whether a result may vanish to 0, so that underflow has rates, and a row of zeros is one
            that came to nothing.
        logarithmic: whether results are logarithms, which have a sign and may lie beyond the largest number.
        policy_rows: what a row of each `RowKind` without an exact result gives by default.
        policy: what a candidate is judged by that declares none.
        policy_fits: which rows (rows, n) with their outputs behave as each of `OBSERVED` says.
        policy_words: what outputs are expected to be under each name that a policy may declare.
        exact: the exact results of (..., n) logits as mpmath numbers, to so many bits.
        exact_row: the same of one row of exact numbers.
        by_mpmath: RN(r) and residuals of (rows, n) logits in a format, by mpmath.
        by_mpmath_of_rows: the same of rows of exact numbers, of known kinds and length.
        certified: the same by the compiled path, on so many threads.
        judge: the verdict on outputs, by a truth: the specification, in plain NumPy.
        judge_certified: the same, compiled, on so many threads; only sums of exponentials may differ in their
            last places.
        evaluate: truth and verdict in one pass, with how many elements mpmath decided.
        certified_products: RN(r) and residuals of logits times a number, with a sink, where the products are
            no float64 numbers, as far as they are decided; None where there is no such path.
        pairs: what a proof over all pairs needs; None where results depend on more than the gap.
        fused: the settings of a fused kernel; see `reference.ops.fused`.
        plain: the op without them; None where there are none.
    """

    name: str
    formula: str
    reduces: bool
    masked: float | None
    least: float
    most: float
    underflows: bool
    logarithmic: bool
    policy_rows: dict[RowKind, float]
    policy: Policy
    policy_fits: Callable[[Floats, Floats], dict[str, Flags]]
    policy_words: Mapping[str, str]
    exact: Callable[[ArrayLike, int], Any]
    exact_row: Callable[[Sequence[Exact], int], list[Any]]
    by_mpmath: Callable[[Floats, FloatFormat], Truth]
    by_mpmath_of_rows: Callable[[Iterable[Sequence[Exact]], NDArray[np.uint8], int, FloatFormat], Truth]
    certified: Callable[[Floats, FloatFormat, int], Truth]
    judge: Callable[[NDArray[Any], Truth], Judgement]
    judge_certified: Callable[[NDArray[Any], Truth, int], Judgement]
    evaluate: Callable[[Floats, NDArray[Any], FloatFormat, int], tuple[Judgement, int]]
    certified_products: Callable[[Floats, float, float | None, FloatFormat, int], Any] | None = None
    pairs: Pairs | None = None
    fused: Fused = PLAIN
    plain: Op | None = None

    def __str__(self) -> str:
        return self.name

    def truth(self, x: Floats, fmt: FloatFormat, method: Method = "certified", jobs: int = 1) -> Truth:
        """Return the truth about (rows, n) logits in output format `fmt`.

        Args:
            x: logits of shape (rows, n), n >= 1, exact in float64.
            fmt: the output format F.
            method: `certified` (compiled, the default) or `mpmath` (plain, a thousand times slower).
            jobs: threads of the certified method; the result does not depend on it.

        Raises:
            ValueError: the rows have no entries, or there is no such method.
        """
        if method == "certified":
            return self.certified(x, fmt, jobs)
        if method == "mpmath":
            return self.by_mpmath(x, fmt)
        raise ValueError(f"method {method!r}: it is one of {', '.join(METHODS)}")

    def kinds(self, x: Floats) -> NDArray[np.uint8]:
        """Return the `RowKind` of each of (rows, n) logits; of all -inf there is a result beside a sink."""
        kinds = row_kinds(self.fused.turned(x))
        if self.fused.sink is not None:
            kinds[kinds == RowKind.ALL_NEG_INF] = RowKind.MASKED
        return kinds

    def shape(self, logits: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the results of logits of shape (..., n)."""
        return logits[:-1] if self.reduces else logits

    def nearest(self, truth: Truth) -> Floats:
        """Return RN(r), and in rows without an exact result what they give by default."""
        nearest = truth.nearest.copy()
        for kind, value in self.policy_rows.items():
            nearest[truth.kinds == kind] = value
        return nearest


def shares_at_infinity(x: Floats, y: Floats, nothing: float, limit: Floats, near: Floats) -> dict[str, Flags]:
    """Tell which rows behave as each of `OBSERVED` says, of an op with one result an entry.

    Args:
        x: the rows, shape (rows, n).
        y: their outputs.
        nothing: the result at an entry that has no share.
        limit: the limit at an entry +inf, as the infinite entries grow together, shape (rows, 1).
        near: how far from it an output may be.
    """
    infinite, is_nothing = x == np.inf, y == nothing
    every = partial(over_rows, np.logical_and)
    ends_only = over_rows(np.logical_or, infinite) & every(is_nothing | infinite)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        is_nan, at_limit = np.isnan(y), np.abs(y - limit) <= near
        return {
            "nan": every(is_nan),
            "zero": every(is_nothing),
            "nan_at_inf": ends_only & every(is_nan | ~infinite),
            "limit": ends_only & every(at_limit | ~infinite),
            "uniform": every(np.isfinite(y) & (y == y[:, :1])),
        }
