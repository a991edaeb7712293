"""The configuration file: `[tool.harness]` of the nearest pyproject.toml, strictly validated.

The nearest one decides, whether it has the table or not, and none above the root of a repository does.
What is returned are the values as written, by the names of `settings.resolve`; paths are taken from the
file's own folder.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Final, Literal

from harness.campaign.mistakes import mistake
from harness.terminal.exceptions import UsageError
from reports.files import FileError, read_text

__all__ = ["configured", "configured_gate", "table_of"]

_TABLE: Final = "harness"

_OF_THE_GATE: Final = ("gate", "budgets", "tiers")
_REPOSITORIES: Final = (".git", ".hg", ".jj", ".svn")
_MISNAMED: Final = (f"softmax-{_TABLE}", f"softmax_{_TABLE}")
_SIMILAR: Final = 0.85
"""The least share of equal letters at which a name looks misspelt."""


def configured(start: Path) -> tuple[dict[str, Any], Path | None]:
    """Return the values of `[tool.harness]` in the nearest pyproject.toml, and that file if it has any.

    What is said for the gate alone is left out.

    Raises:
        UsageError: the file is not TOML, or the table holds a mistake; all are listed.
    """
    values, file = _found(start)
    for key in _OF_THE_GATE:
        values.pop(key, None)
    return values, file if values else None


def configured_gate(start: Path) -> tuple[dict[str, Any], Path | None]:
    """Return the values of `[tool.harness]` with those of `[tool.harness.gate]` over them, and the file.

    Raises:
        UsageError: the file is not TOML, or a table holds a mistake; all are listed.
    """
    values, file = _found(start)
    gate = values.pop("gate", {})
    return {**values, **gate}, file


def _found(start: Path) -> tuple[dict[str, Any], Path | None]:
    file = _nearest(start)
    table = None if file is None else _table(file)
    return ({}, None) if file is None or table is None else (_validated(table, file), file)


def _nearest(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        if (file := folder / "pyproject.toml").is_file():
            return file
        if any((folder / name).exists() for name in _REPOSITORIES):
            return None
    return None


def table_of(file: Path) -> Any:
    """Return `[tool.harness]` of a pyproject.toml, whatever stands there; None where nothing does.

    Raises:
        UsageError: the file cannot be read as TOML, or has a table that looks like this one misspelt.
    """
    try:
        document = tomllib.loads(read_text(file))
    except FileError as error:
        raise UsageError(str(error)) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{file}: not readable as TOML ({error})") from error
    tool = document.get("tool", {})
    if not isinstance(tool, dict):
        raise UsageError(f"{file}: tool is {tool!r}; write a table, [tool.{_TABLE}]")
    for name in (*(f"tool.{name}" for name in tool if _looks_misspelt(name)), *({_TABLE} & document.keys())):
        raise UsageError(f"{file}: has a table [{name}], which is not read; did you mean [tool.{_TABLE}]?")
    return tool.get(_TABLE)


def _looks_misspelt(name: str) -> bool:
    plain = name.lower()
    near = difflib.get_close_matches(plain, (_TABLE, *_MISNAMED), n=1, cutoff=_SIMILAR)
    return name != _TABLE and bool(near)


def _table(file: Path) -> dict[str, Any] | None:
    table = table_of(file)
    return table if table is None or isinstance(table, dict) else {_TABLE: table}


def _validated(table: dict[str, Any], file: Path) -> dict[str, Any]:
    from pydantic import BaseModel, ConfigDict, ValidationError

    class Gate(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        candidates: list[str] | None = None
        via: str | None = None
        formats: list[str] | None = None
        out_format: str | None = None
        op: str | None = None
        policies: list[str] | None = None
        range: list[float] | None = None
        timeout: float | None = None
        max_time: float | None = None
        jobs: int | None = None
        budgets: str | None = None
        tiers: list[str] | None = None

    class Configuration(Gate):
        regimes: list[str] | None = None
        lengths: list[int] | None = None
        rows: int | None = None
        effort: str | None = None
        seed: int | None = None
        input: str | None = None
        reference: Literal["certified", "mpmath"] | None = None
        cluster: str | None = None
        gate: Gate | None = None

    try:
        values = Configuration.model_validate(table).model_dump(exclude_none=True)
    except ValidationError as error:
        tables = {False: Configuration.model_fields, True: Gate.model_fields}
        mistakes = [
            mistake(
                ("tool.harness", *loc[:-1]),
                loc[-1],
                e["msg"],
                e["type"],
                tables[loc[0] == "gate" and len(loc) > 1],
            )
            for e in error.errors()
            for loc in [e["loc"]]
        ]
        raise UsageError(f"{file}: {'; '.join(mistakes)}") from error
    for part in (values, values.get("gate", {})):
        part.update({key: str(file.parent / part[key]) for key in ("input", "budgets") if key in part})
    return values
