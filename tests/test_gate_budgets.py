"""Budgets: read strictly, judged before rounding; what is unmeasured never passes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
from harness import cli
from harness.campaign.settings import Settings
from harness.gate import decision
from harness.gate.budgets import budgets_of, read_budgets
from harness.gate.judgement import judge
from harness.gate.statistics import ALPHA, Fresh, rows_needed
from harness.terminal.exceptions import UsageError
from reference.formats import FORMATS
from reference.tiers import STANDARD
from reference.truth import truth
from reports.record.confidence import exceeds
from reports.record.verdicts import exit_code
from tests.gating import SUSPECTS, briefly, budget, error_of, failing, gate, gated, limit_on, written
from tests.synthetic_run import key, overflowing, tally_of

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Files -------------------------------------------------------------------------------------


def test_a_file_says_what_it_says() -> None:
    file = written(
        budget(regime="masked", length=7, date=date(2026, 1, 31)), budget(metric="tier", limit="fast")
    )
    first, second = read_budgets(file)
    assert (first.metric, first.limit, first.regime, first.length) == ("bound_ratio", 1.0, "masked", 7)
    assert (second.metric, second.limit, second.operator) == ("tier", "fast", "meets")


@pytest.mark.parametrize(
    ("metric", "limit"),
    [("overflow_rate", 0.0), ("overflow_rate", 0.999), ("faithful", 1.0), ("faithful", 2.0**-60)],
)
def test_limits_are_taken_up_to_the_edge_of_what_can_be_missed(metric: str, limit: float) -> None:
    file = written(budget(metric=metric, limit=limit))
    assert read_budgets(file)[0].limit == limit


MISTAKES = [
    ({"metric": "faithful", "limit": 1.0000000000000002}, "more than 0, at most 1"),
    ({"limit": "nan"}, "budget[0].limit nan: give a finite number"),
    ({"limit": "inf"}, "budget[0].limit inf: give a finite number"),
    ({"limit": -1.0}, "budget[0].limit -1.0: give a finite number from 0 on"),
    ({"limit": None}, "budget[0].limit: field required"),
    ({"metric": "max_ulps"}, "did you mean 'max_ulp'?"),
    ({"metric": "tier", "limit": json.dumps("standrad")}, "did you mean 'standard'?"),
    ({"metric": "overflow_rate", "limit": 1.0}, "cannot be exceeded"),
    ({"metric": "faithful", "limit": 0.0}, "more than 0, at most 1"),
    ({"format": json.dumps("float31")}, "did you mean 'float32'?"),
    ({"regime": json.dumps("maskd")}, "did you mean 'masked'?"),
    ({"length": 0}, "budget[0].length"),
    ({"candidate": json.dumps("")}, "budget[0].candidate"),
    ({"reason": json.dumps(" ")}, "budget[0].reason: say why"),
    ({"reason": None}, "budget[0].reason: field required"),
    ({"limits": 1.0}, "budget[0].limits: unknown key; did you mean 'limit'?"),
    ({"limit": "-nan"}, "budget[0].limit nan: give a finite number"),
    ({"limit": "1e400"}, "budget[0].limit inf: give a finite number"),
    ({"limit": "1" + "0" * 400}, "budget[0].limit: input should be a number or the name of a tier"),
    ({"limit": '"1.0"'}, "budget[0].limit '1.0': bound_ratio is limited by a number"),
    ({"limit": "[1.0]"}, "budget[0].limit: input should be a number or the name of a tier"),
    ({"limit": "1.0\nlimit = 2.0"}, "Cannot overwrite a value"),
    ({"metric": "b\u03bfund_ratio"}, "did you mean 'bound_ratio'?"),
    ({'"l\u0456mit"': 1.0}, "did you mean 'limit'?"),
    ({"regime": '""'}, "budget[0].regime ''"),
    ({"length": 10**15}, "budget[0].length"),
    ({"length": "4.0"}, "budget[0].length: input should be a valid integer"),
    ({"reason": '"\u200b"'}, "budget[0].reason: say why"),
    ({"metric": "rows", "limit": 1e9}, "budget[0].metric 'rows': it depends on the request, not on outputs"),
    *(
        ({"metric": name, "limit": 1e9}, "it depends on the request, not on outputs")
        for name in (
            "length",
            "completed_rows",
            "judged_rows",
            "policy_rows",
            "elements",
            "masked_zeros",
            "fallbacks",
        )
    ),
    ({"metric": "tier", "limit": 1.0}, "budget[0].limit '1.0': unknown"),
    (
        {"metric": "tier", "limit": '"wide"', "format": '"float64"'},
        "budget[0].limit: tier wide: float64 has 64 bits",
    ),
    ({"metric": "tier", "limit": '"wide"', "out_format": '"float32"'}, "tier wide: float32 has 32 bits"),
    ({"candidate": '""'}, "budget[0].candidate"),
    ({"limit": "true"}, "budget[0].limit: input should be a number or the name of a tier"),
    ({"metric": "max_ulp", "limit": 1e308}, "that are all 0 would pass in float16; give less than 2048"),
    ({"metric": "p99_ulp", "limit": 2048.0}, "give less than 2048"),
    ({"metric": "mean_ulp", "limit": 10**300}, "give less than 2048"),
    ({"metric": "max_ulp", "limit": 256.0, "out_format": '"bfloat16"'}, "in bfloat16; give less than 256"),
    ({"limit": 4096.0}, "budget[0].limit 4096.0: outputs that are all 0 would pass in float16"),
    ({"metric": "worst_row_sum_error", "limit": 1.0}, "give less than 1"),
    ({"metric": "nonfinite_rows", "limit": 1e9}, "budget[0].limit 1000000000.0: no cell"),
    ({"metric": "flushed", "limit": 16379, "length": 11}, "applies to has more than 16379; give less"),
]


@pytest.mark.parametrize(("changes", "said"), MISTAKES)
def test_a_mistake_is_exit_2_and_named(
    changes: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        "candidate": '"max_shifted"', "format": '"float16"', "metric": '"bound_ratio"', "limit": 1.0,
        "reason": '"a test"', **{k: f'"{v}"' if k == "metric" else v for k, v in changes.items()},
    }  # fmt: skip
    written("\n".join(["[[budget]]", *(f"{k} = {v}" for k, v in values.items() if v is not None)]))
    code, error = error_of(capsys, "--budgets", "budgets.toml")
    assert (code, error.count("\n")) == (2, 1), error
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize("name", FORMATS)
def test_the_greatest_limits_on_errors_and_ratios_are_what_zeros_stay_below(name: str) -> None:
    """The rows: one entry, whose result is 1, and two, of which one is next to 1."""
    fmt, near = FORMATS[name], {"max_ulp": 0.0, "bound_ratio": 0.0}
    for row in ([0.0], [0.0, -3.0], [0.0, -7.0]):
        x = np.array([row])
        held = truth(x, fmt)
        error = reference.ulp_errors(fmt.from_float64(x), fmt.from_float64(np.zeros_like(x)))
        near["max_ulp"] = max(near["max_ulp"], error.max())
        near["bound_ratio"] = max(near["bound_ratio"], (error / STANDARD.bounds(x, held, fmt)).max())
    for metric, most in (("max_ulp", 2.0**fmt.precision), ("bound_ratio", 2.0 ** (fmt.precision + 1))):
        assert near[metric] < most
        assert budgets_of(budget(format=name, metric=metric, limit=near[metric]), Path("budgets.toml"))
        with pytest.raises(UsageError, match="that are all 0 would pass"):
            budgets_of(budget(format=name, metric=metric, limit=most), Path("budgets.toml"))
    assert near["max_ulp"] > 0.9 * 2**fmt.precision


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rows", "0"), "rows 0: give an integer from 1"),
        (("--rows", str(10**12)), "rows 1000000000000: give an integer from 1"),
        (("--margin", "nan"), "margin nan: give a number from 0 on"),
        (("--margin", "-1"), "margin -1.0: give a number from 0 on"),
        (("--tier", "standrad"), "did you mean 'standard'?"),
        (
            ("--tier", "wide"),
            "tier wide: float32 has 32 bits, and wide is for output formats of 16",
        ),
        (("--format", "float31"), "did you mean 'float32'?"),
        (("--policy", "subnormals=off"), "subnormals is one of keep, flush"),
        (("--timeout", "nan"), "timeout nan"),
        (("--seed", "-1"), "seed -1"),
        (("--jobs", "0"), "jobs 0"),
        (("--tighten",), "give --budgets FILE"),
        (("--strict",), "give --budgets FILE"),
        (("--loosen", "max_ulp=2"), "give --budgets FILE"),
    ],
)
def test_a_slip_of_the_hand_is_exit_2_before_anything_is_measured(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = error_of(capsys, "max_shifted", *options, *(() if "--tier" in options else BY_TIER))
    assert (code, error.count("\n")) == (2, 1), error
    assert said in error
    assert not Path("harness-out").exists()


BY_TIER = ("--tier", "fast")


SAME = [
    ('"./my.py:softmax"', {}),
    ('"../{here}/my.py:softmax"', {}),
    ('"my.py:softmax"', {"out_format": '"float16"'}),
]


@pytest.mark.parametrize(("candidate", "more"), SAME)
def test_the_same_cells_by_another_spelling_are_a_duplicate(candidate: str, more: dict[str, str]) -> None:
    """Written inline and apart; of the two limits the looser one would be no use, the other no limit."""
    values = {"format": '"float16"', "metric": '"max_ulp"', "reason": '"a test"'}
    mine = {**values, "candidate": '"my.py:softmax"', "limit": "1.0"}
    other = {**values, "candidate": candidate.format(here=Path.cwd().name), "limit": "9.0", **more}
    apart = "".join("[[budget]]\n" + "".join(f"{k} = {v}\n" for k, v in e.items()) for e in (mine, other))
    inline = [f"{{{', '.join(f'{k} = {v}' for k, v in e.items())}}}" for e in (mine, other)]
    for text in (apart, f"budget = [{', '.join(inline)}]"):
        with pytest.raises(UsageError, match=r"budget\[1\]: the same cells and metric as budget\[0\]"):
            read_budgets(written(text))


def test_keys_by_dots_and_names_in_another_case_limit_nobody() -> None:
    for text, said in (
        (f"{budget()}\nbudget.limit = 9.0", r"budget\[0\].budget: unknown key"),
        (budget(limit=None) + "limit.value = 9.0", r"budget\[0\].limit: input should be a number"),
        (budget().replace("[[budget]]", "[budget]"), r"budget: write \[\[budget\]\]"),
        (budget(format="Float16"), "did you mean 'float16'"),
        (budget(metric="Bound_ratio"), "did you mean 'bound_ratio'"),
    ):
        with pytest.raises(UsageError, match=said):
            read_budgets(written(text))


def test_a_candidate_in_another_case_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    written(budget(candidate="Max_Shifted"))
    code, error = error_of(capsys, "--budgets", "budgets.toml")
    assert (code, error.count("\n")) == (2, 1)
    assert "did you mean 'max_shifted'?" in error


def test_every_mistake_of_one_entry_is_listed_whatever_else_is_wrong_with_it() -> None:
    values = {"format": "float31", "limit": math.nan, "reason": "\u200b", "lenght": 3, "regime": "maskd"}
    with pytest.raises(UsageError) as caught:
        read_budgets(written(budget(candidate=None, **values)))
    for said in (
        ".candidate: field",
        ".format 'float31'",
        ".limit nan",
        ".reason",
        ".lenght",
        ".regime 'maskd'",
    ):
        assert f"budget[0]{said}" in str(caught.value)
    with pytest.raises(UsageError, match=r"budget\[0\].entry: input should be a valid dictionary"):
        read_budgets(written("budget = [3]"))


def test_every_mistake_of_a_file_is_listed() -> None:
    file = written(budget(limit=-1.0), budget(metric="max_ulps"), budget(format="float31", limit=2.0))
    with pytest.raises(UsageError) as caught:
        read_budgets(file)
    assert all(f"budget[{number}]" in str(caught.value) for number in range(3))


def test_a_duplicate_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    written(budget(), budget(limit=2.0))
    code, error = error_of(capsys, "--budgets", "budgets.toml")
    assert code == 2
    assert "budget[1]: the same cells and metric as budget[0]" in error


@pytest.mark.parametrize("text", ["", "[[budgets]]\n", "budget = 3\n", "[[budget]\n", "budget = []\n"])
def test_a_file_without_a_budget_is_exit_2(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    written(text)
    assert error_of(capsys, "--budgets", "budgets.toml")[0] == 2


def test_an_unreadable_file_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(capsys, "--budgets", "nothing.toml")[0] == 2
    Path("budgets.toml").write_bytes(b"\xff\xfe\x00")
    assert error_of(capsys, "--budgets", "budgets.toml")[0] == 2


@pytest.mark.parametrize("candidate", ["max_shiftd", "nothing.py:softmax", "json:softmax"])
def test_a_budget_of_a_candidate_that_does_not_exist_is_exit_2(
    candidate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(budget(), budget(candidate=candidate))
    assert error_of(capsys, "max_shifted", "--budgets", "budgets.toml")[0] == 2


def test_without_any_budget_there_is_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = error_of(capsys, "max_shifted", "--format", "float16")
    assert code == 3
    assert "no budget to judge by" in error


def test_the_configuration_names_the_file_and_its_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text('[tool.harness.gate]\nbudget = "x.toml"\n')
    code, error = error_of(capsys)
    assert code == 2
    assert "tool.harness.gate.budget: unknown key; did you mean 'budgets'?" in error


def test_the_configuration_names_candidates_formats_tiers_and_policies(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 2)
    Path("my.py").write_text(SUSPECTS.read_text())
    Path("pyproject.toml").write_text(
        '[tool.harness]\ncandidates = ["my.py:flushing_subnormals"]\nformats = ["float32"]\n'
        '[tool.harness.gate]\ntiers = ["fast", "standard"]\npolicies = ["subnormals=flush"]\n'
    )
    Path("below").mkdir()
    monkeypatch.chdir("below")
    code, document = gate(capsys)
    assert code == 0, failing(document)
    assert {v["limit"] for v in document["verdicts"] if v["metric"] == "tier"} == {"fast", "standard"}
    assert {v["policy"] for v in document["verdicts"]} == {"subnormals=flush"}
    assert {(v["candidate"], v["format"]) for v in document["verdicts"]} == {
        ("../my.py:flushing_subnormals", "float32")
    }


def test_budgets_of_two_formats_ask_nothing_of_the_candidates_of_the_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    briefly(monkeypatch, 2)
    written(budget(), budget(candidate="blocked", format="float32"))
    code, document = gate(capsys, "--budgets", "budgets.toml")
    assert code == 0, failing(document)
    assert {(v["candidate"], v["format"]) for v in document["verdicts"]} == {
        ("max_shifted", "float16"),
        ("blocked", "float32"),
    }
    code, document = gate(
        capsys, "blocked", "--format", "float32", "--format", "float16", "--budgets", "budgets.toml"
    )
    assert code == 3
    assert {v["format"] for v in failing(document)} == {"float16"}


def test_a_bound_ratio_speaks_for_rows_that_may_overflow_too() -> None:
    """float16 rows of which the sum may leave the range have no bound, and their outputs are judged."""
    tally = replace(tally_of(key(), [1.0]), max_bound_ratio=0.5, tier_ratios={"over_standard": 3.0})
    (verdict,) = judge(gated(("normal", tally)), [limit_on("bound_ratio", 1.0)])
    assert (verdict.status, verdict.observed) == ("over_budget", 3.0)


def test_a_path_in_a_file_is_taken_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    file = written(budget(candidate="mine.py:softmax")).resolve()
    monkeypatch.chdir(tmp_path / "sub")
    assert read_budgets(file)[0].candidate == "../mine.py:softmax"


# Judging -----------------------------------------------------------------------------------


def test_a_figure_is_compared_before_it_is_rounded() -> None:
    limit = 1.5
    just_over = math.nextafter(limit, 2)
    (verdict,) = judge(gated(("normal", tally_of(key(), [just_over]))), [limit_on("max_ulp", limit)])
    assert verdict.status == "over_budget"
    assert repr(just_over) in verdict.message
    (verdict,) = judge(gated(("normal", tally_of(key(), [limit]))), [limit_on("max_ulp", limit)])
    assert verdict.status == "pass"


def test_a_null_figure_never_passes() -> None:
    nothing = tally_of(key(), [1.0], max_bound_ratio=None)
    (verdict,) = judge(gated(("normal", nothing)), [limit_on("bound_ratio", 1e9)])
    assert (verdict.status, verdict.observed) == ("uncertified", None)
    assert exit_code([verdict]) == 3


def test_figures_of_finite_outputs_do_not_pass_over_nan() -> None:
    tally = overflowing(key(), [1.0])
    tally = tally_of(
        key(), [1.0], outcomes=tally.outcomes, nonfinite_rows=1, classes={"normal": 1, "nonfinite": 8}
    )
    one = limit_on("max_ulp", 9.0)
    assert [v.status for v in judge(gated(("normal", tally)), [one])] == ["uncertified"]
    both = [one, limit_on("failed_rows", 1)]
    assert [v.status for v in judge(gated(("normal", tally)), both)] == ["pass", "pass"]


def test_a_cell_that_no_budget_covers_has_no_budget() -> None:
    run = gated(("normal", tally_of(key(), [1.0])), ("tied", tally_of(key(), [1.0])))
    verdicts = judge(run, [limit_on("max_ulp", 2.0, regime="tied")])
    assert [v.status for v in verdicts] == ["no_budget", "pass"]
    assert exit_code(verdicts) == 3


def test_a_budget_that_is_about_no_cell_is_not_run() -> None:
    run = gated(("normal", tally_of(key(), [1.0])))
    verdicts = judge(run, [limit_on("max_ulp", 2.0), limit_on("max_ulp", 9.0, regime="tied")])
    assert [v.status for v in verdicts] == ["pass", "not_run"]


@pytest.mark.parametrize(("out_format", "expected"), [(None, "float32"), ("float64", "float64")])
def test_a_budget_that_is_about_no_cell_names_the_output_format_that_it_asks_for(
    out_format: str | None, expected: str
) -> None:
    (verdict,) = judge(gated(), [limit_on("max_ulp", 9.0, out_format=out_format)])
    assert (verdict.status, verdict.format, verdict.out_format) == ("not_run", "float32", expected)


def test_rows_asked_for_are_drawn_where_the_gate_would_draw_fewer() -> None:
    settings = Settings(("naive",))
    assert decision._with_rows(settings, None).effort == decision.GATE
    assert decision._with_rows(settings, 1).effort.least_rows == decision.GATE.least_rows
    many = 2 * decision.GATE.most_rows
    effort = decision._with_rows(settings, many).effort
    assert (effort.least_rows, effort.most_rows, effort.name) == (many, many, f"gate, {many} rows")


def test_a_limit_on_the_bound_ratio_asks_for_the_standard_tier_beside_others() -> None:
    limits = [limit_on("max_ulp", 2.0), limit_on("bound_ratio", 1.0)]
    assert decision._tiers([limits[0]]) == ()
    assert decision._tiers(limits) == (STANDARD.name,)


def test_a_cell_without_rows_is_not_run() -> None:
    empty = tally_of(key(), [], rows=0, digests={}, witnesses=())
    assert [v.status for v in judge(gated(("normal", empty)), [limit_on("max_ulp", 2.0)])] == ["not_run"]


def test_no_verdict_at_all_is_exit_3() -> None:
    assert exit_code([]) == 3


def test_defects_fail_beside_every_budget_but_their_own() -> None:
    tally = tally_of(key(), [1.0], negative_zeros=3)
    verdicts = judge(gated(("normal", tally)), [limit_on("max_ulp", 2.0)])
    assert [v.status for v in verdicts] == ["pass", "defect"]
    known = [limit_on("max_ulp", 2.0), limit_on("negative_zeros", 3)]
    assert [v.status for v in judge(gated(("normal", tally)), known)] == ["pass", "pass"]


# Statistics --------------------------------------------------------------------------------


def test_the_rows_needed_are_those_of_the_formula() -> None:
    for limit in (0.5, 0.01, 1e-6):
        needed = rows_needed(limit, ALPHA)
        assert (1 - limit) ** needed <= ALPHA < (1 - limit) ** (needed - 1)


def test_the_lower_bound_is_that_of_the_binomial() -> None:
    for events, trials, rate in ((1, 3, 0.25), (5, 40, 0.05), (12, 400, 0.01), (1, 3, 0.75), (5, 40, 0.15)):
        tail = sum(
            math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(events, trials + 1)
        )
        assert exceeds(events, trials, rate, tail * 1.0001)
        assert not exceeds(events, trials, rate, tail * 0.9999)
    assert not exceeds(0, 10, 0.5, 0.9)


def test_fresh_rows_fail_only_beyond_chance_and_pass_only_with_enough() -> None:
    allowed = limit_on("failed_rate", 0.01)

    def status(rows: int, failed: int) -> str:
        tally = overflowing(key(), [1.0], rows=rows, failed=failed)
        return judge(gated(("normal", tally)), [allowed], Fresh(1))[0].status

    assert status(2000, 21) == "pass"  # 1.05 %, within chance of 1 %
    assert status(2000, 60) == "over_budget"
    assert status(100, 0) == "uncertified"
    assert status(rows_needed(0.01, ALPHA), 0) == "pass"


def test_a_limit_of_zero_is_broken_by_any_hit() -> None:
    tally = overflowing(key(), [1.0], rows=100_000, failed=1)
    (verdict,) = judge(gated(("normal", tally)), [limit_on("failed_rate", 0.0)], Fresh(1))
    assert verdict.status == "over_budget"


# A whole gate ------------------------------------------------------------------------------


@pytest.mark.slow
def test_budgets_are_found_through_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text('[tool.harness.gate]\nbudgets = "budgets.toml"\n')
    name = f"{SUSPECTS}:sound"
    written(budget(candidate=name, metric="tier", limit="standard"), budget(candidate=name, limit=1.0))
    assert cli.run(["gate"]) == 0
    written(budget(candidate=name, metric="tier", limit="standard"), budget(candidate=name, limit=0.1))
    assert cli.run(["gate"]) == 1
    out = capsys.readouterr().out
    assert "is above its limit 0.1" in out
