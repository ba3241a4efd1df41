"""Keys of the daily roots, and the registry as witness: database access includes neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from shop_order.configs import ConfigError, Settings
from shop_order.domain.ports import Clock, WitnessUnavailable
from shop_order.pkg.ed25519 import Ed25519Keys
from shop_order.pkg.registry import Registry, RegistryLock, RegistryUnavailable
from shop_order.repository.dao.store import Store
from shop_order.service.alerts import Alert
from shop_order.service.upkeep.audit import RootAudit
from shop_order.service.upkeep.daily_root import DailyRoot

ROOTS = "order-service-roots/"  # outside the settings, which each start and change reads completely


class RegistryWitness:
    """See `domain.ports.Witness`; `database` keeps the roots of two databases apart."""

    def __init__(self, registry: Registry, database: str, lease: RegistryLock | None = None) -> None:
        """Read-only without a `lease`."""
        self._registry = registry
        self._below = f"{ROOTS}{database}/"
        self._lease = lease

    async def get(self, day: str) -> bytes | None:
        with _reported():
            return await self._registry.get(self._below + day)

    async def put(self, day: str, document: bytes) -> bool:
        with _reported():
            return self._lease is not None and await self._lease.put(self._below + day, document)

    async def all(self) -> Mapping[str, bytes]:
        with _reported():
            found = await self._registry.values_below(self._below)
        return {key.removeprefix(self._below): value for key, value in found.items()}


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except RegistryUnavailable as away:
        raise WitnessUnavailable(str(away)) from away


def witness(
    settings: Settings, registry: Registry, lease: RegistryLock | None = None
) -> RegistryWitness | None:
    """Return the registry as a witness, if one is configured."""
    if settings.registry.url.startswith("none:"):
        return None
    return RegistryWitness(registry, database(settings.db.url), lease)


def database(url: str) -> str:
    """Return name and address of a database, without its user: shop@db.example:3306, order.db."""
    split = urlsplit(url)
    name, where = split.path.rpartition("/")[2], split.netloc.rpartition("@")[2]
    return f"{name}@{where}" if where else name


def root_keys(settings: Settings) -> Ed25519Keys:
    """Return the keys that sign and verify. Raises ConfigError."""
    file = Path(settings.audit.root_key_file or "")
    try:
        return Ed25519Keys(file.read_bytes())
    except (ValueError, OSError) as bad:
        raise ConfigError(f"AUDIT__ROOT_KEY_FILE: {file}: {bad}") from bad


def daily_roots(
    settings: Settings, store: Store, registry: Registry, real_ms: Clock, alert: Alert
) -> tuple[DailyRoot, RootAudit]:
    """What makes the daily roots, and what verifies them."""
    roots, keys = store.roots, root_keys(settings)
    daily = DailyRoot(
        roots=roots, keys=keys, real_clock=real_ms, database_ms=store.leases.now_ms, alert=alert
    )
    return daily, RootAudit(roots=roots, keys=keys, real_clock=real_ms, witness=witness(settings, registry))
