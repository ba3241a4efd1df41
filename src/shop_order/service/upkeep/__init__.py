"""Background jobs and the checks operators run."""
