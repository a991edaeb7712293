"""Row lengths by effort: 1, and the odd neighbours of powers of two.

Loops over blocks and vectors go wrong at their ends, so most lengths leave a tail at every
width; 4096 leaves none, and is where a float16 sum of ones has long stood still at 2048.
Beyond 65 504 equal entries even an exact float16 sum overflows.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DEEP", "QUICK", "STANDARD", "SWEEP"]

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

SWEEP: Final = tuple(
    sorted(
        {*range(1, 273), *(2**k + side for k in range(9, 18) for side in (-1, 0, 1))}
        | {300, 320, 384, 400, 448, 576, 640, 700, 768, 777, 895, 1000, 1280, 1500, 1536, 1792, 2000}
        | {2500, 3000, 3072, 5000, 6000, 10_000, 12_289, 20_001, 50_257, 100_003, 262_147}
    )
)
"""Every length to beyond two blocks of 128, so that each tail of a block occurs, both sides of every power of
two, where another path may begin, and multiples of 3 and 10 between them."""
