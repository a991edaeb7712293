"""Witnesses made small: the fewest and simplest entries that still show the same.

    small = shrink(witness, Subject.of(witness.cell, candidate, executor))
    print(emit_test(small, candidate))

A shrunk witness shows the same kind of defect, or keeps nine tenths of its score, when its row is called
alone; it names the same cell, and its origin says from how many entries it was shrunk. Reductions are a
pure function of the witness and of what the candidate returns. Of a whole run, one small witness stands
for many: `harness.witnesses.shrinking.bands`.
"""

from __future__ import annotations

from harness.witnesses.shrinking.bands import keep_small, shrink_all
from harness.witnesses.shrinking.emitted_tests import emit_test
from harness.witnesses.shrinking.reduction import Budget, Shows, origin_of, reduced
from harness.witnesses.shrinking.shrink_one import shrink, smallest

__all__ = [
    "Budget",
    "Shows",
    "emit_test",
    "keep_small",
    "origin_of",
    "reduced",
    "shrink",
    "shrink_all",
    "smallest",
]
