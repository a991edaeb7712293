"""Common tests of softmax: the protocols of well-known projects, emulated.

Each has its own data and its own tolerance. What it compares with is better than what the project has: the
correctly rounded result, so that nothing is missed for want of a good reference. A candidate that raises,
or returns another shape, is noticed by all of them. A protocol says nothing of a format that it is not
meant for, nor of another op. Data is drawn from seed 0, as such tests do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.planted import COMMON, WIDE
from harness.subject.candidates import Candidate
from harness.subject.execution.calls import page_aligned_copy, undisturbed
from reference.formats import FORMATS, FloatFormat
from reference.ops import SOFTMAX

__all__ = ["PROTOCOLS", "Protocol", "Sample"]

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One array of a format, along an axis, and its correctly rounded softmax."""

    x: Array
    axis: int
    expected: Array


@dataclass(frozen=True)
class Protocol:
    """A way to test a softmax.

    Attributes:
        name: a short name, the head of its column.
        title: data and tolerance.
        seen: the project that uses it.
        formats: those that it speaks of.
        samples: its data in a format.
        accepts: tells whether outputs (in the format) of a sample are accepted.
    """

    name: str
    title: str
    seen: str
    formats: tuple[str, ...]
    samples: Callable[[FloatFormat], Sequence[Sample]]
    accepts: Callable[[FloatFormat, Sample, Array], bool]

    def notices(self, candidate: Candidate, fmt: FloatFormat) -> bool | None:
        """Return whether it notices a defect; None where it does not cover the format or the op."""
        if fmt.name not in self.formats or candidate.op is not SOFTMAX:
            return None
        return any(not self._passes(candidate, fmt, sample) for sample in self._taken(candidate, fmt))

    def _taken(self, candidate: Candidate, fmt: FloatFormat) -> Iterator[Sample]:
        """Yield the samples that the candidate can be called with: all, or those along the last axis."""
        for sample in self.samples(fmt):
            last = sample.axis in (-1, sample.x.ndim - 1)
            if last or candidate.axis_parameter is not None:
                yield sample

    def _passes(self, candidate: Candidate, fmt: FloatFormat, sample: Sample) -> bool:
        flat = sample.x.reshape(-1, sample.x.shape[-1])
        x = page_aligned_copy(np.ascontiguousarray(flat)).reshape(sample.x.shape)
        with undisturbed(), np.errstate(all="ignore"):
            try:
                y = np.asarray(candidate(x, sample.axis))
            except Exception:  # noqa: BLE001 - any failure is noticed
                return False
        if y.shape != x.shape or y.dtype != x.dtype:
            return False
        with np.errstate(all="ignore"):
            return self.accepts(fmt, sample, y)


# Data --------------------------------------------------------------------------------------


def _sample(fmt: FloatFormat, values: Any, axis: int = -1) -> Sample:
    from reference import correctly_rounded

    x = fmt.from_float64(np.asarray(values, dtype=np.float64))
    rows = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    expected = np.moveaxis(correctly_rounded(rows, format=fmt), -1, axis)
    return Sample(x, axis, expected)


def _draws() -> np.random.Generator:
    return np.random.default_rng(0)


@cache
def _standard_normals(fmt: FloatFormat) -> tuple[Sample, ...]:
    return (_sample(fmt, _draws().standard_normal((1823, 781))),)


@cache
def _small_shapes(fmt: FloatFormat) -> tuple[Sample, ...]:
    """Return (5,), (5, 5) along either axis and (5, 10, 5), in [-9, 9): `sample_inputs_softmax_variant`."""
    draws = _draws()
    cases = (((5,), 0), ((5, 5), 0), ((5, 5), 1), ((5, 5), -1), ((5, 10, 5), 2))
    return tuple(_sample(fmt, draws.uniform(-9, 9, shape), axis) for shape, axis in cases)


@cache
def _node_tests(fmt: FloatFormat) -> tuple[Sample, ...]:
    """Return the example, the large number, and |randn(3, 4, 5)| along each axis."""
    cube = np.abs(_draws().standard_normal((3, 4, 5)))
    large = [[0, 1, 2, 3], [10_000, 10_001, 10_002, 10_003]]
    along = [_sample(fmt, cube, axis) for axis in (0, 1, 2, -1)]
    return (_sample(fmt, [[-1, 0, 1]]), _sample(fmt, large), *along)


@cache
def _within_ten(fmt: FloatFormat) -> tuple[Sample, ...]:
    return (_sample(fmt, _draws().uniform(-10, 10, (4, 6))),)


@cache
def _scores(fmt: FloatFormat) -> tuple[Sample, ...]:
    """Return what a row of q k / sqrt(d) is for normal q and k: about standard normal, at two lengths."""
    draws = _draws()
    return tuple(_sample(fmt, draws.standard_normal((32, length))) for length in (128, 1024))


@cache
def _benchmark(fmt: FloatFormat) -> tuple[Sample, ...]:
    return (_sample(fmt, _draws().standard_normal((16, 16_384))),)


# Tolerances --------------------------------------------------------------------------------


def _close(y: Floats, expected: Floats, rtol: float, atol: float) -> bool:
    return bool((np.abs(y - expected) <= atol + rtol * np.abs(expected)).all())


def _within(rtol: float, atol: float) -> Callable[[FloatFormat, Sample, Array], bool]:
    def accepts(fmt: FloatFormat, sample: Sample, y: Array) -> bool:
        return _close(fmt.to_float64(y), fmt.to_float64(sample.expected), rtol, atol)

    return accepts


_BY_DTYPE: Final = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
}
"""rtol and atol of `torch.testing.assert_close` (PyTorch 2.13) where none are given."""


def _by_dtype(fmt: FloatFormat, sample: Sample, y: Array) -> bool:
    return _within(*_BY_DTYPE[fmt.name])(fmt, sample, y)


def _three_n_and_three(fmt: FloatFormat, sample: Sample, y: Array) -> bool:
    """At most 3 n + 3 steps from one number of the format to the next."""
    if np.isnan(fmt.to_float64(y)).any():
        return False
    steps = fmt.ordinals(fmt.to_bits(y)) - fmt.ordinals(fmt.to_bits(sample.expected))
    return bool((np.abs(steps) <= 3 * sample.x.shape[sample.axis] + 3).all())


def _twice_the_baseline(fmt: FloatFormat, sample: Sample, y: Array) -> bool:
    exact = fmt.to_float64(sample.x)
    exact = np.exp(exact - exact.max(axis=-1, keepdims=True))
    exact /= exact.sum(axis=-1, keepdims=True)
    allowed = 2 * np.abs(_baseline(fmt, sample.x) - exact).max()
    return bool(np.abs(fmt.to_float64(y) - exact).max() <= allowed)


def _baseline(fmt: FloatFormat, x: Array) -> Floats:
    """Return the softmax in the format's own precision: difference, exp, sum and quotient rounded to it."""

    def rounded(values: Any) -> Floats:
        return fmt.to_float64(fmt.from_float64(np.asarray(values, dtype=np.float64)))

    values = fmt.to_float64(x)
    e = rounded(np.exp(rounded(values - values.max(axis=-1, keepdims=True))))
    return rounded(e / rounded(e.sum(axis=-1, keepdims=True)))


PROTOCOLS: Final = (
    Protocol(
        "allclose",
        "numpy.allclose by default (rtol 1e-5, atol 1e-8) on 1823 x 781 standard normals",
        "the Triton tutorial on fused softmax checks itself so, by torch.allclose, on this shape",
        WIDE,
        _standard_normals,
        _within(1e-5, 1e-8),
    ),
    Protocol(
        "assert_close",
        "torch.testing.assert_close by default, by dtype, on (5,), (5, 5) and (5, 10, 5) in [-9, 9)",
        "PyTorch's OpInfo: sample_inputs_softmax_variant, make_tensor, _DTYPE_PRECISIONS",
        COMMON,
        _small_shapes,
        _by_dtype,
    ),
    Protocol(
        "node tests",
        "rtol 1e-3, atol 1e-7 on (-1, 0, 1), (10000, ..., 10003) and |normal| of 3 x 4 x 5",
        "ONNX's backend tests of Softmax",
        ("float16", *WIDE),
        _node_tests,
        _within(1e-3, 1e-7),
    ),
    Protocol(
        "3n + 3 ULP",
        "at most 3 n + 3 steps of the format on 4 x 6 inputs within +-10",
        "WebNN's conformance tests of softmax",
        ("float16", "float32"),
        _within_ten,
        _three_n_and_three,
    ),
    Protocol(
        "2 x baseline",
        "greatest error at most twice that of the same precision's plain form, standard normal scores",
        "FlashAttention's tests of its outputs",
        COMMON,
        _scores,
        _twice_the_baseline,
    ),
    Protocol(
        "atol 1e-2",
        "rtol and atol 1e-2 on 16 x 16384 standard normals",
        "KernelBench and its like, for generated kernels",
        tuple(FORMATS),
        _benchmark,
        _within(1e-2, 1e-2),
    ),
)
"""The protocols, from the strictest tolerance to the loosest."""
