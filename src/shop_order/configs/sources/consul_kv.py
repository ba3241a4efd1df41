"""Shared settings in Consul's KV: the key `order-service/limit/user_rate` holds LIMIT__USER_RATE."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import yaml

from shop_order.configs import tree
from shop_order.configs.settings import ConfigError
from shop_order.configs.sources import Document, SourceUnavailable
from shop_order.pkg.address import join_host_port

PREFIX = "order-service/"
NOT_SETTINGS = ("locks/",)  # other data below the prefix
PORT = 8500
TIMEOUT_S = 3.0
WAIT_S = 30
RETRY_S = 2.0


class ConsulSource:
    """Every key below `order-service/`; the values are texts, as in environment variables.

    The key `order-service/` itself, a folder, marks an intentionally empty configuration.
    """

    kind = "consul"

    def __init__(self, url: str) -> None:
        split = urlsplit(url)
        try:
            self._address = join_host_port(split.hostname or "", split.port or PORT)
        except ValueError:  # its text may contain part of the token
            self._address = ""
        if not (self._address and split.hostname) or split.path.strip("/") or split.query or split.fragment:
            raise ConfigError("REGISTRY__URL: write consul://host:port, or consul://:token@host:port")
        self._headers = {"X-Consul-Token": unquote(split.password)} if split.password else {}

    @property
    def identity(self) -> str:
        """The prefix: the same for all servers of a datacenter."""
        return f"kv/{PREFIX}"

    def documents(self, env: str) -> list[Document]:
        """Return all keys as one document, if any.

        Raises ConfigError if a value is not text, SourceUnavailable.
        """
        try:
            with httpx.Client(timeout=TIMEOUT_S, trust_env=False, headers=self._headers) as http:
                response = http.get(self._url(), params={"recurse": "true"})
                rows = _rows(response)
        except (httpx.HTTPError, ValueError) as error:
            raise SourceUnavailable(
                f"Consul at {self._address} can't be reached: {str(error) or repr(error)}"
            ) from error
        settings = _settings(rows)
        if not settings and not any(str(row["Key"]) == PREFIX for row in rows):
            return []
        return [(self.identity, yaml.safe_dump(tree.nest(settings), allow_unicode=True))]

    async def watch(self, changed: Callable[[], None], folder: Path) -> None:
        """Run blocking queries, one after the other."""
        index, was_unreachable = 0, False
        limit = httpx.Timeout(TIMEOUT_S, read=WAIT_S * 1.1 + TIMEOUT_S)
        async with httpx.AsyncClient(timeout=limit, trust_env=False, headers=self._headers) as http:
            while True:
                query = {"recurse": "true", "index": str(index), "wait": f"{WAIT_S}s"}
                try:
                    response = await http.get(self._url(), params=query)
                    _rows(response)
                    new_index = int(response.headers["X-Consul-Index"])
                except (httpx.HTTPError, ValueError, KeyError):
                    was_unreachable = True
                    await asyncio.sleep(RETRY_S)
                    continue
                if was_unreachable or new_index != index:
                    changed()
                # An index that decreased belongs to a Consul that lost its data: start over.
                index, was_unreachable = (max(new_index, 1) if new_index >= index else 0), False

    def _url(self) -> str:
        return f"http://{self._address}/v1/kv/{PREFIX}"


def _rows(response: httpx.Response) -> Any:
    """Return the rows below the prefix. Raises ValueError for an error response."""
    if response.status_code == 404:
        return []
    if response.status_code != 200:
        raise ValueError(f"{response.status_code} {response.text.strip()}")
    return response.json()


def _settings(rows: Any) -> dict[tree.Path, str | None]:
    settings: dict[tree.Path, str | None] = {}
    for row in rows:
        name = str(row["Key"]).removeprefix(PREFIX)
        if not name or name.endswith("/") or name.startswith(NOT_SETTINGS):
            continue
        path = tuple(name.lower().split("/"))
        tree.require_known(path, f"consul {row['Key']}")
        try:
            # An empty value is null; an empty list is written [].
            settings[path] = base64.b64decode(row["Value"] or "").decode().strip() or None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{tree.key_of(path)}: is not text (consul {row['Key']})") from error
    return settings
