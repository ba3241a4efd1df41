"""What a configuration source must do."""

from typing import Protocol


class Source(Protocol):
    """Where an operator's own documents come from."""

    def documents(self, env: str) -> list[tuple[str, str]]:
        """(name, YAML text) in the order in which they count, those of the profile `env` last.

        Raises ConfigError if the source can't be read.
        """
        ...
