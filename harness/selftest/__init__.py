"""Test the tester: planted defects that the gate must catch, honest controls that it must pass.

`defects` holds the defects by part of softmax, `controls` the honest implementations, `protocols` how
softmax is commonly tested, `trial` puts suspects through the gate's own machinery, `suite` runs all of it
on several processes, and `matrix` is what comes of it.
"""
