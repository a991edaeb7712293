"""Rows reduced by columns give what each row gives."""

from __future__ import annotations

import numpy as np
import pytest

from reference.reductions import over_rows


@pytest.mark.parametrize("length", [1, 2, 7, 32, 33, 100])
@pytest.mark.parametrize("rows", [0, 1, 5, 40])
def test_rows_of_any_length_are_reduced_as_each_is(rows: int, length: int) -> None:
    x = np.random.default_rng(rows * length).normal(size=(rows, length))
    x[x < -2] = -np.inf
    assert over_rows(np.maximum, x).tolist() == [max(row) for row in x.tolist()]
    wide = x > 1.5
    assert over_rows(np.logical_or, wide).tolist() == [any(row) for row in wide.tolist()]
    assert over_rows(np.logical_and, ~wide).tolist() == [not any(row) for row in wide.tolist()]
    assert over_rows(np.add, wide).tolist() == [sum(row) for row in wide.tolist()]


@pytest.mark.parametrize("length", [3, 50])
def test_rows_with_gaps_between_their_entries_are_reduced_too(length: int) -> None:
    x = np.random.default_rng(1).normal(size=(9, 2 * length))[:, ::-2]
    assert over_rows(np.maximum, x).tolist() == [max(row) for row in x.tolist()]
