# ruff: noqa: INP001 - a script beside its page, no module of a package
"""Prove and bracket maxima, of libraries too: `python docs/results/make_proven_maxima.py [SECONDS]`.

Each line is one `python -m harness exhaust`, in a process of its own. Its run is kept in harness-out/maxima,
so that the command goes on where it was interrupted, and takes up what was not finished. A line may take so
many seconds. The page is written anew after each.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR
from pathlib import Path
from typing import Any, Final

from harness.exhaust import Enumeration
from harness.exhaust.bracket import outward
from harness.subject.candidates.libraries import LIBRARIES
from reference.formats import FORMATS
from reference.ops import LOG_SOFTMAX

PAGE = Path(__file__).with_name("proven-maxima.md")
RUNS = Path("harness-out") / "maxima"
SECONDS = 600.0
"""What one line may take by default."""

BUILT_IN: Final = "max_shifted"
CALLED: Final = (
    (BUILT_IN, "float8_e4m3fn", 2),
    (BUILT_IN, "float8_e5m2", 2),
    ("naive", "float8_e4m3fn", 2),
    ("naive", "float8_e5m2", 2),
    (BUILT_IN, "float8_e4m3fn", 3),
    (BUILT_IN, "float8_e5m2", 3),
    ("naive", "float8_e5m2", 3),
)
"""Built-in candidates of which every row is called."""

LOGARITHMS: Final = tuple(
    (name, fmt, length)
    for length in (2, 3)
    for name in ("log_softmax_shifted", "log_softmax_log1p", "logsumexp_shifted", "logsumexp_log1p")
    for fmt in ("float8_e4m3fn", "float8_e5m2")
)

FOURS: Final = tuple((BUILT_IN, fmt, 4) for fmt in FORMATS if fmt.startswith("float8"))
PAIRED: Final = ("float32", "float16", "bfloat16")
LOG_FORMS: Final = ("log_softmax_shifted", "log_softmax_log1p")
PAIR: Final = 2
BRACKETED: Final = (
    ("float64", 2),
    ("float32", 8),
    ("float32", 64),
    ("bfloat16", 64),
    ("float32", 1024),
    ("bfloat16", 1024),
)

FLUSHING: Final = ("jax-jit", "onnxruntime")
"""Those that flush subnormal results to zero, which is excused."""

WIDE: Final = ("torch",)
"""Those that work in binary32 inside in formats of few bits, so that more than `standard` can be assumed."""

WIDE_BITS: Final = 16

SHOWN: Final = ("scipy", "torch", "jax-jit", "onnxruntime", "sklearn")
"""The libraries of which there are lines, where they are installed."""

Asked = tuple[str, str, int]


@dataclass(frozen=True)
class Found:
    """The document of a line, or why it has none."""

    document: Mapping[str, Any] | None
    missing: str = ""


def main() -> None:
    """Prove one line after the other, and write the page after each."""
    seconds = float(sys.argv[1]) if sys.argv[1:] else SECONDS
    libraries = {name: str(LIBRARIES[name].version()) for name in SHOWN if not LIBRARIES[name].lacks()}
    brackets = tuple((name, fmt, n) for fmt, n in BRACKETED for name in (BUILT_IN, *libraries))
    shifted = (*FOURS, *pairs_of(libraries))
    found: dict[Asked, Found] = {}
    for asked in (*CALLED, *LOGARITHMS, *brackets, *shifted):
        found[asked] = proved(asked, seconds)
        sys.stderr.write(f"{' '.join(map(str, asked))}: {found[asked].missing or 'done'}\n")
        PAGE.write_text("".join(page(found, libraries, brackets, shifted, seconds)), encoding="utf-8")


def pairs_of(libraries: Mapping[str, str]) -> Iterator[Asked]:
    """Yield the pairs to prove through the shift, of built-in candidates and of libraries."""
    for fmt in PAIRED:
        yield from ((name, fmt, 2) for name in (BUILT_IN, *LOG_FORMS))
        for name in libraries:
            yield name, fmt, 2
            if LIBRARIES[name].has(LOG_SOFTMAX):
                yield f"{name}:{LOG_SOFTMAX}", fmt, 2


def proved(asked: Asked, seconds: float) -> Found:
    """Return what `exhaust` proves or brackets, from a kept run where it was finished before."""
    name, fmt, length = asked
    name, _, op = name.partition(":")
    folder = RUNS / "-".join(part for part in (name, op, fmt, str(length)) if part)
    command = [sys.executable, "-m", "harness", "exhaust", name, "--format", fmt, "--length", str(length)]
    command += ["--yes", "--json", "--out", str(folder)]
    if op:
        command += ["--op", op]
    if fmt in PAIRED and length == PAIR:
        command.append("--through-shift")
    if (fmt, length) in BRACKETED and name in WIDE and FORMATS[fmt].storage_bits <= WIDE_BITS:
        command += ["--tier", "wide"]
    if name in FLUSHING:
        command += ["--policy", "subnormals=flush"]
    if (folder / "run.sqlite").exists():
        command.append("--resume")
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 - ours
    except subprocess.TimeoutExpired:
        return Found(None, f"not finished in {seconds:g} s")
    if ended.returncode:
        return Found(None, reason(ended.stderr.strip().splitlines()[-1]))
    return Found(json.loads(ended.stdout))


def reason(message: str) -> str:
    """Return the beginning of an error that says why there is no line, without the rows that show it."""
    said = message.removeprefix("error: ")
    for end in (
        " (NotImplemented",
        ": x = [",
        ": x: ",
        ": [",
        "; name a --tier",
        "; give another",
        "; use search",
    ):
        said = said.partition(end)[0]
    return said.rstrip(":")


# The page ----------------------------------------------------------------------------------


def page(
    found: Mapping[Asked, Found],
    libraries: Mapping[str, str],
    brackets: tuple[Asked, ...],
    shifted: tuple[Asked, ...],
    seconds: float,
) -> Iterator[str]:
    """Yield the text of the page.

    Args:
        found: documents by candidate, format and length; those that lack are left out.
        libraries: versions by the names of libraries.
        brackets: which lines are brackets.
        shifted: which lines are proofs through the shift.
        seconds: what a line might take.
    """
    yield INTRO.format(seconds=f"{seconds:g}")
    yield CALLED_HEAD
    for name, fmt, length, document in lines(found, CALLED):
        figures = document["figures"]
        counts = f"{figures['rows']:,} | {figures['failed_rows']:,}"
        ratio = "" if figures["algorithm_ratio"] is None else f"{figures['algorithm_ratio']:.9g}"
        yield f"| `{name}` | `{fmt}` | {length} | {counts} | {figures['max_ulp']:.9g} | {ratio} |\n"
    yield CALLED_TEXT
    yield LOGARITHMS_HEAD
    for name, fmt, length, document in lines(found, LOGARITHMS):
        figures = document["figures"]
        counts = f"{figures['rows']:,} | {figures['failed_rows']:,}"
        yield f"| `{name}` | `{fmt}` | {length} | {counts} | {figures['max_ulp']:.9g} |\n"
    yield LOGARITHMS_TEXT
    yield SHIFT_HEAD
    for name, fmt, length, document in lines(found, shifted):
        called, maximum = int(document["statement"].split()[2]), document["figures"]["max_ulp"]
        rows = Enumeration(FORMATS[fmt], length, unordered=length == 2, one_zero=True).rows
        title = named(name, libraries)
        yield f"| {title} | `{fmt}` | {length} | {rows:.3g} | {called:,} | {maximum:.9g} |\n"
    yield from missing(found, shifted, libraries)
    yield BRACKET_TEXT
    yield BRACKET_HEAD
    for name, fmt, length, document in lines(found, brackets):
        ends, title = document["bracket"], named(name, libraries)
        between = f"{outward(ends['below'], ROUND_FLOOR)} | {outward(ends['above'], ROUND_CEILING)}"
        held = f"{ends['assumed']} | {ends['greatest_bound_ratio']:.3f}"
        yield f"| {title} | `{fmt}` | {length} | {between} | {held} |\n"
    yield from missing(found, brackets, libraries)
    yield END


def lines(
    found: Mapping[Asked, Found], asked: tuple[Asked, ...]
) -> Iterator[tuple[str, str, int, Mapping[str, Any]]]:
    """Yield the lines of a table that there are."""
    for name, fmt, length in asked:
        line = found.get((name, fmt, length))
        if line is not None and line.document is not None:
            yield name, fmt, length, line.document


def missing(
    found: Mapping[Asked, Found], asked: tuple[Asked, ...], libraries: Mapping[str, str]
) -> Iterator[str]:
    """Yield which lines a table lacks, and why."""
    lacking = [(line, found[line].missing) for line in asked if line in found and found[line].missing]
    if lacking:
        yield "\nNo line:\n\n"
    for (name, fmt, length), why in lacking:
        yield f"- {named(name, libraries)}, `{fmt}`, length {length}: {why}.\n"


def named(name: str, libraries: Mapping[str, str]) -> str:
    """Return a candidate with its version and op."""
    library, _, op = name.partition(":")
    version = f" {libraries[library]}" if library in libraries else ""
    flushing = ", `subnormals=flush`" if library in FLUSHING else ""
    return f"`{library}`{version}{f' `{op}`' if op else ''}{flushing}"


INTRO: Final = """# Proven maxima

For small formats the program calls every row. So the greatest error is proven, for this implementation and
processor. Each line of a table is one command, such as

<!-- test: exact -->
```console
$ python -m harness exhaust max_shifted --format float8_e5m2 --length 2
proved over 30628 rows: every unordered float8_e5m2 pair of finite numbers, -0 and +0 as one
...
greatest ULP error: 5.95660653
greatest error over the standard tier's bound for that row: 11.913139
greatest error over the declared algorithm's bound: 0.769240955
...
```

One command made all tables of this page, on an x86-64 processor, from the libraries installed there:

<!-- test: skip, it takes hours and every library -->
```console
$ python docs/results/make_proven_maxima.py {seconds}
```

"""

CALLED_HEAD: Final = """\
| candidate | format | length | rows | failed rows | greatest ULP error | error over its declared bound |
|---|---|--:|--:|--:|--:|--:|
"""

CALLED_TEXT: Final = """
`max_shifted` is the max-shifted form, and `naive` is exp(x)/sum(exp(x)), op by op in the format, in NumPy
and ml_dtypes. The last column is the greatest error over the a-priori bound of the algorithm that the
candidate declares. All are below 1, so no bound was broken.

- In float8 a softmax op by op may be several ULP off, even of two entries. Tiers ask for binary32 inside
  there.
- A row that overflows to NaN has no ULP error, so the column of errors leaves it out. The column of failed
  rows counts it.

All 2 015 331 328 float16 pairs of `max_shifted` have a greatest error of 8.66 ULP, in two and a half
minutes on two cores:

<!-- test: skip, it takes minutes -->
```console
$ python -m harness exhaust max_shifted --format float16 --length 2
```

## log_softmax and logsumexp

"""

LOGARITHMS_HEAD: Final = """\
| candidate | format | length | rows | failed rows | greatest ULP error |
|---|---|--:|--:|--:|--:|
"""

LOGARITHMS_TEXT: Final = """
`shifted` takes the logarithm of the sum, and `log1p` that of 1 + the sum of the others, op by op in the
format as above. The failed rows are those of which x - max leaves `float8_e4m3fn`. Where a logsumexp
cancels to near 0, both forms are many ULP off.

`exhaust` calls all float16 pairs of the two ops too. For `logsumexp_shifted` their greatest error is
10478.195 ULP, in a quarter of an hour on two cores. `--resume` goes on where it was interrupted.

<!-- test: skip, it takes a quarter of an hour -->
```console
$ python -m harness exhaust logsumexp_shifted --format float16 --length 2
```

## Through the shift

A softmax or log_softmax that subtracts the maximum sees the rounded differences of a row alone. So a few
rows for each of these prove the greatest error over all rows. The command checks bit by bit that the
candidate does so, and says that it assumes it. Rows that overflow have no error.

`subnormals=flush` excuses a zero where the exact result lies below the least normal number. The table has
the error of such a zero all the same: in float32 it is less than 2^23 = 8388608 ULP. Greater errors are those
of normal results that the candidate gives as zero. The policy does not excuse these.

"""

SHIFT_HEAD: Final = """\
| candidate | format | length | rows | rows called | greatest ULP error |
|---|---|--:|--:|--:|--:|
"""

BRACKET_TEXT: Final = """
## Brackets

Here there are too many rows for a proof. A row that a search found has the lower figure. No row has an
error above the upper figure, as long as the candidate keeps, in every row, the a-priori bound in the column
*assumed*. Where a library flushes subnormal results to zero, `--policy subnormals=flush` excuses that and
no more. The last column says how near a row tried came to its own bound: 1 would reach it.

"""

BRACKET_HEAD: Final = """\
| candidate | format | length | at least | at most | assumed | nearest to its bound |
|---|---|--:|--:|--:|---|--:|
"""

END: Final = """
[The worst row, and proofs](../guides/search-and-proofs.md) says what a proof and a bracket assume.
"""

if __name__ == "__main__":
    main()
