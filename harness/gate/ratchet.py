"""Limits that may only go down: `--tighten` lowers them, `--loosen` alone raises one, with a reason.

A file of budgets is changed line by line, so that comments and order stay. Before it is written, the changed
text is parsed and compared with the intended budgets.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from pathlib import Path
from typing import Any, Final

from harness.gate.budgets import TIER, Budget, budgets_of, read_budgets
from harness.gate.gate_campaign import Gated
from harness.gate.judgement import judge
from harness.terminal.exceptions import UsageError
from reports.files import read_text
from reports.record.run_folder import write_atomically
from reports.record.verdicts import Verdict

__all__ = ["SLACK", "loosen", "slack_verdicts", "tighten"]

SLACK: Final = 0.25
"""The share of a limit that may be unused before a verdict reports it."""

_DIGITS: Final = 6
_HEADER: Final = re.compile(r"\s*\[\[\s*budget\s*\]\]\s*(#.*)?$")
_ANY_HEADER: Final = re.compile(r"\s*\[")


@dataclass(frozen=True)
class _Slack:
    """A numeric budget that passes, and its worst figure."""

    budget: Budget
    limit: float
    worst: float

    @property
    def slack(self) -> float:
        """The unused share of the limit."""
        allowed, used = self.limit, self.worst
        if self.budget.is_at_least:
            allowed, used = 1 - allowed, 1 - used
        return 1 - used / allowed if allowed > 0 else 0.0

    def tightened(self, margin: float) -> float:
        """Return the worst with a margin, rounded away from it to six digits."""
        factor, worst = 1 + Decimal(str(margin)), Decimal(self.worst)
        if self.budget.is_at_least:
            return float(_CONTEXT_DOWN.create_decimal(1 - (1 - worst) * factor))
        raised = worst * factor
        if isinstance(self.limit, int):
            return math.ceil(raised)
        return float(_CONTEXT_UP.create_decimal(raised))


_CONTEXT_UP: Final = Context(prec=_DIGITS, rounding=ROUND_CEILING)
_CONTEXT_DOWN: Final = Context(prec=_DIGITS, rounding=ROUND_FLOOR)


def slack_verdicts(gated: Gated, budgets: Sequence[Budget]) -> Iterator[Verdict]:
    """Yield a failing verdict for each limit of which more than a quarter is unused."""
    for use in _slacks(gated, budgets):
        if use.slack > SLACK:
            b = use.budget
            yield Verdict(
                b.candidate, b.format, b.out_format or b.format, b.regime, b.length, b.metric,
                b.operator, b.limit, use.worst, "over_budget",
                f"{use.slack:.0%} of the limit is unused; gate --tighten lowers it",
            )  # fmt: skip


def tighten(path: Path, gated: Gated, budgets: Sequence[Budget], margin: float) -> str:
    """Lower the loose limits of a file, and return the difference; empty where no limit is loose.

    Args:
        path: the file that the budgets come from.
        gated: the measured cells.
        budgets: those of the verdicts.
        margin: the room to leave above the worst figure, relative to it.

    Raises:
        UsageError: the margin is not a number from 0 on, or the file cannot be changed.
    """
    if not 0 <= margin < math.inf:
        raise UsageError(f"margin {margin}: give a number from 0 on, such as 0.1")
    limits = {}
    for use in _slacks(gated, budgets):
        lower = use.tightened(margin)
        better = lower > use.limit if use.budget.is_at_least else lower < use.limit
        if better and use.budget.number is not None:
            limits[use.budget.number] = {"limit": lower}
    return _rewrite(path, limits)


def loosen(
    path: Path, setting: str, reason: str | None, candidates: Sequence[str], formats: Sequence[str]
) -> str:
    """Raise one limit of a file, record why in the file, and return the difference.

    Args:
        path: the file.
        setting: METRIC=LIMIT.
        reason: recorded in the file; required.
        candidates: those of the budget, where several have one of that metric.
        formats: likewise.

    Raises:
        UsageError: no budget or more than one is meant, the limit is not looser, or there is no reason.
    """
    if not (reason or "").strip():
        raise UsageError("--loosen: give --reason TEXT; it is recorded in the file")
    metric, separator, text = setting.partition("=")
    matches = [
        b
        for b in read_budgets(path)
        if b.metric == metric
        and (not candidates or b.candidate in candidates)
        and (not formats or b.format in formats)
    ]
    if not separator or len(matches) != 1:
        named = "; ".join(f"budget[{b.number}] {b.candidate} {b.format}" for b in matches) or "none"
        raise UsageError(
            f"--loosen {setting!r}: write METRIC=LIMIT for one budget (budgets that match: {named})"
        )
    return _rewrite(path, {_number(matches[0]): _loosened(path, matches[0], text, str(reason))})


def _loosened(path: Path, budget: Budget, text: str, reason: str) -> dict[str, Any]:
    limit = _parsed(text, budget)
    if not isinstance(limit, str) and not isinstance(budget.limit, str):
        looser = limit < budget.limit if budget.is_at_least else limit > budget.limit
        if not looser:
            raise UsageError(
                f"--loosen {budget.metric}={text}: not looser than {budget.limit!r}, the present limit"
            )
    today = datetime.now(UTC).date().isoformat()
    entry = tomllib.loads(read_text(path))["budget"][_number(budget)]
    line = f"{today}: {budget.limit} to {limit}: {reason}"
    return {"limit": limit, "loosened": [*entry.get("loosened", ()), line]}


def _parsed(text: str, budget: Budget) -> float | str:
    if budget.metric == TIER:
        return text
    try:
        return int(text) if re.fullmatch(r"\d+", text) else float(text)
    except ValueError:
        raise UsageError(f"--loosen {budget.metric}={text}: give a number") from None


def _number(budget: Budget) -> int:
    assert budget.number is not None
    return budget.number


def _slacks(gated: Gated, budgets: Sequence[Budget]) -> Iterator[_Slack]:
    """Yield the worst figure of each numeric budget whose verdicts all pass."""
    for budget in budgets:
        if isinstance(budget.limit, str):
            continue
        cells = tuple(cell for cell in gated.cells if budget.applies_to(cell.row))
        own = [v for v in judge(_only(gated, cells), [budget]) if v.metric == budget.metric]
        figures = [v.observed for v in own if v.observed is not None]
        if figures and all(v.status == "pass" for v in own):
            yield _Slack(budget, budget.limit, (min if budget.is_at_least else max)(figures))


def _only(gated: Gated, cells: tuple[Any, ...]) -> Gated:
    return Gated(cells, (), gated.candidates, gated.settings)


# The file ----------------------------------------------------------------------------------


def _rewrite(path: Path, changes: Mapping[int, Mapping[str, Any]]) -> str:
    """Change keys of numbered budgets in the file, and return the difference."""
    text = read_text(path)
    intended = tomllib.loads(text)
    for number, values in changes.items():
        intended["budget"][number].update(values)
    changed = _changed(text, changes)
    if _parse(changed) != intended:
        raise UsageError(
            f"{path}: not written as one key a line under [[budget]]; change {_named(changes)} by hand"
        )
    budgets_of(changed, path)
    if changed != text:
        write_atomically(path, changed.encode())
    lines = difflib.unified_diff(
        text.splitlines(), changed.splitlines(), path.name, path.name, lineterm="", n=6
    )
    return "\n".join(lines)


def _parse(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _named(changes: Mapping[int, Mapping[str, Any]]) -> str:
    return ", ".join(f"budget[{number}]" for number in changes)


def _changed(text: str, changes: Mapping[int, Mapping[str, Any]]) -> str:
    number, lines, left = -1, [], dict[str, Any]()
    for line in text.splitlines():
        if _ANY_HEADER.match(line) and "=" not in line:
            lines += _lines(left)
            number += bool(_HEADER.match(line))
            left = dict(changes.get(number, {})) if _HEADER.match(line) else {}
        key = line.partition("=")[0].strip()
        if key in left and "=" in line:
            comment = re.search(r"\s+#[^\"']*$", line)
            lines.append(f"{key} = {_toml(left.pop(key))}{comment.group() if comment else ''}")
        else:
            lines.append(line)
    return "\n".join([*lines, *_lines(left)]) + "\n"


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    """Return a value in TOML, whose strings and lists of strings are JSON's."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, list)) else repr(value)
