"""`order-service.yaml` in Nacos (specification 6.3): read and published over HTTP, pushed by its client."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from shop_order.configs.engines import require_extra
from shop_order.configs.settings import ConfigError
from shop_order.configs.sources import Document, SourceUnavailable
from shop_order.pkg.address import join_host_port, split_host_port

DATA_ID = "order-service.yaml"
NAMESPACE, GROUP = "order-service", "DEFAULT_GROUP"
PORT = 8848
TIMEOUT_S = 3.0
RETRY_S = 3.0
MAX_HISTORY = 500
MAX_READS = 5
_UNKNOWN, _CONFLICT = 20004, 20005  # Nacos' codes: no such document; the document has changed


@dataclass(frozen=True, slots=True)
class NacosUrl:
    """`nacos://[user:password@]host:port[,host:port]?namespace=…&group=…`."""

    servers: tuple[str, ...]
    namespace: str
    group: str
    username: str | None
    password: str | None


def parse_url(url: str) -> NacosUrl:
    """Parse the URL. Raises ConfigError for unknown or malformed parts."""
    split = urlsplit(url)
    userinfo, _, servers = split.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    try:
        found = tuple(
            join_host_port(*split_host_port(server, PORT)) for server in servers.split(",") if server
        )
    except ValueError:
        found = ()
    if not found or split.path.strip("/"):
        raise ConfigError("CONFIG__URL: write nacos://host:port?namespace=order-service&group=DEFAULT_GROUP")
    query = {key: values[-1] for key, values in parse_qs(split.query, keep_blank_values=True).items()}
    if unknown := query.keys() - {"namespace", "group"}:
        raise ConfigError(f"CONFIG__URL: unknown parameter {', '.join(sorted(unknown))}")
    return NacosUrl(
        found,
        query.get("namespace") or NAMESPACE,
        query.get("group") or GROUP,
        unquote(username) or None,
        unquote(password) or None,
    )


@dataclass(frozen=True, slots=True)
class Version:
    """An entry of Nacos' history; `content` is what it published, None if it removed the document."""

    id: int
    created_ms: int
    operation: str
    by: str
    content: str | None


class NacosSource:
    """One document in one group of one namespace."""

    kind = "nacos"

    def __init__(self, url: str) -> None:
        require_extra("CONFIG__URL", "nacos", "v2")
        self._url = parse_url(url)

    @property
    def identity(self) -> str:
        """Namespace, group and name of the document."""
        return f"{self._url.namespace}/{self._url.group}/{DATA_ID}"

    def documents(self, env: str) -> list[Document]:
        """Return the document. Raises SourceUnavailable, also if it is missing, which is always a mistake."""
        response = self._ask("GET", "client/cs/config")
        if response is None:
            raise SourceUnavailable(f"Nacos has no document {self.identity}")
        content = str(response.get("content") or "")
        if not content.strip():
            raise SourceUnavailable(f"Nacos' document {self.identity} is empty; to set nothing, publish {{}}")
        return [(self.identity, content)]

    def publish(self, content: str, instead_of: str | None = None) -> None:
        """Publish `content`; with `instead_of` only if that is still the live document.

        Raises SourceUnavailable, ConfigError if it has changed.
        """
        expected_md5 = None if instead_of is None else hashlib.md5(instead_of.encode()).hexdigest()  # noqa: S324
        try:
            self._ask("POST", "admin/cs/config", {"content": content, "type": "yaml"}, expected_md5)
        except _Conflict as conflict:
            raise ConfigError(
                f"{self.identity} has changed in the meantime: nothing was published"
            ) from conflict

    def history(self, limit: int = MAX_HISTORY) -> list[Version]:
        """Return what was published, newest first. Raises SourceUnavailable.

        Nacos stores the previous document with each change: what an entry published is found in
        the next entry, and for the newest in the live document.
        """
        items, after = self._entries_and_live(limit)
        versions = []
        for item in items:
            operation = str(item["opType"]).strip()
            content = None if operation == "D" else after
            by = str(item["srcUser"] or item["srcIp"] or "")
            versions.append(Version(int(item["id"]), int(item["modifyTime"]), operation, by, content))
            stored = self._ask("GET", "admin/cs/history", {"nid": str(item["id"])})
            after = str(stored["content"]) if stored and operation != "I" else None
        return versions

    def _entries_and_live(self, limit: int) -> tuple[Sequence[Any], str | None]:
        """Return the newest entries and the document that the newest of them published."""
        page = {"pageNo": "1", "pageSize": str(min(limit, MAX_HISTORY))}
        live: Any = None
        previous_ids: Sequence[Any] | None = None
        for _ in range(MAX_READS):
            items = (self._ask("GET", "admin/cs/history/list", page) or {"pageItems": []})["pageItems"]
            ids = [item["id"] for item in items]
            if ids == previous_ids:  # `live` was read in between: it belongs to these entries
                return items, None if live is None else str(live["content"])
            # The administrator's document: the copy for readers follows a moment later.
            live, previous_ids = self._ask("GET", "admin/cs/config"), ids
        raise SourceUnavailable(f"{self.identity} changes faster than it can be read")

    async def watch(self, changed: Callable[[], None], folder: Path) -> None:
        """Nacos pushes changes within a fraction of a second; its client reconnects by itself."""
        from v2.nacos import ClientConfigBuilder, NacosConfigService

        _silence_client()
        builder = ClientConfigBuilder().server_address(",".join(self._url.servers))
        builder = builder.namespace_id(self._url.namespace).log_level(logging.ERROR)
        builder = builder.log_dir(str(folder)).cache_dir(str(folder))  # else it writes into the home folder
        if self._url.username:
            builder = builder.username(self._url.username).password(self._url.password)
        config = builder.build()

        async def on_push(_tenant: str, _data_id: str, _group: str, _content: str) -> None:
            changed()

        while True:
            try:
                service = await NacosConfigService.create_config_service(config)
                break
            except (OSError, RuntimeError, ValueError):
                await asyncio.sleep(RETRY_S)
        try:
            await service.add_listener(DATA_ID, self._url.group, on_push)
            await asyncio.Event().wait()
        finally:
            with suppress(asyncio.CancelledError):
                await service.shutdown()

    def _ask(
        self, method: str, path: str, more: Mapping[str, str] | None = None, expected_md5: str | None = None
    ) -> Any:
        """Return the response. Raises SourceUnavailable, _Conflict if the document has another MD5."""
        about = {"dataId": DATA_ID, "groupName": self._url.group, "namespaceId": self._url.namespace}
        sent: dict[str, Any] = {"params" if method == "GET" else "data": {**about, **(more or {})}}
        headers = {} if expected_md5 is None else {"casMd5": expected_md5}
        failed = ""
        for server in self._url.servers:
            base = f"http://{server}/nacos/v3/"
            try:
                with httpx.Client(base_url=base, timeout=TIMEOUT_S, trust_env=False, headers=headers) as http:
                    if self._url.username:
                        http.headers["accessToken"] = self._log_in(http)
                    return _data(http.request(method, path, **sent))
            except (httpx.HTTPError, ValueError) as error:
                failed = f"Nacos at {server} can't be reached: {str(error) or repr(error)}"
        raise SourceUnavailable(failed)

    def _log_in(self, http: httpx.Client) -> str:
        account = {"username": self._url.username, "password": self._url.password or ""}
        return str(http.post("auth/user/login", data=account).raise_for_status().json()["accessToken"])


class _Conflict(Exception):
    """The document has changed since it was read."""


def _data(response: httpx.Response) -> Any:
    """Return the data of a response, None if there is none. Raises ValueError for an error, _Conflict."""
    body = response.json()
    if body.get("code") == _UNKNOWN:
        return None
    if body.get("code") == _CONFLICT:
        raise _Conflict
    if response.status_code != 200 or body.get("code") != 0:
        raise ValueError(f"{response.status_code} {body.get('message')}")
    return body["data"]


def _silence_client() -> None:
    # Its loggers would write every reconnection into our log.
    for name in ("nacos", "config", "naming"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_is_not_from_client)  # idempotent


def _is_not_from_client(record: logging.LogRecord) -> bool:
    """While Nacos is unreachable, its client logs some errors to the root logger every second."""
    return "/v2/nacos/" not in record.pathname.replace("\\", "/")
