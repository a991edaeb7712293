"""What holds for all tests: no example of Hypothesis is held to a time."""

from hypothesis import settings

settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
