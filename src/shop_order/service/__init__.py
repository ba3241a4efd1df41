"""The use cases, one file per family; each reads from top to bottom for one order."""
