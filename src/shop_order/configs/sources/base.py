"""What a configuration source must do."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

Document = tuple[str, str]  # its name, its YAML text


class SourceAway(Exception):
    """A source on another machine can't be asked now; the text is one line that says which, and why."""


class Source(Protocol):
    """Where an operator's own documents come from."""

    @property
    def kind(self) -> str:
        """One word for the origin of its settings: `file`, `nacos`, `consul`."""
        ...

    def documents(self, env: str) -> list[Document]:
        """The documents in the order in which they count, those of the profile `env` last.

        Raises ConfigError if the source can't be used as it is set, SourceAway if it can't be asked now.
        """
        ...


@runtime_checkable
class SharedSource(Source, Protocol):
    """A source on another machine, of which a last good copy is kept."""

    @property
    def identity(self) -> str:
        """What the kept copy belongs to; another server of the same cluster is the same."""
        ...

    async def watch(self, changed: Callable[[], None], folder: Path) -> None:
        """Call `changed` whenever the documents may have changed; runs until it is cancelled.

        Outlives every absence of the source, and calls `changed` after it. `folder` is for files that the
        source's own client wants to write.
        """
        ...
