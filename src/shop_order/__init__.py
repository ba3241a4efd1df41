"""The Shop's order service."""


def version() -> str:
    """Return the installed version, such as 0.1.0; a client installed alone has the same."""
    from importlib import metadata

    try:
        return metadata.version("shop-order")
    except metadata.PackageNotFoundError:
        return metadata.version("shop-order-client")
