"""What a declared policy says of outputs: of rows that have no exact result, and of flushed results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from harness.measurement.rows import Flags, Rows
from reference.declaration import Policy
from reference.errors import ElementClass, Judgement, below_normal
from reference.model import Truth
from reference.ops import Op
from reference.row_kinds import RowKind

__all__ = ["Behaviour", "excused_flushes", "policy_counts", "policy_rows"]

_POLICY_OF: Mapping[RowKind, str] = {
    RowKind.NAN: "nan_row",
    RowKind.POS_INF: "pos_inf",
    RowKind.ALL_NEG_INF: "masked_row",
}


_ROWS_OF: Final[Mapping[str, str]] = {
    "nan_row": "holds NaN",
    "pos_inf": "holds +inf",
    "masked_row": "is all -inf",
}
GOT: Final = ", got "
"""What comes before the outputs in what is told."""

SHOWN: Final = 8
"""Outputs told of a row."""


@dataclass(frozen=True)
class Behaviour:
    """What was done on policy rows of one kind.

    Attributes:
        op: what the candidate computes.
        key: the policy that speaks of them.
        declared: what it says.
        rows: where they are in the batch.
        fits: for each name of `OBSERVED`, which of them fit it; a row of nothing but +inf that
            gives nothing but NaN fits two.
    """

    op: Op
    key: str
    declared: str
    rows: NDArray[np.intp]
    fits: Mapping[str, Flags]

    def observed(self) -> Iterator[tuple[str, int]]:
        """Yield each name, and `other`, with the rows of which it is the first name that fits."""
        rest = np.ones(self.rows.size, dtype=np.bool_)
        for name, fits in self.fits.items():
            yield name, int(np.count_nonzero(rest & fits))
            rest &= ~fits
        yield "other", int(np.count_nonzero(rest))

    def told(self, place: int, outputs: Sequence[float]) -> str:
        """Say what was expected of a row, what came, and the setting that accepts it."""
        allowed = get_args(get_type_hints(Policy)[self.key])
        accepted = next((name for name in allowed if name != "any" and self.fits[name][place]), "any")
        return (
            f"row {_ROWS_OF[self.key]}: expected {self.op.policy_words[self.declared]}{GOT}{_shown(outputs)};"
            f" accepted by --policy {self.key}={accepted}"
        )

    def accepted(self) -> int:
        """Return how many rows the declared policy accepts that the op's default would not."""
        default = getattr(self.op.policy, self.key)
        if self.declared == default:
            return 0
        return self.rows.size - int((self.fits[default] | self._breaks()).sum())

    def violations(self) -> NDArray[np.intp]:
        """Return the places in `rows` of those where the declared policy is not what was done."""
        return np.flatnonzero(self._breaks())

    def _breaks(self) -> Flags:
        if self.declared == "any":
            return np.zeros(self.rows.size, dtype=np.bool_)
        return ~self.fits[self.declared]


def _shown(outputs: Sequence[float]) -> str:
    """Write the first outputs, and the first later one that differs from all of them."""
    texts = [f"{y:.4g}".replace("nan", "NaN") for y in outputs[:SHOWN]]
    rest = np.array(outputs[SHOWN:])
    if rest.size:
        texts.append("...")
        known = np.array(outputs[:SHOWN])
        other = ~(np.isin(rest, known) | (np.isnan(rest) & np.isnan(known).any()))
        if other.any():
            place = int(np.argmax(other))
            texts.append(f"{rest[place]:.4g} at entry {SHOWN + place}".replace("nan", "NaN"))
    return " ".join(texts)


def excused_flushes(judgement: Judgement, truth: Truth, policy: Policy) -> Flags:
    """Tell which outputs are 0 where `subnormals=flush` excuses that, of shape (rows, n).

    The exact result decides, not RN(r): a kernel that flushes below the least normal number cannot do better
    where a result just below it rounds up to it. Such an output is still of the class `lost`.
    """
    if policy.subnormals == "keep":
        return np.zeros(judgement.classes.shape, dtype=np.bool_)
    spurious: Flags = (judgement.classes == ElementClass.FLUSHED) | (judgement.classes == ElementClass.LOST)
    return spurious & below_normal(truth) if spurious.any() else spurious


def policy_rows(rows: Rows, y: NDArray[Any], policy: Policy) -> tuple[Behaviour, ...]:
    """Return what was done on policy rows, one entry for each kind that the batch has."""
    found = []
    for kind, key in _POLICY_OF.items():
        chosen = np.flatnonzero(rows.truth.kinds == kind)
        if chosen.size:
            values = rows.truth.format.to_float64(y[chosen])
            fits = rows.op.policy_fits(rows.values[chosen], values)
            found.append(Behaviour(rows.op, key, getattr(policy, key), chosen, fits))
    return tuple(found)


def policy_counts(behaviour: tuple[Behaviour, ...]) -> dict[str, Any]:
    """Return the counts by policy and observation, and the rows that are not as declared."""
    counts = {f"{done.key}:{name}": count for done in behaviour for name, count in done.observed()}
    return {
        "policies": {name: count for name, count in sorted(counts.items()) if count},
        "policy_violations": sum(done.violations().size for done in behaviour),
    }
