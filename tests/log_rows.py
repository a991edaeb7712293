"""Rows that are hard for the logarithm of a sum, in any format."""

from __future__ import annotations

import numpy as np

from reference.formats import FloatFormat

LN2 = 0.6931471805599453


def hard_rows(fmt: FloatFormat, rows: int, n: int, seed: int = 0) -> np.ndarray:
    """Rows of a dominating entry, of ties, of sums that cancel, of deep tails, of masks, of all sizes."""
    rng, shape = np.random.default_rng([seed, n]), (rows, n)
    largest = float(fmt.largest)
    normal = rng.standard_normal(shape)
    dominated = -rng.uniform(1, 120, shape)
    dominated[:, 0] = rng.choice([0.0, 1.0, 60.0], rows)
    deep = -rng.uniform(600, 1200, shape)
    deep[:, -1] = 0.0
    near = normal * np.ldexp(1.0, rng.integers(-60, -1, (rows, 1)))
    tied = np.repeat(normal[:, :1], n, axis=1)
    tied[::2, : n // 2] -= 800.0
    signs = rng.choice([-1.0, 1.0], shape)
    wide = np.ldexp(signs * (1 + rng.random(shape)), rng.integers(max(fmt.emin, -1000), fmt.emax, shape))
    families = [normal, 30 * normal, dominated, deep, near, tied, wide, cancelling(rng, normal)]
    families += [normal + largest / 3, signs * largest * rng.random(shape), signs * largest]
    x = fmt.to_float64(fmt.from_float64(np.clip(np.concatenate(families), -largest, largest)))
    masks = rng.random(x.shape) < rng.choice([0.0, 0.0, 0.3, 0.95], (len(x), 1))
    masks[np.arange(len(x)), rng.integers(0, n, len(x))] = False
    return np.where(masks, -np.inf, x) if fmt.has_infinity else x


def cancelling(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Rows moved by their logsumexp, as far as their format's precision goes."""
    top = x.max(axis=1, keepdims=True)
    lse = top + np.log(np.exp(x - top).sum(axis=1, keepdims=True))
    return np.asarray(x - lse + rng.choice([0.0, 1e-9, -1e-6], (len(x), 1)))
