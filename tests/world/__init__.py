"""A small Shop in this process: the real use cases on a real SQLite file and the sandbox's real inventory."""
