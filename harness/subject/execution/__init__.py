"""Call candidates so that nothing they do can harm a campaign.

    with Isolated(jobs=2, timeout=60.0) as executor:
        outcome = executor.run("naive", x, FORMATS["float32"])

`Isolated` is what campaigns use; `InProcess` is for debugging and notebooks. Both call a
candidate the same way (`calls`) and narrow a failed batch down to its rows the same way
(`culprits`). `worker`, `keeper`, `server`, `calls` and `wire` run on the candidate's side and
import none of the rooms.
"""

from harness.subject.execution.allowance import FIRST_SECONDS
from harness.subject.execution.calls import FaultKind, Loaded, Presentation
from harness.subject.execution.in_process import InProcess
from harness.subject.execution.isolated import ExecutorClosed, Isolated, SourceReplaced
from harness.subject.execution.outcome import Executor, Fault, Outcome

__all__ = [
    "FIRST_SECONDS",
    "Executor",
    "ExecutorClosed",
    "Fault",
    "FaultKind",
    "InProcess",
    "Isolated",
    "Loaded",
    "Outcome",
    "Presentation",
    "SourceReplaced",
]
