"""The implementations under test: built in, or the user's own.

* a built-in is a module of `harness.candidates.builtin` with a `CANDIDATE`; to add one, add a
  file there. It is found by scanning that folder. NAME@VALUE sets the parameter of one that has any;
* a user's own is `module:function` or `path/file.py:function`; see `harness.candidates.loading`
  for how it is found, and `harness.candidates.candidate` for what it may declare.

Importing this package loads NumPy, ml_dtypes and the formats, nothing heavier.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

from harness.candidates import builtin
from harness.candidates.candidate import Candidate, declaration_of, formats_of
from harness.candidates.inspection import Foreign, inspect_apart
from harness.candidates.loading import DECLARES, CandidateError, axis_parameter, locate

__all__ = ["BUILTINS", "Candidate", "CandidateError", "from_function", "load"]


def _found() -> Iterator[Candidate]:
    for module in sorted(iter_modules(builtin.__path__), key=lambda found: found.name):
        yield import_module(f"{builtin.__name__}.{module.name}").CANDIDATE


BUILTINS: Mapping[str, Candidate] = MappingProxyType({c.name: c for c in _found()})
"""Every built-in candidate by name."""


def load(spec: str, timeout: float = 120.0) -> Candidate:
    """Return the candidate of a spec: a built-in's name, `module:function` or `path/file.py:function`.

    A user's module is imported in a process of its own, to see that it can be and what it
    declares. In this process it is imported when the candidate is first called, if it ever is.

    Args:
        spec: what to load.
        timeout: seconds that the user's module may take to import.

    Raises:
        CandidateError: there is no such candidate, or it declares what it may not.
    """
    if ":" not in spec:
        return _builtin(spec)
    location = locate(spec)
    description = inspect_apart(location, timeout)
    declares = description[DECLARES]
    return Candidate(
        name=spec,
        spec=location.absolute,
        call=Foreign(location),
        declaration=declaration_of(spec, declares),
        formats=formats_of(spec, declares),
        axis_parameter=description["axis"],
        description=description["doc"],
    )


def from_function(function: Callable[..., Any], name: str | None = None) -> Candidate:
    """Return the candidate of a function at hand, such as a notebook's; it has no spec.

    Raises:
        CandidateError: it declares what it may not.
    """
    called = name or str(getattr(function, "__qualname__", type(function).__qualname__))
    declares = getattr(function, DECLARES, {})
    return Candidate(
        name=called,
        spec="",
        call=function,
        declaration=declaration_of(called, declares),
        formats=formats_of(called, declares),
        axis_parameter=axis_parameter(function),
        description=(getattr(function, "__doc__", None) or "").strip().partition("\n")[0],
    )


def _builtin(spec: str) -> Candidate:
    name, separator, value = spec.partition("@")
    candidate = BUILTINS.get(name)
    if candidate is None:
        raise CandidateError(f"candidate {spec!r}: {_unknown(name)}")
    if not separator:
        return candidate
    if candidate.variant is None:
        raise CandidateError(f"candidate {spec!r}: {name} has no parameter; leave out @{value}")
    return candidate.variant(value)


def _unknown(name: str) -> str:
    if name.endswith(".py"):
        return f"it names no function; write {name}:function"
    near = difflib.get_close_matches(name, BUILTINS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(BUILTINS)}"
    return f"no built-in of that name; {hint} (your own: module:function or path/file.py:function)"
