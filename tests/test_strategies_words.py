"""Words, and what is made of them, are exact, repeatable and well distributed."""

import hashlib
import importlib
from math import erf, sqrt

import mpmath
import numpy as np
import pytest
from scipy import special

from strategies.quantiles import log, normal_quantile
from strategies.source import Source
from strategies.words import Words

KEY = ("a test", 1, -2)
MANY = 200_000
UNLIKELY = 1e-6


@pytest.fixture(scope="module")
def stats():
    """SciPy's statistics, which take a second to import."""
    return importlib.import_module("scipy.stats")


def words(name="words"):
    return Words((*KEY, name))


def ulps(got, exact):
    return max(
        abs(mpmath.mpf(float(g)) - e) / mpmath.mpf(float(np.spacing(abs(float(e)))))
        for g, e in zip(got, exact, strict=True)
    )


# Words and keys ---------------------------------------------------------------------------


def test_words_are_those_of_philox_under_the_hashed_key():
    digest = hashlib.sha256(b'["a", 7]').digest()
    halves = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")]
    expected = np.random.Philox(key=np.array(halves, dtype=np.uint64)).random_raw(5)
    assert Words(("a", 7)).words((5,)).tolist() == expected.tolist()


@pytest.mark.parametrize("pieces", [(1, 2, 3, 4, 5, 6, 7), (3, 2050, 1), (0, 8, 1025)])
def test_words_taken_in_pieces_are_those_of_philox_in_one(pieces):
    digest = hashlib.sha256(b'["a", 7]').digest()
    halves = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")]
    source = Words(("a", 7))
    taken = np.concatenate([source.words((size,)) for size in pieces])
    expected = np.random.Philox(key=np.array(halves, dtype=np.uint64)).random_raw(sum(pieces))
    assert taken.tolist() == expected.tolist()


@pytest.mark.parametrize("bounds", [(1.0, 4.0), (np.arange(6.0)[:, None], 9.0), (np.arange(4.0), 9.0)])
def test_fused_choices_are_those_that_every_source_makes(bounds):
    """Rows of a parameter each, one for all, and one for each column: as `Source` makes them of uniforms."""
    low, high = bounds
    shape, least, most = (6, 4), np.int64(low), np.int64(high)
    for draw in (
        lambda make, source: make.between(source, low, high, shape),
        lambda make, source: make.chance(source, np.asarray(low) / 9, shape),
        lambda make, source: make.magnitude(source, least, most, shape),
        lambda make, source: make.sign(source, shape),
    ):
        assert draw(Words, words()).tolist() == draw(Source, words()).tolist()


@pytest.mark.parametrize("other", [("a", "1"), ("a1",), ("a", 1, 0), ("a", 2), (1, "a")])
def test_different_keys_give_different_words(other):
    assert Words(("a", 1)).words((2,)).tolist() != Words(other).words((2,)).tolist()


def test_a_key_of_anything_but_strings_and_integers_is_refused():
    with pytest.raises(TypeError):
        Words((np.int64(1),))


GOLDEN = {
    "uniform": "fa93c1fd818fc8fcbe67233fc773fc5a43a66758b753c3562ff414667562cf89",
    "normal": "f01fbc9d9f145fdd29e51c0020a074f617ae26e056b1e1af89cd92f55f884121",
    "below": "53ab4a57119dbee0805ce8d577900bbe788c1c1627f0c83becf34d80ae1661e9",
    "wide": "d0c060c992e8c0aa4d5455abc5bcd07f2bc7d5340d19e2717622982ad6e994c4",
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_what_is_drawn_has_the_bits_that_it_had_when_first_written(kind):
    source = words()
    drawn = {
        "uniform": lambda: source.uniform((99, 11)),
        "normal": lambda: source.normal((99, 11)),
        "below": lambda: source.below(10, (99, 11)),
        "wide": lambda: source.below(np.array([2**40, 2**63 - 1]), (99, 2)),
    }[kind]()
    assert hashlib.sha256(drawn.astype(drawn.dtype.newbyteorder("<")).tobytes()).hexdigest() == GOLDEN[kind]


# Uniform values and integers ------------------------------------------------------------------


def test_uniform_values_are_multiples_of_2_to_the_minus_53_below_1_and_uniform(stats):
    u = words().uniform((MANY,))
    scaled = u * 2.0**53
    assert np.all(scaled == np.floor(scaled))
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > UNLIKELY


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 2**16, 2**16 + 1, 2**40 + 1, 2**63 - 1])
def test_integers_below_a_bound_are_uniform(stats, bound):
    drawn = words().below(bound, (MANY,))
    assert drawn.min() >= 0
    assert drawn.max() < bound
    cells = min(bound, 64)
    counts = np.bincount((drawn / bound * cells).astype(int), minlength=cells)
    edges = [-(-k * bound // cells) for k in range(cells + 1)]
    expected = np.diff(edges) / bound * MANY
    assert bound == 1 or stats.chisquare(counts, expected).pvalue > UNLIKELY


def test_each_entry_may_have_its_own_bound():
    bounds = np.array([[1, 2, 2**50]])
    drawn = words().below(bounds, (1000, 3))
    assert np.all(drawn < bounds)
    assert set(drawn[:, 1]) == {0, 1}


def test_the_integer_is_the_floor_of_word_times_bound_over_2_to_the_64():
    bounds = np.array([3, 2**20 + 1, 2**40 + 1, 2**63 - 1, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
    raw, drawn = words().words((500, 6)), words().below(bounds, (500, 6))
    exact = [[int(w) * int(b) >> 64 for w, b in zip(row, bounds, strict=True)] for row in raw]
    assert drawn.view(np.uint64).tolist() == exact
    largest = words().below(2**64 - 1, (500,)).view(np.uint64)
    assert largest.tolist() == [int(w) * (2**64 - 1) >> 64 for w in words().words((500,))]


def test_turns_meet_every_combination_once_and_rarely_stand_still():
    sizes = (2, 4, 3, 2)
    indices = words().turns(*sizes, rows=48)
    assert len(set(zip(*(i.tolist() for i in indices), strict=True))) == 48
    for index, size in zip(indices, sizes, strict=True):
        assert np.count_nonzero(np.diff(index)) >= 40, (size, index)


# Logarithm and normal quantile ------------------------------------------------------------------


def test_log_is_within_an_ulp():
    source = words()
    x = np.concatenate(
        [source.magnitude(-1022, 1023, (2000,)), 1 + (source.uniform((2000,)) - 0.5) * 0.01, [1.0, 2.0, 0.5]]
    )
    with mpmath.workprec(200):
        assert ulps(log(x)[x != 1], [mpmath.log(mpmath.mpf(float(v))) for v in x if v != 1]) < 1
    assert log(1.0) == 0


def test_the_normal_quantile_agrees_with_the_inverse_of_erf():
    ends = np.array([0.5, 1.5, 2**31 - 0.5, 2**31 * 0.85]) / 2**32
    q = np.concatenate([words().uniform((300,)) - 0.5, ends, -ends, [0.425, np.nextafter(0.425, 1)]])
    with mpmath.workprec(200):
        exact = [mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(float(v))) for v in q]
        worst = max(abs(mpmath.mpf(float(g)) / e - 1) for g, e in zip(normal_quantile(q), exact, strict=True))
    assert worst < 1e-15, mpmath.nstr(worst, 5)


def test_normal_values_reach_exactly_as_far_as_half_a_word_allows():
    ends = np.array([-(2.0**31) + 0.5, 2.0**31 - 0.5]) * 2.0**-32
    assert normal_quantile(ends) == pytest.approx(special.ndtri(ends + 0.5), rel=1e-13)
    assert words().normal((3,)).shape == (3,)


def test_normal_values_have_normal_moments_and_tails(stats):
    z = words().normal((5 * MANY,))
    n = z.size
    assert stats.kstest(z, "norm").pvalue > UNLIKELY
    assert abs(z.mean()) < 5 / sqrt(n)
    assert abs(z.var() - 1) < 5 * sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 5 * sqrt(96 / n)
    for t in (2.0, 3.0, 4.0):
        p = 1 - erf(t / sqrt(2))
        assert abs(np.count_nonzero(np.abs(z) > t) - n * p) < 5 * sqrt(n * p)


def test_values_of_one_stream_are_not_correlated():
    z = words().normal((MANY,))
    for lag in (1, 2, 8192):
        assert abs(np.mean(z[:-lag] * z[lag:])) < 5 / sqrt(MANY)
