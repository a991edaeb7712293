"""The rows that a cause must account for: what a tier refuses among rows of every regime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.measurement import Judged, Rows
from harness.measurement.tiers import tier_judgement
from harness.subject.subject import Subject
from reference.formats import FloatFormat
from reference.tiers import TIERS
from strategies.regimes import REGIMES
from strategies.regimes.crowd import CROWD

__all__ = ["Shown", "drawn_rows", "shown_rows"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LENGTHS: Final = (1, 2, 3, 5, 9, 16, 23, 40, 67, 100, 128, 301, 1030)
ROWS: Final = 4
"""Of each regime and length; one of those that are longer than this."""
PLATEAUS: Final = 100
"""The least length of rows with one large entry and many equal ones."""

LONG: Final = 1100
LONGER: Final = 5000
OF_LONG: Final = ("standard-normal", "tied", "wide-normal", "partly-tied")
"""The regimes of rows that are longer still, of which many would take their time."""


@dataclass(frozen=True)
class Shown:
    """Rows of one length with their outputs, and what the tier says of them.

    Attributes:
        x, y, exact: the rows, the outputs and the exact results rounded, as float64.
        slack: how far a sound output may be off; NaN where no bound is known.
        refused: which rows the tier or the policy refuses.
        policy: by the setting that speaks of them, the policy rows that are not as declared.
        exactly: which rows have an exact result.
    """

    x: Floats
    y: Floats
    exact: Floats
    slack: Floats
    refused: Flags
    policy: dict[str, int]
    exactly: Flags


def shown_rows(
    subject: Subject, tier: str, lengths: Sequence[int] = LENGTHS, seed: int = 0
) -> tuple[Shown, ...]:
    """Return rows of every regime, some of each, at several lengths, in one call a length."""
    found = [_shown(subject, tier, length, seed) for length in lengths]
    return tuple(shown for shown in found if shown is not None)


@lru_cache(maxsize=32)
def drawn_rows(fmt: FloatFormat, length: int, seed: int = 0) -> NDArray[Any]:
    """Return rows of a length, a few of every regime that the format has."""
    rows = ROWS if length <= LONG else 1
    kept = [
        r
        for r in REGIMES.values()
        if r.name != CROWD and r.supports(fmt, length) and (length <= LONGER or r.name in OF_LONG)
    ]
    found = [r.rows(fmt, rows, length, seed, 0) for r in kept]
    if PLATEAUS <= length <= LONG:
        found.append(_plateaus(fmt, length))
    return np.concatenate(found)


def _plateaus(fmt: FloatFormat, length: int) -> NDArray[Any]:
    """Return rows with one entry at 0 and all others a whole number below it, so that the sum is theirs."""
    x = np.repeat(-np.arange(1.0, 4 + math.log(length))[:, None], length, axis=1)
    x[:, 0] = 0
    return fmt.from_float64(x)


def _shown(subject: Subject, tier: str, length: int, seed: int) -> Shown | None:
    x = drawn_rows(subject.format, length, seed)
    outcome = subject.run(x)
    done = outcome.completed
    if outcome.outputs is None or not done.any():
        return None
    judged = Judged(Rows.about(subject, x[done]), outcome.outputs[done], subject.declaration)
    held = tier_judgement(TIERS[tier], judged)
    refused: Flags = np.array(held.scores.any(axis=1))
    policy: dict[str, int] = {}
    for behaviour in judged.behaviour:
        wrong = behaviour.violations()
        refused[behaviour.rows[wrong]] = True
        if wrong.size:
            policy[behaviour.key] = int(wrong.size)
    truth, rows = judged.rows.truth, judged.rows
    y = subject.out.to_float64(judged.y)
    exactly = truth.kinds < 2
    return Shown(rows.values, y, truth.nearest, _slack(tier, judged), refused, policy, exactly)


def _slack(tier: str, judged: Judged) -> Floats:
    rows: Any = judged.rows
    bounds = rows.bounds_of(TIERS[tier]) if TIERS[tier].every is None else np.ones(rows.values.shape)
    out = rows.truth.format
    with np.errstate(all="ignore"):
        exponent = np.floor(np.log2(np.where(rows.truth.nearest > 0, rows.truth.nearest, 1e-300)))
        ulp = np.exp2(np.maximum(exponent, out.emin) - out.precision + 1)
        slack: Floats = bounds * ulp
    return slack
