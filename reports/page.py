"""report.html: one file, readable offline and without scripts, that trusts nothing it shows.

Style and script are in the page and allowed by their hash alone; every other source is
forbidden by the page's own Content-Security-Policy.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup

from reports import sections
from reports.rundata import RunData
from reports.section import Section, fill, undrawn

__all__ = ["Drawn", "Page", "all_sections", "draw", "first_screen"]


@dataclass(frozen=True)
class Drawn:
    """A section with its name, as it stands in the page."""

    name: str
    section: Section
    body: Markup
    failed: bool = False


@dataclass(frozen=True)
class Page:
    """The page, and the names of sections that could not be drawn."""

    html: str
    failed_sections: tuple[str, ...]


def all_sections() -> dict[str, Section]:
    """Return the sections of `reports/sections/` by their file's name, in the page's order.

    Raises:
        TypeError: a file there holds no `Section` named SECTION.
    """
    by_name = {}
    for module in pkgutil.iter_modules(sections.__path__):
        section = getattr(importlib.import_module(f"{sections.__name__}.{module.name}"), "SECTION", None)
        if not isinstance(section, Section):
            raise TypeError(f"reports/sections/{module.name}.py: holds no Section named SECTION")
        by_name[module.name] = section
    return dict(sorted(by_name.items(), key=lambda item: (item[1].order, item[0])))


def draw(
    run: RunData, chosen: Iterable[tuple[str, Section]] | None = None, *, is_framed: bool = False
) -> Page:
    """Draw the page of a run.

    Args:
        run: what to draw.
        chosen: the sections, by their names; all, where left out.
        is_framed: whether the page stands in a frame of another page, which holds its text.
    """
    asked = [(n, s) for n, s in chosen or all_sections().items() if run.is_of_cells or not s.of_cells]
    drawn = [_drawn(name, section, run) for name, section in asked]
    style, script = _asset("page.css"), _asset("page.js")
    html = fill(
        "page.html",
        run=run,
        is_framed=is_framed,
        sections=[d for d in drawn if d.body],
        style=style,
        script=script,
        policy=_policy(style, script),
    )
    return Page(str(html), tuple(d.name for d in drawn if d.failed))


def first_screen(run: RunData) -> str:
    """Return the summary and the witnesses it links to, framed to stand in a page such as a notebook's."""
    sections = all_sections()
    page = draw(run, [(name, sections[name]) for name in ("overview", "witnesses")], is_framed=True).html
    frame = '<iframe sandbox srcdoc="{}" width="100%" height="560" title="Softmax accuracy"></iframe>'
    return str(Markup(frame).format(page))  # noqa: S704  a constant; the page is escaped into it


def _drawn(name: str, section: Section, run: RunData) -> Drawn:
    try:
        return Drawn(name, section, section.render(run))
    except Exception as error:  # noqa: BLE001  one section's failure must not take the page, and is shown
        body = Markup('<p class="alarm">{}</p>').format(undrawn(name, error))
        return Drawn(name, section, body, failed=True)


def _asset(name: str) -> Markup:
    """Return a style or script of ours, to stand in the page as it is."""
    return Markup(files("reports").joinpath("templates", name).read_text("utf-8"))  # noqa: S704  our own file


def _policy(style: str, script: str) -> str:
    def source(text: str) -> str:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        return f"'sha256-{digest}'"

    return (
        f"default-src 'none'; style-src {source(style)}; script-src {source(script)};"
        " base-uri 'none'; form-action 'none'"
    )
