"""Arrays of other libraries, moved to NumPy and back bit for bit.

PyTorch's and CuPy's arrays go by way of unsigned integers of the same width: neither knows NumPy's
bfloat16 and float8, which are ml_dtypes' own, and no conversion of numbers takes place on the way.
JAX's are made of ml_dtypes' dtypes and are copied as bytes; float64 exists there only in a context with
64 bits enabled, as otherwise JAX narrows it without a word. Anything else comes by DLPack.

Imports NumPy alone, ml_dtypes and the library when an array needs them, and none of our rooms: a process
that runs a stranger's code may load this file by its path.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIBRARIES", "context", "device_named", "from_numpy", "library_of", "to_numpy"]

Array = NDArray[Any]

LIBRARIES: Final = ("torch", "jax", "cupy")
"""The libraries whose arrays a candidate may ask for."""

_PACKAGES: Final[Mapping[str, str]] = {"torch": "torch", "jax": "jax", "jaxlib": "jax", "cupy": "cupy"}


def library_of(array: object) -> str | None:
    """Return whose array it is: one of `LIBRARIES`, or None for all others."""
    for base in type(array).__mro__:  # a subclass, such as torch.nn.Parameter or a user's own
        library = _PACKAGES.get(base.__module__.partition(".")[0])
        if library is not None:
            return library
    return None


def to_numpy(array: Any) -> Array:
    """Return a NumPy array of the same bits and shape; NumPy's own come back as they are.

    Raises:
        ValueError: it holds what NumPy cannot, or offers no way out of its library.
    """
    if isinstance(array, np.ndarray):
        return array
    library = library_of(array)
    try:
        if library == "torch":
            return _from_torch(array)
        if library == "jax":
            return np.asarray(array)
        if library == "cupy":
            return _from_cupy(array)
        return np.asarray(np.from_dlpack(array) if hasattr(array, "__dlpack__") else array)
    except (TypeError, RuntimeError, BufferError) as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"array of type {type(array).__qualname__}: NumPy cannot take it ({said})"
        ) from error


def from_numpy(x: Array, library: str, device: Any = None) -> Any:
    """Return the library's array of the same bits, shape and, where it has them, strides.

    On the processor PyTorch's array lies in x's own memory, unless that may not be written to, or strides
    are negative or no whole number of entries.

    Args:
        x: an array of a format.
        library: one of `LIBRARIES`.
        device: as `device_named` gives it; None for the library's default.

    Raises:
        TypeError: the library has no such dtype.
    """
    return _MAKERS[library](x, device)


def device_named(library: str, name: str = "") -> Any:
    """Return a library's device by its name; without one the current of CuPy, None of the others.

    Raises:
        ValueError: the library is not installed, or has no such device here; one line.
    """
    try:
        module = importlib.import_module(library)
    except ImportError as error:
        raise ValueError(f"{library} cannot be imported ({error}); install it") from error
    return _DEVICES[library](module, name) if name or library == "cupy" else None


def context(library: str, x: Array) -> AbstractContextManager[Any]:
    """Return the context in which a library computes with arrays of x's dtype as they are."""
    if library == "jax" and x.dtype == np.float64:
        return _sixty_four_bits()
    return contextlib.nullcontext()


def _bits(x: Array) -> Array:
    bits: Array = x.view(f"uint{8 * x.itemsize}")
    return bits.copy() if any(stride % x.itemsize for stride in x.strides) else bits


def _memory(x: Array) -> tuple[Array, int]:
    """Return what lies from the lowest to the highest entry of x, and the index there of x[0, ..., 0].

    A library that copies a strided array closes its gaps; of one that copies this nothing changes.
    """
    if not x.size:
        return x.ravel(), 0
    reach = [stride * (count - 1) // x.itemsize for stride, count in zip(x.strides, x.shape, strict=True)]
    below = -sum(min(r, 0) for r in reach)
    lowest = x[(*(slice(-1, None) if r < 0 else slice(1) for r in reach), ...)]
    count = below + sum(max(r, 0) for r in reach) + 1
    return np.lib.stride_tricks.as_strided(lowest, (count,), (x.itemsize,)), below


# PyTorch ---------------------------------------------------------------------------------


def _from_torch(tensor: Any) -> Array:
    torch = sys.modules["torch"]
    plain = tensor.detach().resolve_conj().resolve_neg().cpu()
    if plain.layout != torch.strided:
        plain = plain.to_dense()
    if not plain.dtype.is_floating_point:
        return np.asarray(plain.numpy())
    name = str(plain.dtype).removeprefix("torch.")
    bits = plain.view(getattr(torch, f"uint{8 * plain.element_size()}")).numpy()
    return np.asarray(bits.view(_dtype_named(name)))


def _dtype_named(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        if not hasattr(ml_dtypes, name):
            raise ValueError(f"dtype {name}: NumPy has none of that name") from None
        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found


def _torch_array(x: Array, device: Any) -> Any:
    torch = importlib.import_module("torch")
    dtype = getattr(torch, x.dtype.name, None)
    if dtype is None:
        raise TypeError(f"torch has no dtype {x.dtype.name}")
    bits = _bits(x)
    if not bits.flags.writeable or any(stride < 0 for stride in bits.strides):
        bits = bits.copy(order="K")  # PyTorch knows neither
    memory, _ = _memory(bits)
    strides = [stride // bits.itemsize for stride in bits.strides]
    return torch.from_numpy(memory).to(device).as_strided(bits.shape, strides).view(dtype)


def _torch_device(torch: Any, name: str) -> Any:
    try:
        device = torch.device(name)
        torch.zeros(1, dtype=torch.uint8, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise _no_device("torch", name, error) from error
    return device


def _no_device(library: str, name: str, error: BaseException) -> ValueError:
    first = str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
    if not name:
        return ValueError(f"{library} has no device here ({first})")
    return ValueError(f"{library} has no device {name!r} here ({first}); leave out @{name} for its default")


# JAX -------------------------------------------------------------------------------------


def _sixty_four_bits() -> AbstractContextManager[Any]:
    jax = importlib.import_module("jax")
    if not hasattr(jax, "enable_x64"):
        jax = importlib.import_module("jax.experimental")
    enabled: AbstractContextManager[Any] = jax.enable_x64(True)
    return enabled


def _jax_array(x: Array, device: Any) -> Any:
    jax = importlib.import_module("jax")
    with context("jax", x):
        return jax.device_put(x, device)


def _jax_device(jax: Any, name: str) -> Any:
    kind, _, index = name.partition(":")
    try:
        return jax.devices(kind)[int(index or 0)]
    except (RuntimeError, ValueError, IndexError) as error:
        raise _no_device("jax", name, error) from error


# CuPy ------------------------------------------------------------------------------------


def _from_cupy(array: Any) -> Array:
    if array.itemsize not in (1, 2, 4, 8):
        return np.asarray(sys.modules["cupy"].asnumpy(array))
    bits = array.view(f"uint{8 * array.itemsize}")  # it has no kernel that copies a strided float8
    return np.asarray(sys.modules["cupy"].asnumpy(bits, order="A")).view(array.dtype)


def _cupy_array(x: Array, device: Any) -> Any:
    cupy = importlib.import_module("cupy")
    bits = _bits(x)
    memory, first = _memory(bits)
    with device or contextlib.nullcontext():
        there = cupy.asarray(memory)[first:]
        return cupy.lib.stride_tricks.as_strided(there, bits.shape, bits.strides).view(x.dtype)


def _cupy_device(cupy: Any, name: str) -> Any:
    """Return a device by its name, after a look at whether it is there; the current one without a name."""
    kind, _, index = ("cuda", "", name) if name.isdigit() else name.partition(":")
    if kind not in ("", "cuda", "gpu"):
        raise _no_device("cupy", name, ValueError("its devices are cuda:0, cuda:1, ..."))
    try:
        device = cupy.cuda.Device(int(index or 0) if name else None)
        device.compute_capability  # noqa: B018 - asks the driver
    except Exception as error:  # CuPy's own exception classes share no base with anything
        raise _no_device("cupy", name, error) from error
    return device


_MAKERS: Final[Mapping[str, Callable[[Array, Any], Any]]] = {
    "torch": _torch_array,
    "jax": _jax_array,
    "cupy": _cupy_array,
}
_DEVICES: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "torch": _torch_device,
    "jax": _jax_device,
    "cupy": _cupy_device,
}
