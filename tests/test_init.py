"""The starter files: valid as they are, and a workflow whose steps run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import cli
from harness.campaign.configuration import configured, configured_gate
from harness.commands.init import _workflow
from harness.gate.budgets import read_budgets
from tests.gating import SUSPECTS

CANDIDATE = f"{SUSPECTS}:sound"
FILES = ("pyproject.toml", "softmax-budgets.toml")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_files_are_valid_and_limit_tiers_and_ratios() -> None:
    assert cli.run(["init", CANDIDATE, "--format", "float16", "--format", "float32"]) == 0
    values, _ = configured_gate(Path.cwd())
    budgets = read_budgets(Path(values["budgets"]))
    assert {(b.format, b.metric) for b in budgets} == {
        (fmt, metric) for fmt in ("float16", "float32") for metric in ("tier", "bound_ratio")
    }
    assert all("TODO" in b.reason for b in budgets)


def test_who_is_named_stands_in_every_file_and_no_one_else() -> None:
    assert cli.run(["init", CANDIDATE]) == 0
    values, _ = configured_gate(Path.cwd())
    assert values["candidates"] == [CANDIDATE]
    assert all("max_shifted" not in Path(name).read_text() for name in FILES)


def test_without_a_name_every_line_to_change_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["init"]) == 0
    named = [line for name in FILES for line in Path(name).read_text().splitlines() if "max_shifted" in line]
    assert len(named) == 3
    assert all(line.endswith('change it to your own, such as "my.py:softmax"') for line in named)
    assert "name your own softmax for max_shifted in pyproject.toml" in capsys.readouterr().out
    Path("my.py").write_text("def softmax(x): return x\n")
    for name in FILES:
        text = Path(name).read_text()
        Path(name).write_text(text.replace('"max_shifted"', '"my.py:softmax"'))
    values, _ = configured_gate(Path.cwd())
    assert values["candidates"] == ["my.py:softmax"]
    assert {Path(b.candidate).name for b in read_budgets(Path(values["budgets"]))} == {"my.py:softmax"}


def test_a_run_is_not_changed_by_the_gate_s_settings() -> None:
    assert cli.run(["init", CANDIDATE]) == 0
    assert configured(Path.cwd())[0] == {}


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text('[project]\nname = "mine"\n')
    assert cli.run(["init", CANDIDATE]) == 0
    assert Path("pyproject.toml").read_text().startswith('[project]\nname = "mine"\n\n[tool.harness.gate]')
    assert cli.run(["init", CANDIDATE]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["tool = 3\n", "a = = 3\n", '[tool]\nharness = "x"\n'])
def test_a_configuration_that_cannot_be_added_to_is_left_alone(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("pyproject.toml").write_text(text)
    for command in (["init", CANDIDATE], ["gate", CANDIDATE, "--tier", "fast"]):
        assert cli.run(command) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "pyproject.toml: " in error
    assert [path.name for path in Path.cwd().iterdir()] == ["pyproject.toml"]


def test_unknown_names_are_exit_2_and_write_nothing() -> None:
    assert cli.run(["init", "nothing.py:softmax"]) == 2
    assert cli.run(["init", CANDIDATE, "--format", "float31"]) == 2
    assert cli.run(["init", CANDIDATE, "--tier", "best"]) == 2
    assert list(Path.cwd().iterdir()) == []


def workflow(candidate: str) -> list[dict[str, Any]]:
    assert cli.run(["init", candidate]) == 0
    return yaml.safe_load(Path(".github/workflows/softmax.yml").read_text())["jobs"]["gate"]["steps"]


def installed(candidate: str) -> list[str]:
    (line,) = (step["run"] for step in workflow(candidate) if step.get("name") == "Install")
    (command,) = (line for line in line.splitlines() if "pip install" in line)
    return shlex.split(command.partition("pip install ")[2])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pyproject.toml": '[project]\nname = "mine"\n'}, ["softmax-harness", "."]),
        ({"setup.py": "", "requirements.txt": "torch\n"}, ["softmax-harness", ".", "-r", "requirements.txt"]),
        ({"pyproject.toml": "[tool.mypy]\n", "helper.py": ""}, ["softmax-harness", "scipy"]),
    ],
)
def test_the_workflow_installs_the_project_or_what_the_candidate_imports(
    files: dict[str, str], expected: list[str]
) -> None:
    for name, text in files.items():
        Path(name).write_text(text)
    imports = "import os\nimport helper\nimport numpy as np\nfrom scipy import special\n"
    Path("helper.py").touch()
    Path("my.py").write_text(f"{imports}def softmax(x): return special.softmax(x, -1)\n")
    assert installed("my.py:softmax") == expected


def test_the_workflow_installs_the_library_that_is_gated() -> None:
    assert installed("scipy") == ["softmax-harness[scipy]"]


def test_a_compiled_candidate_is_built_before_the_gate() -> None:
    text = _workflow("@INSTALL@\n@BUILD@", "max_shifted")
    assert text == "softmax-harness\n"
    Path("soft.so").touch()
    assert "run: make soft.so" in _workflow("@INSTALL@\n@BUILD@", "soft.so:softmax_f32")


def test_the_workflow_keeps_the_environment_with_the_compiled_kernels_between_runs() -> None:
    steps = workflow(CANDIDATE)
    (cache,) = (step["with"] for step in steps if step.get("uses", "").startswith("actions/cache@"))
    (install,) = (step["run"] for step in steps if step.get("name") == "Install")
    assert f"python -m venv {cache['path']}\n" in install
    assert f"{cache['path'].replace('~', '$HOME')}/bin" in install
    kept = {"pyproject.toml", "requirements.txt", ".github/workflows/softmax.yml"}
    assert all(name in cache["key"] for name in kept)


@pytest.mark.slow
def test_the_steps_of_the_workflow_run() -> None:
    assert cli.run(["init", CANDIDATE]) == 0
    text = Path(".github/workflows/softmax.yml").read_text()
    steps = [shlex.split(step) for step in re.findall(r"run: python -m harness (.*)", text)]
    assert len(steps) == 2
    assert [cli.run(step) for step in steps] == [0, 0]
