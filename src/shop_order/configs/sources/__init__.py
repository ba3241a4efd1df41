"""The room of configuration sources: the scheme of CONFIG__URL picks one, REGISTRY__URL may add another."""

from shop_order.configs.engines import check_scheme
from shop_order.configs.sources.base import Document, SharedSource, Source, SourceUnavailable


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
