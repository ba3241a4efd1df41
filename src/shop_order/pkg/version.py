"""The one version: pyproject's, as it was installed."""

from importlib import metadata


def version() -> str:
    """Such as 0.1.0; the client, where it was installed without the server, has the same."""
    try:
        return metadata.version("shop-order")
    except metadata.PackageNotFoundError:
        return metadata.version("shop-order-client")
