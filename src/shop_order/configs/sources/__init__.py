"""The room of configuration sources: the scheme of CONFIG__URL picks one."""

from shop_order.configs.engines import check_scheme
from shop_order.configs.sources.base import Source


def open_source(url: str) -> Source:
    """The source of a URL. Raises ConfigError for a scheme that is unknown or not built."""
    match check_scheme("config", url):
        case "file":
            from shop_order.configs.sources.file import FileSource

            return FileSource(url)
        case scheme:
            raise AssertionError(f"{scheme} is listed as built, but has no source")


__all__ = ["Source", "open_source"]
