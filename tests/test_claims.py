"""Every claim's verdict is computed from rows: the same for any seed, and other where the rows are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import cli
from harness.claims import CLAIMS, ClaimResult, evaluate, evidence, invariance, quoted
from harness.claims.evidence import Evidence
from harness.subject.candidates import BUILTINS, Candidate, load
from reference import correctly_rounded
from reference.errors import ElementClass, RowFailure, judge
from reference.formats import FORMATS, FloatFormat
from reference.truth import truth
from reports.record.witness import Witness
from tests.longer import sample

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

VERDICTS = {
    1: "refuted",
    2: "refuted",
    3: "depends",
    4: "refuted",
    5: "not refuted in 1,024 rows",
    6: "refuted",
    7: "depends",
    8: "depends",
    9: "proved",
    10: "proved",
    11: "refuted",
    12: "depends",
}


FEW = 12


@cache
def of_few_rows(seed: int) -> tuple[ClaimResult, ...]:
    """Return the claims as the certified evaluation of a few rows settles them."""
    return tuple(evaluate(seed, "certified", FEW))


@pytest.fixture(scope="module")
def results() -> Mapping[int, ClaimResult]:
    return {claim.id: claim for claim in evaluate(0, rows=64)}


def test_there_are_twelve_claims_in_order() -> None:
    assert [claim.id for claim in CLAIMS] == list(range(1, 13))
    assert len({claim.statement for claim in CLAIMS}) == 12


@pytest.mark.parametrize("seed", [1, 2**40])
def test_verdicts_do_not_hang_on_the_seed(seed: int) -> None:
    assert {claim.id: claim.verdict for claim in evaluate(seed, rows=64)} == VERDICTS


def test_verdicts_are_those_that_are_documented(results: Mapping[int, ClaimResult]) -> None:
    assert {claim: result.verdict for claim, result in results.items()} == VERDICTS


def test_the_same_seed_gives_the_same_results() -> None:
    assert [c.document() for c in evaluate(0, rows=FEW)] == [c.document() for c in of_few_rows(0)]


def test_either_method_gives_the_same_verdicts_and_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "LONG_ROWS", 1)
    methods = (evaluate(3, method, sample(6, 24)) for method in ("certified", "mpmath"))
    for certified, plain in zip(*methods, strict=True):
        assert certified.verdict == plain.verdict
        for name, figure in certified.figures.items():
            close = figure if isinstance(figure, str) else pytest.approx(figure, rel=2.0**-52, abs=1e-6)
            assert plain.figures[name] == close, (certified.id, name)


def test_documents_are_json_with_the_contracts_keys(results: Mapping[int, ClaimResult]) -> None:
    for result in results.values():
        document = json.loads(json.dumps(result.document(), allow_nan=False))
        assert {"id", "statement", "verdict", "figures", "witness"} <= set(document)
        assert document["witness"] == document["witnesses"][0]
        assert "{" not in document["explanation"]
        assert Witness.from_document(document["witness"]).cell.op == "softmax"


# Witnesses -------------------------------------------------------------------------------


def row_of(fmt: FloatFormat, bits: str) -> np.ndarray:
    return fmt.from_bits(np.frombuffer(bytes.fromhex(bits), fmt.bits_dtype.newbyteorder(">")))[None, :]


def test_witnesses_replay_to_the_same_bits_and_show_what_they_say(
    results: Mapping[int, ClaimResult],
) -> None:
    for witness in (w for result in results.values() for w in result.witnesses):
        fmt = FORMATS[witness.cell.format]
        x, y = row_of(fmt, witness.x), row_of(fmt, witness.y)
        assert x.shape == y.shape == (1, witness.cell.length)
        replayed = fmt.to_bits(load(witness.cell.candidate)(x))
        assert (replayed == fmt.to_bits(y)).all(), (witness.cell, witness.x)
        assert shows(witness, fmt, x, y), (witness.kind, witness.cell, witness.x, witness.y)


def shows(witness: Witness, fmt: FloatFormat, x: np.ndarray, y: np.ndarray) -> bool:
    judgement = judge(y, truth(fmt.to_float64(x), fmt, "mpmath" if x.size < 100 else "certified"))
    failed = judgement.failure[0] != RowFailure.NONE
    if witness.kind == "max_ulp":
        assert witness.element is not None
        return bool(abs(judgement.ulp[0, witness.element] - witness.score) <= 1e-6)
    if witness.kind == "lost":
        return bool(judgement.classes[0, witness.element] == ElementClass.LOST)
    if witness.kind == "nonfinite":
        return bool((judgement.classes[0] == ElementClass.NONFINITE).any())
    return bool(failed)


@pytest.mark.parametrize("claim", [c for c, verdict in VERDICTS.items() if verdict == "depends"])
def test_depends_shows_both_sides(results: Mapping[int, ClaimResult], claim: int) -> None:
    kinds = {witness.kind for witness in results[claim].witnesses}
    assert "max_ulp" in kinds
    assert len(kinds) > 1


def test_the_witnesses_of_the_claims_people_know(results: Mapping[int, ClaimResult]) -> None:
    assert results[1].witnesses[0].x == np.array([800.0, 0.0], ">f8").tobytes().hex()
    assert results[6].witnesses[0].x == np.array([-800.0, -801.0], ">f8").tobytes().hex()
    assert set(results[2].witnesses[0].y) == {"0"}, "a sum that overflows leaves finite zeros"
    assert results[3].witnesses[2].cell.format == "float8_e4m3fn"
    assert results[12].witnesses[0].cell.regime == "digits-sane"


def test_claims_9_and_10_read_as_claimed(results: Mapping[int, ClaimResult]) -> None:
    for claim in (9, 10):
        figures = results[claim].figures
        assert figures["exact"] == figures["computed"] == figures["claimed"]


# Verdicts turn with the evidence -----------------------------------------------------------


def exact(x: np.ndarray, axis: int = -1) -> Any:
    return correctly_rounded(np.moveaxis(x, axis, -1))


def with_exact(monkeypatch: pytest.MonkeyPatch, *names: str) -> dict[int, str]:
    """Verdicts where the named forms are correctly rounded."""
    roster: dict[str, Candidate] = {**BUILTINS, **{n: replace(BUILTINS[n], call=exact) for n in names}}
    for module in (evidence, invariance):
        monkeypatch.setattr(module, "BUILTINS", roster)
    return {claim.id: claim.verdict for claim in evaluate(0, rows=32)}


def test_a_perfect_plain_form_would_turn_the_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = with_exact(monkeypatch, "naive")
    assert {c: v.partition(" in ")[0] for c, v in verdicts.items()} == VERDICTS | {
        1: "not refuted",
        2: "not refuted",
        4: "not refuted",
        5: "refuted",
        6: "not refuted",
        7: "refuted",
        8: "not refuted",
        12: "not refuted",
    }


def test_a_perfect_shifted_form_would_turn_the_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = with_exact(monkeypatch, "max_shifted")
    assert verdicts[7].startswith("not refuted")
    assert verdicts[8] == "refuted", "long bfloat16 rows need it then, whose sums stand still"
    assert verdicts[11].startswith("not refuted")
    assert {c: verdicts[c] for c in VERDICTS if c not in (7, 8, 11)} == {
        c: v for c, v in VERDICTS.items() if c not in (7, 8, 11)
    }


def test_other_digits_are_refuted() -> None:
    claimed = "[0.01165623, 0.03168492, 0.08612854, 0.23412166, 0.63640866]"
    found = quoted.printed((1.0, 2.0, 3.0, 4.0, 5.0), claimed)(Evidence(()))
    assert found.verdict == "refuted"


# By the command ------------------------------------------------------------------------------


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.claims.evaluate", of_few_rows)


@pytest.mark.usefixtures("few_rows")
def test_the_command_tells_each_claim_its_verdict_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["claims"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for claim in of_few_rows(0):
        told = f"{claim.id}. {claim.statement} ({claim.source}) {claim.verdict}: {claim.explanation}"
        assert " ".join(told.split()) in said


@pytest.mark.usefixtures("few_rows")
def test_the_command_prints_a_table_for_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["claims", "--markdown"]) == 0
    head, line, *rows = capsys.readouterr().out.splitlines()
    assert head.count("|") == line.count("|") == 5
    assert [row.split(" | ")[:3] for row in rows] == [
        [f"| {c.id}", c.statement, c.verdict] for c in of_few_rows(0)
    ]


@pytest.mark.usefixtures("few_rows")
def test_witnesses_of_its_document_replay(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.run(["claims", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [claim["verdict"] for claim in document["claims"]][:2] == ["refuted", "refuted"]
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(document["claims"][0]["witness"])))
    assert cli.run(["replay", "-"]) == 0
    assert "not sound" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--json", "--markdown"], ["--seed", "x"]])
def test_wrong_arguments_of_the_command_are_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["claims", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize(("candidates", "settled"), [([], True), (["naive"], False)])
def test_a_run_of_the_users_candidates_settles_no_claims(
    candidates: list[str], settled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.claims.evaluate", lambda seed, _method: of_few_rows(seed))
    few = ["--format", "float32", "--regime", "tied", "--length", "3", "--rows", "4", "--effort", "brief"]
    assert cli.run(["run", *candidates, *few, "--in-process", "--out", str(tmp_path / "run")]) == 0
    assert bool(json.loads((tmp_path / "run/summary.json").read_text())["claims"]) is settled
