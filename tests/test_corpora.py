"""The corpora hold what their sources say, in every format that can hold it, and always the same bits."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from harness.campaign.settings import USUAL_FORMATS
from reference.formats import FORMATS
from reference.row_kinds import RowKind, row_kinds
from strategies.corpora import CORPORA, left_out
from strategies.corpora import known_bugs as known_bugs_module
from strategies.corpora.digits import DATA
from strategies.corpora.known_bugs import known_bugs
from tests.longer import sample

MANY_BYTES = 2**30
BUGS = {bug.label: bug for bug in known_bugs()}


def labelled(corpus, fmt):
    return [
        (label, row)
        for rows in CORPORA[corpus].fixed_rows(FORMATS[fmt])
        for label, row in zip(rows.labels, FORMATS[fmt].to_float64(rows.rows), strict=True)
    ]


def test_the_known_bugs_come_first():
    assert list(CORPORA) == ["known-bugs", "digits-sane", "digits-exploding"]
    assert all(name == corpus.name and corpus.title and corpus.source for name, corpus in CORPORA.items())


GOLDEN = {
    "known-bugs": "e8c6ad846731b165",
    "digits-sane": "dae235ceadf33758",
    "digits-exploding": "f6c21dcd716491fd",
}


@pytest.mark.parametrize("name", CORPORA)
def test_rows_are_grouped_by_length_and_have_the_bits_that_they_had_when_first_written(name):
    digest = hashlib.sha256()
    for fmt in map(FORMATS.__getitem__, USUAL_FORMATS):
        groups = CORPORA[name].fixed_rows(fmt)
        assert [g.length for g in groups] == sorted({g.length for g in groups})
        for group in groups:
            assert group.rows.dtype == fmt.dtype
            assert group.rows.shape == (len(group.labels), group.length)
            bits = fmt.to_bits(group.rows)
            digest.update(bits.astype(bits.dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest()[:16] == GOLDEN[name]


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("name", CORPORA)
def test_a_row_is_kept_exactly_where_all_its_numbers_stay_numbers(name, fmt):
    """Held against `FloatFormat.round` on fractions, which shares no code with the arrays' rounding.

    Of the many rows of the digits every fourth is, by default.
    """
    target, labels = FORMATS[fmt], sorted({label for label, _ in CORPORA[name].labelled()})
    looked_at = set(labels if name == "known-bugs" else labels[:: sample(4, 1)])
    kept = [(label, row) for label, row in labelled(name, fmt) if label in looked_at]
    expected = []
    for label, values in sorted(CORPORA[name].labelled(), key=lambda pair: pair[1].size):
        if values.size > 200 or label not in looked_at:
            continue
        rounded = [rounded_value(target, v) for v in values.tolist()]
        if None not in rounded:
            expected.append((label, np.array(rounded)))
    short = [(label, row) for label, row in kept if row.size <= 200]
    assert [label for label, _ in short] == [label for label, _ in expected]
    for (label, row), (_, wanted) in zip(short, expected, strict=True):
        np.testing.assert_array_equal(row, wanted, err_msg=label)


def rounded_value(fmt, value):
    """The value rounded into the format; None where that cannot stand for it."""
    if np.isnan(value):
        return value
    if np.isinf(value):
        return value if fmt.has_infinity else None
    exact = fmt.decode(fmt.round(Fraction(value)))
    return None if exact is None else float(exact)


# Known bugs -------------------------------------------------------------------------------------


def test_every_report_has_rows_or_a_reason_and_its_own_address():
    assert len(BUGS) == len(known_bugs()) == 59
    for bug in known_bugs():
        assert bool(bug.rows) != bool(bug.left_out), bug.label
        assert bug.url == f"https://github.com/{bug.repo}/issues/{bug.number}"
        assert bug.kind
        assert bug.seen_in


def test_no_row_needs_more_than_a_gibibyte():
    assert all(row.nbytes <= MANY_BYTES // 1024 for bug in known_bugs() for row in bug.rows)
    assert {bug.number for bug in left_out()} == {84144, 32299, 71935, 191565, 266}


def test_rows_of_reports_of_every_op_are_put_to_all():
    assert {bug.op for bug in known_bugs()} == {"softmax", "log_softmax", "reduce_logsumexp"}
    replayed = {label for label, _ in labelled("known-bugs", "float64")}
    assert replayed == {bug.label for bug in known_bugs() if bug.rows}


@pytest.mark.parametrize(
    ("label", "rows"),
    [
        ("FluxML/NNlib.jl#43", [[-10000, -10000]]),
        ("ohdearquant/lattice#373", [[-20000, -np.inf]]),
        ("openvinotoolkit/openvino#33456", [[np.inf, 1, 2]]),
        ("tracel-ai/burn#4815", [[1, 5, 9], [2, 6, 10], [3, 7, 11], [4, 8, 12]]),
        ("huggingface/candle#3727", [[0] * 4096]),
        ("tenstorrent/tt-metal#19781", [[-float(FORMATS["bfloat16"].largest)] * 7]),
    ],
)
def test_reported_inputs_are_there_to_the_letter(label, rows):
    assert [row.tolist() for row in BUGS[label].rows] == rows


@pytest.mark.parametrize(
    ("label", "kinds"),
    [
        ("ml-explore/mlx#1467", [RowKind.ALL_NEG_INF] * 3),
        ("tenstorrent/tt-metal#56056", [RowKind.ALL_NEG_INF, RowKind.POS_INF, RowKind.NAN]),
        ("flashinfer-ai/flashinfer#1178", [RowKind.MASKED] * 3),
        ("csarofeen/pytorch#1141", [RowKind.FINITE] * 2),
    ],
)
def test_reported_shapes_became_rows_of_that_kind(label, kinds):
    assert [int(row_kinds(row[None])[0]) for row in BUGS[label].rows] == kinds


def test_an_unknown_segment_is_refused(tmp_path, monkeypatch):
    entry = {"repo": "a/b", "number": 1, "url": "u", "op": "softmax", "seen_in": "f32", "kind": "k"}
    data = tmp_path / "bugs.json"
    data.write_text(json.dumps([{**entry, "rows": [[{"ones": 3}]]}]))
    monkeypatch.setattr(known_bugs_module, "_DATA", data)
    with pytest.raises(ValueError, match=r"segment \{'ones': 3\}"):
        known_bugs.__wrapped__()


# Digits --------------------------------------------------------------------------------------------


def test_the_sane_network_classifies_and_the_exploding_one_leaves_float32():
    sane = np.array([row for _, row in labelled("digits-sane", "float64")])
    exploding = np.array([row for _, row in labelled("digits-exploding", "float64")])
    assert sane.shape == (597, 10)
    assert exploding.shape == (576, 10)
    assert 10 < np.abs(sane).max() < 100
    assert np.abs(exploding).max() > float(FORMATS["float32"].largest)
    assert np.isfinite(exploding).all()
    held = {fmt: len(labelled("digits-exploding", fmt)) for fmt in FORMATS}
    assert held["float8_e4m3fn"] < held["float16"] < held["float32"] < held["float64"] == 576


def test_the_data_file_is_small_and_the_one_that_the_provenance_describes():
    provenance = (DATA.parent / "PROVENANCE.md").read_text(encoding="utf-8")
    assert DATA.stat().st_size < 2**20
    assert hashlib.sha256(DATA.read_bytes()).hexdigest() in provenance


def test_the_script_still_records_what_was_recorded():
    """Other linear algebra rounds otherwise; the sane network forgives that, the exploding one at first."""
    pytest.importorskip("sklearn")
    from strategies.corpora.make_digits import record

    made = record()
    with np.load(DATA) as data:
        assert set(made) == set(data)
        np.testing.assert_allclose(made["sane_logits"], data["sane_logits"], rtol=1e-6, atol=1e-6)
        early = data["exploding_step"] <= 4
        np.testing.assert_allclose(
            made["exploding_logits"][early], data["exploding_logits"][early], rtol=1e-6, atol=1e-6
        )


def test_every_data_file_is_packaged():
    assert {path.suffix for path in Path(DATA).parent.iterdir() if path.is_file()} <= {
        ".py",
        ".json",
        ".npz",
        ".md",
    }
