"""The regimes show the ways in which softmax goes wrong, wherever a defect's constant lies.

Each defect is a mechanism with a constant (a vector width, a block size, a clamp, a stand-in
for -inf), carried out in float64 but with exp in the range of the format, so that nothing is
judged but what the rows make visible. A defect is visible in a row where its result is
nonfinite or off by a twentieth although the sound form, carried out alike, is in order.
"""

from itertools import islice

import numpy as np
import pytest

from reference.formats import FORMATS
from reference.row_kinds import RowKind, row_kinds
from strategies.regimes import REGIMES

LENGTHS = (1, 2, 7, 17, 65, 127, 513)
ROWS = 12
FORMAT_NAMES = ("float16", "float32", "bfloat16")


def exp_in(fmt):
    """The exp of a format, but for its rounding: beyond Omega infinite, below eta/2 zero."""

    def exp(t):
        e = np.exp(t)
        return np.where(
            e > float(fmt.largest), np.inf, np.where(e < float(fmt.smallest_subnormal) / 2, 0.0, e)
        )

    return exp


def top(x):
    return x.max(axis=1, keepdims=True)


def total(e):
    return e.sum(axis=1, keepdims=True)


def shares(e):
    return e / total(e)


def sound(x, exp):
    return shares(exp(x - top(x)))


def tailless(x, width):
    """The columns that a loop over whole vectors reaches."""
    return x[:, : x.shape[1] // width * width] if x.shape[1] >= width else x


def padded(x, exp, width):
    """The row filled up to whole vectors with zeros that count as logits."""
    missing = -x.shape[1] % width
    return sound(np.pad(x, ((0, 0), (0, missing))), exp)[:, : x.shape[1]]


def blockwise(x, exp, size, merge):
    m, s = np.full((len(x), 1), -np.inf), np.zeros((len(x), 1))
    for start in range(0, x.shape[1], size):
        block = x[:, start : start + size]
        new = np.maximum(m, top(block))
        s = merge(exp, s, m, new, block)
        m = new
    return exp(x - m) / s


def no_rescale(exp, s, m, new, block):
    return s + total(exp(block - new))


def inverted_rescale(exp, s, m, new, block):
    return s * exp(new - m) + total(exp(block - new))


def block_by_its_own_maximum(exp, s, m, new, block):
    return s * exp(m - new) + total(exp(block - top(block)))


def masked_block_poisons(exp, s, m, new, block):
    return s * exp(m - new) + total(exp(block - top(block))) * exp(top(block) - new)


WIDTHS = (2, 4, 8, 32, 100)
BLOCKS = (3, 16, 50, 64, 256)
GAPS = (4, 6, 8)

DEFECTS = {
    "no shift": [lambda x, exp: shares(exp(x))],
    "maximum starts at zero": [lambda x, exp: shares(exp(x - np.maximum(top(x), 0.0)))],
    "first entry as maximum": [lambda x, exp: shares(exp(x - x[:, :1]))],
    "last entry as maximum": [lambda x, exp: shares(exp(x - x[:, -1:]))],
    "maximum of the whole batch": [lambda x, exp: shares(exp(x - x.max()))],
    "minimum as maximum": [lambda x, exp: shares(exp(x - x.min(axis=1, keepdims=True)))],
    "maximum without the tail": [
        lambda x, exp, w=w: shares(exp(x - top(tailless(x, w)))) for w in WIDTHS if w < 64
    ],
    "sum without the tail": [
        lambda x, exp, w=w: exp(x - top(x)) / total(tailless(exp(x - top(x)), w)) for w in WIDTHS
    ],
    "sum without the last entry": [lambda x, exp: exp(x - top(x)) / total(exp(x - top(x))[:, :-1])],
    "sum without the first entry": [lambda x, exp: exp(x - top(x)) / total(exp(x - top(x))[:, 1:])],
    "padding counted": [lambda x, exp, w=w: padded(x, exp, w) for w in WIDTHS],
    "blocks without a rescale": [lambda x, exp, b=b: blockwise(x, exp, b, no_rescale) for b in BLOCKS],
    "blocks with the inverted rescale": [
        lambda x, exp, b=b: blockwise(x, exp, b, inverted_rescale) for b in BLOCKS
    ],
    "blocks merged unscaled": [
        lambda x, exp, b=b: blockwise(x, exp, b, block_by_its_own_maximum) for b in BLOCKS
    ],
    "masked block poisons the merge": [
        lambda x, exp, b=b: blockwise(x, exp, b, masked_block_poisons) for b in BLOCKS
    ],
    "gaps clamped": [lambda x, exp, c=c: shares(exp(np.maximum(x - top(x), -c))) for c in GAPS],
    "logits clamped": [lambda x, exp, c=c: sound(np.clip(x, -c, c), exp) for c in (5, 20, 50, 88, 1e3, 1e4)],
    "finite stand-in for -inf": [
        lambda x, exp, c=c: sound(np.where(x == -np.inf, -c, x), exp) for c in (20, 100, 1e3, 1e4, 3e4, 65504)
    ],
    "maximum starts at a finite stand-in": [
        lambda x, exp, c=c: shares(exp(x - np.maximum(top(x), -c))) for c in (20, 100, 1e3, 1e4, 3e4)
    ],
    "constant in the denominator": [
        lambda x, exp, c=c: exp(x) / (total(exp(x)) + c) for c in (1e-2, 1e-4, 1e-6)
    ],
    "uniform": [lambda x, _: np.full_like(x, 1 / x.shape[1])],
    "one-hot": [lambda x, _: (x == top(x)) / total(x == top(x))],
    "nothing": [lambda x, _: np.zeros_like(x)],
    "reversed": [lambda x, exp: sound(x, exp)[:, ::-1]],
}


@pytest.fixture(scope="module", params=FORMAT_NAMES)
def drawn(request):
    """Every regime's finite and masked rows, at every length, and the sound form's results."""
    fmt = FORMATS[request.param]
    found = [
        fmt.to_float64(regime.rows(fmt, ROWS, length, seed=0, batch=0))
        for regime in REGIMES.values()
        for length in LENGTHS
        if regime.supports(fmt, length) and not regime.policy
    ]
    assert all((row_kinds(x) <= RowKind.MASKED).all() for x in found)
    with np.errstate(all="ignore"):
        return fmt, [(x, sound(x, exp_in(fmt))) for x in found]


def visible(x, expected, defect, exp, smallest):
    with np.errstate(all="ignore"):
        got = defect(x, exp)
        off = ~(np.abs(got - expected) <= np.maximum(expected / 20, smallest))
    return bool(off.any())


@pytest.mark.parametrize("mechanism", DEFECTS)
def test_a_defect_is_visible_in_several_cells_whatever_its_constant(drawn, mechanism):
    fmt, found = drawn
    exp, smallest = exp_in(fmt), 2 * float(fmt.smallest_subnormal)
    for which, defect in enumerate(DEFECTS[mechanism]):
        showing = (n for n, (x, y) in enumerate(found) if visible(x, y, defect, exp, smallest))
        several = list(islice(showing, 4))
        assert len(several) == 4, (mechanism, which, fmt.name, several)


def test_the_sound_form_is_in_order_on_all_of_them(drawn):
    _, found = drawn
    for _, y in found:
        assert np.isfinite(y).all()
        np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-12)
