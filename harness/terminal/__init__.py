"""Output on the terminal, interrupts and time limits."""
