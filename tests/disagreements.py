"""Where two truths of the same rows differ by more than their residuals may."""

from __future__ import annotations

import numpy as np

from reference.model import RESIDUAL_TOLERANCE, Truth

__all__ = ["disagreements"]


def disagreements(x: np.ndarray, a: Truth, b: Truth) -> list[str]:
    """Return a line for each result of which number or residual differ, values in hex."""
    tolerance = RESIDUAL_TOLERANCE + np.where(np.isinf(b.nearest), 2.0**-52 * np.abs(b.residual), 0.0)
    same = (a.nearest == b.nearest) & (np.sign(a.residual) == np.sign(b.residual))
    same &= np.abs(a.residual - b.residual) <= tolerance
    same |= np.isnan(a.nearest) & np.isnan(b.nearest) & np.isnan(a.residual) & np.isnan(b.residual)
    lines = [f"kinds {a.kinds} and {b.kinds}"] if not np.array_equal(a.kinds, b.kinds) else []
    for i, j in np.argwhere(~same):
        pair = [f"{t.nearest[i, j].hex()} {t.residual[i, j]:+.17g}" for t in (a, b)]
        lines.append(f"row {i} {[v.hex() for v in x[i, :9]]}, {j}: {pair[0]} against {pair[1]}")
    return lines
