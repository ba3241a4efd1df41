"""Every engine together, and one of them gone."""
