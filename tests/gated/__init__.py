"""Candidates for the tests of the gate."""
