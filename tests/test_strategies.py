"""Regimes as a whole: found by scanning, drawn repeatably, in bulk and through Hypothesis alike."""

import hashlib
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from regime_claims import CLAIMS, values_of

import strategies
from harness.campaign.settings import USUAL_FORMATS
from reference.formats import FORMATS
from reference.row_kinds import RowKind, row_kinds
from strategies.lengths import DEEP, QUICK, STANDARD
from strategies.regimes import REGIMES, regime_named
from tests.longer import few_of, sample

FOLDER = Path(strategies.__file__).parent
NAMES = sorted(REGIMES)
QUIET = settings(max_examples=8, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
THOROUGH = settings(QUIET, max_examples=2000)


def supported(name, lengths, formats=FORMATS):
    regime = REGIMES[name]
    return [(FORMATS[f], n) for f in formats for n in lengths if regime.supports(FORMATS[f], n)]


# The table of regimes ------------------------------------------------------------------------


def test_every_module_of_the_folder_contributes_its_regimes_in_order():
    modules = sorted(path.stem for path in (FOLDER / "regimes").glob("[!_]*.py"))
    declared = [r for m in modules for r in __import__(f"strategies.regimes.{m}", fromlist=["x"]).REGIMES]
    assert list(REGIMES.values()) == sorted(declared, key=lambda r: r.policy)


def test_every_regime_has_a_claim_that_the_tests_hold_it_to():
    assert set(CLAIMS) == set(REGIMES)


def test_a_misspelt_name_is_answered_with_the_nearest():
    assert regime_named("tied") is REGIMES["tied"]
    with pytest.raises(
        ValueError, match=r"'standard-norma': there is none.*did you mean 'standard-normal'\?"
    ):
        regime_named("standard-norma")
    with pytest.raises(ValueError, match=r"'zzz'.*it is one of uniform-bits, "):
        regime_named("zzz")


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_regimes_of_what_a_format_lacks_do_not_exist_in_it(name):
    fmt = FORMATS[name]
    missing = {n for n in NAMES if not REGIMES[n].supports(fmt, 100)}
    zeros = set() if fmt.has_negative_zero else {"signed-zeros"}
    assert missing == {n for n in NAMES if REGIMES[n].needs_infinity} | zeros
    assert {"masked", "all-masked", "positive-infinity"} <= missing


def test_a_sum_of_two_finite_exponentials_cannot_overflow_float8_e5m2():
    assert not REGIMES["sum-overflow"].supports(FORMATS["float8_e5m2"], 2)
    assert REGIMES["sum-overflow"].supports(FORMATS["float8_e5m2"], 3)
    with pytest.raises(ValueError, match="'sum-overflow': it has no rows of length 2 in float8_e5m2"):
        REGIMES["sum-overflow"].rows(FORMATS["float8_e5m2"], 1, 2, seed=0, batch=0)


def test_lengths_rise_from_1_and_each_effort_reaches_at_least_as_far():
    for lengths in (QUICK, STANDARD, DEEP):
        assert lengths[0] == 1
        assert list(lengths) == sorted(set(lengths))
    assert max(QUICK) == 4096
    assert max(STANDARD) == 70_001
    assert set(QUICK) | set(STANDARD) < set(DEEP)
    tails = {n % width for n in QUICK for width in (8, 32, 128) if n > width}
    assert {0, 1, 7, 127} <= tails


# Rows in bulk -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_what_the_name_says_in_every_format(name):
    for fmt, length in supported(name, (1, 2, 3, 8, 33)):
        rows = REGIMES[name].rows(fmt, sample(20, 48), length, seed=1, batch=0)
        assert rows.shape == (sample(20, 48), length)
        assert rows.dtype == fmt.dtype
        holds = np.array([CLAIMS[name](fmt, x) for x in values_of(fmt, rows)])
        assert holds.all(), (name, fmt.name, values_of(fmt, rows)[~holds][0])


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_finite_masked_or_policy_as_declared(name):
    regime = REGIMES[name]
    for fmt, length in supported(name, (1, 2, 9)):
        kinds = set(row_kinds(values_of(fmt, regime.rows(fmt, 30, length, seed=2, batch=0))).tolist())
        if regime.policy:
            assert all(RowKind(kind).is_policy for kind in kinds), kinds
        elif name == "medley":
            assert kinds <= {RowKind.FINITE, RowKind.MASKED}, kinds
        else:
            assert kinds == {RowKind.MASKED if regime.needs_infinity else RowKind.FINITE}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_and_batch_give_the_same_bits_and_others_do_not(name):
    fmt, regime = FORMATS["float32"], REGIMES[name]
    bits = [regime.rows(fmt, 20, 40, *which).tobytes() for which in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert bits[0] == bits[1]
    if name != "all-masked":
        assert len(set(bits)) == 3


GOLDEN = {
    "all-but-one-masked": "194ea2addc759201",
    "all-masked": "02d65e5be4850f06",
    "ascending": "7a058b3e92e324e6",
    "blocks": "9871115b5e50b305",
    "causal": "f7da6997cfc399fc",
    "close-together": "49fe49b5ae516818",
    "common-offset": "7620104776159da9",
    "crowd": "f723eb827af53bab",
    "descending": "21478fb025138f8d",
    "dominated": "c1b9fe431baf79dc",
    "exp-overflow": "b0139372c49addd1",
    "exp-underflow": "52dd9099cb12bfdd",
    "medley": "7150b26c78f3503b",
    "ladder": "a3d6aebbdf17809c",
    "landmarks": "b5886d177a5b9e2f",
    "log-probabilities": "eec7db2464f65af1",
    "log-uniform": "6765a6474bfdb440",
    "masked": "99ec6bc3c66cb9e6",
    "masked-low": "559ab05b82398ef6",
    "nan": "cce2a1fd73deac5b",
    "partly-tied": "158df71dd074af07",
    "positive-infinity": "0de95df8da2e1b67",
    "quantised": "6e9fb5482a1ace16",
    "result-underflow": "ab95d573b0eef3c1",
    "signed-zeros": "3bb57f111debbeb5",
    "standard-normal": "e5f507c4905d4389",
    "subnormal-inputs": "9861567872bd3a2a",
    "sum-overflow": "3757c135d82dbe89",
    "tied": "b236548ddacb003a",
    "uniform-bits": "d93ef5c6068abd01",
    "wide-normal": "6a250523b42d1a33",
}


@pytest.mark.parametrize("name", NAMES)
def test_rows_have_the_bits_that_they_had_when_first_written(name):
    digest = hashlib.sha256()
    for fmt, length in supported(name, (1, 2, 5, 33), USUAL_FORMATS):
        bits = fmt.to_bits(REGIMES[name].rows(fmt, 24, length, seed=3, batch=1))
        digest.update(bits.astype(bits.dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest()[:16] == GOLDEN[name]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("length", [1025, 2049, 16_385, 65_537])
def test_the_last_entry_counts_in_one_row_of_a_long_medley(name, length):
    """A sum that loses it is off by a factor of two or more."""
    fmt = FORMATS[name]
    for seed in range(6):
        last = values_of(fmt, REGIMES["medley"].rows(fmt, 2, length, seed, 0))[-1]
        others = np.exp(last[:-1] - last[-1]).sum()
        assert others <= 1, (seed, last[-1], others)


# Rows through Hypothesis -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@QUIET
@given(data=st.data())
def test_examples_are_what_the_name_says(name, data):
    fmt, length = data.draw(st.sampled_from(supported(name, (1, 2, 5, 200))))
    row = data.draw(strategies.logits(fmt, length, name))
    assert row.shape == (length,)
    assert row.dtype == fmt.dtype
    assert CLAIMS[name](fmt, values_of(fmt, row)), (fmt.name, values_of(fmt, row))


def simplest(name, condition, format="float32", length=5):
    found = find(strategies.logits(format, length, name), condition, settings=THOROUGH)
    return FORMATS[format].to_float64(found).tolist()


@pytest.mark.parametrize(
    ("length", "name"),
    few_of(product([5, 300], ["standard-normal", "wide-normal", "uniform-bits", "quantised", "tied"]), 5),
)
def test_the_simplest_row_is_zero_throughout(name, length):
    assert simplest(name, lambda row: row.size > 0, length=length) == [0] * length


def test_a_row_that_must_overflow_shrinks_to_one_entry_above_zeros():
    with np.errstate(over="ignore"):
        row = simplest("exp-overflow", lambda x: np.isinf(np.exp(x)).any())
    assert sorted(row)[:4] == [0, 0, 0, 0]
    assert 88.72 < max(row) < 88.73


def test_an_entry_at_a_given_place_stays_while_the_others_become_equal():
    row = simplest("wide-normal", lambda x: np.argmax(x) == 3 and x[3] > 20)
    assert row[:3] + row[4:] == [0, 0, 0, 0]
    assert row[3] == int(row[3])


def test_a_long_row_may_have_as_many_distinct_values_as_in_bulk():
    assert len(set(simplest("standard-normal", lambda x: np.unique(x).size > 900, length=1000))) > 900


def test_a_long_row_shrinks_to_few_distinct_values():
    row = simplest("standard-normal", lambda x: x.max() > 1 and x.min() < -1, length=1000)
    assert len(set(row)) == 2


def test_logits_takes_names_and_objects_and_refuses_the_rest():
    assert strategies.logits("float16", 2, "tied") is not None
    assert strategies.logits(FORMATS["float16"], 2, REGIMES["tied"]) is not None
    with pytest.raises(ValueError, match="format 'float15'"):
        strategies.logits("float15", 2, "tied")
    with pytest.raises(ValueError, match="did you mean 'tied'"):
        strategies.logits("float16", 2, "tide")
    with pytest.raises(ValueError, match="'masked': it has no rows of length 1 in float16"):
        strategies.logits("float16", 1, "masked")


def test_importing_the_room_loads_neither_hypothesis_nor_pandas():
    heavy = "{'hypothesis', 'pandas', 'numba', 'matplotlib', 'pyarrow'}"
    rooms = "strategies, strategies.corpora, strategies.input_file"
    code = f"import sys, {rooms}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
