"""A sandbox on free ports with a clock the test may move."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from shop_sandbox.alipay.keys import ensure_keys
from shop_sandbox.server import Sandbox
from shop_sandbox.settings import SandboxSettings
from shop_sandbox.wechat.keys import ensure_keys as ensure_wechat_keys
from tests.component.sandbox.partners import Merchant, merchant_of
from tests.component.sandbox.wechat_merchant import WechatMerchant, wechat_merchant_of


class Clock:
    """Real time plus what the test added."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One set of keys for the run: making them costs more than a test."""
    folder = tmp_path_factory.mktemp("keys")
    ensure_keys(folder)
    ensure_wechat_keys(folder)
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path, keys_dir: Path) -> SandboxSettings:
    return SandboxSettings(
        grpc_port=0,
        http_port=0,
        data_dir=tmp_path / "sandbox",
        keys_dir=keys_dir,
        order="127.0.0.1:1",
        notice_scale=1 / 12_000,  # 4 minutes are 20 ms
        check_interval_s=0.05,
        refund_s=0.02,
    )


@pytest.fixture
async def sandbox(settings: SandboxSettings, clock: Clock) -> AsyncIterator[Sandbox]:
    async with Sandbox(settings, order_token=lambda: "desk-token", clock_ms=clock) as running:
        yield running


@pytest.fixture
async def channel(sandbox: Sandbox) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{sandbox.grpc_port}") as opened:
        yield opened


@pytest.fixture
async def merchant(sandbox: Sandbox) -> AsyncIterator[Merchant]:
    async with merchant_of(sandbox) as opened:
        yield opened


@pytest.fixture
async def wechat(sandbox: Sandbox) -> AsyncIterator[WechatMerchant]:
    async with wechat_merchant_of(sandbox) as opened:
        yield opened
