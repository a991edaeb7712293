"""A candidate: a softmax implementation under test, and what it says of itself.

A user's function declares by one attribute of plain values, so that it need not import us:

    def softmax(x, axis=-1): ...

    softmax.declares = {
        "op": "softmax",                          # what it computes: a name of reference.ops.OPS
        "formats": ["float32", "bfloat16"],       # what it takes; all, where left out
        "argument": "shifted",                    # what it exponentiates: reference.declaration.Argument
        "constant": 0.0,                          # c, where that is x + c
        "saturating": False,                      # whether overflow gives the largest number
        "threads": True,                          # whether two threads may call it at once
        "policy": {"pos_inf": "limit"},           # reference.declaration.Policy
        "scale": 0.125,                           # of a fused kernel: what logits are multiplied by,
        "sink": 0.0,                              #   a logit that is in the sum alone,
        "mask": "mask",                           #   the parameter that says which entries count
        "algorithm": {                            # reference.declaration.Algorithm; none, where left out
            "name": "two-pass",
            "exp_ulps": 1.0,
            "summation": "sequential",
        },
    }

All of it is optional; `softmax.formats = ["float32"]` by itself does as well. `scale` and `sink` are passed
where the function has parameters of these names; otherwise they are taken to be inside. An algorithm's
`argument` and `constant` are the declared ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from harness.subject.candidates.fusing import MASK, NUMBERS, SETTINGS
from harness.subject.candidates.loading import CandidateError
from harness.subject.candidates.sources import Sources
from harness.terminal.exceptions import nearest
from reference.declaration import Algorithm, Declaration, Policy
from reference.formats import FORMATS, FloatFormat
from reference.fused import PLAIN, Fused
from reference.ops import OPS, SOFTMAX, Op, with_settings

_APART: Final = ("formats", "op", *SETTINGS)
"""What a function declares beside a `Declaration`."""

__all__ = ["Axis", "Candidate", "declaration_of", "formats_of", "op_of"]

Axis = Literal["axis", "dim"]


@dataclass(frozen=True)
class Candidate:
    """An implementation of softmax, or of another op.

    Attributes:
        name: what cells and reports call it.
        spec: what `harness.subject.candidates.load` makes it from, whatever the current folder.
        call: the function itself.
        declaration: what it declares, whatever the format.
        op: what it computes.
        formats: names of the formats it takes; None where it does not say.
        axis_parameter: the keyword by which it takes its axis; None: it works on the last one.
        description: one line for people.
        algorithms: its algorithm by format name, where that depends on the format.
        keeps_format: whether it returns the format it is given, and no other.
        variant: makes the candidate of NAME@VALUE from VALUE; None where it has no parameter.
        refused: why it does not take a format, by the format's name, where that was found out by trying.
        version: that of the library whose softmax it is; empty where it is none's.
        sources: of a user's own, what it was loaded from when it was looked at: see `sources.loaded_from`.
    """

    name: str
    spec: str
    call: Callable[..., Any]
    declaration: Declaration = field(default_factory=Declaration)
    op: Op = field(default=SOFTMAX, hash=False)
    formats: frozenset[str] | None = None
    axis_parameter: Axis | None = None
    description: str = ""
    algorithms: Mapping[str, Algorithm] = field(default_factory=dict, hash=False)
    keeps_format: bool = False
    variant: Callable[[str], Candidate] | None = None
    refused: Mapping[str, str] = field(default_factory=dict, hash=False)
    version: str = ""
    sources: Sources = field(default_factory=dict, hash=False, compare=False)

    def __call__(self, x: Any, axis: int = -1) -> Any:
        """Return the candidate's softmax of x along an axis.

        Raises:
            ValueError: it has no axis parameter, and the axis is not the last.
        """
        if self.axis_parameter is not None:
            return self.call(x, **{self.axis_parameter: axis})
        if axis not in (-1, x.ndim - 1):
            raise ValueError(f"axis {axis}: {self.name} has no axis parameter and works on the last one")
        return self.call(x)

    def supports(self, fmt: FloatFormat, out: FloatFormat | None = None) -> bool:
        """Tell whether it takes a format, and returns another where one is given."""
        takes = (self.formats is None or fmt.name in self.formats) and fmt.name not in self.refused
        takes = takes and (fmt.has_infinity or not self.op.fused.mask)
        return takes and (out is None or out == fmt or not self.keeps_format)

    def refusal(self, fmt: FloatFormat, out: FloatFormat) -> str:
        """Say that it does not take a format to another, and why; of one that it does not support."""
        told = f"does not take {fmt}" + ("" if out == fmt else f" to {out}")
        if fmt.name in self.refused:
            return f"{told}: {self.refused[fmt.name]}"
        if self.formats is not None and fmt.name not in self.formats:
            return f"{told}; it declares {', '.join(sorted(self.formats)) or 'none'}"
        if self.op.fused.mask and not fmt.has_infinity:
            return f"{told}: it has a mask, and {fmt} no infinity, by which rows here say what is masked"
        return f"{told}; it returns the format that it is given"

    def under(self, policies: Iterable[str]) -> Candidate:
        """Return it with KEY=VALUE settings over the policy that it declares: how a command binds it.

        Raises:
            ValueError: a setting names no key or value of a policy.
        """
        policy = self.declaration.policy.with_settings(policies)
        return replace(self, declaration=replace(self.declaration, policy=policy))

    def declared(self, fmt: FloatFormat) -> Declaration:
        """Return what it declares for rows of a format."""
        algorithm = self.algorithms.get(fmt.name, self.declaration.algorithm)
        return replace(self.declaration, algorithm=algorithm)


# What users declare ----------------------------------------------------------------------


def formats_of(spec: str, declares: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the declared formats, None where none are.

    Raises:
        CandidateError: one of them is no format.
    """
    names = declares.get("formats")
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise _mistake(spec, "formats", names, "it is a list of names")
    for name in (chosen := list(names)):
        _choose(spec, "formats", name, FORMATS)
    return frozenset(chosen)


def op_of(spec: str, declares: Mapping[str, Any], function: str, given: Op | None = None) -> Op:
    """Return the op of a user's function: as given, else as declared, else as its name says, else softmax.

    It has the settings that the function declares.

    Raises:
        CandidateError: what is declared is no op or no settings, or not the settings of the op that is given.
    """
    fused = _fused_of(spec, declares)
    if given is not None:
        if given.fused and given.fused != fused:
            raise CandidateError(
                f"candidate {spec!r}: it declares {fused or 'no scale, sink or mask'}, and is asked for as"
                f" {given}; give the function that was measured"
            )
        return with_settings(given.plain or given, fused)
    declared = declares.get("op") if isinstance(declares, Mapping) else None
    if declared is None:
        return with_settings(OPS.get(function.rpartition(".")[2], SOFTMAX), fused)
    _choose(spec, "op", declared, OPS)
    return with_settings(OPS[declared], fused)


def _fused_of(spec: str, declares: Mapping[str, Any]) -> Fused:
    """Return the settings that a function declares."""
    if not isinstance(declares, Mapping):
        return PLAIN
    given: dict[str, float] = {}
    for name in NUMBERS:
        value = declares.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_exact(value):
            raise _mistake(spec, name, value, "it is a number that float64 holds exactly")
        given[name] = float(value)
    mask = declares.get(MASK, False)
    if not isinstance(mask, bool) and not (isinstance(mask, str) and mask.isidentifier()):
        raise _mistake(spec, MASK, mask, "it is the name of a parameter, or True for 'mask'")
    try:
        return Fused(**given, mask=bool(mask))
    except ValueError as error:
        raise CandidateError(f"candidate {spec!r}: {error}") from None


def _is_exact(value: float) -> bool:
    try:
        return float(value) == value or value != value
    except OverflowError:
        return False


def declaration_of(spec: str, declares: Mapping[str, Any], op: Op = SOFTMAX) -> Declaration:
    """Return what a user's function declares, of the op that it computes.

    Raises:
        CandidateError: a key is unknown, or a value is none that it may have.
    """
    known = (*_APART, *get_type_hints(Declaration))
    for key in _mapping(spec, "declares", declares):
        _choose(spec, "declares", key, known)
    given = {key: value for key, value in declares.items() if key not in _APART}
    policy = _policy(spec, given.pop("policy", {}), op.policy)
    algorithm = given.pop("algorithm", None)
    declaration = Declaration(policy=policy, **_checked(spec, Declaration, given))
    if algorithm is None:
        return declaration
    return replace(declaration, algorithm=_algorithm(spec, declaration, algorithm))


def _policy(spec: str, settings: Any, policy: Policy) -> Policy:
    for key, value in _mapping(spec, "policy", settings).items():
        try:
            policy = policy.with_setting(f"{key}={value}")
        except ValueError as error:
            raise CandidateError(f"candidate {spec!r}: {error}") from None
    return policy


def _algorithm(spec: str, declaration: Declaration, given: Any) -> Algorithm:
    inherited = {"argument": declaration.argument, "constant": declaration.constant}
    values = {"name": spec, **_mapping(spec, "algorithm", given), **inherited}
    if values.get("arithmetic") is not None:
        _choose(spec, "arithmetic", values["arithmetic"], FORMATS)
    try:
        return Algorithm(**_checked(spec, Algorithm, values))
    except TypeError as error:  # a field without a default is missing
        raise CandidateError(f"candidate {spec!r}: algorithm: {error}") from None


def _mapping(spec: str, key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _mistake(spec, key, value, "it is a dictionary")
    return value


def _checked(spec: str, of: type, values: Mapping[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(of)
    for key, value in values.items():
        _choose(spec, of.__name__.lower(), key, hints)
        _check(spec, key, value, hints[key])
    return dict(values)


def _check(spec: str, key: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Literal:
        _choose(spec, key, value, get_args(hint))
        return
    types = get_args(hint) or (hint,)
    numbers = (int, float) if float in types else ()
    if (isinstance(value, bool) and bool not in types) or not isinstance(value, (*types, *numbers)):
        names = " or ".join("None" if t is type(None) else t.__name__ for t in types)
        raise _mistake(spec, key, value, f"it is of type {names}")


def _choose(spec: str, key: str, value: Any, known: Iterable[str]) -> None:
    names = list(known)
    if value not in names:
        near = nearest(str(value), names)
        raise _mistake(
            spec, key, value, f"did you mean {near!r}?" if near else f"it is one of {', '.join(names)}"
        )


def _mistake(spec: str, key: str, value: Any, rule: str) -> CandidateError:
    return CandidateError(f"candidate {spec!r}: {key} {value!r}: {rule}")
