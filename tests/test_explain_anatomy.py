"""`harness explain`: softmaxes whose anatomy is known by construction, and what is said of each part."""

import pytest

from tests.explaining import parts_in, parts_of

KERNELS = """
import numpy as np

def top(x):
    return x.max(axis=-1, keepdims=True)

def shares(e):
    return e / e.sum(axis=-1, keepdims=True)

def by_halves(e):
    n = e.shape[-1]
    return e[..., 0] if n == 1 else by_halves(e[..., : n // 2]) + by_halves(e[..., n // 2 :])

def halves(x):
    e = np.exp(x - top(x))
    return e / by_halves(e)[..., None]

def four_lanes(x):
    e = np.exp(x - top(x))
    lanes = [np.cumsum(e[..., i::4], axis=-1)[..., -1] for i in range(min(4, e.shape[-1]))]
    total = lanes[0]
    for lane in lanes[1:]:
        total = total + lane
    return e / total[..., None]

def vectors_of_four(x):
    e = np.exp(x - top(x))
    n = x.shape[-1]
    return e / e[..., : n // 4 * 4 or n].sum(axis=-1, keepdims=True)

def third_counted_twice(x):
    e = np.exp(x - top(x))
    return e / (e.sum(axis=-1, keepdims=True) + (e[..., 2:3] if x.shape[-1] > 2 else 0))

def float16_accumulator(x):
    e = np.exp(x - top(x))
    total = e[..., 0].astype(np.float16)
    for i in range(1, x.shape[-1]):
        total = (total + e[..., i]).astype(np.float16)
    return e / total[..., None].astype(x.dtype)

def epsilon(x):
    e = np.exp(x - top(x))
    return e / (e.sum(axis=-1, keepdims=True) + x.dtype.type(1e-8))

def clamped(x):
    return shares(np.exp(np.maximum(x - top(x), -20)))

def base_two(x):
    return shares(np.exp2(x - top(x)))

def maximum_omits_the_first(x):
    return shares(np.exp(x - top(x[..., 1:] if x.shape[-1] > 1 else x)))

def constant(x):
    return shares(np.exp(x - x.dtype.type(8)))

def flushed(x):
    y = shares(np.exp(x - top(x)))
    return np.where(y < np.finfo(x.dtype).tiny, 0, y)

def batch(x):
    y = shares(np.exp(x - top(x)))
    return y if len(x) > 1 else np.nextafter(y, 1, dtype=x.dtype)
"""


@pytest.fixture
def opened(tmp_path):
    return parts_in(tmp_path, KERNELS)


@pytest.mark.parametrize(
    ("name", "order", "bits"),
    [
        ("halves", "split in the middle, again and again", 24),
        ("four_lanes", "4 lanes, added one by one; what is left over into the lanes", 24),
        ("float16_accumulator", "one by one, from first to last", 11),
    ],
)
def test_an_order_and_a_significand_are_named(opened, name, order, bits):
    total = opened(name)["sum"]
    assert (total["order"], total["accumulator_bits"]) == (order, bits), total["text"]
    assert total["order_agreed"][0] == total["order_agreed"][1] > 300, total["text"]


def test_entries_left_out_of_the_sum_are_not_taken_for_ones_left_out_of_the_maximum(opened):
    parts = opened("vectors_of_four")
    assert parts["sum"]["not_once"]["7"] == [4, 5, 6], parts["sum"]["text"]
    assert parts["sum"]["times"]["7"] == [0, 0, 0], parts["sum"]["text"]
    assert "8" not in parts["sum"]["not_once"], parts["sum"]["text"]
    assert "trees" not in parts["sum"], "a tree is drawn of places that are not in the sum"
    assert not parts["shift"]["left_out"], parts["shift"]["text"]
    assert parts["divide"]["state"] == "not visible", parts["divide"]["text"]


def test_an_entry_that_counts_twice_is_named(opened):
    parts = opened("third_counted_twice")
    assert parts["sum"]["not_once"]["130"] == [2], parts["sum"]["text"]
    assert set(map(tuple, parts["sum"]["times"].values())) == {(2,)}, parts["sum"]["text"]
    assert not parts["shift"]["left_out"], parts["shift"]["text"]


def test_what_is_added_to_the_sum_is_found_where_the_format_shows_it(opened):
    parts = opened("epsilon", "float64")
    assert parts["divide"]["epsilon"] == pytest.approx(1e-8, rel=1e-6), parts["divide"]["text"]
    assert "order" not in parts["sum"]
    assert "something is added to the sum" in parts["sum"]["text"]
    assert opened("epsilon", "float32")["divide"]["epsilon"] == 0  # below half a unit of any sum


def test_a_clamped_argument_is_found_and_no_order_is_read_off_it(opened):
    parts = opened("clamped")
    assert parts["exp"]["least"] == pytest.approx(2.0611537e-9, rel=1e-6), parts["exp"]["text"]
    assert "order" not in parts["sum"], parts["sum"]["text"]
    assert not parts["shift"]["left_out"], parts["shift"]["text"]


def test_another_base_is_found(opened):
    parts = opened("base_two")
    assert parts["exp"]["scale"] == pytest.approx(0.6931472, rel=1e-5), parts["exp"]["text"]
    assert "more than 24 bits" not in parts["sum"]["text"]


def test_a_maximum_without_the_first_entry_is_found_and_blinds_the_rest(opened):
    parts = opened("maximum_omits_the_first")
    left_out = parts["shift"]["left_out"]
    assert set(map(tuple, left_out.values())) == {(0,)}, parts["shift"]["text"]
    assert not parts["sum"]["not_once"], parts["sum"]["text"]
    assert {parts[name]["state"] for name in ("exp", "sum", "divide")} == {"not visible"}


def test_a_constant_in_place_of_the_maximum_is_found(opened):
    parts = opened("constant")
    assert {4.0, -4.0, 64.0} <= set(parts["shift"]["moved"]), parts["shift"]["text"]
    assert parts["exp"]["state"] == parts["divide"]["state"] == "not visible"
    assert "more than 24 bits" not in parts["sum"]["text"]


def test_a_flush_is_found(opened):
    output = opened("flushed")["output"]
    assert output["text"].startswith("no number below the normal range is returned"), output
    assert parts_of("max_shifted")["output"]["text"].startswith("numbers below the normal range are kept")


def test_a_dependence_on_the_batch_is_found(opened):
    assert opened("batch")["dependence"]["on"] == ["the size of the batch"]


@pytest.mark.parametrize("format", ["float16", "float32", "float64"])
def test_no_difference_is_reported_of_a_sound_softmax(opened, format):
    parts = parts_of("max_shifted", format)
    assert not parts["shift"]["left_out"], parts["shift"]["text"]
    assert not parts["shift"]["moved"], parts["shift"]["text"]
    assert not parts["sum"]["not_once"], parts["sum"]["text"]
    assert parts["divide"]["epsilon"] == 0, parts["divide"]["text"]
    assert parts["exp"].get("scale") is None, parts["exp"]["text"]
    assert parts["exp"].get("least") is None, parts["exp"]["text"]
    assert parts["dependence"]["on"] == [], parts["dependence"]["text"]
