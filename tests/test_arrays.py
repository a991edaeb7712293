"""Other libraries' arrays carry the bits that NumPy's do, both ways, and candidates that take them run.

Independent evidence: every encoding of the 8- and 16-bit formats, and chosen ones of the others, is sent
through an identity and compared as unsigned integers; figures of a function of tensors are held against
those of the same steps in NumPy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.subject.candidates import CandidateError, from_function, load
from harness.subject.candidates.loading import load_function, locate
from harness.subject.candidates.via import Via, via_named
from harness.subject.execution import InProcess, Isolated
from reference import correctly_rounded, softmax, ulp_errors
from reference.foreign import LIBRARIES, device_named, from_numpy, library_of, to_numpy
from reference.formats import FORMATS, FloatFormat

KERNELS = Path(__file__).resolve().parent.parent / "docs" / "kernels"

TUTORIAL = """import functools
import torch

def tutorial(x):
    e = torch.exp(x - x.max(dim=-1, keepdim=True).values)
    return e / e.sum(dim=-1, keepdim=True)

partial = functools.partial(torch.nn.functional.softmax, dim=-1)

def identity(x):
    return x

def in_place(x):
    return x.sub_(x).add_(1.0 / x.shape[-1])

def turning(x):
    y = torch.softmax(x, dim=-1)
    x.t_()
    return y
"""

JITTED = """import jax

@jax.jit
def jitted(x):
    return jax.nn.softmax(x, axis=-1)

def identity(x):
    return x
"""

IN_PLACE = """import cupy

def identity(x):
    return x

def in_place(x):
    x.view("uint32").fill(0)
    return x
"""


@pytest.fixture(autouse=True)
def _leave_the_interpreter_as_it_was() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path


every_library = pytest.mark.parametrize("library", LIBRARIES)
every_format = pytest.mark.parametrize("fmt", list(FORMATS.values()), ids=str)


def patterns(fmt: FloatFormat) -> np.ndarray:
    """All encodings up to 16 bits; else the ends of every region of the format, and random ones."""
    if fmt.storage_bits <= 16:
        return np.arange(1 << fmt.storage_bits, dtype=fmt.bits_dtype)
    sign, infinity = fmt.sign_bit, (1 << (fmt.storage_bits - 1)) - (1 << (fmt.precision - 1))
    quiet = 1 << (fmt.precision - 2)
    normal = 1 << (fmt.precision - 1)
    edges = [0, 1, 2, normal - 1, normal, normal + 1, infinity - 1, infinity, infinity + 1, infinity + quiet]
    edges += [infinity + quiet - 1, infinity + quiet + 5, sign - 1]
    drawn = np.random.default_rng(0).integers(0, 2**63, 4096, dtype=np.uint64).astype(fmt.bits_dtype)
    return np.concatenate([np.array([e | s for e in edges for s in (0, sign)], dtype=fmt.bits_dtype), drawn])


def need(library: str) -> Any:
    """Skip the test where a library cannot be imported, or CuPy has no device."""
    module = pytest.importorskip(library)
    if library == "cupy":
        try:
            device_named("cupy")
        except ValueError as error:
            pytest.skip(str(error))
    return module


def array_of(x: np.ndarray, library: str) -> Any:
    need(library)
    return from_numpy(x, library)


def same_bits(fmt: FloatFormat, a: np.ndarray, b: np.ndarray) -> None:
    assert a.dtype == b.dtype == fmt.dtype
    assert a.shape == b.shape
    differ = np.flatnonzero(fmt.to_bits(a).ravel() != fmt.to_bits(b).ravel())
    shown = [(hex(int(fmt.to_bits(z).ravel()[i])) for z in (a, b)) for i in differ[:3]]
    assert not differ.size, [tuple(pair) for pair in shown]


# Bits ------------------------------------------------------------------------------------


@every_library
@every_format
def test_every_bit_pattern_goes_there_and_back(library: str, fmt: FloatFormat) -> None:
    x = fmt.from_bits(patterns(fmt))
    same_bits(fmt, to_numpy(array_of(x, library)), x)


@every_library
@every_format
def test_the_library_sees_the_same_numbers(library: str, fmt: FloatFormat) -> None:
    x = fmt.from_float64([0.0, -0.0, 1.0, -1.5, 0.15625, 384.0, 2.0**-9])
    module, there = need(library), array_of(x, library)
    if library == "torch":
        seen = there.double().numpy()
    elif library == "jax":
        with module.enable_x64(True):
            seen = np.asarray(there.astype("float64"))
    else:
        assert there.dtype == fmt.dtype
        seen = module.asnumpy(there).astype("float64")
    assert [float(value).hex() for value in seen] == [float(value).hex() for value in fmt.to_float64(x)]


@every_library
@every_format
def test_strided_reversed_and_read_only_rows_keep_their_bits(library: str, fmt: FloatFormat) -> None:
    wide = fmt.from_bits(patterns(fmt)[:96].reshape(8, 12))
    fixed = wide.copy()
    fixed.flags.writeable = False
    apart = np.zeros(8, dtype=np.dtype([("gap", "u1"), ("x", fmt.dtype)]))[
        "x"
    ]  # not a whole number of entries
    for x in (
        wide[:, ::2],
        wide[::-1, ::-1],
        wide.T,
        fixed,
        wide[0],
        wide.reshape(2, 4, 12),
        wide[2:5, 3:7],
        wide[:0],
        wide[3, 4, ...],
        np.broadcast_to(wide[0], (3, 12)),
        apart,
    ):
        same_bits(fmt, to_numpy(array_of(x, library)), np.ascontiguousarray(x).reshape(x.shape))


def strides_in_entries(array: Any) -> list[int]:
    return list(array.stride()) if hasattr(array, "stride") else [s // array.itemsize for s in array.strides]


@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_rows_arrive_with_the_gaps_and_the_order_that_they_have(library: str) -> None:
    """Else a kernel that takes no strides would pass, as it is never given any."""
    wide = np.arange(96, dtype=np.float32).reshape(8, 12)
    for x in (
        wide[:, ::2],
        wide.T,
        wide[:, 3:7],
        np.asfortranarray(wide),
        wide.reshape(2, 4, 12).swapaxes(0, 2),
    ):
        assert strides_in_entries(array_of(x, library)) == [stride // 4 for stride in x.strides], x.strides


def test_tensors_lie_in_the_memory_of_rows_that_may_be_written() -> None:
    x = np.zeros((2, 3), dtype=np.float32)
    array_of(x, "torch")[0, 0] = 7.0
    assert x[0, 0] == 7.0
    array_of(x[1, 1, ...], "torch").fill_(5.0)
    assert x[1, 1] == 5.0
    fixed = np.zeros(3, dtype=np.float32)
    fixed.flags.writeable = False
    array_of(fixed, "torch")[0] = 7.0
    assert fixed[0] == 0.0


def test_float64_stays_float64_in_jax_and_the_setting_is_given_back() -> None:
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    x = np.array([[0.1, 1 + 2.0**-52]])
    candidate = from_function(lambda a: a, "identity", via="jax")
    same_bits(FORMATS["float64"], candidate(x), x)
    assert jax.config.jax_enable_x64 == before


@every_library
def test_a_worker_sends_every_pattern_through_an_identity(library: str, tmp_path: Path) -> None:
    need(library)
    file = tmp_path / f"with_{library}.py"
    file.write_text({"torch": TUTORIAL, "jax": JITTED, "cupy": IN_PLACE}[library])
    with Isolated(jobs=1) as executor:
        for fmt in FORMATS.values():
            x = fmt.from_bits(patterns(fmt))[None]
            outcome = executor.run(f"{file}:identity@{library}", x, fmt)
            assert not outcome.faults, outcome.faults
            assert outcome.outputs is not None
            same_bits(fmt, outcome.outputs, x)


# The reference ---------------------------------------------------------------------------


@every_library
@every_format
def test_the_reference_takes_arrays_of_libraries(library: str, fmt: FloatFormat) -> None:
    x = fmt.from_float64([[0.0, 1.0, -2.5], [0.5, 0.5, 4.0]])
    y = correctly_rounded(x)
    there, back = array_of(x, library), array_of(y, library)
    assert ulp_errors(there, back).tolist() == ulp_errors(x, y).tolist()
    same_bits(fmt, correctly_rounded(there), y)
    assert (softmax(there) == softmax(x)).all()


def test_a_tensor_that_needs_a_gradient_is_taken() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([[0.0, 1.0]], requires_grad=True)
    y = torch.softmax(x, dim=-1)
    assert ulp_errors(x, y).max() < 1
    assert library_of(torch.nn.Parameter(x.detach())) == "torch"


def test_integer_tensors_are_logits() -> None:
    torch = pytest.importorskip("torch")
    assert (
        correctly_rounded(torch.tensor([1, 2]), "float32").tolist()
        == correctly_rounded(np.float32([1, 2])).tolist()
    )


def test_a_dtype_that_is_no_format_is_one_line() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="complex64"):
        ulp_errors(torch.zeros(1, 2, dtype=torch.complex64), np.float32([[0.5, 0.5]]))


def test_anything_else_comes_by_dlpack() -> None:
    class Exporter:
        def __init__(self, x: np.ndarray) -> None:
            self.x = x

        def __dlpack__(self, **keywords: Any) -> Any:
            return self.x.__dlpack__(**keywords)

        def __dlpack_device__(self) -> Any:
            return self.x.__dlpack_device__()

    x = np.float32([[0.0, 1.0, 2.0]])
    assert ulp_errors(Exporter(x), Exporter(correctly_rounded(x)), "float32").max() <= 0.5


# Candidates ------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["tutorial", "partial"])
def test_functions_of_tensors_run_unmodified(function: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "kernel.py"
    file.write_text(TUTORIAL)
    candidate = load(f"{file}:{function}@torch")
    assert candidate.axis_parameter == ("dim" if function == "partial" else None)
    x = np.float32([[0.0, 1.0, 2.0], [-80.0, 3.0, 3.0]])
    with Isolated(jobs=1) as executor:
        outcome = executor.run(candidate.spec, x, FORMATS["float32"])
    assert not outcome.faults, outcome.faults
    assert outcome.outputs is not None
    assert ulp_errors(x, outcome.outputs).max() < 4
    assert (candidate(x) == outcome.outputs).all()  # the same in this process


def test_a_jitted_function_runs_unmodified(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    file = tmp_path / "jitted.py"
    file.write_text(JITTED)
    with Isolated(jobs=1) as executor:
        for name in ("float32", "float64", "bfloat16"):
            fmt = FORMATS[name]
            x = fmt.from_float64([[0.0, 1.0, 2.0]])
            outcome = executor.run(f"{file}:jitted@jax", x, fmt)
            assert not outcome.faults, outcome.faults
            assert ulp_errors(x, outcome.outputs).max() < 4


def test_the_triton_example_runs_by_its_fallback() -> None:
    pytest.importorskip("torch")
    candidate = load(f"{KERNELS / 'triton_softmax.py'}:softmax@torch")
    assert candidate.formats == {"float16", "bfloat16", "float32"}
    with Isolated(jobs=1) as executor:
        for name in ("float16", "bfloat16"):
            fmt = FORMATS[name]
            x = fmt.from_float64([[0.0, 1.0, 2.0], [-3.0, -3.0, 5.0]])
            outcome = executor.run(candidate.spec, x, fmt)
            assert ulp_errors(x, outcome.outputs).max() <= 0.51  # binary32 inside, rounded once


@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_what_a_function_does_to_its_array_is_seen(library: str, tmp_path: Path) -> None:
    need(library)
    file = tmp_path / "kernel.py"
    file.write_text({"torch": TUTORIAL, "cupy": IN_PLACE}[library])
    with Isolated(jobs=1) as executor:
        outcome = executor.run(
            f"{file}:in_place@{library}", np.float32([[1, 2]]), FORMATS["float32"], presentation="watched"
        )
    assert outcome.overwritten is not None
    assert outcome.overwritten.all()


@pytest.mark.parametrize("x", [np.float32([[1, 2], [3, 4]]), np.float32([[1, 2, 3], [4, 5, 6]])], ids=str)
def test_a_tensor_of_another_shape_is_the_function_s_own(x: np.ndarray, tmp_path: Path) -> None:
    """On a device, where what becomes of the rows is copied back."""
    need("torch")
    file = tmp_path / "kernel.py"
    file.write_text(TUTORIAL)
    with Isolated(jobs=1) as executor:
        outcome = executor.run(f"{file}:turning@torch@cpu", x, FORMATS["float32"], presentation="watched")
    assert not outcome.faults, outcome.faults
    assert outcome.overwritten is not None
    assert not outcome.overwritten.any()


def test_a_notebook_and_a_test_may_hand_over_tensors() -> None:
    torch = pytest.importorskip("torch")

    def mine(x: Any) -> Any:
        return torch.softmax(x, dim=-1)

    run = harness.measure(mine, "bfloat16", regimes=["standard-normal"], lengths=[8], via="torch")
    assert run.cells["status"].tolist() == ["ok"]
    assert 0.4 < run.cells["max_ulp"].max() < 0.51


def test_libraries_and_devices_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "kernel.py"
    file.write_text("def f(x): return x\n")
    for via, said in {
        "tourch": "it is one of torch, jax, cupy",
        "torch@nowhere": "torch has no device 'nowhere' here",
        "jax@nowhere": "jax has no device 'nowhere' here",
        "cupy": "cupy cannot be imported",
    }.items():
        if via.partition("@")[0] in ("torch", "jax"):
            pytest.importorskip(via.partition("@")[0])
        if via == "cupy" and _is_there("cupy"):
            continue
        with pytest.raises(CandidateError) as caught:
            load(f"{file}:f@{via}")
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def _is_there(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


@pytest.mark.parametrize("name", ["tpu", "tpu:0", "cuda:x", "-1", "cuda:999"])
def test_a_name_that_is_no_device_of_cupy_is_refused(name: str) -> None:
    need("cupy")
    with pytest.raises(ValueError, match=f"cupy has no device '{name}' here"):
        device_named("cupy", name)


def test_a_device_may_have_a_number() -> None:
    location = locate("package.module:f@torch@cuda:1")
    assert location.via == Via("torch", "cuda:1")
    assert location.absolute == "package.module:f@torch@cuda:1"
    assert str(via_named("jax")) == "jax"


OTHERS = """
class OfTensor(TypeError):  # as JAX has them: no text makes one
    def __init__(self, tensor):
        super().__init__(f"of {tensor.kind}")


class Tensor:
    kind = "a tensor"


def own(x):
    raise ValueError("no")


def traced(x):
    raise OfTensor(Tensor())
"""


@pytest.mark.parametrize("function", ["tutorial", "partial"])
def test_a_function_of_tensors_that_is_given_numpy_arrays_says_what_to_add(
    function: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "mine.py"
    file.write_text(f"{TUTORIAL}\n{OTHERS}")
    with Isolated(jobs=1) as executor:
        [fault] = executor.run(f"{file}:{function}", np.zeros((1, 4)), FORMATS["float64"]).faults
        assert fault.message.endswith("; it was given NumPy's array; if it takes torch's, add --via torch")
        [own] = executor.run(f"{file}:own", np.zeros((1, 4)), FORMATS["float64"]).faults
        assert own.message == "ValueError: no"
        [of_theirs] = executor.run(f"{file}:traced", np.zeros((1, 4)), FORMATS["float64"]).faults
        assert of_theirs.message.startswith("TypeError: of a tensor; it was given NumPy's array")


# Formats ---------------------------------------------------------------------------------


def test_formats_may_be_an_attribute(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def f(x): return x\nf.formats = ('float32', 'bfloat16')\n")
    assert load(f"{file}:f").formats == {"float32", "bfloat16"}
    file.write_text("def f(x): return x\nf.formats = {'float99'}\n")
    with pytest.raises(CandidateError, match="did you mean"):
        load(f"{file}:f")


def test_a_probe_decides_what_a_silent_function_takes() -> None:
    from harness.subject.probe import probed

    def only_float32(x: np.ndarray) -> np.ndarray:
        if x.dtype != np.float32:
            raise TypeError("float32 alone")
        return correctly_rounded(x)

    def always_fails(x: np.ndarray) -> np.ndarray:
        raise TypeError("never")

    for function, refused in ((only_float32, set(FORMATS) - {"float32"}), (always_fails, set())):
        candidate = from_function(function)
        with InProcess(load=lambda _, c=candidate: c) as executor:  # type: ignore[misc]
            asked = probed(candidate, FORMATS.values(), None, executor)
        assert set(asked.refused) == refused, function.__name__
        assert all("float32 alone" in message for message in asked.refused.values())
        assert asked.supports(FORMATS["float32"])


def test_a_compiled_function_of_a_library_says_which_axis_it_misses() -> None:
    """They have no signature, and cannot be called without `dim`."""
    pytest.importorskip("torch")
    x = np.array([[0.0, 0.0]], dtype=np.float32)
    for name, exact in (("softmax", 0.5), ("log_softmax", -np.log(2)), ("logsumexp", np.log(2))):
        loaded = load_function(f"torch:{name}@torch")
        assert loaded.axis_parameter == "dim"
        np.testing.assert_allclose(loaded.call(x, dim=-1), exact, rtol=1e-6)
