"""The exact results of fused rows: what Arb cannot refute, by mpmath and by the certified path alike."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from arb import contradictions_of
from log_rows import hard_rows

from reference.formats import FORMATS, FloatFormat
from reference.fused import Fused
from reference.model import RESIDUAL_TOLERANCE, Truth
from reference.ops import OPS, Op, with_settings

F16, F32, F64, BF16 = (FORMATS[name] for name in ("float16", "float32", "float64", "bfloat16"))
ROOT = 1 / math.sqrt(128)  # 53 bits: its products with 24 bits are no float64 numbers
SETTINGS = [
    Fused(0.125),
    Fused(ROOT),
    Fused(-0.3),
    Fused(sink=0.0),
    Fused(sink=-2.5),
    Fused(ROOT, 0.7),
    Fused(1.7, -30.0),
    Fused(-ROOT, 3.0, mask=True),
    Fused(mask=True),
]
each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)
each_setting = pytest.mark.parametrize("fused", SETTINGS, ids=str)


def exact_rows(x: np.ndarray, fused: Fused) -> list[list[float | Fraction]]:
    """s x with the sink at the end, by fractions; a masked entry stays masked, whatever the sign of s."""

    def product(v: float) -> float | Fraction:
        if fused.mask and v == -math.inf:
            return v
        return Fraction(fused.scale) * Fraction(v) if math.isfinite(v) else fused.scale * v

    end = [] if fused.sink is None else [fused.sink]
    return [[*map(product, row), *end] for row in x.tolist()]


def refuted(x: np.ndarray, op: Op, fmt: FloatFormat, truth: Truth) -> list[str]:
    return contradictions_of(exact_rows(x, op.fused), truth, (op.plain or op).name)


def disagreements(x: np.ndarray, a: Truth, b: Truth) -> list[str]:
    tolerance = RESIDUAL_TOLERANCE + np.where(np.isinf(b.nearest), 2.0**-52 * np.abs(b.residual), 0.0)
    same = (a.nearest == b.nearest) & (np.sign(a.residual) == np.sign(b.residual))
    same &= np.abs(a.residual - b.residual) <= tolerance
    same |= np.isnan(a.nearest) & np.isnan(b.nearest) & np.isnan(a.residual) & np.isnan(b.residual)
    lines = [f"kinds {a.kinds} and {b.kinds}"] if not np.array_equal(a.kinds, b.kinds) else []
    for i, j in np.argwhere(~same):
        pair = [f"{t.nearest[i, j].hex()} {t.residual[i, j]:+.17g}" for t in (a, b)]
        lines.append(f"row {i} {[v.hex() for v in x[i, :9]]}, {j}: {pair[0]} against {pair[1]}")
    return lines


@each_op
@each_setting
def test_arb_refutes_no_truth_of_hard_rows(fused: Fused, op: Op) -> None:
    asked = with_settings(op, fused)
    for fmt, out, n in ((F32, F32, 3), (F64, F64, 2), (BF16, F32, 5), (F16, F16, 8)):
        x = hard_rows(fmt, 2, n)
        slow, fast = asked.by_mpmath(x, out), asked.certified(x, out, 1)
        assert refuted(x, asked, out, slow) == []
        assert disagreements(x, fast, slow) == []
