"""The programs that the figures of a run are of: the candidates as loaded, and this program itself.

A run that goes on must measure what it has measured so far; two programs in one table tell of neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from reports.record.schema import integer, mapping_of, record, text

__all__ = ["Loaded", "Program"]


@dataclass(frozen=True)
class Loaded:
    """A candidate as it was loaded.

    Attributes:
        spec: loads it from any folder.
        files: digests of the files of its own project, by absolute path.
        late: those of files that only a call of it loaded.
        versions: those of installed libraries that were loaded with it, by name.
    """

    spec: str
    files: Mapping[str, str] = field(default_factory=dict)
    late: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """This program and the candidates that it measures.

    Attributes:
        version: this program's.
        rows: the version of the rows that settings and a seed give.
        calls: how candidates are called, `isolated` or `in-process`.
        candidates: by name.
    """

    version: str
    rows: int
    calls: str
    candidates: Mapping[str, Loaded] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the program as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Any) -> Program:
        """Return the program of a `document`.

        Raises:
            ValueError: it is none.
        """
        _WRITTEN(document, "program")
        candidates = {name: Loaded(**loaded) for name, loaded in document["candidates"].items()}
        return cls(**{**document, "candidates": candidates})

    def difference(self, now: Program) -> str:
        """Return the first difference from the present program; empty where there is none."""
        return next(self._differences(now), "")

    def _differences(self, now: Program) -> Iterator[str]:
        if now.version != self.version:
            yield f"softmax-harness was {self.version}, and is {now.version} now"
        if now.rows != self.rows:
            yield f"its rows have version {self.rows}, and this program draws version {now.rows}"
        if now.calls != self.calls:
            yield f"candidates were called {self.calls}, now they would be {now.calls}"
        for name, loaded in self.candidates.items():
            if (other := now.candidates.get(name)) is not None:
                yield from _differing(name, loaded, other)


def _differing(name: str, before: Loaded, now: Loaded) -> Iterator[str]:
    if before.spec != now.spec:
        yield f"{name} was {before.spec}, and is {now.spec} now"
    for path in (*before.files, *now.files):
        digests = before.files.get(path), now.files.get(path)
        if None in digests:
            yield f"{name} {'does not load' if digests[1] is None else 'now loads'} {path}"
        elif digests[0] != digests[1]:
            yield f"{path}, the file of {name}, was replaced"
    for path, was in before.late.items():
        if now.late.get(path, was) != was:
            yield f"{path}, which {name} loads, was replaced"
    for library, version in before.versions.items():
        if now.versions.get(library, version) != version:
            yield f"{library}, which {name} loads, was {version}, and is {now.versions[library]} now"


_DIGESTS: Final = mapping_of(text(4096), text(100))

_WRITTEN: Final = record(
    {
        "version": text(100),
        "rows": integer(),
        "calls": text(20),
        "candidates": mapping_of(
            text(4096),
            record({"spec": text(4096), "files": _DIGESTS, "late": _DIGESTS, "versions": _DIGESTS}),
        ),
    }
)
