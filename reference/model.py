"""The truth about rows of logits, in a form that any output can be judged against.

For an element whose exact softmax is the real number r, and an output format F, `Truth`
keeps RN(r) and the residual (r - RN(r)) / ulp_F(r). Together they say everything that a
verdict needs, at the cost of one float64 each:

* y is correctly rounded  <=>  y = RN(r);
* RD(r) and RU(r) are RN(r) and its neighbour on the side of the residual's sign;
* r = 0 (a masked entry)  <=>  RN(r) = 0 and the residual is 0;
* ulp_F(r) is that of RN(r), but that of the binade below where RN(r) is a power of two
  above 2^emin and the residual is negative;
* the ULP error of y is |(y - RN(r)) / ulp_F(r) - residual|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from reference.formats import FloatFormat

__all__ = ["RESIDUAL_TOLERANCE", "Method", "Truth"]

Method = Literal["certified", "mpmath"]

RESIDUAL_TOLERANCE: Final = 2.0**-21
"""How far a residual may lie from the exact one, in ulps; its sign is always exact."""


@dataclass(frozen=True)
class Truth:
    """RN(r) and the residual for every element of rows of shape (rows, n).

    Attributes:
        format: the output format F.
        nearest: RN(r), as float64 (every format embeds in it); NaN in policy rows.
        residual: (r - RN(r)) / ulp_F(r), within `RESIDUAL_TOLERANCE`, in [-1/2, 1/2]; its
            sign is exact (a residual too small for float64 is +-5e-324); 0 if and only if
            r = RN(r). NaN in policy rows.
        kinds: the `RowKind` of each row, uint8, shape (rows,).
        fallbacks: how many elements the certified method left to mpmath.
    """

    format: FloatFormat
    nearest: NDArray[np.float64]
    residual: NDArray[np.float64]
    kinds: NDArray[np.uint8]
    fallbacks: int = 0
