"""How many seconds the faults of a candidate may cost a campaign, and which rows cause them.

All code that calls a failing candidate again spends from the same allowance: the narrowing of batches,
searches, checks and shrinking. While enough is left, a failed batch is narrowed down to its rows. After that
each batch is called once; where it fails, only its familiar rows are called, which lie within the reach of
the rows that completed. When the allowance is spent, familiar rows alone are called, and for a while rows
half-way from there to the rows that failed; in the end none.

Two facts are learned that save sound rows: the features beyond which no row ever completed, so that such
rows are set aside and the others called; and how many rows a call may hold.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.calls import name_of
from harness.subject.execution.chance import Chance
from reports.figures import plural

__all__ = ["FIRST_SECONDS", "MOST_FOR_A_CRASH", "Allowance", "summaries"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

FIRST_SECONDS: Final = 10.0
"""The time that the faults of one candidate may cost before the checks begin."""

TOLD_SECONDS: Final = 2.0
"""The time of faults that is told though all rows were tried."""

STAGE_SECONDS: Final = 3.0
"""The least time left for faults when the checks or the shrinking begin."""

NARROWED: Final = 3 / 4
"""The share of it that may be spent on narrowing; after that each fault loses a batch, and more are tried."""

TESTED: Final = 1 / 4
"""The share of it in which calls that failed are repeated although no fault by chance is known."""

FAMILIAR_SECONDS: Final = 3.0
HALF_WAY_SECONDS: Final = 2.0
"""The time that familiar rows may cost in the end, and before that rows half-way from there to the rows that
failed: where these complete, the reach grows."""

MOST_FOR_A_CRASH: Final = 0.5
"""The most seconds that a crash costs, so that a busy machine loses no rows by it."""

LEAST_CULPRITS: Final = 8
LEAST_SOUND: Final = 100
MOST_CULPRITS: Final = 4096
"""The least rows of each sort for a rule: less than 32 % of rows beyond are sound (95 %)."""

MOST_COPIED: Final = 1 << 12
MOST_KEPT: Final = 64
"""Calls of at most MOST_COPIED entries are kept, up to MOST_KEPT of them, and looked at together."""

SUSPICION: Final = 1 / 8
LEAST_PATIENCE: Final = 0.5
"""Of the time limit, and seconds: what a call gets of a candidate that has hung before."""

LEAST_OF_A_PART: Final = 0.25
"""The least seconds for a part before its rows are tried one by one."""

SLOWER: Final = 4.0
"""How many times longer than predicted a call may take."""


class Allowance:
    """The time that the faults of one candidate may still cost; used from several threads.

    Args:
        seconds: what they may cost before the checks begin; inf where every row must be called.
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
        """Provide some time for the stage that begins."""
        with self._lock:
            if self._spent > 0 and self._until < self._spent + STAGE_SECONDS:
                self._until = self._spent + STAGE_SECONDS
                self._narrowed_until = self._spent + NARROWED * STAGE_SECONDS

    def charge(self, seconds: float) -> None:
        """Count the time that a failure cost."""
        with self._lock:
            self._spent += seconds

    def charge_start(self, seconds: float) -> None:
        """Count the processor time of starting a process in place of one that was lost."""
        if self.is_drawn_on:
            self.charge(seconds)

    @property
    def is_drawn_on(self) -> bool:
        """Whether the candidate has failed."""
        return self._spent > 0

    @property
    def is_spent(self) -> bool:
        """Whether only familiar rows may be called."""
        return self._spent >= self._until

    @property
    def is_exhausted(self) -> bool:
        """Whether the candidate may no longer be called."""
        return self._spent >= self._until + FAMILIAR_SECONDS

    @property
    def narrows(self) -> bool:
        """Whether to call a failed batch again, part by part."""
        return self._spent < self._narrowed_until

    @property
    def tests(self) -> bool:
        """Whether to repeat a call that failed, to recognize faults by chance."""
        return not self.is_exhausted if self.chance.has_faults else self._spent < self._tested_until

    def limit(self, timeout: float, rows: int, length: int, patience: float = 1.0) -> float:
        """Return how many seconds a call with so many rows may take, times the share `patience`.

        A candidate known to be slow gets more time; one that has hung gets less.
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
        """Keep how long a row of a slow candidate takes."""
        with self._lock:
            if self._row_seconds is None or row_seconds > self._row_seconds[0]:
                self._row_seconds = row_seconds, length

    # Rows ----------------------------------------------------------------------------------

    def learn(self, x: Array, completed: Flags, culprits: Flags) -> None:
        """Learn which features tell rows that completed from rows that fail alone."""
        with self._lock:
            self._beyond.add(x, completed, culprits)

    def suspect(self, x: Array) -> None:
        """Take the farthest of these rows for a culprit: without them their batch completed."""
        with self._lock:
            self._beyond.add_farthest(x)

    def set_aside(self, x: Array) -> Flags:
        """Return which rows not to call: those beyond all rows that completed, where others failed.

        While there is time to narrow batches down, a rule takes many failures; after that, a single one. When
        the allowance is spent, only familiar rows are called.
        """
        with self._lock:
            if self._until == math.inf:
                return np.zeros(len(x), dtype=np.bool_)
            if self.is_spent and self._beyond.is_to_blame(by_chance=self.chance.has_faults):
                half_way = self._spent < self._until + HALF_WAY_SECONDS
                return ~self._beyond.familiar(x, half_way=half_way)
            return self._beyond.flags(x, LEAST_CULPRITS if self.narrows else 1)

    def familiar(self, x: Array) -> Flags:
        """Return which rows are familiar: within the reach of the rows that completed."""
        with self._lock:
            return self._beyond.familiar(x)

    def count_untried(self, rows: int) -> None:
        """Count rows that are not tried."""
        with self._lock:
            self._untried += rows

    def summary(self) -> str | None:
        """Return a sentence on the rows not tried, the faults by chance, and their time; None of little."""
        chance = self.chance.summary()
        with self._lock:
            rule = self._beyond.rule() if self._untried else ""
        rows = f"{plural(self._untried, 'row')} {'was' if self._untried == 1 else 'were'}"
        untried = f"{rows} not tried" if self._untried else ""
        parts = [part for part in (untried, rule, chance) if part]
        if not parts and self._spent < TOLD_SECONDS:
            return None
        return "; ".join([*parts, f"{self._spent:.0f} s went into failing calls"])


def summaries(allowances: Mapping[str, Allowance]) -> dict[str, str]:
    """Return the summary of each candidate that has one."""
    texts = {spec: allowance.summary() for spec, allowance in list(allowances.items())}
    return {spec: text for spec, text in texts.items() if text is not None}


@dataclass(frozen=True)
class _Feature:
    name: str
    sign: int


_FEATURES: Final = (
    *(_Feature(name, sign) for name in ("greatest entry", "least entry", "length") for sign in (1, -1)),
    _Feature("number of NaN entries", 1),
)


class _Beyond:
    """For each feature, how far the rows that completed reach, and the culprits beyond."""

    def __init__(self) -> None:
        self._reached = np.full(len(_FEATURES), -np.inf)
        self._completed: list[Array] = []
        self._culprits = np.empty((0, len(_FEATURES)))
        self._sound = 0

    def add(self, x: Array, completed: Flags, culprits: Flags) -> None:
        sound = int(np.count_nonzero(completed))
        if sound:
            self._sound += sound
            self._keep(x if sound == len(x) else x[completed])
        if np.count_nonzero(culprits):
            self._culprits = np.concatenate([self._culprits, _features(x[culprits])])[-MOST_CULPRITS:]

    def _keep(self, x: Array) -> None:
        """Keep the rows of small calls until they are asked about: thousands follow each other."""
        if x.size > MOST_COPIED:
            self._reached = np.maximum(self._reached, _reach(x))
            return
        if len(self._completed) == MOST_KEPT:
            self._extend()
        self._completed.append(x.copy())  # the caller may change it

    def _extend(self) -> None:
        for _, alike in groupby(sorted(self._completed, key=_like), key=_like):
            self._reached = np.maximum(self._reached, _reach(np.concatenate([*alike])))
        self._completed = []

    @property
    def _sound_to(self) -> NDArray[np.float64]:
        if self._completed:
            self._extend()
        return self._reached

    def add_farthest(self, x: Array) -> None:
        features = _features(x)
        with np.errstate(over="ignore"):
            excess = np.maximum(features - self._sound_to, 0)
        if excess.any():
            row = int(np.unravel_index(excess.argmax(), excess.shape)[0])
            self._culprits = np.concatenate([self._culprits, features[row : row + 1]])[-MOST_CULPRITS:]

    def is_to_blame(self, *, by_chance: bool) -> bool:
        """Return whether rows may cause the faults: not where some are by chance and no culprit is known."""
        return len(self._culprits) > 0 or not by_chance

    def familiar(self, x: Array, *, half_way: bool = False) -> Flags:
        """Return which rows lie within the reach of the rows that completed, or half-way beyond it."""
        features = self._culprit_features()
        reach = self._half_way() if half_way else self._sound_to
        return np.asarray((_features(x)[:, features] <= reach[features]).all(axis=1))

    def _half_way(self) -> NDArray[np.float64]:
        """Return the middle between the reach and the first culprit beyond: geometric for large numbers."""
        culprits = np.where(self._culprits > self._sound_to, self._culprits, np.inf)
        first = culprits.min(axis=0, initial=np.inf)
        near = np.clip(self._sound_to, -_HUGE, _HUGE)
        far = np.where(np.isinf(first), near, first)
        geometric = np.sqrt(np.maximum(near, 1.0)) * np.sqrt(np.maximum(far, 1.0))
        return np.asarray(np.where(near >= 0, np.minimum(geometric, far), near / 2 + far / 2))

    def _culprit_features(self) -> list[int]:
        """Return few features, by one of which each culprit lies beyond the sound rows; all if none does."""
        beyond = self._culprits > self._sound_to
        features: list[int] = []
        while beyond.any():
            features.append(int(beyond.sum(axis=0).argmax()))
            beyond = beyond[~beyond[:, features[-1]]]
        return features or list(range(len(_FEATURES)))

    def flags(self, x: Array, least: int) -> Flags:
        edges = self._edges(least)
        if edges is None:
            return np.zeros(len(x), dtype=np.bool_)
        return np.asarray((_features(x) >= edges).any(axis=1))

    def rule(self) -> str:
        edges = self._edges(LEAST_CULPRITS)
        if edges is None:
            return ""
        words = {1: "at least", -1: "at most"}
        parts = [
            f"the {f.name} is {words[f.sign]} {f.sign * edge:g}"
            for f, edge in zip(_FEATURES, edges.tolist(), strict=True)
            if edge < np.inf
        ]
        return f"no row completed where {' or '.join(parts)}"

    def _edges(self, least: int) -> NDArray[np.float64] | None:
        """Return from which value of each feature there are only culprits; +inf where they are too few."""
        if self._sound < LEAST_SOUND or len(self._culprits) < least:
            return None
        beyond = self._culprits > self._sound_to
        first = np.where(beyond, self._culprits, np.inf).min(axis=0)
        edges = np.where(beyond.sum(axis=0) >= least, first, np.inf)
        return None if np.isinf(edges).all() else edges


def _like(x: Array) -> tuple[int, str]:
    """Return what rows that are looked at together have in common."""
    return x.shape[1], name_of(x.dtype)


def _features(x: Array) -> NDArray[np.float64]:
    """Return the features of rows (k, n) by their sign, shape (k, features).

    NaN entries are left out and make a feature of their own; an infinity counts as the greatest number.
    """
    greatest, least, has_nan = _extremes(x)
    columns = (greatest, least, np.full(len(x), float(x.shape[1])))
    signed = [sign * column for column in columns for sign in (1, -1)]
    features = np.stack([*signed, has_nan.astype(np.float64)], axis=1)
    return np.asarray(np.nan_to_num(features, nan=-_HUGE, posinf=_HUGE, neginf=-_HUGE))


def _reach(x: Array) -> NDArray[np.float64]:
    """Return the greatest value of each of `_features` among rows (k, n), k at least 1."""
    greatest, least, has_nan = _extremes(x)
    signed = [
        sign * float(side(column, initial=-sign * np.inf))
        for column in (greatest, least)
        for side, sign in ((np.fmax.reduce, 1), (np.fmin.reduce, -1))
    ]
    length = float(x.shape[1])
    reached = (*signed, length, -length, float(has_nan.any()))
    return np.array([min(max(value, -_HUGE), _HUGE) for value in reached])


def _extremes(x: Array) -> tuple[NDArray[np.float64], NDArray[np.float64], Flags]:
    """Return the greatest and the least entry of each row, NaN left out, and which rows have a NaN.

    Short rows are columns first: reductions of columns cost a hundredth of theirs. Entries of float16 are
    compared as integers, many at a time.
    """
    if x.dtype == np.float16:
        keys, axis = _reducible(_ordered(x.view(np.int16)))
        greatest, least = np.maximum.reduce(keys, axis=axis), np.minimum.reduce(keys, axis=axis)
        if max(greatest.max(), -1 - least.min()) <= _FLOAT16_INFINITY:
            return _float16(greatest), _float16(least), np.zeros(len(x), dtype=np.bool_)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        entries, axis = _reducible(x if x.dtype in (np.float32, np.float64) else x.astype(np.float32))
        greatest, least = np.maximum.reduce(entries, axis=axis), np.minimum.reduce(entries, axis=axis)
        has_nan = np.isnan(greatest)
        if has_nan.any():
            greatest, least = np.fmax.reduce(entries, axis=axis), np.fmin.reduce(entries, axis=axis)
    return greatest.astype(np.float64, copy=False), least.astype(np.float64, copy=False), has_nan


def _reducible(x: Array) -> tuple[Array, int]:
    """Return rows, and along which axis to reduce them."""
    return (np.ascontiguousarray(x.T), 0) if x.shape[1] <= _SHORT else (x, 1)


def _ordered(encodings: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return integers that are ordered as the float16 numbers are of these encodings; and back."""
    return encodings ^ ((encodings >> 15) & np.int16(0x7FFF))


def _float16(ordered: NDArray[np.int16]) -> NDArray[np.float64]:
    return _ordered(ordered).view(np.float16).astype(np.float64)


_SHORT: Final = 32
_FLOAT16_INFINITY: Final = 0x7C00
"""Its encoding. That of -inf is ordered as -1 less it, and beyond both are those of NaN."""

_HUGE: Final = float(np.finfo(np.float64).max)
