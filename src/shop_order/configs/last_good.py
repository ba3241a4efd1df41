"""Documents that live on another machine, and their last good copies for when it is away or wrong."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from shop_order.configs.settings import ConfigError, ConfigUnavailable
from shop_order.configs.sources import Document, SharedSource, Source, SourceUnavailable


@dataclass(slots=True)
class SourceReader:
    """One reading of the shared sources.

    `strict` takes nothing but what they say now, or of one that is away what it said last. `given` stands in
    for the documents of a kind. `only_copies` is the reason why what they say now is not used.
    """

    data_dir: str
    env: str
    strict: bool = False
    given: Mapping[str, str] = field(default_factory=dict)
    only_copies: str = ""
    fresh: dict[str, list[Document]] = field(default_factory=dict)  # by the name of the copy
    notes: list[str] = field(default_factory=list)  # what an operator must know about where settings are from

    def read(self, source: Source, env: str) -> list[Document]:
        """The documents of a source. Raises ConfigError."""
        if not isinstance(source, SharedSource):
            try:
                return source.documents(env)
            except SourceUnavailable as away:
                raise ConfigError(str(away)) from away
        if source.kind in self.given:
            return [(source.identity, self.given[source.kind])]
        if self.only_copies:
            return self._copy(source, self.only_copies)
        try:
            documents = source.documents(env)
        except SourceUnavailable as away:
            return self._copy(source, str(away))
        if not documents and self._says_something(source):
            # All keys are gone at once: nobody removes a configuration so.
            return self._copy(source, f"{source.kind} {source.identity} is empty now")
        self.fresh[_name(source)] = documents
        return documents

    def has_copies(self) -> bool:
        """Whether each source that answered now also has a copy of an earlier answer."""
        return bool(self.fresh) and all(self._file(name).is_file() for name in self.fresh)

    def keep(self) -> None:
        """Keep what was read now: it was accepted. Raises ConfigError if it can't be written."""
        for name, documents in self.fresh.items():
            file = self._file(name)
            text = yaml.safe_dump([list(document) for document in documents], allow_unicode=True)
            try:
                if file.is_file() and file.read_text(encoding="utf-8") == text:
                    continue
                file.parent.mkdir(parents=True, exist_ok=True)
                draft = file.with_suffix(f".{os.getpid()}.tmp")
                # It may hold secrets.
                with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                    out.write(text)
                os.replace(draft, file)
            except OSError as error:
                raise ConfigError(f"can't keep the last good copy {file}: {error.strerror}") from error

    def _copy(self, source: SharedSource, why: str) -> list[Document]:
        file = self._file(_name(source))
        try:
            documents = yaml.safe_load(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if self.strict:
                raise ConfigUnavailable(why) from None
            # Without its document a production service would run on defaults, and on another database.
            if self.env == "production" and source.kind == "nacos":
                raise ConfigError(f"{why}, and there is no last good copy {file}") from None
            self.notes.append(f"{why}; no last good copy: the other settings stand alone")
            return []
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{why}, and the last good copy {file} can't be read: {error}") from error
        self.notes.append(f"{why}; the last good copy is used")
        return [(f"{name} (last good copy)", text) for name, text in documents]

    def _says_something(self, source: SharedSource) -> bool:
        try:
            kept = yaml.safe_load(self._file(_name(source)).read_text(encoding="utf-8"))
            return any(yaml.safe_load(text) for _, text in kept)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError, yaml.YAMLError):
            return True  # what can't be read may have said something: `_copy` tells

    def _file(self, name: str) -> Path:
        return Path(self.data_dir) / "config" / "last-good" / name


def _name(source: SharedSource) -> str:
    identity = source.identity.removesuffix(".yaml").strip("/").replace("/", "-")
    return f"{source.kind}-{identity}.yaml"
