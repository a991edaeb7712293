"""The wheel holds the four rooms; imports run one way, in no circle; the program finds its own rooms."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent


def harness(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source") / "tree"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)  # noqa: S607
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(out.glob("softmax_harness-*.whl")))


def test_wheel_holds_the_four_rooms_and_no_tests(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    rooms = {top for top in tops if not top.endswith(".dist-info")}
    assert rooms == {"harness", "reference", "strategies", "reports"}


def test_wheel_holds_every_module_and_data_file_of_the_rooms(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "harness", "reference", "strategies", "reports"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    missing = set(tracked) - set(wheel.namelist())
    assert not missing, f"tracked but not in the wheel: {sorted(missing)}"


def test_imports_run_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_no_file_imports_itself_in_a_circle() -> None:
    """Imports within functions count, those for types alone do not."""
    rooms = ("harness", "reports", "strategies", "reference")
    graph = grimp.build_graph(*rooms, exclude_type_checking_imports=True, cache_dir=None)
    assert len(graph.modules) > 200
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, with the circle


def test_the_map_for_contributors_names_what_there_is() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w./]+)`", text) if "/" in name}
    assert len(named) > 20
    assert {
        name for name in named if not any((ROOT / at / name).exists() for at in ("", "harness", "reports"))
    } == set()
    packages = {f"{path.parent.name}/" for path in (ROOT / "harness").glob("*/__init__.py")}
    assert packages - named == set()


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A folder whose modules are named like our rooms and blow up when imported."""
    bomb = "raise SystemExit('the stranger was imported')\n"
    (tmp_path / "reference.py").write_text(bomb)
    (tmp_path / "difflib.py").write_text(bomb)
    for room in ("reports", "strategies"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text(bomb)
    return tmp_path


def test_strangers_in_the_current_folder_are_not_imported(strangers: Path) -> None:
    result = harness("list", cwd=strangers, PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stderr
    assert "max_shifted" in result.stdout


def test_a_stranger_called_harness_does_not_stop_the_console_script(strangers: Path) -> None:
    (strangers / "harness").mkdir()
    (strangers / "harness" / "__init__.py").write_text("raise SystemExit('the stranger was imported')\n")
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from harness.__main__ import main; main()"
    result = subprocess.run(
        [sys.executable, "-P", "-c", program, str(ROOT), "list"],
        cwd=strangers,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_a_room_that_is_not_ours_is_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for room in ("harness", "reference", "strategies"):
        (site / room).symlink_to(ROOT / room)
    (site / "reports.py").write_text("")
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import harness.rooms as rooms, pathlib\n"
        "rooms.ROOT = pathlib.Path(sys.path[0]); rooms.secure()"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", program, str(site)],
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{site / 'reports.py'}: it answers to 'reports'" in result.stderr
