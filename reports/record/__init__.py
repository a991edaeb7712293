"""The record of a run, and the meaning of every column and every kind of witness."""
