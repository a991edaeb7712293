"""What a softmax is made of, seen from outside: by rows made for the purpose, never by its code.

`anatomy` asks about its parts, `orders` knows the orders in which sums are added, and `causes` holds what was
found against the rows that a tier refuses.
"""

from harness.explanation.anatomy import Anatomy, anatomy_of
from harness.explanation.cause import Cause
from harness.explanation.causes import Explanation, explanation_of
from harness.explanation.codes import CODES
from harness.explanation.declared import Declared, declared_of
from harness.explanation.parts import Part
from harness.explanation.questions import Questions

__all__ = [
    "CODES",
    "Anatomy",
    "Cause",
    "Declared",
    "Explanation",
    "Part",
    "Questions",
    "anatomy_of",
    "declared_of",
    "explanation_of",
]
