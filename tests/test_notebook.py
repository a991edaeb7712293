"""Runs in a notebook: what `harness` shows, the tables of a run, and the notebook of the documentation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harness
from harness import cli
from harness.notebook import Run
from reference.formats import FORMATS
from reports.record.frames import CATEGORIES, KEY, RATES, WITNESSES
from reports.record.metrics import METRICS
from reports.record.run_folder import RunFolderError
from tests.notebooks import NOTEBOOK, shown
from tests.test_documents import shape

pytestmark = pytest.mark.usefixtures("few_checks", "one_job")

LINKS = ("witness", "max_ulp_witness", "small_witness", "small_max_ulp_witness")


def test_the_package_shows_what_is_public_and_nothing_else() -> None:
    assert dir(harness) == ["Run", "load", "measure", "testing"]
    assert all(getattr(harness, name) is not None for name in dir(harness))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of short rows, and of long ones that are drawn again."""
    here = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patches:
        patches.chdir(here)
        few = ["--rows=16", "--regime=sum-overflow", "--length=2", "--length=1200"]
        assert cli.run(["run", "naive", "--format=bfloat16", "--effort=brief", *few]) == 0
    return here


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    return harness.load("latest")


def test_a_run_is_opened_by_name_and_by_path(folder: Path, run: Run) -> None:
    by_path = harness.load(folder / "harness-out" / (folder / "harness-out/latest").read_text().strip())
    for name in ("cells", "witnesses", "rates"):
        pd.testing.assert_frame_equal(
            *(getattr(r, name).drop(columns=["x", "y"], errors="ignore") for r in (run, by_path))
        )


def test_columns_and_types_are_those_documented(run: Run) -> None:
    counts = {name: "Int64" for name, metric in METRICS.items() if metric.dtype == "int64"}
    groups = {name: "category" for name in CATEGORIES if name in METRICS}
    of_cells = {**{name: metric.dtype for name, metric in METRICS.items()}, **counts, **groups}
    assert {name: str(dtype) for name, dtype in run.cells.dtypes.items()} == of_cells
    for table, columns in ((run.witnesses, WITNESSES), (run.rates, RATES)):
        assert [(c.name, c.dtype) for c in columns] == [(n, str(d)) for n, d in table.dtypes.items()]
        assert len(table) > 10


def test_cells_are_those_of_the_file(folder: Path, run: Run) -> None:
    [file] = folder.glob("harness-out/*/cells.parquet")
    pd.testing.assert_frame_equal(
        run.cells, pd.read_parquet(file), check_dtype=False, check_categorical=False
    )


def test_tables_join_by_the_key_and_by_the_ids(run: Run) -> None:
    joined = run.rates.merge(run.cells, on=list(KEY), validate="many_to_one")
    assert len(joined) == len(run.rates) == 6 * len(run.cells)
    assert all(str(joined[name].dtype) == "category" for name in KEY if name != "length")
    assert run.witnesses["id"].is_unique
    ids = set(run.witnesses["id"])
    for link in LINKS:
        assert len(run.cells[link].dropna()) > 0
        assert set(run.cells[link].dropna()) <= ids, link
    assert set(run.witnesses["small"].dropna()) <= ids


def test_rates_are_their_counts(run: Run) -> None:
    overflows = run.rates[(run.rates["rate"] == "overflow_rate") & (run.rates["events"] > 0)]
    assert len(overflows) > 0
    for _, line in run.rates.iterrows():
        if line["trials"]:
            assert line["value"] == line["events"] / line["trials"]
        else:
            assert np.isnan(line["value"])


def test_witnesses_hold_their_rows_as_arrays(run: Run) -> None:
    witnesses = run.witnesses
    witnesses = witnesses[witnesses["format"] == "bfloat16"]
    kept = witnesses[witnesses["x"].notna()]
    assert 0 < len(kept) < len(witnesses), "rows of 1,200 entries are drawn again"
    for _, witness in kept.iterrows():
        assert witness["x"].dtype == FORMATS["bfloat16"].dtype
        assert 0 < len(witness["x"]) == len(witness["y"]) <= witness["length"]
    overflow = kept[kept["kind"] == "overflow"].iloc[0]
    assert overflow["candidate"] == "naive"
    assert np.exp(overflow["x"].astype(np.float64)).sum() > float(FORMATS["bfloat16"].largest)


def test_a_missing_run_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFolderError, match=r"^latest: there is no such run in harness-out; .*$"):
        harness.load("latest")
    with pytest.raises(RunFolderError, match=r"^elsewhere: holds no run \(run\.sqlite is missing\); .*$"):
        harness.load("elsewhere")


def test_the_notebook_of_the_documentation_shows_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    held = [
        "".join(text for output in cell["outputs"] for text in output["data"]["text/plain"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]
    assert sum(map(bool, held)) >= 8
    for quoted, text in zip(held, shown(notebook), strict=True):
        assert [shape(line) for line in text.splitlines()] == [shape(line) for line in quoted.splitlines()]
