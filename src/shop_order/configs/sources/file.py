"""Documents in a folder: *.yaml, then the profile app.<env>.yaml."""

from pathlib import Path

from shop_order.configs.errors import ConfigError


class FileSource:
    """`file:` reads nothing beyond the packaged defaults; `file:/folder` the operator's documents."""

    def __init__(self, url: str) -> None:
        path = url.removeprefix("file:")
        if path.startswith("//"):
            path = path.removeprefix("//")
        self._folder = Path(path) if path else None

    def documents(self, env: str) -> list[tuple[str, str]]:
        """The folder's documents by name, the profile's last. Raises ConfigError."""
        if self._folder is None:
            return []
        if not self._folder.is_dir():
            raise ConfigError(f"CONFIG__URL: there is no folder {self._folder}")
        return read_folder(self._folder, env)


def read_folder(folder: Path, env: str) -> list[tuple[str, str]]:
    """All *.yaml of a folder but other environments' profiles. Raises ConfigError."""
    paths = sorted(p for p in folder.glob("*.yaml") if not p.name.startswith("app."))
    paths = [folder / "app.yaml", *paths, folder / f"app.{env}.yaml"]
    try:
        return [(str(p), p.read_text(encoding="utf-8")) for p in paths if p.is_file()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"CONFIG__URL: can't read {folder}: {error}") from error
