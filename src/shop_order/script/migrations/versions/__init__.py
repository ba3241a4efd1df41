"""The schema of the order database, one revision per file."""
