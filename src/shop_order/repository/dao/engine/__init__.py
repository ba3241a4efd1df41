"""The drivers of the SQL engines: one module each over `base`."""
