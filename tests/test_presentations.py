"""Arrangements of rows: each arrives as it is said to, and what is done beside it is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from harness.subject.execution.calls import CallFailed, call
from reference.formats import FORMATS

F32 = FORMATS["float32"]


class Recording:
    """Sums to zero along the axis, and remembers what it was given."""

    axis_parameter = "axis"

    def __init__(self):
        self.seen = []

    def call(self, x, axis):
        self.seen.append((x.shape, x.strides, x.flags.writeable, axis))
        return x - x[tuple(slice(0, 1) if i == axis % x.ndim else slice(None) for i in range(x.ndim))]


ARRANGED = {
    "plain": ((6, 5), (20, 4), True, -1),
    "read_only": ((6, 5), (20, 4), False, -1),
    "strided": ((6, 5), (40, 8), True, -1),
    "reversed": ((6, 5), (-20, -4), True, -1),
    "fortran": ((6, 5), (4, 24), True, -1),
    "vectors": ((5,), (4,), True, -1),
    "singly": ((1, 5), (20, 4), True, -1),
    "cube": ((2, 3, 5), (60, 20, 4), True, -1),
    "transposed": ((2, 3, 5), (4, 8, 24), True, -1),
    "first_axis": ((5, 6), (24, 4), True, 0),
    "first_of_cube": ((5, 2, 3), (24, 12, 4), True, 0),
    "middle_of_cube": ((2, 5, 3), (60, 12, 4), True, 1),
    "last_of_cube": ((2, 3, 5), (60, 20, 4), True, 2),
    "first_from_the_end": ((5, 6), (24, 4), True, -2),
    "middle_from_the_end": ((2, 5, 3), (60, 12, 4), True, -2),
    "pitched": ((6, 5), (40, 4), True, -1),
    "amid": ((6, 5), (20, 4), True, -1),
    "kept": ((6, 5), (20, 4), True, -1),
}


@pytest.mark.parametrize("presentation", ARRANGED)
def test_rows_arrive_as_arranged_and_outputs_come_back_as_rows(presentation):
    x = np.arange(30, dtype=np.float32).reshape(6, 5) ** 2
    recording = Recording()
    y = call(recording, x.copy(), np.dtype(np.float32), presentation)
    assert recording.seen[0] == ARRANGED[presentation]
    assert (y == x - x[:, :1]).all()


def test_a_row_by_itself_has_no_other_beside_it():
    class Overreaching(Recording):
        """Writes on to the end of the memory that its row is in."""

        def call(self, x, axis):
            y = super().call(x, axis)
            x.base.reshape(-1)[5:] = 0
            return y

    x = np.arange(30, dtype=np.float32).reshape(6, 5)
    overreaching = Overreaching()
    y = call(overreaching, x, np.dtype(np.float32), "singly")
    assert len(overreaching.seen) == 6
    assert (y == x - x[:, :1]).all()
    assert x.any(axis=1).all()


def test_who_writes_beside_its_rows_is_told_so():
    class Careless(Recording):
        def call(self, x, axis):
            x.base[-1] = 0
            return super().call(x, axis)

    x = np.ones((6, 5), np.float32)
    with pytest.raises(CallFailed, match="it wrote to memory beside the rows that it was given"):
        call(Careless(), x, np.dtype(np.float32), "amid")
    assert np.isnan(call(Recording(), x, np.dtype(np.float32), "amid")).sum() == 0


def test_an_output_that_a_later_call_changes_is_seen():
    class Reusing(Recording):
        buffer = np.zeros((6, 5), np.float32)

        def call(self, x, axis):
            self.buffer[...] = super().call(x, axis)
            return self.buffer

    x = np.arange(30, dtype=np.float32).reshape(6, 5)
    plain, kept = (call(Reusing(), x, np.dtype(np.float32), how).copy() for how in ("plain", "kept"))
    assert (plain != kept).any()


def test_outputs_of_another_shape_than_arranged_are_refused():
    class Flat(Recording):
        def call(self, x, axis):  # noqa: ARG002 - that is its mistake
            return x.reshape(-1, 5)

    x = np.zeros((6, 5), np.float32)
    with pytest.raises(
        CallFailed, match=r"returned shape \(6, 5\) for an input of shape \(2, 3, 5\), axis 2"
    ):
        call(Flat(), x, np.dtype(np.float32), "last_of_cube")
