"""Random stories on the real code, told again by a simple model."""
