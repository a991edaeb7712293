"""Machines that differ: the cells of each kind, where a run was spread over several kinds.

Figures are the same wherever processor features and library versions are. Where a run, its
candidates' library choosing its code by them, met more than one kind, this tells which cell is of which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reports.record.ledger import Ledger, Place
from reports.record.witness import CellKey

__all__ = ["differences", "machines", "machines_line"]


def machines(ledger: Ledger) -> list[dict[str, Any]]:
    """Return each kind of machine with its hosts and cells; empty where all are of one kind."""
    places = ledger.places()
    if len({place.kind for place in places}) < 2:
        return []
    kinds: dict[str, tuple[dict[str, None], dict[CellKey, None]]] = {}
    for place in places:
        hosts, held = kinds.setdefault(place.kind, ({}, {}))
        hosts[place.host] = None
        held.update(dict.fromkeys(ledger.cells_of(place)))
    return [
        {"hosts": sorted(hosts), "environment": json.loads(kind), "cells": [_named(cell) for cell in cells]}
        for kind, (hosts, cells) in kinds.items()
    ]


def machines_line(ledger: Ledger) -> str | None:
    """Return a line about kinds of machines that differ; None where all are of one kind."""
    places: dict[str, Place] = {}
    for place in ledger.places():
        places.setdefault(place.kind, place)
    if len(places) < 2:
        return None
    first, *others = places.values()
    differing = "; ".join(
        f"{other.host} against {first.host}: {differences(first, other)}" for other in others
    )
    return (
        "the machines differ, so figures may differ; summary.json names the hosts of each cell"
        f" (environment.machines): {differing}"
    )


def _named(cell: CellKey) -> str:
    return f"{cell.candidate} {cell.op} {cell.format}>{cell.out_format} {cell.regime} {cell.length}"


def differences(one: Place, other: Place) -> str:
    """Return the differences of two kinds of machines, in a few words."""
    a, b = (_leaves(json.loads(place.kind)) for place in (one, other))
    return ", ".join(
        _difference(name, a.get(name), b.get(name)) for name in {**a, **b} if a.get(name) != b.get(name)
    )


def _difference(name: str, a: Any, b: Any) -> str:
    if isinstance(a, list) and isinstance(b, list):
        changes = [f"-{word}" for word in a if word not in b] + [f"+{word}" for word in b if word not in a]
        return f"{name} {' '.join(changes)}"
    return f"{name} {a} and {b}"


def _leaves(document: Mapping[str, Any]) -> dict[str, Any]:
    libraries = document.get("libraries", {})
    return {**{name: value for name, value in document.items() if name != "libraries"}, **libraries}
