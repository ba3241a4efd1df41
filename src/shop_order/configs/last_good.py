"""Reads shared sources; their last good copies replace them while they are unreachable or invalid."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from shop_order.configs.settings import ConfigError
from shop_order.configs.sources import Document, SharedSource, Source, SourceUnavailable


@dataclass(slots=True)
class SourceReader:
    """Reads the sources once.

    With `strict`, an unreachable source without a copy is an error. `given` replaces the documents of a kind
    of source. `only_copies`, if not empty, is the reason to use the copies only.
    """

    data_dir: str
    env: str
    strict: bool = False
    given: Mapping[str, str] = field(default_factory=dict)
    only_copies: str = ""
    fresh: dict[str, list[Document]] = field(default_factory=dict)  # by the name of the copy
    notes: list[str] = field(default_factory=list)  # which copies are used, and why

    def read(self, source: Source, env: str) -> list[Document]:
        """Return the documents of a source. Raises ConfigError."""
        if not isinstance(source, SharedSource):
            return source.documents(env)
        if source.kind in self.given:
            return [(source.identity, self.given[source.kind])]
        if self.only_copies:
            return self._copy(source, self.only_copies)
        try:
            documents = source.documents(env)
        except SourceUnavailable as unavailable:
            return self._copy(source, str(unavailable))
        why = f"{source.kind} {source.identity} is empty now"
        if not documents and any(_has_settings(text) for _, text in self._stored(source, why) or ()):
            return self._copy(source, why)  # all keys vanished at once: that is never intended
        self.fresh[_name(source)] = documents
        return documents

    def has_copies(self) -> bool:
        """Whether every source that was read also has a copy of an earlier document."""
        return bool(self.fresh) and all(self._file(name).is_file() for name in self.fresh)

    def save(self) -> None:
        """Save what was read, which was accepted, as the last good copies. Raises ConfigError if it can't."""
        for name, documents in self.fresh.items():
            file = self._file(name)
            text = yaml.safe_dump([list(document) for document in documents], allow_unicode=True)
            if not (file.is_file() and file.read_bytes() == text.encode()):
                replace_file(file, text)

    def _copy(self, source: SharedSource, why: str) -> list[Document]:
        """Use the copy. Raises ConfigError."""
        if (documents := self._stored(source, why)) is not None:
            self.notes.append(f"{why}; the last good copy is used")
            return [(f"{document} (last good copy)", text) for document, text in documents]
        if self.strict:
            raise SourceUnavailable(why)
        # Without this document, production would run with defaults, on another database.
        if self.env == "production" and source.kind == "nacos":
            raise ConfigError(f"{why}, and there is no last good copy {self._file(_name(source))}")
        self.notes.append(f"{why}; there is no last good copy: only the other settings apply")
        return []

    def _stored(self, source: SharedSource, why: str) -> list[Document] | None:
        """Return the copy, None if there is none. Raises ConfigError if it can't be read."""
        file = self._file(_name(source))
        try:
            return [(document, text) for document, text in yaml.safe_load(file.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise ConfigError(f"{why}, and the last good copy {file} can't be read: {error}") from error

    def _file(self, name: str) -> Path:
        return Path(self.data_dir) / "config" / "last-good" / name


def replace_file(file: Path, text: str) -> None:
    """Write a file atomically; only its owner may read it. Raises ConfigError."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(draft, file)
    except OSError as error:
        raise ConfigError(f"can't write {file}: {error.strerror}") from error


def _has_settings(text: str) -> bool:
    try:
        return bool(yaml.safe_load(text))
    except yaml.YAMLError:
        return True  # reported when the copy is used


def _name(source: SharedSource) -> str:
    identity = source.identity.removesuffix(".yaml").strip("/").replace("/", "-")
    return f"{source.kind}-{identity}.yaml"
