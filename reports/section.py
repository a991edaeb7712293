"""A section of the report, and the filling of its template.

To add a section, add a file to `reports/sections/` that holds a `Section` named SECTION. The
page finds it by scanning that folder, draws the sections by their order, and says so where one
fails.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports import figures, verdict
from reports.rundata import RunData
from reports.spelling import xml

__all__ = ["Guard", "Section", "Undrawn", "fill", "undrawn"]


class Undrawn(RuntimeWarning):
    """A part of what is drawn failed: the rest is drawn all the same, but where warnings are errors."""


warnings.simplefilter("ignore", Undrawn, append=True)  # a line in the part's place tells of it


def undrawn(name: str, error: Exception) -> str:
    """Return the line that stands in the place of a part that could not be drawn."""
    said = f"{type(error).__name__}: {error}"
    warnings.warn(f"{name}: {said}", Undrawn, stacklevel=2)
    return f"This section could not be drawn: {said}"


@dataclass
class Guard:
    """Draws one part after the other; one that fails costs no other, and says so in its place.

    Attributes:
        failed: the names of those that failed.
    """

    failed: list[str] = field(default_factory=list)

    def lines(self, name: str, draw: Callable[[], Iterable[str]]) -> list[str]:
        """Return the lines of a part, or the one that says why there are none."""
        try:
            return list(draw())
        except Exception as error:  # noqa: BLE001  whatever fails in it
            self.failed.append(name)
            return [undrawn(name, error)]


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        title: its heading.
        order: its place on the page; sections of equal order are sorted by file name.
        guide: how to read the section, in a few sentences of plain text.
        render: draws it; an empty result means that the run has no data for it.
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


def _shown(value: Any) -> Any:
    """Return what a template is given with what does not print written out; markup of ours as it is."""
    return xml(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    spelled = (figures.count, figures.figure, figures.interval, figures.percent, figures.plural, figures.ulps)
    environment.filters.update({f.__name__: f for f in spelled})
    environment.globals.update(
        place=verdict.place, some=verdict.some, where=verdict.where, NOTHING=figures.NOTHING
    )
    return environment
