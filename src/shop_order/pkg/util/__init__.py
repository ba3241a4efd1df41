"""Money, ids and order numbers."""
