"""The documentation: its links lead somewhere, and the pages that are made of the program hold all of it."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

from harness import cli
from harness.checks import CHECKS
from harness.subject.candidates.libraries import LIBRARIES
from reference.formats import FORMATS
from reports.folder import write
from reports.record.metrics import METRICS
from reports.record.run_folder import DRAWN, GATED, LEDGER, TABULATED
from strategies.corpora import CORPORA
from strategies.regimes import REGIMES
from tests.documents import PAGES, ROOT
from tests.synthetic_run import key, ledger_at, tally_of

DOCS = ROOT / "docs"
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", DOCS / "hooks" / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generated"] = module
    spec.loader.exec_module(module)
    return module


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as MkDocs and GitHub make them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_links_lead_somewhere(hook: ModuleType) -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    texts |= {DOCS / path: made() for path, made in hook.PAGES.items()}
    broken = []
    for page, text in texts.items():
        for target, _, anchor in (link.partition("#") for link in _LINK.findall(text)):
            file = (page.parent / target).resolve() if target else page
            if target.startswith("https://"):
                continue
            lacks = anchor and anchor not in anchors(texts.get(file, ""))
            if lacks or not (file in texts or file.exists()):
                broken.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")
    assert broken == []


def test_the_readme_links_to_nothing_that_a_build_makes(hook: ModuleType) -> None:
    links = _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 10
    assert not {link.partition("#")[0].removeprefix("docs/") for link in links} & set(hook.PAGES)


def test_every_command_and_option_is_documented(hook: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    page = hook.commands()
    assert len(cli.app.registered_commands) > 10
    for command in cli.app.registered_commands:
        assert cli.run([str(command.name), "--help"]) == 0
        options = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)) - {"--help"}
        section = page.partition(f"\n## {command.name}\n")[2].partition("\n## ")[0]
        assert set(re.findall(r"`(--[a-z-]+)[ `]", section)) == options, command.name


def test_every_column_check_regime_and_format_is_documented(hook: ModuleType) -> None:
    pages = {
        hook.columns(): METRICS,
        hook.checks(): [check.name for check in CHECKS],
        hook.rows(): [*REGIMES, *CORPORA, *FORMATS],
    }
    for page, names in pages.items():
        assert [name for name in names if f"| `{name}` |" not in page] == []


def test_every_file_and_key_of_a_run_folder_is_documented(tmp_path: Path) -> None:
    page = (DOCS / "reference" / "run-folder.md").read_text(encoding="utf-8")
    with ledger_at(tmp_path, key()) as ledger:
        ledger.record("s", {key(): tally_of(key(), [1.0, 2.0])}, 0.0)
    write(tmp_path)
    lines = (tmp_path / "witnesses.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines
    told = [
        *DRAWN, *GATED, *TABULATED, LEDGER,
        *json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")),
        *json.loads(lines[0]),
    ]  # fmt: skip
    assert [name for name in told if f"`{name}`" not in page] == []


def test_every_page_is_in_the_navigation(hook: ModuleType) -> None:
    named = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    there = {str(page.relative_to(DOCS)) for page in PAGES if page.is_relative_to(DOCS)}
    assert named == there | set(hook.PAGES)


@pytest.mark.slow
def test_the_site_is_built_and_fetches_nothing(tmp_path: Path) -> None:
    build = pytest.importorskip("mkdocs.commands.build")
    config = pytest.importorskip("mkdocs.config").load_config(
        str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True
    )
    build.build(config)
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    fetched = re.compile(r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^\"> ]*")
    assert [found for page in pages for found in fetched.findall(page.read_text(encoding="utf-8"))] == []
    styles = "".join(file.read_text(encoding="utf-8") for file in tmp_path.rglob("*.css"))
    assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", styles)
    assert [link for page in pages for link in dead_links(page, tmp_path)] == []


def dead_links(page: Path, site: Path) -> list[str]:
    """The links of a built page, as a browser resolves them, that lead to no file or no element of it."""
    text = page.read_text(encoding="utf-8")
    dead = []
    for link in re.findall(r"<(?:a|link|img|script)\b[^>]*?(?:href|src)=[\"']?([^\"' >]+)", text):
        target, _, anchor = unquote(html.unescape(link)).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        base = site if page.name == "404.html" else page.parent
        file = (base / target.removeprefix("/")).resolve() if target else page
        file = file / "index.html" if file.is_dir() else file
        there = file.read_text(encoding="utf-8") if file.suffix == ".html" and file.exists() else ""
        lacks = anchor and not re.search(rf"\bid=[\"']?{re.escape(anchor)}[\"' >]", there)
        if not file.exists() or lacks:
            dead.append(f"{page.relative_to(site)}: {link}")
    return dead


def test_a_dead_link_of_a_built_page_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h1 id="here"></h1>')
    page = tmp_path / "index.html"
    page.write_text(
        '<a href="a/#here"></a><a href="a/#gone"></a><img src=no.png><a href="https://x.org/#y"></a>'
    )
    assert dead_links(page, tmp_path) == ["index.html: a/#gone", "index.html: no.png"]


# The anatomy of libraries ----------------------------------------------------------------------

ANATOMY = re.findall(
    r"^\| (\S+) (\S+) \| (.*) \|$",
    (DOCS / "results" / "anatomy.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def test_the_anatomy_of_libraries_is_of_libraries_that_there_are() -> None:
    page = (DOCS / "results" / "anatomy.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (.*)$", page, re.MULTILINE)) <= FORMATS.keys()
    assert len(ANATOMY) > 8
    assert {name for name, _, _ in ANATOMY} <= LIBRARIES.keys()
    assert all(len(cells.split(" | ")) == 7 for _, _, cells in ANATOMY)


@pytest.mark.slow
def test_a_line_of_the_anatomy_is_made_by_its_command() -> None:
    spec = importlib.util.spec_from_file_location("make_anatomy", DOCS / "results" / "make_anatomy.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    sys.modules["make_anatomy"] = maker
    spec.loader.exec_module(maker)
    name, version, own = next(line for line in ANATOMY if line[0] == "scipy")
    if LIBRARIES[name].version() != version:
        pytest.skip(f"the page is of {name} {version}")
    table = (
        (DOCS / "results" / "anatomy.md").read_text(encoding="utf-8").split("## float16")[1].split("\n## ")[0]
    )
    in_most = dict(re.findall(r"^- (\w+): (.*)$", table, re.MULTILINE))
    made = maker.cells(maker.explained(("float16", name)))
    for (column, clauses), said in zip(made.items(), own.split(" | "), strict=True):
        on_page = [*in_most.get(column, "").split("; "), *said.split("; ")]
        assert set(clauses) <= set(on_page), column
        assert not said or set(said.split("; ")) <= set(clauses), column
