"""What to try: input regimes, in bulk and as Hypothesis strategies, and corpora."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reference.formats import FloatFormat, format_named
from strategies.regimes import REGIMES, Regime, regime_named

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy
    from numpy.typing import NDArray

__all__ = ["REGIMES", "ROWS_VERSION", "Regime", "logits", "regime_named"]

__room_of__ = "softmax-harness"

ROWS_VERSION: Final = 1
"""Raised whenever the same settings and seed give other rows: by regimes, corpora, lengths, or batches."""


def logits(format: FloatFormat | str, length: int, regime: Regime | str) -> SearchStrategy[NDArray[Any]]:
    """Return the Hypothesis strategy for one row of a regime: an array (length,) of the format's dtype.

    Args:
        format: a float format or its name.
        length: how many entries.
        regime: a regime or its name.

    Raises:
        ValueError: there is no such format or regime, or the regime has no rows of that
            format and length.
    """
    fmt = format_named(format) if isinstance(format, str) else format
    chosen = regime_named(regime) if isinstance(regime, str) else regime
    return chosen.hypothesis(fmt, length)
