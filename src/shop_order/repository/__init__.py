"""Storage: the scheme of a URL selects the engine."""
