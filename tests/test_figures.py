"""Figures are spelled without lying: exact ends stay exact, and nothing else looks like them."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.figures import NOTHING, count, figure, interval, percent, plural, sample, seconds, ulps

RATES = st.floats(0, 1)
ERRORS = st.floats(0, allow_nan=False)


@given(RATES)
def test_a_rate_reads_as_0_or_100_percent_only_where_it_is(rate: float) -> None:
    text = percent(rate)
    assert (text == "0 %") == (rate == 0), (rate.hex(), text)
    assert (text == "100 %") == (rate == 1), (rate.hex(), text)
    assert 0 <= Decimal(text.removesuffix(" %")) <= 100


@given(ERRORS)
def test_an_error_stays_on_its_side_of_0_one_half_and_1(error: float) -> None:
    text = ulps(error)
    for wall in (0.0, 0.5, 1.0):
        shown = float("inf") if text == "inf" else Decimal(text)
        assert (shown > wall) == (error > wall), (error.hex(), text)
        assert (shown == wall) == (error == wall), (error.hex(), text)


@given(RATES, RATES)
def test_an_interval_is_rounded_outwards(one: float, other: float) -> None:
    low, high = sorted((one, other))
    below, above = interval(low, high).removesuffix(" %").split(" to ")
    assert Decimal(below) <= Decimal(low) * 100, (low.hex(), below)
    assert Decimal(above) >= Decimal(high) * 100, (high.hex(), above)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4996, "0.4996"),
     (0.49999999, "0.49999999"), (1.0004, "1.0004"), (63.98765, "64"), (2.0**60, "1.15e18"),
     (5e-324, "4.94e-324"), (math.inf, "inf"), (None, NOTHING), (0.0, "0"), (2048.0, "2050")],
)  # fmt: skip
def test_errors_as_they_are_spelled(value: float | None, text: str) -> None:
    assert ulps(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234567, "12.3 %"), (0.999999, "99.9999 %"),
     (1 - 2.0**-53, "99.999999999999989 %"), (1e-12, "1e-10 %"),
     (0.995, "99.5 %"), (None, NOTHING)],
)  # fmt: skip
def test_rates_as_they_are_spelled(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_other_words() -> None:
    assert (count(1234567), plural(1, "row"), plural(2000, "row")) == ("1,234,567", "1 row", "2,000 rows")
    assert [figure(v) for v in (12345, 5.930734, -64.0, "x", None, True)] == [
        "12,345", "5.931", "-64", "x", NOTHING, "True",
    ]  # fmt: skip
    assert sample(12, 3, whole=False) == "worst found in 12 rows, seed 3"
    assert sample(12, None, whole=False) == "worst found in 12 rows"
    assert sample(12, None, whole=True) == "every one of 12 rows, exhaustively"
    assert (seconds(12.345), seconds(125)) == ("12.3 s", "2 min 5 s")
    assert (interval(None, None), interval(0.0, 0.00012345)) == ("", "0 to 0.013 %")
