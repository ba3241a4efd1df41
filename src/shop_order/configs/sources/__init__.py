"""Sources of configuration: their interface, and the choice by the scheme of a URL."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from shop_order.configs.engines import check_scheme
from shop_order.configs.settings import ENVIRONMENTS, ConfigError

Document = tuple[str, str]  # its name, its YAML text
_APP_NAMES = ("app.yaml", *(f"app.{env}.yaml" for env in ENVIRONMENTS))


class SourceUnavailable(ConfigError):
    """A source on another machine can't be reached."""


class Source(Protocol):
    """A source of the operator's documents."""

    @property
    def kind(self) -> str:
        """A word for the origin of its settings: `file`, `nacos`, `consul`."""

    def documents(self, env: str) -> list[Document]:
        """Return the documents in order of precedence, those of the profile `env` last.

        Raises ConfigError if the source is misconfigured, SourceUnavailable if it can't be reached.
        """


@runtime_checkable
class SharedSource(Source, Protocol):
    """A source on another machine; its last good copy is kept."""

    @property
    def identity(self) -> str:
        """The name of its last good copy; the same for all servers of a cluster."""

    async def watch(self, changed: Callable[[], None], folder: Path) -> None:
        """Call `changed` whenever the documents may have changed; runs until it is cancelled.

        Survives outages of the source, and calls `changed` after each. `folder` is for the files of the
        source's client.
        """


def open_source(url: str) -> Source:
    """The source of a CONFIG__URL. Raises ConfigError for an unknown scheme."""
    if check_scheme("config", url) == "file":
        return FileSource(url)
    from shop_order.configs.sources.nacos import NacosSource

    return NacosSource(url)


def open_registry_source(url: str) -> SharedSource | None:
    """The settings source of the registry in REGISTRY__URL, None if it has none. Raises ConfigError."""
    if check_scheme("registry", url) != "consul":
        return None
    from shop_order.configs.sources.consul_kv import ConsulSource

    return ConsulSource(url)


def shared_sources(config_url: str, registry_url: str) -> list[SharedSource]:
    """The sources to watch. Raises ConfigError."""
    both = (open_registry_source(registry_url), open_source(config_url))
    return [source for source in both if isinstance(source, SharedSource)]


class FileSource:
    """`file:` has no documents, so that only the packaged defaults apply; `file:/folder` has a folder's."""

    kind = "file"

    def __init__(self, url: str) -> None:
        path = url.removeprefix("file:").removeprefix("//")
        self._folder = Path(path) if path else None

    def documents(self, env: str) -> list[Document]:
        """Return the folder's *.yaml, except the profiles of other environments.

        Raises ConfigError, also for a name that would be ignored, and in production for an empty folder.
        """
        folder = self._folder
        if folder is None:
            return []
        if not folder.is_dir():
            raise ConfigError(f"CONFIG__URL: there is no folder {folder}")
        try:
            names = sorted(p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
            for name in names:
                if name.endswith(".yml") or (name.startswith("app.") and name not in _APP_NAMES):
                    raise ConfigError(f"{folder / name}: ignored; name it *.yaml, or {', '.join(_APP_NAMES)}")
            general = [name for name in names if name not in _APP_NAMES]
            chosen = [name for name in ("app.yaml", *general, f"app.{env}.yaml") if name in names]
            if not names and env == "production":
                raise ConfigError(f"CONFIG__URL: {folder} has no *.yaml; to set nothing, write {{}} into one")
            return [(str(folder / name), (folder / name).read_text(encoding="utf-8")) for name in chosen]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"CONFIG__URL: can't read {folder}: {error}") from error
