"""The truth about rows of logits, in a form that any output can be judged against.

For an element whose exact result is the real number r, and an output format F, `Truth`
keeps RN(r) and the residual (r - RN(r)) / ulp_F(r). Together they say everything that a
verdict needs, at the cost of one float64 each:

* y is correctly rounded  <=>  y = RN(r);
* RD(r) and RU(r) are RN(r) and its neighbour on the side of the residual's sign;
* r = 0  <=>  RN(r) = 0 and the residual is 0: a masked entry of softmax. One of log_softmax has r = -inf,
  RN(r) = -inf and the residual 0;
* ulp_F(r) is that of RN(r), but that of the binade below where RN(r) is a power of two
  above 2^emin and r is nearer to 0;
* the ULP error of y is |(y - RN(r)) / ulp_F(r) - residual|.

A logarithm may lie beyond the format's largest number. RN(r) is then what it is in the format without an
upper end, which `FloatFormat.from_float64` makes an infinity or NaN of. Where float64 ends too, its infinity
stands for 2^1024, and the residual is as large as that takes, in ulps of 2^1024 however far r lies beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat

__all__ = ["METHODS", "RESIDUAL_TOLERANCE", "Method", "Truth"]

Method = Literal["certified", "mpmath"]

METHODS: Final[tuple[str, ...]] = get_args(Method)

RESIDUAL_TOLERANCE: Final = 2.0**-21
"""How far a residual may lie from the exact one, in ulps; its sign is always exact."""


@dataclass(frozen=True)
class Truth:
    """RN(r) and the residual for every element: shape (rows, n), or (rows, 1) of an op with one result a row.

    Attributes:
        format: the output format F.
        nearest: RN(r), as float64 (every format embeds in it); NaN in policy rows. Never -0.
        residual: (r - RN(r)) / ulp_F(r), within `RESIDUAL_TOLERANCE`, in [-1/2, 1/2]; its sign is exact (a
            residual too small for float64 is +-5e-324); 0 if and only if r = RN(r). NaN in policy rows.
            Where |r| rounds beyond float64, RN(r) is an infinity, which stands for 2^1024. From |r| = 2^1024
            on the residual is in ulps of 2^1024.
        kinds: the `RowKind` of each row, uint8, shape (rows,).
        fallbacks: how many elements the certified method left to mpmath.
    """

    format: FloatFormat
    nearest: NDArray[np.float64]
    residual: NDArray[np.float64]
    kinds: NDArray[np.uint8]
    fallbacks: int = 0

    def of_rows(self, rows: NDArray[Any] | slice) -> Truth:
        """Return the truth about some rows, by a mask, their numbers or a slice."""
        return Truth(self.format, self.nearest[rows], self.residual[rows], self.kinds[rows])
