"""The Shop's order service."""

from functools import cache


@cache  # every call to WeChat Pay names it, and a look-up reads a file
def version() -> str:
    """Return the installed version, such as 0.1.0; a client installed alone has the same."""
    from importlib import metadata

    try:
        return metadata.version("shop-order")
    except metadata.PackageNotFoundError:
        return metadata.version("shop-order-client")
