"""Claims that people make about softmax, and the verdict of this run on each."""

from __future__ import annotations

from markupsafe import Markup

from reports.rundata import RunData
from reports.section import Section, fill


def render(run: RunData) -> Markup:
    """Draw the claims; nothing where the run evaluated none."""
    return fill("claims.html", run=run) if run.claims else Markup()


SECTION = Section(
    title="Claims",
    order=78,
    guide=(
        "The plain form is exp(x)/sum(exp(x)); max_shifted subtracts the maximum of the row first. This"
        " run tested each claim. Refuted: a witness contradicts it. Not refuted: no row contradicts it,"
        " which is no proof. Proved: every case was tried, or an argument covers all. Depends: it holds"
        " for one witness and fails for another."
    ),
    render=render,
)
