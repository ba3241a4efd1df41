"""The order database."""
