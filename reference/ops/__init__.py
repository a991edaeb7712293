"""What a candidate may compute of a row: the ops, one module each.

An `Op` says what is exact, how large the results are, what stands at a masked entry and in policy rows, and
how outputs are judged. Whoever needs one of these asks the op; nothing else names ops one by one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from reference.ops.log_softmax import LOG_SOFTMAX
from reference.ops.logsumexp import LOGSUMEXP
from reference.ops.op import OBSERVED, Op
from reference.ops.softmax import SOFTMAX

__all__ = ["LOGSUMEXP", "LOG_SOFTMAX", "OBSERVED", "OPS", "SOFTMAX", "Op", "op_named"]

OPS: Final[MappingProxyType[str, Op]] = MappingProxyType(
    {op.name: op for op in (SOFTMAX, LOG_SOFTMAX, LOGSUMEXP)}
)
"""Every op by name."""


def op_named(name: str | Op) -> Op:
    """Return the op of that name; an op itself as it is.

    Raises:
        ValueError: there is none.
    """
    if isinstance(name, Op):
        return name
    if name not in OPS:
        raise ValueError(f"op {name!r}: it is one of {', '.join(OPS)}")
    return OPS[name]
