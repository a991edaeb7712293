# ruff: noqa: INP001 - a script beside its page, no module of a package
"""Say what the softmax of each installed library is made of: `python docs/results/make_anatomy.py [SECONDS]`.

Each line is `python -m harness explain LIBRARY --format FORMAT --json`, in a process of its own. What it
prints is kept in harness-out/anatomy, so that the command goes on where it was interrupted, and takes up what
was not finished. The page is written anew after each line. A library in a format may take so many seconds;
one that compiles for every shape may take half an hour.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from harness.subject.candidates.libraries import LIBRARIES

PAGE = Path(__file__).with_name("anatomy.md")
FORMATS = ("float16", "float32", "float64", "bfloat16")
PARTS = ("shift", "exp", "sum", "divide", "output", "dependence")
KEPT = Path("harness-out") / "anatomy"
SECONDS = 900.0
"""What one library in one format may take by default."""

Found = Mapping[str, Any]

INTRO = """---
hide: [toc]
---

# Anatomy of libraries

What is the softmax of a library made of? `explain` calls it with rows made for the purpose, and never reads
its code. One command made this page, on an x86-64 processor, from the libraries installed there:

<!-- test: skip, it takes an hour and every library -->
```console
$ python docs/results/make_anatomy.py {seconds}
```

Each line is one `python -m harness explain LIBRARY --format FORMAT`. What most libraries have in common
stands above the table, and a cell says only what is different. A part is *observed* unless its cell says
*not visible* or *contradictory*; [Why a softmax is wrong](../guides/explain.md) explains the words. The
column **tier** says whether any of the rows misses the tier, and for what cause. Beneath the table stand the
libraries that have no line, and why.
"""


def main() -> None:
    """Write the page, a line at a time."""
    seconds = float(sys.argv[1]) if sys.argv[1:] else SECONDS
    named = {name: library for name, library in LIBRARIES.items() if not library.lacks()}
    asked = [(fmt, name) for fmt in FORMATS for name in named]
    found: dict[tuple[str, str], Found] = {}
    with ThreadPoolExecutor(3) as pool:
        for pair, document in zip(asked, pool.map(partial(explained, seconds=seconds), asked), strict=True):
            found[pair] = document
            titles = {name: f"{name} {library.version()}" for name, library in named.items()}
            PAGE.write_text("".join(page(titles, found, seconds)), encoding="utf-8")


def explained(pair: tuple[str, str], seconds: float = SECONDS) -> Found:
    """Return the document of `explain`, or why there is none."""
    fmt, name = pair
    kept = KEPT / f"{name}-{LIBRARIES[name].version()}-{fmt}.json"
    if kept.exists():
        finished: Found = json.loads(kept.read_text(encoding="utf-8"))
        return finished
    command = [sys.executable, "-m", "harness", "explain", name, "--format", fmt, "--json"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 - ours
    except subprocess.TimeoutExpired:
        return {"missing": f"not finished in {seconds:g} s"}
    if ended.returncode:
        said = ended.stderr.strip().splitlines()[-1].removeprefix("error: ")
        return {"missing": said.partition(" (")[0]}
    document: Found = json.loads(ended.stdout)
    KEPT.mkdir(parents=True, exist_ok=True)
    kept.write_text(ended.stdout, encoding="utf-8")
    return document


def page(titles: Mapping[str, str], found: Mapping[tuple[str, str], Found], seconds: float) -> Iterator[str]:
    """Yield the text of the page: a table for each format.

    Args:
        titles: libraries and versions by name.
        found: documents by format and library.
        seconds: what one of them might take.
    """
    yield INTRO.format(seconds=f"{seconds:g}")
    for fmt in dict.fromkeys(fmt for fmt, _ in found):
        here = {name: document for (of, name), document in found.items() if of == fmt}
        lines = {
            titles[name]: cells(document) for name, document in here.items() if "missing" not in document
        }
        columns = ("tier", *PARTS)
        most = {column: in_most([line[column] for line in lines.values()]) for column in columns}
        yield f"\n## {fmt}\n\n"
        yield from (f"- {column}: {'; '.join(most[column])}\n" for column in columns if most[column])
        yield f"\n| library | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}\n"
        for title, line in lines.items():
            own = ("; ".join(clause for clause in line[c] if clause not in most[c]) for c in columns)
            yield f"| {' | '.join(cell.replace('|', '/') for cell in (title, *own))} |\n"
        missing = {name: str(d["missing"]) for name, d in here.items() if "missing" in d}
        if missing:
            yield "\nNo line:\n\n" + "".join(f"- {name}: {why}\n" for name, why in missing.items())


def in_most(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return the clauses that more than half of the cells hold, in their order."""
    held = Counter(clause for cell in cells for clause in cell)
    return [clause for clause, count in held.items() if 2 * count > len(cells)]


def cells(document: Found) -> dict[str, list[str]]:
    """Return the clauses of each column of a line."""
    parts = {part["part"]: part for part in document["parts"]}
    states = {
        name: "" if part["state"] == "observed" else f"{part['state']}: " for name, part in parts.items()
    }
    texts = {name: (states[name] + parts[name]["text"]).split("; ") for name in PARTS}
    return {"tier": [verdict(document)], **texts}


def verdict(document: Found) -> str:
    """Return whether rows miss the tier, and why."""
    cause = document["cause"]
    violations, rows = document["violations"], document["rows_tried"]
    if not violations:
        return f"no row of {rows:,} misses {document['tier']}"
    why = f"{cause['code']}: {cause['sentence']}" if cause else "unexplained"
    return f"{violations:,} of {rows:,} rows miss {document['tier']}: {why}"


if __name__ == "__main__":
    main()
