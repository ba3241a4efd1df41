"""The addresses of a running `make run`, for commands in the same data directory.

A settings document below the environment. The writing process holds a lock on it, so that it is ignored
once that process is gone.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shop_order.configs import tree
from shop_order.configs.settings import ConfigError, Settings


def read(data_dir: str) -> tuple[str, str] | None:
    """Return name and text of the document while its process runs. Raises ConfigError."""
    file = wiring_file(data_dir)
    try:
        with file.open(encoding="utf-8") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return str(file), opened.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read {file}: {error}") from error
    return None


def wiring_file(data_dir: str) -> Path:
    """Return the path of the document."""
    return Path(data_dir) / "dev" / "wiring.yaml"


def document(settings: Settings) -> str:
    """Return the content of the document."""
    # A name needs the registry, whose URL may contain a token.
    flat: dict[tree.Path, object] = {
        ("neighbours", name): ",".join(addresses)
        for name, addresses in settings.neighbours.addresses.items()
        if all(":" in address for address in addresses)
    }
    for name, channel in settings.pay.http_channels.items():
        flat["pay", name, "gateway"] = channel.gateway
    return tree.dump(tree.nest(flat))


@contextmanager
def published(settings: Settings) -> Iterator[None]:
    """Publish these settings until the block ends. Raises OSError."""
    file = wiring_file(settings.data_dir)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # before the rename: no reader sees it unlocked
        os.write(handle, document(settings).encode())
        os.replace(draft, file)
        yield
    finally:
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(file), os.fstat(handle)):  # another process may have replaced it
                file.unlink()
        os.close(handle)
