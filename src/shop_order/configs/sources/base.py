"""The interface of a configuration source."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

Document = tuple[str, str]  # its name, its YAML text


class SourceUnavailable(Exception):
    """A source on another machine can't be reached; the text is one line that names it and the reason."""


class Source(Protocol):
    """A source of the operator's documents."""

    @property
    def kind(self) -> str:
        """A word for the origin of its settings: `file`, `nacos`, `consul`."""
        ...

    def documents(self, env: str) -> list[Document]:
        """Return the documents in order of precedence, those of the profile `env` last.

        Raises ConfigError if the source is misconfigured, SourceUnavailable if it can't be reached.
        """
        ...


@runtime_checkable
class SharedSource(Source, Protocol):
    """A source on another machine; its last good copy is kept."""

    @property
    def identity(self) -> str:
        """The name of its last good copy; the same for all servers of a cluster."""
        ...

    async def watch(self, changed: Callable[[], None], folder: Path) -> None:
        """Call `changed` whenever the documents may have changed; runs until it is cancelled.

        Survives outages of the source, and calls `changed` after each. `folder` is for the files of the
        source's client.
        """
        ...
