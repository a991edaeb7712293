"""An op of fused rows: the same op of the rows that `reference.fused` makes of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.errors import Judgement
from reference.formats import FloatFormat
from reference.fused import Fused
from reference.model import Method, Truth
from reference.ops.op import Op

__all__ = ["whole_truth", "with_settings"]

Floats = NDArray[np.float64]


def with_settings(op: Op, fused: Fused) -> Op:
    """Return the op of rows s x with a sink, masked entries being -inf; without settings the op itself."""
    if not fused:
        return op
    return replace(
        op,
        name=f"{op.name}({fused})",
        formula=f"{op.formula} of x fused with {fused}",
        fused=fused,
        plain=op,
        pairs=None,
        policy_fits=partial(_policy_fits, op, fused),
        exact=partial(_exact, op, fused),
        by_mpmath=partial(_by_mpmath, op, fused),
        certified=partial(_certified, op, fused),
        evaluate=partial(_evaluate, op, fused),
    )


def whole_truth(op: Op, x: Floats, fmt: FloatFormat, method: Method = "certified", jobs: int = 1) -> Truth:
    """Return the truth about logits with their sink, whose own result comes last: shape (rows, n + 1).

    Without a sink, and of an op that reduces rows, it is `op.truth`.

    Args:
        op: the op, with or without settings.
        x: logits of shape (rows, n), n >= 1.
        fmt: the output format.
        method: `certified` or `mpmath`.
        jobs: threads of the certified method.
    """
    if op.plain is None:
        return op.truth(x, fmt, method, jobs)
    whole = _whole_by_mpmath if method == "mpmath" else partial(_whole, jobs=jobs)
    return whole(op.plain, op.fused, x, fmt)


def _exact(op: Op, fused: Fused, x: ArrayLike, bits: int) -> Any:
    from reference.enclosures import refuse_kinds
    from reference.inputs import logit_rows

    if bits < 1:
        raise ValueError(f"bits {bits}: a result needs at least 1 bit; the default is 200")
    rows, shape = logit_rows(x)
    refuse_kinds(with_settings(op, fused).kinds(rows), shape, op.name)
    found = [op.exact_row(row, bits) for row in fused.exact_rows(rows)]
    result = np.empty((len(rows), 1 if op.reduces else rows.shape[1]), dtype=object)
    for i, results in enumerate(found):
        result[i] = results[: result.shape[1]]
    return result.reshape(op.shape(shape))[()]


def _by_mpmath(op: Op, fused: Fused, x: Floats, fmt: FloatFormat) -> Truth:
    return _without_sink(op, fused, _whole_by_mpmath(op, fused, x, fmt))


def _certified(op: Op, fused: Fused, x: Floats, fmt: FloatFormat, jobs: int) -> Truth:
    return _without_sink(op, fused, _whole(op, fused, x, fmt, jobs))


def _evaluate(
    op: Op, fused: Fused, x: Floats, y: NDArray[Any], fmt: FloatFormat, jobs: int
) -> tuple[Judgement, int]:
    truth = _certified(op, fused, x, fmt, jobs)
    return op.judge_certified(y, truth, jobs), truth.fallbacks


def _policy_fits(op: Op, fused: Fused, x: Floats, y: Floats) -> dict[str, NDArray[np.bool_]]:
    return op.policy_fits(fused.turned(x), y)


def _without_sink(op: Op, fused: Fused, truth: Truth) -> Truth:
    if op.reduces:
        return truth
    nearest, residual = fused.without_sink(truth.nearest), fused.without_sink(truth.residual)
    return replace(truth, nearest=nearest, residual=residual)


def _whole_by_mpmath(op: Op, fused: Fused, x: Floats, fmt: FloatFormat) -> Truth:
    length = x.shape[1] + (fused.sink is not None)
    return op.by_mpmath_of_rows(fused.exact_rows(x), with_settings(op, fused).kinds(x), length, fmt)


def _whole(op: Op, fused: Fused, x: Floats, fmt: FloatFormat, jobs: int = 1) -> Truth:
    """Return the truth of the rows as float64 where they are that, else by the op's own path for products.

    What that leaves open, and everything where an op has none, is mpmath's.
    """
    (values, exact), kinds = fused.floats(x), with_settings(op, fused).kinds(x)
    if exact.all():
        return op.certified(values, fmt, jobs)
    odd = np.flatnonzero(~exact)
    truth = op.certified(np.where(exact[:, None], values, 0.0), fmt, jobs)
    truth.kinds[odd] = kinds[odd]
    fallbacks = truth.fallbacks
    if op.certified_products is None:
        rows, is_open = odd, np.ones((odd.size, truth.nearest.shape[1]), dtype=np.bool_)
    else:
        turned = fused.turned(x[odd])
        found = op.certified_products(turned, fused.size, fused.sink, fmt, jobs)
        truth.nearest[odd], truth.residual[odd] = found.nearest, found.residual
        left = np.flatnonzero(found.undecided)
        rows, is_open = odd[left], np.isnan(found.residual[left])
    if rows.size:
        slow = _whole_by_mpmath(op, fused, x[rows], fmt)
        truth.nearest[rows] = np.where(is_open, slow.nearest, truth.nearest[rows])
        truth.residual[rows] = np.where(is_open, slow.residual, truth.residual[rows])
        fallbacks += int(is_open.sum())
    return replace(truth, fallbacks=fallbacks)
