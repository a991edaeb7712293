"""How a worker imports a candidate: once, whatever it does there, and under its own names."""

import numpy as np
import pytest

from harness.subject.execution import Isolated
from reference.formats import FORMATS

FLOAT32 = FORMATS["float32"]
X = np.zeros((100, 16), np.float32)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("import os; os.abort()", "crashed", "SIGABRT"),
        ("import time; time.sleep(60)", "timed_out", "1 s"),
        ("raise RuntimeError('half finished')", "raised", "half finished"),
        ("import nothing_of_that_name", "raised", "nothing_of_that_name"),
        ("other = 1", "raised", "softmax"),
        ("softmax = 1", "raised", "cannot be called"),
        ("import sys; sys.exit(0)", "raised", "SystemExit"),
    ],
)
def test_a_candidate_that_cannot_be_imported_is_a_finding_made_once(tmp_path, text, kind, said):
    (tmp_path / "broken.py").write_text(f"open(__file__ + '.count', 'a').write('.')\n{text}")
    with Isolated(load_timeout=1.0 if kind == "timed_out" else 60.0) as executor:
        outcomes = [executor.run(f"{tmp_path}/broken.py:softmax", X, FLOAT32) for _ in range(3)]
    for outcome in outcomes:
        assert [(f.kind, f.row) for f in outcome.faults] == [(kind, None)]
        assert said in outcome.faults[0].message
        assert not outcome.completed.any()
    imports = 2 if kind == "crashed" else 1  # a death may be another's doing, and gets a second chance
    assert (tmp_path / "broken.py.count").read_text() == "." * imports


def test_a_library_is_imported_once_for_many_batches(tmp_path):
    (tmp_path / "counted.py").write_text(
        "open(__file__ + '.count', 'a').write('.')\nimport numpy as np\ndef softmax(x): return np.exp(x)"
    )
    with Isolated() as executor:
        for _ in range(5):
            executor.run(f"{tmp_path}/counted.py:softmax", X, FLOAT32)
    assert (tmp_path / "counted.py.count").read_text() == "."


def test_a_candidate_finds_its_own_modules_under_our_names(tmp_path, monkeypatch):
    """Also those whose names a worker itself uses."""
    names = ("reference", "strategies", "worker", "keeper", "server", "calls", "wire", "loading")
    for name in names:
        (tmp_path / f"{name}.py").write_text("SCALE = 1.0")
    for name in ("harness", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("SCALE = 1.0")
    imports = "\n".join(f"from {name} import SCALE" for name in (*names, "harness", "reports"))
    (tmp_path / "mine.py").write_text(
        f"{imports}\nimport numpy as np\ndef softmax(x): return np.exp(x) * SCALE"
    )
    monkeypatch.chdir(tmp_path)
    with Isolated() as executor:
        assert executor.run("mine.py:softmax", X, FLOAT32).faults == ()
        assert executor.run("mine:softmax", X, FLOAT32).faults == ()
    monkeypatch.undo()
