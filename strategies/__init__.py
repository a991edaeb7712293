"""What to try: input regimes, in bulk and as Hypothesis strategies, and corpora."""

__room_of__ = "softmax-harness"
