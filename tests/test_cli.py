"""The command line as people use it: results on stdout, one line for a mistake, honest exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness import cli
from harness.claims import evaluate
from reports.record.ledger import CellInfo, Ledger
from reports.record.run_folder import find_run, prepare
from reports.record.witness import CellKey
from reports.section import Undrawn
from tests.gating import look_at_few

pytestmark = pytest.mark.usefixtures("one_job")

ROOT = Path(__file__).resolve().parent.parent
BRIEFLY = ("--format", "float16", "--effort", "brief")
SMALL = (
    *BRIEFLY,
    "--regime",
    "known-bugs",
    "--regime",
    "exp-overflow",
    "--length",
    "3",
    "--rows",
    "20",
)


def look_at_little(patches: pytest.MonkeyPatch) -> None:
    """Let the checks and the claims see few rows."""
    look_at_few(patches)
    patches.setattr("harness.claims.evaluate", lambda *given: evaluate(*given, rows=24))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_at_little(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    with pytest.MonkeyPatch.context() as patches:
        look_at_little(patches)
        assert cli.run(["run", *SMALL, "--jobs", "2", "--out", str(folder)]) == 0
    return folder


def summary(folder: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads((folder / "summary.json").read_text())
    return document


def program(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# A run and what it leaves ----------------------------------------------------------------


def test_run_leaves_every_file_of_the_contract(small_run: Path) -> None:
    names = {
        "summary.json",
        "cells.parquet",
        "cells.csv",
        "witnesses.jsonl",
        "report.html",
        "summary.md",
        "run.sqlite",
    }
    assert names <= {p.name for p in small_run.iterdir()}


def test_tables_hold_the_same_cells(small_run: Path) -> None:
    parquet = pd.read_parquet(small_run / "cells.parquet")
    csv = pd.read_csv(small_run / "cells.csv")
    cells = summary(small_run)["cells"]
    assert isinstance(cells, list)
    assert list(parquet.columns) == list(csv.columns) == list(cells[0])
    assert len(parquet) == len(csv) == len(cells)


def test_naive_overflows_and_max_shifted_does_not(small_run: Path) -> None:
    cells = pd.read_parquet(small_run / "cells.parquet")
    overflow = cells[cells["regime"] == "exp-overflow"].set_index("candidate")["overflow_rate"]
    assert overflow["naive"] > 0
    assert overflow["max_shifted"] == 0


def test_same_seed_gives_the_same_summary_however_it_ran(small_run: Path, tmp_path: Path) -> None:
    how = ("--jobs", "1", "--in-process")
    assert cli.run(["run", *SMALL, *how, "--out", str(tmp_path / "again")]) == 0
    again, first = summary(tmp_path / "again"), summary(small_run)
    for block in ("environment", "timing"):
        again.pop(block)
        first.pop(block)
    assert json.dumps(again) == json.dumps(first)


def test_runs_without_out_are_found_as_latest_and_previous(
    small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(small_run / "run.sqlite", prepare(None, seed=0))
    assert cli.run(["run", "max_shifted", *SMALL, "--seed", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)  # one document and nothing else
    for name, seed in (("latest", 1), ("previous", 0)):
        assert cli.run(["report", name, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["seed"] == seed
        assert (document == printed) == (name == "latest")
    assert Path("harness-out/.gitignore").read_text() == "*\n"
    runs = (find_run("latest"), find_run("previous"))
    digests = [set(pd.read_parquet(run / "cells.parquet")["rows_digest"]) for run in runs]
    assert digests[0] != digests[1], "another seed, the same rows"


def test_report_is_drawn_again_from_the_ledger_alone(small_run: Path) -> None:
    before = {
        p.name: p.read_bytes() for p in small_run.iterdir() if p.suffix in {".html", ".json", ".md", ".csv"}
    }
    for name in before:
        (small_run / name).unlink()
    assert cli.run(["report", str(small_run)]) == 0
    assert {name: (small_run / name).read_bytes() for name in before} == before


def test_a_section_that_cannot_be_drawn_says_so_in_the_page_and_exits_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = CellKey("naive", "softmax", "float32", "float32", "tied", 2)
    with Ledger.create(tmp_path / "run.sqlite", {"seed": 0}, [CellInfo(cell, sampled=True)]) as ledger:
        ledger.put("search", [{"curve": [[1]]}])
    with pytest.warns(Undrawn, match="search: "):
        assert cli.run(["report", str(tmp_path)]) == 3
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].endswith("sections that could not be drawn: search")
    page = (tmp_path / "report.html").read_text()
    search = page[page.index('<section id="search"') :].split("</section>")[0]
    assert "This section could not be drawn: ValueError: " in search
    assert '<section id="environment"' in page, "the others stand"


# Replaying -------------------------------------------------------------------------------


def a_witness(folder: Path, kind: str) -> dict[str, object]:
    for line in (folder / "witnesses.jsonl").read_text().splitlines():
        document: dict[str, object] = json.loads(line)
        if document["kind"] == kind:
            return document
    raise AssertionError(f"no witness of kind {kind}")


def test_replay_by_id_and_by_line_give_the_recorded_bits(
    small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    witness = a_witness(small_run, "overflow")
    for argument in (f"{small_run}#{witness['id']}", json.dumps(witness)):
        capsys.readouterr()
        assert cli.run(["replay", argument, "--json"]) == 0
        replayed = json.loads(capsys.readouterr().out)
        assert replayed["same_bits"]
        assert replayed["outcomes"] == {"overflow": 1}


def test_replay_prints_values_in_hex_and_decimal(small_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    witness = a_witness(small_run, "max_ulp")
    assert cli.run(["replay", f"{small_run}#{witness['id']}"]) == 0
    out = capsys.readouterr().out
    assert f"0x{str(witness['x'])[:4]}" in out
    assert f"{float(str(witness['score'])):.6g} ULP" in out


def test_replay_names_the_small_row_that_stands_for_a_witness(
    small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = map(json.loads, (small_run / "witnesses.jsonl").read_text().splitlines())
    drawn = next(line for line in lines if line.get("small") not in (None, line["id"]))
    command = f"replay {small_run}#{drawn['small']}"
    assert cli.run(["replay", f"{small_run}#{drawn['id']}"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"its small row: python -m harness {command}"
    assert cli.run(["replay", f"{small_run}#{drawn['small']}"]) == 0
    assert "small row" not in capsys.readouterr().err
    assert cli.run(["replay", f"{small_run}#{drawn['id']}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["small"] == drawn["small"]


def test_replay_folds_entries_of_equal_bits_unless_asked_for_all(
    small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = a_witness(small_run, "max_ulp")
    bits = [f"{0x3C00 + i:04x}" for i in (0, 0, 1)] + ["3c00"] * 17
    long = json.dumps({**short, "x": "".join(bits), "y": "0000" * len(bits)})
    told = {}
    for options in ((), ("--all",)):
        assert cli.run(["replay", long, *options]) == 0
        told[options] = capsys.readouterr().out
    heads = [line.partition(" normal")[0] for line in told[()].splitlines() if line.startswith("[")]
    assert heads == ["[0] and 18 alike:", "[2]"], told[()]
    assert told["--all",].count("computed") == len(bits)


def test_replay_expects_a_sound_row(small_run: Path) -> None:
    witness = json.dumps(a_witness(small_run, "overflow"))
    assert cli.run(["replay", witness, "--expect"]) == 1
    assert cli.run(["replay", witness, "--expect", "--candidate", "max_shifted"]) == 0


def test_emitted_test_fails_on_the_defect_and_is_not_written_over_a_file(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    witness = json.dumps(a_witness(small_run, "overflow"))
    assert cli.run(["replay", witness, "--emit-test", "test_row.py"]) == 0
    result = subprocess.run(
        [sys.executable, "test_row.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert "AssertionError" in result.stderr
    assert cli.run(["replay", witness, "--emit-test", "test_row.py"]) == 2
    assert "test_row.py" in capsys.readouterr().err


# Candidates that misbehave ---------------------------------------------------------------


def test_candidate_that_raises_or_returns_something_else_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def raises(x): raise RuntimeError('no luck')\n"
        "def wide(x): return x.astype(np.float64)\n"
        "def short(x): return x[:, 1:]\n"
        "def right(x):\n"
        "    e = np.exp(x - x.max(-1, keepdims=True)); return e / e.sum(-1, keepdims=True)\n"
    )
    names = [f"mine.py:{name}" for name in ("raises", "wide", "short", "right")]
    assert cli.run(["run", *names, *SMALL, "--out", "out"]) == 0
    cells = pd.read_parquet("out/cells.parquet").groupby("candidate")
    assert (cells["completed_rows"].sum()[names[:3]] == 0).all()
    assert cells["completed_rows"].sum()[names[3]] > 0
    lost = pd.read_parquet("out/cells.parquet").query("candidate == @names[0]")
    assert set(lost["status"]) == {"crashed"}
    assert lost["message"].str.contains("no luck").all()
    headline = Path("out/summary.md").read_text().splitlines()[0]
    assert headline.startswith("**mine.py:raises gave no output for"), headline
    kinds = {json.loads(line)["kind"] for line in Path("out/witnesses.jsonl").read_text().splitlines()}
    assert {"raised", "wrong_dtype", "wrong_shape"} <= kinds


def test_unsupported_format_is_a_status_and_no_crash() -> None:
    assert cli.run(["run", "upcast", "--format", "float64", *SMALL[2:], "--out", "out"]) == 0
    assert set(pd.read_parquet("out/cells.parquet")["status"]) == {"unsupported"}


# The user's own logits -------------------------------------------------------------------


def test_input_is_a_regime_and_says_what_was_rounded(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.csv").write_text("0.1,0.2,0.3\n11,11,11\n")
    assert (
        cli.run(["run", "max_shifted", *BRIEFLY, "--regime", "input", "--input", "mine.csv", "--out", "out"])
        == 0
    )
    assert "input: 3 values are not in float16" in capsys.readouterr().err
    cells = pd.read_parquet("out/cells.parquet")
    assert set(cells["regime"]) == {"input"}
    assert set(cells["rows"]) == {2}


def test_input_that_fits_no_format_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    Path("huge.csv").write_text("1e300,1e301\n")
    arguments = ["run", "--format", "float16", "--regime", "input", "--input", "huge.csv"]
    assert cli.run(arguments) == 2
    assert "none of its rows fits float16" in capsys.readouterr().err


# Mistakes --------------------------------------------------------------------------------

MISTAKES = {
    "candidate": (["run", "niave"], "did you mean 'naive'"),
    "module": (["run", "no_such_module:f"], "no_such_module"),
    "file": (["run", "no/such.py:f"], "no/such.py"),
    "format": (["run", "--format", "float61"], "did you mean 'float64'"),
    "regime": (["run", "--regime", "tide"], "did you mean 'tied'"),
    "effort": (["run", "--effort", "quik"], "did you mean 'quick'"),
    "rows": (["run", "--rows", "0"], "rows 0: give an integer from 1 on"),
    "length": (["run", "--length", "0"], "length 0: give an integer from 1 on"),
    "memory": (["run", "--max-memory", "0"], "max-memory 0: give an integer from 1 on"),
    "seed": (["run", "--seed", "-1"], "seed -1: give an integer from 0 on"),
    "jobs": (["run", "--jobs", "0"], "jobs 0"),
    "timeout": (["run", "--timeout", "0"], "timeout 0"),
    "timeout nan": (["run", "--timeout", "nan"], "timeout nan"),
    "timeout inf": (["replay", "latest#1", "--timeout", "inf"], "timeout inf"),
    "many rows": (["run", "--rows", "1000000000000"], "rows 1000000000000"),
    "long rows": (["run", "--length", "99999999999"], "length 99999999999"),
    "policy": (["run", "--policy", "batch=maybe"], "bitwise, accurate"),
    "number": (["run", "--rows", "many"], "many"),
    "option": (["run", "--row", "3"], "--row"),
    "command": (["rum"], "rum"),
    "input missing": (["run", "--input", "nowhere.npy"], "nowhere.npy"),
    "input regime without input": (["run", "--regime", "input"], "--input FILE"),
    "replay": (["replay", "nonsense"], "RUN#ID"),
    "replay of no run": (["replay", "nowhere#1234"], "nowhere"),
    "report of no run": (["report", "nowhere"], "nowhere"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_and_exit_2(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = MISTAKES[mistake]
    assert cli.run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1, printed.err
    assert said in printed.err


def test_folder_that_is_not_ours_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("precious")
    for option in ((), ("--overwrite",), ("--resume",)):
        assert cli.run(["run", *SMALL, "--out", "theirs", *option]) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["thesis.txt"]


def test_run_that_is_there_wants_resume_or_overwrite(
    small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["run", *SMALL, "--out", str(small_run)]) == 2
    assert "--resume" in capsys.readouterr().err
    before = (small_run / "summary.json").read_bytes()
    assert cli.run(["run", *SMALL, "--out", str(small_run), "--resume"]) == 0
    assert summary(small_run)["cells"] == json.loads(before)["cells"]
    assert cli.run(["run", *SMALL, "--seed", "7", "--out", str(small_run), "--resume"]) == 2
    assert "seed was 0, now 7" in capsys.readouterr().err


# Configuration ---------------------------------------------------------------------------


def test_flags_go_over_the_file_which_goes_over_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.harness]\ncandidates = ["max_shifted"]\nformats = ["float32"]\n'
        'regimes = ["tied"]\nlengths = [3]\nrows = 5\n'
    )
    assert cli.run(["run", *BRIEFLY, "--out", "out"]) == 0
    assert f"configuration: {tmp_path / 'pyproject.toml'}" in capsys.readouterr().err
    cells = pd.read_parquet("out/cells.parquet")
    assert cells[["candidate", "format", "rows"]].drop_duplicates().to_numpy().tolist() == [
        ["max_shifted", "float16", 5]
    ]


def test_every_mistake_in_the_file_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.harness]\nformat = ["float32"]\nrows = "many"\n')
    assert cli.run(["run"]) == 2
    said = capsys.readouterr().err
    assert "tool.harness.format: unknown key; did you mean 'formats'?" in said
    assert "tool.harness.rows" in said
    assert len(said.splitlines()) == 1


# The process -----------------------------------------------------------------------------


def test_help_loads_nothing_heavy() -> None:
    program_text = (
        "import sys; sys.path.insert(0, sys.argv[1]); from harness import cli; cli.run(['--help']);"
        "heavy = {'numba', 'pandas', 'matplotlib', 'ml_dtypes', 'pyarrow', 'scipy'};"
        "sys.exit(str(sorted(heavy & set(sys.modules))))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program_text, str(ROOT)], capture_output=True, text=True, check=False
    )
    assert result.stderr.strip() == "[]"


IN_ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}


@pytest.fixture(scope="module")
def run_among_strangers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Return the folder of a run, and what it printed: of a candidate whose names stdout cannot carry."""
    folder = tmp_path_factory.mktemp("strangers")
    (folder / "reference.py").write_text("SCALE = 1\n")
    (folder / "reports").mkdir()
    (folder / "reports" / "__init__.py").write_text("NAME = 'theirs'\n")
    (folder / "größe.py").write_text(
        "import numpy as np, reference, reports\n"
        "assert reports.NAME == 'theirs'\n"
        "def softmax(x):\n"
        "    e = np.exp((x - x.max(-1, keepdims=True)) * reference.SCALE)\n"
        "    return e / e.sum(-1, keepdims=True)\n"
    )
    few = (*BRIEFLY, "--regime", "known-bugs", "--length", "3", "--rows", "20", "--jobs", "1")
    done = program("run", "größe.py:softmax", *few, "--out", "weiß", folder=folder, **IN_ASCII)
    assert done.returncode == 0, done.stderr
    return folder / "weiß", done.stdout, done.stderr


def test_a_strangers_modules_beside_the_candidate_are_the_candidates_own(
    run_among_strangers: tuple[Path, str, str],
) -> None:
    cells = pd.read_parquet(run_among_strangers[0] / "cells.parquet")
    assert cells["completed_rows"].sum() > 0
    assert set(cells["status"]) == {"ok"}


def test_output_falls_back_to_ascii(run_among_strangers: tuple[Path, str, str]) -> None:
    _, printed, said = run_among_strangers
    assert (printed + said).isascii()
    assert "worst ULP" in printed


def test_names_beyond_ascii_are_spelled_where_the_output_cannot_carry_them(
    run_among_strangers: tuple[Path, str, str],
) -> None:
    folder, printed, _ = run_among_strangers
    assert "gr\\xf6\\xdfe.py:softmax" in printed
    told = program("report", "weiß", "--json", folder=folder.parent, **IN_ASCII | {"LC_ALL": "C.UTF-8"})
    assert told.stdout.isascii()
    assert {cell["candidate"] for cell in json.loads(told.stdout)["cells"]} == {"größe.py:softmax"}


def test_no_command_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    assert "Commands:" in capsys.readouterr().out


def test_shells_complete_the_console_script_and_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    import tomllib

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    asked = {
        "_SOFTMAX_HARNESS_COMPLETE": "complete_bash",
        "COMP_WORDS": "softmax-harness se",
        "COMP_CWORD": "1",
    }
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.run(["--show-completion", "bash"])
    assert capsys.readouterr().out.strip().endswith(*scripts)
    done = program(folder=Path(), **asked)
    assert done.stdout.split() == ["search", "selftest"]
