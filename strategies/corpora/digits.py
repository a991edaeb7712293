"""Recorded logits of two small networks on handwritten digits; `make_digits` recorded them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from strategies.source import F64

__all__ = ["DATA", "exploding_rows", "sane_rows"]

DATA: Final = Path(__file__).with_name("digits.npz")


def sane_rows() -> list[tuple[str, F64]]:
    """Return the logits of the trained network, labelled by the digit's index in the data set."""
    with np.load(DATA, allow_pickle=False) as data:
        return [(f"digit {i}", row) for i, row in zip(data["sane_digit"], data["sane_logits"], strict=True)]


def exploding_rows() -> list[tuple[str, F64]]:
    """Return the logits of the network that explodes, labelled by training step and digit."""
    with np.load(DATA, allow_pickle=False) as data:
        columns = (data["exploding_step"], data["exploding_digit"], data["exploding_logits"])
        return [(f"step {step} digit {i}", row) for step, i, row in zip(*columns, strict=True)]
