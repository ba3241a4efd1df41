"""Every accepted load, in the table `config_history` of the order database, and the way back to one.

Secrets are masked. A rollback writes the differences as an override document.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from shop_order.configs import tree
from shop_order.configs.load import Loaded, load, override_file
from shop_order.configs.settings import ConfigError
from shop_order.configs.show import document, masked_again, plain
from shop_order.configs.tree import Path
from shop_order.pkg.url import MASK

_FIXED = {("data_dir",), ("app", "env"), ("config", "url")}


class Records(Protocol):
    """A connection to the order database, whichever it is."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Any:
        """A statement with `?`; the cursor over its rows."""


class UnknownEntry(LookupError):
    """There is no entry with this number."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted load; `created_ms` in epoch milliseconds."""

    id: int
    digest: str
    source: str
    created_ms: int


def record(connection: Records, loaded: Loaded, now_ms: int) -> bool:
    """Adds the load unless the newest entry is equal; tells whether it did. The caller commits."""
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
    """The newest entries first."""
    rows = connection.execute(
        "SELECT id, digest, source, created_ms FROM config_history ORDER BY id DESC LIMIT ?", (limit,)
    )
    return [Entry(*row) for row in rows]


def content_of(connection: Records, entry_id: int) -> str:
    """The YAML of an entry, masked once more: an earlier version masked less. Raises UnknownEntry."""
    row = connection.execute("SELECT content FROM config_history WHERE id = ?", (entry_id,)).fetchone()
    if row is None:
        raise UnknownEntry(f"the history has no entry {entry_id}")
    return masked_again(str(row[0]))


# ---- the way back ----


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
    current = {tree.ALIASES.get(path, path): value for path, value in flat.items()}
    return {path: plain(value, secrets=False) for path, value in current.items() if path in known}
