"""`--range`: no entry that a candidate is given leaves the range, and what is left out for it is counted.

The evidence is a candidate that notes every entry beyond the range.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness import cli
from harness.campaign.campaign import Campaign
from harness.campaign.plan import Plan
from harness.campaign.settings import resolve
from harness.campaign.workload import Workload
from harness.checks import CHECKS, each_check
from harness.subject.candidates import Candidate
from harness.subject.execution import InProcess
from harness.subject.subject import Subject
from harness.terminal.exceptions import UsageError
from harness.testing import assert_accurate
from harness.witnesses.recipes import batch_of, kept_as_recipe, row_of
from harness.witnesses.search import search
from harness.witnesses.shrinking import shrink
from reference.formats import FORMATS, FloatFormat
from reports.record.witness import LONG_BEYOND, CellKey, Witness
from strategies.corpora import CORPORA
from strategies.input_file import InputRows
from strategies.logit_range import LogitRange
from strategies.regimes import REGIMES

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

Array = NDArray[np.generic]

RANGES = (LogitRange(-20, 20), LogitRange(1, 2.5), LogitRange(-np.inf, 3), LogitRange(-400, -100))


class Within:
    """A softmax that notes every entry beyond its range, and errs a little for great ones."""

    def __init__(self, within: LogitRange) -> None:
        self.within = within
        self.beyond: list[str] = []
        self.calls = 0

    def __call__(self, x: Array) -> Array:
        values = x.astype(np.float64)
        self.calls += 1
        held = (values >= self.within.low) & (values <= self.within.high)
        self.beyond += [value.hex() for value in values[~held].tolist()[:3]]
        with np.errstate(all="ignore"):
            e = np.exp(values - values.max(axis=-1, keepdims=True, initial=-1e9))
            return (e / e.sum(axis=-1, keepdims=True) * (1 + 1e-3 * (values > 2))).astype(x.dtype)

    def subject(self, fmt: FloatFormat) -> Subject:
        named = Candidate(name="within", spec="within", call=self)
        return Subject(named, fmt, fmt, InProcess(load=lambda _: named), within=self.within)


def ordinals(fmt: FloatFormat, x: Array) -> NDArray[np.int64]:
    return fmt.ordinals(fmt.to_bits(x))


# Rows ------------------------------------------------------------------------------------------


def has_numbers(within: LogitRange, fmt: FloatFormat) -> bool:
    try:
        within.require(fmt)
    except ValueError:
        return False
    return True


def drawn() -> Iterator[tuple[FloatFormat, str, LogitRange]]:
    for fmt, within in product(FORMATS.values(), RANGES):
        for name, regime in REGIMES.items() if has_numbers(within, fmt) else ():
            if regime.supports(fmt, 7, within) and name != "crowd":
                yield fmt, name, within


def test_drawn_rows_are_in_the_range_in_the_order_and_with_the_ties_that_they_had() -> None:
    tried = 0
    for fmt, name, within in drawn():
        free = REGIMES[name].rows(fmt, 24, 7, 5, 0)
        rows = REGIMES[name].rows(fmt, 24, 7, 5, 0, within)
        values = fmt.to_float64(rows)
        assert ((values >= within.low) & (values <= within.high)).all(), (fmt.name, name, str(within))
        before, after = ordinals(fmt, free), ordinals(fmt, rows)
        order = np.argsort(before, axis=1, kind="stable")
        before, after = (np.take_along_axis(a, order, axis=1) for a in (before, after))
        assert (after[:, 1:] >= after[:, :-1]).all(), (fmt.name, name, str(within))
        tied = before[:, 1:] == before[:, :-1]
        assert (after[:, 1:][tied] == after[:, :-1][tied]).all(), (fmt.name, name, str(within))
        held = within.holds(fmt, free)
        assert fmt.to_hex(rows[held]) == fmt.to_hex(free[held]), "a row in the range was changed"
        tried += 1
    assert tried > 200


def test_drawn_rows_are_not_all_alike() -> None:
    for fmt, name, within in drawn():
        if fmt.storage_bits < 32 or not within.holds_number(0.0) or REGIMES[name].policy or "tied" in name:
            continue
        entries = ordinals(fmt, REGIMES[name].rows(fmt, 24, 7, 5, 0, within))
        differ = (entries != entries[:, :1]).any(axis=1)
        assert name == "signed-zeros" or differ.mean() > 0.3, (fmt.name, name, str(within))


@pytest.mark.parametrize("within", [LogitRange(-3, 5), LogitRange(0.5, 448), LogitRange(2, 2)])
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_every_pair_of_eight_bits_is_brought_into_the_range(name: str, within: LogitRange) -> None:
    fmt = FORMATS[name]
    every = fmt.from_bits(np.array(list(product(range(256), repeat=2)), dtype=np.uint8))
    every = every[np.isfinite(fmt.to_float64(every)).all(axis=1)]
    fitted = within.fitted(fmt, every)
    assert within.holds(fmt, fitted).all()
    free, held = fmt.to_float64(every), fmt.to_float64(fitted)
    sign = np.sign(free[:, 0] - free[:, 1])
    assert (np.sign(held[:, 0] - held[:, 1]) * sign >= 0).all(), "an order was turned round"
    assert (held[sign == 0, 0] == held[sign == 0, 1]).all(), "a tie was lost"


def test_a_row_that_only_stands_elsewhere_is_moved_with_its_distances() -> None:
    fmt, within = FORMATS["float32"], LogitRange(-20, 20)
    row = fmt.from_float64([[1000.0, 1004.5, 990.0]])
    assert fmt.to_float64(within.fitted(fmt, row)).tolist() == [[15.5, 20.0, 5.5]]


def test_what_a_regime_must_hold_decides_whether_it_is_in_a_range() -> None:
    fmt = FORMATS["float32"]
    names = {n for n, r in REGIMES.items() if not r.supports(fmt, 8, LogitRange(-20, 20))}
    special = set()
    for name, regime in REGIMES.items():
        rows = regime.rows(fmt, 48, 8, 3, 0) if name not in ("medley", "crowd") else np.zeros((1, 8))
        special |= {name} if not np.isfinite(rows).all() else set()
    assert names == special
    assert REGIMES["masked"].supports(fmt, 8, LogitRange(-np.inf, 20))
    assert not REGIMES["nan"].supports(fmt, 8, LogitRange(-np.inf, np.inf))
    rows = REGIMES["masked"].rows(fmt, 48, 8, 3, 0, LogitRange(-np.inf, 20))
    assert np.isneginf(rows).any()


# What a candidate is given -----------------------------------------------------------------------


@pytest.mark.parametrize("within", RANGES[:3], ids=str)
def test_no_check_leaves_the_range(within: LogitRange) -> None:
    noting = Within(within)
    asked = (
        "shape",
        "axis",
        "strides",
        "keeps",
        "batch",
        "shift",
        "permutation",
        "monotone",
        "negative_zero",
    )
    checks = [check for check in CHECKS if check.name in asked]
    results = list(each_check(noting.subject(FORMATS["float32"]), effort="brief", checks=checks, floors=()))
    assert not noting.beyond
    assert noting.calls > 100
    tried = {result.check.name for result in results if result.rows}
    assert {"keeps", "batch", "permutation"} <= tried, tried


def test_what_a_narrow_range_cannot_lower_is_said_not_to_be_looked_at() -> None:
    noting = Within(LogitRange(-20, 20))
    checks = [check for check in CHECKS if check.name == "strides"]
    (result,) = each_check(noting.subject(FORMATS["float16"]), effort="brief", checks=checks, floors=())
    assert not noting.beyond
    assert any("none may be lowered" in what for what in result.looked.unseen), result.looked


@pytest.mark.parametrize("within", RANGES, ids=str)
@pytest.mark.parametrize("length", [2, 8])
def test_a_search_and_shrinking_stay_in_the_range(within: LogitRange, length: int) -> None:
    noting = Within(within)
    subject = noting.subject(FORMATS["float32"])
    result = search(subject, length, 6000, 0, "ulp")
    assert result.evaluations == 6000
    assert result.witness is not None
    small = shrink(result.witness, subject)
    assert not noting.beyond
    assert within.holds(subject.format, row_of(small)[None])[0]


def test_a_search_reaches_the_ends_of_its_range() -> None:
    """Within -3 and 3 the greatest distance is 6: rounding errors of max - x are greatest there."""
    subject = Within(LogitRange(2.25, 3)).subject(FORMATS["float16"])
    found = search(subject, 2, 4000, 0, "ulp")
    assert found.score is not None
    assert found.score > 0.9, "the factor 1.001 is an ulp and more"


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_campaign_gives_no_row_beyond_the_range(name: str, tmp_path: Path) -> None:
    noting = Within(LogitRange(-20, 20))
    named = Candidate(name="within", spec="within", call=noting)
    given = {"candidates": ["naive"], "formats": [name], "range": "-20,20", "jobs": 1, "rows": 4}
    settings = resolve({**given, "lengths": [1, 2, 3, 17]})
    plan = Plan(settings, (named,))
    with InProcess(load=lambda _: named) as executor:
        plan = plan.probed(executor)
        for shard in plan.shards():
            Campaign(plan).measure(shard, executor)
    assert not noting.beyond
    known, left_out = plan.workload.known_rows(FORMATS[name])
    counted = sum(
        int((~LogitRange(-20, 20).holds(FORMATS[name], fixed.rows)).sum())
        for corpus in CORPORA.values()
        for fixed in corpus.fixed_rows(FORMATS[name])
    )
    assert (known > left_out > 0, left_out) == (True, counted)


def test_own_rows_beyond_the_range_are_left_out_and_counted(tmp_path: Path) -> None:
    values = np.array([[0.0, 1.0], [0.0, 21.0], [-np.inf, 1.0], [np.nan, 0.0]])
    inputs = InputRows(tmp_path / "own.npy", values)
    settings = resolve({"formats": ["float32"], "range": [-20, 20], "regimes": ["log-uniform"], "jobs": 1})
    object.__setattr__(settings, "inputs", inputs)
    object.__setattr__(settings, "regimes", ("input",))
    assert Workload(settings).known_rows(FORMATS["float32"]) == (4, 3)


# Settings and records ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("3", "not LOW,HIGH"),
        ("a,b", "not LOW,HIGH"),
        ("1,2,3", "not LOW,HIGH"),
        ("", "not LOW,HIGH"),
        ("5,1", "no logit is in it"),
        ("inf,inf", "no logit is in it"),
        ("nan,2", "NaN is no end"),
        ("-70000,70000", "float16 ends at 65504"),
        ("1.00001,1.00002", "no number of float16 is in it"),
    ],
)
@pytest.mark.parametrize("command", ["run", "gate", "search"])
def test_a_range_that_is_none_is_refused_in_one_line(
    given: str, rule: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    more = ["--tier", "standard"] if command == "gate" else []
    assert cli.run([command, "naive", "--format", "float16", f"--range={given}", *more]) == 2
    said = capsys.readouterr().err.strip()
    assert rule in said
    assert f"range {given}" in said or f"range '{given}'" in said
    assert "\n" not in said
    assert not list(tmp_path.iterdir()), "a folder was left"


def test_the_range_decides_the_figures_and_so_the_identity() -> None:
    free, narrow = resolve({}), resolve({"range": "-20,20.5"})
    assert "range" not in free.identity()
    assert narrow.identity()["range"] == [-20.0, 20.5]
    assert resolve({"range": "-inf,4"}).identity()["range"] == ["-inf", 4.0]


def test_the_configuration_has_a_range_and_a_flag_goes_over_it(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.harness]\nrange = [-4, 4]\n")
    monkeypatch.chdir(tmp_path)
    asked = ["search", "naive", "--format", "float16", "--length", "3", "--evals", "600", "--json"]
    for more, most in (([], 4.0), (["--range", "-2,2"], 2.0)):
        assert cli.run([*asked, *more]) == 0
        x = json.loads(capsys.readouterr().out)["witness"]["x"]
        values = np.frombuffer(bytes.fromhex(x), ">f2").astype(float)
        assert np.abs(values).max() <= most, values


LENGTH = LONG_BEYOND + 27


@pytest.mark.parametrize("length", [9, LENGTH])
def test_a_witness_of_a_run_is_made_again_in_its_range(length: int) -> None:
    fmt, within = FORMATS["float32"], LogitRange(-np.inf, 0.5)
    rows = REGIMES["wide-normal"].rows(fmt, 4, length, 11, 3, within)
    bits = fmt.to_hex(rows[2])
    cell = CellKey("naive", "softmax", fmt.name, fmt.name, "wide-normal", length)
    whole = Witness(cell, "max_ulp", 2.5, bits, bits, 5, "batch 3, row 2")
    kept = kept_as_recipe(whole, 11, {3: 4}, within=within)
    again = Witness.from_document(json.loads(kept.line()))
    assert again.id == kept.id
    assert fmt.to_hex(row_of(again)) == bits
    part = batch_of(again)
    assert part is not None
    assert fmt.to_hex(part.x) == fmt.to_hex(rows)
    if length > LONG_BEYOND:
        elsewhere = json.loads(kept.line())
        elsewhere["remade"]["within"] = ["-inf", 0.25]
        with pytest.raises(UsageError, match="makes another row now"):
            row_of(Witness.from_document(elsewhere))


@pytest.mark.parametrize("ends", [[1], [1, 0], ["x", 1], [None, 1], [1, 2, 3], "12", [1e999, 0], [True, 2]])
def test_a_recipe_with_a_range_that_is_none_is_refused(ends: object) -> None:
    fmt = FORMATS["float32"]
    rows = REGIMES["wide-normal"].rows(fmt, 4, LENGTH, 11, 3)
    cell = CellKey("naive", "softmax", fmt.name, fmt.name, "wide-normal", LENGTH)
    whole = Witness(cell, "max_ulp", 2.5, fmt.to_hex(rows[2]), "", 5, "batch 3, row 2")
    document = json.loads(kept_as_recipe(whole, 11, {3: 4}).line())
    document["remade"]["within"] = ends
    with pytest.raises(ValueError, match="within"):
        Witness.from_document(document)


# Verdicts ------------------------------------------------------------------------------------------


def narrow(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without a shift, as a kernel for logits up to 60 may be."""
    e = np.exp(x)
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


@pytest.mark.slow
def test_a_kernel_made_for_a_range_passes_there_alone(assert_accurate: Callable[..., None]) -> None:
    assert_accurate(narrow, range=(-30, 30))
    with pytest.raises(AssertionError):
        assert_accurate(narrow)


@pytest.mark.slow
def test_a_verdict_says_the_range_that_it_is_about() -> None:
    def bad(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.zeros_like(x)

    with pytest.raises(AssertionError, match=r"range=-2,2"):
        assert_accurate(bad, range=(-2, 2))
