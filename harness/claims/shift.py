"""Claims 7 and 8: does the shift by the maximum improve stability, and is it needed?"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.claims.evidence import Batch, Evidence
from harness.claims.forms import PLAIN, SHIFTED, in_range, plain_error, shifted_error
from harness.claims.result import DEPENDS, REFUTED, Finding, not_refuted

__all__ = ["improves_stability", "is_not_necessary"]

Flags = NDArray[np.bool_]

NOTICED: Final = 2.0
"""The shift makes a row worse where its worst error is so many times that of the plain form."""


def _rescued(batch: Batch) -> Flags:
    """The plain form fails and the shifted one does not."""
    return batch.seen[PLAIN].failed & ~batch.seen[SHIFTED].failed


def _harmed(batch: Batch) -> Flags:
    """Neither fails, and the shifted form is off by more than an ULP and NOTICED times as much."""
    neither = ~batch.seen[PLAIN].failed & ~batch.seen[SHIFTED].failed
    worse = (shifted_error(batch) > 1) & (shifted_error(batch) >= NOTICED * plain_error(batch))
    return np.asarray(neither & worse)


def improves_stability(evidence: Evidence) -> Finding:
    """Claim 7: look for rows that the shift rescues, and for rows that it makes worse."""
    figures = {
        "rescued": (rescued := evidence.count(_rescued)),
        "harmed": (harmed := evidence.count(_harmed)),
        "in_range_worst_ulp_max_shifted": evidence.greatest(shifted_error, in_range),
        "in_range_worst_ulp_naive": evidence.greatest(plain_error, in_range),
    }
    return Finding(
        DEPENDS if rescued and harmed else not_refuted(rescued) if rescued else REFUTED,
        "{rescued} rows fail in the plain form and not in max_shifted. In {harmed} others the error of"
        " max_shifted is at least twice that of the plain form. In rows in which every exp(x) is normal and"
        " their sum finite, the worst error is {in_range_worst_ulp_max_shifted} ULP with the shift and"
        " {in_range_worst_ulp_naive} ULP without.",
        figures,
        (
            evidence.at_greatest(SHIFTED, "max_ulp", shifted_error, lambda b: _harmed(b) & b.in_range),
            evidence.first(PLAIN, "nonfinite", _rescued),
            evidence.first(SHIFTED, "max_ulp", _rescued),
        ),
    )


def is_not_necessary(evidence: Evidence) -> Finding:
    """Claim 8: look for rows that need the shift, and whether any of them is in the range of exp."""
    evidence = evidence.and_long_rows
    figures = {
        "needed": (needed := evidence.count(_rescued)),
        "in_range": (rows := evidence.count(in_range)),
        "in_range_failed": evidence.count(lambda b: b.in_range & b.seen[PLAIN].failed),
        "in_range_needed": (failed := evidence.count(lambda b: b.in_range & _rescued(b))),
        "in_range_no_worse": evidence.count(lambda b: b.in_range & (plain_error(b) <= shifted_error(b))),
        "in_range_worst_ulp": evidence.greatest(plain_error, in_range),
    }
    return Finding(
        DEPENDS if needed and not failed else REFUTED if needed else not_refuted(rows),
        "{needed} rows fail in the plain form and not in max_shifted. Of {in_range} rows in which every"
        " exp(x) is normal and their sum finite, {in_range_needed} do so; {in_range_failed} fail in the plain"
        " form at all. In {in_range_no_worse} of these rows the plain form is no worse than max_shifted, and"
        " its worst error found is {in_range_worst_ulp} ULP.",
        figures,
        (
            evidence.first(PLAIN, "nonfinite", _rescued),
            evidence.at_greatest(PLAIN, "max_ulp", plain_error, in_range),
        ),
    )
