"""What can make the same seed give other figures: settings, versions, processor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from reports.rundata import RunData
from reports.section import Section, fill


def lines(document: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of a document with the path to each."""
    for name, value in document.items():
        path = f"{within}{name}"
        if isinstance(value, Mapping):
            yield from lines(value, f"{path}.")
        else:
            yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def render(run: RunData) -> Markup:
    """Draw settings, environment and timing."""
    command = {"command": " ".join(run.command) if isinstance(run.command, list) else run.command}
    kinds = {f"machines.{n}": _counted(kind) for n, kind in enumerate(run.environment.get("machines", ()))}
    environment = {name: value for name, value in run.environment.items() if name != "machines"}
    blocks = {
        "Settings": run.settings,
        "Environment": {**({} if run.command is None else command), **environment, **kinds},
        "Timing": run.timing,
    }
    return fill("environment.html", blocks={title: list(lines(block)) for title, block in blocks.items()})


def _counted(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return a kind of machine with its cells counted; summary.json names them."""
    return {**machine, "cells": f"{len(machine['cells'])}, named in summary.json"}


SECTION = Section(
    title="Environment",
    order=80,
    guide=(
        "The settings decide the figures: the same settings and seed, on the same library versions and"
        " processor features, give the same ones. Other versions may give others, and that is no fault of"
        " either."
    ),
    render=render,
)
