"""The sections of the report, one a file; see `reports.section`."""
