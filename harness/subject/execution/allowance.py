"""What a candidate's faults may cost a campaign, in seconds, and what they have taught.

Every layer that calls a failing candidate again spends from the same allowance: the narrowing of batches,
searches, checks and shrinking. While enough is left, a failed batch is narrowed down to its rows. Then
each batch is called once, and of one that fails the rows that lie within the reach of those that came back.
Then such rows alone are called, and for a while those half-way to what failed, and then none.

Two things are learned on the way, which save sound rows: beyond which rows none ever came back, so that
such rows can be set aside and the others called, and how many rows a call may hold.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.chance import Chance
from reports.figures import plural

__all__ = ["FIRST_SECONDS", "MOST_FOR_A_CRASH", "Allowance", "told"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

FIRST_SECONDS: Final = 10.0
"""What the faults of one candidate may cost before the checks begin."""

STAGE_SECONDS: Final = 3.0
"""What is left for them, at least, when the checks or the shrinking begin."""

NARROWED: Final = 3 / 4
"""The share of it that goes into narrowing; the rest loses a batch each time, and tries more of them."""

TESTED: Final = 1 / 4
"""The share of it in which faults are called again that may be chance's, though none is known to be."""

FAMILIAR_SECONDS: Final = 3.0
BOLD_SECONDS: Final = 2.0
"""What may be lost at the end by rows within the reach of those that came back, and at first by rows half-way
from there to those that failed: where these come back, the reach grows."""

MOST_FOR_A_CRASH: Final = 0.5
"""Seconds charged for a crash: a busy machine loses no rows by it."""

LEAST_CULPRITS: Final = 8
LEAST_SOUND: Final = 100
MOST_CULPRITS: Final = 4096
"""Rows of each sort that a rule rests on, at least: less than 32 % of rows beyond are sound (95 %)."""

SUSPICION: Final = 1 / 8
LEAST_PATIENCE: Final = 0.5
"""Of the time limit, and seconds: what a call gets of a candidate that has hung before."""

LEAST_OF_A_PART: Final = 0.25
"""Seconds: what a part is given at least before its rows are tried one by one."""

SLOWER: Final = 4.0
"""How much longer than foreseen a call may take."""


class Allowance:
    """What one candidate's faults may still cost; used from several threads.

    Args:
        seconds: what they may cost in all before the checks begin; inf where every row must be called, as in
            a proof.
    """

    def __init__(self, seconds: float = FIRST_SECONDS) -> None:
        self._lock = threading.Lock()
        self._spent = 0.0
        self._until = seconds
        self._narrowed_until = NARROWED * seconds
        self._tested_until = TESTED * seconds
        self._beyond = _Beyond()
        self._row_seconds: tuple[float, int] | None = None
        self._untried = 0
        self.chance = Chance()
        self.has_hung = False
        self.most_together: int | None = None

    # Seconds -------------------------------------------------------------------------------

    def grant(self) -> None:
        """See that something is left for a stage that begins."""
        with self._lock:
            if self._spent > 0 and self._until < self._spent + STAGE_SECONDS:
                self._until = self._spent + STAGE_SECONDS
                self._narrowed_until = self._spent + NARROWED * STAGE_SECONDS

    def charge(self, seconds: float) -> None:
        """Count what a failure cost."""
        with self._lock:
            self._spent += seconds

    def charge_start(self, seconds: float) -> None:
        """Count the start of a process that takes the place of one that was lost: what its processor did."""
        if self.is_drawn_on:
            self.charge(seconds)

    @property
    def is_drawn_on(self) -> bool:
        """Whether the candidate has failed."""
        return self._spent > 0

    @property
    def is_spent(self) -> bool:
        """Whether none but familiar rows are to be called any more."""
        return self._spent >= self._until

    @property
    def is_exhausted(self) -> bool:
        """Whether the candidate is not to be called any more."""
        return self._spent >= self._until + FAMILIAR_SECONDS

    @property
    def narrows(self) -> bool:
        """Whether a failed batch is to be called again, part by part."""
        return self._spent < self._narrowed_until

    @property
    def tests(self) -> bool:
        """Whether what failed is to be called again, to tell chance's faults."""
        return not self.is_exhausted if self.chance.has_struck else self._spent < self._tested_until

    def limit(self, timeout: float, rows: int, length: int, patience: float = 1.0) -> float:
        """Return how many seconds a call of so many rows may take, or the share `patience` of them.

        A candidate that is known to take long gets longer; one that has hung is not waited for as long again.
        """
        longer = 0.0
        if self._row_seconds is not None:
            each, measured_at = self._row_seconds
            longer = SLOWER * each * rows * max(1.0, length / measured_at)
        if self.has_hung:
            timeout = min(timeout, max(timeout * SUSPICION, LEAST_PATIENCE))
        limit = timeout + longer
        return min(limit, max(patience * limit, LEAST_OF_A_PART)) if patience < 1 else limit

    def learn_speed(self, row_seconds: float, length: int) -> None:
        """Keep how long a row takes, of a candidate that takes long."""
        with self._lock:
            if self._row_seconds is None or row_seconds > self._row_seconds[0]:
                self._row_seconds = row_seconds, length

    # Rows ----------------------------------------------------------------------------------

    def learn(self, x: Array, completed: Flags, culprits: Flags) -> None:
        """Keep in what rows that came back, and those that fail alone, lie apart."""
        with self._lock:
            self._beyond.add(x, completed, culprits)

    def suspect(self, x: Array) -> None:
        """Learn of strange rows without which a batch came back: the farthest is taken for a culprit."""
        with self._lock:
            self._beyond.add_farthest(x)

    def set_aside(self, x: Array) -> Flags:
        """Tell which rows not to call: those beyond all that came back, where others failed.

        While there is time to narrow batches down, many must have failed there, and then a single one; at the
        end nothing is called that lies beyond.
        """
        with self._lock:
            if self._until == math.inf:
                return np.zeros(len(x), dtype=np.bool_)
            if self.is_spent and self._beyond.is_to_blame(by_chance=self.chance.has_struck):
                is_bold = self._spent < self._until + BOLD_SECONDS
                return ~self._beyond.familiar(x, is_bold=is_bold)
            return self._beyond.flags(x, LEAST_CULPRITS if self.narrows else 1)

    def familiar(self, x: Array) -> Flags:
        """Tell which rows lie within the reach of those that came back."""
        with self._lock:
            return self._beyond.familiar(x)

    def leave(self, rows: int) -> None:
        """Count rows that are not tried."""
        with self._lock:
            self._untried += rows

    def told(self) -> str | None:
        """Return what was given up, and what chance had, to people; None where nothing was."""
        chance = self.chance.told()
        rule = self._beyond.told() if self._untried else ""
        rows = f"{plural(self._untried, 'row')} {'was' if self._untried == 1 else 'were'}"
        untried = f"{rows} not tried" if self._untried else ""
        parts = [part for part in (untried, rule, chance) if part]
        return "; ".join([f"its failures took {self._spent:.0f} s", *parts]) if parts else None


def told(allowances: Mapping[str, Allowance]) -> dict[str, str]:
    """Return what was given up of each candidate, where anything was."""
    found = {spec: allowance.told() for spec, allowance in list(allowances.items())}
    return {spec: said for spec, said in found.items() if said is not None}


@dataclass(frozen=True)
class _Feature:
    name: str
    sign: int


_FEATURES: Final = (
    *(_Feature(name, sign) for name in ("greatest entry", "least entry", "length") for sign in (1, -1)),
    _Feature("number of NaN entries", 1),
)


class _Beyond:
    """For each feature of rows, how far those that came back reach, and the culprits beyond them."""

    def __init__(self) -> None:
        self._sound_to = np.full(len(_FEATURES), -np.inf)
        self._culprits = np.empty((0, len(_FEATURES)))
        self._sound = 0

    def add(self, x: Array, completed: Flags, culprits: Flags) -> None:
        if completed.any():
            self._sound += int(completed.sum())
            self._sound_to = np.maximum(self._sound_to, _reach(x if completed.all() else x[completed]))
        if culprits.any():
            self._culprits = np.concatenate([self._culprits, _features(x[culprits])])[-MOST_CULPRITS:]

    def add_farthest(self, x: Array) -> None:
        features = _features(x)
        with np.errstate(over="ignore"):
            excess = np.maximum(features - self._sound_to, 0)
        if excess.any():
            row = int(np.unravel_index(excess.argmax(), excess.shape)[0])
            self._culprits = np.concatenate([self._culprits, features[row : row + 1]])[-MOST_CULPRITS:]

    def is_to_blame(self, *, by_chance: bool) -> bool:
        """Whether rows may account for faults: not where chance has had some and no row is known to."""
        return len(self._culprits) > 0 or not by_chance

    def familiar(self, x: Array, *, is_bold: bool = False) -> Flags:
        """Tell which rows lie within the reach of those that came back, or half-way beyond it."""
        blamed = self._blamed()
        reach = self._half_way() if is_bold else self._sound_to
        return np.asarray((_features(x)[:, blamed] <= reach[blamed]).all(axis=1))

    def _half_way(self) -> NDArray[np.float64]:
        """Return the middle from what came back to the first culprit beyond: of large numbers, in scale."""
        culprits = np.where(self._culprits > self._sound_to, self._culprits, np.inf)
        first = culprits.min(axis=0, initial=np.inf)
        near = np.clip(self._sound_to, -_HUGE, _HUGE)
        far = np.where(np.isinf(first), near, first)
        geometric = np.sqrt(np.maximum(near, 1.0)) * np.sqrt(np.maximum(far, 1.0))
        return np.asarray(np.where(near >= 0, np.minimum(geometric, far), near / 2 + far / 2))

    def _blamed(self) -> list[int]:
        """Return the fewest features by which the culprits lie beyond the sound; all where there is none."""
        beyond = self._culprits > self._sound_to
        blamed: list[int] = []
        while beyond.any():
            blamed.append(int(beyond.sum(axis=0).argmax()))
            beyond = beyond[~beyond[:, blamed[-1]]]
        return blamed or list(range(len(_FEATURES)))

    def flags(self, x: Array, least: int) -> Flags:
        edges = self._edges(least)
        if edges is None:
            return np.zeros(len(x), dtype=np.bool_)
        return np.asarray((_features(x) >= edges).any(axis=1))

    def told(self) -> str:
        edges = self._edges(LEAST_CULPRITS)
        if edges is None:
            return ""
        words = {1: "at least", -1: "at most"}
        parts = [
            f"the {f.name} is {words[f.sign]} {f.sign * edge:g}"
            for f, edge in zip(_FEATURES, edges.tolist(), strict=True)
            if edge < np.inf
        ]
        return f"no row came back of which {' or '.join(parts)}"

    def _edges(self, least: int) -> NDArray[np.float64] | None:
        """Return from where on there are only culprits, enough of them; +inf where there are not."""
        if self._sound < LEAST_SOUND or len(self._culprits) < least:
            return None
        beyond = self._culprits > self._sound_to
        first = np.where(beyond, self._culprits, np.inf).min(axis=0)
        edges = np.where(beyond.sum(axis=0) >= least, first, np.inf)
        return None if np.isinf(edges).all() else edges


def _features(x: Array) -> NDArray[np.float64]:
    """Return the features of rows (k, n) by their sign, shape (k, features).

    NaN entries are passed over, and counted as one; an infinity counts as the greatest number.
    """
    greatest, least, has_nan = _extremes(x)
    columns = (greatest, least, np.full(len(x), float(x.shape[1])))
    signed = [sign * column for column in columns for sign in (1, -1)]
    features = np.stack([*signed, has_nan.astype(np.float64)], axis=1)
    return np.asarray(np.nan_to_num(features, nan=-_HUGE, posinf=_HUGE, neginf=-_HUGE))


def _reach(x: Array) -> NDArray[np.float64]:
    """Return the greatest of each feature among rows (k, n), k at least 1: what `_features` has at most."""
    greatest, least, has_nan = _extremes(x)
    signed = [
        side(column, initial=-sign * np.inf) * sign
        for column in (greatest, least)
        for side, sign in ((np.fmax.reduce, 1), (np.fmin.reduce, -1))
    ]
    length = float(x.shape[1])
    return np.asarray(np.clip([*signed, length, -length, float(has_nan.any())], -_HUGE, _HUGE))


def _extremes(x: Array) -> tuple[NDArray[np.float64], NDArray[np.float64], Flags]:
    """Return the greatest and the least entry of each row, NaN passed over, and which rows have a NaN.

    Short rows are turned first: reductions of columns cost a hundredth of theirs.
    """
    with np.errstate(invalid="ignore"):  # a signalling NaN
        entries = x if x.dtype in (np.float32, np.float64) else x.astype(np.float32)
        turned = np.ascontiguousarray(entries.T) if x.shape[1] <= _SHORT else entries
        axis = 0 if turned is not entries else 1
        greatest = np.maximum.reduce(turned, axis=axis)
        least = np.minimum.reduce(turned, axis=axis)
        has_nan = np.isnan(greatest)
        if has_nan.any():
            greatest, least = np.fmax.reduce(turned, axis=axis), np.fmin.reduce(turned, axis=axis)
    return greatest.astype(np.float64), least.astype(np.float64), has_nan


_SHORT: Final = 32

_HUGE: Final = float(np.finfo(np.float64).max)
