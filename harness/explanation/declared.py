"""What a candidate may declare of itself: the algorithm that its anatomy shows.

A declared algorithm is a claim, so each part is declared as it was seen or more loosely: a division that is
not seen counts as a product with a reciprocal, and exp is a fifth worse than the worst that was seen. The
claim is then held against rows of every regime, and none is printed that they refute.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from harness.explanation.anatomy import Anatomy
from harness.explanation.exponentials import curve_of
from harness.explanation.orders import Order
from harness.explanation.questions import Questions
from harness.explanation.violations import drawn_rows
from harness.measurement import Judged, Rows
from harness.subject.subject import Subject
from reference.bounds.summation import height
from reference.declaration import Algorithm, Argument, Declaration, Division, Summation
from reference.formats import FORMATS

__all__ = ["Declared", "declared_of"]

HEIGHTS: Final = (2, 3, 8, 17, 64, 100, 129, 200, 257, 1000, 4097, 70_001)
HELD: Final = (2, 3, 5, 9, 16, 23, 67, 128, 301, 1030)
POINTS: Final = 20_000
MARGIN: Final = 1.2
UNSEEN: Final = 1.0
"""The exp error that is declared, in ULP of the wider format, where a final rounding hides it."""


@dataclass(frozen=True)
class Declared:
    """What may be declared, or why nothing may.

    Attributes:
        declares: the value of `softmax.declares`; empty where the anatomy supports none.
        ratio: the worst algorithm ratio of the rows that it was held against.
        rows: how many they were.
        why: why there is none; empty where there is one.
    """

    declares: dict[str, Any]
    ratio: float = math.nan
    rows: int = 0
    why: str = ""

    def text(self) -> str:
        """Return it as Python that a user pastes beside the function."""
        algorithm = self.declares["algorithm"]
        lines = [f'        "{key}": {_literal(value)},' for key, value in algorithm.items()]
        return "\n".join(
            [
                f"# algorithm_ratio at most {self.ratio:.3g} over {self.rows} rows of every regime",
                "softmax.declares = {",
                f'    "argument": {_literal(self.declares["argument"])},',
                '    "algorithm": {',
                *lines,
                "    },",
                "}",
            ]
        )


@np.errstate(all="ignore")
def declared_of(questions: Questions, anatomy: Anatomy) -> Declared:
    """Return what the anatomy of a candidate supports."""
    subject = questions.subject
    algorithm = _algorithm(questions, anatomy)
    if isinstance(algorithm, str):
        return Declared({}, why=algorithm)
    ratio, rows = _ratio(subject, algorithm)
    if not ratio <= 1:
        why = f"its parts do not account for its errors: rows have an algorithm_ratio of up to {ratio:.3g}"
        return Declared({}, ratio, rows, why)
    blank = Algorithm("", algorithm.argument, 0.0, "sequential")
    inherited = ("argument", "constant")
    given = {
        key: value
        for key, value in asdict(algorithm).items()
        if key not in inherited and (key in ("exp_ulps", "summation") or value != getattr(blank, key))
    }
    return Declared({"argument": algorithm.argument, "algorithm": given}, ratio, rows)


def _algorithm(questions: Questions, anatomy: Anatomy) -> Algorithm | str:
    """Return the algorithm; a string says why there is none."""
    shift, exp, total = (anatomy.part(name) for name in ("shift", "exp", "sum"))
    if shift.state != "observed" or shift.facts["moved"] or shift.facts["left_out"]:
        return f"what is subtracted is not seen to be the maximum of all entries: {shift.text}"
    if exp.state != "observed" or anatomy.curve.scale is not None or anatomy.curve.least is not None:
        return f"exp is not seen to be an exponential: {exp.text}"
    if total.facts["not_once"]:
        return f"not every entry counts once in the sum: {total.text}"
    if anatomy.part("dependence").facts["on"]:
        return anatomy.part("dependence").text
    argument: Argument = "shifted"
    division: Division = "divide" if anatomy.division.way == "division" else "reciprocal"
    subject = questions.subject
    out = subject.out
    name = f"{subject.candidate.name}, as explain saw it"
    if anatomy.bits is None:
        return _wider(questions, anatomy, name) or _hidden(total.text)
    if anatomy.seen is None or (summation := _summation(anatomy, out.precision)) is None:
        return f"the order of additions is none that has a bound: {total.text}"
    kept = None if anatomy.bits == out.precision else anatomy.bits
    ulps = _ulps(questions)
    return Algorithm(name, argument, ulps, summation, kept, division, one_at_zero=True)


def _hidden(text: str) -> str:
    return f"neither the order of additions nor its significand is seen: {text}"


def _wider(questions: Questions, anatomy: Anatomy, name: str) -> Algorithm | None:
    """Return a softmax in a wider format, or with a wider sum, where outputs hide more; None of wide outputs.

    The order is not seen then; one by one has the largest bound.
    """
    out = questions.out
    division = anatomy.division
    inside = "float64" if out.storage_bits == 32 else "float32" if out.storage_bits <= 16 else None
    if inside is None:
        return None
    once = division.telling and division.way is None and division.wide >= 0.95 * division.telling
    if once:
        return Algorithm(
            name, "shifted", UNSEEN, "sequential", None, "reciprocal", arithmetic=inside, one_at_zero=True
        )
    way: Division = "divide" if division.way == "division" else "reciprocal"
    bits = FORMATS[inside].precision
    return Algorithm(name, "shifted", _ulps(questions), "sequential", bits, way, one_at_zero=True)


def _ulps(questions: Questions) -> float:
    """Return the exp error to declare, in tenths of a unit in the last place, from many arguments."""
    worst, _ = curve_of(questions, POINTS).worst
    return math.ceil(max(worst, 0.5) * MARGIN * 10) / 10


def _summation(anatomy: Anatomy, precision: int) -> Summation | None:
    """Return the tightest kind of sum that no tree seen is higher than; None where a tree fits none."""
    assert anatomy.seen is not None
    bits = anatomy.bits or precision
    seen = anatomy.seen.heights()
    if anatomy.seen.order is not None:
        seen = seen | {n: _height(anatomy.seen.order, n) for n in HEIGHTS}
    kinds: tuple[Summation, ...] = ("pairwise", "lanes", "sequential")
    for kind in kinds if anatomy.seen.order is not None else ("sequential",):
        bound = Algorithm("", "shifted", 1.0, kind, bits)
        if all(high <= height(bound, n) for n, high in seen.items()):
            return bound.summation
    return None


def _height(order: Order, length: int) -> int:
    """Return the most additions that a term goes through."""
    return int(order.total([0] * length, lambda a, b: max(a, b) + 1))


def _ratio(subject: Subject, algorithm: Algorithm) -> tuple[float, int]:
    """Return the worst ratio of errors to the bound of an algorithm, and the rows asked."""
    declaration = Declaration(algorithm.argument, algorithm=algorithm)
    worst, rows = 0.0, 0
    for length in HELD:
        x = drawn_rows(subject.format, length)
        outcome = subject.run(x)
        done = outcome.completed
        if outcome.outputs is None or not done.any():
            continue
        found = Judged(
            Rows.about(subject, x[done]), outcome.outputs[done], declaration
        ).figures.algorithm_ratio
        rows += int(done.sum())
        worst = max(worst, found[0] if found is not None else 0.0)
    return worst, rows


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
