"""Rows from the world: the inputs of publicly reported softmax bugs, and a network's logits.

`CORPORA` lists them in the order in which a campaign replays them, the known bugs first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np

from reference.formats import FloatFormat
from strategies.corpora.digits import exploding_rows, sane_rows
from strategies.corpora.known_bugs import KnownBug, known_bug_rows, left_out
from strategies.fixed import FixedRows, fixed_rows
from strategies.source import F64

__all__ = ["CORPORA", "Corpus", "FixedRows", "KnownBug", "left_out"]


@dataclass(frozen=True)
class Corpus:
    """A fixed set of rows.

    Attributes:
        name: what the command line calls it.
        title: one line for people.
        source: where the rows come from.
        labelled: reads the rows: pairs of a label and the values, in any lengths.
    """

    name: str
    title: str
    source: str
    labelled: Callable[[], Sequence[tuple[str, F64]]]

    @cache  # noqa: B019  three of them, for as long as the program runs
    def fixed_rows(self, fmt: FloatFormat) -> tuple[FixedRows, ...]:
        """Return the rows that the format holds, rounded to nearest, by ascending length.

        Rows in which a finite value would become infinite or NaN, or an infinity NaN, are
        left out; within a length the corpus's order is kept.
        """
        by_length: dict[int, list[tuple[str, F64]]] = {}
        for label, values in self.labelled():
            by_length.setdefault(values.size, []).append((label, values))
        groups = [list(zip(*by_length[length], strict=True)) for length in sorted(by_length)]
        return tuple(rows for labels, values in groups for rows in fixed_rows(fmt, np.stack(values), labels))


CORPORA: Mapping[str, Corpus] = MappingProxyType(
    {
        corpus.name: corpus
        for corpus in (
            Corpus(
                "known-bugs",
                "inputs of publicly reported softmax bugs",
                "the issues whose repository and number label each row",
                known_bug_rows,
            ),
            Corpus(
                "digits-sane",
                "logits of a network trained on handwritten digits",
                "scikit-learn's MLPClassifier on UCI's optical digits; see PROVENANCE.md",
                sane_rows,
            ),
            Corpus(
                "digits-exploding",
                "logits of a network whose training explodes, step by step",
                "scikit-learn's MLPClassifier on UCI's optical digits; see PROVENANCE.md",
                exploding_rows,
            ),
        )
    }
)
"""Every corpus by name, in the order of replay."""
