"""Documents in a folder: *.yaml, then the profile app.<env>.yaml."""

from pathlib import Path

from shop_order.configs.settings import ENVIRONMENTS, ConfigError

_APP_NAMES = ("app.yaml", *(f"app.{env}.yaml" for env in ENVIRONMENTS))


class FileSource:
    """`file:` reads the packaged defaults only; `file:/folder` also the operator's documents."""

    kind = "file"

    def __init__(self, url: str) -> None:
        path = url.removeprefix("file:")
        if path.startswith("//"):
            path = path.removeprefix("//")
        self._folder = Path(path) if path else None

    def documents(self, env: str) -> list[tuple[str, str]]:
        """Return the folder's documents by name, the profile's last. Raises ConfigError."""
        if self._folder is None:
            return []
        if not self._folder.is_dir():
            raise ConfigError(f"CONFIG__URL: there is no folder {self._folder}")
        return read_folder(self._folder, env)


def read_folder(folder: Path, env: str) -> list[tuple[str, str]]:
    """Read all *.yaml of a folder except other environments' profiles.

    Raises ConfigError, also for a name that would be ignored, and in production for an empty folder.
    """
    try:
        names = sorted(p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
        for name in names:
            if name.endswith(".yml") or (name.startswith("app.") and name not in _APP_NAMES):
                raise ConfigError(f"{folder / name}: ignored; name it *.yaml, or {', '.join(_APP_NAMES)}")
        general = [name for name in names if name not in _APP_NAMES]
        chosen = [name for name in ("app.yaml", *general, f"app.{env}.yaml") if name in names]
        if not names and env == "production":
            raise ConfigError(f"CONFIG__URL: {folder} has no *.yaml; to set nothing, write {{}} into one")
        return [(str(folder / name), (folder / name).read_text(encoding="utf-8")) for name in chosen]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"CONFIG__URL: can't read {folder}: {error}") from error
