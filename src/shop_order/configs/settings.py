"""Every setting with its type and bounds. Defaults stand in the *.yaml files beside this one."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from shop_order.configs.freight import MOST_TOTAL_FEN, PROVINCES, Freight, ProvinceFreight, whole_fen
from shop_order.configs.lists import split_list
from shop_order.pkg.address import joined, parted, reachable

ENVIRONMENTS = ("dev", "test", "production")
MIN_KEY_CHARS = 32
_SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)  # as in the subjects of tokens
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _empty_to_none(value: object) -> object:
    return None if value == "" else value


def _digits_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _strong(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < MIN_KEY_CHARS:
        raise ValueError(f"a key must have at least {MIN_KEY_CHARS} characters")
    return key


def _one_line(value: str | None) -> str | None:
    if value is not None and not (value.isprintable() and value.strip()):
        raise ValueError("must be one line of visible characters")
    return value


def _address(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    if ":" not in value:
        if not _NAME.fullmatch(value):
            raise ValueError("must be host:port, or a name in the registry")
        return value
    return joined(*parted(value))


def _host(value: str) -> str:
    host = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if ":" in host:
        ip_address(host)  # says what is wrong with the text
    elif not _NAME.fullmatch(host):
        raise ValueError("must be a host, without scheme and port")
    return host


def _network(value: str) -> str:
    ip_network(value, strict=False)  # says what is wrong with the text
    return value


def _service_name(value: str) -> str:
    if not _SERVICE_NAME.fullmatch(value):
        raise ValueError("must be the name of a service, as its token has it: a-z, 0-9, _ . and -")
    return value


def _web_url(value: str) -> str:
    try:
        url = urlsplit(value)
        whole = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # its text may repeat a password
        whole = None
    if not whole or any(sign.isspace() for sign in value):
        raise ValueError("must be an http:// or https:// URL")
    return value.rstrip("/")


def _base_url(value: str) -> str:
    url = urlsplit(value)
    if url.query or url.fragment or "?" in value or "#" in value or "@" in url.netloc:
        raise ValueError("must be an http:// or https:// URL that a path can be added to")
    return value


OptText = Annotated[str | None, BeforeValidator(_empty_to_none)]
OptId = Annotated[str | None, BeforeValidator(_digits_as_text), BeforeValidator(_empty_to_none)]
ShopName = Annotated[
    Annotated[str, Field(max_length=50)] | None, BeforeValidator(_empty_to_none), AfterValidator(_one_line)
]
Key = Annotated[SecretStr, AfterValidator(_strong)]
OptKey = Annotated[Key | None, BeforeValidator(_empty_to_none)]
Keys = Annotated[tuple[Key, ...], BeforeValidator(split_list)]
Address = Annotated[str, AfterValidator(_address)]
Addresses = Annotated[tuple[Address, ...], BeforeValidator(split_list)]
Host = Annotated[str, AfterValidator(_host)]
OptHost = Annotated[Host | None, BeforeValidator(_empty_to_none)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(split_list)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
OptWebUrl = Annotated[WebUrl | None, BeforeValidator(_empty_to_none)]
ServiceNames = Annotated[
    tuple[Annotated[str, AfterValidator(_service_name)], ...], BeforeValidator(split_list)
]
OptBaseUrl = Annotated[Annotated[WebUrl, AfterValidator(_base_url)] | None, BeforeValidator(_empty_to_none)]
WebUrls = Annotated[tuple[WebUrl, ...], BeforeValidator(split_list)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[int, Field(ge=0, le=1_000_000)]


class Section(BaseModel):
    """Frozen, and closed to settings it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class App(Section):
    """Which profile runs, and what buyers read as the shop's name."""

    env: Literal["dev", "test", "production"]
    shop_name: ShopName


class Server(Section):
    """Ports, addresses and TLS."""

    host: Host
    http_port: Port
    grpc_port: Port
    grpc_transport: Literal["auto", "native", "grpcio"]
    public_url: OptBaseUrl
    advertise_host: OptHost
    trusted_proxies: Networks
    cors_origins: WebUrls
    reflection: bool
    tls_cert: OptText
    tls_key: OptText
    tls_client_ca: OptText
    deadline_s: Seconds
    stop_wait_s: float = Field(ge=0, le=300, allow_inf_nan=False)
    stop_timeout_s: Seconds

    @model_validator(mode="after")
    def _tls_is_whole(self) -> "Server":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS_CERT and TLS_KEY are set together or not at all")
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError("TLS_CLIENT_CA needs TLS_CERT and TLS_KEY")
        return self

    @property
    def base_url(self) -> str:
        """Where buyers reach us: `public_url`, or host and HTTP port; without a slash at the end."""
        host = reachable(self.advertise_host or self.host)  # nobody can follow a link to every address
        return self.public_url or f"http://{joined(host, self.http_port)}"


class Engine(Section):
    """An engine room's URL; which schemes are built stands in engines.py."""

    url: str = Field(min_length=1)


class OrderLog(Engine):
    """The order log; `keep_days` 0 keeps entries for ever."""

    keep_days: int = Field(ge=0, le=36_500)


class Cache(Engine):
    """What instances share besides the database; times in seconds, 0 is off."""

    timeout_s: float = Field(gt=0, le=10, allow_inf_nan=False)
    order_ttl_s: Annotated[float, Field(ge=0, le=3600)] | None
    absent_ttl_s: float = Field(ge=0, le=60)
    goods_ttl_s: Annotated[float, Field(ge=0, le=300)] | None
    most_entries: Count


class Message(Engine):
    """The carrier of events, and where its relay shows metrics."""

    relay_port: Port


class Neighbours(Section):
    """Addresses of the other services, `host:port` or a name in the registry."""

    goods: Address
    inventory: Address
    users: Address
    inboxes: Addresses
    token_file: OptText
    timeout_s: Seconds


class Auth(Section):
    """Keys that prove who calls."""

    link_keys: Keys
    lease_owners: ServiceNames
    jwks: OptText
    hs256_key: OptKey
    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    max_lifetime_s: int = Field(ge=60, le=30 * 86400)


class Alipay(Section):
    """The Alipay channel; without an app id it is unavailable."""

    gateway: WebUrl
    app_id: OptId
    seller_id: OptId
    app_private_key_file: OptText
    public_key_file: OptText
    notify_url: OptWebUrl
    timeout_s: Seconds


class Pay(Section):
    """Payment channels and what guards them."""

    gateway_secret: OptKey
    return_urls: WebUrls
    callback_allow: Networks
    alipay: Alipay


class Order(Section):
    """What happens to orders by itself; `archive_after_days` 0 archives none."""

    pay_timeout_s: int = Field(ge=1, le=30 * 86400)
    auto_confirm_s: int = Field(ge=1, le=365 * 86400)
    scan_interval_s: Seconds
    lease_s: int = Field(ge=1, le=3600)
    archive_after_days: int = Field(ge=0, le=36_500)


class Pricing(Section):
    """What an order costs beside its goods, in fen; 0 for `free_freight_from_fen` is never."""

    freight_fen: Freight
    free_freight_from_fen: Annotated[int, BeforeValidator(whole_fen), Field(ge=0, le=MOST_TOTAL_FEN)]
    province_freight_fen: ProvinceFreight

    @property
    def zones_fen(self) -> Mapping[str, int]:
        """What is added for each province; empty if for none, which is no address's business then."""
        added = self.province_freight_fen
        return {name: added.get(name, 0) for name in PROVINCES} if any(added.values()) else {}


class Audit(Section):
    """What seals the history."""

    root_key_file: OptText


class Limit(Section):
    """The bounds: rates in calls a second, queues and batches in items."""

    unpaid_orders: Rate
    user_rate: Rate
    user_burst: Count
    global_rate: Rate
    global_burst: Count
    rate_keys: Count
    commit_queue: Count
    commit_batch: int = Field(ge=1, le=1024)
    goods_queue: Count
    goods_batch: int = Field(ge=1, le=1024)
    stock_queue: Count
    stock_batch: int = Field(ge=1, le=256)
    relay_batch: int = Field(ge=1, le=500)
    log_queue: Count
    grpc_calls: Count
    grpc_address_calls: Rate
    grpc_streams: Count
    grpc_address_streams: Rate
    grpc_connections: Count
    grpc_address_connections: Rate


class Log(Section):
    """Specification 6.6."""

    level: Literal["debug", "info", "warn", "error"]
    filename: OptText
    stdout: bool
    max_size: int = Field(ge=1, le=10_240, description="MB")
    max_backups: int = Field(ge=0, le=10_000)
    max_age: int = Field(ge=0, le=3650, description="days; 0 keeps for ever")
    compress: bool


class Trace(Engine):
    """Where spans go, and how many of them."""

    sampler: Literal["parentbased_traceidratio", "traceidratio"]
    ratio: float = Field(ge=0, le=1, allow_inf_nan=False)


class Settings(Section):
    """The whole configuration; immutable: a reload makes a new one."""

    app: App
    data_dir: str = Field(min_length=1)
    server: Server
    db: Engine
    cache: Cache
    message: Message
    oplog: OrderLog
    registry: Engine
    config: Engine
    neighbours: Neighbours
    auth: Auth
    audit: Audit
    pay: Pay
    order: Order
    pricing: Pricing
    limit: Limit
    log: Log
    trace: Trace


def key_bytes(keys: Iterable[SecretStr]) -> list[bytes]:
    """The keys as HMAC uses them: the bytes of their text."""
    return [key.get_secret_value().encode() for key in keys]
