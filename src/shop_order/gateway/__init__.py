"""Clients of other services and of payment providers."""
