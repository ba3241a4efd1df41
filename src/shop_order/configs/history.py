"""The history of accepted configurations (table `config_history` of the order database), and rollback.

Secrets are masked. A rollback writes the differences to an override document.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from shop_order.configs import tree
from shop_order.configs.last_good import replace_file
from shop_order.configs.load import BOOTSTRAP, Loaded, load, override_file
from shop_order.configs.settings import ConfigError
from shop_order.configs.show import document, masked_again, plain
from shop_order.configs.tree import Path
from shop_order.pkg.url import MASK


class Records(Protocol):
    """A connection to the order database of any engine."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Any:
        """Execute a statement with `?` placeholders; return the cursor."""


class UnknownEntry(ConfigError):
    """There is no entry with this number."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted configuration; `created_ms` in epoch milliseconds."""

    id: int
    digest: str
    source: str
    created_ms: int


def record(connection: Records, loaded: Loaded, now_ms: int) -> bool:
    """Add an entry unless the newest is equal; return whether it was added. The caller commits."""
    content = document(loaded.settings)
    digest = hashlib.sha256(content.encode()).hexdigest()
    newest = connection.execute("SELECT digest FROM config_history ORDER BY id DESC LIMIT 1").fetchone()
    if newest is not None and newest[0] == digest:
        return False
    connection.execute(
        "INSERT INTO config_history (content, digest, source, created_ms) VALUES (?, ?, ?, ?)",
        (content, digest, loaded.source, now_ms),
    )
    return True


def entries(connection: Records, limit: int = 50) -> list[Entry]:
    """Return the newest entries first."""
    rows = connection.execute(
        "SELECT id, digest, source, created_ms FROM config_history ORDER BY id DESC LIMIT ?", (limit,)
    )
    return [Entry(*row) for row in rows]


def content_of(connection: Records, entry_id: int) -> str:
    """Return the YAML of an entry, masked again: an earlier version masked less. Raises UnknownEntry."""
    row = connection.execute("SELECT content FROM config_history WHERE id = ?", (entry_id,)).fetchone()
    if row is None:
        raise UnknownEntry(f"the history has no entry {entry_id}")
    return masked_again(str(row[0]))


# ---- rollback ----


@dataclass(frozen=True, slots=True)
class Rollback:
    """The document that restores an old configuration, and the settings it can't restore."""

    text: str
    changes: tuple[str, ...]
    fixed_by_environment: tuple[str, ...]
    loaded: Loaded


def plan(content: str, environ: Mapping[str, str]) -> Rollback:
    """Return what a rollback to this content would write.

    Secrets keep their current values. Raises ConfigError if the service could not start with the result.
    """
    base = tree.flatten(yaml.safe_load(document(load(environ, override="").settings)))
    wanted = _still_known(content)
    differing = {
        path: value
        for path, value in wanted.items()
        if path not in BOOTSTRAP and base.get(path) != value and MASK not in str(value)
    }
    fixed = tree.from_environment(environ)
    override = {path: value for path, value in differing.items() if path not in fixed}
    text = ""
    if override:
        text = "# Written by `shop-order config rollback`; delete this file to return to the documents.\n"
        text += tree.dump(tree.nest(override))
    return Rollback(
        text=text,
        changes=tuple(map(tree.key_of, override)),
        fixed_by_environment=tuple(tree.key_of(path) for path in differing if path in fixed),
        loaded=load(environ, override=text),
    )


def write(rollback: Rollback) -> None:
    """Replace the override document atomically, or remove it if there is nothing to override.

    Raises ConfigError, OSError.
    """
    file = override_file(rollback.loaded.settings.data_dir)
    if rollback.text:
        replace_file(file, rollback.text)
    else:
        file.unlink(missing_ok=True)


def _still_known(content: str) -> dict[Path, Any]:
    known = set(tree.leaves())  # an old entry may contain removed settings
    flat = tree.flatten(yaml.safe_load(content))
    # An old entry may contain an unmasked password, which must not get into a file.
    current = {tree.ALIASES.get(path, path): value for path, value in flat.items()}
    return {path: plain(value, secrets=False) for path, value in current.items() if path in known}
