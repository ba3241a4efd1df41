"""Going back: the differences of an old configuration, as an override document."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from shop_order.configs import tree
from shop_order.configs.errors import ConfigError
from shop_order.configs.load import Loaded, load, override_file
from shop_order.configs.show import document, plain
from shop_order.configs.tree import Path
from shop_order.pkg.url import MASK

_FIXED = {("data_dir",), ("app", "env"), ("config", "url")}


@dataclass(frozen=True, slots=True)
class Rollback:
    """The document that brings an old configuration back, and what it can't bring back."""

    text: str
    changes: tuple[str, ...]
    fixed_by_environment: tuple[str, ...]
    loaded: Loaded


def plan(content: str, environ: Mapping[str, str]) -> Rollback:
    """What a rollback to this history content would write; writes nothing.

    Secrets stay as they are now. Raises ConfigError if the result could not be started.
    """
    base = tree.flatten(yaml.safe_load(document(load(environ, use_override=False).settings)))
    wanted = _still_known(content)
    differing = {
        path: value
        for path, value in wanted.items()
        if path not in _FIXED and base.get(path) != value and MASK not in str(value)
    }
    fixed = tree.from_environment(environ)
    override = {path: value for path, value in differing.items() if path not in fixed}
    text = ""
    if override:
        text = "# Written by `shop-order config rollback`; delete this file to return to the documents.\n"
        text += yaml.safe_dump(tree.nest(override), sort_keys=False, allow_unicode=True)
    return Rollback(
        text=text,
        changes=tuple(map(tree.key_of, override)),
        fixed_by_environment=tuple(tree.key_of(path) for path in differing if path in fixed),
        loaded=load(environ, override=text),
    )


def write(rollback: Rollback) -> None:
    """Puts the override document in place at once, or removes it if there is nothing to override."""
    file = override_file(rollback.loaded.settings.data_dir)
    try:
        if not rollback.text:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".tmp")
        draft.write_text(rollback.text, encoding="utf-8")
        os.replace(draft, file)
    except OSError as error:
        raise ConfigError(f"can't write {file}: {error.strerror}") from error


def _still_known(content: str) -> dict[Path, Any]:
    known = set(tree.leaves())  # an entry of an older version may name settings that are gone
    flat = tree.flatten(yaml.safe_load(content))
    # One that was written before all passwords were masked must not become a file with a password.
    return {path: plain(value, secrets=False) for path, value in flat.items() if path in known}
