"""Say of a witness that its logits are so large that a kernel for ordinary logits need not bear them.

Beyond 2^p, p the precision, numbers of a format are 2 and more apart. A scale s that is applied before the
shift rounds s x; from 2^(p + 4) on that is to multiples of 32, and a rounding of 16 in an exponent is a
factor of exp(16). What a tier asks there, a kernel whose logits stay small never meets.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from harness.subject.candidates import Candidate
from reference.formats import FloatFormat, format_named
from reports.record.witness import Witness, decoded
from strategies.logit_range import LogitRange

__all__ = ["far_out"]

ORDINARY: Final = LogitRange(-1000.0, 1000.0)
"""The range to propose."""

_COARSE: Final = 4
"""From 2^(p + this) on, numbers are 2^(this + 1) apart."""


def far_out(witness: Witness, candidate: Candidate) -> str:
    """Return what holds of a witness with logits far out, and what to do; empty for any other.

    The words depend on the candidate and the format alone, so that violations have them in common.

    Args:
        witness: of a violation, with the bits of its row.
        candidate: the one that it is about.
    """
    fmt, scale = format_named(witness.cell.format), abs(candidate.op.fused.scale)
    largest, digits = _largest_logit(witness, fmt), fmt.precision
    proposed = f"if your logits are ordinary, gate those: --range {ORDINARY}"
    coarse = 2.0 ** (digits + _COARSE)
    if scale != 1.0 and scale * ORDINARY.high < coarse <= scale * largest:
        return (
            f"each violation is in a row whose largest product with the scale is 2^{digits + _COARSE} or"
            f" more, where {fmt} rounds to multiples of {2 ** (_COARSE + 1)}: a scale before the shift loses"
            f" the differences there. Subtract the maximum before you scale; or, {proposed}"
        )
    if ORDINARY.high < 2.0**digits <= largest:
        return (
            f"each violation is in a row with a logit of 2^{digits} or more in magnitude, where numbers of"
            f" {fmt} are 2 or more apart; {proposed}"
        )
    return ""


def _largest_logit(witness: Witness, fmt: FloatFormat) -> float:
    """Return the greatest magnitude among the finite logits; 0 where the bits are not kept."""
    values = fmt.to_float64(decoded(witness.x, fmt)) if witness.x else np.empty(0)
    return float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0))
