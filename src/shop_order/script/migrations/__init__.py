"""The schema of the order database, one revision a file."""
