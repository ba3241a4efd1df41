"""`order-service.yaml` in Nacos (specification 6.3): read and published over HTTP, pushed by its client."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from shop_order.configs.settings import ConfigError
from shop_order.configs.sources.base import Document, SourceAway
from shop_order.pkg.address import joined, parted

DATA_ID = "order-service.yaml"
NAMESPACE, GROUP = "order-service", "DEFAULT_GROUP"
PORT = 8848
TIMEOUT_S = 3.0
RETRY_S = 3.0
MAX_HISTORY = 500
MAX_READINGS = 5
_UNKNOWN, _OVERTAKEN = 20004, 20005  # Nacos' codes: there is no such document; another one stands there


@dataclass(frozen=True, slots=True)
class NacosUrl:
    """`nacos://[user:password@]host:port[,host:port]?namespace=…&group=…`."""

    servers: tuple[str, ...]
    namespace: str
    group: str
    username: str | None
    password: str | None


def parse_url(url: str) -> NacosUrl:
    """Raises ConfigError for a URL that says something we do not know."""
    split = urlsplit(url)
    userinfo, _, servers = split.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    try:
        found = tuple(joined(*parted(server, PORT)) for server in servers.split(",") if server)
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
    """One entry of Nacos' history, with what it published: None if it removed the document."""

    id: int
    created_ms: int
    operation: str
    by: str
    content: str | None


class NacosSource:
    """One document in one group of one namespace."""

    kind = "nacos"

    def __init__(self, url: str) -> None:
        if find_spec("v2") is None:
            raise ConfigError("CONFIG__URL: nacos: needs `pip install shop-order[nacos]`")
        self._url = parse_url(url)

    @property
    def identity(self) -> str:
        """Namespace, group and name of the document."""
        return f"{self._url.namespace}/{self._url.group}/{DATA_ID}"

    def documents(self, env: str) -> list[Document]:
        """The document. Raises SourceAway, also when there is none: nobody removes a configuration."""
        answer = self._ask("GET", "client/cs/config")
        if answer is None:
            raise SourceAway(f"Nacos has no document {self.identity}")
        content = str(answer.get("content") or "")
        if not content.strip():
            raise SourceAway(f"Nacos' document {self.identity} is empty; to set nothing, publish {{}}")
        return [(self.identity, content)]

    def publish(self, content: str, instead_of: str | None = None) -> None:
        """Make `content` the live document; with `instead_of` only in place of that one.

        Raises SourceAway, ConfigError if another stands there.
        """
        seen = None if instead_of is None else hashlib.md5(instead_of.encode()).hexdigest()  # noqa: S324
        try:
            self._ask("POST", "admin/cs/config", {"content": content, "type": "yaml"}, seen)
        except _Overtaken as overtaken:
            raise ConfigError(f"{self.identity} was changed meanwhile: nothing was published") from overtaken

    def history(self, limit: int = MAX_HISTORY) -> list[Version]:
        """What was published, the newest first. Raises SourceAway.

        Nacos stores with a change what stood there before: what an entry published is therefore
        found in the next one, and with the newest in the live document.
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
        """The newest entries, and the document that the very newest left there."""
        page = {"pageNo": "1", "pageSize": str(min(limit, MAX_HISTORY))}
        live: Any = None
        seen: Sequence[Any] | None = None
        for _ in range(MAX_READINGS):
            items = (self._ask("GET", "admin/cs/history/list", page) or {"pageItems": []})["pageItems"]
            ids = [item["id"] for item in items]
            if ids == seen:  # so `live` is of that time
                return items, None if live is None else str(live["content"])
            # The keeper's own document: the copy that readers get follows it a moment later.
            live, seen = self._ask("GET", "admin/cs/config"), ids
        raise SourceAway(f"{self.identity} is changed faster than it can be read")

    async def watch(self, changed: Callable[[], None], folder: Path) -> None:
        """Nacos pushes within a fraction of a second; its client connects again by itself."""
        from v2.nacos import ClientConfigBuilder, NacosConfigService

        _quieten()
        builder = ClientConfigBuilder().server_address(",".join(self._url.servers))
        builder = builder.namespace_id(self._url.namespace).log_level(logging.ERROR)
        builder = builder.log_dir(str(folder)).cache_dir(str(folder))  # else it writes into the home folder
        if self._url.username:
            builder = builder.username(self._url.username).password(self._url.password)
        config = builder.build()

        async def pushed(_tenant: str, _data_id: str, _group: str, _content: str) -> None:
            changed()

        while True:
            try:
                service = await NacosConfigService.create_config_service(config)
                break
            except (OSError, RuntimeError, ValueError):
                await asyncio.sleep(RETRY_S)
        try:
            await service.add_listener(DATA_ID, self._url.group, pushed)
            await asyncio.Event().wait()
        finally:
            with suppress(asyncio.CancelledError):
                await service.shutdown()

    def _ask(
        self, method: str, path: str, more: Mapping[str, str] | None = None, seen: str | None = None
    ) -> Any:
        """What it answers. Raises SourceAway, _Overtaken if the document is not the one with MD5 `seen`."""
        about = {"dataId": DATA_ID, "groupName": self._url.group, "namespaceId": self._url.namespace}
        failed = ""
        for server in self._url.servers:
            try:
                cas = {} if seen is None else {"casMd5": seen}
                with httpx.Client(timeout=TIMEOUT_S, trust_env=False, headers=cas) as http:
                    base = f"http://{server}/nacos/v3"
                    answer = self._request(http, base, method, path, {**about, **(more or {})})
                return _data(answer)
            except (httpx.HTTPError, ValueError) as error:
                failed = f"Nacos at {server} can't be asked: {str(error) or repr(error)}"
        raise SourceAway(failed)

    def _request(
        self, http: httpx.Client, base: str, method: str, path: str, parameters: Mapping[str, str]
    ) -> httpx.Response:
        headers = {}
        if self._url.username:
            login = {"username": self._url.username, "password": self._url.password or ""}
            token = http.post(f"{base}/auth/user/login", data=login).raise_for_status().json()
            headers["accessToken"] = str(token["accessToken"])
        if method == "GET":
            return http.get(f"{base}/{path}", params=dict(parameters), headers=headers)
        return http.post(f"{base}/{path}", data=dict(parameters), headers=headers)


class _Overtaken(Exception):
    """Another document stands where ours was to."""


def _data(answer: httpx.Response) -> Any:
    """What Nacos answered, None for what does not exist. Raises ValueError for a refusal, _Overtaken."""
    said = answer.json()
    if said.get("code") == _UNKNOWN:
        return None
    if said.get("code") == _OVERTAKEN:
        raise _Overtaken
    if answer.status_code != 200 or said.get("code") != 0:
        raise ValueError(f"{answer.status_code} {said.get('message')}")
    return said["data"]


def _quieten() -> None:
    # Its loggers would write a second log beside ours, with every reconnection in it.
    for name in ("nacos", "config", "naming"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_is_not_the_clients)  # added twice it counts once


def _is_not_the_clients(record: logging.LogRecord) -> bool:
    """While Nacos is away some of its client's complaints go straight to the root, every second."""
    return "/v2/nacos/" not in record.pathname.replace("\\", "/")
