"""The words of the page, for who reads one for the first time."""

from __future__ import annotations

from markupsafe import Markup

from reports.rundata import RunData
from reports.section import Section, fill


def render(run: RunData) -> Markup:
    """Draw the glossary."""
    return fill("reading.html", run=run)


SECTION = Section(title="How to read this report", order=90, guide="", render=render, of_cells=True)
