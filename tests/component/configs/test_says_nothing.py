"""A source that says nothing does not mean "all defaults": freight would become 0, an allow-list open."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from shop_order.configs import ConfigError, load, reload

SAID = "pricing: {freight_fen: 800}\npay: {callback_allow: [203.0.113.0/24]}\n"
NOTHING = [
    "",
    "\n",
    "# only a comment\n",
    "null\n",
    "~",
    "---\n",
    "text",
    "[1]",
    "pay:\n",
    "pay: {alipay: }\n",
]
NULLS = ["pay: {callback_allow: null}\n", "pricing: {freight_fen: }\n", "limit: {user_rate: ~}\n"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def of_folder(own: Path) -> dict[str, str]:
    return {"SHOP_ORDER_DATA_DIR": str(own.parent), "SHOP_ORDER_CONFIG__URL": f"file:{own}"}


@pytest.mark.parametrize("text", [*NOTHING, *NULLS])
def test_a_document_that_says_nothing_is_refused_and_the_settings_stay(own: Path, text: str) -> None:
    (own / "own.yaml").write_text(SAID)
    running = load(of_folder(own))
    (own / "own.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        reload(running, of_folder(own))
    assert "\n" not in str(refused.value)
    assert running.settings.pricing.freight_fen == 800
    with pytest.raises(ConfigError):
        load(of_folder(own))


def test_a_document_that_is_gone_is_refused_until_a_restart(own: Path) -> None:
    (own / "own.yaml").write_text(SAID)
    (own / "more.yaml").write_text("log: {level: warn}\n")
    running = load(of_folder(own))
    (own / "own.yaml").unlink()
    with pytest.raises(ConfigError, match=r"own\.yaml is missing"):
        reload(running, of_folder(own))
    (own / "more.yaml").unlink()
    with pytest.raises(ConfigError, match="is missing"):
        reload(running, of_folder(own))
    own.rmdir()
    with pytest.raises(ConfigError, match="there is no folder"):
        reload(running, of_folder(own))


def test_who_means_it_writes_an_empty_mapping(own: Path) -> None:
    (own / "own.yaml").write_text(SAID)
    running = load(of_folder(own))
    (own / "own.yaml").write_text("{}\n")
    settings = reload(running, of_folder(own)).loaded.settings
    assert (settings.pricing.freight_fen, settings.pay.callback_allow) == (0, ())
    (own / "own.yaml").write_text("pay: {callback_allow: []}\n")
    assert reload(running, of_folder(own)).loaded.settings.pay.callback_allow == ()


def test_production_does_not_start_from_a_folder_without_documents(own: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no \*\.yaml"):
        load(of_folder(own) | {"SHOP_ORDER_APP__ENV": "production"})


class Server(ThreadingHTTPServer):
    """Answers like Consul's KV, or like Nacos."""

    kv: dict[str, str] | None = None
    document: str | None = None
    config_url = registry_url = ""


class _Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if "/v1/kv/" in self.path:
            rows = [
                {"Key": f"order-service/{key}", "Value": base64.b64encode(value.encode()).decode() or None}
                for key, value in (self.server.kv or {}).items()
            ]
            self._say(200 if rows else 404, rows)
        elif self.server.document is None:
            self._say(404, {"code": 20004, "message": "no", "data": None})
        else:
            self._say(200, {"code": 0, "message": "ok", "data": {"content": self.server.document}})

    def _say(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Answers) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def consul(server: Server, tmp_path: Path) -> dict[str, str]:
    where = f"consul://127.0.0.1:{server.server_address[1]}"
    return {"SHOP_ORDER_DATA_DIR": str(tmp_path), "SHOP_ORDER_REGISTRY__URL": where}


@pytest.fixture
def nacos(server: Server, tmp_path: Path) -> dict[str, str]:
    where = f"nacos://127.0.0.1:{server.server_address[1]}"
    return {"SHOP_ORDER_DATA_DIR": str(tmp_path), "SHOP_ORDER_CONFIG__URL": where}


def test_keys_of_consul_that_are_all_gone_leave_the_settings_and_say_so(
    server: Server, consul: dict[str, str]
) -> None:
    server.kv = {"pricing/freight_fen": "800", "locks/relay": "x"}
    running = load(consul)
    assert not running.notes
    for gone in ({}, {"locks/relay": "x"}):
        server.kv = gone
        reloaded = reload(running, consul)
        assert (reloaded.applied, reloaded.loaded.settings.pricing.freight_fen) == ((), 800)
        assert "is empty now" in reloaded.loaded.notes[0]
        again = load(consul)
        assert (again.settings.pricing.freight_fen, len(again.notes)) == (800, 1)


def test_a_folder_without_keys_clears_the_settings_of_consul(server: Server, consul: dict[str, str]) -> None:
    server.kv = {"pricing/freight_fen": "800"}
    running = load(consul)
    server.kv = {"": ""}
    reloaded = reload(running, consul)
    assert (reloaded.applied, reloaded.loaded.notes) == (("PRICING__FREIGHT_FEN",), ())
    server.kv = None
    assert not load(consul).notes, "nothing was set before either"


@pytest.mark.parametrize("value", ["", "  "])
def test_a_key_of_consul_without_a_value_opens_no_list(
    server: Server, consul: dict[str, str], value: str
) -> None:
    server.kv = {"pay/callback_allow": "203.0.113.0/24"}
    running = load(consul)
    server.kv = {"pay/callback_allow": value}
    with pytest.raises(ConfigError, match="PAY__CALLBACK_ALLOW"):
        reload(running, consul)
    server.kv = {"pay/callback_allow": "[]"}
    assert reload(running, consul).applied == ("PAY__CALLBACK_ALLOW",)


@pytest.mark.parametrize("document", [None, *NOTHING])
def test_a_document_of_nacos_that_says_nothing_leaves_the_settings(
    server: Server, nacos: dict[str, str], document: str | None
) -> None:
    pytest.importorskip("v2")
    server.document = SAID
    running = load(nacos)
    server.document = document
    try:
        reloaded = reload(running, nacos)
        assert not reloaded.applied
        assert reloaded.loaded.notes
    except ConfigError:
        pass  # refused: the settings stay too
    again = load(nacos)
    assert (again.settings.pricing.freight_fen, len(again.notes)) == (800, 1)


def test_a_shared_source_that_is_away_keeps_no_other_from_being_taken_up(own: Path, tmp_path: Path) -> None:
    copy = tmp_path / "config" / "last-good" / "consul-kv-order-service.yaml"
    copy.parent.mkdir(parents=True)
    copy.write_text("- ['kv/order-service/', 'limit: {user_rate: 5}']\n")
    environ = of_folder(own) | {"SHOP_ORDER_REGISTRY__URL": "consul://127.0.0.1:9"}
    running = load(environ)
    (own / "own.yaml").write_text("log: {level: debug}\n")
    reloaded = reload(running, environ)
    assert reloaded.applied == ("LOG__LEVEL",)
    assert (reloaded.loaded.settings.limit.user_rate, len(reloaded.loaded.notes)) == (5, 1)
    copy.unlink()
    with pytest.raises(ConfigError, match="can't be reached"):
        reload(running, environ)
