"""Development keys: created once in {DATA_DIR}/dev, refused in production."""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from shop_order.configs.settings import ConfigError

_KEY = re.compile(r"[0-9a-f]{64}")
SECRETS: dict[str, tuple[str, ...]] = {
    "jwt_hs256.key": ("auth", "hs256_key"),
    "link.key": ("auth", "link_keys"),
    "gateway_secret": ("pay", "gateway_secret"),
    "wallet.key": ("auth", "wallet_keys"),
}
"""Files of keys of 64 hex digits, used as text, and their settings."""


def dev_keys(data_dir: str) -> dict[tuple[str, ...], tuple[Path, str]]:
    """Return file and value of each key by its setting; a missing key is created (mode 0600).

    Raises ConfigError.
    """
    folder = Path(data_dir) / "dev"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = {setting: (folder / name, _key(folder / name)) for name, setting in SECRETS.items()}
        root_key = _root_key(folder / "history_root.pem")
        return keys | {("audit", "root_key_file"): (root_key, str(root_key))}
    except OSError as error:
        raise ConfigError(f"DATA_DIR: can't write development keys to {folder}: {error.strerror}") from error


def _key(path: Path) -> str:
    if not path.exists():
        _create(path, secrets.token_hex(32).encode() + b"\n")
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if _KEY.fullmatch(text) is None:
        raise ConfigError(f"the development key {path} is not 64 hex digits; delete it to create a new one")
    return text


def _root_key(path: Path) -> Path:
    if not path.exists():
        from shop_order.pkg.ed25519 import new_private_pem

        _create(path, new_private_pem())
    return path


def _create(path: Path, content: bytes) -> None:
    # A hard link appears atomically, so another process never reads half a key.
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        with suppress(FileExistsError):  # another process was first: use its key
            os.link(draft, path)
    finally:
        draft.unlink()
