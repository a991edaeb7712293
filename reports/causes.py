"""The causes that were found of what fails, a line each: what leads to a cause stands first everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from reports.figures import plural
from reports.spelling import line

__all__ = ["NOT_ASKED", "cause_lines"]

NOT_ASKED: Final = "not asked for, as there was no time"
"""The `line` of a document on a cause that nobody looked for."""


def cause_lines(documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each candidate and format, and one on those that there was no time for.

    Args:
        documents: `explanations` of a ledger.
    """
    left = 0
    for document in documents:
        if document["line"] == NOT_ASKED:
            left += 1
        else:
            fmt, out = document["format"], document["out_format"]
            formats = fmt if out == fmt else f"{fmt} > {out}"
            yield line(f"cause: {document['candidate']}, {formats}: {document['line']}")
    if left:
        yield f"cause: {NOT_ASKED}: {plural(left, 'pair')} of candidate and format"
