"""Honest implementations, which must pass: different orders, precisions, libraries, and declared policies."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.selftest.defects.settings import declaring
from harness.selftest.planted import WIDE, narrowed, of_rows, shares, sound, top, total, widened
from harness.subject.candidates import BUILTINS, Candidate, from_function
from reference.formats import FORMATS, FloatFormat
from reference.tiers import TIERS

__all__ = ["Control", "controls"]

Array = NDArray[Any]
Softmax = Callable[..., Any]

_LOOSER: Final = {
    "rounded": ("faithful", "wide", "standard", "fast"),
    "faithful": ("wide", "standard", "fast"),
    "wide": ("standard", "fast"),
    "standard": ("fast",),
    "fast": (),
}
"""The tiers that a control promises besides its strictest. The faithful ones here round a wider result once,
so they keep `wide` as well, which not every faithful result does."""


@dataclass(frozen=True)
class Control:
    """An honest implementation in a format.

    Attributes:
        title: a description.
        format: of its rows and outputs.
        strictest: the strictest tier that it promises to meet.
        make: to a candidate in a fresh state.
    """

    title: str
    format: FloatFormat
    strictest: str
    make: Callable[[], Candidate]

    @property
    def name(self) -> str:
        """The name of the control, unique in the suite."""
        return f"{self.title} [{self.format}]"

    @property
    def tiers(self) -> tuple[str, ...]:
        """Every tier that it must meet, the strictest first."""
        promised = (self.strictest, *_LOOSER[self.strictest])
        return tuple(name for name in promised if TIERS[name].takes(self.format))

    def candidate(self) -> Candidate:
        """Return the control as a candidate, in a fresh state."""
        return replace(self.make(), name=self.name, spec=self.name)


# Sums and divisions ------------------------------------------------------------------------


def by_the_reciprocal(z: Array) -> Array:
    """A multiplication by 1 / sum."""
    e = np.exp(z - top(z))
    return np.asarray(e * (1 / total(e)))


def compensated(z: Array) -> Array:
    """A sum by halves, what each addition lost added up beside it."""
    e = np.exp(z - top(z))
    s, c = e, np.zeros_like(e)
    while s.shape[-1] > 1:
        half = s.shape[-1] // 2
        a, b = s[..., :half], s[..., half : 2 * half]
        t = a + b
        of_b = t - a
        lost = (a - (t - of_b)) + (b - of_b)
        c = np.concatenate([c[..., :half] + c[..., half : 2 * half] + lost, c[..., 2 * half :]], axis=-1)
        s = np.concatenate([t, s[..., 2 * half :]], axis=-1)
    return np.asarray(e / (s + c))


def halved(z: Array) -> Array:
    """A sum by halves, down to pairs."""

    def tree(e: Array) -> Array:
        while e.shape[-1] > 1:
            half = e.shape[-1] // 2
            rest = e[..., 2 * half :]
            e = np.concatenate([e[..., :half] + e[..., half : 2 * half], rest], axis=-1)
        return e

    e = np.exp(z - top(z))
    return np.asarray(e / tree(e))


def pairwise_in_blocks(z: Array, block: int) -> Array:
    """Blocks added one by one, their sums by halves: height block + log2 n."""
    e = np.exp(z - top(z))
    missing = -e.shape[-1] % block
    filled = np.concatenate([e, np.zeros((*e.shape[:-1], missing), e.dtype)], axis=-1)
    blocks = filled.shape[-1] // block
    parts = np.cumsum(filled.reshape(*e.shape[:-1], blocks, block), axis=-1)[..., -1]
    while parts.shape[-1] > 1:
        half = parts.shape[-1] // 2
        rest = parts[..., 2 * half :]
        parts = np.concatenate([parts[..., :half] + parts[..., half : 2 * half], rest], axis=-1)
    return np.asarray(e / parts)


def smallest_first(z: Array) -> Array:
    """NumPy's sum of the sorted exponentials."""
    e = np.exp(z - top(z))
    return np.asarray(e / total(np.sort(e, axis=-1)))


def one_by_one(z: Array) -> Array:
    """A sum from first to last."""
    e = np.exp(z - top(z))
    return np.asarray(e / np.cumsum(e, axis=-1)[..., -1:])


def one_by_one_backwards(z: Array) -> Array:
    """A sum from last to first."""
    e = np.exp(z - top(z))
    return np.asarray(e / np.cumsum(e[..., ::-1], axis=-1)[..., -1:])


# Exponentials ------------------------------------------------------------------------------


def by_exp2(z: Array) -> Array:
    """exp2((x - max) log2 e), with the product rounded."""
    return shares(np.exp2((z - top(z)) * z.dtype.type(math.log2(math.e))))


def within_three_ulps(z: Array) -> Array:
    """An exp that is off by one to two ULP, up and down in turn, beside half an ULP of its own."""
    t = z - top(z)
    wave = np.where(np.floor(np.where(np.isfinite(t), t, 0) * 64) % 2 == 0, 1, -1) * np.finfo(z.dtype).eps
    e = np.exp(t.astype(np.float64))
    tiny = e < 2 * np.finfo(z.dtype).tiny
    return shares(np.where((t == 0) | tiny, e, e + e * wave).astype(z.dtype))


# Precision ---------------------------------------------------------------------------------


def correctly_rounded(x: Array) -> Array:
    """The correctly rounded result, NaN where there is none."""
    from reference import correctly_rounded as rounded

    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    largest = rows.max(axis=-1).astype(np.float64)
    y = np.full_like(rows, np.nan)
    exact = np.isfinite(largest)
    if exact.any():
        y[exact] = rounded(np.ascontiguousarray(rows[exact]))
    return y.reshape(x.shape)


def one_format_up(x: Array) -> Array:
    """binary32 inside 16 bits and fewer, binary64 inside binary32, long double inside binary64."""
    inside = {1: np.float32, 2: np.float32, 4: np.float64, 8: np.longdouble}[x.itemsize]
    y = sound(np.ascontiguousarray(x, dtype=inside))
    return y.astype(x.dtype) if x.itemsize == 8 else narrowed(y, x.dtype)


def binary64_inside(x: Array) -> Array:
    """binary64 inside, whatever the format, and one rounding."""
    return narrowed(sound(np.ascontiguousarray(x, dtype=np.float64)), x.dtype)


# Passes over the row -----------------------------------------------------------------------


def row_by_row(x: Array) -> Array:
    """A Python loop over rows."""
    y = np.empty(x.shape, dtype=x.dtype)
    for row, out in zip(x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1]), strict=True):
        out[...] = narrowed(sound(widened(row)), x.dtype)
    return y


# Interfaces and policies -------------------------------------------------------------------


def along_dim(x: Array, dim: int = -1) -> Array:
    """f(x, dim=), as PyTorch names it."""
    moved = np.ascontiguousarray(np.moveaxis(x, dim, -1))
    return np.moveaxis(narrowed(sound(widened(moved)), x.dtype), -1, dim)


def as_numpy_users_write_it(x: Array, axis: int = -1) -> Array:
    """Two lines of NumPy along any axis."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def fortran_output(x: Array) -> Array:
    """An output that is not C-contiguous."""
    return np.asfortranarray(narrowed(sound(widened(x)), x.dtype))


def remembering_all(x: Array) -> Array:
    """A cache whose key is every bit of the input, and which hands out copies."""
    key = (x.shape, x.dtype.name, x.tobytes())
    if (y := _SEEN.get(key)) is None:
        y = narrowed(sound(widened(x)), x.dtype)
        _SEEN.clear()
        _SEEN[key] = y
    return y.copy()


_SEEN: dict[Any, Array] = {}


def _masked_rows_are_zero(x: Array) -> Array:
    z = widened(x)
    hidden = np.isneginf(z).all(axis=-1, keepdims=True)
    return narrowed(np.where(hidden, 0, sound(z)), x.dtype)


def _infinities_share(x: Array) -> Array:
    z = widened(x)
    infinite = np.isposinf(z)
    some = infinite.any(axis=-1, keepdims=True) & ~np.isnan(z).any(axis=-1, keepdims=True)
    return narrowed(
        np.where(some, infinite / np.maximum(total(infinite), 1), sound(z)).astype(z.dtype), x.dtype
    )


def _flushing(x: Array) -> Array:
    z = widened(x)
    y = sound(z)
    return narrowed(np.where(y < np.finfo(z.dtype).tiny, 0, y).astype(z.dtype), x.dtype)


def _by_batch(x: Array) -> Array:
    z = widened(x)
    few = z.size // z.shape[-1] < 100
    return narrowed(halved(z) if few else sound(z), x.dtype)


# Settings ----------------------------------------------------------------------------------


def _scaled_before(z: Array, scale: float) -> Array:
    scaled = z * z.dtype.type(scale)
    return shares(np.exp(scaled - top(scaled)))


def _scaled_after(z: Array, scale: float) -> Array:
    return shares(np.exp((z - top(z)) * z.dtype.type(scale)))


def _with_a_sink(z: Array, sink: float) -> Array:
    largest = np.maximum(top(z), z.dtype.type(sink))
    e = np.exp(z - largest)
    return np.asarray(e / (total(e) + np.exp(z.dtype.type(sink) - largest)))


def _masked_by_where(z: Array, mask: Array) -> Array:
    return sound(np.where(mask, z, z.dtype.type(-np.inf)))


def _fused(function: Callable[..., Array], **declares: Any) -> Callable[[], Candidate]:
    return lambda: from_function(declaring(function, declares)())


def _declaring(function: Softmax, **policy: str) -> Callable[[], Candidate]:
    def make() -> Candidate:
        def softmax(x: Array) -> Array:
            return np.asarray(function(x))

        softmax.declares = {"policy": policy}  # type: ignore[attr-defined]
        return from_function(softmax)

    return make


# The list ----------------------------------------------------------------------------------


def controls() -> tuple[Control, ...]:
    """Return every control of this machine, with those of installed libraries."""
    return tuple(
        Control(title, FORMATS[fmt], tier, make)
        for title, formats, tier, make in (
            *_built_in(),
            *_written(),
            *_declared(),
            *_with_settings(),
            *_libraries(),
        )
        for fmt in formats
    )


_Row = tuple[str, tuple[str, ...], str, Callable[[], Candidate]]


def _built_in() -> Iterator[_Row]:
    for name, formats, tier in (
        ("max_shifted", ("float16", "float32", "float64"), "standard"),
        ("kahan", ("float32",), "standard"),
        ("upcast", ("bfloat16", "float8_e4m3fn"), "faithful"),
        ("online", ("float64",), "fast"),
        ("blocked", ("float32",), "fast"),
        ("log_softmax_shifted", ("float16", "float32", "float64"), "standard"),
        ("log_softmax_log1p", WIDE, "standard"),
        ("logsumexp_shifted", ("float16", "float32", "float64"), "standard"),
        ("logsumexp_log1p", WIDE, "standard"),
    ):
        yield f"built-in {name}", formats, tier, lambda name=name: BUILTINS[name]  # type: ignore[misc]


def _written() -> Iterator[_Row]:
    by_rows: tuple[tuple[Callable[..., Array], tuple[str, ...], str], ...] = (
        (by_the_reciprocal, ("float32",), "standard"),
        (compensated, ("float64",), "standard"),
        (halved, ("float64",), "standard"),
        (smallest_first, ("float32",), "standard"),
        (within_three_ulps, WIDE, "standard"),
        (one_by_one, ("float16", "float32"), "fast"),
        (one_by_one_backwards, ("float64",), "fast"),
        (by_exp2, WIDE, "fast"),
    )
    for function, formats, tier in by_rows:
        yield _titled(function), formats, tier, _of(of_rows(function)())
    for block, fmt in ((8, "float32"), (24, "float64")):
        make = of_rows(pairwise_in_blocks)(block)
        yield f"pairwise in blocks of {block}", (fmt,), "standard", _of(make)
    whole: tuple[tuple[Softmax, tuple[str, ...], str], ...] = (
        (correctly_rounded, ("float16", "float32", "float8_e5m2"), "rounded"),
        (one_format_up, ("bfloat16",), "faithful"),
        (one_format_up, ("float64",), "standard"),
        (binary64_inside, ("float8_e4m3fn",), "faithful"),
        (row_by_row, ("float32",), "standard"),
        (along_dim, ("float32",), "standard"),
        (as_numpy_users_write_it, ("float16",), "standard"),
        (fortran_output, ("float32",), "standard"),
        (remembering_all, ("float32",), "standard"),
    )
    for function, formats, tier in whole:
        yield _titled(function), formats, tier, _of(function)


def _declared() -> Iterator[_Row]:
    yield (
        "masked rows zero, declared",
        ("bfloat16",),
        "wide",
        _declaring(_masked_rows_are_zero, masked_row="zero"),
    )
    yield (
        "infinities share, declared",
        ("float64",),
        "standard",
        _declaring(_infinities_share, pos_inf="limit"),
    )
    yield "flushing, declared", ("float32",), "standard", _declaring(_flushing, subnormals="flush")
    yield (
        "another kernel by batch, declared",
        ("float32",),
        "standard",
        _declaring(_by_batch, batch="accurate"),
    )


def _with_settings() -> Iterator[_Row]:
    root = 1 / math.sqrt(128)
    yield "with a scale before the shift", WIDE, "standard", _fused(_scaled_before, scale=root)
    yield (
        "with a scale after the shift",
        ("float16", "float32"),
        "standard",
        _fused(_scaled_after, scale=root),
    )
    yield "with a sink", ("float16", *WIDE), "standard", _fused(_with_a_sink, sink=0.0)
    yield "masked by where", ("float16", "float32"), "standard", _fused(_masked_by_where, mask=True)


def _libraries() -> Iterator[_Row]:
    if (special := _module("scipy.special")) is not None:
        yield "scipy.special.softmax", WIDE, "standard", _of(special.softmax)
        yield "scipy.special.logsumexp", WIDE, "standard", _of(special.logsumexp)
        yield (
            "scipy.special.log_softmax",
            WIDE,
            "standard",
            lambda: from_function(special.log_softmax).under(["pos_inf=nan_at_inf"]),
        )
    if (torch := _module("torch")) is not None:
        for fmt, tier in (("bfloat16", "wide"), ("float32", "standard")):
            yield "torch.softmax", (fmt,), tier, lambda: from_function(_torch_softmax(torch))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _torch_softmax(torch: Any) -> Softmax:
    def softmax(x: Array, dim: int = -1) -> Array:
        if x.dtype.name != "bfloat16":
            return np.asarray(torch.softmax(torch.from_numpy(np.array(x)), dim).numpy())
        bits = np.array(x).view(np.int16)
        y = torch.softmax(torch.from_numpy(bits).view(torch.bfloat16), dim)
        return np.asarray(y.contiguous().view(torch.int16).numpy().view(x.dtype))

    return softmax


def _of(function: Softmax) -> Callable[[], Candidate]:
    return lambda: from_function(function)


def _titled(function: Callable[..., Any]) -> str:
    return function.__name__.replace("_", " ")
