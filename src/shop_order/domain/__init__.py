"""The order, its states and its rules: the standard library only."""
