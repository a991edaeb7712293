"""What all failing rows have in common, said only where sound rows on the other side were tried."""

import numpy as np

from harness.explanation.common import in_common
from harness.explanation.violations import Shown


def shown(x, refused):
    x = np.asarray(x, dtype=np.float64)
    refused = np.asarray(refused)
    return Shown(x, x, x, x, refused, {}, np.ones(len(x), dtype=np.bool_))


def rows(heights, n=3):
    """Return rows that spread over the same, at several heights."""
    return np.asarray(heights, dtype=np.float64)[:, None] + np.zeros(n)


HEIGHTS = [-30_000.0, -20_000, -11_000, -10_500, -10_001, -12_000, -13_000, -14_000]
OTHERS = [-9999.0, -500, -3, 0, 5, 100, 1e4, 1e6]


def test_a_line_between_failing_and_sound_rows_is_given_with_both_sides():
    said = in_common([shown(rows([*HEIGHTS, *OTHERS]), [True] * 8 + [False] * 8)])
    assert said == (
        "all 8 failing rows are rows whose maximum is -1e+04 or less (that of sound rows: -9999 or more),"
        " and none of 8 sound ones"
    )


def test_one_sound_row_beyond_the_line_forbids_the_sentence():
    assert in_common([shown(rows([*HEIGHTS, *OTHERS, -25_000]), [True] * 8 + [False] * 9)]) == ""


def test_nothing_is_said_of_few_rows_or_where_none_is_sound():
    assert in_common([shown(rows([*HEIGHTS[:7], *OTHERS]), [True] * 7 + [False] * 8)]) == ""
    assert in_common([shown(rows(HEIGHTS), [True] * 8)]) == ""


def test_masked_rows_and_lengths_are_classes_too():
    masked = rows([*HEIGHTS, *OTHERS])
    masked[:8, 0] = -np.inf
    masked[:8, 1:] += 10_000
    assert "are rows with a masked entry" in in_common([shown(masked, [True] * 8 + [False] * 8)])
    by_length = [shown(rows(OTHERS, n), [n % 4 != 0] * 8) for n in (2, 3, 4, 5, 7, 8, 12, 16, 17)]
    assert "are rows where n is not divisible by 4" in in_common(by_length)
