"""What a run leaves: the ledger, tables, and pages drawn from a finished run alone."""

__room_of__ = "softmax-harness"
