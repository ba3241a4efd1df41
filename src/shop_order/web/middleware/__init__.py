"""ASGI middleware of the REST application."""
