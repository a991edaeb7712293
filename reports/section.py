"""What a section of the report is, and how its template is filled.

To add a section, add a file to `reports/sections/` that holds a `Section` named SECTION. The
page finds it by scanning that folder, draws the sections by their order, and says so where one
fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports import figures, verdict
from reports.rundata import RunData

__all__ = ["Section", "fill"]


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        title: its heading.
        order: where it stands; sections of one order stand by their file's name.
        guide: how to read this, in a few sentences of plain text.
        render: what draws it; nothing drawn means that the run has nothing for it.
        of_cells: whether it speaks of cells alone, and is left out of a run that is about something else.
    """

    title: str
    order: int
    guide: str
    render: Callable[[RunData], Markup]
    of_cells: bool = False


def fill(template: str, **values: Any) -> Markup:
    """Fill a template of `reports/templates/`; every value is escaped."""
    return Markup(_environment().get_template(template).render(**values))  # noqa: S704  escaped by the template


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    spelled = (figures.count, figures.figure, figures.interval, figures.percent, figures.plural, figures.ulps)
    environment.filters.update({f.__name__: f for f in spelled})
    environment.globals.update(
        place=verdict.place, some=verdict.some, where=verdict.where, NOTHING=figures.NOTHING
    )
    return environment
