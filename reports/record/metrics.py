"""The metrics: every column of the table of cells, and what it means to those who judge by it.

Of this table are made the columns of a run's files, what a budget may limit and how, what two runs are
compared in, which finding a count is, by which witness a figure is shown, and the columns' documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

from reports.record.witness_kinds import gravity_of

__all__ = ["COLUMNS", "DEFECTS", "JUDGED", "METRICS", "Covers", "Metric", "Unit", "documented"]

Dtype = Literal["str", "int64", "float64", "bool"]

Unit = Literal["", "entries", "rows", "elements", "ULP", "bound", "sum", "share", "rate"]
"""The unit of a figure, or what a count counts.

`bound`: an error over a bound of it. `sum`: the sum of a row's outputs. `share`: of elements, that which is
good. `rate`: a share of rows or elements with an event.
"""

Covers = Literal["judged", "any", "finite", "nonfinite", "overflow"]
"""The outputs that a figure covers.

`judged`: of rows with an exact result. `any`: of policy rows too, or of rows that gave no output.
`finite`: of finite outputs alone, so that it says nothing of the others. `nonfinite`: of those others too.
`overflow`: of rows that overflow, where most of those others lie.
"""


@dataclass(frozen=True)
class Metric:
    """One column of the table of cells.

    Attributes:
        name: of the column.
        dtype: of pandas; text may be null.
        unit: of what it is a count, or in what it is given.
        meaning: a description in one line.
        better: the direction that is better; None where it does not depend on the outputs.
        shown_by: the kind of witness that shows it; empty where none does.
        covers: the outputs that it covers.
        greatest: whether it is the greatest figure of a row.
        within: the most that it may be where a run limits nothing; None where that is not said.
        defect: the defect that a count above 0 or a ratio above 1 shows; empty where that is no finding.
        heading: a short name in pages; empty where none needs one.
        wrong: the noun for a count that shows a candidate wrong although no row failed.
        compared: the rank in comparing two runs, 1 for the gravest; None where it is not compared.
        walls: values that other rows do not carry the figure across; None where other rows do not change it.
        events: of a rate that can be tested, the column that counts its rows.
        is_costly: whether it costs more than most others together.
    """

    name: str
    dtype: Dtype
    unit: Unit
    meaning: str
    better: Literal["less", "more"] | None = None
    shown_by: str = ""
    covers: Covers = "judged"
    greatest: bool = False
    within: float | None = None
    defect: str = ""
    heading: str = ""
    wrong: str = ""
    compared: int | None = None
    walls: tuple[float, ...] | None = None
    events: str = ""
    is_costly: bool = False


def _text(name: str, meaning: str, *, is_costly: bool = False) -> Metric:
    return Metric(name, "str", "", meaning, is_costly=is_costly)


def _asked(name: str, unit: Unit, meaning: str) -> Metric:
    """Return a count over all rows, with and without outputs."""
    return Metric(name, "int64", unit, meaning)


def _count(
    name: str,
    unit: Unit,
    meaning: str,
    shown_by: str = "",
    *,
    covers: Covers = "judged",
    compared: int | None = None,
    defect: str = "",
    heading: str = "",
    wrong: str = "",
) -> Metric:
    return Metric(
        name, "int64", unit, meaning, "less", shown_by,
        covers=covers, compared=compared, defect=defect, heading=heading, wrong=wrong,
    )  # fmt: skip


def _rate(
    name: str, meaning: str, shown_by: str = "", *, covers: Covers = "judged", events: str = ""
) -> Metric:
    return Metric(name, "float64", "rate", meaning, "less", shown_by, covers=covers, events=events)


def _with_ends(rate: Metric) -> tuple[Metric, Metric, Metric]:
    """Return a rate and the ends of its 95 % interval, which is about drawn rows alone."""
    low, high = (
        replace(
            rate,
            name=f"{rate.name}_{end}",
            meaning=f"the {end} end of the 95 % interval of {rate.name}",
            covers="judged",
            events="",
        )
        for end in ("low", "high")
    )
    return rate, low, high


def _figure(
    name: str,
    unit: Unit,
    meaning: str,
    *,
    better: Literal["less", "more"] = "less",
    covers: Covers = "finite",
    shown_by: str = "",
    within: float | None = None,
    defect: str = "",
    compared: int | None = None,
    walls: tuple[float, ...] | None = None,
    is_costly: bool = False,
) -> Metric:
    return Metric(
        name, "float64", unit, meaning, better, shown_by, covers, bool(shown_by), within, defect,
        compared=compared, walls=walls, is_costly=is_costly,
    )  # fmt: skip


_QUANTILE: Final = "at most 2^-8 too high; nonfinite outputs count as infinite"

_ROWS: Final = (
    _text("candidate", "the name of the candidate"),
    _text("op", "what the candidate computes of a row"),
    _text("format", "the format of the logits"),
    _text("out_format", "the format of the outputs"),
    _text("regime", "the family of the rows"),
    _asked("length", "entries", "of a row"),
    _text("status", "ok, crashed, timed_out, unsupported or not_tried"),
    _asked("rows", "rows", "drawn"),
    _asked("completed_rows", "rows", "that gave outputs"),
    _asked("judged_rows", "rows", "that gave outputs and have an exact result"),
    _asked(
        "policy_rows",
        "rows",
        "that gave outputs and have no exact result: with NaN, with +inf, or all -inf",
    ),
    _asked("elements", "elements", "of rows with an exact result"),
    _count("failed_rows", "rows", "that failed, for any reason", covers="nonfinite", compared=1),
    *_with_ends(
        _rate("failed_rate", "failed rows over judged rows", covers="nonfinite", events="failed_rows")
    ),
    _figure(
        "max_ulp",
        "ULP",
        "the greatest error of a finite output",
        shown_by="max_ulp",
        compared=11,
        walls=(0.5, 1.0),
    ),
    _figure("mean_ulp", "ULP", "the mean error, where RN(r) is not 0", compared=12, walls=()),
    _figure("p50_ulp", "ULP", f"the median error ({_QUANTILE})", covers="nonfinite", is_costly=True),
    _figure(
        "p99_ulp", "ULP", f"the 99 % quantile of the error ({_QUANTILE})", covers="nonfinite", is_costly=True
    ),
    _figure(
        "correctly_rounded",
        "share",
        "of elements with r > 0, those that are RN(r)",
        better="more",
        covers="judged",
        compared=15,
    ),
    _figure(
        "faithful",
        "share",
        "of elements with r > 0, those that are RD(r) or RU(r)",
        better="more",
        covers="judged",
        compared=16,
    ),
    _figure(
        "bound_ratio",
        "bound",
        "the greatest error over the bound of the standard tier",
        shown_by="bound_ratio",
        within=1.0,
        compared=13,
        walls=(1.0,),
    ),
    _figure(
        "algorithm_ratio",
        "bound",
        "the greatest error over the bound of the declared algorithm; null where none is declared",
        shown_by="algorithm_ratio",
        within=1.0,
        defect="a greater error than the algorithm it declares can make",
    ),
    _count("overflow_rows", "rows", "that failed by overflow", "overflow", covers="overflow"),
    *_with_ends(
        _rate(
            "overflow_rate",
            "overflow rows over judged rows",
            "overflow",
            covers="overflow",
            events="overflow_rows",
        )
    ),
    _count("total_underflow_rows", "rows", "that failed by total underflow", "total_underflow"),
    *_with_ends(
        _rate(
            "total_underflow_rate",
            "total underflow rows over judged rows",
            "total_underflow",
            events="total_underflow_rows",
        )
    ),
    _count("inaccurate_rows", "rows", "that failed with finite nonzero outputs", "inaccurate"),
    _count(
        "unexplained_rows",
        "rows",
        "that failed for no reason that the candidate declares",
        "unexplained",
        compared=2,
        defect="failed for no reason that the candidate declares",
    ),
    _count(
        "nonfinite_rows", "rows", "with an output that is NaN or an infinity", "nonfinite", covers="nonfinite"
    ),
    _count("collapsed_rows", "rows", "whose outputs sum to less than half the exact sum"),
    _count("inflated_rows", "rows", "whose outputs sum to more than twice the exact sum"),
    *_with_ends(
        _rate(
            "underflow_rate",
            "spurious zeros over elements with RN(r) not 0",
            "flushed",
            events="underflow_rows",
        )
    ),
    _count("underflow_rows", "rows", "with a spurious zero"),
    *_with_ends(_rate("underflow_row_rate", "underflow rows over judged rows", events="underflow_rows")),
    _rate("unavoidable_underflow_rate", "unavoidable zeros over elements with r > 0"),
    _count("flushed", "elements", "that are 0 where RN(r) is subnormal", "flushed", compared=5),
    _count(
        "lost", "elements", "that are 0 where RN(r) is normal", "lost", compared=4, wrong="entries lost to 0"
    ),
    _count("unavoidable_zeros", "elements", "that are 0 where RN(r) is 0 and r > 0"),
    _count("spurious_nonzeros", "elements", "that are above 0 where RN(r) is 0 and r > 0"),
    _count(
        "nonfinite", "elements", "that are NaN or an infinity", "nonfinite", covers="nonfinite", compared=3
    ),
    _count(
        "out_of_range",
        "elements",
        "outside [0, 1]; for log_softmax, above 0",
        "out_of_range",
        compared=7,
        defect="outside the range of results",
        heading="out of range",
        wrong="entries outside the range of results",
    ),
    _count(
        "mask_leaks",
        "elements",
        "of masked entries that are not 0; for log_softmax, not -inf",
        "mask_leak",
        compared=6,
        defect="wrong where the logit is -inf",
        heading="mask leaks",
        wrong="masked entries that are wrong",
    ),
    _asked("masked_zeros", "elements", "that are 0 where r is 0"),
    _count(
        "negative_zeros",
        "elements",
        "that are -0",
        "negative_zero",
        compared=8,
        defect="returned -0",
        heading="-0",
        wrong="entries -0",
    ),
    _count(
        "policy_violations",
        "rows",
        "without an exact result whose outputs break the declared policy",
        "policy",
        covers="any",
        compared=9,
        defect="outputs that break the policy for such rows, declared or default",
        heading="not as declared",
        wrong="policy rows not as declared",
    ),
    _asked("fallbacks", "elements", "that the certified path left to mpmath"),
    _count("faults", "rows", "that gave no output, for any reason", covers="any", compared=10),
    _figure(
        "worst_row_sum_error",
        "sum",
        "the greatest |sum of a row's outputs - sum of RN(r)|",
        shown_by="row_sum",
        compared=14,
        walls=(),
    ),
    Metric("sampled", "bool", "", "whether the rows were drawn independently, so that rates have intervals"),
    _text(
        "rows_digest",
        "the SHA-256 of the input bits; cells with the same one can be compared",
        is_costly=True,
    ),
    _text("message", "why rows gave no output"),
    _text("witness", "the id of the gravest witness", is_costly=True),
    _text("max_ulp_witness", "the id of the witness of the greatest error", is_costly=True),
    _text("small_witness", "the id of the small witness that stands for witness", is_costly=True),
    _text(
        "small_max_ulp_witness",
        "the id of the small witness that stands for max_ulp_witness",
        is_costly=True,
    ),
)

METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _ROWS})
"""Every column by name, in its order."""

COLUMNS: Final[Mapping[str, Dtype]] = MappingProxyType({m.name: m.dtype for m in _ROWS})
"""The dtype of every column."""

JUDGED: Final[Mapping[str, Metric]] = MappingProxyType({m.name: m for m in _ROWS if m.better})
"""The metrics of a candidate's quality, which a budget may limit."""

DEFECTS: Final = tuple(sorted((m for m in _ROWS if m.defect), key=lambda m: gravity_of(m.shown_by)))
"""The metrics that are findings, the gravest first."""


def documented() -> Iterator[tuple[str, str]]:
    """Yield the name of each column and its description in one line."""
    for metric in _ROWS:
        counted = f"{metric.unit} " if metric.dtype == "int64" else ""
        unit = ", in ULP" if metric.unit == "ULP" else ""
        better = "; more is better" if metric.better == "more" else ""
        yield metric.name, f"{counted}{metric.meaning}{unit}{better}"
