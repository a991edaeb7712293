"""Installed libraries are found by themselves, told apart by version, and handed the bits of their rows.

Independent evidence: every encoding of the small formats through the adapters' own ways in and out; the
library's function called by hand.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import cli
from harness.campaign.settings import USUAL_FORMATS
from harness.subject.candidates import CandidateError, load
from harness.subject.candidates import libraries as folder
from harness.subject.candidates.libraries import LIBRARIES, installed
from harness.subject.candidates.loading import import_function, locate
from harness.subject.execution import InProcess, Isolated
from harness.subject.probe import probed
from reference import ulp_errors
from reference.formats import FORMATS, FloatFormat
from reference.ops import OPS, SOFTMAX, Op
from reports.figures import ulps
from tests.test_arrays import patterns, same_bits

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

USUAL = [FORMATS[name] for name in USUAL_FORMATS]


def test_what_is_installed_is_found_with_its_version() -> None:
    pytest.importorskip("scipy")
    assert "scipy" in {library.name for library in installed()}
    candidate = load("scipy")
    assert candidate.version == version("scipy")
    assert candidate.axis_parameter == "axis"
    assert version("scipy") in candidate.description


def test_what_is_not_installed_is_one_line_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "find_spec", lambda _: None)
    assert installed() == ()
    with pytest.raises(CandidateError) as caught:
        load("torch")
    said = "candidate 'torch': torch is not installed; pip install 'softmax-harness[torch]'"
    assert str(caught.value) == said


def test_a_library_whose_compiler_is_missing_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "find_spec", lambda _: object())
    monkeypatch.setattr(folder.shutil, "which", lambda _: None)
    assert "it needs a compiler, g++ or c++ or clang++" in LIBRARIES["torch-compile"].lacks()
    assert LIBRARIES["torch"].lacks() == ""


@pytest.mark.parametrize("op", [op for op in OPS.values() if op is not SOFTMAX], ids=str)
@pytest.mark.parametrize("name", [name for name in LIBRARIES if name != "torch-compile"])
def test_the_other_ops_of_libraries_are_near_the_exact_results_along_any_axis(name: str, op: Op) -> None:
    if reason := LIBRARIES[name].lacks():
        pytest.skip(reason)
    if not LIBRARIES[name].has(op):
        with pytest.raises(CandidateError, match=f"no {op} of {name} is known here"):
            load(name, op=op)
        return
    fmt = FORMATS["float32"]
    x = np.random.default_rng(0).normal(size=(6, 4), scale=3).astype(np.float32)
    with InProcess() as executor:
        for presentation in ("plain", "middle_of_cube", "vectors"):
            outcome = executor.run(
                load(name, op=op).spec, x, fmt, presentation=presentation, reduces=op.reduces
            )
            assert outcome.faults == ()
            y = outcome.outputs[:, 0] if op.reduces else outcome.outputs
            assert ulp_errors(x, y, op=op.name).max() < 8, presentation


@pytest.mark.parametrize("spec", ["scipy@cuda", "torch@nowhere", "jax@nowhere"])
def test_a_device_that_is_not_there_is_one_line(spec: str) -> None:
    pytest.importorskip(spec.partition("@")[0])
    with pytest.raises(CandidateError, match=f"^candidate '{spec}': ") as caught:
        load(spec)
    assert "\n" not in str(caught.value)
    assert "/" not in str(caught.value), "no path of ours"


def test_every_library_names_a_file_and_an_extra_that_exist() -> None:
    import tomllib

    root = Path(__file__).resolve().parent.parent
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for library in LIBRARIES.values():
        assert (folder.HERE / library.file).is_file(), library.name
        assert library.extra in extras, library.name


@pytest.mark.parametrize("name", ["scipy", "torch", "jax", "jax-jit", "onnxruntime", "sklearn"])
def test_an_adapter_gives_what_the_library_gives(name: str) -> None:
    if LIBRARIES[name].lacks():
        pytest.skip(LIBRARIES[name].lacks())
    x = np.random.default_rng(0).normal(size=(64, 33)).astype(np.float32)
    with Isolated(jobs=1) as executor:
        outcome = executor.run(load(name).spec, x, FORMATS["float32"])
    assert not outcome.faults, outcome.faults
    assert outcome.outputs is not None
    same_bits(FORMATS["float32"], outcome.outputs, _by_hand(name, x))


def _by_hand(name: str, x: np.ndarray) -> np.ndarray:
    if name == "scipy":
        import scipy.special

        return np.asarray(scipy.special.softmax(x, axis=-1))
    if name == "torch":
        import torch

        return np.asarray(torch.softmax(torch.tensor(x), -1).numpy())
    if name.startswith("jax"):
        import jax

        return np.asarray((jax.jit(jax.nn.softmax) if name == "jax-jit" else jax.nn.softmax)(x))
    if name == "sklearn":
        from sklearn.utils.extmath import softmax

        return np.asarray(softmax(x))
    import onnxruntime

    function = import_function(locate(LIBRARIES[name].spec()))
    session = onnxruntime.InferenceSession(
        sys.modules[function.__module__].model(np.dtype(np.float32), 2, 1), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


# Ways in and out --------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", list(FORMATS.values()), ids=str)
def test_mlx_arrays_carry_every_bit(fmt: FloatFormat) -> None:
    pytest.importorskip("mlx.core")
    function = import_function(locate(LIBRARIES["mlx"].spec()))
    module: Any = sys.modules[function.__module__]
    x = fmt.from_bits(patterns(fmt))
    if fmt.storage_bits == 8:
        with pytest.raises(TypeError, match=f"MLX has no dtype {fmt}"):
            module._array(x)
        return
    same_bits(fmt, module._numpy(module._array(x), x.dtype), x)


def _module_of(name: str) -> Any:
    if LIBRARIES[name].version() is None:
        pytest.skip(LIBRARIES[name].lacks())
    return sys.modules[import_function(locate(LIBRARIES[name].spec())).__module__]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, of its compiler's parts
def test_what_pytorch_compiles_is_compiled_for_more_shapes_and_axes_than_its_own_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one thread after another: PyTorch keeps the limit of 8 by thread, and fails beyond it."""
    if LIBRARIES["torch-compile"].lacks():
        pytest.skip(LIBRARIES["torch-compile"].lacks())
    module = _module_of("torch-compile")
    monkeypatch.setattr("torch._dynamo.config.fail_on_recompile_limit_hit", True)
    module._compiled.cache_clear()
    for shape in ((1,), (3,), (1, 1), (2, 3), (1, 2, 1), (2, 2, 2)):
        for axis in range(-len(shape), len(shape)):
            with ThreadPoolExecutor(1) as thread:
                x = module.torch.ones(shape)
                y = thread.submit(module.compiled, x, dim=axis).result()
            assert (y == 1 / shape[axis]).all(), f"{shape} along {axis}: {y}"
    module._compiled.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("function", ["softmax", "compiled"])
def test_tensorflow_carries_every_bit(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eagerly and by XLA, an identity in place of its softmax, of every format."""
    module = _module_of("tensorflow")
    monkeypatch.setattr(module.tf.nn, "softmax", lambda x, **_: module.tf.identity(x))
    module._compiled.cache_clear()
    for fmt in USUAL:
        x = fmt.from_bits(patterns(fmt))[None]
        same_bits(fmt, getattr(module, function)(x), x)
    module._compiled.cache_clear()


def test_onnxruntime_carries_every_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of one Identity node in place of the Softmax node, of the formats that it takes."""
    if LIBRARIES["onnxruntime"].lacks():
        pytest.skip(LIBRARIES["onnxruntime"].lacks())
    module = _module_of("onnxruntime")
    make = module.onnx.helper.make_node
    monkeypatch.setattr(module.onnx.helper, "make_node", lambda _, x, y, **__: make("Identity", x, y))
    module._session.cache_clear()
    for name in ("float16", "float32", "float64"):
        x = FORMATS[name].from_bits(patterns(FORMATS[name]))[None]
        same_bits(FORMATS[name], module.softmax(x), x)
    module._session.cache_clear()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # JAX, of a fork as it is imported
@pytest.mark.parametrize("fmt", USUAL, ids=str)
def test_openvino_tensors_carry_every_bit(fmt: FloatFormat) -> None:
    module = _module_of("openvino")
    x = fmt.from_bits(patterns(fmt))[None]
    same_bits(fmt, module._numpy(module._tensor(x), x), x)


@pytest.mark.parametrize("fmt", USUAL, ids=str)
def test_tinygrad_carries_every_bit_that_it_has_itself(
    fmt: FloatFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of float8 tinygrad 0.14 has neither subnormals nor infinities, whichever way they are handed to it."""
    if LIBRARIES["tinygrad"].lacks():
        pytest.skip(LIBRARIES["tinygrad"].lacks())
    module = _module_of("tinygrad")
    monkeypatch.setattr(module.Tensor, "softmax", lambda x, _: x)
    x = fmt.from_bits(patterns(fmt))[None]
    values = np.abs(fmt.to_float64(x))
    if fmt.storage_bits == 8:
        numbers = module.Tensor(values.astype(np.float32), device="CPU").cast(module.DTYPES[fmt.name])
        own = numbers.bitcast(module.BITS[1]).numpy() == fmt.to_bits(fmt.from_float64(values))
        subnormal = (values > 0) & (values < float(fmt.smallest_normal))
        assert not own[subnormal | np.isinf(values)].any()
        x = x[own | np.isnan(values)][None]
    same_bits(fmt, module.softmax(x), x)


@pytest.mark.parametrize("name", ["scipy", "sklearn"])
def test_what_is_called_with_numpy_arrays_is_handed_the_very_array(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _module_of(name)
    where, called = (module.scipy.special, "softmax") if name == "scipy" else (module, "of_matrix")
    monkeypatch.setattr(where, called, lambda x, **_: x)
    for fmt in FORMATS.values():
        x = fmt.from_bits(patterns(fmt))[None]
        y = module.softmax(x)
        assert np.shares_memory(x, y)
        same_bits(fmt, y, x)


def test_a_probe_tells_which_formats_a_library_takes() -> None:
    if LIBRARIES["onnxruntime"].lacks():
        pytest.skip(LIBRARIES["onnxruntime"].lacks())
    with Isolated(jobs=1) as executor:
        asked = probed(load("onnxruntime"), FORMATS.values(), None, executor)
    assert {name for name, fmt in FORMATS.items() if asked.supports(fmt)} == {"float16", "float32", "float64"}
    assert "float8e5m2" in asked.refused["float8_e5m2"]


# The table --------------------------------------------------------------------------------


def test_a_run_leaves_the_table(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    command = ["run", "scipy", "naive", "--format", "float16", "--format", "float32"]
    command += ["--regime", "tied", "--regime", "nan", "--regime", "search", "--length", "8"]
    command += ["--rows", "64", "--jobs", "1", "--effort", "brief", "--out", str(tmp_path / "run")]
    assert cli.run(command) == 0
    heading, _, *lines = (tmp_path / "run" / "libraries.md").read_text().splitlines()
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| scipy", version("scipy"), name] for name in ("float16", "float32")
    ]
    assert heading.count("|") == lines[0].count("|")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["environment"]["candidates"] == {"scipy": version("scipy")}
    worst = max(
        c["max_ulp"] or 0.0 for c in summary["cells"] if (c["candidate"], c["format"]) == ("scipy", "float16")
    )
    assert f"| {ulps(worst)} | search, n=8 |" in lines[0], "the worst over all cells is the search's"
    assert "<h2" in (tmp_path / "run" / "report.html").read_text()
    assert "Libraries" in (tmp_path / "run" / "report.html").read_text()
