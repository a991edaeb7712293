"""A regime: a named family of rows, written once and drawn in bulk or through Hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from reference.formats import FloatFormat
from strategies.logit_range import LogitRange
from strategies.source import Source
from strategies.words import Words

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Regime"]

Array = NDArray[Any]


def _always(_fmt: FloatFormat, _length: int) -> bool:
    return True


@dataclass(frozen=True)
class Regime:
    """A family of rows, each of which lies in the format exactly.

    Attributes:
        name: what the command line calls it.
        title: one line for people.
        draw: `(source, fmt, rows, length)` to an array (rows, length) of `fmt.dtype`. It asks
            all its choices of the source, and rounds into the format once.
        min_length: the shortest row that can be of the family.
        needs_infinity: whether its rows hold an infinity, so that a format without one has none.
        policy: whether its rows are policy rows, without an exact result.
        nonfinite: what its rows must hold besides numbers, so that a range without it has none of them.
        exists: whether the family has a row of that format and length, for what the three above cannot say.
    """

    name: str
    title: str
    draw: Callable[[Source, FloatFormat, int, int], Array]
    min_length: int = 1
    needs_infinity: bool = False
    policy: bool = False
    nonfinite: tuple[float, ...] = ()
    exists: Callable[[FloatFormat, int], bool] = _always

    def supports(self, fmt: FloatFormat, length: int, within: LogitRange | None = None) -> bool:
        """Tell whether the family has rows of that format and length, in a range if one is given."""
        possible = length >= self.min_length and (fmt.has_infinity or not self.needs_infinity)
        return possible and self.is_within(within) and self.exists(fmt, length)

    def is_within(self, within: LogitRange | None) -> bool:
        """Tell whether a range, if there is one, holds all that its rows must hold besides numbers."""
        return within is None or all(map(within.holds_number, self.nonfinite))

    def rows(
        self,
        fmt: FloatFormat,
        rows: int,
        length: int,
        seed: int,
        batch: int,
        within: LogitRange | None = None,
    ) -> Array:
        """Return an array (rows, length) of `fmt.dtype`, the same bits for the same arguments.

        With a range, rows that are not in it are brought into it: see `LogitRange.fitted`. The range changes
        no choice, so a row that is in it is the one that is drawn without it.

        Raises:
            ValueError: the family has no row of that format and length.
        """
        self._require(fmt, length)
        words = Words(("rows", seed, self.name, fmt.name, length, batch))
        drawn = self.draw(words, fmt, rows, length)
        return drawn if within is None else within.fitted(fmt, drawn)

    def hypothesis(self, fmt: FloatFormat, length: int) -> SearchStrategy[Array]:
        """Return a Hypothesis strategy for one row: an array (length,) of `fmt.dtype`.

        Raises:
            ValueError: the family has no row of that format and length.
        """
        from strategies.examples import example_rows

        self._require(fmt, length)
        return example_rows(self.draw, fmt, length)

    def _require(self, fmt: FloatFormat, length: int) -> None:
        if not self.supports(fmt, length):
            raise ValueError(
                f"regime {self.name!r}: it has no rows of length {length} in {fmt.name};"
                " ask Regime.supports(fmt, length) first"
            )
