"""Load the compiled kernels that a command needs, or compile them once with a notice."""

from __future__ import annotations

from typing import Final

from harness.terminal.console import notes

__all__ = ["EVALUATION", "MEASURING", "prepare_kernels"]

MEASURING: Final = "harness.measurement:warm"
"""The kernels that measure a batch: bounds and counts."""

EVALUATION: Final = "reference.certified.warming:warm_evaluation"
"""The kernels for truth and verdict in one pass."""


def prepare_kernels(*also: str) -> None:
    """Load or compile the kernels of truth and verdict, and further ones by name."""
    from reference.certified import prepare

    prepare(
        lambda: notes().print(
            "preparing the certified reference; the first time it is compiled, in a minute or two ..."
        ),
        also,
    )
