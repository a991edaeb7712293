"""From rows and a candidate's outputs to a `Tally`: everything that is counted, once.

`measure` is a pure function of its arguments. It judges the outputs against the truth,
attributes failed rows, holds every element against the a-priori bounds, and keeps one
witness of each kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reference.attribution import RowOutcome, attribute
from reference.bounds import element_bounds
from reference.declaration import Algorithm, Declaration, Policy
from reference.errors import ElementClass, Judgement, RowFailure, judge
from reference.formats import FloatFormat
from reference.rows import RowKind
from reference.tiers import STANDARD
from reference.truth import Method, Truth
from reports.tally import HISTOGRAM_SHIFT, CellKey, Tally, Witness

__all__ = ["OBSERVED", "Rows", "exact_sum", "measure", "policy_fits", "scores_by_row"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """One batch of rows with its truth, shared by all candidates that see it.

    Attributes:
        format: the input format.
        x: the rows in it, shape (rows, n).
        values: the same as float64.
        truth: their truth in the output format.
        number: the batch's number within its cell.
        labels: where each row comes from; drawn rows are named by batch and row.
        method: how the truth was made, and outputs are to be judged.
    """

    format: FloatFormat
    x: NDArray[Any]
    values: Floats
    truth: Truth
    number: int
    labels: tuple[str, ...] = ()
    method: Method = "certified"

    def origin(self, row: int) -> str:
        """Say where a row comes from."""
        return self.labels[row] if self.labels else f"batch {self.number}, row {row}"

    def hexadecimal(self, row: int) -> str:
        """Return a row's encodings, big-endian and fixed-width."""
        return _hexadecimal(self.format, self.x[row])

    def digest(self) -> str:
        """Return the SHA-256 of the batch's input bits, little-endian, row after row."""
        bits = self.format.to_bits(self.x)
        return hashlib.sha256(bits.astype(bits.dtype.newbyteorder("<")).tobytes()).hexdigest()

    def judge(self, y: NDArray[Any]) -> Judgement:
        """Return the verdict on outputs of these rows."""
        if self.method == "mpmath":
            return judge(y, self.truth)
        from reference.certified import judge_certified

        return judge_certified(y, self.truth)

    def take(self, chosen: Flags) -> Rows:
        """Return the chosen rows alone, labelled as they were."""
        labels = tuple(self.origin(int(row)) for row in np.flatnonzero(chosen))
        truth = Truth(
            self.truth.format,
            self.truth.nearest[chosen],
            self.truth.residual[chosen],
            self.truth.kinds[chosen],
        )
        return replace(self, x=self.x[chosen], values=self.values[chosen], truth=truth, labels=labels)


def measure(cell: CellKey, rows: Rows, y: NDArray[Any], declaration: Declaration) -> Tally:
    """Return the tally of a batch of outputs.

    Args:
        cell: the cell that the witnesses will name.
        rows: the batch, of shape (rows, n).
        y: the outputs in the truth's format, of the same shape.
        declaration: what the candidate says of itself.
    """
    judgement = rows.judge(y)
    outcomes = attribute(rows.values, y, rows.truth, judgement, declaration, rows.format)
    ratios = _ratios(rows, judgement, declaration.algorithm)
    behaviour = _policy_rows(rows, y, declaration.policy)
    return Tally(
        **_row_counts(rows, judgement, outcomes),
        **_element_counts(rows.truth, judgement),
        **_ulp_figures(rows.truth, judgement),
        **_policy_counts(behaviour),
        max_bound_ratio=_greatest(ratios["bound_ratio"]),
        max_algorithm_ratio=_greatest(ratios["algorithm_ratio"]),
        worst_row_sum_error=_greatest(judgement.row_sum_error),
        witnesses=tuple(_witnesses(cell, rows, y, judgement, outcomes, ratios, behaviour)),
    )


# Counts ----------------------------------------------------------------------------------


def _row_counts(rows: Rows, judgement: Judgement, outcomes: NDArray[np.uint8]) -> dict[str, Any]:
    failure = judgement.failure
    spurious = _is_class(judgement, ElementClass.FLUSHED, ElementClass.LOST)
    nonfinite = _is_class(judgement, ElementClass.NONFINITE)
    return {
        "rows": len(failure),
        "completed": len(failure),
        "row_kinds": _named_counts(rows.truth.kinds, RowKind),
        "outcomes": _named_counts(outcomes, RowOutcome),
        "nonfinite_rows": int(nonfinite.any(axis=1).sum()),
        "spurious_rows": int(spurious.any(axis=1).sum()),
        "collapsed_rows": int((failure == RowFailure.COLLAPSED).sum()),
        "inflated_rows": int((failure == RowFailure.INFLATED).sum()),
    }


def _element_counts(truth: Truth, judgement: Judgement) -> dict[str, Any]:
    classes = _named_counts(judgement.classes.ravel(), ElementClass)
    judged = judgement.classes != ElementClass.POLICY
    zero = (truth.nearest == 0) & judged
    return {
        "elements": int(judged.sum()),
        "positive": int(judged.sum() - (zero & (truth.residual == 0)).sum()),
        "representable": int(judged.sum() - zero.sum()),
        "correct": int(judgement.correct[judged].sum()),
        "faithful": int(judgement.faithful[judged].sum()),
        "negative_zeros": int(judgement.negative_zero[judged].sum()),
        "classes": classes,
    }


def _ulp_figures(truth: Truth, judgement: Judgement) -> dict[str, Any]:
    counted = (judgement.classes != ElementClass.POLICY) & (truth.nearest != 0)
    ulp = judgement.ulp[counted]
    finite = ulp[np.isfinite(ulp)]
    infinite = int(np.isinf(ulp).sum())
    return {
        "ulp_count": finite.size,
        "ulp_infinite": infinite,
        "nonfinite_representable": ulp.size - finite.size - infinite,
        "ulp_sum": exact_sum(finite),
        "histogram": _histogram(ulp[~np.isnan(ulp)]),
        "max_ulp": _greatest(judgement.ulp),
    }


def exact_sum(values: Floats) -> Fraction:
    """Return the exact sum of nonnegative finite float64 values, at most 2^26 of them.

    Each value is m 2^e with m below 2^53; both 27-bit halves of m are added up for each e
    in float64, where sums of 2^26 such halves are still exact.
    """
    if values.size > 2**26:
        raise ValueError(f"exact_sum of {values.size} values: at most 2^26 at once")
    if values.size == 0:
        return Fraction(0)
    fraction, exponent = np.frexp(values)
    significand = np.ldexp(fraction, 53).astype(np.int64)
    lowest = int(exponent.min())
    bins = exponent - lowest
    high = np.bincount(bins, weights=(significand >> 27).astype(np.float64))
    low = np.bincount(bins, weights=(significand & (2**27 - 1)).astype(np.float64))
    total = sum(((int(h) << 27) + int(w)) << k for k, (h, w) in enumerate(zip(high, low, strict=True)))
    return total * Fraction(2) ** (lowest - 53)


def _histogram(ulp: Floats) -> dict[int, int]:
    keys, counts = np.unique(ulp.view(np.int64) >> HISTOGRAM_SHIFT, return_counts=True)
    return {int(key): int(count) for key, count in zip(keys, counts, strict=True)}


def _named_counts(codes: NDArray[np.uint8], names: type[IntEnum]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(names))
    return {name.name.lower(): int(counts[name]) for name in names if counts[name]}


def _is_class(judgement: Judgement, *classes: ElementClass) -> Flags:
    return np.isin(judgement.classes, [int(c) for c in classes])


def _greatest(values: Floats | None) -> float | None:
    """Return the greatest value, NaN left out; None where there is none."""
    if values is None or values.size == 0:
        return None
    greatest = float(np.fmax.reduce(values, axis=None))
    return None if np.isnan(greatest) else greatest


def _ratios(rows: Rows, judgement: Judgement, algorithm: Algorithm | None) -> dict[str, Floats | None]:
    """Return the ULP errors over the a-priori bounds; None where no algorithm is declared."""

    def ratio(bounds: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(judgement.ulp / bounds)

    ratios: dict[str, Floats | None] = {
        "bound_ratio": ratio(STANDARD.bounds(rows.values, rows.truth, rows.format)),
        "algorithm_ratio": None,
    }
    if algorithm is not None:
        own = element_bounds(rows.values, rows.truth, algorithm, rows.format)
        ratios["algorithm_ratio"] = ratio(own)
    return ratios


# Policy rows -----------------------------------------------------------------------------

_POLICY_OF: Mapping[RowKind, str] = {
    RowKind.NAN: "nan_row",
    RowKind.POS_INF: "pos_inf",
    RowKind.ALL_NEG_INF: "masked_row",
}


OBSERVED: Final = ("nan", "zero", "nan_at_inf", "limit", "uniform")
"""What a candidate may do on a policy row, beside anything else."""


@dataclass(frozen=True)
class _Behaviour:
    """What was done on policy rows of one kind.

    Attributes:
        key: the policy that speaks of them.
        declared: what it says.
        rows: where they are in the batch.
        fits: for each name of `OBSERVED`, which of them fit it; a row of nothing but +inf that
            gives nothing but NaN fits two.
    """

    key: str
    declared: str
    rows: NDArray[np.intp]
    fits: Mapping[str, Flags]

    def observed(self) -> NDArray[np.str_]:
        """Return the first name that fits, for each row."""
        return np.select(list(self.fits.values()), list(self.fits), default="other")

    def violations(self) -> NDArray[np.intp]:
        """Return the places in `rows` of those where the declared policy is not what was done."""
        if self.declared == "any":
            return np.zeros(0, dtype=np.intp)
        return np.flatnonzero(~self.fits[self.declared])


def policy_fits(x: Floats, y: Floats) -> dict[str, Flags]:
    """Tell which policy rows of shape (rows, n) behave as each name of `OBSERVED` says.

    A limit is a share of 1/k, within a quarter, for each of k entries +inf, and 0 elsewhere.
    """
    infinite = x == np.inf
    ends_only = infinite.any(axis=1) & ((y == 0) | infinite).all(axis=1)
    share = 1 / np.maximum(infinite.sum(axis=1, keepdims=True), 1)
    near = np.abs(y - share) <= share / 4
    tests = {
        "nan": np.isnan(y).all(axis=1),
        "zero": (y == 0).all(axis=1),
        "nan_at_inf": ends_only & (np.isnan(y) | ~infinite).all(axis=1),
        "limit": ends_only & (near | ~infinite).all(axis=1),
        "uniform": np.isfinite(y).all(axis=1) & (y == y[:, :1]).all(axis=1),
    }
    return {name: tests[name] for name in OBSERVED}


def _policy_rows(rows: Rows, y: NDArray[Any], policy: Policy) -> tuple[_Behaviour, ...]:
    found = []
    for kind, key in _POLICY_OF.items():
        chosen = np.flatnonzero(rows.truth.kinds == kind)
        if chosen.size:
            values = rows.truth.format.to_float64(y[chosen])
            fits = policy_fits(rows.values[chosen], values)
            found.append(_Behaviour(key, getattr(policy, key), chosen, fits))
    return tuple(found)


def _policy_counts(behaviour: tuple[_Behaviour, ...]) -> dict[str, Any]:
    names = (*OBSERVED, "other")
    counts = {
        f"{done.key}:{name}": int((done.observed() == name).sum()) for done in behaviour for name in names
    }
    return {
        "policies": {name: count for name, count in sorted(counts.items()) if count},
        "policy_violations": sum(done.violations().size for done in behaviour),
    }


# Witnesses -------------------------------------------------------------------------------

_CLASS_WITNESSES: Mapping[str, ElementClass] = {
    "mask_leak": ElementClass.MASK_LEAK,
    "nonfinite": ElementClass.NONFINITE,
    "lost": ElementClass.LOST,
    "flushed": ElementClass.FLUSHED,
    "out_of_range": ElementClass.OUT_OF_RANGE,
}
_OUTCOME_WITNESSES: Mapping[str, RowOutcome] = {
    "unexplained": RowOutcome.UNEXPLAINED,
    "overflow": RowOutcome.OVERFLOW,
    "total_underflow": RowOutcome.TOTAL_UNDERFLOW,
    "inaccurate": RowOutcome.INACCURATE,
}


def _witnesses(
    cell: CellKey,
    rows: Rows,
    y: NDArray[Any],
    judgement: Judgement,
    outcomes: NDArray[np.uint8],
    ratios: Mapping[str, Floats | None],
    behaviour: tuple[_Behaviour, ...],
) -> Iterator[Witness]:
    out = rows.truth.format

    def witness(kind: str, score: float, row: int, element: int | None, message: str = "") -> Witness:
        bits = _hexadecimal(out, y[row])
        return Witness(cell, kind, score, rows.hexadecimal(row), bits, element, rows.origin(row), message)

    for kind, outcome in _OUTCOME_WITNESSES.items():
        for row in np.flatnonzero(outcomes == outcome)[:1]:
            yield witness(kind, 0.0, int(row), None)
    flags = {kind: judgement.classes == wanted for kind, wanted in _CLASS_WITNESSES.items()}
    judged = judgement.classes != ElementClass.POLICY
    for kind, where in {**flags, "negative_zero": judgement.negative_zero & judged}.items():
        for row in np.flatnonzero(where.any(axis=1))[:1]:
            yield witness(kind, 0.0, int(row), int(np.argmax(where[row])))
    figures = {"max_ulp": judgement.ulp, **ratios, "row_sum": judgement.row_sum_error[:, None]}
    for kind, figure in figures.items():
        for score, row, element in _worst(figure):
            yield witness(kind, score, row, None if kind == "row_sum" else element)
    for done in behaviour:
        for place in done.violations()[:1]:
            message = f"{done.key}={done.observed()[place]}, declared {done.declared}"
            yield witness("policy", 0.0, int(done.rows[place]), None, message)


def scores_by_row(kind: str, rows: Rows, y: NDArray[Any], declaration: Declaration) -> Floats:
    """Return how much each row shows of a kind of witness, shape (rows,); 0 where it shows nothing of it.

    Where the kind is a figure it is the greatest of the row; else 1 where the row shows it. The row of the
    greatest score is one that `measure` would keep as the witness of that kind.

    Raises:
        ValueError: outputs do not show that kind: it is a fault.
    """
    judgement = rows.judge(y)
    figure: Floats | Flags | None
    if kind == "max_ulp":
        figure = judgement.ulp
    elif kind == "row_sum":
        figure = judgement.row_sum_error[:, None]
    elif kind in ("bound_ratio", "algorithm_ratio"):
        figure = _ratios(rows, judgement, declaration.algorithm)[kind]
    else:
        figure = _defective(kind, rows, y, judgement, declaration)
    if figure is None:
        return np.zeros(len(y))
    return np.asarray(np.fmax(figure, 0.0).max(axis=1), dtype=np.float64)


def _defective(
    kind: str, rows: Rows, y: NDArray[Any], judgement: Judgement, declaration: Declaration
) -> Flags:
    if kind in _CLASS_WITNESSES:
        return np.asarray(judgement.classes == _CLASS_WITNESSES[kind])
    if kind == "negative_zero":
        return np.asarray(judgement.negative_zero & (judgement.classes != ElementClass.POLICY))
    if kind in _OUTCOME_WITNESSES:
        outcomes = attribute(rows.values, y, rows.truth, judgement, declaration, rows.format)
        return np.asarray(outcomes == _OUTCOME_WITNESSES[kind])[:, None]
    if kind == "policy":
        flags = np.zeros((len(y), 1), dtype=np.bool_)
        for done in _policy_rows(rows, y, declaration.policy):
            flags[done.rows[done.violations()]] = True
        return flags
    raise ValueError(f"witness of kind {kind!r}: no output shows it; it is a fault of the call")


def _worst(figure: Floats | None) -> Iterator[tuple[float, int, int]]:
    """Yield the greatest figure of (rows, n) with its row and element, the first of equals, if above zero."""
    if figure is None or (worst := _greatest(figure)) is None or worst == 0:
        return
    row, element = divmod(int(np.argmax(figure == worst)), figure.shape[1])
    yield worst, row, element


def _hexadecimal(fmt: FloatFormat, row: NDArray[Any]) -> str:
    bits = fmt.to_bits(row)
    return bits.astype(bits.dtype.newbyteorder(">")).tobytes().hex()
