"""Claims that people make about softmax, and the verdict of a run on each.

A public question on how to compute softmax stably got answers and comments that contradict
one another. Each claim is settled by a predicate over rows whose truth is known, never by
hand; the implementations are those that the answers name: the plain form, the form shifted by a constant,
and the form shifted by the maximum (`stable_softmax`), in NumPy's arithmetic. Claim 12 is about training, and
is settled on logits recorded from a network trained with a sane and with an exploding step size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harness.claims import invariance, plain, quoted, shift, training
from harness.claims.evidence import Evidence, gather
from harness.claims.result import ClaimResult, Finding
from reference.model import Method

__all__ = ["CLAIMS", "Claim", "ClaimResult", "evaluate"]

ROWS: Final = 256
"""The number of rows of each regime in each of four formats."""


@dataclass(frozen=True)
class Claim:
    """A statement, who makes it, and the predicate that settles it."""

    id: int
    statement: str
    source: str
    settle: Callable[[Evidence], Finding]


_DIGITS: Final = "[0.01165623, 0.03168492, 0.08612854, 0.23412166, 0.63640865]"

CLAIMS: Final = (
    Claim(
        1,
        "exp(x)/sum(exp(x)) is numerically well behaved: only positive terms, so no cancellation, and the"
        " denominator is at least the numerator, so the result lies in [0, 1]",
        "an answer",
        plain.well_behaved,
    ),
    Claim(
        2,
        "the only accident is overflow or underflow in the exponentials: overflow of one entry, or"
        " underflow of all, makes the output useless",
        "an answer",
        plain.only_one_overflow_or_all_underflow,
    ),
    Claim(
        3,
        "softmax(x) = softmax(x + c) for any scalar c; subtracting max(x) leaves nonpositive entries,"
        " which rules out overflow, and at least one zero, which rules out a vanishing denominator",
        "an answer",
        invariance.is_invariant_and_safe,
    ),
    Claim(
        4,
        "underflow in some but not all entries is harmless",
        "an answer",
        plain.partial_underflow_is_harmless,
    ),
    Claim(
        5,
        "at softmax(800), and at that scale in general, the plain form gives inf or NaN in Python",
        "a comment",
        plain.at_the_scale_of_800,
    ),
    Claim(
        6,
        "apart from overflow there is no numerically difficult step, so shifting is an improvement only"
        " in that it removes overflow",
        "a comment",
        plain.only_overflow_is_difficult,
    ),
    Claim(
        7,
        "subtracting the maximum really improves numerical stability",
        "a comment",
        shift.improves_stability,
    ),
    Claim(
        8,
        "the shift is not a necessary term",
        "the author of the accepted answer elsewhere",
        shift.is_not_necessary,
    ),
    Claim(
        9,
        f"stable_softmax([1, 2, 3, 4, 5]) = {_DIGITS}",
        "an answer's session",
        quoted.printed((1.0, 2.0, 3.0, 4.0, 5.0), _DIGITS),
    ),
    Claim(
        10,
        "stable_softmax([12345, 67890, 99999999]) = [0., 0., 1.]",
        "an answer's session",
        quoted.printed((12345.0, 67890.0, 99999999.0), "[0., 0., 1.]"),
    ),
    Claim(
        11,
        "numbers near zero are rounded to zero (underflow) and very large ones to infinity (overflow),"
        " and these are softmax's two problems",
        "an answer",
        plain.two_problems,
    ),
    Claim(
        12,
        "with large logits the trouble is training (exploding gradients, initialisation), not the softmax",
        "an answer",
        training.training_is_to_blame,
    ),
)
"""The claims, in the order in which they were collected."""


def evaluate(seed: int, method: Method = "certified", rows: int = ROWS) -> tuple[ClaimResult, ...]:
    """Settle every claim; the same arguments give the same results.

    Args:
        seed: decides the rows drawn.
        method: of computing the truth.
        rows: rows of each regime in each format.
    """
    evidence = gather(seed, method, rows)
    return tuple(_settled(claim, evidence) for claim in CLAIMS)


def _settled(claim: Claim, evidence: Evidence) -> ClaimResult:
    result = claim.settle(evidence)
    witnesses = tuple(witness for witness in result.witnesses if witness is not None)
    return ClaimResult(
        claim.id, claim.statement, claim.source, result.verdict, result.explanation, result.figures, witnesses
    )
