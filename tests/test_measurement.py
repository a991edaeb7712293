"""What is counted of a batch, against definitions in fractions, element by element."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measurement import Judged, Rows, measure, tally_of
from harness.measurement.kernels.counting import Batch, Elements, Figures, count_verdict, judge_and_count
from harness.measurement.kernels.greatest import first_greatest
from reference.declaration import Declaration, Policy
from reference.errors import ElementClass, Judgement, judge
from reference.formats import FORMATS, FloatFormat
from reference.model import Method, Truth
from reference.ops import OBSERVED, SOFTMAX
from reference.oracle import softmax
from reference.truth import truth
from reports.record.profiles import (
    GAPS,
    LOGITS,
    PLACE_COUNTS,
    SPREADS,
    Scale,
    place_key,
    place_numbers,
    place_of,
)
from reports.record.tally import HISTOGRAM_SHIFT, Tally, merge
from reports.record.witness import CellKey
from strategies.regimes import REGIMES

FIGURES = st.one_of(st.floats(0), st.just(math.nan))
CELL = CellKey("f", "softmax", "float16", "float16", "r", 5)


def rows_of(fmt: FloatFormat, x: np.ndarray, method: Method = "certified", number: int = 0) -> Rows:
    values = fmt.to_float64(x)
    return Rows(fmt, x, values, truth(values, fmt, method), number, (), method)


def max_shifted(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True, dtype=x.dtype)


def verdict_of(ulp: np.ndarray) -> tuple[Judgement, Truth]:
    """A verdict of those ULP errors, shape (1, n), about elements that are all 1."""
    truth_of_ones = Truth(FORMATS["float64"], np.ones(ulp.shape), np.zeros(ulp.shape), np.zeros(1, np.uint8))
    return dataclasses.replace(judge(np.ones(ulp.shape), truth_of_ones), ulp=ulp), truth_of_ones


def batch_of(rows: Rows, own: np.ndarray | None = None) -> Batch:
    """What a batch is held against; twice the bounds of the standard tier stand for declared ones."""
    declared = 2 * rows.standard_bounds if own is None else own
    return Batch(rows.values, rows.extents.largest, rows.standard_bounds, declared, profiled=True)


def greatest_of(figure: np.ndarray) -> tuple[float, int, int] | None:
    known = np.flatnonzero(~np.isnan(figure.ravel()))
    if not known.size:
        return None
    place = max(known.tolist(), key=lambda at: (figure.ravel()[at], -at))
    return float(figure.ravel()[place]), *divmod(place, figure.shape[1])


def defined(judgement: Judgement, exact: Truth, batch: Batch) -> Figures:
    """What the words of `Figures` and `Elements` say, one after the other, from the plain verdict."""
    classes, ulp = judgement.classes, judgement.ulp
    judged = classes != ElementClass.POLICY
    representable = judged & (exact.nearest != 0)
    positive = judged & ((exact.nearest != 0) | (exact.residual != 0))
    counted = ulp[representable]
    finite = counted[np.isfinite(counted)]
    bins = Counter((counted[~np.isnan(counted)].view(np.int64) >> HISTOGRAM_SHIFT).tolist())
    negative = judgement.negative_zero & judged
    n = ulp.shape[1]
    gaps: dict[int, int] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        every = batch.largest[:, None] - batch.values
    counts = (batch.values > -np.inf) & ~np.isnan(ulp)
    codes = ulp[counts].view(np.int64) >> HISTOGRAM_SHIFT
    for number, code in zip(GAPS.bins(every[counts]).tolist(), codes.tolist(), strict=True):
        gaps[number] = max(code, gaps.get(number, 0))
    with np.errstate(all="ignore"):
        ratios = ulp / batch.bounds, ulp / batch.own
    present = [kind for kind in ElementClass if (classes == kind).any()]
    return Figures(
        Elements(
            classes=np.array([(classes == kind).sum() for kind in ElementClass]),
            positive=int(positive.sum()),
            representable=int(representable.sum()),
            correct=int((positive & judgement.correct).sum()),
            faithful=int((positive & judgement.faithful).sum()),
            negative_zeros=int(negative.sum()),
            finite=finite.size,
            infinite=int(np.isinf(counted).sum()),
            nonfinite=int(np.isnan(counted).sum()),
            histogram=dict(bins),
            total=sum(map(Fraction, finite.tolist()), Fraction(0)),
        ),
        judgement.failure,
        judgement.row_sum_error,
        np.array([sum(1 << kind for kind in set(row.tolist())) for row in classes]),
        {kind: divmod(int(np.argmax(classes == kind)), n) for kind in present},
        divmod(int(np.argmax(negative)), n) if negative.any() else None,
        np.array([np.nan if np.isnan(row).all() else np.nanmax(row) for row in ulp]),
        gaps,
        greatest_of(ulp),
        greatest_of(ratios[0]),
        greatest_of(ratios[1]),
    )


def assert_alike(found: Figures, expected: Figures) -> None:
    for pair in (found, expected), (found.elements, expected.elements):
        for name in pair[0]._fields:
            mine, theirs = (getattr(part, name) for part in pair)
            if isinstance(mine, np.ndarray):
                np.testing.assert_array_equal(mine, theirs, err_msg=name)
            elif name != "elements":
                assert mine == theirs, name


def adverse_outputs(fmt: FloatFormat, values: np.ndarray, seed: int) -> np.ndarray:
    """Softmax with some outputs a little off, others lost, signed, out of range, or no numbers."""
    drawn = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        e = np.exp(values - values.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True) * (1 + drawn.normal(size=e.shape) * 2.0**-fmt.precision)
    tiny = float(fmt.smallest_normal) * 2.0 ** (1 - fmt.precision)
    odd = drawn.choice([0.0, -0.0, np.nan, np.inf, -np.inf, -0.25, 1.5, 1.0, tiny], size=y.shape)
    return fmt.from_float64(np.where(drawn.random(y.shape) < drawn.choice([0.0, 0.02, 0.5]), odd, y))


ADVERSE = (
    "masked",
    "result-underflow",
    "uniform-bits",
    "tied",
    "landmarks",
    "nan",
    "positive-infinity",
    "all-masked",
)


@pytest.mark.parametrize("length", [1, 3, 8, 1500])
@pytest.mark.parametrize("name", FORMATS)
def test_what_one_pass_counts_is_what_the_definitions_say_of_the_plain_verdict(
    name: str, length: int
) -> None:
    """Rows of every kind in one batch, twice over, so that every greatest figure is tied with a later one."""
    fmt, count = FORMATS[name], 1 if length > 8 else 12
    regimes = [REGIMES[r] for r in ADVERSE if REGIMES[r].supports(fmt, length)]
    x = np.concatenate([regime.rows(fmt, count, length, 5, 0) for regime in regimes])
    y = np.concatenate(
        [adverse_outputs(fmt, fmt.to_float64(part), k) for k, part in enumerate(np.split(x, len(x)))]
    )
    rows, outputs = rows_of(fmt, np.tile(x, (2, 1))), np.tile(y, (2, 1))
    batch = batch_of(rows)
    plain = judge(outputs, rows.truth)
    expected = defined(plain, rows.truth, batch)
    assert_alike(judge_and_count(outputs, rows.truth, batch), expected)
    assert_alike(count_verdict(plain, rows.truth, batch), expected)


def test_rows_of_nothing_but_normal_results_are_counted_as_all_others_are() -> None:
    """The short cut for such rows, and where a chunk of them ends, or holds one that is not."""
    fmt = FORMATS["float32"]
    for length, rows in ((8, 300), (1024, 3), (1025, 2), (20_000, 1)):
        x = REGIMES["standard-normal"].rows(fmt, rows, length, 1, 0)
        y, batch = max_shifted(x), batch_of(rows_of(fmt, x))
        exact = rows_of(fmt, x).truth
        for last in (y[-1, -1], np.float32(-0.0), np.float32(np.nan)):
            y[-1, -1] = last
            assert_alike(judge_and_count(y, exact, batch), defined(judge(y, exact), exact, batch))


def test_without_declared_bounds_and_profiles_neither_is_made() -> None:
    fmt = FORMATS["float16"]
    x = REGIMES["wide-normal"].rows(fmt, 20, 5, 0, 0)
    rows = rows_of(fmt, x)
    batch = batch_of(rows, np.empty((0, 5)))._replace(profiled=False)
    found = judge_and_count(max_shifted(x), rows.truth, batch)
    whole = judge_and_count(max_shifted(x), rows.truth, batch_of(rows))
    assert (found.algorithm_ratio, found.gap_errors) == (None, {})
    assert np.isnan(found.greatest_of_rows).all()
    assert found.bound_ratio == whole.bound_ratio
    assert found.elements.histogram == whole.elements.histogram


def test_a_count_that_is_interrupted_leaves_nothing_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal in compiled code is raised when that returns, before its tables are cleared."""
    fmt = FORMATS["float16"]
    x = REGIMES["wide-normal"].rows(fmt, 20, 5, 0, 0)
    rows = rows_of(fmt, x)

    def counted() -> Figures:
        return judge_and_count(max_shifted(x), rows.truth, batch_of(rows))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = counted().elements.histogram
    with monkeypatch.context() as patches:
        patches.setattr("harness.measurement.kernels.counting._figures", interrupted)
        with pytest.raises(KeyboardInterrupt):
            counted()
    assert counted().elements.histogram == before


@given(st.lists(FIGURES, min_size=1, max_size=60))
def test_errors_are_counted_in_their_bins_and_added_up_exactly(values: list[float]) -> None:
    """Against fractions and `Counter`: zero, subnormal, huge, infinite and NaN errors among them."""
    judgement, exact = verdict_of(np.array([values]))
    ones = np.ones((1, len(values)))
    counted = count_verdict(
        judgement, exact, Batch(ones, ones[:, 0], ones, ones[:0], profiled=False)
    ).elements
    finite = [value for value in values if math.isfinite(value)]
    assert counted.total == sum(map(Fraction, finite), Fraction(0))
    assert (counted.finite, counted.infinite) == (len(finite), values.count(math.inf))
    assert counted.nonfinite == sum(map(math.isnan, values))
    codes = [int(np.float64(value).view(np.int64)) for value in values if not math.isnan(value)]
    assert counted.histogram == Counter(code >> HISTOGRAM_SHIFT for code in codes)


@given(st.lists(st.tuples(FIGURES, FIGURES), min_size=1, max_size=40))
def test_greatest_figure_leaves_nan_out_and_is_the_first_of_equals(pairs: list[tuple[float, float]]) -> None:
    figure, divisor = np.array(pairs).T[:, None, :].copy()
    with np.errstate(all="ignore"):
        for found, values in (
            (first_greatest(figure), figure[0]),
            (first_greatest(figure, divisor), figure[0] / divisor[0]),
        ):
            known = [value for value in values.tolist() if not math.isnan(value)]
            expected = None if not known else (max(known), 0, values.tolist().index(max(known)))
            assert found == expected
    judgement, exact = verdict_of(figure)
    ones = np.ones(figure.shape)
    counted = count_verdict(judgement, exact, Batch(ones, ones[:, 0], ones, ones[:0], profiled=True))
    [greatest] = counted.greatest_of_rows
    known = figure[~np.isnan(figure)]
    assert greatest == known.max() if known.size else math.isnan(greatest)


def exact_errors(fmt: FloatFormat, x: np.ndarray, y: np.ndarray) -> list[Fraction]:
    """|y - r| / ulp(r) of every element with RN(r) not 0, from 400-bit results."""
    errors = []
    for row, outputs in zip(x, y, strict=True):
        for r, output in zip(softmax(fmt.to_float64(row), 400), outputs, strict=True):
            exact = Fraction(int(r.man)) * Fraction(2) ** int(r.exp)
            if fmt.round(exact) != 0:
                errors.append(abs(Fraction(float(output)) - exact) / fmt.ulp(exact))
    return errors


@pytest.mark.parametrize("method", ["certified", "mpmath"])
@pytest.mark.parametrize("regime", ["wide-normal", "result-underflow", "partly-tied"])
@pytest.mark.parametrize("name", ["float16", "float32"])
def test_figures_are_those_of_the_exact_errors(name: str, regime: str, method: Method) -> None:
    fmt = FORMATS[name]
    x = REGIMES[regime].rows(fmt, 12, 5, 3, 0)
    y = max_shifted(x)
    tally = measure(CELL, rows_of(fmt, x, method), y, Declaration(argument="shifted"))
    errors = exact_errors(fmt, x, y)
    assert tally.ulp_count == tally.representable == len(errors)
    worst = float(max(errors))
    assert tally.max_ulp is not None
    assert abs(tally.max_ulp - worst) <= max(1e-6, worst * 2**-52), (tally.max_ulp.hex(), worst.hex())
    mean = sum(errors) / len(errors)
    assert abs(tally.ulp_sum / tally.ulp_count - mean) <= Fraction(1, 10**6)
    assert sum(tally.histogram.values()) == len(errors)
    assert tally.correct <= tally.faithful <= tally.elements == x.size


def test_histogram_bins_hold_the_figures_they_stand_for() -> None:
    fmt = FORMATS["float32"]
    x = REGIMES["standard-normal"].rows(fmt, 50, 8, 0, 0)
    rows = rows_of(fmt, x)
    ulp = rows.judge(max_shifted(x)).ulp
    tally = measure(CELL, rows, max_shifted(x), Declaration())
    bins = Counter(int(np.float64(u).view(np.int64)) >> HISTOGRAM_SHIFT for u in ulp.ravel())
    assert dict(bins) == tally.histogram


@settings(max_examples=20)
@given(cut=st.integers(1, 39), seed=st.integers(0, 5))
def test_parts_add_up_to_the_whole(cut: int, seed: int) -> None:
    fmt = FORMATS["float16"]
    x = REGIMES["exp-overflow"].rows(fmt, 40, 4, seed, 0)
    with np.errstate(all="ignore"):
        y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    whole, declared = rows_of(fmt, x), Declaration(argument="plain")
    chosen = np.arange(40) < cut
    parts = [measure(CELL, whole.take(part), y[part], declared) for part in (chosen, ~chosen)]
    assert merge(parts) == merge([measure(CELL, whole, y, declared)])


def test_rows_kept_in_the_ledger_come_back_as_they_were() -> None:
    fmt = FORMATS["float16"]
    x = REGIMES["exp-overflow"].rows(fmt, 40, 4, 1, 0)
    with np.errstate(all="ignore"):
        y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    tally = measure(CELL, rows_of(fmt, x), y, Declaration(argument="plain"))
    assert Tally.from_json(tally.to_json()) == tally
    assert {"overflow", "max_ulp"} <= {w.kind for w in tally.witnesses}


def test_witness_of_the_greatest_error_replays_to_it() -> None:
    fmt = FORMATS["float32"]
    x = REGIMES["wide-normal"].rows(fmt, 64, 8, 0, 0)
    tally = measure(CELL, rows_of(fmt, x), max_shifted(x), Declaration())
    [worst] = [w for w in tally.witnesses if w.kind == "max_ulp"]
    bits = np.frombuffer(bytes.fromhex(worst.x), ">u4").astype(np.uint32)
    row = fmt.from_bits(bits)[None, :]
    again = rows_of(fmt, row).judge(max_shifted(row)).ulp
    assert again.max() == again[0, worst.element] == worst.score == tally.max_ulp


@pytest.mark.parametrize(
    ("x", "y", "name"),
    [
        ([np.inf, 0, 1], [np.nan, np.nan, np.nan], "nan"),
        ([np.inf, 0, 1], [np.nan, 0, 0], "nan_at_inf"),
        ([np.inf, 0, np.inf], [0.5, 0, 0.5], "limit"),
        ([np.inf, 0, np.inf], [1.0, 0, 1.0], "other"),
        ([-np.inf, -np.inf, -np.inf], [0, 0, 0], "zero"),
        ([-np.inf, -np.inf, -np.inf], [1 / 3, 1 / 3, 1 / 3], "uniform"),
        ([np.nan, 0, 1], [0.2, 0.3, 0.5], "other"),
    ],
)
def test_behaviour_on_policy_rows_has_a_name(x: list[float], y: list[float], name: str) -> None:
    fits = SOFTMAX.policy_fits(np.array([x]), np.array([y]))
    assert list(fits) == list(OBSERVED)
    assert next((n for n, [fit] in fits.items() if fit), "other") == name


def test_rows_of_nothing_but_infinities_fit_either_policy_of_nans() -> None:
    fits = SOFTMAX.policy_fits(np.full((1, 3), np.inf), np.full((1, 3), np.nan))
    assert {n for n, [fit] in fits.items() if fit} == {"nan", "nan_at_inf"}


def test_policy_row_against_the_declared_policy_is_a_violation() -> None:
    fmt = FORMATS["float32"]
    x = np.array([[np.inf, 0, 1], [-np.inf, -np.inf, -np.inf], [0, 0, 0]], dtype=np.float32)
    y = np.array([[np.nan] * 3, [0] * 3, [1 / 3] * 3], dtype=np.float32)
    rows = rows_of(fmt, x)
    strict = measure(CELL, rows, y, Declaration())
    assert (strict.policy_violations, strict.policies) == (1, {"masked_row:zero": 1, "pos_inf:nan": 1})
    lenient = measure(CELL, rows, y, Declaration(policy=Policy(masked_row="zero")))
    assert lenient.policy_violations == 0
    assert strict.rows == 3
    assert strict.elements == 3


@pytest.mark.parametrize("regime", ["exp-overflow", "masked", "result-underflow", "uniform-bits"])
def test_rows_are_counted_in_their_place_and_errors_under_their_gap(regime: str) -> None:
    fmt = FORMATS["float16"]
    x = REGIMES[regime].rows(fmt, 60, 6, 2, 0)
    with np.errstate(all="ignore"):
        y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    rows = rows_of(fmt, x)
    tally = measure(CELL, rows, y, Declaration(argument="plain"))
    counted: Counter[str] = Counter()
    for key, count in tally.places.items():
        counted[place_of(key)[2]] += count
    assert counted["rows"] == sum(count for name, count in tally.outcomes.items() if name != "policy")
    assert counted["underflow"] == tally.spurious_rows
    for name in PLACE_COUNTS[1:-1]:
        assert counted[name] == tally.outcomes.get(name, 0)
    ulp, bounds = rows.judge(y).ulp, rows.standard_bounds
    for peaks, figure in ((tally.gap_errors, ulp), (tally.gap_bounds, bounds)):
        expected: dict[int, int] = {}
        for row, values in enumerate(rows.values):
            for element, value in enumerate(values):
                if np.isfinite(value) and not np.isnan(figure[row, element]):
                    gap = float(values.max() - value)
                    number = next(k for k in range(GAPS.count) if GAPS.lower(k) <= gap < GAPS.lower(k + 1))
                    code = int(np.float64(figure[row, element]).view(np.int64)) >> HISTOGRAM_SHIFT
                    expected[number] = max(code, expected.get(number, 0))
        assert peaks == expected
    assert max(tally.place_errors.values()) == max(tally.gap_errors.values())


def test_a_place_of_rows_without_a_finite_output_has_rows_and_no_greatest_error() -> None:
    fmt = FORMATS["float32"]
    x = fmt.from_float64(np.array([[1.0, 0.0], [100.0, 0.0]]))
    y = fmt.from_float64(np.array([[0.75, 0.25], [np.nan, np.nan]]))
    tally = measure(CELL, rows_of(fmt, x), y, Declaration())
    sound, lost = place_numbers(np.array([1.0, 100.0]), np.array([1.0, 100.0])).tolist()
    assert set(tally.place_errors) == {sound}
    assert {key for key in (sound, lost) if tally.places[place_key(key, "rows")] == 1} == {sound, lost}


@pytest.mark.parametrize("sparing", [False, True])
def test_of_long_rows_all_witnesses_are_there_unless_they_are_to_be_spared(*, sparing: bool) -> None:
    """A row of 300 entries whose first result is lost shows that, an error, a ratio, and a sum."""
    fmt = FORMATS["float32"]
    rows = rows_of(fmt, fmt.from_float64(np.zeros((1, 300))))
    y = fmt.from_float64(rows.truth.nearest)
    y[0, 0] = 0.0
    judged = Judged(rows, y, Declaration())
    cell = dataclasses.replace(CELL, length=300)
    shown = tally_of(cell, judged, sparing=sparing)
    kinds = [w.kind for w in shown.witnesses]
    assert kinds == (["lost", "max_ulp"] if sparing else ["lost", "max_ulp", "bound_ratio", "row_sum"])
    if not sparing:
        assert shown == tally_of(cell, judged)


@pytest.mark.parametrize("scale", [GAPS, LOGITS, SPREADS])
def test_a_bin_holds_the_values_between_its_ends(scale: Scale) -> None:
    ends = np.array([scale.lower(number) for number in range(scale.count)])
    assert list(ends) == sorted(set(ends))
    assert list(scale.bins(ends)) == list(range(scale.count))
    assert list(scale.bins(np.nextafter(ends[1:], 0))) == list(range(scale.count - 1))
    assert scale.bins(np.array([np.inf])) == scale.count - 1
    assert (ends[1], ends[-1]) == (2.0**scale.least, 2.0**scale.most)
