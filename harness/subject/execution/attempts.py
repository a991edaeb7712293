"""What comes of handing parts of a batch to a candidate, in turn, and the contract of what does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution.calling import FaultKind

__all__ = ["Attempt", "Attempts", "Failure", "Part"]

Array = NDArray[Any]
Part = tuple[int, int]


@dataclass(frozen=True)
class Failure:
    """How one call failed.

    Attributes:
        kind: what happened.
        message: one line.
        fatal: whether it cost the worker.
    """

    kind: FaultKind
    message: str
    fatal: bool = False


@dataclass(frozen=True)
class Attempt:
    """What came of calling parts in turn, up to the first that failed.

    Attributes:
        passed: how many parts have outputs.
        outputs: shape of the rows given; meaningful in the parts that passed.
        failure: of the part after those, None if all passed.
        overwritten: which rows the candidate changed, where that was watched.
        seconds: how long it took, waits for a processor left out; None where that is not told.
        is_placed: whether the part that failed is known, and not only that one of them did.
    """

    passed: int
    outputs: Array
    failure: Failure | None
    overwritten: NDArray[np.bool_] | None = None
    seconds: float | None = None
    is_placed: bool = True


class Attempts(Protocol):
    """Calls the candidate."""

    def __call__(self, x: Array, parts: Sequence[Part], patience: float = 1.0) -> Attempt:
        """Call it on parts (first row, row after the last) of rows x, in turn.

        Each may take the share `patience` of the time limit, or as much as a worker needs to be heard.
        """
