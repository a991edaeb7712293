"""What a run records, and what every column and every kind of witness means."""
