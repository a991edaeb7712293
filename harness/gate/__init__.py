"""The gate: implementations held against budgets and tiers, for a build to stop on.

`budgets` reads what is allowed, `gate_campaign` measures a deterministic campaign and the contract into a run
folder, `judgement` makes verdicts of both, and `ratchet` lowers limits that have room.
"""

from harness.gate.baseline import Baseline, read_baseline
from harness.gate.budgets import Budget, of_tier, read_budgets
from harness.gate.decision import Decision, decide, draw
from harness.gate.gate_campaign import GATE, Gated, gate_settings, measure_gated
from harness.gate.judgement import judge

__all__ = [
    "GATE",
    "Baseline",
    "Budget",
    "Decision",
    "Gated",
    "decide",
    "draw",
    "gate_settings",
    "judge",
    "measure_gated",
    "of_tier",
    "read_baseline",
    "read_budgets",
]
