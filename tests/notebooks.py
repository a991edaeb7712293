"""The notebook of the documentation: its cells run, and what they show is what it holds.

`python -m tests.notebooks` runs it and writes what it shows.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import shlex
import tempfile
from pathlib import Path
from typing import Any

from harness import cli
from tests.documents import ROOT

__all__ = ["NOTEBOOK", "code_cells", "shown"]

NOTEBOOK = ROOT / "docs" / "guides" / "notebook.ipynb"


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells that a notebook runs."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown(notebook: dict[str, Any]) -> list[str]:
    """Run a notebook in the current folder, and return what each of its cells shows."""
    namespace: dict[str, Any] = {}
    return [_shown("".join(cell["source"]), namespace) for cell in code_cells(notebook)]


def _shown(source: str, namespace: dict[str, Any]) -> str:
    """Return the text that a cell prints and the text of its last expression, as Jupyter shows them."""
    if source.startswith("%%writefile "):
        first, _, text = source.partition("\n")
        Path(first.split()[1]).write_text(text, encoding="utf-8")
        return ""
    if source.startswith("!python -m harness "):
        assert cli.run(shlex.split(source)[3:]) == 0
        return ""
    printed = io.StringIO()
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, str(NOTEBOOK), "exec"), namespace)  # noqa: S102 - the cells are ours
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), namespace)  # noqa: S307
            if value is not None:
                print(repr(value))  # noqa: T201
    return printed.getvalue()


def main() -> None:
    """Write what the cells show into the notebook."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        texts = shown(notebook)
        os.chdir(here)
    for number, (cell, text) in enumerate(zip(code_cells(notebook), texts, strict=True), 1):
        data = {"text/plain": text.rstrip("\n").splitlines(keepends=True)}
        cell["execution_count"] = number
        result = {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}
        cell["outputs"] = [result] if text else []
    NOTEBOOK.write_text(f"{json.dumps(notebook, indent=1, ensure_ascii=False)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
