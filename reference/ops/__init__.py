"""What a candidate may compute of a row: the ops, one module each.

An `Op` says what is exact, how large the results are, what stands at a masked entry and in policy rows, and
how outputs are judged. Whoever needs one of these asks the op; nothing else names ops one by one.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from reference.fused import Fused, fused_of
from reference.ops import fused as fused_ops
from reference.ops.log_softmax import LOG_SOFTMAX
from reference.ops.logsumexp import LOGSUMEXP
from reference.ops.op import OBSERVED, Op
from reference.ops.softmax import SOFTMAX

__all__ = ["LOGSUMEXP", "LOG_SOFTMAX", "OBSERVED", "OPS", "SOFTMAX", "Op", "op_named", "with_settings"]

OPS: Final[MappingProxyType[str, Op]] = MappingProxyType(
    {op.name: op for op in (SOFTMAX, LOG_SOFTMAX, LOGSUMEXP)}
)
"""Every op by name."""


def op_named(name: str | Op) -> Op:
    """Return the op of that name, settings included: `softmax(scale=0.125)`; an op itself as it is.

    Raises:
        ValueError: there is none.
    """
    return name if isinstance(name, Op) else _op_named(name)


@lru_cache(maxsize=256)
def _op_named(name: str) -> Op:
    plain, fused, settings = name.partition("(")
    if plain not in OPS or (fused and not settings.endswith(")")):
        raise ValueError(f"op {name!r}: it is one of {', '.join(OPS)}")
    return _fused(plain, fused_of(settings[:-1])) if fused else OPS[plain]


def _by_name(op: Op) -> tuple[Callable[[str], Op], tuple[str]]:
    return op_named, (op.name,)


copyreg.pickle(Op, _by_name)  # an op that comes from another process is the one that is here


def with_settings(op: Op, fused: Fused) -> Op:
    """Return an op without settings with some; the same object for the same settings."""
    return _fused(op.name, fused)


@lru_cache(maxsize=256)
def _fused(name: str, fused: Fused) -> Op:
    return fused_ops.with_settings(OPS[name], fused)
