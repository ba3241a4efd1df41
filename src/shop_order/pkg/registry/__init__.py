"""Service registries; the scheme of REGISTRY__URL picks the engine."""

from shop_order.pkg.registry.base import Instance, Registry, RegistryLock, RegistryUnavailable


def open_registry(url: str) -> Registry:
    """The registry of an engine URL, not contacted yet. Raises ValueError for an unknown scheme."""
    scheme = url.partition(":")[0]
    if scheme == "none":
        from shop_order.pkg.registry.none import NoRegistry

        return NoRegistry()
    if scheme == "consul":
        from shop_order.pkg.registry.consul import Consul

        return Consul(url)
    raise ValueError(f"no registry for {scheme}:")


__all__ = ["Instance", "Registry", "RegistryLock", "RegistryUnavailable", "open_registry"]
