# ruff: noqa: INP001 - a hook of MkDocs beside its pages, no module of a package
"""The reference pages that are made of the program itself when the documentation is built."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo

from harness import cli
from harness.campaign.settings import EFFORTS
from harness.checks import CHECKS
from harness.commands.causes import SECONDS
from harness.explanation import CODES
from harness.explanation.allowance import MOST
from harness.explanation.cause import ACCOUNTED, SOUND
from harness.explanation.lengths import EVERY
from harness.explanation.prediction import FRESH, LONGEST
from harness.explanation.questions import TIMED
from reference.formats import FORMATS
from reports.record.frames import KEY, RATES, WITNESSES, Column
from reports.record.metrics import METRICS, Unit, documented
from reports.record.witness_kinds import WITNESS_KINDS
from strategies.corpora import CORPORA
from strategies.regimes import REGIMES

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

__all__ = ["PAGES", "on_files", "on_page_markdown"]

UNITS: Final = {
    "": "a name, or yes or no",
    "entries": "a count of entries of a row",
    "rows": "a count of rows",
    "elements": "a count of outputs",
    "ULP": "an error in units in the last place of the exact result",
    "bound": "an error divided by its bound; above 1 the bound is broken",
    "sum": "a difference of sums of a row's outputs",
    "share": "good outputs divided by all outputs, from 0 to 1",
    "rate": "rows or outputs with the event divided by all of them, from 0 to 1",
}
"""What a column is given in, for people."""


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(headings)
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |\n" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


# Commands --------------------------------------------------------------------------------------


def commands() -> str:
    """Return the page of every command, argument and option."""
    return "".join(
        [
            "# Commands\n\n",
            "This page is made from the program. `softmax-harness` and `python -m harness` are the same",
            " program. The [exit codes](exit-codes.md) are the same for every command.\n\n",
            "Options that you give override the table `[tool.harness]` of the nearest `pyproject.toml`;",
            " the table overrides the defaults.\n",
            *(_command(str(c.name), c.callback) for c in cli.app.registered_commands),
        ]
    )


def _command(name: str, function: Any) -> str:
    given = list(_parameters(function))
    arguments = [p for p in given if isinstance(p.info, ArgumentInfo)]
    usage = " ".join(["python -m harness", name, *(p.spelled for p in arguments), "[OPTIONS]"])
    options = [p for p in given if p not in arguments]
    rows = ([f"`{p.spelled}`", _sentence(p.info.help or ""), p.shown_default] for p in (*arguments, *options))
    table = _table(["argument or option", "what it does", "default"], rows)
    return f"\n## {name}\n\n```text\n{usage}\n```\n\n{inspect.getdoc(function)}\n\n{table}"


@dataclass(frozen=True)
class _Parameter:
    """One parameter of a command's function, with its Typer annotation."""

    name: str
    types: tuple[type, ...]
    info: Any
    default: Any

    @property
    def spelled(self) -> str:
        if isinstance(self.info, ArgumentInfo):
            name = self.name.upper() + (" ..." if list in self.types else "")
            return name if self.default is inspect.Parameter.empty else f"[{name}]"
        declared = (self.info.default, *(self.info.param_decls or ()), f"--{self.name.replace('_', '-')}")
        flag = next(text for text in declared if isinstance(text, str) and text.startswith("--"))
        [value] = [t for t in self.types if t is not list][:1]
        return flag if value is bool else f"{flag} {_VALUES[value]}"

    @property
    def shown_default(self) -> str:
        is_value = isinstance(self.default, (str, int, float)) and not isinstance(self.default, bool)
        return f"`{self.default}`" if is_value else ""


_VALUES: Final = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}


def _parameters(function: Any) -> Iterator[_Parameter]:
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        hint, info = get_args(hints[name])
        yield _Parameter(name, tuple(_plain(hint)), info, parameter.default)


def _plain(hint: Any) -> Iterator[type]:
    """Yield the types that a hint such as `list[str] | None` is made of, but for None."""
    if isinstance(hint, type) and hint is not NoneType and not get_args(hint):
        yield hint
    elif get_origin(hint) is list:
        yield list
    for part in get_args(hint):
        yield from _plain(part)


def _sentence(text: str) -> str:
    return " ".join(text.split())


# Columns ---------------------------------------------------------------------------------------


def columns() -> str:
    """Return the page of every column of the table of cells."""
    assert set(UNITS) == set(get_args(Unit)), "every unit is explained"
    meanings = dict(documented())
    rows = [
        [
            _code(metric.name),
            meanings[metric.name],
            metric.unit,
            metric.dtype,
            {"less": "lower", "more": "higher", None: ""}[metric.better],
            _code(metric.shown_by),
        ]
        for metric in METRICS.values()
    ]
    units = _table(["unit", "meaning"], ([unit, text] for unit, text in UNITS.items() if unit))
    return (
        "# Columns\n\n"
        "`cells.parquet`, `cells.csv`, the `cells` of `summary.json`, and `Run.cells` have these columns."
        " One line is one cell: one candidate, op, format, output format, regime and length."
        " This page is made from the program.\n\n"
        "`r` is the exact result, and RN(r) the nearest number of the output format: see"
        " [Definitions](../definitions.md). A figure is empty where nothing was measured to give it.\n\n"
        f"{_table(['column', 'meaning', 'unit', 'type', 'better', 'witness'], rows)}\n"
        f"## Units\n\n{units}\n"
        "**better** says whether a lower or a higher figure is better; a budget may limit these columns."
        " **witness** names the [kind of witness](checks.md#kinds-of-witness) that shows the figure.\n\n"
        "## In pandas\n\n"
        "[`harness.load`](python.md#open-a-run) returns a run as three tables."
        f" They share the six columns that name a cell: {', '.join(map(_code, KEY))}."
        " Counts are `Int64` there, and columns of few values, such as `candidate`, are `category`.\n\n"
        "`.cells` has the columns above.\n\n"
        f"### Witnesses\n\n`.witnesses` has one row per witness. A small row may have"
        f" fewer entries than its `length`, which is that of the row it stands for.\n\n"
        f"{_of_pandas(WITNESSES)}\n"
        f"### Rates\n\n`.rates` has one row per rate of a cell. Trials are rows with an exact result,"
        f" elements with RN(r) not 0, or for `unavoidable_underflow_rate` elements with r > 0.\n\n"
        f"{_of_pandas(RATES)}"
    )


def _of_pandas(columns: Iterable[Column]) -> str:
    rows = ([_code(c.name), c.meaning, _code(c.dtype)] for c in columns)
    return _table(["column", "meaning", "dtype"], rows)


# Rows ------------------------------------------------------------------------------------------


def rows() -> str:
    """Return the page of formats, regimes, corpora and efforts."""
    formats = (
        [
            _code(f.name),
            str(f.precision),
            str(f.emin),
            str(f.emax),
            "yes" if f.has_infinity else "no",
            "yes" if f.has_negative_zero else "no",
        ]
        for f in FORMATS.values()
    )
    efforts = (
        [
            _code(e.name),
            f"{e.elements:,}",
            f"{e.least_rows:,} to {e.most_rows:,}",
            ", ".join(f"{n:,}" for n in e.lengths[:12]) + (", ..." if len(e.lengths) > 12 else ""),
        ]
        for e in EFFORTS.values()
    )
    named = (
        ("Regimes", "A regime is a named family of rows. `--regime NAME` selects one.", REGIMES.values()),
        ("Corpora", "A corpus holds fixed rows. `--regime NAME` selects it too.", CORPORA.values()),
    )
    return (
        "# Formats, regimes and efforts\n\nThis page is made from the program;"
        " `python -m harness list` prints the same.\n\n## Formats\n\n"
        + _table(["format", "precision", "emin", "emax", "infinity", "-0"], formats)
        + "".join(
            f"\n## {title}\n\n{text}\n\n{_table(['name', 'rows'], ([_code(r.name), r.title] for r in table))}"
            for title, text, table in named
        )
        + "\n## Efforts\n\n`--effort NAME` says how many rows each cell gets.\n\n"
        + _table(["effort", "entries of a cell, about", "rows of a cell", "lengths"], efforts)
    )


# Checks ----------------------------------------------------------------------------------------


def checks() -> str:
    """Return the page of the checks and of the kinds of witness."""
    asked = ([_code(c.name), c.title, c.rule] for c in CHECKS if c.kind == "contract")
    properties = ([_code(c.name), c.title, c.rule, c.consequence] for c in CHECKS if c.kind == "property")
    kinds = ([_code(k.name), k.meaning] for k in WITNESS_KINDS.values())
    return (
        "# Checks and witnesses\n\nThis page is made from the program.\n\n"
        "## The contract\n\nUsers of a softmax rely on these clauses. The gate fails where one is broken.\n\n"
        + _table(["check", "asks for", "rule"], asked)
        + "\n## Properties\n\nA sound softmax may break a property, by the order of its operations alone."
        " A run reports it; the gate does not fail for it.\n\n"
        + _table(["check", "asks for", "rule", "how a sound softmax may break it"], properties)
        + "\n## Kinds of witness\n\n"
        "A witness is one row, bit for bit, that shows a defect or a greatest figure. The gravest kind stands"
        " first.\n\n" + _table(["kind", "what it shows"], kinds)
    )


# Files beside the documentation ------------------------------------------------------------------

ROOT: Final = Path(__file__).resolve().parents[2]


def _copied(name: str) -> Callable[[], str]:
    return lambda: (ROOT / name).read_text(encoding="utf-8")


# Explanations ----------------------------------------------------------------------------------


def explain() -> str:
    """Return the guide to `explain`, with every cause."""
    causes = _table(["code", "what it stands for"], ([_code(code), said] for code, said in CODES.items()))
    return f"""# Why a softmax is wrong

`python -m harness explain CANDIDATE` finds out from outside what a softmax does. It never reads the code. It
calls the function with short rows of chosen values, and every row answers one question. It prints two things.

**The cause.** The candidate is held to a tier: `fast`, or the one of `--tier`. Where rows fail, the program
computes what a softmax with each of many faults would return. A fault is named as the cause if its outputs
agree with at least {ACCOUNTED:.0%} of the failing rows and {SOUND:.0%} of the sound ones. Of two faults that
agree equally well, the program names the one that predicts far more outputs bit for bit. Where no fault
agrees, or two cannot be told apart, the answer is `unexplained`.

Before that it calls the same rows again and again, and the same rows alone. If outputs depend on chance, on
earlier calls or on the rows beside, that is the cause. Where only some lengths are wrong, it tries every
length up to {EVERY} and some longer ones. The answer then says what the wrong lengths have in common, such as
*where n is not divisible by 4*, if no sound length has it too. Where no row fails in a plain call, it tries
the other clauses of the contract: axes, strides, place in memory, threads, large calls.

If one policy accepts all of the violations, the line ends with it, for example `--policy subnormals=flush`.

A softmax is slow if a call of three rows of {TIMED:,} entries takes more than a thousandth of a second. It is
tried at fewer lengths and in no other layouts, and the answer says so. Before that, a line says how long such
a call takes, and that at most {MOST:,} calls follow.

**The parts.** `shift`, `exp`, `sum`, `divide`, `output` and `dependence` are each *observed*, *not visible*
in this format or behind another fault, or *contradictory*. The number of rows tried stands behind each. The
order of additions is found exactly for short rows. It gets a name only if the name also holds at lengths that
did not suggest it.

**The test of the parts.** If every part was observed, in float32 and float64, the program predicts from the
parts the outputs of {FRESH} fresh rows of up to {LONGEST} entries. It prints the share that is right bit for
bit. `--fresh N` takes another number of rows.

`--json` prints the same as one document; `--length N` adds a length. With two such
documents, `compare BEFORE.json AFTER.json` names the parts that changed.

## A declaration made for you

`--declare` prints the `declares` that the parts support: what is exponentiated, how wrong exp is, the order
and the significand of the sum, the division. Paste it beside the function, and the harness holds every row
against that algorithm too (`algorithm_ratio`). The declaration is first tested on rows of every regime. If a
row breaks it, or a part was not observed, the command prints only the reason.

## In a gate and a run

A `gate` that fails and a `run` with failed rows print the cause first, in a line for each candidate and
format. They look for it after everything is measured and judged, for {SECONDS:g} seconds in all at most, or
for what is left of `--max-time`. A candidate that hangs or dies meanwhile gets no cause, and its verdict
stays as it was. `--no-explain`, or the environment variable `SOFTMAX_HARNESS_NO_EXPLAIN=1`, leaves it out.
The JSON document of a gate has the causes as `causes`.

## How often it is right

`python -m harness selftest --explain` plants known defects and looks for the cause of each. It counts how
many are named rightly, how many wrongly and how many not at all, format by format, and which honest kernels
are given a cause. `--format` takes one format, and `--mechanism` one part of a softmax, such as `sum`;
`honest` stands for the kernels without a defect. The tests of the project require this in each format: at
least 95 of 100 planted defects are named rightly, at most one wrongly, and no honest kernel is given a cause.

[Three bug reports](explain-reports.md) shows the answers to three defects of real libraries.

## Causes

This table is made from the program.

{causes}"""


# The notebook ------------------------------------------------------------------------------------


def notebook() -> str:
    """Return the notebook as a page: its text, its code, and what its cells showed."""
    cells = json.loads((ROOT / "docs" / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    title, *parts = (_notebook_part(cell) for cell in cells)
    file = Path(NOTEBOOK).name
    return "\n\n".join([title, f"This page is the notebook [{file}]({file}).", *parts, ""])


def _notebook_part(cell: Any) -> str:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return text
    shown = "".join(line for output in cell["outputs"] for line in output["data"]["text/plain"])
    return f"```python\n{text}\n```" + (f"\n\n```text\n{shown}\n```" if shown else "")


NOTEBOOK: Final = "guides/notebook.ipynb"

PAGES: Final[dict[str, Callable[[], str]]] = {
    "changelog.md": _copied("CHANGELOG.md"),
    "results/findings.md": _copied("FINDINGS.md"),
    "reference/commands.md": commands,
    "reference/columns.md": columns,
    "reference/rows.md": rows,
    "reference/checks.md": checks,
    "guides/explain.md": explain,
    "guides/notebook.md": notebook,
}
"""Every generated page, by its path in the documentation."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that are written."""
    from mkdocs.structure.files import File

    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files


WIDE: Final = frozenset({"results/libraries.md", "results/logarithms.md", "reference/columns.md"})
"""Pages whose tables need the room of the table of contents."""


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Leave the table of contents out of wide pages."""
    if page.file.src_uri in WIDE:
        page.meta["hide"] = ["toc"]
    return markdown
