"""The commands, one module each; `harness.cli` puts them on the command line."""
