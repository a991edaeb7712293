"""Row lengths by effort: 1, and the odd neighbours of powers of two.

Loops over blocks and vectors go wrong at their ends, so most lengths leave a tail at every
width; 4096 leaves none, and is where a float16 sum of ones has long stood still at 2048.
Beyond 65 504 equal entries even an exact float16 sum overflows.

Lengths that are listed leave gaps, and what goes wrong in a gap alone is never seen; so each run draws
further ones from its seed (`Drawn`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from strategies.words import Words

__all__ = ["DEEP", "QUICK", "STANDARD", "SWEEP", "USUAL", "Drawn"]

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

USUAL: Final = (2400, 32_000, 32_064, 50_257, 128_256, 151_936)
"""Lengths that people use, among them the vocabularies of Llama 2, Phi-3, GPT-2, Llama 3 and Qwen 2."""

SWEEP: Final = tuple(
    sorted(
        {*range(1, 273), *USUAL, *(2**k + side for k in range(9, 18) for side in (-1, 0, 1))}
        | {300, 320, 384, 400, 448, 576, 640, 700, 768, 777, 895, 1000, 1280, 1500, 1536, 1792, 2000}
        | {2500, 3000, 3072, 5000, 6000, 10_000, 12_289, 20_001, 100_003, 262_147}
    )
)
"""Every length to beyond two blocks of 128, so that each tail of a block occurs, both sides of every power of
two, where another path may begin, and multiples of 3 and 10 between them."""


FIRST_DRAWN: Final = 256
OF_RESIDUES: Final = (2048, 8192)
LONG_PER_OCTAVE: Final = 2


@dataclass(frozen=True)
class Drawn:
    """How many lengths a run draws from its seed.

    Attributes:
        residues: one length of each residue modulo this power of two, from 2048 on and below 8192, where a
            kernel's tail no longer is the whole of its row.
        per_octave: so many in each octave from 256 to 2048, one in each equal part of it: of lengths one
            behind the other, twice the width of a part cannot be missed.
        octaves: how many octaves from 8192 on have two lengths each.
    """

    residues: int
    per_octave: int
    octaves: int

    def lengths(self, seed: int) -> tuple[int, ...]:
        """Return the lengths that a seed draws, ascending."""
        words = Words(("lengths", seed))
        return tuple(sorted({*self._of_residues(words), *self._of_octaves(words)}))

    def _of_residues(self, words: Words) -> Iterator[int]:
        low, high = OF_RESIDUES
        half = words.below(2, (self.residues,))
        for residue, upper in enumerate(half.tolist()):
            first, beyond = (2 * low, high) if upper else (low, 2 * low)
            (block,) = words.below((beyond - first) // self.residues, (1,)).tolist()
            yield first + block * self.residues + residue

    def _of_octaves(self, words: Words) -> Iterator[int]:
        low, high = OF_RESIDUES
        octaves = [
            (low >> k, self.per_octave) for k in range(low.bit_length() - FIRST_DRAWN.bit_length(), 0, -1)
        ]
        octaves += [(high << k, LONG_PER_OCTAVE) for k in range(self.octaves)]
        for first, parts in octaves:
            edges = np.asarray([first + first * part // parts for part in range(parts + 1)])
            yield from (edges[:-1] + words.below(np.diff(edges), (parts,))).tolist()
