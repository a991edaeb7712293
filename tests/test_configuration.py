"""Which pyproject.toml decides: the nearest, within the repository, and none whose table is misspelt."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli

GRANDPARENTS = (
    '[tool.harness.gate]\ncandidates = ["max_shifted"]\nformats = ["float32"]\ntiers = ["standard"]\n'
)


@pytest.fixture(autouse=True)
def inner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, two below one whose configuration would let any gate pass."""
    (tmp_path / "pyproject.toml").write_text(GRANDPARENTS)
    inner = tmp_path / "project" / "package"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    return inner


def test_the_gate_does_not_pass_for_a_grandparent(inner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inner.parent / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    assert cli.run(["gate", "max_shifted"]) == 3
    said = capsys.readouterr().err
    assert "configuration:" not in said
    assert "no budget to judge by" in said


@pytest.mark.parametrize("mark", [".git", ".hg"])
def test_the_root_of_a_repository_ends_the_search(
    mark: str, inner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inner.parent / mark).mkdir()
    assert cli.run(["gate", "max_shifted"]) == 3
    assert "configuration:" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[tool.harnes]\nformats = ["float16"]\n', "[tool.harnes]"),
        ('[tool.Harness.gate]\ntiers = ["fast"]\n', "[tool.Harness]"),
        ("[tool.softmax-harness]\n", "[tool.softmax-harness]"),
        ('[harness.gate]\ntiers = ["fast"]\n', "[harness]"),
        ('[tool.harness]\nformats = ["float16"]\n[tool.harnss.gate]\ntiers = ["fast"]\n', "[tool.harnss]"),
    ],
)
@pytest.mark.parametrize("command", [["gate"], ["run", "naive"], ["search", "naive"], ["init"]])
def test_a_misspelt_table_is_a_mistake(
    text: str, named: str, command: list[str], inner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = inner / "pyproject.toml"
    file.write_text(text)
    assert cli.run(command) == 2
    said = capsys.readouterr().err
    assert said == (
        f"error: {file if command != ['init'] else file.name}: has a table {named}, which is not read;"
        " did you mean [tool.harness]?\n"
    )
    assert [path.name for path in inner.iterdir()] == ["pyproject.toml"]


def test_other_tools_tables_are_no_mistake(inner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = ("hatch", "mypy", "ruff", "pytest", "poetry", "hypothesis", "harbor", "harness-ci", "setuptools")
    (inner / "pyproject.toml").write_text("".join(f"[tool.{name}]\n" for name in tables))
    assert cli.run(["gate", "max_shifted"]) == 3
    assert "no budget to judge by" in capsys.readouterr().err
