"""An unknown name is answered with the one that is meant, and a call that fails with how to make it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness import cli
from harness.subject.candidates import CandidateError, from_function, load
from reference.formats import FORMATS, OTHER_NAMES, format_named

MEANT = {
    "fp32": "float32",
    "single": "float32",
    "half": "float16",
    "FP16": "float16",
    "double": "float64",
    "bf16": "bfloat16",
    "e4m3": "float8_e4m3fn",
    "fp8_e5m2": "float8_e5m2",
    "Float32": "float32",
    "flaot32": "float32",
}

MODULE = """
class Module:
    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)


Module.__module__ = "torch.nn.modules.module"


class Softmax(Module):
    def forward(self, x):
        return x.softmax(-1)


model = Softmax()
"""


@pytest.fixture(autouse=True)
def without_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.run(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(("given", "meant"), MEANT.items())
def test_other_names_of_formats(given: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = f"{given!r}: unknown; did you mean {meant!r}?"
    assert expected in refused(["run", "naive", "--format", given], capsys)
    assert expected in refused(["search", "naive", "--format", given], capsys)


def test_other_names_are_of_formats_and_no_format_s_own() -> None:
    assert set(OTHER_NAMES.values()) == set(FORMATS)
    assert not OTHER_NAMES.keys() & FORMATS.keys()
    with pytest.raises(ValueError, match="'bf16': did you mean 'bfloat16'"):
        format_named("bf16")


WORDS = {
    "float16": ("half", "binary16"),
    "float32": ("single", "float", "binary32"),
    "float64": ("double", "binary64"),
    "bfloat16": ("bfloat", "brain"),
}


def short_names(name: str) -> list[str]:
    fmt = FORMATS[name]
    if fmt.storage_bits == 8:
        short = name.removeprefix("float8_")
        return [short, f"f8{short}", f"fp8{short.removesuffix('fn')}", f"fp8_{short.removesuffix('fn')}"]
    prefixes = ("bf",) if name == "bfloat16" else ("fp", "f")
    by_fields = f"e{fmt.storage_bits - fmt.precision}m{fmt.precision - 1}"
    return [*(f"{prefix}{fmt.storage_bits}" for prefix in prefixes), by_fields, *WORDS[name]]


def test_the_usual_short_names_of_a_format_lead_to_it() -> None:
    for name in FORMATS:
        for other in short_names(name):
            with pytest.raises(ValueError, match=f"'{other}': did you mean '{name}'"):
                format_named(other)


def test_an_8_bit_float_without_more_said_is_the_one_with_more_digits() -> None:
    for other in ("fp8", "float8", "e4m3"):
        with pytest.raises(ValueError, match=f"'{other}': did you mean 'float8_e4m3fn'"):
            format_named(other)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["gate", "naive", "--tier", "Standard"], "standard"),
        (["gate", "naive", "--tier", "correctly-rounded"], "rounded"),
        (["run", "naive", "--regime", "TIED"], "tied"),
        (["run", "naive", "--regime", "result_underflow"], "result-underflow"),
        (["run", "shifted"], "max_shifted"),
        (["run", "Naive"], "naive"),
        (["run", "scipy.special.softmax"], "scipy"),
        (["run", "naive", "--effort", "quik"], "quick"),
    ],
)
def test_other_names(arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"did you mean {meant!r}?" in refused(arguments, capsys)


def test_a_declared_format_by_another_name() -> None:
    def softmax(x: np.ndarray) -> np.ndarray:
        return x

    softmax.formats = ["fp32"]  # type: ignore[attr-defined]
    with pytest.raises(CandidateError, match="'fp32': did you mean 'float32'"):
        from_function(softmax)


@pytest.mark.parametrize("name", ["kernel.so", "kernel.py"])
def test_a_file_without_a_function(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"write {name}:function" in refused(["run", name], capsys)


def test_a_module_of_torch_is_told_of_via(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    candidate = load(f"{tmp_path / 'mine.py'}:model")
    with pytest.raises(AttributeError, match="if it takes torch's, add --via torch"):
        candidate(np.float32([[0, 1]]))
    inside = candidate.call._function.__wrapped__  # the instance itself, as a notebook has it
    with pytest.raises(AttributeError, match="if it takes torch's, add --via torch"):
        from_function(inside)(np.float32([[0, 1]]))


def test_a_class_is_no_candidate(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    with pytest.raises(CandidateError, match="Softmax is a class; name an instance of it"):
        load(f"{tmp_path / 'mine.py'}:Softmax")
