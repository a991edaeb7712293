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
        "max.stale": "numerators keep a maximum that was known before the whole row was",
        "exp.wrong_base": "powers of another base than e",
        "exp.clamped": "exp keeps the value of a least argument below it",
        "exp.cut": "exp is 0 below an argument where it has a value",
        "exp.flushed": "exponentials below the normal range are 0",
        "exp.inaccurate": "exp itself is off",
        "sum.omits": "entries are left out of the sum",
        "sum.repeats": "entries are counted more than once",
        "sum.padded": "padding is counted",
        "sum.stagnates": "the sum stands still",
        "sum.accumulator": "the sum is kept in a narrower format",
        "sum.order": "the order of additions is worse than the tier allows",
        "sum.not_rescaled": "blocks are merged without the right rescaling",
        "divide.epsilon": "something is added to the sum before the division",
        "divide.approximate": "the quotient is off, by a share that depends on the sum alone",
        "divide.logarithm": "the division is a subtraction of a logarithm that is rounded too early",
        "divide.by_the_mean": "the division is by the mean of the exponentials",
        "divide.renormalised": "an output is made of what the others leave",
        "output.narrowed": "outputs pass through a narrower format",
        "output.rounded_twice": "outputs are rounded to a wider format first, and then once more",
        "output.quantised": "outputs are whole multiples of a step",
        "output.truncated": "outputs are rounded towards 0",
        "output.flushed": "outputs below the normal range are returned as 0",
        "output.clamped": "outputs are kept between two bounds",
        "output.offset": "a constant is added to every output",
        "output.cut": "outputs below a threshold are returned as 0",
        "output.unwritten": "outputs from a place on are 0",
        "output.negative_zero": "an output is -0",
        "output.reused": "a result changes when another call is made",
        "input.narrowed": "logits pass through a narrower format",
        "input.clamped": "logits are kept between two bounds",
        "input.quantised": "logits are rounded to multiples of a step",
        "input.overwritten": "the input is another after the call",
        "input.overrun": "memory beside the rows is written to",
        "input.refused": "an input is refused that others take",
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
