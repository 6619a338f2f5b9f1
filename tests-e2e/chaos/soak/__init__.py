"""The soak: faults of every kind at random, under load, for as long as asked; one verdict and one table at the end.

`driver` runs it, `load` brings the leads, `catalogue` knows the faults of each subject, `draining` waits for the end
and `report` tells what came of it.
"""
