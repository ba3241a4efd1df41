"""Sources of configuration: what one must do, and the choice by the scheme of a URL."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from shop_order.configs.engines import check_scheme

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


def open_source(url: str) -> Source:
    """The source of a CONFIG__URL. Raises ConfigError for a scheme that is unknown or not built."""
    match check_scheme("config", url):
        case "file":
            from shop_order.configs.sources.file import FileSource

            return FileSource(url)
        case "nacos":
            from shop_order.configs.sources.nacos import NacosSource

            return NacosSource(url)
        case scheme:
            raise AssertionError(f"{scheme} is listed as built, but has no source")


def open_registry_source(url: str) -> SharedSource | None:
    """The shared settings that the registry of a REGISTRY__URL keeps, if it keeps any. Raises ConfigError."""
    if check_scheme("registry", url) != "consul":
        return None
    from shop_order.configs.sources.consul_kv import ConsulSource

    return ConsulSource(url)


def shared_sources(config_url: str, registry_url: str) -> list[SharedSource]:
    """The sources to watch. Raises ConfigError."""
    both = (open_registry_source(registry_url), open_source(config_url))
    return [source for source in both if isinstance(source, SharedSource)]


__all__ = [
    "Document",
    "SharedSource",
    "Source",
    "SourceUnavailable",
    "open_registry_source",
    "open_source",
    "shared_sources",
]
