"""Row lengths by effort: 1, and the odd neighbours of powers of two.

Loops over blocks and vectors go wrong at their ends, so most lengths leave a tail at every
width; 4096 leaves none, and is where a float16 sum of ones has long stood still at 2048.
Beyond 65 504 equal entries even an exact float16 sum overflows.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DEEP", "QUICK", "STANDARD"]

QUICK: Final = (1, 2, 3, 7, 17, 33, 65, 127, 257, 1023, 4096)

STANDARD: Final = (
    1,
    2,
    3,
    4,
    7,
    9,
    17,
    33,
    65,
    127,
    257,
    511,
    1025,
    2047,
    4096,
    8193,
    16_385,
    32_769,
    70_001,
)

DEEP: Final = tuple(
    sorted(
        {*range(1, 18), *STANDARD, *QUICK}
        | {2**k + side for k in range(5, 18) for side in (-1, 1)}
        | {1000, 10_000, 50_257, 128_256, 300_007}
    )
)
