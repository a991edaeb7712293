"""A compiled kernel is called by ctypes: its formats, its errors, and what it must not do.

The example of the documentation is compiled here by the system's C compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness import cli
from harness.subject.candidates import CandidateError, load
from harness.subject.execution import Isolated
from reference import ulp_errors
from reference.formats import FORMATS
from tests.gating import briefly, failing, gate, replayed

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

SOURCE = Path(__file__).resolve().parent.parent / "docs" / "kernels" / "softmax.c"

MISBEHAVING = """#include <stddef.h>
void idle_f32(const float *x, float *y, size_t rows, size_t n) { (void)x; (void)y; (void)rows; (void)n; }
void beyond_f32(const float *x, float *y, size_t rows, size_t n) {
    for (size_t i = 0; i <= rows * n; i++) y[i] = x[0] - x[0];
}
void swapped_f32(float *y, const float *x, size_t rows, size_t n) {
    for (size_t i = 0; i < rows * n; i++) y[i] = 1.0f / n;
}
void one_row_f32(const float *x, float *y, int n) { for (int i = 0; i < n; i++) y[i] = 1.0f / n; }
void turned_f32(const float *x, float *y, size_t n, size_t rows) {
    for (size_t i = 0; i < rows * n; i++) y[i] = 1.0f / n;
}
void doubles_f32(const double *x, double *y, size_t rows, size_t n) {
    for (size_t i = 0; i < rows * n; i++) y[i] = 1.0 / n;
}
void in_place_f32(float *x, size_t rows, size_t n) {
    for (size_t i = 0; i < rows * n; i++) x[i] = 1.0f / n;
}
void patterned_f32(const float *x, float *y, size_t rows, size_t n) {
    for (size_t i = 0; i < rows * n; i++) ((unsigned *)y)[i] = 0xffffffffu;
}
void idle_f8e4m3fnuz(const unsigned char *x, unsigned char *y, size_t rows, size_t n) {
    (void)x; (void)y; (void)rows; (void)n;
}
void crash_f32(const float *x, float *y, size_t rows, size_t n) { *(volatile int *)0 = 1; }
void write_f32(float *x, float *y, size_t rows, size_t n) {
    for (size_t i = 0; i < rows * n; i++) { y[i] = 1.0f / n; x[i] = 0.0f; }
}
"""


UNNAMED = "int softmax(void) { return 0; } int other(void) { return 1; }\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("native")
    (folder / "bad.c").write_text(MISBEHAVING)
    (folder / "unnamed.c").write_text(UNNAMED)
    sources = {"libsoftmax.so": SOURCE, "bad.so": folder / "bad.c", "unnamed.so": folder / "unnamed.c"}
    for name, source in sources.items():
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(folder / name), str(source), "-lm"]
        subprocess.run(command, check=True, timeout=60)
    return folder


def test_one_name_stands_for_all_formats_of_the_library(folder: Path) -> None:
    candidate = load(f"{folder}/libsoftmax.so:softmax")
    assert candidate.formats == {"float32", "float64"}
    with Isolated(jobs=1) as executor:
        for name in ("float32", "float64"):
            fmt = FORMATS[name]
            x = fmt.from_float64([[0.0, 1.0, 2.0], [-3.5, 7.0, 7.0]])
            for presentation in ("plain", "strided", "reversed", "read_only", "cube", "vectors"):
                outcome = executor.run(candidate.spec, x, fmt, presentation=presentation)
                assert not outcome.faults, (presentation, outcome.faults)
                assert ulp_errors(x, outcome.outputs).max() < 2, presentation


def test_bfloat16_in_and_float32_out(folder: Path) -> None:
    candidate = load(f"{folder}/libsoftmax.so:softmax_bf16_f32")
    assert candidate.formats == {"bfloat16"}
    x = FORMATS["bfloat16"].from_float64([[0.0, 1.0, 2.0], [-3.5, 7.0, 7.0]])
    with Isolated(jobs=1) as executor:
        outcome = executor.run(candidate.spec, x, FORMATS["float32"])
    assert outcome.outputs is not None
    assert outcome.outputs.dtype == np.float32
    assert ulp_errors(x, outcome.outputs).max() < 2


def test_what_a_kernel_does_wrong_is_found(folder: Path) -> None:
    x = np.float32([[1.0, 2.0, 3.0]])
    fmt = FORMATS["float32"]
    with Isolated(jobs=1) as executor:
        idle = executor.run(f"{folder}/bad.so:idle_f32", x, fmt)
        beyond = executor.run(f"{folder}/bad.so:beyond_f32", x, fmt)
        crash = executor.run(f"{folder}/bad.so:crash_f32", x, fmt)
        write = executor.run(f"{folder}/bad.so:write_f32", x, fmt, presentation="watched")
    assert idle.outputs is not None
    assert np.isnan(idle.outputs).all()
    assert [(f.kind, "beyond the end of y" in f.message) for f in beyond.faults] == [("raised", True)]
    assert [f.kind for f in crash.faults] == ["crashed"]
    assert "SIGSEGV" in crash.faults[0].message
    assert write.overwritten is not None
    assert write.overwritten.all()


def test_what_is_left_alone_is_nan_in_a_format_whose_one_nan_has_no_other_bit(folder: Path) -> None:
    fmt = FORMATS["float8_e4m3fnuz"]
    with Isolated(jobs=1) as executor:
        outcome = executor.run(f"{folder}/bad.so:idle_f8e4m3fnuz", fmt.from_float64([[1.0, 2.0, 3.0]]), fmt)
    assert outcome.outputs is not None
    assert fmt.to_bits(outcome.outputs).tolist() == [[0x80] * 3]


def test_a_name_that_is_not_there_is_one_line(folder: Path) -> None:
    for name in ("nothing_f32", "softmax_f16", "nothing"):
        with pytest.raises(CandidateError, match=f"has no function '{name}' whose name ends in") as caught:
            load(f"{folder}/libsoftmax.so:{name}")
        assert "\n" not in str(caught.value)
        assert "it has softmax_bf16, softmax_bf16_f32" in str(caught.value) or "softmax_f32" in str(
            caught.value
        )


def test_where_no_name_fits_those_that_are_there_are_told(folder: Path) -> None:
    with pytest.raises(CandidateError, match="it has other, softmax; declare its prototype, as in"):
        load(f"{folder}/unnamed.so:softmax")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("idle_f32", "left 768 of 768 entries of y unwritten; it was called as void idle_f32"),
        ("swapped_f32", "left 768 of 768 entries of y unwritten, and wrote into x"),
        ("one_row_f32", "left 765 of 768 entries of y unwritten"),
        ("turned_f32", "took the number of rows for the length of a row"),
        ("doubles_f32", "wrote beyond the end of y"),
        ("beyond_f32", "wrote beyond the end of y"),
        ("in_place_f32", "SIGSEGV"),
        ("crash_f32", "SIGSEGV"),
    ],
)
def test_another_signature_is_refused_at_once(
    name: str, told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["run", f"{folder}/bad.so:{name}"]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("error: candidate ")
    assert told in said
    assert f"void {name}(const float *x, float *y, size_t rows, size_t n)" in said


def test_a_kernel_that_writes_what_was_there_has_written(folder: Path) -> None:
    assert load(f"{folder}/bad.so:patterned_f32").formats == {"float32"}


# Other prototypes ----------------------------------------------------------------------------

SHARES = """float m = x[0], s = 0;
    for (size_t i = 1; i < n; i++) if (x[i] > m) m = x[i];
    for (size_t i = 0; i < n; i++) s += expf(x[i] - m);"""

OTHER = f"""#include <math.h>
#include <stddef.h>
#include <stdint.h>
static void one(const float *x, float *y, size_t n) {{ {SHARES}
    for (size_t i = 0; i < n; i++) y[i] = expf(x[i] - m) / s; }}
void in_place(float *x, size_t n) {{ one(x, x, n); }}
int with_status(const float *in, int len, float *out) {{ one(in, out, len); return 0; }}
int failing(float *x, size_t n) {{ return x[0] > 1 ? 7 : (one(x, x, n), 0); }}
int refusing(float *x, size_t n) {{ (void)x; (void)n; return 22; }}
void strided(float *dst, int64_t ld, const float *src, int rows, int cols) {{
    for (int i = 0; i < rows; i++) one(src + i * ld, dst + i * ld, cols); }}
void padded(float *x, size_t rows, size_t n, size_t n_padded) {{
    for (size_t i = 0; i < rows; i++) {{ float *r = x + i * n_padded; one(r, r, n);
        for (size_t j = n; j < n_padded; j++) r[j] = 0; }} }}
float logsumexp(const float *x, size_t n) {{ {SHARES} return m + logf(s); }}
void attention(const float *x, float *y, const _Bool *mask, size_t rows, size_t n, float scale, float sink) {{
    for (size_t r = 0; r < rows; r++, x += n, y += n, mask += n) {{ float m = sink, s;
        for (size_t i = 0; i < n; i++) if (mask[i] && x[i] * scale > m) m = x[i] * scale;
        s = expf(sink - m);
        for (size_t i = 0; i < n; i++) {{ y[i] = mask[i] ? expf(x[i] * scale - m) : 0; s += y[i]; }}
        for (size_t i = 0; i < n; i++) y[i] /= s; }} }}
void unmasked_maximum(float *x, const uint8_t *mask, size_t n) {{ {SHARES}
    s = 0; for (size_t i = 0; i < n; i++) s += mask[i] ? expf(x[i] - m) : 0;
    for (size_t i = 0; i < n; i++) x[i] = mask[i] ? expf(x[i] - m) / s : 0; }}
void reads_the_padding(float *x, size_t rows, size_t n, size_t stride) {{
    (void)n; for (size_t i = 0; i < rows; i++) one(x + i * stride, x + i * stride, stride); }}
"""

PROTOTYPES = [
    "void in_place(float *x, size_t n)",
    "int with_status(const float *in, int len, float *out)",
    "void strided(float *dst, int64_t ld, const float *src, int rows, int cols);",
    "extern void padded ( float* restrict x , size_t rows, size_t n, size_t n_padded )",
]


@pytest.fixture(scope="module")
def other(folder: Path) -> Path:
    source = folder / "other.c"
    source.write_text(OTHER)
    command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", str(folder / "other.so")]
    subprocess.run([*command, str(source), "-lm"], check=True, timeout=60)
    return folder / "other.so"


@pytest.mark.parametrize("prototype", PROTOTYPES)
def test_a_declared_prototype_is_called_as_it_says(prototype: str, other: Path) -> None:
    candidate = load(f"{other}:{prototype}")
    assert candidate.formats == {"float32"}
    fmt = FORMATS["float32"]
    for n in (1, 3, 16, 33):
        x = fmt.from_float64(np.linspace(-9, 7, 5 * n).reshape(5, n))
        with Isolated(jobs=1) as executor:
            for presentation in ("plain", "strided", "cube", "watched"):
                outcome = executor.run(candidate.spec, x, fmt, presentation=presentation)
                assert not outcome.faults, (presentation, outcome.faults)
                assert ulp_errors(x, outcome.outputs).max() < 4, presentation


def test_the_result_that_a_kernel_returns_is_its_logsumexp(other: Path) -> None:
    candidate = load(f"{other}:float logsumexp(const float *x, size_t n)")
    assert candidate.op.name == "logsumexp"
    x = np.float32([[0.0, 0.0, 0.0], [100.0, 1.0, -3.0]])
    with Isolated(jobs=1) as executor:
        outcome = executor.run(candidate.spec, x, FORMATS["float32"], reduces=True)
    assert outcome.outputs is not None
    assert outcome.outputs.tolist() == [[np.log(np.float32(3))], [100.0]]


@pytest.mark.parametrize("row_by_row", [False, True])
def test_a_scale_a_sink_and_a_mask_are_passed(row_by_row: bool, other: Path) -> None:
    """The values of the prototype are those of the op that the kernel is judged as."""
    values = "float scale = 0.125f, float sink = -1.5"
    prototype = f"void attention(const float *x, float *y, const bool *mask, size_t rows, size_t n, {values})"
    candidate = load(f"{other}:{prototype}")
    assert candidate.op.name == "softmax(scale=0.125, sink=-1.5, mask)"
    x = np.float32([[0.0, 1.0, -np.inf, 40.0], [-np.inf, -2.0, 3.0, -np.inf], [-np.inf] * 4])
    with Isolated(jobs=1) as executor:
        rows = [x[i : i + 1] for i in range(len(x))] if row_by_row else [x]
        outcomes = [executor.run(candidate.spec, part, FORMATS["float32"]) for part in rows]
    y = np.concatenate([outcome.outputs for outcome in outcomes])
    assert ulp_errors(x, y, op=candidate.op.name).max() < 4
    assert not y[np.isneginf(x)].any()


def test_a_kernel_whose_maximum_is_that_of_masked_entries_is_wrong(other: Path) -> None:
    candidate = load(f"{other}:void unmasked_maximum(float *x, const uint8_t *mask, size_t n)")
    assert candidate.op.name == "softmax(mask)"
    x = np.float32([[0.0, -np.inf, -np.inf, -np.inf, -np.inf]])
    with Isolated(jobs=1) as executor:
        outcome = executor.run(candidate.spec, x, FORMATS["float32"])
    assert outcome.outputs is not None
    assert outcome.outputs[0, 0] != 1.0


def test_a_header_beside_the_library_declares_its_prototypes(other: Path) -> None:
    header = other.with_suffix(".h")
    lines = ["#ifndef OTHER_H", "#define OTHER_H /* int in_place(int y) */", 'extern "C" {']
    header.write_text("\n".join([*lines, *(f"{p};  // one row" for p in PROTOTYPES), "}", "#endif", ""]))
    try:
        candidate = load(f"{other}:with_status")
        x = np.float32([[0.0, 1.0, 2.0]])
        with Isolated(jobs=1) as executor:
            outcome = executor.run(candidate.spec, x, FORMATS["float32"])
        assert ulp_errors(x, outcome.outputs).max() < 4
        header.write_text("void in_place(void *x, size_t n);")
        with pytest.raises(CandidateError, match=r"other\.h: .* a pointer to void is not understood"):
            load(f"{other}:in_place")
    finally:
        header.unlink()


def test_a_status_is_a_fault_of_the_row(other: Path) -> None:
    candidate = load(f"{other}:int failing(float *x, size_t n)")
    with Isolated(jobs=1) as executor:
        outcome = executor.run(candidate.spec, np.float32([[0.0, 1.0], [2.0, 1.0]]), FORMATS["float32"])
    assert [(f.kind, f.row) for f in outcome.faults] == [("raised", 1)]
    assert "failing returned 7; 0 is taken for success" in outcome.faults[0].message


@pytest.mark.parametrize(
    ("prototype", "said"),
    [
        ("int refusing(float *x, size_t n)", "given 3 rows of 256 zeros, returned 22"),
        (
            "void in_place(float *x, size_t n, float t)",
            "parameter float t is not understood",
        ),
        ("void in_place(float *x, size_t n, float scale)", "is not said; write float scale = 0.125"),
        ("void in_place(float *x, size_t n, double sink = -x)", "is not said; write double sink = 0.125"),
        ("void in_place(float *x, const float *mask, size_t n)", "a mask of float is not understood"),
        ("void in_place(float *x, const bool *mask, size_t n, size_t ld)", "where the rows of the mask lie"),
        ("void in_place(float *x)", "no parameter is the number of entries of a row; name it n"),
        ("void in_place(float *x, size_t n, int cols)", "two parameters are its length"),
        ("void in_place(uint16_t *x, size_t n)", "its types tell no format; write _Float16 or __bf16"),
        ("void softmax_f64(float *x, size_t n)", "has no function 'softmax_f64'"),
        ("void in_place(const float *x, size_t n)", "it has no pointer to write results to"),
        ("in_place(x, n)", "is no C prototype such as int softmax(float *x, size_t n)"),
        ("char *in_place(float *x, size_t n)", "is no C prototype such as"),
        ("void in_place(float *u, float *v, size_t n)", "which pointer is the input is not understood"),
    ],
)
def test_a_prototype_that_is_not_understood_is_one_line(prototype: str, said: str, other: Path) -> None:
    with pytest.raises(CandidateError) as caught:
        load(f"{other}:{prototype}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_lies_between_strided_rows_is_not_a_number(other: Path) -> None:
    """A kernel that takes the stride for the length is found out by each of its rows."""
    candidate = load(f"{other}:void reads_the_padding(float *x, size_t rows, size_t n, size_t stride)")
    with Isolated(jobs=1) as executor:
        outcome = executor.run(candidate.spec, np.float32([[0.0, 1.0, 2.0]]), FORMATS["float32"])
    assert outcome.outputs is not None
    assert np.isnan(outcome.outputs).all()


def test_a_gate_of_a_declared_kernel_replays_its_witness(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    briefly(monkeypatch, 9)
    monkeypatch.chdir(tmp_path)
    spec = f"{other}:int failing(float *x, size_t n)"
    code, document = gate(capsys, spec, "--format", "float32", "--tier", "fast")
    assert code == 1
    assert {replayed(v) for v in failing(document)[:1]} == {1}
