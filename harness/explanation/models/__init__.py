"""Softmaxes with one part that is wrong, as short programs: `models_of` yields all that could be measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.explanation.anatomy import Anatomy
from harness.explanation.models.bits import of_bits
from harness.explanation.models.blocks import of_blocks
from harness.explanation.models.cells import of_cells
from harness.explanation.models.exps import of_exp
from harness.explanation.models.logits import of_logits, of_padding
from harness.explanation.models.masks import of_masks
from harness.explanation.models.model import Model, works_of
from harness.explanation.models.places import of_places
from harness.explanation.models.quotients import of_division, of_output
from harness.explanation.models.shifts import of_any_shift, of_shift
from harness.explanation.models.steps import of_steps
from harness.explanation.models.sums import of_sum
from harness.explanation.questions import Questions

__all__ = ["Model", "last_of", "models_of"]


def models_of(questions: Questions, anatomy: Anatomy, lengths: Sequence[int] = ()) -> Iterator[Model]:
    """Yield the models whose constants could be measured; at the lengths rows are known to fail."""
    for work in works_of(questions):
        yield from of_shift(questions, anatomy, work)
        yield from of_sum(questions, anatomy, work, lengths)
        yield from of_cells(questions, work)
        yield from of_blocks(questions, work)
        yield from of_exp(questions, anatomy, work)
        yield from of_division(questions, work)
        yield from of_output(questions, work)
        yield from of_steps(questions, work)
        yield from of_bits(questions, work)
        yield from of_logits(questions, work)
        yield from of_padding(questions, work)
        yield from of_places(questions, work)
        yield from of_masks(questions, work)


def last_of(questions: Questions) -> Iterator[Model]:
    """Yield what is said only where nothing says more, and no length is found that alone is wrong."""
    for work in works_of(questions):
        yield from of_any_shift(questions, work)
