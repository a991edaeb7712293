"""A witness as a pytest file that needs the user's function and NumPy, and nothing of this program.

Built-ins and installed libraries, functions of other libraries' arrays and native kernels are the exception:
their file loads them by this program, which hands them the bits of the row.

Exact results are written out to thirty digits, and compared as fractions. Each output may be wrong by so
many ULP as the loosest of these allows that the recorded outputs do not meet: the bound of that entry in the
tier that the witness is about, `standard` where it is about none; 1 ULP; 1/2 ULP. So the test fails until the
function is better on that row. A row that `replay` finds sound is held to that bound alone, and passes.
"""

from __future__ import annotations

import ast
import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

import mpmath
import numpy as np
from numpy.typing import NDArray

from harness.measurement.tiers import TIER_KINDS
from harness.subject.candidates import Candidate
from harness.subject.candidates.loading import locate
from harness.witnesses.batches import Part
from harness.witnesses.recipes import entries_of_hex
from reference.errors import judge, ulp_exponents
from reference.formats import FloatFormat, format_named
from reference.model import Truth
from reference.ops import SOFTMAX
from reference.oracle import softmax
from reference.row_kinds import RowKind
from reference.tiers import STANDARD
from reference.truth import truth
from reports.figures import shortened
from reports.record.witness import Witness
from reports.record.witness_kinds import FATAL_KINDS, gravity_of
from reports.spelling import docstring

__all__ = ["emit_test"]

Array = NDArray[Any]
Floats = NDArray[np.float64]

DIGITS: Final = 30

_NEGLIGIBLE: Final = 200
"""Results below an ulp by more than so many powers of two are held as 0."""
SECONDS: Final = 60
_WIDTH: Final = 100
"""Characters of a line of bits."""

_SLACK: Final = 1e-9
"""What thirty digits of a tie may be beside it, in ULP, with much to spare."""

_FIGURE_TOLERANCE: Final = 1e-6

_COLUMNS: Final = "encoding, exact result, exponent of its ulp, most ULP"

_LEVELS: Final = ("1 ULP, as a faithful result is", "1/2 ULP, as a correctly rounded result is")

_FILE: Final = Template('''\
$told

$imports

$source

ENTRIES = [
    # $columns
$entries
]


${batch}def outputs():
    """Return the outputs of the one row, as float64."""
    x = np.array([[entry[0] for entry in ENTRIES]], dtype="$bits").view($dtype)
${among}    with np.errstate(all="ignore"):
        y = np.asarray(softmax(x$axis))
    assert y.shape == x.shape, f"shape {y.shape} for an input of shape {x.shape}"
    assert y.dtype == np.dtype($out_dtype), f"dtype {y.dtype}, not $out"
    return y[$place].astype(np.float64)


$judge$apart

def test_$name():
    $test


if __name__ == "__main__":
    check()
''')

_JUDGE: Final = '''\
def check():
    """Hold every output against its exact result."""
    for i, (y, (_, exact, ulp, most)) in enumerate(zip(outputs().tolist(), ENTRIES, strict=True)):
        assert math.isfinite(y), f"y[{i}] = {y}, exactly {exact}"
        assert y != 0 or math.copysign(1, y) == 1, f"y[{i}] = -0"
        error = abs(Fraction(y) - Fraction(exact)) / Fraction(2) ** ulp
        assert error <= most, f"y[{i}] = {y.hex()}: {float(error):.6g} ULP from {exact}, at most {most}"
'''

_JUDGE_POLICY: Final = '''\
def check():
    """Hold every output against the policy; shares among infinities within a quarter."""
    for i, (y, (_, wanted)) in enumerate(zip(outputs().tolist(), ENTRIES, strict=True)):
        if wanted is None:
            continue
        same = math.isnan(y) if math.isnan(wanted) else abs(y - wanted) <= wanted / 4
        assert same, f"y[{i}] = {y.hex()}, not {wanted}"
'''

_APART: Final = Template('''

def check_apart():
    """Check in a process of its own, which may crash or hang."""
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([sys.executable, __file__], check=True, timeout=$seconds, env=environment)
''')


def emit_test(
    witness: Witness, candidate: Candidate, part: Part | None = None, *, is_sound: bool = False
) -> str:
    """Return the text of a pytest file that fails while the candidate does what the witness shows.

    Args:
        witness: the row, best shrunk.
        candidate: whose function the file calls, and whose policy it asks for.
        part: the rows among which it shows that, where it does not alone.
        is_sound: whether its recorded outputs show nothing wrong, as a greatest figure may; then it passes.

    Raises:
        ValueError: the candidate has no spec to import it by, or computes another op than softmax; or the
            witness is of a check whose rule is about more than the outputs of a row.
        UsageError: the witness's bits are not a row of its format.
    """
    if candidate.op is not SOFTMAX:
        raise ValueError(
            f"witness {witness.id}: it is of {candidate.op}, and tests are written of {SOFTMAX} only;"
            " keep its line of witnesses.jsonl: replay --expect holds a candidate to it"
        )
    if gravity_of(witness.kind) < 0:
        raise ValueError(
            f"witness {witness.id}: it shows the check {witness.kind!r}; written tests judge outputs only;"
            f" call harness.testing.check({witness.kind!r}, f, {witness.cell.format!r}) in a test of your own"
        )
    row = _row(witness)
    apart = witness.kind in FATAL_KINDS
    limits = None if row.is_policy else _limits(row, witness.kind, is_sound=is_sound)
    rule = _policy_rule(row, candidate) if limits is None else limits.rule
    text = _FILE.substitute(
        told=docstring(f"{_title(witness, candidate)}\n{rule}\n"),
        imports=_imports(row, candidate, part, apart=apart),
        batch=_batch(row, part),
        among=_among(row, part),
        place=0 if part is None else part.row,
        source=_source(candidate),
        columns="encoding, wanted" if limits is None else _COLUMNS,
        entries="\n".join(_policy_lines(row, candidate) if limits is None else _lines(row, limits)),
        bits=row.format.bits_dtype.name,
        dtype=_dtype(row.format),
        out_dtype=_dtype(row.out),
        out=row.out.name,
        axis=f", {candidate.axis_parameter}=-1" if candidate.axis_parameter else "",
        judge=_JUDGE if limits is not None else _JUDGE_POLICY,
        apart=_APART.substitute(seconds=SECONDS) if apart else "",
        name=f"{witness.kind}_{witness.id}",
        test="check_apart()" if apart else "check()",
    )
    ast.parse(text)
    return text


def _title(witness: Witness, candidate: Candidate) -> str:
    cell = witness.cell
    named = f"Witness {witness.id}: {witness.kind} of {candidate.name} in {cell.format}."
    origin = f"The row was found at: {cell.regime}, {witness.origin}."
    return f"{_on_one_line(named)}\n\n{_on_one_line(origin)}"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


# The row -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A witness's row: x and what was computed, None where nothing was."""

    format: FloatFormat
    out: FloatFormat
    x: Array
    values: Floats
    y: Array | None
    truth: Truth

    @property
    def is_policy(self) -> bool:
        return RowKind(self.truth.kinds[0]).is_policy

    def comments(self) -> list[str]:
        """Return what each entry is and what was computed."""
        computed = [""] * len(self.values[0])
        if self.y is not None:
            computed = [f", computed {value!r}" for value in self.out.to_float64(self.y).tolist()]
        return [f"x = {x!r}{y}" for x, y in zip(self.values[0].tolist(), computed, strict=True)]

    def encodings(self) -> list[str]:
        digits = self.format.hex_digits
        return [f"0x{bits:0{digits}x}" for bits in self.format.to_bits(self.x).tolist()]


def _row(witness: Witness) -> _Row:
    fmt, out = format_named(witness.cell.format), format_named(witness.cell.out_format)
    x = fmt.from_bits(entries_of_hex(witness.x, fmt))
    values = fmt.to_float64(x)[None]
    y = out.from_bits(entries_of_hex(witness.y, out)) if witness.y else None
    return _Row(fmt, out, x, values, y, truth(values, out, "mpmath"))


@dataclass(frozen=True)
class _Limits:
    """The most ULP of each entry, and the sentence that says why."""

    most: list[float]
    rule: str


def _limits(row: _Row, kind: str, *, is_sound: bool) -> _Limits:
    """Return the loosest limits that the recorded outputs do not meet; of all, where they are sound."""
    masked = (row.truth.nearest == 0) & (row.truth.residual == 0)
    about = TIER_KINDS.get(kind, STANDARD)
    tier = about if about.allowed is not None else STANDARD
    bounds = tier.bounds(row.values, row.truth, row.format)
    whys = (f"the `{tier.name}` tier's bound of that entry", *_LEVELS)
    levels = zip(whys, (bounds, np.ones_like(bounds), np.full_like(bounds, 0.5)), strict=True)
    possible = [(why, np.where(masked, 0.0, most)[0]) for why, most in levels if not np.isnan(most).any()]
    missed = [] if is_sound else [level for level in possible if not _meets(row, level[1])]
    why, most = (missed or possible)[0]
    rule = f"Every output must be finite, not -0, and within a limit:\n{why}."
    return _Limits([float(m) + _SLACK if m else 0.0 for m in most], rule)


def _meets(row: _Row, most: Floats) -> bool:
    """Tell whether the recorded outputs are within limits; where there are none, they are not."""
    if row.y is None:
        return False
    judgement = judge(row.y[None], row.truth)
    with np.errstate(invalid="ignore"):
        within = (judgement.ulp[0] <= most + 2 * _FIGURE_TOLERANCE) & ~judgement.negative_zero[0]
    return bool(within.all())


# Text --------------------------------------------------------------------------------------


def _lines(row: _Row, limits: _Limits) -> Iterator[str]:
    exact = softmax(row.values[0], 4 * DIGITS)
    exponents = ulp_exponents(row.truth)[0].tolist()
    for bits, r, e, most, comment in zip(
        row.encodings(), exact, exponents, limits.most, row.comments(), strict=True
    ):
        held, said = _held(r, e)
        yield f'    ({bits}, "{held}", {e}, {most!r}),  # {comment}{said}'


def _held(exact: Any, ulp: int) -> tuple[str, str]:
    """Return the decimal that outputs are held against, and what to say where it is not the exact result.

    A result far below an ulp is held as 0: a `Fraction` of an exponent of 40 digits fits no memory.
    """
    text = mpmath.nstr(exact, DIGITS)
    if not exact or mpmath.mag(exact) > ulp - _NEGLIGIBLE:
        return text, ""
    return "0", f", exactly {shortened(text)}, held as 0"


def _policy_rule(row: _Row, candidate: Candidate) -> str:
    return f"The row has no exact result; the policy wants {' '.join(_policy(row, candidate))}."


def _policy(row: _Row, candidate: Candidate) -> tuple[str, str]:
    key = {RowKind.NAN: "nan_row", RowKind.POS_INF: "pos_inf", RowKind.ALL_NEG_INF: "masked_row"}[
        RowKind(row.truth.kinds[0])
    ]
    return key, str(getattr(candidate.declaration.policy, key))


def _policy_lines(row: _Row, candidate: Candidate) -> Iterator[str]:
    infinite = row.values[0] == np.inf
    share = 1 / max(int(infinite.sum()), 1)
    wanted = {
        "nan": ['float("nan")'] * len(infinite),
        "zero": ["0.0"] * len(infinite),
        "limit": [repr(share) if i else "0.0" for i in infinite],
        "nan_at_inf": ['float("nan")' if i else "0.0" for i in infinite],
        "any": ["None"] * len(infinite),
    }[_policy(row, candidate)[1]]
    for bits, want, comment in zip(row.encodings(), wanted, row.comments(), strict=True):
        yield f"    ({bits}, {want}),  # {comment}"


def _batch(row: _Row, part: Part | None) -> str:
    """Return the lines that hold the bits of a batch, where copies of the row will not do."""
    if part is None or part.is_of_copies:
        return ""
    bits = row.format.to_bits(part.x)
    text = base64.b64encode(zlib.compress(bits.astype(bits.dtype.newbyteorder("<")).tobytes())).decode()
    lines = (f'    "{text[i : i + _WIDTH]}"' for i in range(0, len(text), _WIDTH))
    return "\n".join(["BATCH = (", *lines, ")", "", ""])


def _among(row: _Row, part: Part | None) -> str:
    """Return the line that puts the row among others; empty where it is called alone."""
    if part is None:
        return ""
    rows, length = part.x.shape
    if part.is_of_copies:
        return f"    x = np.repeat(x, {rows}, axis=0)  # alone the row has other outputs\n"
    stored = f'"<u{row.format.storage_bits // 8}"'
    return (
        f"    bits = np.frombuffer(zlib.decompress(base64.b64decode(BATCH)), dtype={stored})\n"
        f'    x = bits.astype("{row.format.bits_dtype.name}").reshape({rows}, {length})'
        f".view({_dtype(row.format)})  # alone the row has other outputs\n"
    )


def _imports(row: _Row, candidate: Candidate, part: Part | None, *, apart: bool) -> str:
    is_held = part is not None and not part.is_of_copies
    standard = ["import base64"] if is_held else []
    standard += ["import importlib.util"] if _file_of(candidate) else []
    standard += ["import math"]
    standard += ["import os", "import subprocess", "import sys"] if apart else []
    standard += ["import zlib"] if is_held else []
    standard += [] if row.is_policy else ["from fractions import Fraction"]
    others = ["import numpy as np"]
    if any(fmt.dtype.isbuiltin != 1 for fmt in (row.format, row.out)):
        others.insert(0, "import ml_dtypes")
    return "\n".join([*standard, "", *others])


def _dtype(fmt: FloatFormat) -> str:
    return f"{'np' if fmt.dtype.isbuiltin == 1 else 'ml_dtypes'}.{fmt.name}"


def _file_of(candidate: Candidate) -> str:
    """Return the path of a candidate's file, empty where it is of a module or built in."""
    where = candidate.spec.rpartition(":")[0]
    return where if where.endswith(".py") and not _is_loaded(candidate) else ""


def _is_loaded(candidate: Candidate) -> bool:
    """Tell whether more than an import is needed to call it with NumPy's arrays."""
    location = locate(candidate.spec)
    return bool(candidate.version or location.via or location.is_native)


def _source(candidate: Candidate) -> str:
    """Return the lines that define `softmax`."""
    if not candidate.spec:
        raise ValueError(
            f"candidate {candidate.name!r}: it has no spec to import it by; put it into a file and name it"
            " path/file.py:function"
        )
    if ":" not in candidate.spec:
        return f"from harness.subject.candidates import load\n\nsoftmax = load({_literal(candidate.spec)})"
    if _is_loaded(candidate):
        named = candidate.name if candidate.version else candidate.spec
        return f"from harness.subject.candidates import load\n\nsoftmax = load({_literal(named)}).call"
    where, _, function = candidate.spec.rpartition(":")
    if not _file_of(candidate):
        return f"import {where}\n\nsoftmax = {where}.{function}"
    return (
        f"FILE = {_literal(where)}\n"
        f"SPECIFICATION = importlib.util.spec_from_file_location({_literal(Path(where).stem)}, FILE)\n"
        "MODULE = importlib.util.module_from_spec(SPECIFICATION)\n"
        "SPECIFICATION.loader.exec_module(MODULE)\n"
        f"softmax = MODULE.{function}"
    )


def _literal(text: str) -> str:
    """Return a literal of Python, in the quotes that formatters prefer."""
    written = json.dumps(text)
    return written if ast.literal_eval(written) == text else ascii(text)
