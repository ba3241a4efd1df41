"""What ends a start."""


class ConfigError(Exception):
    """A configuration that can't be used; the message is one line for the operator (exit code 2)."""


class ConfigAway(ConfigError):
    """A shared source can't be asked now, so nothing is known about what it says."""
