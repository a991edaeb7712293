"""What violations have in common: told where it holds of all of them, and of nothing that was not gated."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from harness.subject.candidates.devices import place_of
from reports.common import in_common
from reports.gate_text import markdown, terminal
from reports.github import workflow_commands
from reports.record.verdicts import Verdict, VerdictStatus

REGIMES = ("normal", "tied", "masked", "result-underflow", "extreme")
LENGTHS = (1, 8, 128, 257, 4096)


def verdicts(
    fails: Any,
    *,
    candidate: str = "my.py:softmax",
    formats: tuple[str, ...] = ("float32",),
    status: Any = "over_budget",
    message: str = "",
    metric: str = "max_ulp",
) -> list[Verdict]:
    """A verdict for every format, regime and length, of which those fail that are said to."""
    return [
        Verdict(
            candidate, fmt, fmt, regime, n, metric, "<=", 1.0, 2.0,
            status if fails(fmt, regime, n) else "pass", message if fails(fmt, regime, n) else "",
        )
        for fmt, regime, n in product(formats, REGIMES, LENGTHS)
    ]  # fmt: skip


def sentence(fails: Any, **options: Any) -> str:
    [told] = in_common(verdicts(fails, **options))
    return told


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (
            lambda _f, _r, n: n > 128,
            "all 10 violations of max_ulp are at lengths 257 to 4,096, none at 128 or less, in every regime",
        ),
        (
            lambda _f, _r, n: n < 128,
            "all 10 violations of max_ulp are at lengths 1 to 8, none at 128 or more, in every regime",
        ),
        (
            lambda _f, _r, n: n == 257,
            (
                "all 5 violations of max_ulp are only at length 257, none at 128 or less and none at 4,096 or"
                " more, in every regime"
            ),
        ),
        (
            lambda _f, _r, n: 1 < n < 4096,
            (
                "all 15 violations of max_ulp are at lengths 8 to 257, none at 1 or less and none at 4,096 or"
                " more, in every regime"
            ),
        ),
        (lambda _f, r, _n: r == "tied", "all 5 violations of max_ulp are only in regime tied"),
        (
            lambda _f, r, n: r == "result-underflow" and n > 8,
            "all 3 violations of max_ulp are only in regime result-underflow",
        ),
        (lambda _f, r, _n: r != "tied", "the 20 violations of max_ulp are spread over every regime but tied"),
        (
            lambda _f, r, _n: r in ("tied", "masked"),
            "all 10 violations of max_ulp are only in regimes masked and tied",
        ),
    ],
)
def test_lengths_and_regimes_are_told(fails: Any, said: str) -> None:
    assert sentence(fails) == f"my.py:softmax: {said}"


def test_formats_are_told_where_several_were_gated() -> None:
    both = {"formats": ("float16", "float32")}
    assert sentence(lambda _f, r, _n: r == "tied", **both).endswith("only in regime tied, in every format")
    only = sentence(lambda f, r, _n: (f, r) == ("float16", "tied"), **both)
    assert only.endswith("only in regime tied, only in format float16")


def test_a_length_is_held_against_those_gated_in_the_regimes_that_fail() -> None:
    """Of `tied` nothing up to 128 was gated: that the gate passes there in other regimes says nothing."""
    gated = [
        v for v in verdicts(lambda _f, r, _n: r == "tied") if v.regime != "tied" or (v.length or 0) > 128
    ]
    assert in_common([*gated, *(v for v in gated if v.status != "pass")]) == [
        "my.py:softmax: all 4 violations of max_ulp are only in regime tied"
    ]


def test_a_side_of_few_cells_is_no_line() -> None:
    where, limit = ("naive", "float32", "float32", "tied"), ("max_ulp", "<=", 1.0, 2.0)

    def told(spared: int) -> list[str]:
        failing = range(10, 60 - spared)
        return in_common(
            [Verdict(*where, n, *limit, "over_budget" if n in failing else "pass") for n in range(1, 60)]
        )

    assert told(4) == [
        (
            "naive: all 46 violations of max_ulp are at lengths 10 to 55,"
            " none at 9 or less and none at 56 or more"
        )
    ]
    assert told(2) == ["naive: all 48 violations of max_ulp are at lengths 10 to 57, none at 9 or less"]


@pytest.mark.parametrize("exception", [("tied", 8), ("masked", 1)])
def test_one_violation_elsewhere_takes_the_fact_away(exception: tuple[str, int]) -> None:
    told = sentence(lambda _f, r, n: (r == "result-underflow" and n > 128) or (r, n) == exception)
    assert "only in regime result-underflow" not in told
    assert "128 or less" not in told


def test_nothing_is_said_of_few_or_of_those_without_a_pattern() -> None:
    assert in_common(verdicts(lambda *_: False)) == []
    assert (
        in_common(verdicts(lambda _f, r, n: r == "tied" and n < 128)) == []
    )  # two: they are read as quickly
    scattered = {("normal", 8), ("normal", 257), ("tied", 1), ("masked", 4096), ("extreme", 128)}
    assert in_common(verdicts(lambda _f, r, n: (r, n) in scattered, status="crashed")) == [
        "my.py:softmax: the 5 cells that crashed are spread over every regime but result-underflow"
    ]
    assert in_common([v for v in verdicts(lambda *_: True) if v.regime == "tied" and v.length == 8] * 3) == []


def test_what_every_tier_s_message_names_is_told_and_what_is_excused_is_not() -> None:
    tier = {"metric": "tier", "message": "2 flushed, 3 over_bound, excused: 1 overflow"}
    assert sentence(lambda _f, r, _n: r == "tied", **tier).endswith(
        "each with a flushed output and an error above the bound"
    )
    assert "each with" not in sentence(lambda _f, r, _n: r == "tied", metric="tier", message="3 over_bound")


def test_rows_that_do_not_come_back_for_one_reason_give_it() -> None:
    killed, at = "rows gave no output: killed by SIGKILL", {"status": "crashed", "metric": "crashed"}
    lost = [
        *verdicts(lambda _f, r, n: r == "tied" and n > 8, message=f"2 of 9 {killed}", **at),
        *verdicts(lambda _f, r, n: r == "tied" and n == 8, message=f"4 of 8 {killed}", **at),
    ]
    [told] = in_common(lost)
    assert told == (
        "my.py:softmax: all 4 cells that crashed are only in regime tied, for one reason: killed by SIGKILL"
    )


def contract(name: str, status: VerdictStatus = "defect") -> Verdict:
    where = "my.py:softmax", "float32", "float32", None, None
    return Verdict(*where, f"contract {name}", "<=", 0.0, 1.0, status)


def test_what_is_of_no_cell_is_named_beside() -> None:
    both = [*verdicts(lambda _f, r, _n: r == "tied"), contract("axis"), contract("strides")]
    both.append(contract("threads", "not_run"))
    assert in_common(both)[0].endswith(
        "only in regime tied; it also breaks contract axis and contract strides"
    )
    assert in_common([contract(name) for name in ("axis", "strides", "batch")]) == []


def test_each_candidate_has_a_sentence_of_its_own_and_a_few_are_told() -> None:
    names = [f"{name}.py:softmax" for name in "abcdef"]
    regimes = dict(zip(names, [*REGIMES, "tied"], strict=True))
    told = in_common(
        [v for name in names for v in verdicts(lambda _f, r, _n, at=regimes[name]: r == at, candidate=name)]
    )
    assert [line.partition(":")[0] for line in told[:4]] == ["a.py", "b.py", "c.py", "d.py"]
    assert told[4:] == ["2 more candidates likewise"]


def shown(many: list[Verdict]) -> list[str]:
    return [str(line) for line in terminal(many, {}, "out/run").renderables]  # type: ignore[union-attr]


def test_the_screen_leads_with_it_and_says_where_the_rest_is() -> None:
    many = verdicts(lambda _f, _r, n: n > 8)
    outcome, shared, *rest = shown(many)
    assert outcome == "gate: fail (15 limits exceeded, 10 limits met)"
    assert (
        [shared]
        == in_common(many)
        == [
            (
                "my.py:softmax: all 15 violations of max_ulp are at lengths 128 to 4,096, none at 8 or less,"
                " in every regime"
            )
        ]
    )
    assert rest[:2] == [
        "fail  my.py:softmax, float32, normal, n=128: max_ulp 2 is above its limit 1",
        "      14 further cells like it: normal, n=257; normal, n=4096; tied, n=128 ...",
    ]
    assert "all violations are in out/run/junit.xml and with --json" in rest
    sound = shown(verdicts(lambda *_: False))
    assert sound[0] == "gate: pass (25 limits met)"
    assert not [line for line in sound if "junit" in line]


def test_the_job_summary_leads_with_it_below_the_outcome_and_says_where_the_rest_is() -> None:
    where, limit = ("naive", "float32", "float32", "tied"), ("max_ulp", "<=", 1.0, 2.0)
    many = [Verdict(*where, n, *limit, "over_budget" if n > 9 else "pass") for n in range(1, 500)]
    lines = markdown(many, {}, "out/run").splitlines()
    assert lines[0].startswith("**gate: fail")
    assert lines[2] == r"naive: all 490 violations of max\_ulp are at lengths 10 to 499, none at 9 or less"
    assert "400 of 490 shown; all are in out/run/junit.xml" in lines


def cells(*tried: tuple[int, int, str], regime: str = "medley") -> list[Verdict]:
    """Verdicts on cells of (length, rows, status)."""
    return [
        Verdict("f", "float32", "float32", regime, n, "max_ulp", "<=", 1.0, 2.0, status, rows=rows)
        for n, rows, status in tried
    ]


def test_a_cause_in_the_number_of_rows_is_not_told_as_one_in_the_length() -> None:
    """Short rows come in larger cells: where those alone fail, few rows of the same lengths pass."""
    large = [(n, 16384 // n, "over_budget") for n in (9, 10, 12)]
    small = [(n, 40, "pass") for n in (8, 11, 13)] + [(n, 16384 // n, "pass") for n in (17, 33, 65)]
    assert in_common(cells(*large, *small)) == [
        "f: all 3 violations of max_ulp are in cells of 1,365 rows and more, none of 963 or fewer"
    ]


def test_where_length_and_rows_part_the_cells_alike_both_are_told() -> None:
    tried = [(n, 16384 // n, "over_budget" if n < 10 else "pass") for n in (3, 7, 9, 17, 33, 65)]
    assert in_common(cells(*tried)) == [
        (
            "f: all 3 violations of max_ulp are at lengths 3 to 9, none at 17 or more; these cells have"
            " 1,820 rows and more, none of 963 or fewer, and that may be the reason"
        )
    ]


def test_one_long_row_that_passes_by_chance_is_no_line() -> None:
    tried = [(n, 2, "over_budget") for n in (5, 9, 17, 1023, 131_071)] + [(131_073, 2, "pass")]
    assert in_common(cells(*tried)) == []


def test_lengths_that_pass_among_those_that_fail_are_counted() -> None:
    tried = [(n, 2, "pass") for n in (1, 2, 3, 300)] + [(n, 2, "over_budget") for n in (257, 511, 4096)]
    assert in_common(cells(*tried)) == [
        "f: all 3 violations of max_ulp are at 3 of 4 lengths from 257 to 4,096, none at 3 or less"
    ]


def tried(failing: Any, passing: Any) -> str:
    gated = [(n, 2, "over_budget") for n in failing] + [(n, 2, "pass") for n in (1, 2, 3, *passing)]
    [said] = in_common(cells(*gated))
    return said


def test_multiples_that_are_spared_or_fail_alone_are_told_where_chance_is_no_reason() -> None:
    odd, even = range(101, 151, 2), range(102, 150, 2)
    fours = range(104, 149, 4)
    spared = tried([n for n in range(101, 151) if n % 4], fours)
    assert "at 38 of 50 lengths from 101 to 150 (none of the 12 multiples of 4 among them)" in spared
    assert "(all of them multiples of 4)" in tried(fours, [n for n in range(105, 148) if n % 4])
    assert "multiples" not in tried([101, 103, 105], [102, 104])
    assert "(none of the 24 multiples of 2 among them)" in tried(odd, even)


def test_an_annotation_stands_at_the_candidate_and_says_what_is_common() -> None:
    mine = verdicts(lambda _f, _r, n: n >= 257)
    others = verdicts(lambda _f, r, _n: r == "tied", candidate="max_shifted")
    told = list(workflow_commands([*mine, *others], {"my.py:softmax": ("src/my.py", 12)}))
    assert len(told) == 2
    own, other = sorted(told, key=lambda line: "max_shifted" in line)
    assert own.startswith("::error file=src/my.py,line=12,title=fail%3A my.py%3Asoftmax float32%2C the")
    assert in_common(mine)[0].replace("%", "%25") in own
    assert other.startswith("::error title=")


@pytest.mark.parametrize(
    ("name", "line"),
    [("plain", 4), ("decorated", 9), ("assigned", 13), ("Kind.softmax", 15), ("elsewhere", 1)],
)
def test_a_candidate_s_place_is_where_it_is_defined(
    name: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my.py"
    file.write_text(
        "from other import elsewhere\n\n\ndef plain(x):\n    return x\n\n\n@wrapped\ndef decorated(x):\n"
        "    return x\n\n\nassigned = plain\n\nclass Kind:\n    pass\n"
    )
    assert place_of(f"my.py:{name}") == place_of(f"my:{name}@torch") == (file, line)
    assert place_of("max_shifted") is place_of("absent:softmax") is None
