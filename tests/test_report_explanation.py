"""The section on why candidates fail: parts, the error of exp, and the order of additions as a tree."""

import re
from types import SimpleNamespace

import pytest

from harness.explanation.orders import clades, joins, known_orders
from reports.record.documents import DOCUMENTS
from reports.record.schema import Malformed
from reports.sections.explanation import render
from reports.trees import depths, tree_of, tree_svg

NUMPY = next(order for order in known_orders() if "NumPy" in order.name)


def document(**facts):
    parts = [
        {
            "part": "exp",
            "state": "observed",
            "text": "worst 2 ULP",
            "rows": 7,
            "curve": [[-0.5, 0.25], [-20.0, 2.0], [-90.0, None]],
        },
        {
            "part": "sum",
            "state": "observed",
            "text": "8 lanes",
            "rows": 9,
            "order": NUMPY.name,
            "heights": {"16": 4},
            "joins": joins(clades(NUMPY, 16), 16),
        },
    ]
    named = {
        "candidate": "mine.py:<b>",
        "format": "float32",
        "out_format": "float32",
        "line": "sum.omits: why",
    }
    return {**named, "parts": parts, **facts}


def drawn(*documents):
    return str(render(SimpleNamespace(documents={"explanations": list(documents)})))


def test_each_part_is_a_row_and_exp_and_the_sum_are_drawn():
    page = drawn(document())
    assert page.count("<svg") == 2
    assert "sum.omits: why" in page
    assert "mine.py:&lt;b&gt;" in page
    assert "<b>" not in page
    assert re.search(r"exp</th>.*observed.*worst 2 ULP.*7", page)
    assert "2.00 ULP at -20" in page or "2 ULP at -20" in page


def test_nothing_is_drawn_of_a_run_without_explanations_or_of_one_that_was_not_opened():
    assert drawn() == ""
    asked = document()
    del asked["parts"]
    assert drawn(asked) == ""


def test_a_tree_is_the_order_in_which_terms_are_added():
    tree = tree_of(joins(clades(NUMPY, 16), 16))
    assert depths(tree) == dict.fromkeys(range(16), 4)
    one_by_one = tree_of(joins(clades(known_orders()[0], 5), 5))
    assert one_by_one == [[[[0, 1], 2], 3], 4]
    assert depths(one_by_one) == {0: 4, 1: 4, 2: 3, 3: 2, 4: 1}


def test_a_picture_has_a_joint_for_each_addition_and_a_name_for_each_entry():
    svg = str(tree_svg(tree_of(joins(clades(NUMPY, 16), 16)), "said & done"))
    assert len(re.findall("H", svg)) == 15  # a line across for each of n - 1 additions
    assert [int(name) for name in re.findall(r">(\d+)</text>", svg)] == sorted(range(16), key=lambda i: i % 8)
    assert "said &amp; done" in svg


@pytest.mark.parametrize(
    "found",
    [None, 3, [], [0], [[0, 0]], [[0, "1"]], [[0, True]], [[-1, 0]], [[0, 1], [0, 2]], [[0, 2]], [[0, 1, 2]],
     "ab", [{}], [[i, i + 1] for i in range(64)]],
)  # fmt: skip
def test_what_is_no_tree_is_not_drawn(found):
    assert tree_of(found) is None
    asked = document()
    asked["parts"][1]["joins"] = found
    assert drawn(asked).count("<svg") == 1


@pytest.mark.parametrize("curve", [None, [], [[-1.0, 1.0]], [[1], "ab"], [["x", 1.0], [-2.0, "y"]]])
def test_a_curve_without_points_is_not_drawn(curve):
    asked = document()
    asked["parts"][0]["curve"] = curve
    assert drawn(asked).count("<svg") == 1


def test_parts_that_are_no_list_of_objects_are_refused():
    with pytest.raises(Malformed, match="parts"):
        DOCUMENTS["explanations"]([document(parts="ab")], "explanations")
    DOCUMENTS["explanations"]([document()], "explanations")
