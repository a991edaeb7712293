"""The anatomy of a softmax: shift, exp, sum, divide, output and dependence, each by rows made for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.explanation.exponentials import ZEROS, Curve, Division, curve_of, division_of
from harness.explanation.orders import clades, drawn, joins
from harness.explanation.parts import Part, State
from harness.explanation.questions import Questions
from harness.explanation.sums import (
    LONG_LENGTHS,
    SHORT_LENGTHS,
    Count,
    Seen,
    accumulator,
    counted,
    order_of,
)

__all__ = ["SHIFT_LENGTHS", "Anatomy", "anatomy_of", "left_out_of_the_maximum"]

Floats = NDArray[np.float64]

OFFSETS: Final = (0.0, 4.0, -4.0, 64.0, -64.0, 128.0, -192.0, 1024.0, -1024.0, 16384.0, -16384.0)
SHIFT_LENGTHS: Final = (2, 3, 5, 8, 16, 17, 31, 64, 100, 130, 1030)
LONGEST_DRAWN: Final = 256
DRAWN: Final = 64
"""The length of the tree that goes into the document."""
LONGEST_OF_SLOW: Final = 4097
"""The longest rows whose entries a slow candidate is asked to count."""
SHOWN: Final = 6
"""Lengths named one by one."""
NOT_THE_MAXIMUM: Final = "what is subtracted is not the maximum of two entries"
UNEQUAL: Final = "not every entry counts once in the sum"
DIVIDED: Final = tuple(zeros + 1 for zeros in ZEROS)
POINTS: Final = 160
"""Of the error curve that goes into the document."""


@dataclass(frozen=True)
class Anatomy:
    """What a candidate is made of in a format.

    Attributes:
        parts: one each of shift, exp, sum, divide, output and dependence.
        counts, seen, bits: of the sum: how often each place counts, the order of additions, the significand.
        curve, division: of exp, and of the division.
        rows: all that were asked.
    """

    parts: tuple[Part, ...]
    counts: tuple[Count, ...]
    bits: int | None
    seen: Seen | None
    curve: Curve
    division: Division
    rows: int

    def part(self, name: str) -> Part:
        """Return a part by its name."""
        return next(part for part in self.parts if part.name == name)

    def drawing(self, length: int) -> str | None:
        """Return the order of additions of rows of a length, drawn; None where it is not known."""
        if self.seen is None:
            return None
        tree = self.seen.trees.get(length)
        if tree is None and self.seen.order is not None and length <= LONGEST_DRAWN:
            tree = clades(self.seen.order, length)
        return None if tree is None else drawn(tree, length)

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {"rows": self.rows, "parts": [part.document() for part in self.parts]}


@np.errstate(all="ignore")
def anatomy_of(questions: Questions, length: int | None = None) -> Anatomy:
    """Ask a candidate what it is made of; at a length of the user's own too, where one is given."""
    extra = () if length is None or length in SHORT_LENGTHS else (length,)
    shift = _shift(questions)
    before = questions.rows
    curve = curve_of(questions)
    epsilon = _epsilon(questions)
    blind = _blind(questions, shift, curve, epsilon)
    exp = _exp(curve, questions.rows - before) if blind != NOT_THE_MAXIMUM else _unseen("exp", blind)
    before = questions.rows
    long = tuple(n for n in LONG_LENGTHS if n <= LONGEST_OF_SLOW or not questions.is_slow)
    counts = counted(questions, (*SHORT_LENGTHS, *long, *(n for n in extra if n not in long)))
    bits = accumulator(questions) if blind is None else None
    more = [n for n in (*extra, *([length] if length else ())) if 2 <= n <= 256]
    seen = order_of(questions, bits, more) if bits is not None and not _uneven(counts) else None
    total = _sum(questions, counts, (bits, blind), seen, questions.rows - before)
    before = questions.rows
    division = division_of(questions, curve)
    asked = questions.rows - before
    odd = any(c.odd.size for c in counts if c.length in DIVIDED)
    unseen = UNEQUAL if odd else NOT_THE_MAXIMUM if blind == NOT_THE_MAXIMUM else None
    divide = _divide(questions, division, epsilon, asked) if unseen is None else _unseen("divide", unseen)
    output = _output(questions, division, curve, asked + len(curve.arguments))
    dependence = _dependence(questions)
    parts = (shift, exp, total, divide, output, dependence)
    return Anatomy(parts, counts, bits, seen, curve, division, questions.rows)


def _blind(questions: Questions, shift: Part, curve: Curve, epsilon: float) -> str | None:
    """Return why rows do not ask what they are meant to ask of the sum; None where they do.

    They need the exponentials 1, a half of the last place of 1, and 0.
    """
    if shift.state != "observed" or shift.facts["moved"] or 2 in shift.facts["left_out"]:
        return NOT_THE_MAXIMUM
    if curve.least is not None:
        return "no exponential is 0"
    if curve.scale is not None:
        return "the exponentials are not powers of e"
    if _adds(questions, epsilon):
        return "something is added to the sum"
    term = questions.logit(0.75 * 2.0**-questions.out.precision)
    y = questions.ask(np.asarray([[0.0, term]]))[0]
    if not abs(y[1] / (0.75 * 2.0**-questions.out.precision) - 1) < 1 / 16:
        return "an exponential below the last place of 1 is off by more than a sixteenth"
    return None


def _unseen(part: str, why: str) -> Part:
    return Part(part, "not visible", why, 0)


# Shift -------------------------------------------------------------------------------------


def _shift(questions: Questions) -> Part:
    before = questions.rows
    left_out = left_out_of_the_maximum(questions, SHIFT_LENGTHS)
    base = np.asarray([0.0, -1.0, -2.0, -4.0])
    rows = np.asarray([base + c for c in OFFSETS])
    kept = [i for i, row in enumerate(rows) if (questions.held(row) == row).all()]
    y = questions.ask(rows[kept])
    offsets = [OFFSETS[i] for i in kept]
    moved = [c for c, row in zip(offsets, y, strict=True) if not np.array_equal(row, y[0])]
    asked = questions.rows - before
    facts = {"offsets": offsets, "moved": moved, "left_out": left_out}
    if np.isnan(y[0]).any():
        return Part(
            "shift", "contradictory", "outputs of the row (0, -1, -2, -4) are no numbers", asked, facts
        )
    if (np.diff(y[0]) > 0).any() or y[0][0] == y[0][-1]:
        return Part("shift", "contradictory", "outputs of the row (0, -1, -2, -4) do not fall", asked, facts)
    if moved and left_out:
        text = "not the maximum of the row: outputs change with a common offset of " + _listed(moved)
        return Part("shift", "observed", text, asked, facts)
    if moved:
        text = "outputs change with a common offset of " + _listed(moved)
        return Part("shift", "observed", text, asked, facts)
    if left_out:
        named = _listed([f"{places[-1]} of {n}" for n, places in left_out.items()])
        return Part("shift", "observed", f"the maximum leaves out places: {named}", asked, facts)
    text = f"the maximum of all entries: {len(offsets)} common offsets change no bit"
    return Part("shift", "observed", text, asked, facts)


def left_out_of_the_maximum(questions: Questions, lengths: Iterable[int]) -> dict[int, list[int]]:
    """Return the places, by length, at which an entry far above the others is not the maximum subtracted."""
    found = {}
    for length in lengths:
        x = np.zeros((length, length))
        np.fill_diagonal(x, -questions.off)
        y = questions.ask(x)
        if (places := np.flatnonzero(_overflowing(y))).size:
            found[length] = places.tolist()
    return found


def _overflowing(y: Floats) -> NDArray[np.bool_]:
    """Tell of each row whether its large entry, number i of row i, was subtracted from none.

    Its exponential is infinite then. Where it counts in the sum, its own output is NaN; where it does not,
    its output is infinite and the others are sound. One that is in the maximum and not in the sum is
    infinite too, but its exponential is 1, and those of the others are 0.
    """
    own = y.diagonal()
    beside = np.where(np.eye(len(y), dtype=bool), 0, np.nan_to_num(y, nan=0.0, posinf=0.0)).max(axis=1)
    return np.asarray(np.isnan(own) | (np.isinf(own) & (beside > 0)))


# Exp ---------------------------------------------------------------------------------------


def _exp(curve: Curve, rows: int) -> Part:
    if not curve.exact.any():
        why = "no output shows an exponential alone: the sum never rounds to 1"
        return Part("exp", "not visible", why, rows)
    worst, at = curve.worst
    shown = np.unique(np.linspace(0, len(curve.arguments) - 1, POINTS, dtype=int))
    facts = {
        "worst_ulp": worst if math.isfinite(worst) else "inf",
        "worst_at": at,
        "exact_arguments": int(curve.exact.sum()),
        "last_nonzero": curve.last,
        "scale": curve.scale,
        "least": curve.least,
        "falls": curve.falls,
        "curve": [
            [float(curve.arguments[i]), float(curve.errors[i]) if np.isfinite(curve.errors[i]) else None]
            for i in shown
        ],
    }
    below = (
        f"0 below {curve.last:.6g}"
        if curve.least is None
        else f"that of {math.log(curve.least):.4g} at all arguments below it"
    )
    base = "" if curve.scale is None else f"powers of e^{curve.scale:.6g} and not of e; "
    text = (
        f"{base}worst of {facts['exact_arguments']} arguments {worst:.3g} ULP at {at:.6g}; {below};"
        f" {'monotone' if not curve.falls else f'not monotone at {curve.falls} steps'}"
    )
    return Part("exp", "observed", text, rows, facts)


# Sum ---------------------------------------------------------------------------------------


def _sum(
    questions: Questions,
    counts: Sequence[Count],
    added: tuple[int | None, str | None],
    seen: Seen | None,
    rows: int,
) -> Part:
    bits, blind = added
    odd = {c.length: c.odd.tolist() for c in counts if c.odd.size}
    times = {c.length: c.times[np.isin(c.places, c.odd)].tolist() for c in counts if c.odd.size}
    untold = [c.length for c in counts if np.isnan(c.times).any()]
    facts: dict[str, Any] = {"not_once": odd, "times": times, "untold": untold, "accumulator_bits": bits}
    said = [_said_of_counts(counts, odd, times, untold)]
    if blind is not None:
        said.append(f"neither in how many bits nor in what order shows, as {blind}")
    elif bits is None:
        p = questions.out.precision
        said.append(
            f"added in more than {p} bits, so neither how many nor the order shows in {p}-bit outputs"
        )
    else:
        said.append(f"added in {bits} bits")
        if _uneven(counts):
            said.append("the order is not read off where entries do not count once")
        elif seen is None:
            said.append("the order of additions is no tree")
    if seen is not None:
        name = seen.order.name if seen.order else "in an order that has no name here"
        heights = seen.heights()
        facts |= {
            "order": seen.order.name if seen.order else None,
            "order_agreed": [seen.agreed, seen.asked],
            "heights": heights,
            "joins": joins(seen.trees[DRAWN], DRAWN),
            "trees": {n: drawn(tree, n) for n, tree in seen.trees.items() if n <= 64},
        }
        said.append(f"{name} (height {heights[max(heights)]} at {max(heights)} entries)")
        if seen.order:
            said.append(
                f"exactly so at {len(seen.trees)} lengths, and in {seen.agreed} of {seen.asked}"
                " questions on longer rows"
            )
    if blind is not None and not odd and untold:
        return Part("sum", "not visible", "; ".join(said), rows, facts)
    state: State = (
        "contradictory" if bits is not None and seen is None and not _uneven(counts) else "observed"
    )
    return Part("sum", state, "; ".join(said), rows, facts)


def _uneven(counts: Sequence[Count]) -> bool:
    """Tell whether places of rows whose trees are read off are not counted once."""
    return any(c.odd.size for c in counts if c.length <= LONGEST_DRAWN)


def _said_of_counts(
    counts: Sequence[Count], odd: dict[int, list[int]], times: dict[int, list[float]], untold: list[int]
) -> str:
    if odd:
        shown = [f"{places[-1]} of {n} ({times[n][-1]:g} times)" for n, places in odd.items()]
        return f"not every entry counts once: places {_listed(shown)}"
    if untold:
        return f"how often entries count cannot be told at {len(untold)} lengths"
    return f"every entry counts once, at {len(counts)} lengths to {max(c.length for c in counts)}"


# Division and output -----------------------------------------------------------------------


def _epsilon(questions: Questions) -> float:
    """Return what a lone entry says is added to the sum of 1; 0 where nothing shows."""
    lone = np.full((1, 3), questions.off)
    lone[0, 0] = 0
    y = questions.ask(lone)[0]
    return float(1 / y[0] - 1) if 0 < y[0] < 1 and (y[1:] == 0).all() else 0.0


def _adds(questions: Questions, epsilon: float) -> bool:
    """Tell whether that is more than roundings of 1."""
    return epsilon > 2.0 ** (2 - questions.out.precision)


def _divide(questions: Questions, division: Division, epsilon: float, rows: int) -> Part:
    facts = {
        "telling": division.telling,
        "division": division.division,
        "reciprocal": division.reciprocal,
        "way": division.way,
        "epsilon": epsilon,
    }
    if _adds(questions, epsilon):
        text = f"by the sum and about {epsilon:.3g}: a lone entry comes out as {1 / (1 + epsilon):.9g}"
        return Part("divide", "observed", text, rows + 1, facts)
    if not division.telling:
        why = "no exponential is known exactly, so no row tells a division from a reciprocal"
        return Part("divide", "not visible", why, rows, facts)
    counted = f"of {division.telling} rows that tell them apart"
    if division.way == "division":
        return Part("divide", "observed", f"by the sum ({division.division} {counted})", rows, facts)
    if division.way == "reciprocal":
        text = f"a product with 1 / sum ({division.reciprocal} {counted})"
        return Part("divide", "observed", text, rows, facts)
    text = (
        f"neither a division ({division.division}) nor a product with 1 / sum ({division.reciprocal})"
        f" of exponentials rounded to {questions.out}, {counted}"
    )
    return Part("divide", "contradictory", text, rows, facts)


def _output(questions: Questions, division: Division, curve: Curve, rows: int) -> Part:
    subnormal = curve.exact & (curve.values < float(questions.out.smallest_normal))
    last = math.exp(curve.last) if curve.last > questions.off * 4 else 0.0
    reaches = last < float(questions.out.smallest_normal)
    once = division.telling and division.way is None and division.wide >= 0.95 * division.telling
    facts = {
        "subnormal": int((curve.values[subnormal] > 0).sum()),
        "once": division.wide,
        "subnormals_kept": reaches,
        "rounded_once": bool(once),
    }
    said = [
        "numbers below the normal range are kept"
        if reaches
        else "no number below the normal range is returned"
    ]
    if once:
        said.append(f"rounded once, from a wider format ({division.wide} of {division.telling} rows)")
    elif division.way:
        said.append(f"exponentials are rounded to {questions.out} before the division")
    return Part("output", "observed", "; ".join(said), rows, facts)


# Dependence --------------------------------------------------------------------------------


def _dependence(questions: Questions, seed: int = 0) -> Part:
    """Ask rows alone, in a batch, in another order, and once more."""
    before = questions.rows
    generator = np.random.default_rng(seed)
    on: list[str] = []
    for length in (5, 64, 200):
        x = generator.normal(0, 3, (48, length))
        y = questions.ask(x)
        if not np.array_equal(questions.ask(x), y, equal_nan=True):
            on.append("earlier calls or chance")
            break
        alone = np.concatenate([questions.ask(x[i : i + 1]) for i in range(4)])
        if not np.array_equal(alone, y[:4], equal_nan=True):
            on.append("the size of the batch")
        if not np.array_equal(questions.ask(x[::-1])[::-1], y, equal_nan=True):
            on.append("the neighbours or the place in the batch")
    on = list(dict.fromkeys(on))
    text = (
        f"a row's bits depend on {_listed(on)}"
        if on
        else "on the row alone: the same bits again, alone, and among others"
    )
    return Part("dependence", "observed", text, questions.rows - before, {"on": on})


def _listed(items: Sequence[Any]) -> str:
    shown = [f"{item:g}" if isinstance(item, float) else str(item) for item in items[:SHOWN]]
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(shown) + more
