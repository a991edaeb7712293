"""The subject: a candidate as it is found, called and timed."""
