"""The codes of causes, and what each stands for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["ALIKE", "CODES"]

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "shift.absent": "nothing is subtracted before exp",
        "shift.constant": "a constant is subtracted, whatever the row",
        "shift.not_max": "something other than the maximum is subtracted",
        "shift.narrowed": "x - max is kept in a narrower format",
        "shift.overflows": "logits are scaled before the shift, and overflow",
        "shift.twice": "the numerators and the sum are shifted by different numbers",
        "max.omits": "the maximum is taken over a part of the row",
        "max.stale": "numerators are shifted by the maximum of a part of the row",
        "exp.wrong_base": "powers of a base other than e",
        "exp.clamped": "exp keeps one value for all arguments below some limit",
        "exp.cut": "exp is 0 at arguments where it should not be",
        "exp.flushed": "exponentials below the normal range are 0",
        "exp.inaccurate": "exp itself is inaccurate",
        "sum.omits": "entries are left out of the sum",
        "sum.repeats": "entries are counted more than once",
        "sum.padded": "padding is counted in the sum",
        "sum.stagnates": "the sum stops growing, as further terms round away",
        "sum.accumulator": "the sum is kept in a narrower format",
        "sum.order": "the order of additions is worse than the tier allows",
        "sum.not_rescaled": "blocks are merged without the right rescaling",
        "divide.epsilon": "something is added to the sum before the division",
        "divide.approximate": "the quotient is off by a factor that depends on the sum alone",
        "divide.logarithm": "in place of the division, a logarithm that is rounded too early is subtracted",
        "divide.by_the_mean": "exponentials are divided by their mean",
        "divide.renormalised": "one output is 1 minus the sum of the others",
        "output.narrowed": "outputs pass through a narrower format",
        "output.rounded_twice": "outputs are rounded to a wider format first, and then once more",
        "output.quantised": "outputs are whole multiples of a step",
        "output.truncated": "outputs are rounded towards 0",
        "output.flushed": "outputs below the normal range are returned as 0",
        "output.clamped": "outputs are kept between two bounds",
        "output.offset": "a constant is added to every output",
        "output.cut": "outputs below a threshold are returned as 0",
        "output.unwritten": "all outputs after some place are 0",
        "output.negative_zero": "an output is -0",
        "output.reused": "a result changes when the function is called again",
        "input.narrowed": "logits pass through a narrower format",
        "input.clamped": "logits are kept between two bounds",
        "input.quantised": "logits are rounded to multiples of a step",
        "input.overwritten": "the call changes its input",
        "input.overrun": "the call writes to memory beside the rows",
        "input.refused": "an input that the contract allows is refused",
        "mask.sentinel": "a finite number stands for -inf",
        "mask.leaks": "a masked entry does not come out as 0",
        "mask.counted": "a masked entry counts in the sum",
        "mask.ignored": "the mask is applied to a part of the row",
        "mask.poisons": "masked entries make the row NaN",
        "axis.ignored": "rows along another axis come out wrong",
        "axis.stacks": "vectors, or stacks of more axes, come out wrong",
        "strides.ignored": "rows that do not lie side by side in memory come out wrong",
        "depends.batch": "a row's outputs depend on the rows beside it, or on its place among them",
        "depends.place": "a row's outputs depend on where it lies in memory",
        "depends.history": "a row's outputs depend on earlier calls",
        "depends.run": "the same call gives other outputs, at random",
        "depends.threads": "calls from two threads disturb each other",
        "policy.nan": "rows with NaN are not as the policy says",
        "policy.inf": "rows with +inf are not as the policy says",
        "policy.masked": "rows of nothing but -inf are not as the policy says",
    }
)
"""Every code, and what it stands for."""

ALIKE: Final = (("output.flushed", "exp.flushed", "exp.cut", "output.cut"),)
"""Codes that come to the same in most rows: where rows do not tell them apart, the first one is named."""
