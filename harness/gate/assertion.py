"""The gate for a function at hand, in this process: what `harness.testing` asserts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from harness.campaign.settings import BRIEF, Settings
from harness.gate.budgets import of_tier
from harness.gate.decision import with_witnesses
from harness.gate.gate_campaign import Gated, gate_settings, measure_gated, temporary_ledger
from harness.gate.judgement import judge
from harness.terminal.exceptions import choose, user_mistakes
from reference.formats import FORMATS
from reference.ops import op_named
from reports.common import in_common
from reports.gate_text import alike, headline, verdict_lines
from reports.record.verdicts import Verdict, exit_code, worst_first
from strategies.logit_range import LogitRange

__all__ = ["failure"]

SHOWN: Final = 6
"""The most verdicts that a failing test prints."""


def failure(
    f: Callable[..., Any],
    format: str,
    tier: str,
    seed: int,
    policies: Sequence[str],
    via: str | None = None,
    op: str | None = None,
    range: Sequence[float] | None = None,
) -> str:
    """Return why a function does not meet a tier, with shrunk witnesses; empty where it does.

    Raises:
        UsageError: the format, the tier or a policy is unknown, or the function declares what it may not.
    """
    from harness.campaign.plan import Plan
    from harness.subject.candidates import from_function
    from harness.subject.execution import InProcess

    with user_mistakes():
        candidate = from_function(f, via=via, op=None if op is None else op_named(op))
    chosen = (FORMATS[choose("format", format, FORMATS)],)
    budgets = of_tier(tier, [candidate.name], [format], None)
    asked = Settings((candidate.name,), chosen, seed=seed, policies=tuple(policies), effort=BRIEF)
    with user_mistakes():
        within = None if range is None else LogitRange.of(range)
        if within is not None:
            within.require(chosen[0])
    settings = gate_settings(replace(asked, within=within), (tier,))
    with user_mistakes():
        plan = Plan(settings, (candidate,))
    with InProcess(load=lambda _: candidate) as executor:
        plan = plan.probed(executor)
        with temporary_ledger(plan) as ledger:
            gated = measure_gated(plan, ledger, executor, lambda _shard, _tallies: None)
        verdicts = judge(gated, budgets)
        if exit_code(verdicts) == 0:
            return ""
        verdicts, _ = with_witnesses(gated, verdicts, executor, "in-process")
    return _message(gated, verdicts)


def _message(gated: Gated, verdicts: Sequence[Verdict]) -> str:
    failing = [v for v in worst_first(verdicts) if v.stops]
    lines = [headline(verdicts), *in_common(verdicts)]
    lines += [f"policy of {name}: {', '.join(p)}" for name, p in gated.relaxations().items() if p]
    groups = alike(failing)
    for verdict, *others in groups[:SHOWN]:
        lines += verdict_lines(replace(verdict, replay=""), others)
    if len(groups) > SHOWN:
        lines.append(f"{len(groups) - SHOWN} further kinds of violation are not shown")
    return "\n".join(lines)
