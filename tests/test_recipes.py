"""Long rows are made again instead of being kept: bit for bit, proved by a digest, or refused."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import gmpy2
import mpmath
import numpy as np
import pytest

from harness import cli
from harness.measurement import Judged, Rows, tally_of
from harness.terminal.exceptions import UsageError
from harness.witnesses.recipes import ENTRIES, Recipes, _shares, is_same_output, kept_as_recipe, row_of
from reference.declaration import Declaration
from reference.formats import FORMATS, format_named
from reference.fused import Exact
from reference.ops import op_named
from reports.figures import exact
from reports.record.run_folder import LEDGER
from reports.record.witness import LONG_BEYOND, CellKey, Witness
from strategies.corpora import CORPORA
from strategies.regimes import REGIMES

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

SEED, BATCH, ROWS, ROW, LENGTH = 11, 3, 4, 2, LONG_BEYOND + 27
BATCHES = {BATCH: ROWS}


def drawn(fmt: str = "float32", regime: str = "wide-normal", element: int | None = 500) -> Witness:
    rows = REGIMES[regime].rows(FORMATS[fmt], ROWS, LENGTH, SEED, BATCH)
    bits = FORMATS[fmt].to_hex(rows[ROW])
    cell = CellKey("naive", "softmax", fmt, fmt, regime, LENGTH)
    return Witness(cell, "max_ulp", 2.5, bits, bits, element, f"batch {BATCH}, row {ROW}")


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_drawn_row_is_made_again_bit_for_bit(fmt: str) -> None:
    whole = drawn(fmt)
    kept = kept_as_recipe(whole, SEED, BATCHES)
    assert (kept.x, kept.y) == ("", "")
    assert len(kept.line()) < 1500, "it holds nearly as much as a row"
    assert FORMATS[fmt].to_hex(row_of(kept)) == whole.x
    assert is_same_output(kept, row_of(kept))
    assert not is_same_output(kept, np.roll(row_of(kept), 1))


@pytest.mark.parametrize("op", ["softmax", "log_softmax", "logsumexp", "softmax(scale=0.125, sink=0.0)"])
@pytest.mark.parametrize("fmt", ["float16", "float64", "float8_e5m2"])
def test_recipes_made_from_a_batch_are_those_made_from_bits(fmt: str, op: str) -> None:
    """Of a row that is right but for its first and last entries, one of zeros, and one of NaN."""
    form, named = FORMATS[fmt], op_named(op)
    x = REGIMES["wide-normal"].rows(form, ROWS, LENGTH, SEED, BATCH)
    rows = Rows.of(form, x, form, BATCH, op=named)
    y = form.from_float64(rows.truth.nearest)
    y[0, [0, -1]], y[1], y[2] = y[0, [-1, 0]], 0, math.nan
    cell = CellKey("naive", op, fmt, fmt, "wide-normal", LENGTH)
    of_bits = [
        kept_as_recipe(w, SEED, BATCHES) for w in tally_of(cell, Judged(rows, y, Declaration())).witnesses
    ]
    of_batch = tally_of(cell, Judged(rows, y, Declaration()), recipe=Recipes(SEED, BATCHES).of).witnesses
    assert list(of_batch) == of_bits
    assert len(of_bits) >= 2
    assert all(w.remade is not None for w in of_bits)


def test_every_long_row_of_a_corpus_is_made_again() -> None:
    tried = 0
    for name, corpus in CORPORA.items():
        for fmt in (FORMATS["float16"], FORMATS["float32"]):
            for fixed in corpus.fixed_rows(fmt):
                for label, row in zip(fixed.labels, fixed.rows, strict=True):
                    bits = fmt.to_hex(row)
                    cell = CellKey("naive", "softmax", fmt.name, fmt.name, name, fixed.length)
                    kept = kept_as_recipe(Witness(cell, "overflow", 0.0, bits, "", None, label), SEED, {})
                    assert (kept.remade is not None) == (fixed.length > LONG_BEYOND), (name, label)
                    assert fmt.to_hex(row_of(kept)) == bits, (name, label)
                    tried += kept.remade is not None
    assert tried >= 6


@pytest.mark.parametrize("element", [None, 0, 500, LENGTH - 1])
def test_entries_about_the_one_meant_are_kept_with_their_exact_results(element: int | None) -> None:
    whole = drawn(element=element)
    remade = kept_as_recipe(whole, SEED, BATCHES).remade
    assert remade is not None
    assert len(remade.exact) == ENTRIES
    greatest = int(np.argmax(format_named("float32").to_float64(row_of(whole))))
    assert remade.first <= (greatest if element is None else element) < remade.first + ENTRIES
    assert remade.x == whole.x[8 * remade.first : 8 * (remade.first + ENTRIES)]
    values = [mpmath.mpf(float(v)) for v in format_named("float32").to_float64(row_of(whole))]
    with mpmath.workprec(300):
        total = mpmath.fsum(mpmath.exp(v) for v in values)
        for i, said in enumerate(remade.exact):
            exact = mpmath.exp(values[remade.first + i]) / total
            digits = len(Decimal(said).as_tuple().digits)
            assert abs(mpmath.mpf(said) / exact - 1) <= mpmath.mpf(10) ** (1 - digits), (said, exact)


GAPS = (0.0, -5e-324, -1e-20, -0.5, -30.0, -1e4, -1e9, -1.7e38, -1.7e308)


@pytest.mark.parametrize("gap", [*GAPS, Fraction(-3, 1 << 1100), Fraction(-(3 << 1100))])
@pytest.mark.parametrize("digits", [2, 9, 17])
def test_a_share_of_any_exponent_is_spelled_as_mpmath_spells_it(gap: Exact, digits: int) -> None:
    scale, context = Fraction(3, 7), mpmath.MPContext()
    context.prec = 1500
    share = context.mpf(3) / 7 * context.exp(context.mpf(Fraction(gap).numerator) / Fraction(gap).denominator)
    assert list(_shares([gap], type(gap)(0), gmpy2.mpq(scale), digits)) == [exact(share, digits)]
    assert list(_shares([-math.inf], 0.0, gmpy2.mpq(scale), digits)) == ["0"]


@pytest.mark.parametrize("digits", [1, 2])
def test_shares_of_few_digits_are_what_a_witness_may_hold(digits: int) -> None:
    """A narrow format and a long row leave one digit, which mpmath would have followed by a point."""
    kept = kept_as_recipe(drawn(), SEED, BATCHES)
    assert kept.remade is not None
    spelt = tuple(_shares([0.0, -1.0, -30.0, -1e30], 0.0, gmpy2.mpq(1, 3), digits))
    assert spelt[0] == "0.33"[: 2 + digits]
    held = replace(kept, remade=replace(kept.remade, exact=spelt))
    assert Witness.from_document(json.loads(held.line())) == held


def test_rows_that_nothing_can_make_again_and_short_rows_keep_their_bits() -> None:
    long = drawn()
    for kept in (
        replace(long, cell=replace(long.cell, regime="input"), origin="row 3"),
        replace(long, cell=replace(long.cell, length=LONG_BEYOND)),
        replace(long, origin="somewhere else"),
    ):
        assert replace(kept_as_recipe(kept, SEED, BATCHES), batch=None) == kept


def test_a_row_that_is_another_now_is_refused_in_one_line() -> None:
    kept = kept_as_recipe(drawn(), SEED, BATCHES)
    assert kept.remade is not None
    for other in (
        replace(kept.remade, x_digest=hashlib.sha256(b"").hexdigest()),
        replace(kept.remade, seed=SEED + 1),
        replace(kept.remade, seed=None),
    ):
        with pytest.raises(UsageError, match="makes another row now") as caught:
            row_of(replace(kept, remade=other))
        assert "\n" not in str(caught.value)


def test_such_a_witness_reads_back_and_keeps_its_id() -> None:
    kept = kept_as_recipe(drawn(), SEED, BATCHES)
    assert Witness.from_document(json.loads(kept.line())) == kept
    assert Witness.from_document(json.loads(kept.line())).id == kept.id


@pytest.mark.parametrize("by", ["id", "line"])
def test_replay_makes_a_long_row_again_and_emits_it_whole(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["--format", "float16", "--regime", "wide-normal", "--length", "1500", "--rows", "3"]
    assert cli.run(["run", "max_shifted", *few, "--effort", "brief", "--out", "r"]) == 0
    [line] = (
        text
        for text in Path("r/witnesses.jsonl").read_text().splitlines()
        if '"wide-normal"' in text and "remade" in text
    )
    capsys.readouterr()
    named = line if by == "line" else f"r#{json.loads(line)['id']}"
    assert cli.run(["replay", named, "--emit-test", "test_row.py"]) == 0
    assert "the recorded bits" in capsys.readouterr().out
    assert Path("test_row.py").read_text().count("0x") >= 1500
    assert Path("r", LEDGER).stat().st_size < 400_000
