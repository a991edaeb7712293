"""The softmax of installed libraries, and their other ops, as people call them.

One row of `LIBRARIES` an entry point: `torch` is PyTorch's eager one, `torch-compile` what its compiler
makes of it. Each is a function of a file in this folder, which a worker loads by its path as it does a
user's own, so that nothing is imported before a candidate is called, and nothing of ours beside it. What
the functions add to the call is what the library needs to be handed an array; never a number is changed.
The function of another op has the op's name: `log_softmax`, or `jitted_log_softmax` beside `jitted`.

To add a library, add a file here and a row below.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypedDict

from reference.ops import SOFTMAX, Op

__all__ = ["LIBRARIES", "Library", "installed"]

HERE: Final = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Library:
    """One way into a library's softmax.

    Attributes:
        name: the candidate's.
        title: what it calls, for people.
        distributions: what may hold the library; the first installed one gives the version.
        package: what is imported.
        extra: the extra of this project that installs it.
        file, function: of this folder; the function of softmax.
        via: whose arrays the function takes; empty for NumPy's.
        axis: the keyword of its axis; empty where it has none.
        compilers: what it compiles its code with: any one of these programs; empty for none.
    """

    name: str
    title: str
    distributions: tuple[str, ...]
    package: str
    extra: str
    file: str
    function: str = "softmax"
    via: str = ""
    axis: Literal["axis", "dim", ""] = "axis"
    compilers: tuple[str, ...] = ()

    def spec(self, op: Op = SOFTMAX) -> str:
        """Return the path and the function by which a worker loads it."""
        return f"{HERE / self.file}:{self._function(op)}" + (f"@{self.via}" if self.via else "")

    def has(self, op: Op) -> bool:
        """Return whether the file has a function of an op, without importing it."""
        return f"\ndef {self._function(op)}(" in (HERE / self.file).read_text(encoding="utf-8")

    def _function(self, op: Op) -> str:
        if op is SOFTMAX:
            return self.function
        return op.name if self.function == SOFTMAX.name else f"{self.function}_{op}"

    def version(self) -> str | None:
        """Return the installed version, None where it is not installed."""
        if find_spec(self.package) is None:
            return None
        return next((v for name in self.distributions if (v := _version(name))), "unknown")

    def lacks(self) -> str:
        """Say what is missing to call it, empty where nothing is."""
        if self.version() is None:
            return f"{self.distributions[0]} is not installed; pip install 'softmax-harness[{self.extra}]'"
        if self.compilers and not any(map(shutil.which, self.compilers)):
            return f"it needs a compiler, {' or '.join(self.compilers)}, and none is on the PATH"
        return ""


class _Common(TypedDict):
    distributions: tuple[str, ...]
    package: str
    extra: str
    file: str


@cache
def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


_TORCH: Final[_Common] = {
    "distributions": ("torch",),
    "package": "torch",
    "extra": "torch",
    "file": "pytorch.py",
}
_JAX: Final[_Common] = {
    "distributions": ("jax",),
    "package": "jax",
    "extra": "jax",
    "file": "jax_nn.py",
}
_TENSORFLOW: Final[_Common] = {
    "distributions": ("tensorflow", "tensorflow-cpu"),
    "package": "tensorflow",
    "extra": "tensorflow",
    "file": "tensor_flow.py",
}

LIBRARIES: Final[Mapping[str, Library]] = MappingProxyType(
    {
        library.name: library
        for library in (
            Library("scipy", "scipy.special.softmax", ("scipy",), "scipy", "scipy", "scipy_special.py"),
            Library("torch", "torch.softmax, eager", **_TORCH, via="torch", axis="dim"),
            Library(
                "torch-compile",
                "torch.compile of torch.softmax",
                **_TORCH,
                function="compiled",
                via="torch",
                axis="dim",
                compilers=("g++", "c++", "clang++"),
            ),
            Library("jax", "jax.nn.softmax, op by op", **_JAX, via="jax"),
            Library("jax-jit", "jax.jit of jax.nn.softmax", **_JAX, function="jitted", via="jax"),
            Library(
                "onnxruntime",
                "a model of one Softmax node, on the processor",
                ("onnxruntime", "onnxruntime-gpu"),
                "onnxruntime",
                "onnx",
                "onnx_runtime.py",
            ),
            Library(
                "sklearn",
                "sklearn.utils.extmath.softmax",
                ("scikit-learn",),
                "sklearn",
                "libraries",
                "scikit_learn.py",
                axis="",
            ),
            Library("tensorflow", "tf.nn.softmax, eager", **_TENSORFLOW),
            Library("tensorflow-xla", "tf.nn.softmax compiled by XLA", **_TENSORFLOW, function="compiled"),
            Library("mlx", "mlx.core.softmax", ("mlx",), "mlx", "mlx", "apple_mlx.py"),
            Library(
                "mlx-precise",
                "mlx.core.softmax with precise=True",
                ("mlx",),
                "mlx",
                "mlx",
                "apple_mlx.py",
                function="precise",
            ),
            Library(
                "tinygrad",
                "Tensor.softmax, on the processor",
                ("tinygrad",),
                "tinygrad",
                "libraries",
                "tiny_grad.py",
                compilers=("clang",),
            ),
            Library(
                "openvino",
                "a model of one Softmax node, on the processor",
                ("openvino",),
                "openvino",
                "libraries",
                "open_vino.py",
            ),
        )
    }
)
"""Every library that is known, by the candidate's name; those that can be called are `installed()`."""


def installed() -> tuple[Library, ...]:
    """Return what can be called here."""
    return tuple(library for library in LIBRARIES.values() if not library.lacks())
