"""`harness explain`: what it says of softmaxes whose parts are known."""

import pytest

from harness import cli
from tests.explaining import parts_in, parts_of

SEQUENTIAL = """
import numpy as np

def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / np.cumsum(e, axis=-1)[..., -1:]

def by_the_reciprocal(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e * (1 / e.sum(axis=-1, keepdims=True))

def without_the_tail(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    whole = x.shape[-1] // 8 * 8 or x.shape[-1]
    return e / e[..., :whole].sum(axis=-1, keepdims=True)

def maximum_without_the_last(x):
    top = x[..., : max(1, x.shape[-1] - 1)].max(axis=-1, keepdims=True)
    e = np.exp(x - top)
    return e / e.sum(axis=-1, keepdims=True)

def in_double(x):
    z = x.astype(np.float64)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True)).astype(x.dtype)
"""


@pytest.fixture
def opened(tmp_path):
    return parts_in(tmp_path, SEQUENTIAL)


def test_numpy_is_opened():
    parts = parts_of("max_shifted")
    assert parts["sum"]["order"] == "8 lanes, blocks of 128, then pairwise (NumPy's)"
    assert parts["sum"]["accumulator_bits"] == 24
    assert not parts["sum"]["not_once"]
    agreed, asked = parts["sum"]["order_agreed"]
    assert agreed == asked > 300
    assert parts["sum"]["heights"]["64"] == 10
    assert parts["divide"]["division"] == parts["divide"]["telling"] > 300
    assert 0.5 < parts["exp"]["worst_ulp"] < 3
    assert not parts["shift"]["moved"]
    assert not parts["dependence"]["on"]


def test_a_sum_one_by_one_and_a_reciprocal_are_told(opened):
    parts = opened("softmax", "float64")
    assert parts["sum"]["order"] == "one by one, from first to last"
    assert parts["sum"]["heights"]["100"] == 99
    parts = opened("by_the_reciprocal", "float64")
    assert parts["divide"]["reciprocal"] == parts["divide"]["telling"] > 300


def test_a_tail_left_out_of_the_sum_is_found_place_by_place(opened):
    odd = opened("without_the_tail")["sum"]["not_once"]
    assert odd["9"] == [8]
    assert odd["23"] == list(range(16, 23))
    assert not {"8", "16", "64", "1024"} & odd.keys()


def test_an_entry_left_out_of_the_maximum_is_found(opened):
    shift = opened("maximum_without_the_last")["shift"]
    assert shift["left_out"] == {str(n): [n - 1] for n in (2, 3, 5, 8, 16, 17, 31, 64, 100, 130, 1030)}


def test_a_wider_accumulator_is_not_guessed_at(opened):
    total = opened("in_double")["sum"]
    assert total["accumulator_bits"] is None
    assert "order" not in total
    assert "more than 24 bits" in total["text"]


@pytest.mark.slow
def test_what_is_printed_names_the_parts_draws_the_tree_and_predicts_bits(capsys):
    assert cli.run(["explain", "max_shifted", "--in-process", "--length=12", "--fresh=20"]) == 0
    told = capsys.readouterr().out
    for part in ("shift", "exp", "sum", "divide", "output", "dependence"):
        assert f"\n{part} " in told
    assert "predicted bit for bit: 20 of 20 fresh rows" in told


def test_a_length_without_a_sum_is_refused(capsys):
    assert cli.run(["explain", "kahan", "--length=1"]) == 2
    assert "--length 1" in capsys.readouterr().err


def test_a_number_of_fresh_rows_that_none_can_be_is_refused(capsys):
    assert cli.run(["explain", "kahan", "--fresh=-1"]) == 2
    assert "--fresh -1: give a number from 0" in capsys.readouterr().err
