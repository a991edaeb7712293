"""The executor for debugging and notebooks: it calls candidates in this process."""

from __future__ import annotations

import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.subject.execution import calls
from harness.subject.execution.allowance import FIRST_SECONDS, Allowance, summaries
from harness.subject.execution.attempts import Attempt, Failure, Part
from harness.subject.execution.calls import CallFailed, Loaded, Presentation
from harness.subject.execution.culprits import complete
from harness.subject.execution.outcome import Closing, Fault, Outcome, check_rows
from harness.terminal.deadline import NEVER, Deadline
from reference.formats import FloatFormat
from reference.rounding import to_nearest

__all__ = ["InProcess"]

Array = NDArray[Any]


def _load_candidate(spec: str) -> Loaded:
    from harness.subject.candidates import load

    candidate: Loaded = load(spec)
    return candidate


class InProcess(Closing):
    """Calls candidates in this process, one call at a time.

    Exceptions and wrong outputs are faults, as with `Isolated`. The floating-point environment, NumPy's
    error state and the working folder are restored after each call. A crash ends this process, and a hang
    stops it: `timeout` has no effect.

    As a context manager it makes this thread round to nearest, so that judging is exact. Candidates are
    called in the floating-point environment from before: a process that flushes subnormals is measured so.

    Args:
        load: returns the candidate of a specification.
        fault_seconds: the time that the faults of a candidate may cost; inf where every row must be called.
        deadline: when calls end; `run` raises OutOfTime after it.
    """

    def __init__(
        self,
        load: Callable[[str], Loaded] = _load_candidate,
        fault_seconds: float = FIRST_SECONDS,
        deadline: Deadline = NEVER,
    ) -> None:
        self._deadline = deadline
        calls.keep_freed_memory()
        self._load = load
        self._loaded: dict[str, Loaded] = {}
        self._allowances: defaultdict[str, Allowance] = defaultdict(partial(Allowance, fault_seconds))
        self._lock = threading.Lock()
        self._mode: calls.Mode | None = None
        self._nearest = ExitStack()

    def __enter__(self) -> Self:
        """Round to nearest until the exit."""
        self._mode = calls.mode()
        self._nearest.enter_context(to_nearest())
        return super().__enter__()

    def run(
        self,
        spec: str,
        x: Array,
        out_format: FloatFormat,
        timeout: float | None = None,  # noqa: ARG002 - the contract's
        *,
        presentation: Presentation = "plain",
        reduces: bool = False,
    ) -> Outcome:
        """See `Executor.run`."""
        x = check_rows(x)
        with self._lock, _without_warnings(), calls.in_mode(self._mode):
            try:
                candidate = self._load_once(spec)
            except Exception as error:  # noqa: BLE001 - whatever an import does is a finding
                return Outcome.failed(len(x), Fault("raised", None, calls.describe(error)))

            allowance = self._allowances[spec]
            failing = False

            def attempt(x: Array, parts: Sequence[Part], patience: float = 1.0) -> Attempt:  # noqa: ARG001
                nonlocal failing
                self._deadline.check_grace()
                start = time.monotonic()
                result = _call(candidate, x, parts, out_format.dtype, presentation, reduces=reduces)
                failing |= result.failure is not None and result.failure.kind != "unsupported"
                if failing:
                    allowance.charge(time.monotonic() - start)
                return result

            return complete(attempt, x, allowance, is_plain=presentation == "plain")

    def grant(self) -> None:
        """See `Executor.grant`."""
        for allowance in list(self._allowances.values()):
            allowance.grant()

    def given_up(self) -> dict[str, str]:
        """See `Executor.given_up`."""
        return summaries(self._allowances)

    def close(self) -> None:
        """Forget the candidates."""
        self._loaded.clear()
        self._nearest.close()

    def _load_once(self, spec: str) -> Loaded:
        if spec not in self._loaded:
            self._loaded[spec] = self._load(spec)
        return self._loaded[spec]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hide the warnings of a candidate, as a worker does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _call(
    candidate: Loaded,
    x: Array,
    parts: Sequence[Part],
    dtype: np.dtype[Any],
    presentation: Presentation,
    *,
    reduces: bool,
) -> Attempt:
    own = calls.page_aligned_copy(x)
    outputs = np.empty(calls.outputs_shape(x.shape, reduces=reduces), dtype=dtype)
    passed, failure = 0, None
    for low, high in parts:
        try:
            outputs[low:high] = calls.call(candidate, own[low:high], dtype, presentation, reduces=reduces)
        except CallFailed as failed:
            failure = Failure(failed.kind, failed.message)
            break
        passed += 1
    overwritten = calls.changed_rows(own, x) if presentation == "watched" else None
    return Attempt(passed, outputs, failure, overwritten)
