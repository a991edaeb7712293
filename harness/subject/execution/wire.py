"""What harness and worker must agree on: messages, and the place of the progress in shared memory.

A message is JSON after its length in four bytes. The first page of shared memory shows the
progress: which part is being called (int64), and since when (float64, `time.monotonic`, which
all processes of a machine share). Standard library only; a worker imports this file by path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["DISCONNECTED", "HEADER_BYTES", "LENGTH_BYTES", "PART_AT", "STARTED_AT", "frame"]

HEADER_BYTES: Final = 4096
PART_AT: Final = 0
STARTED_AT: Final = 8
LENGTH_BYTES: Final = 4
DISCONNECTED: Final = 113
"""The exit status of a worker that finds its connection gone."""


def frame(message: Mapping[str, Any]) -> bytes:
    """Return the bytes of a message for the socket."""
    data = json.dumps(message).encode()
    return len(data).to_bytes(LENGTH_BYTES, "big") + data
