"""What the built-ins share: rows along any axis, and the accuracy of NumPy's and ml_dtypes' steps.

Every array operation of a built-in rounds to the format of its input, as NumPy and ml_dtypes
do it. Two of their operations are wider inside:

* exp in float16, bfloat16 and the 8-bit formats is computed in binary32 and rounded once more; exp(0) is
  exactly 1 in all formats;
* NumPy's sum of a contiguous float16 row runs in binary32, pairwise, and is rounded at the end.

NumPy's sums are pairwise in blocks (height at most ceil(log2 n) + 24); those of ml_dtypes run from
first to last and round every step, so that a sum of ones stands still at 256 in bfloat16,
at 8 in float8_e5m2 and at 16 in float8_e4m3fn. Both add up each row of a contiguous array in the
same order, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates.candidate import Candidate
from reference.declaration import Algorithm, Argument, Declaration, Division, Summation
from reference.formats import FORMATS, FloatFormat, format_of
from reference.ops import SOFTMAX, Op

__all__ = ["along_axis", "arrays", "built_in", "exp_ulps", "logarithm", "lowest", "per_format", "summed"]

Array = NDArray[Any]
RowFunction = Callable[[Array], Array]

_EXP_ULPS: Final[Mapping[str, float]] = MappingProxyType(
    {
        # NumPy's AVX exp states 2.52 for float32 and 0.52 for float64; glibc's, used elsewhere, stay below 1.
        "float32": 2.6,
        "float64": 1.0,
        # Intel's own half-precision exp may take the place of binary32; measured otherwise: 0.5003.
        "float16": 1.0,
    }
)


def exp_ulps(fmt: FloatFormat) -> float:
    """Return the most that exp of NumPy, or of ml_dtypes, is wrong, in ULP of the format."""
    if fmt.name in _EXP_ULPS:
        return _EXP_ULPS[fmt.name]
    # ml_dtypes: binary32 with at most its own error, then one rounding: 1/2, and a doubled edge.
    return 0.5 + _EXP_ULPS["float32"] * 2.0 ** (fmt.precision - FORMATS["float32"].precision + 1)


def along_axis(rows: RowFunction, op: Op = SOFTMAX) -> Callable[..., Array]:
    """Return f(x, axis=-1) for a function of the rows of a contiguous, aligned (k, n) array.

    `rows` must leave its argument alone; it runs with NumPy's warnings off. It returns (k, n), or (k,) where
    the op reduces a row to one number.
    """

    def along(x: Array, axis: int = -1) -> Array:
        _check(x, axis)
        is_last = axis in (-1, x.ndim - 1)
        moved = x if is_last else np.moveaxis(x, axis, -1)
        if not (moved.flags.c_contiguous and moved.flags.aligned):
            moved = np.require(moved, requirements=["C", "A"])
        with np.errstate(all="ignore"):
            y = rows(moved.reshape(-1, moved.shape[-1])).reshape(op.shape(moved.shape))
        return y if is_last or op.reduces else np.moveaxis(y, -1, axis)

    return along


def _check(x: Array, axis: int) -> None:
    format_of(x.dtype)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis {axis}: x has {x.ndim} axes")
    if x.shape[axis] == 0:
        raise ValueError(f"x of shape {x.shape}: rows of length 0; a row needs a logit")


def lowest(like: Array) -> Any:
    """Return -Omega in the dtype of an array: finite, so that -inf minus it is -inf and not NaN."""
    return format_of(like.dtype).from_float64(-float(format_of(like.dtype).largest))[()]


# Declarations ----------------------------------------------------------------------------


def arrays(name: str, fmt: FloatFormat, declaration: Declaration, division: Division = "divide") -> Algorithm:
    """Return the algorithm of array operations in a format: its exp, and its own sum along rows."""
    wide = fmt.name == "float16"
    summation: Summation = "pairwise" if wide or fmt.name in ("float32", "float64") else "sequential"
    return Algorithm(
        name=name,
        argument=declaration.argument,
        constant=declaration.constant,
        exp_ulps=exp_ulps(fmt),
        summation=summation,
        accumulator_precision=24 if wide else None,
        division=division,
        one_at_zero=True,
    )


def per_format(
    algorithm: Callable[[FloatFormat], Algorithm], formats: Iterable[str] = FORMATS
) -> Mapping[str, Algorithm]:
    """Return an algorithm for each format, by its name."""
    return MappingProxyType({name: algorithm(FORMATS[name]) for name in formats})


def summed(algorithm: Algorithm, summation: Summation) -> Algorithm:
    """Return an algorithm with its sum written out in the format instead."""
    return replace(algorithm, summation=summation, accumulator_precision=None)


def built_in(
    name: str,
    rows: RowFunction,
    description: str,
    declaration: Declaration,
    algorithms: Mapping[str, Algorithm],
    variant: Callable[[str], Candidate] | None = None,
) -> Candidate:
    """Return the candidate of a softmax of contiguous rows that takes the formats of `algorithms`."""
    return Candidate(
        name=name,
        spec=name,
        call=along_axis(rows),
        declaration=declaration,
        formats=frozenset(algorithms),
        axis_parameter="axis",
        description=description,
        algorithms=algorithms,
        keeps_format=True,
        variant=variant,
    )


def logarithm(rows: RowFunction, description: str, op: Op, argument: Argument, *policies: str) -> Candidate:
    """Return the candidate of a logarithmic op, in all formats.

    Args:
        rows: its function of contiguous rows (k, n), which names it: it returns (k, n), or (k,) where the op
            reduces a row.
        description: one line for people.
        op: what it computes.
        argument: what it exponentiates.
        policies: KEY=VALUE settings over the op's policy.
    """
    return Candidate(
        name=rows.__name__,
        spec=rows.__name__,
        call=along_axis(rows, op),
        declaration=Declaration(argument=argument, policy=op.policy.with_settings(policies)),
        op=op,
        formats=frozenset(FORMATS),
        axis_parameter="axis",
        description=description,
        keeps_format=True,
    )
