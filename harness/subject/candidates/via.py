"""Candidates that take another library's arrays: `--via torch|jax|cupy[@device]`.

The rows are handed over as arrays of that library and the outputs taken back, bit for bit, by
`reference.foreign`. Like that file this one imports none of the rooms, so that it can be loaded where a
candidate's own modules bear their names.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .beside import reference_file

__all__ = ["Via", "hinted", "library_of", "via_named"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Via:
    """Whose arrays a candidate is handed, and where they lie.

    Attributes:
        library: one of `reference.foreign.LIBRARIES`.
        device: its name in that library, empty for the default.
    """

    library: str
    device: str = ""

    def __str__(self) -> str:
        return f"{self.library}@{self.device}" if self.device else self.library

    def around(self, function: Callable[..., Any]) -> Callable[..., Array]:
        """Return the function of NumPy arrays that calls `function` with the library's.

        Raises:
            ValueError: there is no such library or device here.
        """
        foreign = reference_file("foreign")
        device = foreign.device_named(self.library, self.device)
        copied = self.library == "cupy" or (self.library == "torch" and self.device != "")

        def given(value: Any) -> Any:
            return foreign.from_numpy(value, self.library, device) if isinstance(value, np.ndarray) else value

        def call(x: Array, **keywords: Any) -> Array:
            keywords = {name: given(value) for name, value in keywords.items()}
            with foreign.context(self.library, x):
                array = foreign.from_numpy(x, self.library, device)
                if not copied or not x.flags.writeable:
                    return cast("Array", foreign.to_numpy(function(array, **keywords)))
                same = array[...]  # whatever becomes of the array's shape or dtype
                y: Array = foreign.to_numpy(function(array, **keywords))
                _carry_back(foreign.to_numpy(same), x)
            return y

        return call


def via_named(text: str) -> Via:
    """Return what `torch`, `torch@cuda` and the like name.

    Raises:
        ValueError: the library is none whose arrays can be asked for.
    """
    library, _, device = text.partition("@")
    known = reference_file("foreign").LIBRARIES
    if library not in known:
        raise ValueError(f"via {text!r}: it is one of {', '.join(known)}, with @device after it if need be")
    return Via(library, device)


def library_of(function: Callable[..., Any]) -> str:
    """Return the library, of those whose arrays can be asked for, that a function's module works with."""
    while isinstance(function, functools.partial):
        function = function.func
    inner = inspect.unwrap(function)
    own = getattr(inner, "__globals__", {}).values()
    modules = [value.__name__ for value in own if isinstance(value, ModuleType)]
    modules += [str(getattr(one, "__module__", "")) for one in (inner, *type(inner).__mro__)]  # nn.Module's
    names = {module.partition(".")[0] for module in modules}
    return next((name for name in reference_file("foreign").LIBRARIES if name in names), "")


def hinted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function; where it cannot do with NumPy's arrays, the error says how it gets others."""
    library = library_of(function)
    if not library:
        return function

    @functools.wraps(function)
    def call(x: Array, **keywords: Any) -> Any:
        try:
            return function(x, **keywords)
        except (AttributeError, TypeError) as error:
            said = str(error).strip().partition("\n")[0]
            hint = f"it was given NumPy's array; if it takes {library}'s, add --via {library}"
            kind = TypeError if isinstance(error, TypeError) else AttributeError  # theirs may take no text
            raise kind(f"{said}; {hint}") from error

    return call


def _carry_back(now: Array, x: Array) -> None:
    """Show in x what the candidate did to its copy on a device."""
    bits, own = (a.view(f"uint{8 * a.itemsize}") for a in (now, x))
    if not np.array_equal(bits, own):
        own[...] = bits
