"""A user's file becomes rows exactly, or one line that names the value, the rule and the next step."""

import ml_dtypes
import numpy as np
import pytest

from reference.formats import FORMATS
from strategies.input_file import load

LOGITS = np.array([[0.1, -2.5, 1e300], [np.inf, -np.inf, np.nan], [1.0, 2.0, 3.0]])


def saved(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def numpy_file(tmp_path, array, **options):
    np.save(tmp_path / "x.npy", array, **options)
    return tmp_path / "x.npy"


def parquet_file(tmp_path, columns, **options):
    import pandas as pd

    pd.DataFrame(columns, **options).to_parquet(tmp_path / "x.parquet")
    return tmp_path / "x.parquet"


def same(values, expected):
    expected = np.asarray(expected, dtype=np.float64)
    return values.shape == expected.shape and values.tobytes() == expected.tobytes()


# What is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ">f8", np.int8, np.uint64])
def test_npy_is_read_exactly(tmp_path, dtype):
    array = np.array([[1, 2, 100], [0, 5, 7]], dtype=dtype)
    assert same(load(numpy_file(tmp_path, array)).values, array)


def test_a_single_vector_is_one_row(tmp_path):
    assert load(numpy_file(tmp_path, LOGITS[0])).values.shape == (1, 3)  # noqa: PD011


def test_an_array_in_column_order_keeps_its_rows(tmp_path):
    assert same(load(str(numpy_file(tmp_path, np.asfortranarray(LOGITS)))).values, LOGITS)


def test_npz_with_one_array_is_read(tmp_path):
    np.savez(tmp_path / "x.npz", logits=LOGITS)
    assert same(load(tmp_path / "x.npz").values, LOGITS)


def test_csv_is_rounded_correctly_and_takes_infinities(tmp_path):
    path = saved(tmp_path / "x.csv", "0.1, -inf,Infinity", "", "9007199254740993,-0,2.2250738585072011e-308")
    expected = [[0.1, -np.inf, np.inf], [2.0**53, -0.0, float.fromhex("0x0.fffffffffffffp-1022")]]
    assert same(load(path).values, expected)


@pytest.mark.parametrize(
    ("first", "rows"), [("cat,dog", 1), ("0.5,dog2", None), ("0,1", 2), ("\ufeffcat,dog", 1), ("'a','b'", 1)]
)
def test_a_first_line_without_any_number_is_a_header(tmp_path, first, rows):
    path = saved(tmp_path / "x.csv", first, "3,4")
    if rows is None:
        with pytest.raises(ValueError, match="line 1, value 2: 'dog2' is not a float64 number"):
            load(path)
    else:
        assert len(load(path).values) == rows


def test_parquet_columns_and_lists_are_rows_and_a_stored_index_is_not(tmp_path):
    columns = {"a": [1.5, 2.5], "b": np.array([1, 2], dtype=np.float32), "c": [3, 4]}
    expected = [[1.5, 1, 3], [2.5, 2, 4]]
    assert same(load(parquet_file(tmp_path, columns)).values, expected)
    assert same(load(parquet_file(tmp_path, columns, index=[10, 20])).values, expected)
    assert same(load(parquet_file(tmp_path, {"logits": [[1.0, 2.0], [3.0, 4.0]]})).values, [[1, 2], [3, 4]])


# What becomes of it ---------------------------------------------------------------------------


def test_rows_a_format_cannot_hold_are_left_out_and_the_rest_are_rounded(tmp_path):
    inputs = load(numpy_file(tmp_path, LOGITS))
    (whole,) = inputs.fixed_rows(FORMATS["float64"])
    assert whole.labels == ("x.npy[0]", "x.npy[1]", "x.npy[2]")
    assert same(whole.rows, LOGITS)
    (half,) = inputs.fixed_rows(FORMATS["float16"])
    assert half.labels == ("x.npy[1]", "x.npy[2]")
    assert half.length == 3
    assert half.rows.dtype == np.float16
    (eighth,) = inputs.fixed_rows(FORMATS["float8_e4m3fn"])
    assert eighth.labels == ("x.npy[2]",)
    assert inputs.left_out(FORMATS["float8_e4m3fn"]) == 2
    assert inputs.left_out(FORMATS["float64"]) == 0


def test_rows_are_rounded_once_and_to_nearest(tmp_path):
    above_a_tie = 1 + 2.0**-8 + 2.0**-40  # by way of float32 it would become the tie, and then 1
    (rows,) = load(numpy_file(tmp_path, np.array([above_a_tie]))).fixed_rows(FORMATS["bfloat16"])
    assert float(rows.rows[0, 0]) == 1 + 2.0**-7


def test_a_file_that_fits_no_value_of_a_format_gives_it_no_rows(tmp_path):
    inputs = load(numpy_file(tmp_path, np.array([[1e300, 0.0]])))
    assert inputs.fixed_rows(FORMATS["float32"]) == ()
    assert len(inputs.fixed_rows(FORMATS["float64"])) == 1


@pytest.mark.parametrize(
    ("fmt", "changed"), [("float64", 0), ("float32", 2), ("float16", 3), ("float8_e4m3fn", 5)]
)
def test_changed_counts_the_values_that_rounding_changes(tmp_path, fmt, changed):
    row = [0.1, 1 + 2.0**-11, 1e300, np.inf, -np.inf, np.nan, 0.0]
    assert load(numpy_file(tmp_path, np.array(row))).changed(FORMATS[fmt]) == changed


def test_the_digest_is_of_the_rows_alone(tmp_path):
    first = load(numpy_file(tmp_path, np.array([[1.0, 2.0]]))).digest
    assert load(saved(tmp_path / "y.csv", "1,2")).digest == first
    assert load(saved(tmp_path / "y.csv", "1", "2")).digest != first


# What is refused ---------------------------------------------------------------------------------


def refused(path, *fragments):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what is tested
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"input {str(path)!r}: ")
    assert message.count(";") >= 1, message
    for fragment in fragments:
        assert fragment in message


def test_a_path_that_is_no_file(tmp_path):
    refused(tmp_path / "none.npy", "there is no such file")
    (tmp_path / "folder.csv").mkdir()
    refused(tmp_path / "folder.csv", "it is not a file")


def test_an_unknown_extension(tmp_path):
    refused(tmp_path / "x.txt", "its extension is none of .npy, .npz, .csv, .parquet")


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv", "x.parquet"])
def test_an_empty_or_garbled_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path / name, "the file is empty")
    (tmp_path / name).write_bytes(b"\xff\xfe\x00garbage" * 3)
    refused(tmp_path / name)


@pytest.mark.parametrize("shape", [(), (2, 2, 2), (0,), (0, 3), (3, 0)])
def test_an_array_that_is_not_rows(tmp_path, shape):
    refused(numpy_file(tmp_path, np.zeros(shape)), f"shape {shape}")


@pytest.mark.parametrize(
    ("array", "fragment"),
    [
        (np.array([1 + 2j]), "dtype complex128 is not real numbers"),
        (np.array(["1", "2"]), "dtype <U1 is not real numbers"),
        (np.array([True, False]), "dtype bool is not real numbers"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "is not real numbers"),
        (np.array([(1.0, 2)], dtype=[("a", "f4"), ("b", "i4")]), "is not real numbers"),
        (np.array([2**53, 2**53 + 1]), "int64 value 9007199254740993 is none that float64 holds exactly"),
        (np.array([2**63 - 1]), "int64 value 9223372036854775807"),
        (np.array([2**64 - 1], dtype=np.uint64), "uint64 value 18446744073709551615"),
        (np.array([1, 2], dtype=np.longdouble) / 3, "is none that float64 holds exactly"),
    ],
)
def test_values_that_are_no_logits(tmp_path, array, fragment):
    refused(numpy_file(tmp_path, array), fragment)


@pytest.mark.parametrize(("dtype", "lost"), [("bfloat16", "bfloat16"), ("float8_e5m2", "a float8")])
def test_formats_whose_dtype_np_save_loses(tmp_path, dtype, lost):
    array = np.ones(3, dtype=getattr(ml_dtypes, dtype))
    np.save(tmp_path / "x.npy", array.view(f"V{array.itemsize}"))
    refused(tmp_path / "x.npy", f"np.save writes {lost} without its dtype", "save array.astype(np.float32)")


def test_pickles_are_never_loaded(tmp_path):
    array = np.array([1.0, "x"], dtype=object)
    refused(numpy_file(tmp_path, array, allow_pickle=True), "pickles are never loaded")
    np.savez(tmp_path / "x.npz", a=array)
    refused(tmp_path / "x.npz", "pickles are never loaded")


def test_npz_with_none_or_several_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", a=LOGITS, b=LOGITS)
    refused(tmp_path / "x.npz", "it holds 2 arrays (a, b); one is wanted")
    np.savez(tmp_path / "x.npz")
    refused(tmp_path / "x.npz", "it holds 0 arrays")


def test_a_file_under_another_extension(tmp_path):
    np.savez(tmp_path / "x.npz", a=LOGITS)
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    refused(tmp_path / "x.npy", "the content is not .npy")


@pytest.mark.parametrize(
    ("lines", "fragment"),
    [
        (["1,2", "3"], "line 2 has 1 values, line 1 has 2; rows of one file are equally long"),
        (["1,2", "3,x"], "line 2, value 2: 'x' is not a float64 number"),
        (["1,2", "3,"], "line 2, value 2: '' is not a float64 number"),
        (["1,2", "3,1_000"], "line 2, value 2: '1_000' is not a float64 number"),
        (
            ["1;2", "3;4"],
            "line 2, value 1: '3;4' is not a float64 number; a line is numbers parted by commas",
        ),
        (["1,1e400"], "line 1, value 2: '1e400' is not a float64 number"),
        (["a,b"], "no line holds a number"),
        (["", "  "], "no line holds a number"),
        ([",0,1", "0,0.5,0.25"], "line 1, value 1: '' is not a float64 number"),
    ],
)
def test_csv_that_is_not_rows_of_numbers(tmp_path, lines, fragment):
    refused(saved(tmp_path / "x.csv", *lines), fragment)


@pytest.mark.parametrize(
    ("columns", "fragment"),
    [
        ({"a": [1.0, None]}, "column 'a' has 1 missing values"),
        ({"a": [1.0], "b": ["x"]}, "column 'b'"),
        ({"a": [True]}, "column 'a' is of bool"),
        ({"a": [[1.0], [1.0, 2.0]]}, "lists of 1 to 2 values; rows of one file are equally long"),
        ({"a": [["x"]]}, "is not real numbers"),
    ],
)
def test_parquet_that_is_not_rows_of_numbers(tmp_path, columns, fragment):
    refused(parquet_file(tmp_path, columns), fragment)
