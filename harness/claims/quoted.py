"""Claims 9 and 10: printed results, compared with the exact ones digit for digit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from harness.claims.evidence import Evidence, batch_of
from harness.claims.forms import SHIFTED
from harness.claims.result import PROVED, REFUTED, Finding
from reference.formats import FORMATS
from reference.oracle import softmax

__all__ = ["printed"]

DIGITS: Final = 8
"""The number of decimals that NumPy prints."""


def printed(logits: tuple[float, ...], claimed: str) -> Callable[[Evidence], Finding]:
    """Return the predicate that the shifted form of these float64 logits prints as claimed, and rightly so.

    The claim is about one row, so looking at it is a proof: the exact softmax, rounded to as
    many decimals, must read as claimed, and so must what NumPy prints of the computed one.
    """

    def settle(evidence: Evidence) -> Finding:
        x = np.array([logits])
        batch = batch_of(FORMATS["float64"], x, ["named"], ["the claim"], evidence.method, (SHIFTED,))
        seen = batch.seen[SHIFTED]
        exact = "[" + ", ".join(_decimal(r) for r in softmax(x[0])) + "]"
        computed = np.array2string(seen.y[0], precision=DIGITS, separator=", ")
        agrees = exact == computed == claimed
        return Finding(
            PROVED if agrees else REFUTED,
            "The exact softmax, rounded to the digits printed, is {exact}; max_shifted in float64 prints"
            " {computed}, off by {worst_ulp} ULP at most, so one look at the only row settles it.",
            {
                "claimed": claimed,
                "exact": exact,
                "computed": computed,
                "worst_ulp": float(seen.error[0]),
                "correctly_rounded_elements": int(seen.judgement.correct.sum()),
            },
            (batch.witness(SHIFTED, 0, "max_ulp"),),
        )

    return settle


def _decimal(r: Any) -> str:
    """Return an exact result rounded to DIGITS decimals, as NumPy writes it: without trailing zeros.

    `r` is good to 2^-200; that decides the rounding unless a tie is as close, which would be seen below.
    """
    scaled = r * 10**DIGITS
    rounded = int(r.context.nint(scaled))
    assert abs(abs(scaled - rounded) - r.context.mpf(0.5)) > 2.0**-100, "a tie at the last decimal"
    whole, decimals = divmod(rounded, 10**DIGITS)
    return f"{whole}." + f"{decimals:0{DIGITS}}".rstrip("0")
