"""Pictures as SVG that stands in the page: no inline styles, colours from the page's style sheet.

Matplotlib draws; its style attributes, which the page's Content-Security-Policy forbids, become
presentation attributes, which any rule of the style sheet overrides. Artists whose gid is
`c-NAME` get the class NAME instead, so that light and dark colours are the page's affair.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["axes", "svg"]

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "softmax-harness",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#000000",
    "grid.linewidth": 0.5,
}
_SVG: Final = "http://www.w3.org/2000/svg"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_DROPPED: Final = frozenset({"font-family", "font"})


@contextmanager
def axes(width: float = 6.4, height: float = 3.0) -> Iterator[tuple[Figure, Axes]]:
    """Give a figure and its axes to draw on, in inches of 72 units, in the project's style."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()  # whatever style the user has set
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), facecolor="none", layout="constrained")
        yield figure, figure.add_subplot(facecolor="none")


def svg(figure: Figure, name: str, description: str) -> Markup:
    """Return the picture, with a text alternative; `name` keeps its ids apart from other pictures'."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None}
    )
    root = ET.fromstring(buffer.getvalue())  # noqa: S314  what matplotlib wrote just now
    _strip(root)
    for element in root.iter():
        _unstyle(element)
        _rename(element, name)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.set("role", "img")
    root.set("aria-label", description)
    ET.register_namespace("", _SVG)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704  serialised, so escaped


def _strip(root: ET.Element) -> None:
    """Take out metadata and style sheets."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)


def _unstyle(element: ET.Element) -> None:
    """Turn the style attribute into presentation attributes; black becomes the text's colour."""
    for declaration in filter(None, element.attrib.pop("style", "").split(";")):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name not in _DROPPED:
            element.set(name, "currentColor" if value == "#000000" else value)


def _rename(element: ET.Element, name: str) -> None:
    """Make a class of ids that ask for it, drop idle ones, and keep the rest apart by the name."""
    identity = element.attrib.pop("id", None)
    if identity and identity.startswith("c-"):
        element.set("class", identity.removeprefix("c-"))
    elif identity and element.tag in (f"{{{_SVG}}}clipPath", f"{{{_SVG}}}path"):
        element.set("id", f"{name}-{identity}")
    if href := element.attrib.pop(_HREF, None):
        element.set("href", f"#{name}-{href.removeprefix('#')}")
    if clip := element.get("clip-path"):
        element.set("clip-path", re.sub(r"url\(#(.*)\)", rf"url(#{name}-\1)", clip))
