"""The program: command line, candidates, execution, campaigns."""
