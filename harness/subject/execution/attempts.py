"""The result of calling a candidate on parts of a batch in turn, and the protocol of such calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.calls import FaultKind

__all__ = ["Attempt", "Attempts", "Failure", "Part"]

Array = NDArray[Any]
Part = tuple[int, int]


@dataclass(frozen=True)
class Failure:
    """How one call failed.

    Attributes:
        kind: what happened.
        message: one line.
        fatal: whether the worker was lost.
    """

    kind: FaultKind
    message: str
    fatal: bool = False


@dataclass(frozen=True)
class Attempt:
    """The result of calling parts in turn, up to the first that failed.

    Attributes:
        passed: the number of parts with outputs.
        outputs: of the shape of the rows; valid in the parts that passed.
        failure: of the next part; None if all passed.
        overwritten: which rows the candidate changed; None where nobody looked.
        seconds: time of the call without waits for a processor; None where it is not known.
        part_is_known: whether the part that failed is known, not only that one failed.
    """

    passed: int
    outputs: Array
    failure: Failure | None
    overwritten: NDArray[np.bool_] | None = None
    seconds: float | None = None
    part_is_known: bool = True


class Attempts(Protocol):
    """A function that calls the candidate."""

    def __call__(self, x: Array, parts: Sequence[Part], patience: float = 1.0) -> Attempt:
        """Call the candidate on parts (first row, row after the last) of rows x, in turn.

        Each call may take the share `patience` of the time limit, but always long enough for an answer.
        """
