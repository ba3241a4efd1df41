"""Checks engine URLs, and that settings fit together."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

from shop_order.configs.production import missing_in_production, wrong_in_production
from shop_order.configs.settings import ConfigError, Settings
from shop_order.pkg.message.rocketmq import parse as parse_rocketmq
from shop_order.pkg.redis import SCHEMES as REDIS_SCHEMES
from shop_order.pkg.redis import parse as redis_address
from shop_order.pkg.url import cut_password, parse_tls

_SCHEMES: dict[str, frozenset[str]] = {
    "db": frozenset({"sqlite", "mysql"}),
    "cache": frozenset({"memory", *REDIS_SCHEMES}),
    "message": frozenset({"embedded", "rocketmq"}),
    "oplog": frozenset({"sqlite", "mongodb", "mongodb+srv"}),
    "registry": frozenset({"none", "consul"}),
    "config": frozenset({"file", "nacos"}),
    "trace": frozenset({"none", "otlp", "otlps"}),
}
_LOCAL = frozenset({"sqlite", "file", "memory", "embedded", "none"})


def check_scheme(room: str, url: str) -> str:
    """Return the scheme of a URL. Raises ConfigError if it is unknown."""
    scheme, colon, _ = url.partition(":")
    key, can = f"{room.upper()}__URL", ", ".join(f"{name}:" for name in sorted(_SCHEMES[room]))
    if not colon:
        raise ConfigError(f"{key}: not an engine URL (supported: {can})")
    if scheme not in _SCHEMES[room]:
        raise ConfigError(f"{key}: this version does not support {scheme}: (supported: {can})")
    if scheme not in _LOCAL and not _is_parseable(url):
        raise ConfigError(f"{key}: in a password, write / ? # @ [ ] as %2F %3F %23 %40 %5B %5D")
    return scheme


def require_extra(key: str, extra: str, *modules: str) -> None:
    """Raise ConfigError unless the modules of this extra are installed."""
    try:
        installed = all(map(find_spec, modules))
    except ModuleNotFoundError:  # a parent package is missing
        installed = False
    if not installed:
        raise ConfigError(f"{key}: needs the extra: pip install 'shop-order[{extra}]'")


def _is_parseable(url: str) -> bool:
    """Whether it can be parsed without mistaking a part of the password for a host or a path."""
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
    schemes = {room: check_scheme(room, getattr(settings, room).url) for room in _SCHEMES}
    for room in ("db", "oplog"):
        url = getattr(settings, room).url
        if schemes[room] == "sqlite" and not (url.startswith("sqlite:///") and sqlite_path(url).strip()):
            raise ConfigError(f"{room.upper()}__URL: needs a file: sqlite:///path")
    if schemes["db"] == "mysql":
        _check_mysql(settings.db.url)
    if schemes["cache"] in REDIS_SCHEMES:
        with _explained("CACHE__URL"):
            redis_address(settings.cache.url)
            _check_tls(urlsplit(settings.cache.url).query)
        require_extra("CACHE__URL", "redis", "redis")
    if schemes["message"] == "rocketmq":
        with _explained("MESSAGE__URL"):
            parse_rocketmq(settings.message.url)
        require_extra("MESSAGE__URL", "rocketmq", "rocketmq")
    if settings.server.http_port == settings.server.grpc_port != 0:
        raise ConfigError("SERVER__GRPC_PORT: must differ from SERVER__HTTP_PORT")
    _check_registry(settings, schemes["registry"])
    if schemes["trace"] != "none":
        _check_trace(settings.trace.url)
    if complete and settings.app.env == "production":
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
    with _explained("DB__URL"):
        _check_tls(parts.query)
    require_extra("DB__URL", "mysql", "asyncmy", "pymysql")


@contextmanager
def _explained(key: str) -> Iterator[None]:
    """Name the setting in an error."""
    try:
        yield
    except ValueError as bad:
        raise ConfigError(f"{key}: {bad}") from None
    except OSError as unreadable:
        raise ConfigError(f"{key}: a file of its ssl- options can't be used: {unreadable}") from None


def _check_tls(query: str) -> None:
    if chosen := parse_tls(query):
        chosen.context()


def _check_registry(settings: Settings, scheme: str) -> None:
    for name, addresses in settings.neighbours.addresses.items():
        if scheme == "none" and any(":" not in address for address in addresses):
            raise ConfigError(
                f"NEIGHBOURS__{name.upper()}: a service name needs a registry:"
                " set REGISTRY__URL, or write host:port"
            )
    server = settings.server
    if scheme != "none" and not server.advertise_host and server.host in ("0.0.0.0", "::"):  # noqa: S104
        raise ConfigError("SERVER__ADVERTISE_HOST: the registry needs a specific address, not a wildcard")


def _check_trace(url: str) -> None:
    try:
        parts = urlsplit(url)
        extra = parts.path.strip("/") or parts.query or parts.username
        is_complete = parts.hostname and parts.port and not extra
    except ValueError:
        is_complete = ""
    if not is_complete:
        raise ConfigError("TRACE__URL: must be otlp://host:port or otlps://host:port")
    require_extra("TRACE__URL", "otel", "opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.grpc")
