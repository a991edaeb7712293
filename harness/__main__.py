"""`python -m harness` and the console script `softmax-harness`."""

from __future__ import annotations

import os
import sys

# `python -m` puts the current folder first; nothing in it may pass for a module of ours or
# of the standard library. `harness.rooms` puts back what is needed.
_HERE = os.path.realpath(os.curdir)
sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != _HERE]

from harness.errors import HarnessError  # noqa: E402
from harness.rooms import secure  # noqa: E402

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        secure()
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - before there is a console
        sys.exit(error.exit_code)
    from harness.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
