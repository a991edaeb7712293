"""Witnesses: how long rows are kept, the batch that a row needs, the search for worse ones, small ones."""
