"""Arrays as users have them: the same figures whatever holds the values, or one line that says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pytest

import harness
from harness import testing
from reference import correctly_rounded, ulp_errors
from strategies.input_file import load

X = np.float32([[0.0, 1.0, 2.0], [3.0, 1.0, -2.0]])
Y = np.nextafter(correctly_rounded(X), np.float32(1))
FIGURES = ulp_errors(X, Y)

HOLDERS: dict[str, Callable[[Any], Any]] = {
    "big-endian": lambda a: a.astype(">f4"),
    "list of arrays": list,
    "lists of scalars": lambda a: [list(row) for row in a],
    "tuple of big-endian arrays": lambda a: tuple(a.astype(">f4")),
    "matrix": np.matrix,
    "memory of a subclass": lambda a: a.view(type("Own", (np.ndarray,), {})),
    "masked array without a mask": np.ma.array,
    "frame": pd.DataFrame,
    "frame that may miss values": lambda a: pd.DataFrame(a).astype("Float32"),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_what_holds_the_values_does_not_matter(holder: Callable[[Any], Any]) -> None:
    assert (ulp_errors(holder(X), holder(Y)) == FIGURES).all()
    assert correctly_rounded(holder(X)).tobytes() == correctly_rounded(X).tobytes()


@pytest.mark.parametrize(
    "convert", [np.ndarray.tolist, lambda x: x.astype(np.longdouble), lambda x: x.astype(">f8")]
)
def test_logits_may_be_of_any_dtype_that_is_exact(convert: Callable[[Any], Any]) -> None:
    assert (ulp_errors(convert(X), Y) == FIGURES).all()


def test_a_series_is_a_row() -> None:
    assert (ulp_errors(pd.Series(X[0]), pd.Series(Y[0])) == FIGURES[0]).all()


REFUSED = [
    (np.ma.array(X, mask=X > 2), Y, "masked entries: 1 of 6 hold no number"),
    (X, np.ma.array(Y, mask=X > 0), "masked entries: 4 of 6 hold no number"),
    ([np.ma.array(X[0], mask=[0, 0, 1]), X[1]], Y, "masked entries: 1 of 3"),
    ([[np.ma.masked, 1, 2], [1, 2, 3]], Y, "masked entries: 1 of 1"),
    (pd.DataFrame(X).astype("Float32").mask(X > 2), Y, "missing entries: 1 of 6"),
    (
        pd.DataFrame({"a": [2**53 + 1, 1], "b": [0.5, 1.0]}),
        Y[:, :2],
        "9007199254740993: float64 must hold it",
    ),
    (X.astype(np.longdouble) + np.longdouble(1) / 3, Y, "float64 must hold it exactly"),
    ([[1, 2], [3]], Y, "row of 2 values among rows of other lengths"),
    ([X[0], X[1, :2]], Y, "row of 3 values among rows of other lengths"),
    (X, [Y[0], Y[1].astype(np.float64)], "entries of float32, float64: name the format"),
    (X, Y.astype(object), "dtype object: it is one of float16"),
    (np.zeros((2, 3), dtype=[("a", "f4")]), Y, "it is one of float16"),
    (X > 1, Y, "dtype bool: it is one of float16"),
]


@pytest.mark.parametrize(("x", "y", "told"), REFUSED)
def test_what_holds_no_numbers_is_one_line(x: Any, y: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        ulp_errors(x, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f4", np.longdouble])
def test_a_file_is_taken_as_an_array_is(dtype: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.astype(dtype))
    rows = load(tmp_path / "x.npy").values  # noqa: PD011
    assert (ulp_errors(rows, Y) == ulp_errors(X.astype(dtype), Y)).all()


def test_integers_beside_floats_of_a_file_are_not_rounded(tmp_path: Path) -> None:
    pd.DataFrame({"a": [2**53 + 1, 1], "b": [0.5, 1.0]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="int64 value 9007199254740993 is none that float64 holds exactly"):
        load(tmp_path / "x.parquet")


def masking(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return np.ma.masked_less(y, 1e-3)


def test_a_masked_output_is_no_output() -> None:
    cells = harness.measure(masking, "float16", regimes=["wide-normal"], lengths=[64]).cells
    assert set(cells["status"]) == {"crashed"}
    with pytest.raises(AssertionError, match="1 of 2 entries masked, which hold no number"):
        testing.assert_keeps("range", masking, np.float32([0, 100]))
    testing.assert_keeps("range", masking, np.array([0, 1], dtype=">f4"))
    testing.assert_keeps(
        "range", lambda x: np.ma.array(np.zeros_like(x)), np.array([0, 1], ml_dtypes.bfloat16)
    )
