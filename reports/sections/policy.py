"""What candidates do on rows that have no exact result, and other habits of their outputs."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from reports.figures import count
from reports.record.metrics import METRICS
from reports.records import Record, records
from reports.rundata import RunData, Standing
from reports.section import Section
from reports.verdict import observed

__all__ = ["SECTION"]

_ROWS: Final = {"nan_row": "a NaN", "pos_inf": "+inf, no NaN", "masked_row": "all -inf"}
_HABITS: Final = ("policy_violations", "mask_leaks", "out_of_range", "negative_zeros")


def render(run: RunData) -> Markup:
    """Draw one line a candidate and format."""
    lines = sorted((_record(s) for s in run.standings if s.is_measured), key=lambda r: r.state != "bad")
    headings = ("candidate", "format", *_ROWS.values(), *(METRICS[name].heading for name in _HABITS))
    return records("policy", headings, lines, more="cells.csv") if lines else Markup()


def _record(standing: Standing) -> Record:
    totals = [standing.total(column) for column in _HABITS]
    seen = (observed(standing, key) for key in _ROWS)
    texts = (standing.key.candidate, standing.key.formats, *seen, *map(count, totals))
    return Record(texts, "bad" if any(totals) else "good")


SECTION = Section(
    title="Policy",
    order=28,
    guide=(
        "Rows with a NaN, with +inf, or with nothing but -inf have no exact result. The table counts the"
        " rows by what the candidate returned: all NaN; all zero; NaN at +inf and 0 elsewhere; the limit,"
        " which is equal shares at +inf and 0 elsewhere; or equal outputs (uniform). The verdict compares"
        " that with the policy of the candidate. Mask leaks, outputs out of range and -0 are counted in"
        " elements of all other rows."
    ),
    render=render,
)
