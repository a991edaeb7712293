"""A model that predicts bits: from the parts that were seen, the outputs of fresh rows by emulation.

An anatomy proves itself so. Shift, order of additions, significand and division are emulated in NumPy, each
step rounded as it was seen to be; exp is the candidate's own, read off rows made for each argument. Where the
sum rounds to 1 an output is exp itself. Elsewhere it is known to a few units, and each number near it is put
to rows of k zeros and the argument, in emulation: the one that gives the bits of all of them is it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.anatomy import Anatomy
from harness.explanation.orders import Order
from harness.explanation.questions import Questions

__all__ = ["FRESH", "LONGEST", "Prediction", "prediction_of"]

Array = NDArray[Any]
Floats = NDArray[np.float64]

FRESH: Final = 200
LONGEST: Final = 300
LENGTHS: Final = 20
"""Of fresh rows, drawn anew for each seed."""

ZEROS: Final = (1, 2, 3, 5, 6, 7, 9, 11, 13)
AROUND: Final = 4
"""Numbers above and below the quotient of two outputs that exp may be: it is off by 1.5 units at most."""

AT_ONCE: Final = 1 << 16
TYPES: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}
)


@dataclass(frozen=True)
class Prediction:
    """How many fresh rows had the bits that the anatomy predicts.

    Attributes:
        agreed, rows: rows with the same bits in every entry, of all.
        arguments, settled: arguments of exp in them, and those whose value the rows settled.
        why: why nothing is predicted; empty where it is.
    """

    agreed: int = 0
    rows: int = 0
    arguments: int = 0
    settled: int = 0
    why: str = ""

    def line(self) -> str:
        """Return it as one line."""
        if self.why:
            return f"its bits are not predicted: {self.why}"
        return (
            f"predicted bit for bit: {self.agreed} of {self.rows} fresh rows of up to {LONGEST} entries"
            f" ({100 * self.agreed / self.rows:.4g} %)"
        )

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return dict(vars(self))


def prediction_of(questions: Questions, anatomy: Anatomy, rows: int = FRESH, seed: int = 0) -> Prediction:
    """Predict fresh rows, and hold the outputs against it, where every part was seen."""
    if why := _unseen(questions, anatomy):
        return Prediction(why=why)
    model = _Model.of(questions, anatomy)
    generator = np.random.default_rng([seed, 8191])
    lengths = generator.integers(2, LONGEST + 1, LENGTHS)
    each = np.array_split(np.arange(rows), len(lengths))
    fresh = [
        questions.held(generator.normal(0, 1, (len(some), n)) * generator.choice([1, 4, 16], (len(some), 1)))
        for n, some in zip(lengths.tolist(), each, strict=True)
        if len(some)
    ]
    moved = [x.astype(model.dtype) for x in fresh]
    t = [x - x.max(axis=1, keepdims=True) for x in moved]
    arguments = np.unique(np.concatenate([some.ravel() for some in t]))
    values, settled = model.exponentials(questions, arguments)
    agreed = 0
    for x, some in zip(fresh, t, strict=True):
        said = model.shares(values[np.searchsorted(arguments, some)])
        agreed += int((said == questions.ask(x)).all(axis=1).sum())
    return Prediction(agreed, sum(len(x) for x in fresh), len(arguments), settled)


def _unseen(questions: Questions, anatomy: Anatomy) -> str:
    """Return which part was not seen well enough; empty where all were."""
    shift, exp = anatomy.part("shift"), anatomy.part("exp")
    if questions.format != questions.out or questions.out.name not in TYPES:
        return f"only float32 and float64 are, not {questions.format} to {questions.out}"
    if shift.state != "observed" or shift.facts["moved"] or shift.facts["left_out"]:
        return "the maximum of all entries is not seen to be subtracted"
    if exp.state != "observed":
        return "exp is not seen"
    if anatomy.part("sum").facts["not_once"]:
        return "not every entry counts once"
    if anatomy.bits != questions.out.precision:
        return "the sum is kept in another significand than the outputs"
    if anatomy.seen is None or anatomy.seen.order is None:
        return "the order of additions has no name here"
    if anatomy.division.way is None:
        return "the division is not seen"
    return ""


@dataclass(frozen=True)
class _Model:
    """A softmax with the order of additions and the division that were seen."""

    dtype: np.dtype[Any]
    order: Order
    divides: bool
    exact_below: float

    @classmethod
    def of(cls, questions: Questions, anatomy: Anatomy) -> _Model:
        assert anatomy.seen is not None
        assert anatomy.seen.order is not None
        out = questions.out
        divides = anatomy.division.way == "division"
        return cls(TYPES[out.name], anatomy.seen.order, divides, -math.log(2) * (out.precision + 1))

    def total(self, columns: Sequence[Array]) -> Array:
        """Return the sum of columns, each addition rounded."""
        summed: Array = self.order.total(list(columns), lambda a, b: a + b)
        return summed

    def quotient(self, e: Array, s: Array) -> Array:
        """Return e over s, as it was seen to be divided."""
        return e / s if self.divides else e * (self.dtype.type(1) / s)

    def shares(self, e: Array) -> Floats:
        """Return the outputs of exponentials of shape (k, n)."""
        s = self.total([np.ascontiguousarray(column) for column in e.T])
        return np.asarray(self.quotient(e, s[:, None]), dtype=np.float64)

    def exponentials(self, questions: Questions, arguments: Array) -> tuple[Array, int]:
        """Return exp of each argument as the candidate has it, and how many of them are settled."""
        values = np.ones(len(arguments), dtype=self.dtype)
        settled = len(arguments)
        y = questions.ask(np.column_stack([np.zeros(len(arguments)), arguments]))
        exact = arguments < self.exact_below
        values[exact] = y[exact, 1].astype(self.dtype)
        open_ = np.flatnonzero(~exact & (arguments < 0))
        for i in range(0, len(open_), AT_ONCE):
            some = open_[i : i + AT_ONCE]
            near = (y[some, 1] / y[some, 0]).astype(self.dtype)
            values[some], known = self._settled(questions, arguments[some], near)
            settled -= int((~known).sum())
        return values, settled

    def _settled(
        self, questions: Questions, arguments: Array, near: Array
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return the number near each quotient that gives all bits seen, and whether no other does."""
        bits = near.view(f"i{self.dtype.itemsize}")[:, None] + np.arange(-AROUND, AROUND + 1, dtype=np.int64)
        tried = bits.astype(f"i{self.dtype.itemsize}").view(self.dtype)
        fits = np.ones(tried.shape, dtype=np.bool_)
        one = np.ones_like(tried)
        for zeros in ZEROS:
            x = np.zeros((len(arguments), zeros + 1))
            x[:, -1] = arguments
            y = questions.ask(x)[:, [0, -1]].astype(self.dtype)
            s = self.total([*[one] * zeros, tried])
            fits &= self.quotient(tried, s) == y[:, 1, None]
            fits &= self.quotient(one, s) == y[:, 0, None]
        ranked = fits * (AROUND + 1 - np.abs(np.arange(-AROUND, AROUND + 1)))
        chosen = ranked.argmax(axis=1)
        return tried[np.arange(len(tried)), chosen], fits.sum(axis=1) == 1
