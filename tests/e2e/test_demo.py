"""`make run` and `make demo` as a newcomer meets them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from shop_sandbox.address import connectable, host_port
from shop_sandbox.demo import with_order_service
from shop_sandbox.reload import modification_times
from shop_sandbox.settings import SandboxSettings
from shop_sandbox.story import play
from shop_sandbox.story.narrator import Narrator, StepFailed, UnexpectedResult, expect
from tests.e2e.pasting import block_after, paste
from tests.e2e.started import ROOT, Started, run
from tests.shop import Shop

STORY_S = 110.0  # on a busy machine; on a quiet one about 25


def demo_environ(folder: Path) -> dict[str, str]:
    """The ports are moved, and nothing else: the order service must find the sandbox by itself."""
    shop = Shop(folder)
    return {
        "SHOP_ORDER_SERVER__GRPC_PORT": str(shop.ports["grpc"]),
        "SHOP_ORDER_SERVER__HTTP_PORT": str(shop.ports["http"]),
        "SHOP_SANDBOX_GRPC_PORT": str(shop.ports["sandbox_grpc"]),
        "SHOP_SANDBOX_HTTP_PORT": str(shop.ports["sandbox_http"]),
    }


async def test_the_printed_calls_work_when_pasted_and_a_second_start_keeps_the_orders(tmp_path: Path) -> None:
    environ = demo_environ(tmp_path)
    async with Started(tmp_path, "shop-sandbox", "demo", environ=environ) as demo:
        greeting = await demo.says("order.OrderService/CreateOrder")
        for word in ("/api/v1/docs", "BUYER_7=", "BUYER_8=", "ADMIN=", "logs/order-service.log"):
            assert word in greeting

        placed = json.loads(await paste(block_after(greeting, "curl -sS"), tmp_path))
        assert (placed["code"], placed["data"]["status"]) == (200, 1)
        over_grpc = await paste(block_after(greeting, f"{sys.executable} - <<'PY'"), tmp_path)
        assert "order" in over_grpc and "/api/v1/cashier/" in over_grpc

        assert await demo.stop(signal.SIGINT) == 0
        assert "Traceback" not in demo.said()
        assert not [line for line in demo.said().splitlines() if line.startswith("{")]
    first_log = (tmp_path / "data" / "logs" / "order-service.log").read_text().splitlines()[0]
    assert "msg" in json.loads(first_log)

    async with Started(tmp_path, "shop-sandbox", "demo", environ=environ) as demo:
        greeting = await demo.says("order.OrderService/CreateOrder")
        curl = block_after(greeting, "curl -sS").replace("-X POST ", "").splitlines()
        listed = json.loads(await paste("\n".join([*curl[:2], curl[-1]]), tmp_path))
        assert [order["order_sn"] for order in listed["data"]["items"]][-1] == placed["data"]["order_sn"]
        assert listed["data"]["total"] == 2


@pytest.mark.parametrize("port", ["grpc", "http", "sandbox_grpc", "sandbox_http"])
async def test_a_taken_port_ends_make_run_with_one_line(tmp_path: Path, port: str) -> None:
    names = {"grpc": "SHOP_ORDER_SERVER__GRPC_PORT", "http": "SHOP_ORDER_SERVER__HTTP_PORT"}
    name = names.get(port) or f"SHOP_{port.upper()}_PORT"
    environ = demo_environ(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(environ[name])))
        other.listen()
        refused = await run(tmp_path, "shop-sandbox", "demo", environ=environ)
    assert refused.code == 2
    assert refused.err.count("\n") == 1 and environ[name] in refused.err


@pytest.mark.parametrize("name", ["SHOP_ORDER_SERVER__HTTP_POTR", "SHOP_SANDBOX_HTTP_POTR"])
async def test_an_unknown_setting_ends_make_run_with_one_line(tmp_path: Path, name: str) -> None:
    refused = await run(tmp_path, "shop-sandbox", "demo", environ={**demo_environ(tmp_path), name: "1"})
    assert refused.code == 2
    assert refused.err.count("\n") == 1 and "HTTP_POTR" in refused.err


async def test_with_reload_a_change_of_the_sources_starts_it_again(tmp_path: Path) -> None:
    source = tmp_path / "shop_order" / "a.py"
    source.parent.mkdir()
    source.write_text("")
    child = "import pathlib, time; print('child', flush=True); time.sleep(60)"
    follow = (
        "import sys, pathlib; from shop_sandbox.reload import Reloader; "
        f"sys.exit(Reloader([sys.executable, '-c', {child!r}], pathlib.Path({str(tmp_path)!r})).run())"
    )
    async with Started(tmp_path, "-c", follow, environ={}) as following:
        await following.says("child")
        source.write_text("changed = 1\n")
        await following.says("starting again")
        await following.says("child", times=2)
        assert await following.stop() == 0


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("127.0.0.1", "127.0.0.1")],
)
def test_a_printed_address_can_be_connected_to(host: str, shown: str) -> None:
    assert host_port(connectable(host), 80) == f"{shown}:80"


def test_the_sandbox_lies_beside_the_order_service_unless_somebody_says_otherwise() -> None:
    found = with_order_service(SandboxSettings(), "/elsewhere", "[::1]:5000", "otlp://c:4317")
    assert (found.data_dir, found.keys_dir) == (Path("/elsewhere/sandbox"), Path("/elsewhere/dev"))
    assert (found.order, found.trace) == ("[::1]:5000", "otlp://c:4317")
    own = SandboxSettings(
        data_dir=Path("mine"), keys_dir=Path("keys"), order="127.0.0.1:6000", trace="otlp://other:4317"
    )
    assert with_order_service(own, "/elsewhere", "[::1]:5000", "none:") == own


def test_reload_watches_every_kind_of_source_and_no_data(tmp_path: Path) -> None:
    watched = {path.relative_to(ROOT / "src").as_posix() for path in modification_times()}
    assert {
        "shop_order/cmd/run/app.py",
        "shop_order/configs/server.yaml",
        "shop_order/web/pages/cashier.css",
        "shop_sandbox/server.py",
    } <= watched
    assert not any(name.endswith((".pyc", ".db")) for name in watched)


@pytest.mark.slow
async def test_the_whole_story_is_as_told(tmp_path: Path) -> None:
    ran = await run(tmp_path, "shop-sandbox", "story", environ={"DEMO_LANG": "both"}, within_s=STORY_S)
    assert ran.code == 0, ran.out + ran.err
    assert "✗" not in ran.out and "0 failed" in ran.out
    titles = re.findall(r"^([一二三四五六七八九十]+)、\S+  (\d+)\. \S", ran.out, re.MULTILINE)
    numbers = ["一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二", "十三"]
    assert titles == [(zh, str(n)) for n, zh in enumerate(numbers, 1)]
    assert len(titles) == len(play.CHAPTERS)
    assert ran.out.count("; 0 differences") == 2, "Alipay's bill and WeChat's"
    assert ", 0 findings" in ran.out and ", 0 broken" in ran.out
    assert os.listdir(tmp_path) == []


async def test_a_language_nobody_tells_it_in_is_refused(tmp_path: Path) -> None:
    ran = await run(tmp_path, "shop-sandbox", "story", environ={"DEMO_LANG": "fr"})
    assert ran.code == 2
    assert "DEMO_LANG" in ran.err


def test_a_step_that_does_something_else_is_told_and_counted() -> None:
    out = io.StringIO()
    tell = Narrator("en", out)
    with pytest.raises(StepFailed), tell.step("付款", "It is paid"):
        expect(1, 2, "status")
    with tell.step("没事", "All is well") as step:
        step.result("看见", "seen")
    assert (tell.steps, tell.failures) == (2, 1)
    assert out.getvalue().splitlines() == [
        "  ✗ It is paid",
        "      UnexpectedResult: status: 1, expected 2",
        "  ✓ All is well",
        "      seen",
    ]


async def test_a_terminal_that_cannot_show_chinese_still_gets_its_greeting(tmp_path: Path) -> None:
    environ = {**demo_environ(tmp_path), "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    async with Started(tmp_path, "shop-sandbox", "demo", environ=environ) as demo:
        assert "The Shop is running" in await demo.says("order.OrderService/CreateOrder")
        assert await demo.stop() == 0


class QuietStage:
    """A Shop that starts and stops, without being there."""

    def __init__(self, folder: Path) -> None:
        self.rest = self.grpc = self.sandbox = "nowhere"

    async def start(self) -> None:
        """At once."""

    async def stop(self) -> int:
        """Well."""
        return 0


class QuietCast:
    """Nobody acts."""

    def __init__(self, stage: QuietStage) -> None:
        self.stage = stage

    async def __aenter__(self) -> QuietCast:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(("found", "code"), [(1, 1), (2, 0)])
async def test_one_step_that_is_not_as_told_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: int, code: int
) -> None:
    async def chapter(tell: Narrator, cast: QuietCast) -> None:
        with tell.step("付款", "It is paid"):
            expect(found, 2, "status")

    monkeypatch.setattr(play, "Stage", QuietStage)
    monkeypatch.setattr(play, "Cast", QuietCast)
    monkeypatch.setattr(play, "CHAPTERS", (chapter,))
    assert await play.play("en") == code
    assert f"1 steps, {code} failed" in capsys.readouterr().out


def test_expect_raises_what_a_step_tells() -> None:
    expect([1], [1], "the same")
    with pytest.raises(UnexpectedResult, match="what: 1, expected 2"):
        expect(1, 2, "what")
