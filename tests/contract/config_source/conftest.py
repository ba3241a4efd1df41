"""A place for settings of every kind this machine offers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from shop_order.configs.sources.consul_kv import PREFIX
from shop_order.configs.sources.nacos import NacosSource
from shop_order.configs.tree import flatten
from tests.plugins.engines import available

SHARED = available("nacos", "consul")
collect_ignore = [] if SHARED else ["test_shared.py"]
if not available("nacos"):
    collect_ignore.append("test_nacos_history.py")


@dataclass
class Place:
    """Where an operator puts settings; `environ` is that of a service that reads them there."""

    url: str
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.url.partition(":")[0]

    def open(self) -> None:
        self.environ = {"SHOP_ORDER_DATA_DIR": str(self.folder / "data")}
        if self.kind == "file":
            (self.folder / "own").mkdir()
            self.environ["SHOP_ORDER_CONFIG__URL"] = f"file:{self.folder / 'own'}"
        elif self.kind == "nacos":
            # A group of its own, so that no test sees another's document.
            server = self.url.partition("?")[0]
            self.url = f"{server}?namespace=order-service&group=test-{uuid.uuid4().hex[:8]}"
            self.environ["SHOP_ORDER_CONFIG__URL"] = self.url
        else:
            self.environ["SHOP_ORDER_REGISTRY__URL"] = self.url
            self.clear()

    def say(self, text: str) -> None:
        """Put a document there."""
        if self.kind == "file":
            (self.folder / "own" / "own.yaml").write_text(text)
        elif self.kind == "nacos":
            self._publish(text)
        else:
            self.clear()
            for path, value in flatten(yaml.safe_load(text)).items():
                text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
                self.kv("PUT", "/".join(path), text)

    def _publish(self, text: str) -> None:
        source = NacosSource(self.url)
        source.publish(text)
        for _ in range(100):  # it answers readers from a copy that follows
            answer = source._ask("GET", "client/cs/config")
            if answer is not None and answer["content"] == text:
                return
        raise AssertionError("Nacos does not show what was published")

    def kv(self, method: str, key: str, value: str = "", **query: str) -> None:
        base = self.url.replace("consul://", "http://")
        httpx.request(method, f"{base}/v1/kv/{PREFIX}{key}", content=value, params=query).raise_for_status()

    def clear(self) -> None:
        if self.kind == "consul":
            for section in ("limit", "log", "order", "pricing", "server", "nonsense"):
                self.kv("DELETE", f"{section}/", recurse="true")

    def away(self) -> dict[str, str]:
        """The environment of a service that can't reach the place."""
        host = self.url.partition("//")[2].partition("?")[0].partition("/")[0]
        return {key: value.replace(host, "127.0.0.1:9") for key, value in self.environ.items()}


@pytest.fixture(params=available("file", "nacos", "consul"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty one."""
    place = Place(request.param, tmp_path)
    place.open()
    yield place
    place.clear()


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty one on another machine."""
    place = Place(request.param, tmp_path)
    place.open()
    yield place
    place.clear()
