"""Claim 12: is it the training or the softmax? The logits of a sane and of an exploding network answer."""

from __future__ import annotations

from typing import Final

import numpy as np

from harness.claims.evidence import Evidence, batch_of
from harness.claims.forms import PLAIN, SHIFTED
from harness.claims.result import DEPENDS, REFUTED, Finding, not_refuted
from reference.formats import FORMATS
from reports.record.witness import Witness
from strategies.corpora import CORPORA

__all__ = ["training_is_to_blame"]

HELD_IN: Final = ("float64", "float32", "float16", "bfloat16")


def training_is_to_blame(evidence: Evidence) -> Finding:
    """Count the failures of each form on each network's logits: a faulty softmax fails on sane logits too."""
    sane, exploding = _recorded("digits-sane", evidence), _recorded("digits-exploding", evidence)
    figures = _figures("sane", sane) | _figures("exploding", exploding)
    plain_fails = figures["sane_naive_failed"] + figures["exploding_naive_failed"] > 0
    shifted_fails = figures["sane_max_shifted_failed"] + figures["exploding_max_shifted_failed"] > 0
    rows = int(figures["sane"] + figures["exploding"])
    return Finding(
        REFUTED if shifted_fails else DEPENDS if plain_fails else not_refuted(rows),
        "Of {exploding} rows of a training that explodes, with logits up to {exploding_largest}, max_shifted"
        " fails in {exploding_max_shifted_failed} and the plain form in {exploding_naive_failed}. Of {sane}"
        " rows of a sane training, with logits up to {sane_largest}, max_shifted fails in"
        " {sane_max_shifted_failed} and the plain form in {sane_naive_failed}.",
        figures,
        (_first_failure(sane), _first_failure(exploding), _largest(exploding)),
        {DEPENDS: " With the shift only training is left to blame; without it the softmax fails as well."},
    )


def _recorded(corpus: str, evidence: Evidence) -> Evidence:
    """Return a corpus in every format that holds its rows, or some of them."""
    batches = (
        batch_of(fmt, fixed.rows, [corpus] * len(fixed.rows), fixed.labels, evidence.method, (PLAIN, SHIFTED))
        for fmt in (FORMATS[name] for name in HELD_IN)
        for fixed in CORPORA[corpus].fixed_rows(fmt)
    )
    return Evidence(tuple(batches))


def _figures(name: str, recorded: Evidence) -> dict[str, int | float]:
    return {
        name: recorded.count(lambda b: np.ones(len(b.x), np.bool_)),
        f"{name}_largest": recorded.greatest(lambda b: b.largest, lambda b: np.ones(len(b.x), np.bool_)),
        f"{name}_naive_failed": recorded.count(lambda b: b.seen[PLAIN].failed),
        f"{name}_max_shifted_failed": recorded.count(lambda b: b.seen[SHIFTED].failed),
    }


def _first_failure(recorded: Evidence) -> Witness | None:
    return recorded.first(PLAIN, "overflow", lambda b: b.seen[PLAIN].failed)


def _largest(recorded: Evidence) -> Witness | None:
    """Return the row of the greatest logit, as the shifted form takes it."""
    return recorded.at_greatest(
        SHIFTED, "max_ulp", lambda b: b.largest, lambda b: np.ones(len(b.x), np.bool_)
    )
