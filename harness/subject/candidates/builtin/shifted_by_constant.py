"""softmax(x + c) for a constant c, which over the reals is softmax(x).

`shifted_by_constant@-100` sets c; the default is -64. It takes the formats that hold c
exactly, so that it is one function in all of them.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.arithmetic import arrays, built_in, per_format
from harness.subject.candidates.candidate import Candidate
from harness.subject.candidates.loading import CandidateError
from reference.declaration import Declaration, Policy
from reference.formats import FORMATS, FloatFormat

__all__ = ["CANDIDATE", "shifted_by"]

NAME = "shifted_by_constant"
DEFAULT = -64.0


def shifted_by(c: float, name: str) -> Candidate:
    """Return the candidate exp(x + c) / sum(exp(x + c)) in every format that holds c."""

    def shifted(x: NDArray[Any]) -> NDArray[Any]:
        e = np.exp(x + x.dtype.type(c))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))

    declaration = Declaration(argument="constant", constant=c, policy=Policy(pos_inf="nan_at_inf"))
    holding = [f.name for f in FORMATS.values() if _holds(f, c)]
    algorithms = per_format(lambda fmt: arrays(name, fmt, declaration), holding)
    description = f"exp(x + c) / sum(exp(x + c)) with c = {c:g}; {NAME}@C sets c"
    return built_in(name, shifted, description, declaration, algorithms, variant=_variant)


def _holds(fmt: FloatFormat, c: float) -> bool:
    return math.isfinite(c) and fmt.decode(fmt.round(Fraction(c))) == c


def _variant(value: str) -> Candidate:
    name = f"{NAME}@{value}"
    try:
        c = float(value)
    except ValueError:
        c = math.nan
    if not math.isfinite(c):
        raise CandidateError(f"candidate {name!r}: c is a finite number; write {NAME}@-100")
    return shifted_by(c, name)


CANDIDATE = shifted_by(DEFAULT, NAME)
