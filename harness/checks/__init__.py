"""What every candidate is asked apart from accuracy: its contract, and properties of the exact softmax.

    results = run_checks([Subject(load("naive"), FORMATS["float32"], FORMATS["float32"], executor)])

One list, `CHECKS`. A contract's violation is a defect; a property's may be a known consequence of
floating-point order, and then says so. Each check looks at rows of every regime at several
lengths, and shows the smallest row it finds that breaks its rule.
"""

from harness.checks.check import Check, CheckResult, Examined, Examinee
from harness.checks.running import CHECKS, check_named, each_check, run_check, run_checks

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "Examined",
    "Examinee",
    "check_named",
    "each_check",
    "run_check",
    "run_checks",
]
