"""The exact results of fused rows: what Arb cannot refute, by mpmath and by the certified path alike."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from arb import contradictions_of, fused_rows
from log_rows import hard_rows

from reference.errors import RowFailure
from reference.formats import FORMATS, FloatFormat
from reference.fused import PLAIN, Fused, exact_product, fused_of
from reference.model import Truth
from reference.ops import OPS, SOFTMAX, Op, op_named, with_settings
from reference.row_kinds import RowKind
from tests.disagreements import disagreements

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


def refuted(x: np.ndarray, op: Op, fmt: FloatFormat, truth: Truth) -> list[str]:
    return contradictions_of(fused_rows(x, op.fused), truth, (op.plain or op).name)


@each_op
@each_setting
def test_arb_refutes_no_truth_of_hard_rows(fused: Fused, op: Op) -> None:
    asked = with_settings(op, fused)
    for fmt, out, n in ((F32, F32, 3), (F64, F64, 2), (BF16, F32, 5), (F16, F16, 8)):
        x = hard_rows(fmt, 2, n)
        slow, fast = asked.by_mpmath(x, out), asked.certified(x, out, 1)
        assert refuted(x, asked, out, slow) == []
        assert disagreements(x, fast, slow) == []


@pytest.mark.parametrize("op", ["log_softmax", "logsumexp"])
@pytest.mark.parametrize("fused", [Fused(ROOT), Fused(-0.3), Fused(1.7, -30.0), Fused(ROOT, -0.4)], ids=str)
def test_arb_refutes_no_logarithm_of_scaled_rows_that_cancel(fused: Fused, op: str) -> None:
    """Rows whose scaled logits are log-probabilities, and rows that one entry dominates."""
    asked, rng = with_settings(OPS[op], fused), np.random.default_rng(8)
    for fmt in (F32, F64, BF16):
        for n in (1, 2, 5):
            near, top = np.log(rng.dirichlet(np.ones(n), 4)), np.zeros((4, n))
            top[:, 1:] = -rng.uniform(20, 1200, (4, n - 1))
            aimed = np.concatenate([near, top, top - 700.0, near * np.ldexp(1.0, -40)])
            x = fmt.to_float64(fmt.from_float64(aimed / fused.scale))
            truth = asked.certified(x, fmt, 1)
            assert refuted(x, asked, fmt, truth) == []
            assert truth.fallbacks <= (fmt == F64) * truth.nearest.size // 8


FAR_SINKS = (
    -float(np.finfo(np.float32).max),
    -1e300,
    -(2.0**116),
    -(2.0**64),
    -(2.0**61),
    -(2.0**60),
    -1e17,
    1e30,
)


@each_op
@pytest.mark.parametrize("scale", [0.1, -0.3])
def test_arb_refutes_no_truth_beside_a_far_sink(scale: float, op: Op) -> None:
    """A kernel has the lowest number for a sink where there is none. It was counted as exp(0) once."""
    rng = np.random.default_rng(11)
    x = F32.to_float64(F32.from_float64(np.sign(scale) * rng.uniform(50, 70, (6, 3))))
    for sink in FAR_SINKS:
        asked = with_settings(op, Fused(scale, sink))
        for out in (F16, F32, F64):
            slow, fast = asked.by_mpmath(x, out), asked.certified(x, out, 1)
            assert refuted(x, asked, out, slow) == [], sink
            assert disagreements(x, fast, slow) == [], sink


@pytest.mark.parametrize("sink", [200.0, 249.0, 252.0, 301.0, 400.0, 743.0, 900.0, 20000.0])
def test_rows_beside_a_dominating_sink_fail_as_defined(sink: float) -> None:
    """The sums of exponentials, of which float64 holds none, are mpmath's."""
    x = np.array([[0.0, 1.0, -40.0]])
    op = with_settings(OPS["log_softmax"], Fused(sink=sink))
    truth = op.certified(x, F32, 1)
    for off in (0.0, 0.6, 0.8, -0.6, -0.8, 900.0, -900.0):
        y = F32.from_float64(truth.nearest + off)
        y[0, -1] = truth.nearest[0, -1]
        ratio = sum_of_exp(F32.to_float64(y)[0]) / sum_of_exp(truth.nearest[0])
        expected = (
            RowFailure.COLLAPSED if 2 * ratio < 1 else RowFailure.INFLATED if ratio > 2 else RowFailure.NONE
        )
        for judgement in (
            op.judge(F32.to_float64(y), truth),
            op.judge_certified(y, truth, 1),
            op.evaluate(x, y, F32, 1)[0],
        ):
            assert judgement.failure[0] == expected, (off, float(ratio))


def sum_of_exp(values: np.ndarray) -> mpmath.mpf:
    with mpmath.workprec(200):
        return mpmath.fsum(mpmath.exp(mpmath.mpf(v)) for v in values.tolist())


@each_op
def test_ordinary_scaled_rows_need_no_mpmath(op: Op) -> None:
    rng = np.random.default_rng(4)
    for fused in (Fused(ROOT), Fused(ROOT, 0.7), Fused(-0.3, mask=True), Fused(0.1, -40.0)):
        for fmt in (F16, F32, F64, BF16):
            x = fmt.to_float64(fmt.from_float64(rng.standard_normal((200, 16)) * 40))
            assert with_settings(op, fused).certified(x, fmt, 1).fallbacks == 0


def test_an_op_is_the_same_object_by_its_name_and_from_another_process() -> None:
    asked = with_settings(SOFTMAX, Fused(0.125, 0.0, mask=True))
    assert asked.name == "softmax(scale=0.125, sink=0.0, mask)"
    assert op_named(asked.name) is asked
    for op in (asked, SOFTMAX):
        assert pickle.loads(pickle.dumps(op)) is op  # noqa: S301 - our own
    assert with_settings(SOFTMAX, PLAIN) is SOFTMAX


@pytest.mark.parametrize("fused", [*SETTINGS, Fused(1e-30), Fused(-2.5e20, -1e300)], ids=str)
def test_settings_are_read_as_they_are_spelled(fused: Fused) -> None:
    assert fused_of(str(fused)) == fused


def test_a_row_of_masked_entries_has_a_result_beside_a_sink_and_none_without() -> None:
    x = np.full((1, 3), -np.inf)
    for name, result in (("softmax", 0.0), ("log_softmax", -np.inf), ("logsumexp", 0.7)):
        truth = op_named(f"{name}(scale=0.3, sink=0.7, mask)").certified(x, F64, 1)
        assert (truth.kinds == RowKind.MASKED).all()
        assert (truth.nearest == result).all()
        assert (truth.residual == 0).all()
        assert np.isnan(op_named(f"{name}(scale=0.3, mask)").certified(x, F64, 1).nearest).all()


@pytest.mark.parametrize("scale", [0.125, 3.0, ROOT, 2.0**-60])
def test_what_is_called_an_exact_product_is_one(scale: float) -> None:
    rng = np.random.default_rng(3)
    x = np.ldexp(rng.standard_normal(3000), rng.integers(-1074, 1023, 3000))
    significand, exponent = np.frexp(x[::2])
    x[::2] = np.ldexp(np.rint(significand * 2**20), exponent - 20)  # few bits
    product, exact = exact_product(scale, x)
    truly = [Fraction(scale) * Fraction(v) for v in x.tolist()]
    for found, known, is_exact in zip(product.tolist(), truly, exact.tolist(), strict=True):
        assert not is_exact or (math.isfinite(found) and Fraction(found) == known), found.hex()
    assert exact.mean() > {0.125: 0.9, 3.0: 0.3, ROOT: -1.0}.get(scale, 0.8)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", [F16, F32, F64], ids=str)
@each_setting
def test_certified_is_mpmath_in_many_rows(fused: Fused, fmt: FloatFormat) -> None:
    asked = with_settings(SOFTMAX, fused)
    for n in (1, 2, 3, 9, 33):
        x = hard_rows(fmt, 20, n, seed=7)
        assert disagreements(x, asked.certified(x, fmt, 1), asked.by_mpmath(x, fmt)) == []
