"""Idempotency control: the submit tokens of web forms."""
