"""Every setting with its type and bounds. The defaults are in the *.yaml files of this folder."""

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from shop_order.configs import types
from shop_order.pkg.address import join_host_port, reachable

ENVIRONMENTS = ("dev", "test", "production")


class ConfigError(Exception):
    """A configuration that can't be used; the message is one line for the operator (exit code 2)."""


class Section(BaseModel):
    """Frozen; refuses unknown settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class App(Section):
    """The profile, and the name of the shop that buyers see."""

    env: Literal["dev", "test", "production"]
    shop_name: types.ShopName


class Server(Section):
    """Ports, addresses and TLS."""

    host: types.Host
    http_port: types.Port
    grpc_port: types.Port
    grpc_transport: Literal["auto", "native", "grpcio"]
    public_url: types.OptBaseUrl
    advertise_host: types.OptHost
    trusted_proxies: types.Networks
    cors_origins: types.WebUrls
    reflection: bool
    tls_cert: types.OptText
    tls_key: types.OptText
    tls_client_ca: types.OptText
    deadline_s: types.Seconds
    stop_wait_s: float = Field(ge=0, le=300, allow_inf_nan=False)
    stop_timeout_s: types.Seconds

    @model_validator(mode="after")
    def _tls_is_complete(self) -> "Server":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS_CERT and TLS_KEY are set together or not at all")
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError("TLS_CLIENT_CA needs TLS_CERT and TLS_KEY")
        return self

    @property
    def base_url(self) -> str:
        """The URL for buyers: `public_url`, or host and HTTP port; without a trailing slash."""
        host = reachable(self.advertise_host or self.host)  # a wildcard can't be linked to
        return self.public_url or f"http://{join_host_port(host, self.http_port)}"


class Engine(Section):
    """The URL of an engine; engines.py lists the schemes."""

    url: str = Field(min_length=1)


class OrderLog(Engine):
    """The order log; `keep_days` 0 keeps entries forever."""

    keep_days: int = Field(ge=0, le=36_500)


class Cache(Engine):
    """State shared by instances besides the database; times in seconds, 0 is off."""

    timeout_s: float = Field(gt=0, le=10, allow_inf_nan=False)
    order_ttl_s: Annotated[float, Field(ge=0, le=3600)] | None
    absent_ttl_s: float = Field(ge=0, le=60)
    goods_ttl_s: Annotated[float, Field(ge=0, le=300)] | None
    max_entries: types.Count


class Message(Engine):
    """How events are published, and the relay's metrics port."""

    relay_port: types.Port


class Neighbours(Section):
    """Endpoints of the other services, `host:port` or a name in the registry."""

    goods: types.Endpoint
    inventory: types.Endpoint
    users: types.Endpoint
    inboxes: types.Endpoints
    token_file: types.OptText
    timeout_s: types.Seconds

    @property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        """The endpoints of each neighbour, by the name of its setting."""
        one = {"goods": self.goods, "inventory": self.inventory, "users": self.users}
        return {name: (address,) for name, address in one.items()} | {"inboxes": self.inboxes}


class Auth(Section):
    """Keys and rules for tokens."""

    link_keys: types.Keys
    lease_owners: types.ServiceNames
    wallet_services: types.ServiceNames
    wallet_keys: types.Keys
    jwks: types.OptText
    hs256_key: types.OptKey
    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    max_lifetime_s: int = Field(ge=60, le=30 * 86400)


class Channel(Section):
    """Settings of every payment channel; it is off while none of its `required` settings is set."""

    required: ClassVar[tuple[str, ...]] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """The required settings, given the others."""
        return self.required

    @property
    def missing(self) -> list[str]:
        """The needed settings that are not set."""
        return [name for name in self.needed if not getattr(self, name)]

    @property
    def is_off(self) -> bool:
        """Whether the channel is not offered to buyers."""
        return bool(self.missing) and len(self.missing) == len(self.needed)


class HttpChannel(Channel):
    """Settings of every channel whose provider is called over HTTP and sends notices."""

    gateway: types.WebUrl
    notify_url: types.OptWebUrl
    timeout_s: types.Seconds


class Alipay(HttpChannel):
    """The Alipay channel: by Alipay's public key or, once one of their files is set, by certificates."""

    required = ("app_id", "seller_id", "app_private_key_file", "public_key_file")
    certificates: ClassVar[tuple[str, ...]] = ("app_cert_file", "alipay_cert_file", "root_cert_file")

    app_id: types.OptId
    seller_id: types.OptId
    app_private_key_file: types.OptText
    public_key_file: types.OptText
    app_cert_file: types.OptText
    alipay_cert_file: types.OptText
    root_cert_file: types.OptText

    @property
    def by_certificates(self) -> bool:
        """Whether Alipay's public key comes from its certificate."""
        return any(getattr(self, name) for name in self.certificates)

    @property
    def needed(self) -> tuple[str, ...]:
        return (*self.required[:-1], *self.certificates) if self.by_certificates else self.required


class Wechat(HttpChannel):
    """The WeChat Pay channel: by WeChat's public key once it is set, otherwise by platform certificates."""

    required = ("mch_id", "merchant_private_key_file", "api_v3_key_file")
    kinds: ClassVar[tuple[str, ...]] = ("official", "mini", "app")

    mch_id: types.OptId
    app_id_official: types.OptText
    app_id_mini: types.OptText
    app_id_app: types.OptText
    merchant_serial_no: types.OptId
    merchant_private_key_file: types.OptText
    merchant_certificate_file: types.OptText
    api_v3_key_file: types.OptText
    public_key_file: types.OptText
    public_key_id: types.OptText
    openid_url: types.OptWebUrl
    mini_gateway: types.OptWebUrl
    mini_secret_file: types.OptText

    @property
    def app_ids(self) -> dict[str, str]:
        """Our app ids by their kinds."""
        return {kind: found for kind in self.kinds if (found := getattr(self, f"app_id_{kind}"))}

    @property
    def needed(self) -> tuple[str, ...]:
        return (
            *self.required,
            *(() if self.merchant_certificate_file else ("merchant_serial_no",)),
            *(("public_key_file", "public_key_id") if self.public_key_file or self.public_key_id else ()),
            *(() if self.app_ids else ("app_id_official",)),
            *(("mini_secret_file",) if self.app_id_mini else ()),
        )


class Pay(Section):
    """Payment channels and their protection."""

    gateway_secret: types.OptKey
    return_urls: types.WebUrls
    callback_allow: types.Networks
    alipay: Alipay
    wechat: Wechat

    @property
    def channels(self) -> dict[str, Channel]:
        """The channels' sections by their codes."""
        return {name: section for name, section in self if isinstance(section, Channel)}

    @property
    def http_channels(self) -> dict[str, HttpChannel]:
        """Those of them whose providers are called over HTTP."""
        return {name: section for name, section in self if isinstance(section, HttpChannel)}


def channel_key(code: str, name: str) -> str:
    """Return the name of a payment channel's setting, such as `PAY__ALIPAY__APP_ID`."""
    return f"PAY__{code}__{name}".upper()


class Order(Section):
    """Automatic changes of orders; `archive_after_days` 0 archives none."""

    pay_timeout_s: int = Field(ge=1, le=30 * 86400)
    auto_confirm_s: int = Field(ge=1, le=365 * 86400)
    scan_interval_s: types.Seconds
    lease_s: int = Field(ge=1, le=3600)
    archive_after_days: int = Field(ge=0, le=36_500)


class Refund(Section):
    """Refunds by request: `auto_approve_s` and `second_approval_fen` 0 are off."""

    window_s: int = Field(ge=0, le=3650 * 86400)
    auto_approve_s: int = Field(ge=0, le=365 * 86400)
    second_approval_fen: types.TotalFen


class Pricing(Section):
    """Freight, in fen; `free_freight_from_fen` 0 is never."""

    freight_fen: types.Freight
    free_freight_from_fen: types.TotalFen
    province_freight_fen: types.ProvinceFreight

    @property
    def zones_fen(self) -> Mapping[str, int]:
        """The surcharge of each province; empty if there are none, so that no address needs a known one."""
        added = self.province_freight_fen
        return {name: added.get(name, 0) for name in types.PROVINCES} if any(added.values()) else {}


class Audit(Section):
    """The keys that sign the history."""

    root_key_file: types.OptText


class Limit(Section):
    """Bounds: rates in calls per second, queues and batches in items."""

    unpaid_orders: types.Rate
    user_rate: types.Rate
    user_burst: types.Count
    global_rate: types.Rate
    global_burst: types.Count
    rate_keys: types.Count
    commit_queue: types.Count
    commit_batch: int = Field(ge=1, le=1024)
    goods_queue: types.Count
    goods_batch: int = Field(ge=1, le=1024)
    stock_queue: types.Count
    stock_batch: int = Field(ge=1, le=256)
    relay_batch: int = Field(ge=1, le=500)
    log_queue: types.Count
    grpc_calls: types.Count
    grpc_address_calls: types.Rate
    grpc_streams: types.Count
    grpc_address_streams: types.Rate
    grpc_user_streams: types.Rate
    grpc_connections: types.Count
    grpc_address_connections: types.Rate


class Log(Section):
    """The log (specification 6.6)."""

    level: Literal["debug", "info", "warn", "error"]
    filename: types.OptText
    stdout: bool
    max_size: int = Field(ge=1, le=10_240, description="MB")
    max_backups: int = Field(ge=0, le=10_000)
    max_age: int = Field(ge=0, le=3650, description="days; 0 keeps forever")
    compress: bool


class Trace(Engine):
    """Where spans are sent, and how many are sampled."""

    sampler: Literal["parentbased_traceidratio", "traceidratio"]
    ratio: float = Field(ge=0, le=1, allow_inf_nan=False)


class Settings(Section):
    """The whole configuration, immutable: a reload creates a new one."""

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
    refund: Refund
    pricing: Pricing
    limit: Limit
    log: Log
    trace: Trace


def key_bytes(keys: Iterable[SecretStr]) -> list[bytes]:
    """Return the keys as bytes for HMAC: the UTF-8 of their text."""
    return [key.get_secret_value().encode() for key in keys]
