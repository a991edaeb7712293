"""What is read is data: crafted witnesses, ledgers and configurations are refused in a line; nothing runs."""

from __future__ import annotations

import ast
import io
import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_run import key, ledger_at, tally_of

from harness import cli
from harness.subject.candidates import load
from harness.witnesses.shrinking import emit_test
from reports.record.bins import Bins
from reports.record.witness import CellKey, Witness

BREAKING_OUT = '''"""
import pathlib; pathlib.Path("ran").touch()
"""\\'''

WITNESS = {
    "candidate": "naive", "op": "softmax", "format": "float32", "out_format": "float32", "regime": "tied",
    "length": 1, "kind": "overflow", "score": 0.0, "x": "43000000", "y": "7fc00000", "element": None,
    "origin": "batch 0, row 0", "message": "",
}  # fmt: skip

REMADE = {
    "seed": 0, "batch": 0, "rows": 2, "row": 0, "x_digest": "0" * 64, "y_digest": "", "first": 0,
    "x": "", "y": "", "exact": [],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 2) -> str:
    """Return the one line that a command ends with."""
    assert cli.run(arguments) == code
    printed = capsys.readouterr()
    [line] = printed.err.splitlines()
    assert line.isprintable()
    assert not printed.out
    assert not Path("ran").exists()
    return line


# Witnesses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["origin", "message", "candidate", "regime"])
def test_an_emitted_test_holds_what_a_witness_says_as_literals_alone(name: str) -> None:
    witness = Witness.from_document(WITNESS)
    hostile = Witness.from_document({**WITNESS, name: BREAKING_OUT})
    candidate = load("naive")
    sound, broken = (ast.parse(emit_test(w, candidate)) for w in (witness, hostile))
    for tree in (sound, broken):
        del tree.body[0]  # the docstring
        tests = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        tests[-1].name = "test"
    assert ast.dump(sound) == ast.dump(broken)
    exec(compile(emit_test(hostile, candidate), "emitted", "exec"), {"__name__": "emitted"})  # noqa: S102
    assert not Path("ran").exists()


def test_an_emitted_test_names_a_file_by_a_literal(tmp_path: Path) -> None:
    quoted = tmp_path / 'a"b, FILE); open("ran", "w")  #\U0001f600.py'
    quoted.write_text("def softmax(x):\n    return x\n")
    cell = CellKey("it", "softmax", "float32", "float32", "tied", 1)
    text = emit_test(Witness(cell, "overflow", 0.0, "43000000", "", None, "here"), load(f"{quoted}:softmax"))
    names: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(text, "emitted", "exec"), names)  # noqa: S102 - what a user would run
    assert names["FILE"] == str(quoted)
    assert not Path("ran").exists()


CRAFTED: dict[str, Any] = {
    "null x": {"x": None},
    "no x": {"x": ""},
    "half an entry": {"x": "4300000"},
    "no hexadecimal": {"x": "zz000000"},
    "list for x": {"x": ["43000000"]},
    "kind that is code": {"kind": BREAKING_OUT},
    "kind with a newline": {"kind": "overflow\n"},
    "regime of kilobytes": {"regime": "x" * 1000},
    "format unknown": {"format": "float128"},
    "format a list": {"format": []},
    "op unknown": {"op": "__import__"},
    "length of a text": {"length": "1"},
    "length true": {"length": True},
    "length huge": {"length": 10**30},
    "length negative": {"length": -1},
    "score too large": {"score": 10**400},
    "score a text": {"score": "1e999999999"},
    "score null": {"score": None},
    "element beyond": {"element": 1 << 40},
    "origin of megabytes": {"origin": "x" * (1 << 20)},
    "origin that no text is": {"origin": "\ud800"},
    "message a number": {"message": 3},
    "unknown key": {"__class__": "os.system"},
    "packed no base64": {"x_packed": "???"},
    "packed no deflate": {"x_packed": "AAAA"},
    "remade a list": {"remade": []},
    "remade without keys": {"remade": {}},
    "remade of a huge batch": {"remade": {**REMADE, "rows": 1 << 26}, "length": 1 << 20},
    "remade beyond its batch": {"remade": {**REMADE, "row": 2}},
    "exact that is code": {"remade": {**REMADE, "exact": ["__import__('os')"]}},
    "exact with an exponent of megabytes": {"remade": {**REMADE, "exact": ["1e" + "9" * 1000]}},
}


@pytest.mark.parametrize("change", CRAFTED.values(), ids=CRAFTED)
def test_a_crafted_witness_is_refused_in_a_line(
    change: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({**WITNESS, **change})))
    line = refused(capsys, ["replay", "-", "--emit-test", "test_row.py"])
    assert line.startswith("error: witness: ")
    assert len(line) < 400
    assert not Path("test_row.py").exists()


TEXTS = {
    "deep": '{"x": ' + "[" * 100_000,
    "cut off": '{"x": "43',
    "not a number": json.dumps({**WITNESS, "score": float("nan")}),
    "digits": '{"score": ' + "9" * 10_000 + "}",
    "bare text": "\x1b[2J" + "x" * 10_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_no_witness_at_all_is_refused_in_a_line(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert len(refused(capsys, ["replay", "-"])) < 400


def test_exact_results_below_every_exponent_are_read_and_never_expanded() -> None:
    exact = ["1e-73722786097399228385044576903532595832", "-"]
    witness = Witness.from_document({**WITNESS, "x": "", "remade": {**REMADE, "exact": exact}})
    assert witness.remade is not None
    assert witness.remade.exact == tuple(exact)


# Whom a witness has imported -------------------------------------------------------------------

CANDIDATE = """
import pathlib
pathlib.Path("ran").touch()
def softmax(x):
    return x
"""


@pytest.mark.parametrize("spec", ["evil.py:softmax", "evil:softmax", "os:abort"])
def test_a_witness_from_elsewhere_has_nothing_imported(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("evil.py").write_text(CANDIDATE)
    line = json.dumps({**WITNESS, "candidate": spec})
    said = refused(capsys, ["replay", line])
    assert f"--candidate {spec}" in said


def test_a_witness_from_elsewhere_replays_through_whom_the_command_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("evil.py").write_text(CANDIDATE)
    line = json.dumps({**WITNESS, "candidate": "evil.py:softmax"})
    assert cli.run(["replay", line, "--candidate", "evil.py:softmax"]) == 0
    assert f"imports {Path('evil.py').resolve()}" in capsys.readouterr().err


def test_a_run_that_was_copied_here_has_nothing_imported(capsys: pytest.CaptureFixture[str]) -> None:
    """A run of this machine says where its candidate lies; one that was sent may say anything."""
    Path("own.py").write_text(
        "import numpy as np\ndef softmax(x):\n    e = np.exp(x)\n    return e / e.sum(-1, keepdims=True)\n"
    )
    few = [
        "--format",
        "float16",
        "--regime",
        "exp-overflow",
        "--length",
        "3",
        "--rows",
        "4",
        "--effort",
        "brief",
    ]
    assert cli.run(["run", "own.py:softmax", *few, "--out", "made"]) == 0
    identity = json.loads(Path("made/witnesses.jsonl").read_text().splitlines()[0])["id"]
    assert cli.run(["replay", f"made#{identity}"]) == 0
    assert f"imports {Path('own.py').resolve()}" in capsys.readouterr().err
    Path("sent").mkdir()
    Path("sent/run.sqlite").write_bytes(Path("made/run.sqlite").read_bytes())
    assert "--candidate own.py:softmax" in refused(capsys, ["replay", f"sent#{identity}"])


# Ledgers ---------------------------------------------------------------------------------------

CELL = key(length=2)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    with ledger_at(folder, CELL) as ledger:
        ledger.record("s1", {CELL: tally_of(CELL, [0.25, 3.0])}, 0.5)
    return folder / "run.sqlite"


def with_tally(**changes: Any) -> str:
    document = {**json.loads(tally_of(CELL, [0.25, 3.0]).to_json()), **changes}
    return f"UPDATE tally SET value = x'{zlib.compress(json.dumps(document).encode()).hex()}'"  # noqa: S608 - crafted


def with_document(name: str, document: Any) -> str:
    return f"INSERT INTO document VALUES ('{name}', '{json.dumps(document)}')"  # noqa: S608 - crafted


DEEP = "[" * 50_000

LEDGERS = {
    "sum that takes a gigabyte to expand": with_tally(ulp_sum="1e999999999"),
    "sum over nothing": with_tally(ulp_sum="1/0"),
    "count of a text": with_tally(rows="4"),
    "count below nothing": with_tally(rows=-4),
    "count without an end": with_tally(rows=10**30),
    "maximum of a text": with_tally(max_ulp="1e999"),
    "bin beyond every float": with_tally(histogram=[[1 << 30], [1]]),
    "bins and counts of two lengths": with_tally(histogram=[[1, 2], [1]]),
    "bins that go down": with_tally(histogram=[[5, -2], [1, 1]]),
    "bins that wrap around": with_tally(histogram=[[1 << 62] * 4, [1] * 4]),
    "bins of more than 64 bits": with_tally(histogram=[[1 << 64], [1]]),
    "bins of fractions": with_tally(histogram=[[1.5], [1]]),
    "bins in lists": with_tally(histogram=[[[1]], [[1]]]),
    "counts that are texts": with_tally(histogram=[[1], ["1"]]),
    "histogram of three lists": with_tally(histogram=[[1], [1], [1]]),
    "histogram of a number": with_tally(histogram=7),
    "integers of no width": with_tally(histogram=["3AQID", "1AQ=="]),
    "integers of a text's width": with_tally(histogram=["xAQ==", "1AQ=="]),
    "integers that are not base64": with_tally(histogram=["1A!==", "1AQ=="]),
    "integers cut short": with_tally(histogram=["2AQID", "1AQ=="]),
    "integers of no digits": with_tally(histogram=["", ""]),
    "integers of letters that are digits elsewhere": with_tally(histogram=["\u0661AQ==", "1AQ=="]),
    "bins of texts that go down": with_tally(histogram=Bins(np.array([5, 3]), np.array([1, 1])).steps()),
    "bins of texts that wrap around": with_tally(
        histogram=[Bins(np.arange(4) << 62, np.arange(4)).steps()[0], "1AQEBAQ=="]
    ),
    "bins and counts of texts of two lengths": with_tally(histogram=["1AQE=", "1AQ=="]),
    "a text beside a list": with_tally(histogram=["1AQ==", 1]),
    "histogram of a text": with_tally(histogram="\x1b[2J\nab"),
    "counts that no run reaches": with_tally(histogram=[[1], [2**63 - 1]]),
    "place beyond the picture": with_tally(places=[[1 << 40], [1]]),
    "gap beyond the picture": with_tally(gap_errors=[[1 << 20], [1]]),
    "digest of nothing": with_tally(digests={"0": "zz"}),
    "witness without its bits": with_tally(bits=[]),
    "witness of a number": with_tally(witnesses=[1]),
    "tally of nothing": with_tally(classes=None),
    "tally of a text": "UPDATE tally SET value = 'text'",
    "tally of other bytes": "UPDATE tally SET value = x'00ff'",
    "tally that inflates to gigabytes": "UPDATE tally SET value = zeros()",
    "length of a text": "UPDATE cell SET length = 'two'",
    "length beyond every row": "UPDATE cell SET length = 1 << 40",
    "candidate of a blob": "UPDATE cell SET candidate = x'00'",
    "format unknown": "UPDATE cell SET format = 'float99'",
    "status unknown": "UPDATE cell SET status = 'fine'",
    "text that is no UTF-8": "UPDATE cell SET message = CAST(x'ff' AS TEXT)",
    "setting that is no JSON": "UPDATE setting SET value = '{'",
    "setting nested deeply": f"UPDATE setting SET value = '{DEEP}'",  # noqa: S608 - crafted
    "claims of a text": with_document("claims", "all"),
    "claims without a verdict": with_document("claims", [{"id": 1}]),
    "claim by a witness that is none": with_document(
        "claims", [{"id": 1, "statement": "", "verdict": "", "witnesses": [{}]}]
    ),
    "checks of a number": with_document("checks", 3),
    "check broken in a text": with_document(
        "checks", [{"check": "", "candidate": "", "format": "", "status": "", "broken": "2"}]
    ),
    "verdict of no status": with_document("verdicts", [{"status": "fine"}]),
    "small of a list": with_document("small", []),
    "search without a curve": with_document("search", [{}]),
    "comparison of a list": with_document("comparison", [1]),
    "environment nested deeply": with_document("environment", json.loads("[" * 40 + "]" * 40)),
    "environment of a list of libraries": with_document("environment", {"libraries": ["numpy"]}),
    "self-test without trials": with_document("selftest", {"scores": {}}),
    "view that never ends": (
        "DROP TABLE document; CREATE VIEW document AS WITH RECURSIVE forever(name) AS"
        " (SELECT 'claims' UNION ALL SELECT name FROM forever) SELECT name, name AS value FROM forever"
    ),
    "trigger": "CREATE TRIGGER t AFTER INSERT ON document BEGIN DELETE FROM cell; END",
    "table missing": "DROP TABLE place",
}


@pytest.mark.parametrize("change", LEDGERS.values(), ids=LEDGERS)
def test_a_crafted_ledger_is_refused_in_a_line(
    sound: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run").mkdir()
    ledger = Path("run/run.sqlite")
    ledger.write_bytes(sound.read_bytes())
    with closing(sqlite3.connect(ledger)) as connection:
        connection.create_function("zeros", 0, lambda: zlib.compress(bytes(1 << 27), 1))
        connection.executescript(change)
        connection.commit()
    line = refused(capsys, ["report", "run"])
    assert line.startswith("error: run/run.sqlite: ")
    assert len(line) < 600


def test_the_ledger_that_is_crafted_above_is_sound(sound: Path) -> None:
    assert cli.run(["report", str(sound.parent)]) == 0
