"""What a declared policy says of outputs: of rows that have no exact result, and of flushed results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.measurement.rows import Flags, Floats, Rows
from reference.declaration import Policy
from reference.errors import ElementClass, Judgement, below_normal
from reference.rows import RowKind
from reference.truth import Truth

__all__ = ["OBSERVED", "Behaviour", "excused_flushes", "policy_counts", "policy_fits", "policy_rows"]

_POLICY_OF: Mapping[RowKind, str] = {
    RowKind.NAN: "nan_row",
    RowKind.POS_INF: "pos_inf",
    RowKind.ALL_NEG_INF: "masked_row",
}


OBSERVED: Final = ("nan", "zero", "nan_at_inf", "limit", "uniform")
"""What a candidate may do on a policy row, beside anything else."""


@dataclass(frozen=True)
class Behaviour:
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


def excused_flushes(judgement: Judgement, truth: Truth, policy: Policy) -> Flags:
    """Tell which outputs are 0 where `subnormals=flush` excuses that, of shape (rows, n).

    The exact result decides, not RN(r): a kernel that flushes below the least normal number cannot do better
    where a result just below it rounds up to it. Such an output is still of the class `lost`.
    """
    if policy.subnormals == "keep":
        return np.zeros(judgement.classes.shape, dtype=np.bool_)
    spurious: Flags = (judgement.classes == ElementClass.FLUSHED) | (judgement.classes == ElementClass.LOST)
    return spurious & below_normal(truth) if spurious.any() else spurious


def policy_fits(x: Floats, y: Floats) -> dict[str, Flags]:
    """Tell which policy rows of shape (rows, n) behave as each name of `OBSERVED` says.

    A limit is a share of 1/k, within a quarter, for each of k entries +inf, and 0 elsewhere.
    """
    infinite = x == np.inf
    ends_only = infinite.any(axis=1) & ((y == 0) | infinite).all(axis=1)
    share = 1 / np.maximum(infinite.sum(axis=1, keepdims=True), 1)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        near = np.abs(y - share) <= share / 4
    tests = {
        "nan": np.isnan(y).all(axis=1),
        "zero": (y == 0).all(axis=1),
        "nan_at_inf": ends_only & (np.isnan(y) | ~infinite).all(axis=1),
        "limit": ends_only & (near | ~infinite).all(axis=1),
        "uniform": np.isfinite(y).all(axis=1) & (y == y[:, :1]).all(axis=1),
    }
    return {name: tests[name] for name in OBSERVED}


def policy_rows(rows: Rows, y: NDArray[Any], policy: Policy) -> tuple[Behaviour, ...]:
    """Return what was done on policy rows, one entry for each kind that the batch has."""
    found = []
    for kind, key in _POLICY_OF.items():
        chosen = np.flatnonzero(rows.truth.kinds == kind)
        if chosen.size:
            values = rows.truth.format.to_float64(y[chosen])
            fits = policy_fits(rows.values[chosen], values)
            found.append(Behaviour(key, getattr(policy, key), chosen, fits))
    return tuple(found)


def policy_counts(behaviour: tuple[Behaviour, ...]) -> dict[str, Any]:
    """Return the counts by policy and observation, and the rows that are not as declared."""
    names = (*OBSERVED, "other")
    counts = {
        f"{done.key}:{name}": int((done.observed() == name).sum()) for done in behaviour for name in names
    }
    return {
        "policies": {name: count for name, count in sorted(counts.items()) if count},
        "policy_violations": sum(done.violations().size for done in behaviour),
    }
