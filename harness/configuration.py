"""The configuration file: `[tool.harness]` of the nearest pyproject.toml, strictly validated.

What is returned are the values as written, by the names of `settings.resolve`; paths are taken from the
file's own folder.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, Literal

from harness.errors import UsageError
from harness.mistakes import mistake

__all__ = ["configured", "configured_gate", "table_of"]

_OF_THE_GATE: Final = ("gate", "budgets", "tiers")


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
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            table = _table(file)
            if table is not None:
                return _validated(table, file), file
    return {}, None


def table_of(file: Path) -> Any:
    """Return `[tool.harness]` of a pyproject.toml, whatever stands there; None where nothing does.

    Raises:
        UsageError: the file cannot be read as TOML.
    """
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{file}: not readable as TOML ({error})") from error
    if not isinstance(tool, dict):
        raise UsageError(f"{file}: tool is {tool!r}; write a table, [tool.harness]")
    return tool.get("harness")


def _table(file: Path) -> dict[str, Any] | None:
    table = table_of(file)
    return table if table is None or isinstance(table, dict) else {"harness": table}


def _validated(table: dict[str, Any], file: Path) -> dict[str, Any]:
    from pydantic import BaseModel, ConfigDict, ValidationError

    class Gate(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)

        candidates: list[str] | None = None
        via: str | None = None
        formats: list[str] | None = None
        out_format: str | None = None
        policies: list[str] | None = None
        timeout: float | None = None
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
