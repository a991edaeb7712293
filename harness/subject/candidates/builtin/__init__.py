"""The built-in candidates, one module each, each with a `CANDIDATE`.

They are found by scanning this folder. Each is a softmax of contiguous rows that rounds
every array operation to the format of its input; `harness.subject.candidates.arithmetic` says where the
operations themselves are wider.
"""
