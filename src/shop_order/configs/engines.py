"""Checks engine URLs, and that settings fit together."""

import os
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

from shop_order.configs.production import missing_in_production, wrong_in_production
from shop_order.configs.settings import ConfigError, Settings
from shop_order.pkg.message.rocketmq import parse as parse_rocketmq
from shop_order.pkg.redis import SCHEMES as REDIS_SCHEMES
from shop_order.pkg.redis import parse as redis_address
from shop_order.pkg.url import cut_password, file_of, parse_tls

# role: (schemes that are built, schemes that are planned)
_ENGINES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "db": (frozenset({"sqlite", "mysql"}), frozenset()),
    "cache": (frozenset({"memory", *REDIS_SCHEMES}), frozenset()),
    "message": (frozenset({"embedded", "rocketmq"}), frozenset()),
    "oplog": (frozenset({"sqlite", "mongodb", "mongodb+srv"}), frozenset()),
    "registry": (frozenset({"none", "consul"}), frozenset()),
    "config": (frozenset({"file", "nacos"}), frozenset()),
    "trace": (frozenset({"none", "otlp", "otlps"}), frozenset()),
}
_LOCAL = frozenset({"sqlite", "file", "memory", "embedded", "none"})


def check_scheme(room: str, url: str) -> str:
    """Return the scheme of a URL. Raises ConfigError if it is unknown or not built."""
    scheme, colon, _ = url.partition(":")
    built, planned = _ENGINES[room]
    key, can = f"{room.upper()}__URL", ", ".join(f"{name}:" for name in sorted(built))
    if not colon:
        raise ConfigError(f"{key}: not an engine URL (this version has {can})")
    if scheme in planned:
        raise ConfigError(f"{key}: the engine {scheme}: is not built in this version (it has {can})")
    if scheme not in built:
        raise ConfigError(f"{key}: unknown engine {scheme}: (this version has {can})")
    if scheme not in _LOCAL and not _is_parseable(url):
        raise ConfigError(f"{key}: in a password, write / ? # @ [ ] as %2F %3F %23 %40 %5B %5D")
    return scheme


def _is_parseable(url: str) -> bool:
    """Whether it can be parsed without taking part of a password for a host or a path."""
    try:
        urlsplit(url)
    except ValueError:
        return False
    return not cut_password(url)


def sqlite_path(url: str) -> str:
    """Return the file of a `sqlite:///path` URL."""
    return url.removeprefix("sqlite:///")


def check(settings: Settings, *, complete: bool = True) -> None:
    """Check that settings fit together and, with `complete`, that production has what it requires.

    Raises ConfigError.
    """
    schemes = {}
    for room in _ENGINES:
        schemes[room] = check_scheme(room, getattr(settings, room).url)
    for room in ("db", "oplog"):
        url = getattr(settings, room).url
        if schemes[room] == "sqlite" and not (url.startswith("sqlite:///") and sqlite_path(url).strip()):
            raise ConfigError(f"{room.upper()}__URL: needs a file: sqlite:///path")
    if schemes["db"] == "mysql":
        _check_mysql(settings.db.url)
    if schemes["cache"] in REDIS_SCHEMES:
        _check_redis(settings.cache.url)
    if schemes["message"] == "rocketmq":
        _check_rocketmq(settings.message.url)
    ports = settings.server.http_port, settings.server.grpc_port
    if ports[0] == ports[1] != 0:
        raise ConfigError("SERVER__GRPC_PORT: must differ from SERVER__HTTP_PORT")
    _check_registry(settings, schemes["registry"])
    if schemes["trace"] != "none":
        _check_trace(settings.trace.url)
    if complete:
        _check_complete(settings)


def _check_complete(settings: Settings) -> None:
    _check_files(settings)
    if settings.app.env == "production":
        missing = missing_in_production(settings)
        wrong = [f"production needs {', '.join(missing)}"] if missing else []
        wrong += wrong_in_production(settings)
        if wrong:
            raise ConfigError("; ".join(wrong))


def _check_mysql(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_complete = parts.hostname and parts.username and parts.path.strip("/") and parts.port != 0
    except ValueError:
        is_complete = ""
    if not is_complete or parts.fragment or "/" in parts.path[1:]:
        raise ConfigError("DB__URL: must be mysql://user:password@host:port/db")
    try:
        unquote(parts.password or "").encode("latin-1")
    except UnicodeEncodeError:
        raise ConfigError("DB__URL: MySQL clients can only send a password in Latin-1") from None
    _check_tls("DB__URL", parts.query)
    if find_spec("asyncmy") is None or find_spec("pymysql") is None:
        raise ConfigError("DB__URL: mysql: needs the extra: pip install 'shop-order[mysql]'")


def _check_tls(key: str, query: str) -> None:
    try:
        chosen = parse_tls(query)
        if chosen:
            chosen.context()
    except ValueError as bad:
        raise ConfigError(f"{key}: {bad}") from None
    except OSError as unreadable:
        raise ConfigError(f"{key}: a file of its ssl- options can't be used: {unreadable}") from None


def _check_rocketmq(url: str) -> None:
    try:
        parse_rocketmq(url)
    except ValueError as bad:
        raise ConfigError(f"MESSAGE__URL: {bad}") from None
    if find_spec("rocketmq") is None:
        raise ConfigError("MESSAGE__URL: rocketmq: needs the extra: pip install 'shop-order[rocketmq]'")


def _check_registry(settings: Settings, scheme: str) -> None:
    neighbours = settings.neighbours
    named = {
        "GOODS": (neighbours.goods,),
        "INVENTORY": (neighbours.inventory,),
        "USERS": (neighbours.users,),
        "INBOXES": neighbours.inboxes,
    }
    names = [key for key, addresses in named.items() if any(":" not in a for a in addresses)]
    if scheme == "none" and names:
        raise ConfigError(
            f"NEIGHBOURS__{names[0]}: a service name needs a registry: set REGISTRY__URL, or write host:port"
        )
    server = settings.server
    if scheme != "none" and not server.advertise_host and server.host in ("0.0.0.0", "::"):  # noqa: S104
        raise ConfigError("SERVER__ADVERTISE_HOST: the registry needs a specific address, not a wildcard")


def _check_redis(url: str) -> None:
    try:
        redis_address(url)
    except ValueError as bad:
        raise ConfigError(f"CACHE__URL: {bad}") from None
    _check_tls("CACHE__URL", urlsplit(url).query)
    if find_spec("redis") is None:
        raise ConfigError("CACHE__URL: needs the Redis client: pip install 'shop-order[redis]'")


def _check_trace(url: str) -> None:
    try:
        parts = urlsplit(url)
        extra = parts.path.strip("/") or parts.query or parts.username
        is_complete = parts.hostname and parts.port and not extra
    except ValueError:
        is_complete = ""
    if not is_complete:
        raise ConfigError("TRACE__URL: must be otlp://host:port or otlps://host:port")
    try:
        found = all(map(find_spec, ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.grpc")))
    except ModuleNotFoundError:  # a parent package is missing
        found = False
    if not found:
        raise ConfigError("TRACE__URL: otlp: needs the extra: pip install 'shop-order[otel]'")


def _check_files(settings: Settings) -> None:
    files = {
        "SERVER__TLS_CERT": settings.server.tls_cert,
        "SERVER__TLS_KEY": settings.server.tls_key,
        "SERVER__TLS_CLIENT_CA": settings.server.tls_client_ca,
        "AUTH__JWKS": file_of(settings.auth.jwks or ""),
    }
    for name, path in files.items():
        if path and not os.access(path, os.R_OK):
            raise ConfigError(f"{name}: there is no readable file {path}")
