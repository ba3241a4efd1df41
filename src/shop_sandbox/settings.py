"""The sandbox's settings: SHOP_SANDBOX_* environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

PREFIX = "SHOP_SANDBOX_"
PATHS = ("data_dir", "keys_dir", "token_file", "wallet_token_file", "wallet_key_file", "ca_file")


class SettingsError(ValueError):
    """An unknown setting or an invalid value; the text is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Each field is set by SHOP_SANDBOX_<FIELD>. Port 0 takes any free port."""

    host: str = "127.0.0.1"
    grpc_port: int = 50061
    http_port: int = 8090
    data_dir: Path = Path("data/sandbox")
    order: str = "127.0.0.1:50051"  # the address of ReservationCheck and EventInbox
    keys_dir: Path = Path("data/dev")
    token_file: Path | None = None  # of the inventory; default {data_dir}/order.token
    wallet_token_file: Path | None = None  # default {data_dir}/wallet.token
    wallet_key_file: Path | None = None  # signs answers on the broker; default {keys_dir}/wallet.key
    seed_goods: int = 0  # goods in addition to the demo catalogue, for benchmarks
    seed_stock: int = 1_000_000
    notice_scale: float = 1 / 60  # the provider's 4 minutes are 4 seconds here
    check_interval_s: float = 1.0
    refund_s: float = 1.0  # after so long WeChat Pay ends a refund that it accepted
    probes: float = 0.0  # share of WeChat Pay's notices that a wrongly signed one precedes
    seed: int = 1  # of what the simulators do by chance
    message: str = ""  # rocketmq://host:port: also read events from the broker
    consul: str = ""  # host:port of the Consul to register with
    trace: str = "none:"  # otlp://host:port: continue the order service's traces
    ca_file: Path | None = None  # PEM: the CA to trust for notices over https

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("grpc_port", 0, 65_535),
            ("http_port", 0, 65_535),
            ("seed_goods", 0, 1_000_000),
            ("seed_stock", 0, 2**31 - 1),
            ("notice_scale", 1e-6, 1.0),
            ("check_interval_s", 0.01, 3_600),
            ("refund_s", 0.0, 86_400),
            ("probes", 0.0, 1.0),
            ("seed", 0, 2**63 - 1),
        ):
            if not lowest <= getattr(self, name) <= highest:
                raise SettingsError(f"{PREFIX}{name.upper()} must be from {lowest} to {highest}")
        if self.trace.partition(":")[0] not in ("none", "otlp", "otlps"):
            raise SettingsError(f"{PREFIX}TRACE must be none:, or otlp://host:port")
        for name in ("ca_file", "wallet_key_file"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise SettingsError(f"{PREFIX}{name.upper()}: file not found: {path}")

    @property
    def order_token_file(self) -> Path:
        """The file with the token for the order service."""
        return self.token_file or self.data_dir / "order.token"

    @property
    def order_wallet_token_file(self) -> Path:
        """The file with the wallet's token for the order service."""
        return self.wallet_token_file or self.data_dir / "wallet.token"

    def wallet_key(self) -> bytes:
        """The key that signs the wallet's answers on the broker, read anew. Raises OSError."""
        return (self.wallet_key_file or self.keys_dir / "wallet.key").read_bytes().strip()


def from_environment(environment: Mapping[str, str]) -> SandboxSettings:
    """The settings in environment variables. Raises SettingsError for unknown ones and invalid values."""
    known = {field.name: field for field in fields(SandboxSettings)}
    values: dict[str, Any] = {}
    for key, text in environment.items():
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX).lower()
        if name not in known:
            raise SettingsError(f"unknown setting {key}")
        values[name] = _value(key, name, text.strip("[]") if name == "host" else text)
    return SandboxSettings(**values)


def _value(key: str, name: str, text: str) -> Any:
    kinds: dict[str, type] = {
        "host": str,
        "order": str,
        "message": str,
        "consul": str,
        "trace": str,
        "notice_scale": float,
        "check_interval_s": float,
        "refund_s": float,
        "probes": float,
    }
    kind = Path if name in PATHS else kinds.get(name, int)
    try:
        return kind(text)
    except ValueError:
        raise SettingsError(f"{key}={text!r} is not a number") from None
