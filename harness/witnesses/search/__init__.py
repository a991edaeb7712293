"""Searching for the worst row: what random sampling misses.

    with Isolated() as executor:
        subject = Subject(load("max_shifted"), FORMATS["float32"], FORMATS["float32"], executor)
        result = search(subject, 8, 200_000, 0, "ulp")

`Engine` is the search, `Trials` how rows are scored, `OBJECTIVES` by what; `search_tally` counts all
rows that a search tried, as a cell of a campaign.
"""

from __future__ import annotations

from harness.witnesses.search.objectives import OBJECTIVES, Objective
from harness.witnesses.search.result import INTERRUPTED, SearchResult, search, search_tally
from harness.witnesses.search.trials import Trial

__all__ = ["INTERRUPTED", "OBJECTIVES", "Objective", "SearchResult", "Trial", "search", "search_tally"]
