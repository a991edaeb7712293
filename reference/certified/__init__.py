"""The certified fast path: the truth of `reference.oracle`, compiled.

Ziv's strategy (ACM TOMS 17, 1991) in three tiers, each with a proven bound: binary64 for formats
of precision up to 24 (`binary64`), double-double for float64 and for what the first left open
(`doubledouble`), mpmath for the rest. Results next to a power of two, which no precision settles,
are settled by analysis (`edges`). What is proven is that RN(r), the sign of every residual and its
size to `RESIDUAL_TOLERANCE` are those of the exact r.
"""

from __future__ import annotations

from reference.certified.evaluation import evaluate
from reference.certified.tiers import truth_certified
from reference.certified.verdict import judge_certified
from reference.certified.warming import prepare

__all__ = ["evaluate", "judge_certified", "prepare", "truth_certified"]
