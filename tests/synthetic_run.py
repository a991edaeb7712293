"""Tallies and ledgers made by hand, for the tests of what is drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from reference.formats import format_named
from reports.record.ledger import CellInfo, Ledger
from reports.record.profiles import place_key, place_numbers
from reports.record.tally import HISTOGRAM_SHIFT, Tally
from reports.record.witness import CellKey, Witness

SETTINGS = {"seed": 7, "effort": "quick", "formats": ["float32"], "lengths": [1, 8]}


def key(candidate: str = "naive", regime: str = "normal", length: int = 8, fmt: str = "float32") -> CellKey:
    return CellKey(candidate, "softmax", fmt, fmt, regime, length)


def histogram(errors: Sequence[float]) -> dict[int, int]:
    bins = np.asarray(errors, dtype=np.float64).view(np.uint64) >> HISTOGRAM_SHIFT
    values, counts = np.unique(bins, return_counts=True)
    return {int(v): int(c) for v, c in zip(values, counts, strict=True)}


def witness(cell: CellKey, kind: str = "max_ulp", score: float = 1.5, **changes: Any) -> Witness:
    digits = format_named(cell.format).storage_bits // 4
    values: dict[str, Any] = {
        "x": ("0" * (digits - 1) + "1") * cell.length,
        "y": "0" * digits * cell.length,
        "element": 0,
        "origin": "batch 0, row 3",
        **changes,
    }
    return Witness(cell=cell, kind=kind, score=score, **values)


def tally_of(cell: CellKey, errors: Sequence[float], rows: int = 4, batch: int = 0, **changes: Any) -> Tally:
    """A tally of `rows` healthy rows whose elements have the given ULP errors."""
    count = len(errors)
    values: dict[str, Any] = {
        "rows": rows,
        "completed": rows,
        "elements": count,
        "positive": count,
        "representable": count,
        "correct": sum(e < 0.5 for e in errors),
        "faithful": sum(e < 1 for e in errors),
        "ulp_count": count,
        "ulp_sum": sum((Fraction(e) for e in errors), Fraction(0)),
        "max_ulp": max(errors, default=None),
        "max_bound_ratio": 0.25,
        "worst_row_sum_error": 2.0**-24,
        "row_kinds": {"finite": rows},
        "outcomes": {"ok": rows},
        "classes": {"normal": count},
        "histogram": histogram(errors),
        "digests": {batch: f"{batch:064x}"},
        "witnesses": (witness(cell, score=max(errors, default=0.0)),),
        **changes,
    }
    return Tally(**values)


def overflowing(cell: CellKey, errors: Sequence[float], rows: int = 4, failed: int = 1) -> Tally:
    """A tally with `failed` of its rows overflown into NaN."""
    return tally_of(
        cell,
        errors,
        rows,
        outcomes={"ok": rows - failed, "overflow": failed},
        nonfinite_rows=failed,
        witnesses=(
            witness(cell, "overflow", 0.0, y=_nan(cell) * cell.length),
            witness(cell, "max_ulp", max(errors)),
        ),
    )


def _nan(cell: CellKey) -> str:
    fmt = format_named(cell.out_format)
    bits = int(fmt.to_bits(np.array([np.nan]).astype(fmt.dtype))[0])
    return f"{bits:0{fmt.storage_bits // 4}x}"


def planned(*cells: CellKey, sampled: bool = True) -> list[CellInfo]:
    return [CellInfo(cell, sampled) for cell in cells]


def ledger_at(folder: Path, *cells: CellKey) -> Ledger:
    folder.mkdir(parents=True, exist_ok=True)
    return Ledger.create(folder / "run.sqlite", SETTINGS, planned(*cells))


def profiled(tally: Tally, failing: int = 0) -> Tally:
    """The tally with profiles of its own: `failing` of its places overflow, errors rise with the gap."""
    logits = np.array([-700.0, -80.0, -3.0, 0.0, 0.5, 9.0, 90.0, 800.0])
    numbers = place_numbers(logits, np.array([0.0, 100.0, 4.0, 0.0, 1.0, 2.0, 40.0, 3.0]))
    places = {int(place_key(number, "rows")): 3 for number in numbers}
    places |= {int(place_key(number, "overflow")): 2 for number in numbers[::-1][:failing]}
    places |= {int(place_key(number, "underflow")): 1 for number in numbers[:2]}
    errors = histogram([0.25 * (k + 1) for k in range(40)])
    codes = sorted(errors)
    return replace(
        tally,
        places=places,
        place_errors={int(number): code for number, code in zip(numbers, codes, strict=False)},
        gap_errors={k: codes[k] for k in range(30) if k != 12},
        gap_bounds=dict(enumerate(histogram([20.0 + k for k in range(40)]))),
        policies={"nan_row:nan": 3, "pos_inf:nan_at_inf": 2},
    )
