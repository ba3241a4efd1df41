"""The configuration as text, for `config show` and for the history."""

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import SecretStr

from shop_order.configs.load import Loaded, values_of
from shop_order.configs.settings import Settings
from shop_order.configs.tree import ALIASES, PLANNED, Path, dump, leaves, nest, parse
from shop_order.pkg.url import MASK, mask_setting


def show(loaded: Loaded, *, secrets: bool = False) -> str:
    """Return YAML with the origin of each value as a comment; secrets are *** unless `secrets`."""
    lines: list[str] = []
    above: Path = ()
    for path, value in values_of(loaded.settings).items():
        for depth, name in enumerate(path[:-1]):
            if above[: depth + 1] != path[: depth + 1]:
                lines.append(f"{'  ' * depth}{name}:")
        above = path[:-1]
        text = _inline(plain(value, secrets=secrets))
        lines.append(f"{'  ' * len(above)}{path[-1]}: {text}  # {loaded.origins[path]}")
    return "\n".join(lines) + "\n"


def document(settings: Settings) -> str:
    """Return the effective settings as YAML with secrets masked, as stored in the history."""
    flat = {path: plain(value, secrets=False) for path, value in values_of(settings).items()}
    return dump(nest(flat))


def masked_again(content: str) -> str:
    """Mask a stored document again: an earlier version may have masked less."""
    return dump(plain(yaml.safe_load(content), secrets=False))


def mask(name: str, text: str) -> str:
    """Return a published document with its settings sorted and secrets masked. Raises ConfigError."""
    flat = parse(name, text)
    secret = PLANNED | secret_paths()
    secret |= {old for old, new in ALIASES.items() if new in secret}
    shown = {
        path: MASK if path in secret and value else plain(value, secrets=False)
        for path, value in flat.items()
    }
    return dump(nest(dict(sorted(shown.items()))))


def secret_paths() -> set[Path]:
    """Return the settings that are keys or passwords."""
    return {path for path, field in leaves().items() if "SecretStr" in str(field.annotation)}


def plain(value: Any, *, secrets: bool) -> Any:
    """Convert a value to YAML's types; keys, and passwords in URLs, are *** unless `secrets`."""
    if isinstance(value, SecretStr):
        return value.get_secret_value() if secrets else MASK
    if isinstance(value, (tuple, list)):  # a list of a published document
        return [plain(item, secrets=secrets) for item in value]
    if isinstance(value, Mapping):
        return {name: plain(item, secrets=secrets) for name, item in value.items()}
    if isinstance(value, str) and not secrets:
        return mask_setting(value)
    return value


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    )
    return text.removesuffix("...\n").strip()
