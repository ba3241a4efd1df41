"""Settings as flat paths, so that each value has an origin."""

import difflib
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from shop_order.configs.settings import ConfigError, Section, Settings

Path = tuple[str, ...]
ENV_PREFIX = "SHOP_ORDER_"
_WECHAT = (
    "gateway app_id mch_id api_v3_key serial_no app_private_key_file public_key_file notify_url timeout_s"
)


def _paths(*section: str, names: str) -> set[Path]:
    return {(*section, name) for name in names.split()}


@cache
def leaves() -> Mapping[Path, FieldInfo]:
    """Return the fields of all settings by their paths, in the order of the documents."""
    return _leaves(Settings, ())


def _leaves(section: type[Section], above: Path) -> dict[Path, FieldInfo]:
    found: dict[Path, FieldInfo] = {}
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            found |= _leaves(kind, (*above, name))
        else:
            found[*above, name] = field
    return found


PLANNED: frozenset[Path] = frozenset(
    {
        ("neighbours", "coupons"),
        *_paths("auth", names="service_keys"),
        *_paths("pay", "wechat", names=_WECHAT),
    }
).difference(leaves())
"""Settings of planned features: they are reported as unused and ignored until they exist."""
WORKERS: Path = ("server", "workers")
"""Removed: one process is one instance. The value 1 is accepted with a warning, any other is refused."""
UNUSED = PLANNED | {WORKERS}
ALIASES: dict[Path, Path] = {("cache", "most_entries"): ("cache", "max_entries")}
"""Former names of settings, with the current ones: they still work, and are logged at a start."""
RELOADABLE: frozenset[Path] = frozenset(
    {
        *_paths("app", names="shop_name"),
        *_paths("server", names="deadline_s"),
        *_paths("cache", names="timeout_s order_ttl_s absent_ttl_s goods_ttl_s"),
        *_paths("oplog", names="keep_days"),
        *_paths("neighbours", names="timeout_s"),
        *_paths("pay", names="return_urls callback_allow"),
        *_paths("order", names="pay_timeout_s auto_confirm_s scan_interval_s archive_after_days"),
        *_paths("refund", names="window_s auto_approve_s second_approval_fen"),
        *_paths("pricing", names="freight_fen free_freight_from_fen province_freight_fen"),
        *_paths("limit", names="unpaid_orders user_rate user_burst global_rate global_burst"),
        *_paths("limit", names="grpc_calls grpc_address_calls grpc_streams grpc_address_streams"),
        *_paths("limit", names="grpc_user_streams grpc_address_connections"),
        *_paths("log", names="level"),
        *(path for path in leaves() if path[0] == "pay" and path[-1] == "timeout_s"),
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


def flatten(tree: Mapping[str, Any], above: Path = ()) -> dict[Path, Any]:
    """Flatten a nested document to paths; an empty section sets nothing."""
    flat: dict[Path, Any] = {}
    for name, value in tree.items():
        path = (*above, str(name))
        if isinstance(value, Mapping) and path not in leaves():
            flat.update(flatten(value, path))
        else:
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
    flat = flatten(tree)
    for path, value in flat.items():
        if value is None and _is_section(path):
            raise ConfigError(f"{name}: {key_of(path)} is empty; leave it out, or write {{}}")
        require_known(path, name)
    _refuse_both_names(flat, name)
    return flat


def dump(tree: object) -> str:
    """Return YAML with the keys in their order."""
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


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
    if path in leaves() or path in UNUSED or path in ALIASES:
        return
    if _is_section(path):
        raise ConfigError(f"{key_of(path)} is a section, not a setting ({origin})")
    near = difflib.get_close_matches(key_of(path), map(key_of, leaves()), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"unknown setting {key_of(path)} ({origin}){hint}")


def _is_section(path: Path) -> bool:
    return path not in leaves() and any(leaf[: len(path)] == path for leaf in leaves())


def _is_from_kubernetes(name: str) -> bool:
    # Kubernetes puts the addresses of a Service named shop-order into the environment of every pod.
    return name == "PORT" or name.startswith(("PORT_", "SERVICE_HOST", "SERVICE_PORT"))
