"""A planted defect: a softmax, or another op, with one thing wrong, whose constants are drawn from a seed.

Most are functions of rows in an arithmetic wide enough to be sound but for the defect: the format's own for
float32 and float64, binary32 for narrower ones, with one rounding at the end (`of_rows`). Take the defect out
and the rest meets every tier that the defect is held to, as `sound` does; so what is caught is the defect.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.subject.candidates import Candidate, from_function
from reference.formats import FORMATS, FloatFormat, format_of
from reference.ops import OPS, SOFTMAX

__all__ = [
    "COMMON",
    "WIDE",
    "Defect",
    "Instance",
    "Table",
    "listed",
    "masked",
    "narrowed",
    "of_rows",
    "shares",
    "sound",
    "top",
    "total",
    "widened",
]

Array = NDArray[Any]
Softmax = Callable[..., Any]
Draw = Callable[[random.Random], tuple[Any, ...]]

COMMON: Final = ("float16", "bfloat16", "float32", "float64")
WIDE: Final = ("float32", "float64")


def _nothing(_: random.Random) -> tuple[Any, ...]:
    return ()


@dataclass(frozen=True)
class Defect:
    """A kind of defect.

    Attributes:
        mechanism: the part of softmax that it is in.
        function: the defect; its name is the defect's, its docstring says where such a thing was seen.
        make: from the drawn constants to a softmax, in a state of its own.
        draw: draws the constants.
        formats: those in which it is a defect.
        each: instances in each format.
        tier: the tier that it must fail; what fails `fast` fails `standard` too.
        op: the name of what it should compute.
        checks_first: whether the contract is likelier to show it than the cells; only time depends on it.
        causes: the codes of causes that are right for it (`harness.explanation.CODES`); none where no part of
            a softmax explains it.
    """

    mechanism: str
    function: Callable[..., Any]
    make: Callable[..., Softmax]
    draw: Draw = _nothing
    formats: tuple[str, ...] = COMMON
    each: int = 1
    tier: str = "fast"
    op: str = SOFTMAX.name
    checks_first: bool = False
    causes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the defect, in words."""
        return self.function.__name__.strip("_").replace("_", " ")

    @property
    def seen(self) -> str:
        """Where such a defect was seen."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    def instances(self, seed: int) -> tuple[Instance, ...]:
        """Return its instances of a seed, in every format; no two of a format have the same constants."""
        instances: list[Instance] = []
        for fmt in self.formats:
            generator = random.Random(f"{seed}/{self.name}/{fmt}")  # noqa: S311 - reproducible, not secret
            drawn = dict.fromkeys(self.draw(generator) for _ in range(8 * self.each))
            instances += [Instance(self, FORMATS[fmt], values) for values in list(drawn)[: self.each]]
        return tuple(instances)


@dataclass(frozen=True)
class Instance:
    """A defect in a format, with its constants."""

    defect: Defect
    format: FloatFormat
    values: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The name of the instance, unique in the suite."""
        return f"{self.defect.name}{self.constants} [{self.format}]"

    @property
    def constants(self) -> str:
        """The constants in words; empty where there are none."""
        return f" ({', '.join(f'{value:g}' for value in self.values)})" if self.values else ""

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tier that it must fail, alone."""
        return (self.defect.tier,)

    def candidate(self) -> Candidate:
        """Return the instance as a candidate, in a fresh state."""
        candidate = from_function(self.defect.make(*self.values), self.name, op=OPS[self.defect.op])
        return replace(candidate, spec=self.name)


# Sound parts -------------------------------------------------------------------------------


def top(z: Array) -> Array:
    """Return the largest entry of each row."""
    return np.asarray(z.max(axis=-1, keepdims=True))


def total(e: Array) -> Array:
    """Return the sum of each row, as NumPy adds it: pairwise."""
    return np.asarray(e.sum(axis=-1, keepdims=True))


def shares(e: Array) -> Array:
    """Return each row over its sum."""
    return np.asarray(e / total(e))


def masked(z: Array) -> NDArray[np.bool_]:
    """Return which entries are -inf."""
    return np.asarray(np.isneginf(z))


def sound(z: Array) -> Array:
    """Return the softmax of each row, without a defect."""
    return shares(np.exp(z - top(z)))


def widened(x: Array) -> Array:
    """Return x in binary32 where it is narrower, C-contiguous."""
    return np.ascontiguousarray(x, dtype=np.float32 if x.itemsize < 4 else x.dtype)


def narrowed(y: Array, dtype: np.dtype[Any]) -> Array:
    """Return y in a format, rounded once."""
    if y.dtype == dtype:
        return y
    return np.asarray(format_of(dtype).from_float64(np.asarray(y, dtype=np.float64)))


def of_rows(function: Callable[..., Array]) -> Callable[..., Softmax]:
    """Return the maker of a softmax along the last axis, from a function of rows and constants."""

    def make(*values: Any) -> Softmax:
        def softmax(x: Array) -> Array:
            return narrowed(function(widened(x), *values), x.dtype)

        return softmax

    return make


Table = Iterable[tuple[Callable[..., Any], Mapping[str, Any]]]


def listed(
    mechanism: str, table: Table, maker: Callable[..., Callable[..., Softmax]] = of_rows, **common: Any
) -> tuple[Defect, ...]:
    """Return the defects of a table of functions, with common attributes and their own."""
    return tuple(Defect(mechanism, function, maker(function), **{**common, **own}) for function, own in table)
