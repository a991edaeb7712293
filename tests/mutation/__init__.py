"""Who tests the tests: small faults are set into the program, and what notices them is counted.

`python -m tests.mutation` draws seeded mutants of the modules that decide what is true, wrong and allowed
(`changes.MODULES`; compiled kernels apart, which have their own sabotage tests), and runs, for each, the
tests that execute the changed statement. A mutant lives in memory alone: a forked process compiles the
changed source as it imports it, so no file of the program is ever touched.
"""
