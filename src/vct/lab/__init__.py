"""Everything that runs, records and reports the method; the method itself is `vct`."""
