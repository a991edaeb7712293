"""What all failing rows have in common that no sound row has: a class of violations in one sentence.

A sentence is made only where enough rows on the other side of the line were tried and all of them are sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.lengths import Lengths
from harness.explanation.violations import Shown

__all__ = ["in_common"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEW: Final = 8
"""Of fewer rows, failing or sound, nothing is said."""


@dataclass(frozen=True)
class _Quality:
    """A number of each row, and how rows are called in which it is large, and small."""

    of: Callable[[Floats], Floats]
    large: str
    small: str


def in_common(shown: Sequence[Shown]) -> str:
    """Return what failing rows with an exact result have in common, and no sound one has; else nothing."""
    failing = sum(int((s.refused & s.exactly).sum()) for s in shown)
    sound = sum(int((~s.refused & s.exactly).sum()) for s in shown)
    if failing < FEW or sound < FEW:
        return ""
    said = next(_classes(shown), "")
    return f"all {failing} failing rows are {said}, and none of {sound} sound ones" if said else ""


def _classes(shown: Sequence[Shown]) -> Iterator[str]:
    yield from _of_masks(shown)
    yield from _of_lengths(shown)
    for quality in QUALITIES:
        with np.errstate(all="ignore"):
            bad, good = (
                np.concatenate([quality.of(s.x[rows(s)]) for s in shown]) for rows in (_failing, _sound)
            )
        bad, good = bad[~np.isnan(bad)], good[~np.isnan(good)]
        if len(bad) < FEW or len(good) < FEW:
            continue
        if bad.min() > good.max():
            yield quality.large.format(f"{bad.min():.4g}", f"{good.max():.4g}")
        elif bad.max() < good.min():
            yield quality.small.format(f"{bad.max():.4g}", f"{good.min():.4g}")


def _failing(s: Shown) -> Flags:
    return s.refused & s.exactly


def _sound(s: Shown) -> Flags:
    return ~s.refused & s.exactly


def _of_masks(shown: Sequence[Shown]) -> Iterator[str]:
    bad, good = (
        np.concatenate([np.isneginf(s.x[rows(s)]).any(axis=1) for s in shown]) for rows in (_failing, _sound)
    )
    if bad.all() and not good.any():
        yield "rows with a masked entry"


def _of_lengths(shown: Sequence[Shown]) -> Iterator[str]:
    """Yield the rule of the lengths at which rows fail, where at others none does, and at these all do."""
    tried = tuple(sorted(s.x.shape[1] for s in shown))
    odd = tuple(sorted(s.x.shape[1] for s in shown if _failing(s).any()))
    if len(odd) < len(tried) and not any(_sound(s).any() for s in shown if _failing(s).any()):
        yield f"rows {Lengths(tried, odd).rule().removeprefix('in rows ')}"


def _largest(x: Floats) -> Floats:
    top: Floats = x.max(axis=1)
    return top


def _least(x: Floats) -> Floats:
    least: Floats = np.where(np.isneginf(x), np.inf, x).min(axis=1)
    return least


def _magnitude(x: Floats) -> Floats:
    return np.maximum(np.abs(_largest(x)), np.abs(_least(x)))


QUALITIES: Final = (
    _Quality(
        _largest,
        "rows whose maximum is {0} or more (that of sound rows: {1} or less)",
        "rows whose maximum is {0} or less (that of sound rows: {1} or more)",
    ),
    _Quality(
        _least,
        "rows whose least entry is {0} or more (that of sound rows: {1} or less)",
        "rows whose least entry is {0} or less (that of sound rows: {1} or more)",
    ),
    _Quality(
        lambda x: _largest(x) - _least(x),
        "rows that spread over {0} or more (sound rows: {1} or less)",
        "rows that spread over {0} or less (sound rows: {1} or more)",
    ),
    _Quality(
        _magnitude,
        "rows with an entry of magnitude {0} or more (sound rows: {1} or less)",
        "rows whose entries are all of magnitude {0} or less (sound rows: {1} or more)",
    ),
)
