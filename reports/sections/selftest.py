"""The self-test: planted defects by testing protocol, where the run is one."""

from __future__ import annotations

from markupsafe import Markup

from reports.rundata import RunData
from reports.section import Section, fill
from reports.selftest import columns, matrix_rows, score_rows


def render(run: RunData) -> Markup:
    """Draw the score, the defects and the controls; nothing where the run is no self-test."""
    document = run.documents.get("selftest")
    if document is None:
        return Markup()
    tables = {
        "Defects": ("defects", matrix_rows(document, honest=False)),
        "Honest controls": ("controls", matrix_rows(document, honest=True)),
    }
    return fill("selftest.html", columns=columns(document), scores=list(score_rows(document)), tables=tables)


SECTION = Section(
    title="Defects by protocol",
    order=12,
    guide=(
        "The self-test plants known defects, each in several instances with other constants, beside"
        " honest controls. The column gate is this program. Every other column is a common way of testing"
        " a softmax, with its own data and tolerance, against the correctly rounded result. Caught: it"
        " noticed every instance in its formats. Missed: it noticed none. A dash: it is not meant for such"
        " formats. A refused control is a false alarm. The gate alone decides whether the self-test"
        " passes."
    ),
    render=render,
)
