"""Reads the layers, checks them, and builds one immutable Settings.

Later layers win: packaged yaml, profile, the operator's documents (files, then Consul's KV, then Nacos),
rollback's override, environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from shop_order.configs import engines, tree
from shop_order.configs.dev_keys import dev_keys
from shop_order.configs.dev_wiring import read as wired
from shop_order.configs.last_good import SourceReader
from shop_order.configs.settings import ENVIRONMENTS, ConfigError, Settings
from shop_order.configs.sources import open_registry_source, open_source
from shop_order.configs.tree import RELOADABLE, Path

_DATA_DIR, _ENV, _URL = ("data_dir",), ("app", "env"), ("config", "url")
_REGISTRY = ("registry", "url")
_BOOTSTRAP = (_DATA_DIR, _ENV, _URL)  # they decide which documents are read


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, the origin of each value by its path, and which shared source could not be used.

    `files` are the operator's own documents that were read; `unused` are settings that are given and that
    nothing in this version uses; `renamed` has a text for each setting that is given by its former name.
    """

    settings: Settings
    origins: Mapping[Path, str]
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """What beside the packaged defaults took part, for the history."""
        kinds = {origin.split(" ", 1)[0] for origin in self.origins.values()}
        extra = [kind for kind in ("file", "consul", "nacos", "override", "environment") if kind in kinds]
        return "+".join([f"profile:{self.settings.app.env}", *extra])


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload brings: the new whole, what changed in it, and what waits for a restart."""

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


def _refuse_workers(value: object, origin: str) -> None:
    if str(value).strip() != "1":
        raise ConfigError(
            f"SERVER__WORKERS: one process is one instance ({origin}): remove the setting and start more"
            " instances: systemctl start shop-order@2, or docker compose up --scale order=2"
        )


def override_file(data_dir: str) -> FilePath:
    """Where `config rollback` leaves its document."""
    return FilePath(data_dir) / "config" / "override.yaml"


def load(
    environ: Mapping[str, str],
    *,
    use_override: bool = True,
    override: str | None = None,
    strict: bool = False,
    given: Mapping[str, str] | None = None,
    beside: bool = False,
    complete: bool = True,
) -> Loaded:
    """The settings of this environment; in dev and test missing keys are made in {DATA_DIR}/dev.

    `override` stands in for the text of the override document, `given` for what a shared source says, by
    its kind. A shared source that is away is replaced by its last good copy; so is one that says what can't
    be used, unless `strict`, and without a copy `strict` ends the load. With `beside` a `make run` on this
    data directory says where its neighbours are. Without `complete` production may lack what it needs. Raises
    ConfigError.
    """
    variables = tree.from_environment(environ)
    data_dir, env = (str(variables.get(path, _packaged().values[path])) for path in (_DATA_DIR, _ENV))
    central = SourceReader(data_dir, env, strict=strict, given=given or {})
    try:
        loaded = _load(variables, central, use_override, override, beside, complete)
    except ConfigError as bad:
        if strict or not central.has_copies():
            raise
        central = SourceReader(data_dir, env, only_copies=str(bad))
        loaded = _load(variables, central, use_override, override, beside, complete)
    central.keep()
    return replace(loaded, notes=tuple(central.notes))


def config_url(environ: Mapping[str, str]) -> str:
    """CONFIG__URL, without reading what it names. Raises ConfigError."""
    return str(tree.from_environment(environ).get(_URL, _packaged().values[_URL]))


def _load(
    variables: Mapping[Path, str],
    central: SourceReader,
    use_override: bool,
    override: str | None,
    beside: bool,
    complete: bool,
) -> Loaded:
    layers = _documents(variables, central)
    # With Nacos the way back is to publish: a document left on one machine would win over it for ever.
    if use_override and not str(variables.get(_URL, layers.values[_URL])).startswith("nacos:"):
        _put_override(layers, central.data_dir, override)
    dev = variables.get(_ENV, layers.values[_ENV]) != "production"
    if beside and dev and (wiring := wired(central.data_dir)) is not None:
        layers.put(f"make run {wiring[0]}", tree.parse(*wiring))
    for path, value in variables.items():
        layers.put(f"environment variable {tree.ENV_PREFIX}{tree.key_of(path)}", {path: value})
    if dev:
        _put_dev_keys(layers, central.data_dir)
    settings = _validated(layers, central.data_dir)
    engines.check(settings, complete=complete)
    unused = tuple(map(tree.key_of, sorted(layers.unused)))
    renamed = tuple(
        f"{tree.key_of(old)} is now {tree.key_of(tree.ALIASES[old])}" for old in sorted(layers.aliases)
    )
    return Loaded(settings, dict(layers.origins), files=tuple(layers.files), unused=unused, renamed=renamed)


def reload(current: Loaded, environ: Mapping[str, str]) -> Reloaded:
    """A new whole in which only reloadable settings differ. Raises ConfigError and changes nothing.

    A shared source that is away holds up no other: its last good copy stands. Asks them: not for an event
    loop's thread.
    """
    fresh = load(environ, strict=True)
    for name in current.files:
        if not FilePath(name).is_file():
            raise ConfigError(
                f"{name} is gone: its settings stay until a restart; to clear them, write {{}} into it"
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
    """Each setting's value by its path, in the order of the documents."""
    values: dict[Path, Any] = {}
    for path in tree.leaves():
        node: Any = settings
        for name in path:
            node = getattr(node, name)
        values[path] = node
    return values


def _folder() -> Traversable:
    return resources.files("shop_order.configs")


@cache
def _packaged_document(name: str) -> Mapping[Path, Any]:
    """Read once: to parse them all takes 30 ms."""
    return tree.parse(name, (_folder() / name).read_text(encoding="utf-8"))


def _packaged() -> _Layers:
    layers = _Layers()
    for name in sorted(entry.name for entry in _folder().iterdir()):
        if name.endswith(".yaml") and name.count(".") == 1:
            layers.put(f"default {name}", _packaged_document(name))
    return layers


def _documents(variables: Mapping[Path, str], central: SourceReader) -> _Layers:
    packaged = _packaged()
    source = open_source(str(variables.get(_URL, packaged.values[_URL])))
    env = _known_env(variables.get(_ENV, packaged.values[_ENV]))
    own = _parsed(central.read(source, env))
    if _ENV not in variables and (named := _value(own, _ENV, env)) != env:
        env = _known_env(named)
        own = _parsed(central.read(source, env))
    profile = f"app.{env}.yaml"
    packaged.put(f"profile {profile}", _packaged_document(profile))
    registry = variables.get(_REGISTRY, _value(own, _REGISTRY, packaged.values[_REGISTRY]))
    shared = _shared(str(registry), central, env)
    for kind, documents in ((source.kind, own), ("consul", shared))[:: 1 if source.kind == "file" else -1]:
        for name, flat in documents:
            _refuse_bootstrap(flat, kind, name)
            packaged.put(f"{kind} {name}", flat)
            packaged.files += [name] if kind == "file" else []
    if _ENV not in variables and packaged.values[_ENV] != env:
        raise ConfigError("APP__ENV: can't be set by a profile")
    return packaged


def _shared(registry_url: str, central: SourceReader, env: str) -> list[tuple[str, dict[Path, Any]]]:
    source = open_registry_source(registry_url)
    return [] if source is None else _parsed(central.read(source, env))


def _refuse_bootstrap(flat: Mapping[Path, Any], kind: str, name: str) -> None:
    if _URL in flat:
        raise ConfigError(f"CONFIG__URL: is set in the environment only, not in {name}")
    barred = {"file": (), "nacos": (_DATA_DIR,), "consul": (_DATA_DIR, _ENV, _REGISTRY)}[kind]
    for path in barred:
        if path in flat:
            raise ConfigError(f"{tree.key_of(path)}: can't be set in {kind} {name}")


def _parsed(documents: list[tuple[str, str]]) -> list[tuple[str, dict[Path, Any]]]:
    return [(name, tree.parse(name, text)) for name, text in documents]


def _value(documents: list[tuple[str, dict[Path, Any]]], path: Path, default: object) -> object:
    for _, flat in reversed(documents):
        if path in flat:
            return flat[path]
    return default


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
    flat = tree.parse(str(file), text)
    for path in _BOOTSTRAP:
        if path in flat:
            raise ConfigError(f"{tree.key_of(path)}: can't be set in {file}")
    layers.put(f"override {file}", flat)


def _put_dev_keys(layers: _Layers, data_dir: str) -> None:
    keys = dev_keys(data_dir)
    for path, file, value in (
        (("auth", "hs256_key"), "jwt_hs256.key", keys.jwt_hs256),
        (("auth", "link_keys"), "link.key", [keys.link]),
        (("pay", "gateway_secret"), "gateway_secret", keys.gateway_secret),
        (("audit", "root_key_file"), "history_root.pem", keys.root_key_file),
    ):
        if not layers.values[path]:
            layers.put(f"development key {FilePath(data_dir, 'dev', file)}", {path: value})


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
