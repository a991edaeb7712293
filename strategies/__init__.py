"""What to try: input regimes, in bulk and as Hypothesis strategies, and corpora."""
