"""Faults of real systems, planted in a copy of the sources: the suite must turn red for each."""
