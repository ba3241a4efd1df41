"""What ends a start."""


class ConfigError(Exception):
    """A configuration that can't be used; the message is one line for the operator (exit code 2)."""
