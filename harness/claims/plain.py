"""Claims about the plain form exp(x) / sum(exp(x)): is it well behaved, and what goes wrong?"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.claims.evidence import LENGTH, Batch, Evidence, batch_of
from harness.claims.forms import PLAIN, SHIFTED, in_range, plain_error, shifted_error
from harness.claims.result import DEPENDS, REFUTED, Finding, not_refuted
from reference.errors import ElementClass
from reference.formats import FORMATS
from strategies.words import Words

__all__ = [
    "at_the_scale_of_800",
    "only_one_overflow_or_all_underflow",
    "only_overflow_is_difficult",
    "partial_underflow_is_harmless",
    "two_problems",
    "well_behaved",
]

Flags = NDArray[np.bool_]

TROUBLE: Final = 8.0
"""The least ULP error that is a problem: three bits lost, more than rounding eight entries loses."""


def _plain_fails(batch: Batch) -> Flags:
    return batch.seen[PLAIN].failed


def _plain_nonfinite(batch: Batch) -> Flags:
    return batch.seen[PLAIN].nonfinite


def _plain_loses(batch: Batch) -> Flags:
    """An output is 0 where the correctly rounded result is normal."""
    return batch.seen[PLAIN].has(ElementClass.LOST)


def well_behaved(evidence: Evidence) -> Finding:
    """Claim 1: look for results outside [0, 1] and for large errors, in and out of the range of exp."""

    def outside(batch: Batch) -> Flags:
        return batch.seen[PLAIN].has(ElementClass.OUT_OF_RANGE, ElementClass.NONFINITE)

    evidence = evidence.and_long_rows
    figures = {
        "in_range": (within := evidence.count(in_range)),
        "in_range_outside": (stray := evidence.count(lambda b: b.in_range & outside(b))),
        "in_range_worst_ulp": (worst := evidence.greatest(plain_error, in_range)),
        "outside": (strays := evidence.count(outside)),
        "outside_nonfinite": evidence.count(_plain_nonfinite),
    }
    misbehaves = stray > 0 or worst >= TROUBLE
    return Finding(
        REFUTED if misbehaves else DEPENDS if strays else not_refuted(within),
        "Of {in_range} rows in which every exp(x) is normal and their sum finite, {in_range_outside} have an"
        " output outside [0, 1]; the worst error found there is {in_range_worst_ulp} ULP. Of all other rows"
        " {outside} have such an output, {outside_nonfinite} of them NaN.",
        figures,
        (
            evidence.first(PLAIN, "nonfinite", outside),
            evidence.at_greatest(PLAIN, "max_ulp", plain_error, in_range),
        ),
    )


def only_one_overflow_or_all_underflow(evidence: Evidence) -> Finding:
    """Claim 2: look for a failed row in which no exp(x) overflows and one of them is normal."""

    def neither(batch: Batch) -> Flags:
        return _plain_fails(batch) & batch.no_exp_overflows & batch.an_exp_is_normal

    figures = {
        "failed": (failed := evidence.count(_plain_fails)),
        "neither": (others := evidence.count(neither)),
        "neither_sum": evidence.count(lambda b: neither(b) & ~b.nothing_overflows),
        "neither_silent": evidence.count(lambda b: neither(b) & ~_plain_nonfinite(b)),
        "one_overflows": evidence.count(lambda b: b.an_exp_overflows),
        "one_overflows_failed": evidence.count(lambda b: b.an_exp_overflows & _plain_fails(b)),
    }
    return Finding(
        REFUTED if others else not_refuted(failed),
        "Of {failed} rows in which the plain form fails, {neither} have no exp(x) that overflows, and a"
        " normal one. In {neither_sum} of these {neither} the sum overflows; in {neither_silent} every output"
        " is a finite 0, so that no NaN warns. Of {one_overflows} rows in which a single exp(x) overflows"
        " {one_overflows_failed} fail.",
        figures,
        (evidence.first(PLAIN, "overflow", neither),),
    )


def partial_underflow_is_harmless(evidence: Evidence) -> Finding:
    """Claim 4: look for a 0 instead of a normal number where some, not all, exp(x) vanish."""

    def sum_from_1(batch: Batch) -> Flags:
        return batch.some_exp_vanishes & (batch.largest >= 0)

    def harmed(batch: Batch) -> Flags:
        return np.asarray(batch.some_exp_vanishes & _plain_loses(batch))

    figures = {
        "partial": (rows := evidence.count(lambda b: b.some_exp_vanishes)),
        "partial_lost": (lost := evidence.count(harmed)),
        "sum_from_1": evidence.count(sum_from_1),
        "sum_from_1_lost": evidence.count(lambda b: sum_from_1(b) & harmed(b)),
        "max_shifted_lost": evidence.count(lambda b: b.seen[SHIFTED].has(ElementClass.LOST)),
    }
    return Finding(
        REFUTED if lost else not_refuted(rows),
        "Of {partial} rows in which some exp(x) are 0 and others not, the plain form returns 0 for a normal"
        " number in {partial_lost}. Of the {sum_from_1} of them with an entry of 0 or more, so that the sum"
        " is at least 1, it does in {sum_from_1_lost}. max_shifted does in {max_shifted_lost} of all rows.",
        figures,
        (evidence.first(PLAIN, "lost", harmed), evidence.first(PLAIN, "max_ulp", sum_from_1)),
    )


def at_the_scale_of_800(evidence: Evidence) -> Finding:
    """Claim 5: look for a row of entries about 800 without a NaN; see what sign and distance do."""
    about = Evidence(
        tuple(_about(800.0, name, evidence) for name in ("float64", "float32", "float16", "bfloat16"))
    )
    below = Evidence((_about(-800.0, "float64", evidence),))
    figures = {
        "about": (rows := about.count(_every)),
        "about_nonfinite": (bad := about.count(_plain_nonfinite)),
        "about_infinite": about.count(_infinite),
        "below": below.count(_every),
        "below_nonfinite": below.count(_plain_nonfinite),
        "apart": evidence.count(_apart),
        "apart_failed": evidence.count(lambda b: _apart(b) & _plain_fails(b)),
    }
    return Finding(
        not_refuted(rows) if bad == rows else REFUTED,
        "Of {about} rows of entries about 800, in four formats, {about_nonfinite} give a NaN, and"
        " {about_infinite} an infinity. Of {below} rows of entries about -800, where every exp(x) is 0,"
        " {below_nonfinite} give a NaN too. Of {apart} rows (0, -800), whose entries lie as far apart,"
        " {apart_failed} fail.",
        figures,
        (
            about.first(PLAIN, "nonfinite", lambda b: ~_plain_nonfinite(b)),
            evidence.first(PLAIN, "nonfinite", lambda b: b.largest == 800),
            evidence.first(PLAIN, "max_ulp", _apart),
        ),
    )


def _every(batch: Batch) -> Flags:
    return np.ones(len(batch.x), np.bool_)


def _infinite(batch: Batch) -> Flags:
    return np.asarray(np.isinf(batch.format.to_float64(batch.seen[PLAIN].y)).any(axis=1))


def _apart(batch: Batch) -> Flags:
    return np.asarray((batch.largest == 0) & (batch.smallest == -800))


def _about(centre: float, name: str, evidence: Evidence) -> Batch:
    fmt, rows = FORMATS[name], 256
    normal = Words(("claim 5", evidence.seed, name, str(centre))).normal((rows, LENGTH))
    x = fmt.from_float64(normal + centre)
    origins = [f"row {row}" for row in range(rows)]
    return batch_of(fmt, x, [f"about {centre:g}"] * rows, origins, evidence.method, (PLAIN,))


def only_overflow_is_difficult(evidence: Evidence) -> Finding:
    """Claim 6: look for a row without overflow in which the plain form fails and the shifted one does not."""

    def helped(batch: Batch) -> Flags:
        return batch.nothing_overflows & _plain_fails(batch) & ~batch.seen[SHIFTED].failed

    figures = {
        "no_overflow": (rows := evidence.count(lambda b: b.nothing_overflows)),
        "helped": (rescued := evidence.count(helped)),
        "lost": evidence.count(lambda b: b.nothing_overflows & ~_plain_fails(b) & _plain_loses(b)),
        "max_shifted_lost": evidence.count(lambda b: b.seen[SHIFTED].has(ElementClass.LOST)),
    }
    return Finding(
        REFUTED if rescued else not_refuted(rows),
        "Of {no_overflow} rows in which nothing overflows, {helped} fail in the plain form and not in"
        " max_shifted. In {lost} more the plain form returns 0 for a normal number; max_shifted does so in"
        " {max_shifted_lost} of all rows.",
        figures,
        (evidence.first(PLAIN, "total_underflow", helped), evidence.first(SHIFTED, "max_ulp", helped)),
        {REFUTED: " So the shift removes underflow as well."},
    )


def two_problems(evidence: Evidence) -> Finding:
    """Claim 11: look for a large error where nothing overflows and nothing underflows."""

    def neither(batch: Batch) -> Flags:
        return batch.in_range & batch.shifted_in_range

    figures = {
        "neither": (rows := evidence.count(neither)),
        "trouble": TROUBLE,
        "troubled": (third := evidence.count(lambda b: neither(b) & (shifted_error(b) >= TROUBLE))),
        "worst_ulp_max_shifted": evidence.greatest(shifted_error, neither),
        "worst_ulp_naive": evidence.greatest(plain_error, neither),
    }
    return Finding(
        REFUTED if third else not_refuted(rows),
        "Of {neither} rows in which nothing overflows or underflows, max_shifted is off by {trouble} ULP or"
        " more in {troubled}, at worst by {worst_ulp_max_shifted} ULP; the plain form is off by"
        " {worst_ulp_naive} ULP at worst.",
        figures,
        (evidence.at_greatest(SHIFTED, "max_ulp", shifted_error, neither),),
        {REFUTED: " So there is a third: x - max is rounded, and exp makes a relative error of that."},
    )
