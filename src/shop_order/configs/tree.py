"""Settings as flat paths, so that each value has an origin."""

import difflib
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from shop_order.configs.settings import CHANNEL_NAMES, ConfigError, Section, Settings

Path = tuple[str, ...]
ENV_PREFIX = "SHOP_ORDER_"
_WECHAT = (
    "gateway app_id mch_id api_v3_key serial_no app_private_key_file public_key_file notify_url timeout_s"
)
PLANNED: frozenset[Path] = frozenset(
    {
        ("neighbours", "coupons"),
        ("auth", "service_keys"),
        ("auth", "wallet_services"),
        *(("pay", "wechat", key) for key in _WECHAT.split()),
    }
)
"""Settings of planned features: they are reported as unused and ignored."""
WORKERS: Path = ("server", "workers")
"""Removed: one process is one instance. The value 1 is accepted with a warning, any other is refused."""
UNUSED = PLANNED | {WORKERS}
ALIASES: dict[Path, Path] = {("cache", "most_entries"): ("cache", "max_entries")}
"""Former names of settings, with the current ones: they still work, and are logged at a start."""
RELOADABLE: frozenset[Path] = frozenset(
    {
        ("log", "level"),
        ("app", "shop_name"),
        ("server", "deadline_s"),
        ("neighbours", "timeout_s"),
        ("limit", "unpaid_orders"),
        ("limit", "user_rate"),
        ("limit", "user_burst"),
        ("limit", "global_rate"),
        ("limit", "global_burst"),
        ("limit", "grpc_calls"),
        ("limit", "grpc_address_calls"),
        ("limit", "grpc_streams"),
        ("limit", "grpc_address_streams"),
        ("limit", "grpc_address_connections"),
        ("cache", "timeout_s"),
        ("cache", "order_ttl_s"),
        ("cache", "absent_ttl_s"),
        ("cache", "goods_ttl_s"),
        ("order", "pay_timeout_s"),
        ("order", "auto_confirm_s"),
        ("order", "scan_interval_s"),
        ("order", "archive_after_days"),
        ("oplog", "keep_days"),
        ("pricing", "freight_fen"),
        ("pricing", "free_freight_from_fen"),
        ("pricing", "province_freight_fen"),
        ("pay", "return_urls"),
        ("pay", "callback_allow"),
        *(("pay", name, "timeout_s") for name in CHANNEL_NAMES),
    }
)
"""Settings that a reload applies; all others need a restart."""


class _NoRepeats(yaml.SafeLoader):
    """Refuses repeated keys, of which YAML silently drops all but the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name} occurs twice", node.start_mark)
        return super().construct_mapping(node, deep)


def key_of(path: Path) -> str:
    """Return the name of a setting: ("db", "url") -> DB__URL."""
    return "__".join(path).upper()


def leaves(section: type[Section] = Settings, above: Path = ()) -> Iterator[Path]:
    """Yield the path of every setting, in the order of the documents."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from leaves(kind, (*above, name))
        else:
            yield (*above, name)


@cache
def _known() -> frozenset[Path]:
    return frozenset(leaves())


def flatten(tree: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """Flatten a nested document to paths; an empty section sets nothing."""
    known = _known()
    flat: dict[Path, Any] = {}
    for name, value in tree.items():
        path = (*above, str(name))
        if isinstance(value, Mapping) and path not in known:
            flat.update(flatten(value, path))
        elif value is not None or path in known or not _is_section(path):
            flat[path] = value
    return flat


def nest(flat: Mapping[Path, Any]) -> dict[str, Any]:
    """Return paths as a nested document."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    return tree


def parse(name: str, text: str) -> dict[Path, Any]:
    """Return the settings of a YAML document.

    Raises ConfigError, also for an unknown setting, and for an empty document or section, whose content was
    probably lost: write {} for an intended one.
    """
    try:
        tree = yaml.load(text, _NoRepeats)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or "not a YAML document"
        raise ConfigError(f"{name}{where}: {what}") from error
    if tree is None:
        raise ConfigError(f"{name}: is empty; to set nothing, write {{}}")
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: must contain sections with settings")
    _refuse_null_sections(tree, name)
    flat = flatten(tree)
    for path in flat:
        require_known(path, name)
    _refuse_both_names(flat, name)
    return flat


def _refuse_null_sections(tree: Mapping[str, Any], name: str, above: Path = ()) -> None:
    for key, value in tree.items():
        path = (*above, str(key))
        if value is None and _is_section(path) and path not in _known():
            raise ConfigError(f"{name}: {key_of(path)} is empty; leave it out, or write {{}}")
        if isinstance(value, Mapping):
            _refuse_null_sections(value, name, path)


def from_environment(environ: Mapping[str, str]) -> dict[Path, str]:
    """Return the settings of SHOP_ORDER_<SECTION>__<KEY> variables. Raises ConfigError for unknown ones."""
    flat: dict[Path, str] = {}
    for variable in sorted(environ):
        name = variable.removeprefix(ENV_PREFIX)
        if name == variable or _is_from_kubernetes(name):
            continue
        path = tuple(name.lower().split("__"))
        require_known(path, f"environment variable {variable}")
        flat[path] = environ[variable]
    _refuse_both_names(flat, "environment")
    return flat


def _refuse_both_names(flat: Mapping[Path, object], origin: str) -> None:
    for old, new in ALIASES.items():
        if old in flat and new in flat:
            raise ConfigError(
                f"{key_of(old)} is the former name of {key_of(new)}: set only {key_of(new)} ({origin})"
            )


def require_known(path: Path, origin: str) -> None:
    """Raise ConfigError with a suggestion unless the path is a setting."""
    known = _known()
    if path in known or path in UNUSED or path in ALIASES:
        return
    if _is_section(path):
        raise ConfigError(f"{key_of(path)} is a section, not a setting ({origin})")
    near = difflib.get_close_matches(key_of(path), [key_of(k) for k in leaves()], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"unknown setting {key_of(path)} ({origin}){hint}")


def _is_section(path: Path) -> bool:
    return any(leaf[: len(path)] == path for leaf in _known())


def _is_from_kubernetes(name: str) -> bool:
    # Kubernetes puts the addresses of a Service named shop-order into the environment of every pod.
    return name == "PORT" or name.startswith(("PORT_", "SERVICE_HOST", "SERVICE_PORT"))
