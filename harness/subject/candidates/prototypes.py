"""The C prototype of a native kernel: what each parameter is, told from its type and its name.

A kernel may have any prototype of these parts:

- pointers to the logits and to the results, or one pointer to both, which the kernel overwrites;
- the number of entries of a row, and the number of rows; without the latter each row is a call;
- the distance between the starts of two rows, in entries: a stride, or a padded length;
- a scale and a sink, with the value that is passed, as in `float scale = 0.125`;
- a mask of one byte an entry, 1 where the entry counts;
- a returned status, of which 0 means success; or the one result of a row, as of a logsumexp.

It is declared by the spec, `lib.so:int softmax(float *x, size_t n)`, or by a header beside the library.
Standard library alone: a worker loads this file by its path.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

__all__ = ["Parameter", "Prototype", "declared_beside", "parsed"]

Role = Literal["input", "output", "both", "rows", "length", "stride", "scale", "sink", "mask"]

_SPELLED: Final[dict[Role, str]] = {
    "input": "x in inp input src source logits scores a",
    "output": "y out output dst dest destination res result probs p",
    "rows": "rows nrows n_rows num_rows m batch batch_size outer",
    "length": "n k d len length size count num dim inner cols ncols n_cols num_cols n_elements classes vocab",
    "stride": "stride row_stride pitch ld ldx ldy ld_in ld_out padded n_padded padded_n padded_length",
    "scale": "scale sm_scale softmax_scale",
    "sink": "sink",
    "mask": "mask",
}

NAMES: Final = {role: frozenset(names.split()) for role, names in _SPELLED.items()}
"""The names by which a parameter of each role is known, in lower case."""

SETTINGS: Final[tuple[Role, ...]] = ("scale", "sink")
"""The roles of the parameters that are numbers with a value."""

_FLOATS: Final = {
    "float": "float32",
    "double": "float64",
    "_Float16": "float16",
    "__fp16": "float16",
    "float16_t": "float16",
    "half": "float16",
    "__bf16": "bfloat16",
    "bfloat16_t": "bfloat16",
}
_NUMBERS: Final = {"float": ctypes.c_float, "double": ctypes.c_double}
_BYTES: Final = ("bool", "_Bool", "uint8_t", "unsigned char")
_CODES: Final = ("uint16_t", "uint8_t", "unsigned short", "unsigned char")
_INTEGERS: Final = {
    "size_t": ctypes.c_size_t,
    "ssize_t": ctypes.c_ssize_t,
    "ptrdiff_t": ctypes.c_ssize_t,
    "int": ctypes.c_int,
    "unsigned": ctypes.c_uint,
    "unsigned int": ctypes.c_uint,
    "long": ctypes.c_long,
    "unsigned long": ctypes.c_ulong,
    "long long": ctypes.c_longlong,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
}
_PROTOTYPE: Final = re.compile(r"(?P<returns>[\w\s]+?)\s+(?P<symbol>\w+)\s*\((?P<parameters>[^()]*)\)\s*;?")
_PARAMETER: Final = re.compile(
    r"(?P<type>[\w\s]+?)\s*(?P<pointer>\*?)\s*(?P<name>\w+)\s*(?P<array>\[\s*\w*\s*\])?"
    r"\s*(?:=\s*(?P<value>[^=]+))?"
)
_IGNORED: Final = frozenset(
    {"extern", "static", "inline", "const", "volatile", "restrict", "__restrict", "__restrict__"}
)
_COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel.

    Attributes:
        role: what it is.
        type: the format of a pointer's target, None where the kernel's name tells it; or the number's type.
        value: what is passed for a scale or a sink.
    """

    role: Role
    type: str | None
    value: float | None = None


@dataclass(frozen=True)
class Prototype:
    """The prototype of a kernel.

    Attributes:
        text: as it was declared, in one line.
        symbol: the function's name.
        parameters: in their order.
        returns: nothing, a status, or the format of the one result of a row.
    """

    text: str
    symbol: str
    parameters: tuple[Parameter, ...]
    returns: str | None = None

    def has(self, role: Role) -> bool:
        """Return whether it has a parameter of a role."""
        return any(parameter.role == role for parameter in self.parameters)

    @property
    def format(self) -> str | None:
        """The format of the logits, where the types tell it."""
        return next((p.type for p in self.parameters if p.role in ("input", "both")), None)

    @property
    def out_format(self) -> str | None:
        """The format of the results, where the types tell it."""
        if self.returns not in (None, "status"):
            return self.returns
        return next((p.type for p in self.parameters if p.role in ("output", "both")), None)

    @property
    def argument_types(self) -> list[type]:
        """The parameters as ctypes has them."""
        numbers = _INTEGERS | _NUMBERS
        is_number = {"rows", "length", "stride", *SETTINGS}
        return [numbers[p.type or ""] if p.role in is_number else ctypes.c_void_p for p in self.parameters]

    @property
    def declares(self) -> dict[str, float | bool]:
        """The settings that it takes, as a function declares them."""
        declared: dict[str, float | bool] = {p.role: p.value for p in self.parameters if p.value is not None}
        return declared | ({"mask": True} if self.has("mask") else {})

    @property
    def result_type(self) -> type | None:
        """What it returns, as ctypes has it."""
        if self.returns is None:
            return None
        return {"float32": ctypes.c_float, "float64": ctypes.c_double}.get(self.returns, ctypes.c_int)


def parsed(text: str) -> Prototype:
    """Return the prototype that a C declaration of one function has.

    Raises:
        ValueError: it is none, or what a parameter is cannot be told; one line.
    """
    text = " ".join(text.split()).rstrip("; ")
    whole = _PROTOTYPE.fullmatch(text)
    if whole is None:
        raise ValueError(f"{text!r} is no C prototype such as int softmax(float *x, size_t n)")
    given = [part.strip() for part in whole["parameters"].split(",")]
    parameters = _roles([_taken_apart(part, text) for part in given if part not in ("", "void")], text)
    prototype = Prototype(text, whole["symbol"], tuple(parameters), _returned(whole["returns"], text))
    _check(prototype)
    return prototype


def declared_beside(library: Path) -> dict[str, Prototype | ValueError]:
    """Return the prototypes in a header beside a library, `libsoftmax.h` or `softmax.h`, by their names.

    One that is not understood is the error that says why.
    """
    stems = (library.stem, library.stem.removeprefix("lib"))
    header = next((h for stem in stems if (h := library.with_name(f"{stem}.h")).is_file()), None)
    if header is None:
        return {}
    text = _COMMENT.sub(" ", header.read_text(encoding="utf-8", errors="replace"))
    text = re.sub(r"^\s*#.*?(?<!\\)$", " ", text, flags=re.MULTILINE)
    found: dict[str, Prototype | ValueError] = {}
    for statement in re.split(r"[;{}]", text):
        if (whole := _PROTOTYPE.fullmatch(statement.strip())) is not None:
            try:
                found[whole["symbol"]] = parsed(statement)
            except ValueError as error:
                found[whole["symbol"]] = ValueError(f"{header.name}: {error}")
    return found


@dataclass(frozen=True)
class _Part:
    type: str
    name: str
    is_pointer: bool
    is_constant: bool
    value: str | None = None


def _taken_apart(text: str, whole: str) -> _Part:
    words = text.replace("*", " * ").split()
    plain = " ".join(word for word in words if word not in _IGNORED)
    found = _PARAMETER.fullmatch(plain)
    if found is None:
        raise ValueError(f"{whole}: parameter {text!r} is not understood; write each as float *x or size_t n")
    is_pointer = bool(found["pointer"] or found["array"])
    return _Part(found["type"], found["name"].lower(), is_pointer, "const" in words, found["value"])


def _roles(parts: list[_Part], whole: str) -> list[Parameter]:
    masks = [part for part in parts if part.is_pointer and part.name in NAMES["mask"]]
    pointers = [part for part in parts if part.is_pointer and part not in masks]

    def role_of(part: _Part) -> Parameter:
        if part in masks:
            return Parameter("mask", _require_bytes(part, whole))
        if part.is_pointer:
            return Parameter(_of_pointer(part, pointers, whole), _target(part, whole))
        role = _of_number(part, whole)
        return Parameter(role, part.type, _value(part, whole) if role in SETTINGS else None)

    return [role_of(part) for part in parts]


def _value(part: _Part, whole: str) -> float:
    """Return the value of a scale or a sink, whatever a literal of C ends in."""
    try:
        return float((part.value or "").strip().rstrip("fFlL"))
    except ValueError:
        raise ValueError(
            f"{whole}: which value to pass for {part.name} is not said; write {part.type} {part.name} = 0.125"
        ) from None


def _require_bytes(part: _Part, whole: str) -> str:
    if part.type in _BYTES:
        return part.type
    raise ValueError(
        f"{whole}: a mask of {part.type} is not understood; it is of bool or uint8_t, 1 where an entry counts"
    )


def _of_pointer(part: _Part, pointers: list[_Part], whole: str) -> Role:
    if len(pointers) == 1:
        return "input" if part.is_constant else "both"
    if len(pointers) == len(("input", "output")):
        other = pointers[1 - pointers.index(part)]
        if part.is_constant != other.is_constant:
            return "input" if part.is_constant else "output"
        for role in ("input", "output"):
            if part.name in NAMES[role] and other.name not in NAMES[role]:
                return role
            if other.name in NAMES[role] and part.name not in NAMES[role]:
                return "output" if role == "input" else "input"
    raise ValueError(
        f"{whole}: which pointer is the input is not understood; write const float *x and float *y"
    )


def _of_number(part: _Part, whole: str) -> Role:
    for role in ("rows", "length", "stride"):
        if part.name in NAMES[role] and part.type in _INTEGERS:
            return role
    for role in SETTINGS:
        if part.name in NAMES[role] and part.type in _NUMBERS:
            return role
    raise ValueError(
        f"{whole}: parameter {part.type} {part.name} is not understood; name the entries of a row n, the"
        " number of rows rows, the distance between rows stride, a float scale or sink, or wrap the kernel"
    )


def _target(part: _Part, whole: str) -> str | None:
    if part.type in _FLOATS:
        return _FLOATS[part.type]
    if part.type in _CODES:
        return None
    raise ValueError(
        f"{whole}: a pointer to {part.type} is not understood; it is to float, double, _Float16, __bf16,"
        " uint16_t or uint8_t"
    )


def _returned(text: str, whole: str) -> str | None:
    plain = " ".join(word for word in text.split() if word not in _IGNORED)
    if plain == "void":
        return None
    if plain in ("float", "double"):
        return _FLOATS[plain]
    if plain in _INTEGERS or plain == "bool":
        return "status"
    raise ValueError(f"{whole}: what it returns, {plain}, is not understood; void, int, float and double are")


def _check(prototype: Prototype) -> None:
    roles = [parameter.role for parameter in prototype.parameters]
    twice = next((role for role in roles if roles.count(role) > 1 and role != "stride"), None)
    result = prototype.returns in ("float32", "float64")
    if twice is not None:
        raise ValueError(
            f"{prototype.text}: two parameters are its {twice}; name them apart, such as rows and n"
        )
    if not {"input", "both"} & set(roles):
        raise ValueError(f"{prototype.text}: it takes no pointer to logits")
    if "length" not in roles:
        raise ValueError(f"{prototype.text}: no parameter is the number of entries of a row; name it n")
    if result and ("input" not in roles or {"output", "rows"} & set(roles)):
        raise ValueError(f"{prototype.text}: a kernel that returns a result takes one row and writes nothing")
    if {"mask", "stride"} <= set(roles):
        raise ValueError(f"{prototype.text}: with a stride, where the rows of the mask lie is not understood")
    if not result and not {"output", "both"} & set(roles):
        raise ValueError(f"{prototype.text}: it has no pointer to write results to, and returns none")
