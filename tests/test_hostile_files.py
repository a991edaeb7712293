"""What is read is data: crafted witnesses, ledgers and configurations are refused in a line; nothing runs."""

from __future__ import annotations

import ast
import io
import json
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.candidates import load
from harness.shrinking import emit_test
from reports.tally import CellKey, Witness

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
    few = ["--format", "float16", "--regime", "exp-overflow", "--length", "3", "--rows", "4"]
    assert cli.run(["run", "own.py:softmax", *few, "--out", "made"]) == 0
    identity = json.loads(Path("made/witnesses.jsonl").read_text().splitlines()[0])["id"]
    assert cli.run(["replay", f"made#{identity}"]) == 0
    assert f"imports {Path('own.py').resolve()}" in capsys.readouterr().err
    Path("sent").mkdir()
    Path("sent/run.sqlite").write_bytes(Path("made/run.sqlite").read_bytes())
    assert "--candidate own.py:softmax" in refused(capsys, ["replay", f"sent#{identity}"])
