"""Tallies add up exactly in any order, and survive their JSON without loss."""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import key, overflowing, tally_of, witness

from reports.record.bins import Bins, added, greatest
from reports.record.profiles import GAPS, KINDS, PLACE_COUNTS, SIDE
from reports.record.tally import HISTOGRAM_SHIFT, Tally, merge, plain
from reports.record.witness import ALONE_BEYOND, PACKED_BEYOND, Witness, json_float, parse_float

CELL = key()


def parts() -> list[Tally]:
    return [
        tally_of(CELL, [0.1, 0.3, 2.0**-60], batch=0),
        overflowing(CELL, [0.5, math.pi * 1e300], rows=6),
        tally_of(CELL, [], rows=1, batch=2, max_ulp=None, ulp_sum=Fraction(1, 3)),
        tally_of(CELL, [7.25], batch=3, faults={"raised": 2}, policies={"nan:nan": 1}),
    ]


def test_merging_is_the_same_in_every_order() -> None:
    results = {merge(order).to_json() for order in itertools.permutations(parts())}
    assert len(results) == 1


def test_merging_is_associative_and_keeps_an_empty_tally_neutral() -> None:
    a, b, c, d = parts()
    assert merge([merge([a, b]), merge([c, d])]) == merge([a, b, c, d])
    assert merge([Tally(), a]).to_json() == merge([a]).to_json()


def test_sums_are_exact_where_float_sums_are_not() -> None:
    tiny, huge = tally_of(CELL, [2.0**-60]), tally_of(CELL, [2.0**60])
    total = merge([huge, *[tiny] * 4]).ulp_sum
    assert total == Fraction(2) ** 60 + 4 * Fraction(1, 2**60)


def test_json_loses_nothing() -> None:
    for tally in (*parts(), merge(parts()), tally_of(CELL, [1.0], max_ulp=math.inf)):
        assert Tally.from_json(tally.to_json()) == tally


def test_of_each_kind_the_gravest_witness_is_kept_gravest_kind_first() -> None:
    small, large = witness(CELL, score=1.0), witness(CELL, score=2.0, origin="batch 1, row 0")
    lost = witness(CELL, kind="lost", score=0.0)
    merged = merge([tally_of(CELL, [1.0], witnesses=(w,)) for w in (small, lost, large)])
    assert merged.witnesses == (lost, large)


def test_equal_witnesses_are_decided_by_what_they_say() -> None:
    first, second = witness(CELL, origin="batch 0, row 1"), witness(CELL, origin="batch 0, row 2")
    for order in ((first, second), (second, first)):
        assert merge([tally_of(CELL, [1.0], witnesses=(w,)) for w in order]).witnesses == (first,)


def test_the_digest_of_one_batch_is_its_own_and_of_several_depends_on_each() -> None:
    one = tally_of(CELL, [1.0], digests={0: "ab" * 32})
    assert one.rows_digest() == "ab" * 32
    both = merge([one, tally_of(CELL, [1.0], digests={1: "cd" * 32})])
    other = merge([one, tally_of(CELL, [1.0], digests={1: "ce" * 32})])
    assert both.rows_digest() != other.rows_digest()


@pytest.mark.parametrize("length", [1, PACKED_BEYOND, PACKED_BEYOND + 1])
def test_a_line_of_the_witness_file_reads_back_and_long_rows_are_packed(length: int) -> None:
    w = witness(key(length=length))
    document = json.loads(w.line())
    assert ("x_packed" in document) == (length > PACKED_BEYOND)
    assert document["id"] == w.id
    assert Witness.from_document(document) == w
    assert Witness.from_document(document).id == w.id


@pytest.mark.parametrize(
    "change", [{"cell": 1}, {"x_packed": "???"}, {"x_packed": "AAAA"}, {"regime": None, "nonsense": 1}]
)
def test_a_document_that_is_no_witness_is_refused_in_one_line(change: dict[str, object]) -> None:
    document = {**json.loads(witness(CELL).line()), **change}
    with pytest.raises(ValueError, match=r"witness: .*witnesses\.jsonl") as caught:
        Witness.from_document(document)
    assert "\n" not in str(caught.value)


def test_figures_become_json_without_nan() -> None:
    assert plain({"a": (1.5, math.inf, [math.nan]), 3: {"b": None}}) == {
        "a": [1.5, "inf", [None]],
        "3": {"b": None},
    }
    for value in (0.0, 1e-320, math.inf, None):
        assert parse_float(json_float(value)) == value


def test_of_long_rows_the_gravest_witness_and_the_greatest_error_are_kept() -> None:
    cell = key(length=ALONE_BEYOND + 1)
    ratio, error, overflow = (witness(cell, kind) for kind in ("bound_ratio", "max_ulp", "overflow"))
    healthy = merge([tally_of(cell, [1.0], witnesses=(ratio,)), tally_of(cell, [1.0], witnesses=(error,))])
    assert healthy.witnesses == (error,)
    failing = merge([healthy, tally_of(cell, [1.0], witnesses=(overflow, ratio))])
    assert failing.witnesses == (overflow, error)


def test_of_profiles_counts_add_up_and_the_greatest_stay() -> None:
    one = tally_of(CELL, [1.0], places={8: 2, 9: 1}, gap_errors={3: 7, 4: 1}, gap_bounds={3: 9})
    other = tally_of(CELL, [1.0], places={8: 3}, gap_errors={3: 5, 6: 2}, place_errors={1: 4})
    merged = merge([one, other])
    assert merged == merge([other, one])
    assert (merged.places, merged.gap_errors) == ({8: 5, 9: 1}, {3: 7, 4: 1, 6: 2})
    assert (merged.gap_bounds, merged.place_errors) == ({3: 9}, {1: 4})
    assert Tally.from_json(merged.to_json()) == merged


def test_a_bin_that_json_takes_for_a_number_is_refused_among_sound_ones() -> None:
    document = json.loads(Tally(histogram={1: 2, 5: 3}).to_json())

    def histogram(written: Any) -> Mapping[int, int]:
        return Tally.from_json(json.dumps({**document, "histogram": written})).histogram

    assert histogram(document["histogram"]) == histogram([[1, 4], [2, 3]]) == {1: 2, 5: 3}
    for wrong in ([[1, 4], [2, True]], [[1, 4.0], [2, 3]], [[1, 4], [2, -3]]):
        with pytest.raises(ValueError, match="histogram"):
            histogram(wrong)


@pytest.mark.parametrize(
    "numbers", [[255], [256], [], [0], [65535, 1], [65536], [(1 << 32) - 1], [1 << 32, 7], [(1 << 48) - 1]]
)
def test_integers_take_the_bytes_that_the_greatest_needs(numbers: list[int]) -> None:
    bins = Bins(np.arange(len(numbers)), np.array(numbers, dtype=np.int64))
    width = next(w for w in (1, 2, 4, 8) if all(number < 1 << 8 * w for number in numbers))
    written = bins.steps()[1]
    planes = base64.b64decode(written[1:])
    assert written[0] == str(width)
    assert planes == b"".join(bytes(number >> 8 * w & 255 for number in numbers) for w in range(width))
    assert Bins.from_steps(bins.steps()).numbers.tolist() == numbers


MOST = 1 << 48
LARGEST_ERROR = (1 << (64 - HISTOGRAM_SHIFT)) - 1


REACH = {
    "histogram": (LARGEST_ERROR, MOST),
    "places": (SIDE * SIDE * KINDS, MOST),
    "place_errors": (SIDE * SIDE, LARGEST_ERROR),
    "gap_errors": (GAPS.count, LARGEST_ERROR),
    "gap_bounds": (GAPS.count, LARGEST_ERROR),
}


def test_a_ledger_s_numbers_by_bin_reach_as_far_as_the_bins_and_no_further() -> None:
    for name, (bins, most) in REACH.items():
        last = max(key for key in range(bins) if name != "places" or key % KINDS < len(PLACE_COUNTS))
        sound = Tally(**{name: {last: most}})  # type: ignore[arg-type]
        assert Tally.from_json(sound.to_json()) == sound
        for place, number in ((bins, 1), (last, most + 1), (last, -1)):
            beyond = Tally(**{name: {place: number}})  # type: ignore[arg-type]
            with pytest.raises(
                ValueError, match=f"{name}: {place}: {number}: there is no such bin or number"
            ):
                Tally.from_json(beyond.to_json())


KEYS = st.integers(0, 1 << 20) | st.integers(100, 140)
"""Bins that lie far apart, and close together: both ways of adding them up."""

NUMBERS = st.dictionaries(KEYS, st.integers(0, 1 << 40), max_size=8) | st.dictionaries(
    st.integers(100, 140), st.integers(0, 1 << 40), max_size=30
)


@given(st.lists(NUMBERS, max_size=6))
def test_bins_are_written_read_added_and_compared_as_dictionaries_are(parts: list[dict[int, int]]) -> None:
    sums, most = Counter[int](), dict[int, int]()
    for part in parts:
        sums.update(part)
        most |= {key: max(number, most.get(key, 0)) for key, number in part.items()}
        read = Bins.from_steps(Bins.of(part).steps())
        assert dict(read) == part == read
        assert ({key: read[key] for key in part}, len(read), 1 << 21 in read) == (part, len(part), False)
    assert added(parts) == dict(sums)
    assert greatest(parts) == most
