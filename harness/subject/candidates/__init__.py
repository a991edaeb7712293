"""The implementations under test: built in, or the user's own.

* a built-in is a module of `harness.subject.candidates.builtin` with a `CANDIDATE`; to add one, add a
  file there. It is found by scanning that folder. NAME@VALUE sets the parameter of one that has any;
* a library's is one of `harness.subject.candidates.libraries`, where it is installed: `torch`, `torch@cuda`;
* a user's own is `module:function`, `path/file.py:function` or `path/lib.so:function`, with `@torch`, `@jax`
  or `@cupy` after it where it takes their arrays; see `harness.subject.candidates.loading` for how it is
  found, and `harness.subject.candidates.candidate` for what it may declare.

Importing this package loads NumPy and the formats, nothing heavier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

from harness.rooms import guest
from harness.subject.candidates import builtin
from harness.subject.candidates.candidate import Candidate, declaration_of, formats_of, op_of
from harness.subject.candidates.fusing import with_settings
from harness.subject.candidates.inspection import Foreign, inspect_apart
from harness.subject.candidates.libraries import LIBRARIES, Library
from harness.subject.candidates.loading import DECLARES, CandidateError, axis_parameter, declarations, locate
from harness.subject.candidates.native import SUFFIXES
from harness.subject.candidates.via import hinted, via_named
from harness.terminal.exceptions import nearest
from reference.declaration import Declaration
from reference.ops import SOFTMAX, Op

__all__ = ["BUILTINS", "Candidate", "CandidateError", "from_function", "load"]


def _found() -> Iterator[Candidate]:
    for module in sorted(iter_modules(builtin.__path__), key=lambda found: found.name):
        yield import_module(f"{builtin.__name__}.{module.name}").CANDIDATE


BUILTINS: Mapping[str, Candidate] = MappingProxyType({c.name: c for c in _found()})
"""Every built-in candidate by name."""


def load(spec: str, timeout: float = 120.0, op: Op | None = None) -> Candidate:
    """Return the candidate of a spec: a built-in's or a library's name, or the user's own as above.

    A user's module is imported in a process of its own, to see that it can be and what it
    declares. In this process it is imported when the candidate is first called, if it ever is.

    Args:
        spec: what to load.
        timeout: seconds that the user's module may take to import.
        op: what it computes; what it declares or its name says where left out.

    Raises:
        CandidateError: there is no such candidate, it declares what it may not, or it is known to compute
            another op.
    """
    _check_name(spec)
    name = spec.partition("@")[0]
    if name in LIBRARIES:
        return _of_library(spec, LIBRARIES[name], timeout, op or SOFTMAX)
    if ":" not in spec:
        return _builtin(spec, op)
    location = locate(spec)
    description = inspect_apart(location, timeout)
    declares = description[DECLARES]
    computed = op_of(spec, declares, location.own_name, op)
    return Candidate(
        name=spec,
        spec=location.absolute,
        call=Foreign(location),
        declaration=declaration_of(spec, declares, computed),
        op=computed,
        formats=formats_of(spec, declares),
        axis_parameter=description["axis"],
        description=description["doc"],
        sources=description["sources"],
    )


def from_function(
    function: Callable[..., Any], name: str | None = None, via: str | None = None, op: Op | None = None
) -> Candidate:
    """Return the candidate of a function at hand, such as a notebook's; it has no spec.

    Args:
        function: `f(x)`, `f(x, axis=)` or `f(x, dim=)`.
        name: what it is called; its own name where left out.
        via: whose arrays it takes, `torch`, `jax` or `cupy`, with @device if need be; NumPy's where left out.
        op: what it computes; what it declares or its name says where left out.

    Raises:
        CandidateError: it declares what it may not, or there is no such library or device here.
    """
    called = name or str(getattr(function, "__qualname__", type(function).__qualname__))
    _check_name(called)
    declares = declarations(function)
    computed = op_of(called, declares, called, op)
    try:
        call = hinted(function) if via is None else via_named(via).around(function)
        call = with_settings(call, function, declares)
    except ValueError as error:
        raise CandidateError(f"candidate {called!r}: {error}") from None
    return Candidate(
        name=called,
        spec="",
        call=guest(call),
        declaration=declaration_of(called, declares, computed),
        op=computed,
        formats=formats_of(called, declares),
        axis_parameter=axis_parameter(function),
        description=(getattr(function, "__doc__", None) or "").strip().partition("\n")[0],
    )


def _check_name(name: str) -> None:
    """Refuse a name that no table shows as it is: it stands in each of a run's.

    Raises:
        CandidateError: it holds control characters, or begins as a formula of a spreadsheet does.
    """
    from reports.spelling import is_name

    if not is_name(name):
        raise CandidateError(
            f"candidate {name!r}: a name prints on one line, and begins with none of = + - @;"
            " rename the file, or write ./ before it"
        )


def _of_library(spec: str, library: Library, timeout: float, op: Op) -> Candidate:
    """Return a library's candidate; imported, apart, only to see whether it has the device asked for."""
    lacking = library.lacks()
    if lacking:
        raise CandidateError(f"candidate {spec!r}: {lacking}")
    _, separator, device = spec.partition("@")
    if separator and not library.via:
        raise CandidateError(
            f"candidate {spec!r}: {library.name} has no devices to choose from; leave out @{device}"
        )
    if not library.has(op):
        raise CandidateError(
            f"candidate {spec!r}: no {op} of {library.name} is known here; write file.py:{op} that calls it"
        )
    location = locate(f"{library.spec(op)}@{device}" if separator else library.spec(op))
    if separator:
        try:
            inspect_apart(location, timeout)
        except CandidateError as error:
            reason = str(error).removeprefix(f"candidate {location.spec!r}: ")
            raise CandidateError(f"candidate {spec!r}: {reason}") from None
    return Candidate(
        name=spec,
        spec=location.absolute,
        call=Foreign(location),
        declaration=Declaration(policy=op.policy),
        op=op,
        axis_parameter=library.axis or None,
        description=f"{library.title} ({library.version()})",
        version=library.version() or "",
    )


def _builtin(spec: str, op: Op | None) -> Candidate:
    name, separator, value = spec.partition("@")
    candidate = BUILTINS.get(name)
    if candidate is None:
        raise CandidateError(f"candidate {spec!r}: {_unknown(name)}")
    if op not in (None, candidate.op):
        raise CandidateError(f"candidate {spec!r}: it computes {candidate.op}; leave out --op {op}")
    if not separator:
        return candidate
    if candidate.variant is None:
        raise CandidateError(f"candidate {spec!r}: {name} has no parameter; leave out @{value}")
    return candidate.variant(value)


def _unknown(name: str) -> str:
    if name.endswith((".py", *SUFFIXES)):
        return f"it names no function; write {name}:function"
    if Path(name).is_dir():
        return f"it is a folder; name a function of a file in it, such as {Path(name, 'file.py')}:function"
    near = nearest(name, [*BUILTINS, *LIBRARIES])
    hint = f"did you mean {near!r}?" if near else f"they are {', '.join(BUILTINS)}"
    return f"no built-in of that name; {hint} (your own: module:function or path/file.py:function)"
