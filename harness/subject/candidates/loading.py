"""Find a candidate's function by its spec and say what it is, with the standard library and NumPy alone.

A spec is `module:function` or `path/file.py:function`, split at the last colon; `function` may
be dotted. `path/lib.so:function` is a native kernel, see `native`; its C prototype may stand in place of its
name. With `@torch`, `@jax` or `@cupy` after
it, or `@torch@cuda`, it is called with that library's arrays, see `via`. The file's folder, or the current
one for a module, goes first on `sys.path` and stays there, so that whatever the candidate imports, now
or later, is found beside it first.

This file imports nothing of ours but `fusing`, `native`, `prototypes`, `sources` and `via`, which import no
room either: a worker loads them by their path. There a candidate is looked at, as it is called there, so a
stranger's module cannot stand in for one of ours and a crash at import hurts nobody.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

from .fusing import NUMBERS, mask_parameter, parameters_of, with_settings
from .native import SUFFIXES, native_function, own_name, try_out
from .prototypes import parsed
from .sources import Sources, loaded_from
from .via import Via, hinted, via_named

__all__ = [
    "DECLARES",
    "CandidateError",
    "LoadedFunction",
    "Location",
    "axis_parameter",
    "declarations",
    "describe",
    "described",
    "import_function",
    "load_function",
    "locate",
    "sources_of",
    "through",
]

Axis = Literal["axis", "dim"]
_AXES: Final[dict[str, Axis]] = {"axis": "axis", "dim": "dim"}
"""The parameters by which a function may take its axis, in order of preference."""

DECLARES: Final = "declares"
"""The attribute of a user's function that holds what it declares."""

FORMATS_ATTRIBUTE: Final = "formats"
"""The attribute, or the key of what it declares, that holds the names of the formats that it takes."""

_VIA: Final = re.compile(r"(?P<spec>.+:[^:@]*)@(?P<via>.+)")

_LONGEST: Final = 300
"""Characters of a stranger's error message that are worth a line."""


class CandidateError(ValueError):
    """A candidate cannot be had; the message is one line: the value, the rule, the next step."""


@dataclass(frozen=True)
class LoadedFunction:
    """A function under test, and the keyword by which it takes an axis.

    Attributes:
        call: `f(x)`, `f(x, axis=)` or `f(x, dim=)`.
        axis_parameter: `axis`, `dim`, or None where it works on the last axis only.
    """

    call: Callable[..., Any]
    axis_parameter: Axis | None


def load_function(spec: str) -> LoadedFunction:
    """Import a candidate into this process, as `import_function` does.

    Raises:
        CandidateError: the spec leads to nothing that can be called.
    """
    location = locate(spec)
    function = import_function(location)
    call = through(location, function)
    return LoadedFunction(call, axis_parameter(function) or _axis_asked_for(location, function, call))


@dataclass(frozen=True)
class Location:
    """Where a spec points to.

    Attributes:
        spec: as given.
        module: the module's name, for a file that of its stem.
        function: the attribute, possibly dotted.
        file: the absolute path; None for a module.
        via: whose arrays it is called with; None for NumPy's.
        prototype: the C prototype that the spec gives a native kernel; None where it names the kernel only.
    """

    spec: str
    module: str
    function: str
    file: Path | None = None
    via: Via | None = None
    prototype: str | None = None

    @property
    def absolute(self) -> str:
        """The spec, the same from whatever folder."""
        where = self.module if self.file is None else self.file
        return f"{where}:{self.prototype or self.function}" + ("" if self.via is None else f"@{self.via}")

    @property
    def own_name(self) -> str:
        """The function's name, of a native kernel without the ends that tell formats."""
        return own_name(self.function) if self.is_native else self.function

    @property
    def is_native(self) -> bool:
        """Whether it is a compiled library's."""
        return self.file is not None and self.file.suffix in SUFFIXES

    @property
    def folder(self) -> str:
        """The folder that goes first on `sys.path`."""
        return os.path.realpath(os.curdir) if self.file is None else str(self.file.parent)


# Where -----------------------------------------------------------------------------------


def locate(spec: str) -> Location:
    """Take a spec apart and check that its file, if it names one, is there.

    Raises:
        CandidateError: it has no function, its file is missing, or no .py file nor a native library, or
            it is to be called with the arrays of an unknown library.
    """
    if (asked := _VIA.fullmatch(spec)) is not None:
        try:
            via = via_named(asked["via"])
        except ValueError as error:
            raise _error(spec, str(error)) from None
        return replace(locate(asked["spec"]), spec=spec, via=via)
    where, separator, function = spec.rpartition(":")
    if where.endswith(SUFFIXES) and "(" in function:
        return _declared(spec, where, function)
    if not separator or not where or not all(part.isidentifier() for part in function.split(".")):
        raise _error(spec, "it names no function; write module:function or path/file.py:function")
    if _is_path(where):
        return _file(spec, where, function)
    if not all(part.isidentifier() for part in where.split(".")):
        raise _error(spec, f"{where!r} is no module's name; write module:function or path/file.py:function")
    return Location(spec, where, function)


def _declared(spec: str, where: str, declaration: str) -> Location:
    try:
        prototype = parsed(declaration)
    except ValueError as error:
        raise _error(spec, str(error)) from None
    return replace(_file(spec, where, prototype.symbol), prototype=prototype.text)


def _is_path(where: str) -> bool:
    return where.endswith((".py", *SUFFIXES)) or "/" in where or os.sep in where or Path(where).is_file()


def _file(spec: str, where: str, function: str) -> Location:
    path = Path(where).expanduser()
    if not path.exists():
        raise _error(spec, f"file {where} does not exist (looked from {os.path.realpath(os.curdir)})")
    if path.is_dir():
        raise _error(spec, f"{where} is a folder; name a .py file in it, or write package.module:function")
    if path.suffix not in (".py", *SUFFIXES):
        raise _error(
            spec,
            f"file {where} is no .py file nor a native library; wrap it in one, or write module:function",
        )
    return Location(spec, path.stem, function, path.resolve())


def _error(spec: str, reason: str) -> CandidateError:
    return CandidateError(f"candidate {spec!r}: {' '.join(reason.split())}")


# Import ----------------------------------------------------------------------------------


def import_function(location: Location) -> Callable[..., Any]:
    """Import the module and return its function.

    Raises:
        CandidateError: the module is missing or fails, or the attribute is missing or not callable.
    """
    if location.file is not None and location.is_native:
        try:
            return native_function(location.file, location.function, location.prototype)
        except ValueError as error:
            raise _error(location.spec, str(error)) from error
    _put_first(location.folder)
    found: Any = _module(location)
    for name in location.function.split("."):
        if not hasattr(found, name):
            raise _error(location.spec, _no_attribute(location, found, name))
        found = getattr(found, name)
    if not callable(found):
        raise _error(
            location.spec, f"{location.function} is of type {type(found).__name__}, which cannot be called"
        )
    if inspect.isclass(found):
        reason = (
            f"{location.function} is a class; name an instance of it, such as softmax = {found.__name__}(...)"
        )
        raise _error(location.spec, reason)
    function: Callable[..., Any] = found
    return function


def through(location: Location, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as it is called with NumPy's arrays.

    Raises:
        CandidateError: it takes the arrays of a library, or of a device, that is not here, or declares a
            mask that it does not take.
    """
    try:
        call = hinted(function) if location.via is None else location.via.around(function)
        return with_settings(call, function, declarations(function))
    except ValueError as error:
        raise _error(location.spec, str(error)) from error


def _put_first(folder: str) -> None:
    sys.path[:] = [folder, *(entry for entry in sys.path if os.path.realpath(entry) != folder)]


def _module(location: Location) -> ModuleType:
    try:
        if location.file is None:
            return importlib.import_module(location.module)
        return _execute(location.module, location.file)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and worse come out of strangers' modules
        raise _error(location.spec, _reason(location, error)) from error


def _execute(stem: str, file: Path) -> ModuleType:
    name = stem if stem not in sys.modules else f"candidate_{stem}"  # json.py must not replace json
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _reason(location: Location, error: BaseException) -> str:
    if location.file is None and isinstance(error, ModuleNotFoundError) and error.name is not None:
        missing = error.name
        if location.module == missing or location.module.startswith(f"{missing}."):
            return (
                f"there is no module {missing!r}; check its name, install it, or write path/file.py:function"
            )
    told = error.msg if isinstance(error, SyntaxError) else str(error)  # its str names the file again
    what = " ".join(f"{type(error).__name__}: {told}".split()).removesuffix(":")
    shown = what if len(what) <= _LONGEST else f"{what[:_LONGEST]}..."
    return f"importing {location.file or location.module} fails: {shown} ({_where(location, error)})"


def _where(location: Location, error: BaseException) -> str:
    """Name file and line: the deepest within the candidate's folder, else the deepest of all."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_machinery(f.filename)]
    own = [f for f in frames if os.path.realpath(f.filename).startswith(location.folder + os.sep)]
    found = own or frames
    return f"{found[-1].filename}:{found[-1].lineno}" if found else "before its first line"


def _is_machinery(file: str) -> bool:
    return file.startswith("<frozen ") or file in (__file__, importlib.__file__)


def _no_attribute(location: Location, holder: Any, name: str) -> str:
    public = [n for n in dir(holder) if not n.startswith("_") and callable(getattr(holder, n, None))]
    near = difflib.get_close_matches(name, public, n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        shown = ", ".join(public[:8]) + (", ..." if len(public) > 8 else "")
        hint = f"it has {shown}" if public else "it has no public function"
    return f"{location.file or location.module} has no {name!r}; {hint}"


def sources_of(spec: str) -> Sources:
    """Return what this process has loaded of a user's candidate."""
    location = locate(spec)
    return loaded_from(location.folder, None if location.file is None else str(location.file))


# What ------------------------------------------------------------------------------------


def axis_parameter(function: Callable[..., Any]) -> Axis | None:
    """Return the keyword by which a function takes its axis, told from its signature; None where none is."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled functions need not have a signature
        return None
    keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for name in _AXES:
        if name in parameters and parameters[name].kind in keyword:
            return _AXES[name]
    return None


def _axis_asked_for(
    location: Location, function: Callable[..., Any], call: Callable[..., Any]
) -> Axis | None:
    """Return the keyword that a library's compiled function says it misses; None where it says none.

    `torch.log_softmax` has no signature, and misses "dim".
    """
    if location.via is None or _has_signature(function):
        return None
    import numpy as np

    try:
        call(np.zeros(2, np.float32))
    except TypeError as error:
        missing = re.search(r"missing .*['\"](axis|dim)['\"]", str(error))
        return _AXES[missing[1]] if missing else None
    except Exception:  # noqa: BLE001  whatever else is wrong shows when it is measured
        return None
    return None


def _has_signature(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function)
    except (TypeError, ValueError):
        return False
    return True


def describe(location: Location, function: Callable[..., Any]) -> dict[str, Any]:
    """Return axis keyword, declarations and first line of the docstring, as JSON carries them.

    Raises:
        CandidateError: it cannot be called with one array, or declares what JSON cannot carry.
    """
    _check_arguments(location, function, axis_parameter(function))
    call = through(location, function)
    axis = axis_parameter(function) or _axis_asked_for(location, function, call)
    if location.is_native:
        try:
            try_out(function)
        except ValueError as error:
            raise _error(location.spec, str(error)) from error
    declares = declarations(function)
    try:
        json.dumps(declares)
    except (TypeError, ValueError) as error:
        raise _error(location.spec, f"{DECLARES} holds more than plain values: {error}") from error
    doc = inspect.getdoc(function) if inspect.isroutine(function) else ""
    return {"axis": axis, DECLARES: declares, "doc": (doc or "").strip().partition("\n")[0]}


def declarations(function: Callable[..., Any]) -> Any:
    """Return what a function declares; its `formats` alone may stand in an attribute of that name."""
    declares = getattr(function, DECLARES, {})
    formats = getattr(function, FORMATS_ATTRIBUTE, None)
    if formats is None or not isinstance(declares, dict) or FORMATS_ATTRIBUTE in declares:
        return declares
    plain = sorted(formats) if isinstance(formats, (set, frozenset)) else formats
    return {**declares, FORMATS_ATTRIBUTE: list(plain) if isinstance(plain, tuple) else plain}


def _check_arguments(location: Location, function: Callable[..., Any], axis: str | None) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind("x", **_passed(function, axis))
    except TypeError as error:
        reason = (
            f"{location.function}{signature} cannot be called with one array ({error}); wrap it in f(x, axis)"
        )
        raise _error(location.spec, reason) from error


def _passed(function: Callable[..., Any], axis: str | None) -> dict[str, Any]:
    """Return the parameters that are passed by name: its axis, and the settings that it declares."""
    declares = declarations(function)
    settings = declares if isinstance(declares, dict) else {}
    own = [*NUMBERS, mask_parameter(settings)]
    named = {name: None for name in own if name in parameters_of(function) and name in (*settings, own[-1])}
    return named | ({} if axis is None else {axis: -1})


def described(spec: str) -> dict[str, Any]:
    """Return the description of a candidate that is imported here, or `error` and the reason for none."""
    try:
        location = locate(spec)
        description = describe(location, import_function(location))
        return {**description, "sources": sources_of(spec)}
    except CandidateError as error:
        return {"error": str(error)}
