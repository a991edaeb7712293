"""Every command and every block of Python in the README and in `docs/` runs, and prints what is quoted.

A page is one session in a folder of its own, from its first block to its last. Commands measure few rows;
`test_blocks_run_in_full` runs them as they stand.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import ROUND_CEILING
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import reference
from harness import cli
from harness.claims import evaluate
from harness.exhaust.bracket import outward
from harness.gate import gate_campaign
from harness.subject.candidates import load
from reference.bounds.supremum import Supremum, supremum
from reference.declaration import Algorithm
from reference.formats import FORMATS, FloatFormat
from reference.tiers import TIERS
from tests.documents import PAGES, ROOT, RUN, Block, blocks
from tests.gating import briefly

README = ROOT / "README.md"
LENGTHS = (1, 8, 9)
"""What a gate measures where documents are not run in full."""

SKIPPED = {
    "README.md": 2,
    "docs/guides/search-and-proofs.md": 4,
    "docs/guides/tensors.md": 2,
    "docs/index.md": 2,
    "docs/many-machines.md": 2,
    "docs/results/anatomy.md": 1,
    "docs/results/cost.md": 1,
    "docs/results/libraries.md": 1,
    "docs/results/logarithms.md": 1,
    "docs/results/protocols.md": 1,
    "docs/results/proven-maxima.md": 3,
}
"""How many blocks of a page are not run here, each for the reason that stands above it."""

FIRST = ("README.md", "docs/tutorial.md")
"""What a newcomer reads; other pages run with the longer proofs."""

SESSIONS = [page for page in PAGES if any(b.language in RUN and not b.title for b in blocks(page))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def is_there(name: str) -> bool:
    return shutil.which(name) is not None or importlib.util.find_spec(name) is not None


def shape(line: str) -> str:
    """A line of a run with its figures as N and its places as AT, however many and wherever they stand."""
    line = re.sub("─+", "-", line)
    line = re.sub(r"\d{4}-\d\d-\d\d", "N", line)
    line = re.sub(r"n=[\d,]+|\b[a-z]+(-[a-z]+)+\b|\bmasked\b|\S*#[0-9a-f]{10}\b", "AT", line)
    line = re.sub(r"\b\d[\d.,]*(e\d+)?( %)?", "N", line)
    return re.sub(r"(\b(?:AT|N)\b)( \1\b)+", r"\1", " ".join(line.split()))


class Session:
    """A page's blocks, run one after another in the current folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, full: bool):
        self.full = full
        self.capsys = capsys
        self.monkeypatch = monkeypatch
        self.namespace: dict[str, Any] = {}
        if not full:
            briefly(monkeypatch, *LENGTHS)
            monkeypatch.setattr("harness.campaign.settings.available_jobs", lambda: 1)
            monkeypatch.setattr("harness.witnesses.shrinking.bands.ELEMENTS", 1 << 13)
            monkeypatch.setattr("harness.gate.assertion.BRIEF", gate_campaign.GATE)
            monkeypatch.setattr("harness.claims.evaluate", lambda *given: evaluate(*given, rows=24))

    def run(self, block: Block) -> None:
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
            self.forget(block.title)
        elif block.language == "python":
            self.python(block)
        elif block.language == "console":
            self.console(block)

    def forget(self, file: str) -> None:
        """Let the next block import a file anew."""
        self.monkeypatch.delitem(sys.modules, Path(file).stem, raising=False)
        importlib.invalidate_caches()

    def python(self, block: Block) -> None:
        namespace = dict(self.namespace)
        with self.monkeypatch.context() as patches:
            if "brief" in block.marks and not self.full:
                _measure_briefly(patches)
            exec(compile(block.text, block.place, "exec"), namespace)  # noqa: S102 - the blocks are ours
            for name in [name for name in namespace if name.startswith("test_")]:
                namespace[name]()

    def console(self, block: Block) -> None:
        steps = list(block.steps())
        for number, (command, quoted) in enumerate(steps, 1):
            code, printed = self.command(command, block)
            expected = int(block.marks.get("exit", 0)) if number == len(steps) else 0
            assert code == expected, f"{block.place}: {command}: exit {code}\n{printed}"
            if self.full or not command.startswith("python -m harness gate") or "--loosen" in command:
                self.compare(block, quoted, printed)

    def command(self, command: str, block: Block) -> tuple[int, str]:
        if command.startswith("python -m harness ") and "|" not in command:
            arguments = shlex.split(command)[3:]
            if arguments[0] == "run" and not self.full:
                arguments += block.added()
            self.capsys.readouterr()
            code = cli.run(arguments)
            printed = self.capsys.readouterr()
            return code, printed.out + printed.err
        ours = re.sub(r"\bpython\b", shlex.quote(sys.executable), command)
        ended = subprocess.run(
            ["bash", "-c", ours],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        return ended.returncode, ended.stdout + ended.stderr

    def compare(self, block: Block, quoted: list[str], printed: str) -> None:
        told = (lambda line: line.strip()) if "exact" in block.marks else shape
        there = {told(line) for line in printed.splitlines()}
        missing = [line for line in quoted if told(line) not in there]
        assert missing == [], f"{block.place}\n{printed}"


def _measure_briefly(patches: pytest.MonkeyPatch) -> None:
    """Let `harness.measure` see a few rows alone, those of a gate."""
    from harness.campaign import settings as of_campaigns

    few = {**of_campaigns.EFFORTS, "quick": gate_campaign.GATE}
    patches.setattr(of_campaigns, "EFFORTS", few)


def is_brief(block: Block) -> bool:
    """Tell whether a block measures fewer rows here than it says."""
    gates = block.language == "console" and "python -m harness gate" in block.text
    return gates or not {"add", "brief", "slow"}.isdisjoint(block.marks)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    slowly = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("documents", slowly)
    settings.load_profile("documents")
    yield tmp_path
    settings.load_profile("tests")
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def run_page(page: Path, session: Session) -> None:
    for block in blocks(page):
        wanted = "skip" not in block.marks and (session.full or "slow" not in block.marks)
        if wanted and block.language in RUN and is_there(block.marks.get("needs", "sh")):
            session.run(block)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[] if name_of(p) in FIRST else [pytest.mark.slow]) for p in SESSIONS],
    ids=name_of,
)
@pytest.mark.usefixtures("folder")
def test_blocks_run(page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run_page(page, Session(monkeypatch, capsys, full=False))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [p for p in SESSIONS if any(map(is_brief, blocks(p)))], ids=name_of)
@pytest.mark.usefixtures("folder")
def test_blocks_run_in_full(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_page(page, Session(monkeypatch, capsys, full=True))


def test_blocks_that_are_not_run_are_counted() -> None:
    skipped = Counter(name_of(page) for page in PAGES for b in blocks(page) if "skip" in b.marks)
    assert skipped == SKIPPED
    assert all(b.marks["skip"] for page in PAGES for b in blocks(page) if "skip" in b.marks)


def test_both_first_commands_are_those_of_continuous_integration() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    first = [command for block in blocks(README) if "skip" in block.marks for command, _ in block.steps()]
    assert len(first) == 2
    assert set(first) <= set(script)


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= 9_000


def test_the_sum_of_the_exponentials_of_the_readme_overflows() -> None:
    x = np.array([10.40625, 10.6015625])
    shares = reference.softmax([*x.tolist(), 0.0])
    assert round(float(1 / shares[2]) - 1) == 73263
    assert reference.FORMATS["float16"].largest < 73263


def test_claims_are_those_of_a_run() -> None:
    page = (ROOT / "docs" / "results" / "claims.md").read_text(encoding="utf-8")
    written = re.search(r"<!-- claims -->\n(.*?)<!-- /claims -->", page, re.DOTALL)
    rows = "".join(f"| {c.id} | {c.statement} | {c.verdict} |\n" for c in evaluate(0))
    assert written is not None
    assert written[1] == f"| # | claim | verdict |\n|--:|---|---|\n{rows}"


MAXIMA_PAGE = (ROOT / "docs" / "results" / "proven-maxima.md").read_text(encoding="utf-8")
MAXIMA = re.findall(
    r"^\| `(\w+)` \| `(\w+)` \| (\d+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|$",
    MAXIMA_PAGE,
    re.MULTILINE,
)
SHIFTED = re.findall(
    r"^\| `(max_shifted|log_softmax_\w+)` \| `(\w+)` \| (\d+) \| [\d.e+]+ \| ([\d,]+) \| ([\d.]+) \|$",
    MAXIMA_PAGE,
    re.MULTILINE,
)
BRACKETS = re.findall(
    r"^\| `([\w-]+)`.*? \| `(\w+)` \| (\d+) \| ([\d.]+) \| ([\d.]+) \| the (.*?) \| ([\d.]+) \|$",
    MAXIMA_PAGE,
    re.MULTILINE,
)


MAXIMA_OF_LOGARITHMS = re.findall(
    r"^\| `(log\w+)` \| `(\w+)` \| (\d+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \|$",
    MAXIMA_PAGE,
    re.MULTILINE,
)


def proven(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> tuple[str, ...]:
    """Return a line of the table of maxima as `exhaust` proves it."""
    candidate, fmt, length, *_ = line
    capsys.readouterr()
    assert cli.run(["exhaust", candidate, f"--format={fmt}", f"--length={length}", "--yes", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    figures = document["figures"]
    assert document["proved"]
    told = tuple(
        f"{figures[name]:.9g}" for name in ("max_ulp", "algorithm_ratio") if figures[name] is not None
    )
    return (candidate, fmt, length, f"{figures['rows']:,}", f"{figures['failed_rows']:,}", *told)


@pytest.mark.parametrize("line", [line for line in MAXIMA if line[2] == "2"], ids=" ".join)
@pytest.mark.usefixtures("folder")
def test_maxima_of_pairs_are_proven(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert proven(line, capsys) == line


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in MAXIMA_OF_LOGARITHMS if line[2] == "2"], ids=" ".join)
@pytest.mark.usefixtures("folder")
def test_maxima_of_logarithms_are_proven(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert proven(line, capsys) == line


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "line", [line for line in (*MAXIMA, *MAXIMA_OF_LOGARITHMS) if line[2] != "2"], ids=" ".join
)
@pytest.mark.usefixtures("folder")
def test_maxima_of_triples_are_proven(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert proven(line, capsys) == line


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("line", [line for line in SHIFTED if line[1] != "float32"], ids=" ".join)
@pytest.mark.usefixtures("folder")
def test_maxima_are_proven_through_the_shift(
    line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert_proven_through_the_shift(line, capsys)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("line", [line for line in SHIFTED if line[1] == "float32"], ids=" ".join)
@pytest.mark.usefixtures("folder")
def test_maxima_of_pairs_are_proven_in_full(
    line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert_proven_through_the_shift(line, capsys)


def assert_proven_through_the_shift(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    candidate, fmt, length, called, maximum = line
    capsys.readouterr()
    arguments = [f"--format={fmt}", f"--length={length}", "--through-shift", "--json"]
    assert cli.run(["exhaust", candidate, *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["proved"]
    assert document["statement"].startswith(f"proved over {called.replace(',', '')} rows: ")
    assert f"{document['figures']['max_ulp']:.9g}" == maximum


@cache
def known_supremum(algorithm: Algorithm, length: int, fmt: FloatFormat) -> Supremum | None:
    return supremum(algorithm, length, fmt, fmt)


def test_upper_ends_are_those_of_the_assumed_bounds() -> None:
    assert BRACKETS
    for candidate, name, length, below, above, assumed, ratio in BRACKETS:
        fmt, kind = FORMATS[name], assumed.partition(" ")[0]
        if kind == "tier":
            algorithm = TIERS[assumed.removeprefix("tier ")].algorithm_for(fmt, int(length))
        else:
            declared = load(candidate).declared(fmt).algorithm
            assert declared is not None
            algorithm = declared
        found = known_supremum(algorithm, int(length), fmt)
        assert found is not None
        assert outward(found.bound, ROUND_CEILING) == above
        assert float(below) < float(above)
        assert 0 < float(ratio) <= 1
