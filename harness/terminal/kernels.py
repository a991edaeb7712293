"""Loading the compiled kernels that a command needs, or compiling them once, which is said."""

from __future__ import annotations

from typing import Final

from harness.terminal.console import notes

__all__ = ["EVALUATION", "MEASURING", "prepare_kernels"]

MEASURING: Final = "harness.measurement:warm"
"""What measures a batch: bounds and counts."""

EVALUATION: Final = "reference.certified.warming:warm_evaluation"
"""Truth and verdict in one pass."""


def prepare_kernels(*also: str) -> None:
    """Load or compile the kernels of truth and verdict, and what else is named."""
    from reference.certified import prepare

    prepare(lambda: notes().print("compiling the certified reference, once ..."), also)
