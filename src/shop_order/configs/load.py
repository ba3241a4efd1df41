"""Reads and checks the layers, and builds the immutable Settings.

Later layers win: packaged yaml, profile, the operator's documents (files, then Consul's KV, then Nacos),
the override of a rollback, environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from operator import attrgetter
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from shop_order.configs import engines, tree
from shop_order.configs.dev_keys import dev_keys
from shop_order.configs.dev_wiring import read as read_wiring
from shop_order.configs.last_good import SourceReader
from shop_order.configs.settings import ENVIRONMENTS, ConfigError, Settings
from shop_order.configs.sources import Source, open_registry_source, open_source
from shop_order.configs.tree import RELOADABLE, Path

_DATA_DIR, _ENV, _URL = ("data_dir",), ("app", "env"), ("config", "url")
_REGISTRY = ("registry", "url")
BOOTSTRAP = (_DATA_DIR, _ENV, _URL)  # they determine which documents are read
_BARRED = {  # what a document can't set, by its kind
    "file": (_URL,),
    "nacos": (_URL, _DATA_DIR),
    "consul": (_URL, _DATA_DIR, _ENV, _REGISTRY),
    "override": BOOTSTRAP,
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and the origin of each value by its path.

    `notes` name shared sources that could not be used, and `files` the operator's documents that were read;
    `unused` are settings that this version ignores; `renamed` has a text for each former name in use.
    """

    settings: Settings
    origins: Mapping[Path, str]
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Which sources besides the packaged defaults contributed, for the history."""
        kinds = {origin.split(" ", 1)[0] for origin in self.origins.values()}
        extra = [kind for kind in ("file", "consul", "nacos", "override", "environment") if kind in kinds]
        return "+".join([f"profile:{self.settings.app.env}", *extra])


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The result of a reload: the new settings, what changed, and what needs a restart."""

    loaded: Loaded
    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]


class _Layers:
    def __init__(self) -> None:
        self.values: dict[Path, Any] = {}
        self.origins: dict[Path, str] = {}
        self.files: list[str] = []
        self.unused: set[Path] = set()
        self.aliases: set[Path] = set()  # former names in use

    def put(self, origin: str, flat: Mapping[Path, Any]) -> None:
        for path, value in flat.items():
            if path == tree.WORKERS:
                _refuse_workers(value, origin)
            if path in tree.UNUSED:
                self.unused.add(path)
                continue
            if path in tree.ALIASES:
                self.aliases.add(path)
            current = tree.ALIASES.get(path, path)
            self.values[current] = value
            self.origins[current] = origin

    def put_document(self, kind: str, name: str, flat: Mapping[Path, Any]) -> None:
        """Put an operator's document. Raises ConfigError."""
        for path in _BARRED[kind]:
            if path in flat:
                raise ConfigError(f"{tree.key_of(path)}: can't be set in {kind} {name}; use the environment")
        self.put(f"{kind} {name}", flat)
        if kind == "file":
            self.files.append(name)


def _refuse_workers(value: object, origin: str) -> None:
    if str(value).strip() != "1":
        raise ConfigError(
            f"SERVER__WORKERS: one process is one instance ({origin}): remove the setting and start more"
            " instances: systemctl start shop-order@2, or docker compose up --scale order=2"
        )


def override_file(data_dir: str) -> FilePath:
    """Return where `config rollback` writes its document."""
    return FilePath(data_dir) / "config" / "override.yaml"


def load(
    environ: Mapping[str, str],
    *,
    override: str | None = None,
    strict: bool = False,
    given: Mapping[str, str] | None = None,
    dev_wiring: bool = False,
    complete: bool = True,
) -> Loaded:
    """Return the settings of this environment; in dev and test, missing keys are created in {DATA_DIR}/dev.

    `override` replaces the text of the override document (empty: none), `given` the documents of a kind of
    shared source. The last good copy replaces a shared source that is unreachable, or, unless `strict`, one
    whose settings are invalid. With `strict`, an unreachable source without a copy is an error. With
    `dev_wiring`, the addresses of a running `make run` on this data directory apply. Without `complete`,
    settings that production requires may be missing. Raises ConfigError.
    """
    variables = tree.from_environment(environ)
    data_dir, env = (str(variables.get(path, _packaged().values[path])) for path in (_DATA_DIR, _ENV))
    reader = SourceReader(data_dir, env, strict=strict, given=given or {})
    try:
        loaded = _load(variables, reader, override, dev_wiring, complete)
    except ConfigError as bad:
        if strict or not reader.has_copies():
            raise
        reader = SourceReader(data_dir, env, only_copies=str(bad))
        loaded = _load(variables, reader, override, dev_wiring, complete)
    reader.save()
    return replace(loaded, notes=tuple(reader.notes))


def config_url(environ: Mapping[str, str]) -> str:
    """Return CONFIG__URL without reading its documents. Raises ConfigError."""
    return str(tree.from_environment(environ).get(_URL, _packaged().values[_URL]))


def _load(
    variables: Mapping[Path, str],
    reader: SourceReader,
    override: str | None,
    dev_wiring: bool,
    complete: bool,
) -> Loaded:
    layers = _documents(variables, reader)
    # With Nacos a rollback publishes: an override on one machine would hide later documents.
    if not str(variables.get(_URL, layers.values[_URL])).startswith("nacos:"):
        _put_override(layers, reader.data_dir, override)
    dev = variables.get(_ENV, layers.values[_ENV]) != "production"
    if dev_wiring and dev and (wiring := read_wiring(reader.data_dir)) is not None:
        layers.put(f"make run {wiring[0]}", tree.parse(*wiring))
    for path, value in variables.items():
        layers.put(f"environment variable {tree.ENV_PREFIX}{tree.key_of(path)}", {path: value})
    if dev:
        for path, (file, value) in dev_keys(reader.data_dir).items():
            if not layers.values[path]:
                layers.put(f"development key {file}", {path: value})
    settings = _validated(layers, reader.data_dir)
    engines.check(settings, complete=complete)
    unused = tuple(map(tree.key_of, sorted(layers.unused)))
    renamed = tuple(
        f"{tree.key_of(old)} is now {tree.key_of(tree.ALIASES[old])}" for old in sorted(layers.aliases)
    )
    return Loaded(settings, dict(layers.origins), files=tuple(layers.files), unused=unused, renamed=renamed)


def reload(current: Loaded, environ: Mapping[str, str]) -> Reloaded:
    """Return new settings in which only reloadable ones differ. Raises ConfigError.

    The last good copy replaces an unreachable source. Blocks: call it in a thread.
    """
    fresh = load(environ, strict=True)
    for name in current.files:
        if not FilePath(name).is_file():
            raise ConfigError(
                f"{name} is missing: its settings stay until a restart; to clear them, write {{}} into it"
            )
    old, new = values_of(current.settings), values_of(fresh.settings)
    changed = [path for path in tree.leaves() if old[path] != new[path]]
    kept = {path: old[path] for path in changed if path not in RELOADABLE}
    settings = Settings.model_validate(tree.nest({**new, **kept}))
    origins = {**fresh.origins, **{path: current.origins[path] for path in kept}}
    return Reloaded(
        replace(fresh, settings=settings, origins=origins),
        applied=tuple(tree.key_of(path) for path in changed if path in RELOADABLE),
        needs_restart=tuple(tree.key_of(path) for path in kept),
    )


def values_of(settings: Settings) -> dict[Path, Any]:
    """Return each setting's value by its path, in the order of the documents."""
    return {path: attrgetter(".".join(path))(settings) for path in tree.leaves()}


@cache
def _packaged_document(name: str) -> Mapping[Path, Any]:
    """Cached: parsing all of them takes 30 ms."""
    return tree.parse(name, (resources.files(__package__) / name).read_text(encoding="utf-8"))


def _packaged() -> _Layers:
    layers = _Layers()
    for name in sorted(entry.name for entry in resources.files(__package__).iterdir()):
        if name.endswith(".yaml") and name.count(".") == 1:
            layers.put(f"default {name}", _packaged_document(name))
    return layers


def _documents(variables: Mapping[Path, str], reader: SourceReader) -> _Layers:
    packaged = _packaged()
    source = open_source(str(variables.get(_URL, packaged.values[_URL])))
    env = _known_env(variables.get(_ENV, packaged.values[_ENV]))
    own = _read(reader, source, env)
    if _ENV not in variables and (named := _value(own, _ENV, env)) != env:
        env = _known_env(named)
        own = _read(reader, source, env)
    profile = f"app.{env}.yaml"
    packaged.put(f"profile {profile}", _packaged_document(profile))
    registry = variables.get(_REGISTRY, _value(own, _REGISTRY, packaged.values[_REGISTRY]))
    registry_source = open_registry_source(str(registry))
    shared = _read(reader, registry_source, env) if registry_source else []
    by_kind = [(source.kind, own), ("consul", shared)]
    if source.kind == "nacos":
        by_kind.reverse()  # Nacos overrides Consul, which overrides files
    for kind, documents in by_kind:
        for name, flat in documents:
            packaged.put_document(kind, name, flat)
    if _ENV not in variables and packaged.values[_ENV] != env:
        raise ConfigError("APP__ENV: can't be set by a profile")
    return packaged


def _read(reader: SourceReader, source: Source, env: str) -> list[tuple[str, dict[Path, Any]]]:
    return [(name, tree.parse(name, text)) for name, text in reader.read(source, env)]


def _value(documents: list[tuple[str, dict[Path, Any]]], path: Path, default: object) -> object:
    return next((flat[path] for _, flat in reversed(documents) if path in flat), default)


def _known_env(env: object) -> str:
    if env not in ENVIRONMENTS:
        raise ConfigError(f"APP__ENV: must be one of {', '.join(ENVIRONMENTS)}")
    return str(env)


def _put_override(layers: _Layers, data_dir: str, text: str | None) -> None:
    file = override_file(data_dir)
    if text == "":
        return
    if text is None:
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"can't read {file}: {error}") from error
    layers.put_document("override", str(file), tree.parse(str(file), text))


def _validated(layers: _Layers, data_dir: str) -> Settings:
    expanded = {path: _expand(value, data_dir) for path, value in layers.values.items()}
    try:
        return Settings.model_validate(tree.nest(expanded))
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            path = tuple(part for part in problem["loc"] if isinstance(part, str))
            text = problem["msg"].removeprefix("Value error, ")
            origin = layers.origins.get(path)
            lines.append(f"{tree.key_of(path)}: {text}" + (f" ({origin})" if origin else ""))
        raise ConfigError("; ".join(dict.fromkeys(lines))) from error


def _expand(value: object, data_dir: str) -> object:
    if isinstance(value, str):
        return value.replace("{DATA_DIR}", data_dir)
    if isinstance(value, list):
        return [_expand(item, data_dir) for item in value]
    return value
