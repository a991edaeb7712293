"""What finds causes, each asked by itself: calls, lengths, bits, what may be declared, and what changed."""

import json

import numpy as np
import pytest

from harness import cli
from harness.explanation.anatomy import anatomy_of
from harness.explanation.changes import changes
from harness.explanation.declared import declared_of
from harness.explanation.lengths import FURTHER, Lengths, scanned
from harness.explanation.prediction import prediction_of
from harness.explanation.stability import beginning_of, of_calls
from harness.selftest.explained import Named, scores, texts
from harness.selftest.planted import sound
from tests.explaining import asking, instance

# Calls -------------------------------------------------------------------------------------


def calls(function):
    return asking(function, lambda questions: of_calls(questions, beginning_of(questions)))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("sum in random order", "depends.run"),
        ("remembers by shape", "depends.history"),
        ("remembers by first entries", "depends.history"),
        ("sum not reset", "depends.history"),
    ],
)
def test_chance_and_memory_are_told_apart(name, code):
    suspect = instance(name)
    found = calls(suspect.defect.make(*suspect.values))
    assert found is not None
    assert found.code == code, found.line()


@pytest.mark.parametrize("name", ["cut off", "bit trick", "uniform", "zeros", "answer of the first row"])
def test_what_is_the_same_at_every_call_is_not_put_down_to_calls(name):
    suspect = instance(name)
    found = calls(suspect.defect.make(*suspect.values))
    assert found is None, found.line()


# Lengths -----------------------------------------------------------------------------------


def without_the_last(z, where):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    n = z.shape[-1]
    return e / e[..., : n - 1 if where(n) else n].sum(axis=-1, keepdims=True)


TRIED = (*range(2, 700), 1000, 2048, 4096)


@pytest.mark.parametrize(
    ("where", "rule"),
    [
        (lambda n: n % 4 != 0, "where n is not divisible by 4"),
        (lambda n: n > 100, "in rows of 101 entries and more"),
        (lambda n: 32 <= n < 64, "in rows of 32 to 63 entries"),
        (lambda n: n == 77, "at n = 77, and at no other of 701 lengths"),
        (lambda n: n >= 16 and n & (n - 1) == 0, "where n is a power of two, from 16 on"),
        (lambda n: n in (17, 33, 65, 129, 257, 513), "where n is one more than a power of two, from 17 on"),
        (lambda n: n in (31, 63, 127, 255, 511), "where n is one less than a power of two, from 31 on"),
        (lambda n: n % 64 == 5 and n > 64, "where n mod 64 is 5, from 69 on"),
    ],
)
def test_a_rule_is_given_that_no_sound_length_breaks(where, rule):
    assert Lengths(TRIED, tuple(n for n in TRIED if where(n))).rule() == rule


def test_lengths_without_a_rule_are_counted():
    assert Lengths(TRIED, (5, 12, 31)).rule() == "at 3 of 701 lengths, such as 5, 12, 31"


def test_the_lengths_are_found_at_which_a_sum_loses_an_entry():
    found = asking(lambda x: without_the_last(x, lambda n: n > 300 and n % 512 == 301), scanned)
    assert found.odd == (2349,)
    found = asking(lambda x: without_the_last(x, lambda n: n % 32 == 31), scanned)
    assert found.rule() == "where n mod 32 is 31"


def test_a_rule_is_tried_on_lengths_that_it_was_not_read_off():
    """Wrong are those of the lengths asked first, and no others, that leave a rest of 1 by 64."""
    wrong = {n for n in FURTHER if n >= 2047 and n % 64 == 1}
    found = asking(lambda x: without_the_last(x, wrong.__contains__), scanned)
    assert set(found.odd) == wrong
    assert found.rule().startswith(f"at {len(wrong)} of "), found.rule()


@pytest.mark.parametrize(
    ("where", "rule"),
    [
        (lambda n: n >= 1061, "in rows of 1061 entries and more"),
        (lambda n: n >= 300 and n % 64 in (1, 33), "where n mod 32 is 1, from 321 on"),
        (
            lambda n: n >= 16_385 and (n - 1) & (n - 2) == 0,
            "where n is one more than a power of two, from 16385 on",
        ),
    ],
)
def test_the_first_wrong_length_is_found_between_those_asked_first(where, rule):
    assert asking(lambda x: without_the_last(x, where), scanned).rule() == rule


# Bits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["float32", "float64"])
def test_the_bits_of_fresh_rows_are_predicted(format):
    found = asking(sound, lambda q: prediction_of(q, anatomy_of(q), 40), format)
    assert (found.agreed, found.rows) == (40, 40), found
    assert found.settled == found.arguments > 1000


def test_bits_that_another_sum_gives_are_not_claimed():
    """Rows of more than 128 entries are summed in another order than the anatomy is made to say."""

    def of_another(questions):
        anatomy = anatomy_of(questions)
        questions.subject = asking(one_by_one, lambda other: other.subject)
        return prediction_of(questions, anatomy, 40)

    def one_by_one(x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / np.cumsum(e, axis=-1)[..., -1:]

    found = asking(sound, of_another)
    assert found.agreed < found.rows / 2


def test_nothing_is_predicted_where_a_part_was_not_seen():
    def unshifted(x):
        e = np.exp(x)
        return e / e.sum(axis=-1, keepdims=True)

    found = asking(unshifted, lambda q: prediction_of(q, anatomy_of(q), 40))
    assert found.why == "the maximum of all entries is not seen to be subtracted"
    assert found.line() == f"its bits are not predicted: {found.why}"


@pytest.mark.slow
@pytest.mark.parametrize("format", ["float32", "float64"])
def test_the_bits_of_pytorch_are_predicted(format):
    torch = pytest.importorskip("torch")

    def softmax(x):
        return torch.softmax(torch.from_numpy(x), -1).numpy()

    found = asking(softmax, lambda q: prediction_of(q, anatomy_of(q), 10_000), format)
    assert found.agreed >= 0.999 * found.rows, found


# Declarations ------------------------------------------------------------------------------


def declared(function, format="float32"):
    return asking(function, lambda q: declared_of(q, anatomy_of(q)), format)


def test_what_is_declared_bounds_the_errors_and_is_what_it_is():
    found = declared(sound)
    assert found.declares["argument"] == "shifted"
    assert found.declares["algorithm"]["summation"] == "pairwise"
    assert "division" not in found.declares["algorithm"]  # division is the default
    assert 0.3 < found.ratio <= 1


def test_a_declaration_that_is_pasted_is_one(tmp_path):
    found = declared(sound, "float64")
    source = "import numpy as np\ndef softmax(x):\n    e = np.exp(x - x.max(axis=-1, keepdims=True))\n"
    (tmp_path / "mine.py").write_text(
        f"{source}    return e / e.sum(axis=-1, keepdims=True)\n{found.text()}\n"
    )
    from harness.subject.candidates import load

    algorithm = load(f"{tmp_path / 'mine.py'}:softmax").declaration.algorithm
    assert algorithm.summation == "pairwise"
    assert algorithm.argument == "shifted"
    assert algorithm.exp_ulps >= 0.5


def test_nothing_is_declared_of_what_is_not_the_softmax_that_it_should_be():
    assert declared(lambda x: sound(x)[..., ::-1]).why
    why = declared(lambda x: without_the_last(x, lambda n: n > 1)).why
    assert why.startswith("not every entry counts once in the sum: "), why


# Changes -----------------------------------------------------------------------------------


def explanation(order="one by one", worst=1.0, cause=None, rows=3):
    parts = [
        {"part": "exp", "state": "observed", "text": f"worst {worst}", "rows": rows, "worst_ulp": worst},
        {"part": "sum", "state": "observed", "text": order, "rows": rows, "order": order},
    ]
    return {"parts": parts, "cause": cause, "violations": 1 if cause else 0}


def test_the_part_that_changed_is_named():
    [change] = changes(explanation(), explanation("folded in halves"))
    assert change.line() == "sum changed: one by one -> folded in halves"
    found = list(changes(explanation(), explanation(cause={"code": "sum.omits", "sentence": "the last"})))
    assert [c.line() for c in found] == ["cause changed: none -> sum.omits: the last"]


def test_more_rows_are_no_change():
    assert not list(changes(explanation(rows=3), explanation(rows=4)))


def test_two_files_are_compared_and_a_bad_one_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, document in (("a", explanation()), ("b", explanation(worst=2.0)), ("c", {})):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    assert cli.run(["compare", "a.json", "b.json"]) == 0
    assert capsys.readouterr().out == "exp changed: worst 1.0 -> worst 2.0\n"
    assert cli.run(["compare", "a.json", "a.json"]) == 0
    assert capsys.readouterr().out == "no part changed\n"
    assert cli.run(["compare", "a.json", "b.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"][0]["part"] == "exp"
    (tmp_path / "summary.json").write_text('{"cells": []}')
    for name, said in (
        ("c.json", "no explanation; write one with python -m harness explain CANDIDATE --json"),
        ("summary.json", "the summary of a run; give the folder of the run"),
        (".", "a folder; give two runs, or two files that explain --json wrote"),
    ):
        assert cli.run(["compare", "a.json", name]) == 2
        assert capsys.readouterr().err == f"error: {name}: {said}\n"


# The self-test's score ---------------------------------------------------------------------


def test_names_are_counted_by_format():
    right, other = Named(("sum.omits",), "sum.omits", ""), Named(("sum.omits",), "exp.cut", "exp.cut: why")
    none, left = Named(("sum.omits",), "", ""), Named((), "", "")
    found = [
        ("a", "float32", False, right),
        ("b", "float32", False, other),
        ("c", "float32", False, none),
        ("d", "float32", False, left),
        ("e", "float32", True, left),
        ("f", "float16", True, Named((), "exp.cut", "exp.cut: why")),
    ]
    score = scores((fmt, honest, each) for _, fmt, honest, each in found)
    assert (score["float32"].right, score["float32"].wrong, score["float32"].unexplained) == (1, 1, 1)
    assert (score["float32"].left, score["float32"].accused, score["float16"].accused) == (1, 0, 1)
    lines = list(texts(found))
    assert lines[1].startswith("causes in float32: 1 of 3 named rightly, 1 wrongly, 1 not at all")
    assert "named wrongly: b: exp.cut: why (right: sum.omits)" in lines
    assert "left unexplained: c (right: sum.omits)" in lines
