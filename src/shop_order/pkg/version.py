"""The installed version."""

from importlib import metadata


def version() -> str:
    """Return the version, such as 0.1.0; a client installed alone has the same."""
    try:
        return metadata.version("shop-order")
    except metadata.PackageNotFoundError:
        return metadata.version("shop-order-client")
