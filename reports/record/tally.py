"""The counts of a cell, in a form that adds up exactly in any order.

A `Tally` holds counts, maxima and exact sums only: merging two of them is associative and
commutative, so that shards may run anywhere, in any order, and still give the same cell.
Ratios, rates and intervals are derived later, in `reports.record.cells`, from a merged tally.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from operator import attrgetter
from typing import Any, Final

from reports.record.bins import Bins, added, greatest
from reports.record.profiles import GAPS, KINDS, PLACE_COUNTS, SIDE
from reports.record.schema import (
    COUNT,
    FIGURE,
    OBJECT,
    Malformed,
    list_of,
    mapping_of,
    parsed,
    record,
    text,
)
from reports.record.witness import LONGEST_ROW, Witness, json_float, kept_kinds, parse_float
from reports.record.witness_kinds import gravity_of

__all__ = [
    "HISTOGRAM_SHIFT",
    "Tally",
    "merge",
    "plain",
]

HISTOGRAM_SHIFT: Final = 44
"""ULP errors are binned by their float64 encoding without its last 44 bits: 2^-8 relative."""


@dataclass(frozen=True)
class Tally:
    """Counts over the rows of one cell, or of a part of it.

    Elements are counted over finite and masked rows only ("judged"); policy rows have no
    exact result. `classes`, `outcomes`, `row_kinds` are keyed by the lower-case names of
    `reference.errors.ElementClass`, `reference.attribution.RowOutcome`, `reference.row_kinds.RowKind`.

    Attributes:
        rows: rows given to the candidate, and `completed`: those it returned.
        elements: judged elements.
        positive: judged elements with r > 0, and `representable`: with RN(r) not 0.
        correct: those with r > 0 that are RN(r), and `faithful`: RD(r) or RU(r).
        spurious_rows: rows with at least one spurious zero.
        collapsed_rows, inflated_rows: rows whose sum leaves [1/2, 2] times the exact one.
        ulp_count, ulp_sum: finite outputs with RN(r) not 0 and finite ULP error, and their exact sum.
        ulp_infinite: those whose ULP error is 2^1024 or more.
        histogram: `HISTOGRAM_SHIFT` bins of the ULP error over RN(r) not 0; nonfinite outputs
            are counted in `nonfinite_representable`.
        fallbacks: elements that the certified reference left to mpmath.
        faults: the number of rows with each kind of fault.
        gap_errors, gap_bounds: `HISTOGRAM_SHIFT` bins of the greatest ULP error, and of the greatest bound
            of the standard tier, by bins of `reports.record.profiles.GAPS`.
        places: counts of rows by `reports.record.profiles.place_key`.
        place_errors: `HISTOGRAM_SHIFT` bins of the greatest ULP error, by
            `reports.record.profiles.place_numbers`.
        violations, excused: how often each clause of a tier that the campaign judges by is broken, and what
            was excused, by `over_TIER:CLAUSE`; also excused, by `unexplained`, unexplained rows that a policy
            excuses, and, by a setting such as `masked_row=zero`, policy rows that the default refuses.
        missed: of the rows that break a tier, those that break a looser one too, by `over_TIER>LOOSER`.
        tier_ratios: the greatest error over the tier's bound, by `over_TIER`.
        policies: what was observed on policy rows, e.g. {"pos_inf:nan": 3}.
        policy_violations: policy rows where that is not what the candidate declares.
        digests: SHA-256 of the input bits, by batch number.
    """

    rows: int = 0
    completed: int = 0
    elements: int = 0
    positive: int = 0
    representable: int = 0
    correct: int = 0
    faithful: int = 0
    negative_zeros: int = 0
    nonfinite_rows: int = 0
    spurious_rows: int = 0
    collapsed_rows: int = 0
    inflated_rows: int = 0
    policy_violations: int = 0
    ulp_count: int = 0
    ulp_infinite: int = 0
    nonfinite_representable: int = 0
    fallbacks: int = 0
    ulp_sum: Fraction = Fraction(0)
    max_ulp: float | None = None
    max_bound_ratio: float | None = None
    max_algorithm_ratio: float | None = None
    worst_row_sum_error: float | None = None
    row_kinds: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    histogram: Mapping[int, int] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
    policies: Mapping[str, int] = field(default_factory=dict)
    violations: Mapping[str, int] = field(default_factory=dict)
    excused: Mapping[str, int] = field(default_factory=dict)
    missed: Mapping[str, int] = field(default_factory=dict)
    tier_ratios: Mapping[str, float] = field(default_factory=dict)
    places: Mapping[int, int] = field(default_factory=dict)
    place_errors: Mapping[int, int] = field(default_factory=dict)
    gap_errors: Mapping[int, int] = field(default_factory=dict)
    gap_bounds: Mapping[int, int] = field(default_factory=dict)
    digests: Mapping[int, str] = field(default_factory=dict)
    witnesses: tuple[Witness, ...] = ()

    def rows_digest(self) -> str:
        """Return the SHA-256 of the input bits, or of the batches' SHA-256 where there are several.

        Batches run anywhere and in any order, which one running digest would forbid; the
        digest of digests is equal if and only if every batch is.
        """
        digests = [digest for _, digest in sorted(self.digests.items())]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def to_json(self) -> str:
        """Return this tally as one line of JSON, without loss."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        document["ulp_sum"] = str(self.ulp_sum)
        for name in _NUMBERED:
            document[name] = Bins.of(document[name]).steps()
        document["witnesses"], document["bits"] = _with_bits_apart(self.witnesses)
        for name in _MAXIMA:
            document[name] = json_float(document[name])
        document["tier_ratios"] = plain(self.tier_ratios)
        return json.dumps(document, sort_keys=True)

    @classmethod
    def from_json(cls, content: str | bytes) -> Tally:
        """Return the tally of a line from `to_json`.

        Raises:
            ValueError: it is not what was written; the message names the place and the rule.
        """
        document = parsed(content)
        _WRITTEN(document, "")
        document["ulp_sum"] = Fraction(document["ulp_sum"])
        bits = document.pop("bits")
        document["witnesses"] = tuple(_with_bits(w, bits) for w in document["witnesses"])
        for name in _NUMBERED:
            document[name] = _numbered(name, document.get(name, {}))
        document["digests"] = {int(key): value for key, value in document["digests"].items()}
        for name in _MAXIMA:
            document[name] = parse_float(document[name])
        document["tier_ratios"] = {k: parse_float(v) for k, v in document.get("tier_ratios", {}).items()}
        return cls(**document)


def _with_bits(document: Mapping[str, Any], bits: Sequence[str]) -> Witness:
    """Return the witness of a document that refers to its rows by their index in a list."""
    try:
        rows = {name: bits[document[name]] for name in ("x", "y")}
    except (IndexError, KeyError, TypeError):
        raise Malformed("witnesses: a row that the list of bits lacks") from None
    return Witness.from_document({**document, **rows})


def _numbered(name: str, written: Any) -> Bins:
    """Return the numbers by bin of `Bins.steps`, or of lists or a mapping from an older ledger.

    Raises:
        Malformed: a bin does not exist, or its count or error is impossible.
    """
    try:
        if isinstance(written, Mapping):
            numbers = Bins.of({int(key): value for key, value in written.items()})
        else:
            numbers = Bins.from_steps(written)
    except (OverflowError, TypeError, ValueError):
        rule = "it is steps between ascending bins and a number for each, or numbers by bin"
        raise Malformed(f"{name}: {ascii(written)[:40]}: {rule}") from None
    _check_numbers(name, numbers)
    return numbers


def _check_numbers(name: str, found: Bins) -> None:
    most_key, most_number = _BINS[name]
    keys, numbers = found.sorted_keys, found.numbers
    unknown = (keys < 0) | (keys >= most_key) | (numbers < 0) | (numbers > most_number)
    if name == "places":
        unknown |= keys % KINDS >= len(PLACE_COUNTS)
    if unknown.any():
        first = int(unknown.argmax())
        raise Malformed(f"{name}: {keys[first]}: {numbers[first]}: there is no such bin or number")


def _with_bits_apart(witnesses: Iterable[Witness]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the documents with x and y as indices into a list: one row is often several witnesses."""
    places: dict[str, int] = {}
    documents = [w.document() for w in witnesses]
    for document in documents:
        for name in ("x", "y"):
            document[name] = places.setdefault(document[name], len(places))
    return documents, list(places)


_MAXIMA: Final = ("max_ulp", "max_bound_ratio", "max_algorithm_ratio", "worst_row_sum_error")
_MAPPINGS: Final = (
    "row_kinds",
    "outcomes",
    "classes",
    "histogram",
    "faults",
    "policies",
    "places",
    "violations",
    "excused",
    "missed",
)
_PEAKS_BY_NUMBER: Final = ("place_errors", "gap_errors", "gap_bounds")
_PEAKS: Final = (*_PEAKS_BY_NUMBER, "tier_ratios")
_NUMBERED: Final = ("histogram", "places", *_PEAKS_BY_NUMBER)
_SUMS: Final = tuple(
    name
    for name in Tally.__dataclass_fields__
    if name not in (*_MAXIMA, *_MAPPINGS, *_PEAKS, "digests", "witnesses")
)


_ERRORS: Final = 1 << (64 - HISTOGRAM_SHIFT)

_MOST_COUNTED: Final = 1 << 48
"""More elements than a shard has; thousands of such counts add up in 64 bits."""

_BINS: Final[Mapping[str, tuple[int, int]]] = {
    "histogram": (_ERRORS - 1, _MOST_COUNTED),
    "places": (SIDE * SIDE * KINDS, _MOST_COUNTED),
    "place_errors": (SIDE * SIDE, _ERRORS - 1),
    "gap_errors": (GAPS.count, _ERRORS - 1),
    "gap_bounds": (GAPS.count, _ERRORS - 1),
}
"""For each numbered count, how many bins it has, and the greatest of its numbers."""

_NAME: Final = text(200)
_COUNTS: Final = mapping_of(_NAME, COUNT)
_BY_TEXT: Final = mapping_of(text(20, "[0-9]{1,18}"), COUNT)


def _binned(value: Any, where: str) -> None:
    """Check a mapping from an older ledger; `_numbered` checks all else."""
    if isinstance(value, dict):
        _BY_TEXT(value, where)


_WRITTEN: Final = record(
    {
        **dict.fromkeys((name for name in _SUMS if name != "ulp_sum"), COUNT),
        "ulp_sum": text(4000, "[0-9]{1,1999}(/[1-9][0-9]{0,1999})?"),
        **dict.fromkeys(_MAXIMA, FIGURE),
        "bits": list_of(text(LONGEST_ROW * 16)),
        "digests": mapping_of(text(20, "[0-9]{1,18}"), text(64, "[0-9a-f]{64}")),
        "witnesses": list_of(OBJECT),
        **{name: _COUNTS for name in _MAPPINGS if name not in (*_NUMBERED, "missed")},
    },
    {"missed": _COUNTS, "tier_ratios": mapping_of(_NAME, FIGURE), **dict.fromkeys(_NUMBERED, _binned)},
)


def merge(tallies: Iterable[Tally]) -> Tally:
    """Return the tally of all rows of some tallies."""
    parts = list(tallies)
    if len(parts) == 1:
        [only] = parts
        witnesses = _gravest(only.witnesses)
        return only if witnesses == only.witnesses else replace(only, witnesses=witnesses)
    sums = map(sum, zip(*map(attrgetter(*_SUMS), parts), strict=True)) if parts else [0] * len(_SUMS)
    values: dict[str, Any] = dict(zip(_SUMS, sums, strict=True))
    values["ulp_sum"] = Fraction(values["ulp_sum"])
    for name in _MAXIMA:
        seen = [value for t in parts if (value := getattr(t, name)) is not None]
        values[name] = max(seen, default=None)
    for name in _MAPPINGS:
        total = added if name in _NUMBERED else _added
        values[name] = total([counts for t in parts if (counts := getattr(t, name))])
    for name in _PEAKS:
        most = greatest if name in _NUMBERED else _greatest
        values[name] = most([peaks for t in parts if (peaks := getattr(t, name))])
    values["digests"] = {k: v for t in parts for k, v in t.digests.items()}
    values["witnesses"] = _gravest(w for t in parts for w in t.witnesses)
    return Tally(**values)


def _added(counted: Sequence[Mapping[Any, int]]) -> dict[Any, int]:
    """Return the sum under each key."""
    total: dict[Any, int] = dict(counted[0]) if counted else {}
    for counts in counted[1:]:
        for key, count in counts.items():
            total[key] = total.get(key, 0) + count
    return total


def _greatest(peaks: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Return the greatest number under each key."""
    greatest: dict[Any, Any] = dict(peaks[0]) if peaks else {}
    for numbers in peaks[1:]:
        for key, number in numbers.items():
            greatest[key] = max(number, greatest.get(key, number))
    return greatest


def _gravest(witnesses: Iterable[Witness]) -> tuple[Witness, ...]:
    """Return one witness of each of `kept_kinds`: the greatest score, and of equals the first row."""
    best: dict[str, Witness] = {}
    for w in witnesses:
        held = best.get(w.kind)
        if held is None or (-w.score, *_place(w)) < (-held.score, *_place(held)):
            best[w.kind] = w
    length = max((w.cell.length for w in best.values()), default=0)
    return tuple(best[kind] for kind in sorted(kept_kinds(best, length), key=gravity_of))


def _place(witness: Witness) -> tuple[int, str, str]:
    """Return a sort key for origins that orders the numbers in them by value."""
    return len(witness.origin), witness.origin, witness.x


def plain(value: Any) -> Any:
    """Return a nested value for JSON: tuples as lists, figures by `json_float`."""
    if isinstance(value, float):
        return json_float(value)
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
