"""What a candidate says of itself: the ground on which a verdict about it stands.

A `Declaration` never changes a measured figure. It names what the candidate exponentiates
(so that a failed row can be told from an overflow), the algorithm it claims to run (so that
an a-priori bound applies), whether its format saturates, and the policies that it asks to
be judged by, each of which is printed with the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import Any, Literal, get_args, get_type_hints

__all__ = ["Algorithm", "Argument", "Declaration", "Division", "Policy", "Summation"]

Argument = Literal["plain", "constant", "shifted", "running", "unknown"]
"""What is exponentiated: x, x + c, x - max, x minus the maximum so far, or one of the first and third."""

Summation = Literal["sequential", "pairwise", "lanes", "compensated"]
"""How the exponentials are added: height n - 1; numpy's blocked pairwise; one by one in the lanes of a
vector register, which are joined at the end; Kahan's."""

Division = Literal["divide", "reciprocal", "none"]
"""How the sum is divided out: one rounding, two (times 1/sum), or exp(x - lse)."""


@dataclass(frozen=True)
class Algorithm:
    """A softmax algorithm as far as its a-priori error bound needs it.

    Attributes:
        name: for reports.
        argument: what it exponentiates.
        exp_ulps: the most its exp is wrong, in ULP of the arithmetic it runs in.
        summation: the order and kind of its sum.
        accumulator_precision: precision of the accumulator, None for that of the arithmetic. Its largest and
            its smallest subnormal number are taken to be those of the arithmetic.
        division: how the sum is divided out.
        exp2: whether the exponential is computed as exp2(t log2 e), log2 e being rounded to nearest.
        arithmetic: the format that intermediates are kept in, None for the output's own.
        constant: c, where the argument is x + c.
        one_at_zero: whether its exp(0) is exactly 1.
        rescaled: whether entries are exponentiated against the maximum of their block, and brought to that
            of the row by one more factor: exp(x - m) exp(m - max), of which `exp_ulps` is the error of both
            together.
    """

    name: str
    argument: Argument
    exp_ulps: float
    summation: Summation
    accumulator_precision: int | None = None
    division: Division = "divide"
    exp2: bool = False
    arithmetic: str | None = None
    constant: float = 0.0
    one_at_zero: bool = False
    rescaled: bool = False


@dataclass(frozen=True)
class Policy:
    """What a candidate asks to be judged by where there is no exact result, or a choice.

    Attributes:
        subnormals: `flush` excuses an output 0 where the exact result lies below 2^emin, the least normal
            number, also where it rounds up to it; never one where the result is 2^emin or more.
        batch: `accurate` does not ask for the same bits alone as in a batch.
        nan_row: the outputs of a row that holds a NaN.
        masked_row: the outputs of a row that is all -inf.
        pos_inf: the outputs of a row that holds +inf: all NaN; the limit (shares among the
            infinities, zero elsewhere); NaN at the infinities and zero elsewhere.
    """

    subnormals: Literal["keep", "flush"] = "keep"
    batch: Literal["bitwise", "accurate"] = "bitwise"
    nan_row: Literal["nan", "any"] = "nan"
    masked_row: Literal["nan", "zero", "any"] = "nan"
    pos_inf: Literal["nan", "limit", "nan_at_inf", "any"] = "nan"

    def with_setting(self, setting: str) -> Policy:
        """Return the policy with one KEY=VALUE changed.

        Raises:
            ValueError: the setting is not of that form, or names no key or value of a policy.
        """
        key, separator, value = setting.partition("=")
        hints = get_type_hints(Policy)
        if not separator or key not in hints:
            raise ValueError(f"policy {setting!r}: write KEY=VALUE with KEY one of {', '.join(hints)}")
        if value not in get_args(hints[key]):
            raise ValueError(f"policy {setting!r}: {key} is one of {', '.join(get_args(hints[key]))}")
        changes: dict[str, Any] = {key: value}
        return replace(self, **changes)

    def with_settings(self, settings: Iterable[str]) -> Policy:
        """Return the policy with several KEY=VALUE changed, the last of a key counting.

        Raises:
            ValueError: as `with_setting` does.
        """
        return reduce(Policy.with_setting, settings, self)

    @staticmethod
    def spelled() -> str:
        """Return every key and its values, as KEY=VALUE|VALUE."""
        hints = get_type_hints(Policy)
        return ", ".join(f"{key}={'|'.join(get_args(hint))}" for key, hint in hints.items())

    def relaxations(self, default: Policy) -> tuple[str, ...]:
        """Return the settings that differ from those that hold by default, as KEY=VALUE."""
        return tuple(
            f"{f.name}={getattr(self, f.name)}"
            for f in fields(self)
            if getattr(self, f.name) != getattr(default, f.name)
        )


@dataclass(frozen=True)
class Declaration:
    """Argument, algorithm, saturation and policy of a candidate, and whether threads may call it at once."""

    argument: Argument = "unknown"
    constant: float = 0.0
    algorithm: Algorithm | None = None
    saturating: bool = False
    policy: Policy = field(default_factory=Policy)
    threads: bool = True
