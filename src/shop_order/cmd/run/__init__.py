"""A process from its first instruction to its end: start, jobs, signals, reload, stop."""
