"""The simulated payment providers; each is a package beside this file and one row of `PROVIDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from starlette.routing import Route

    from shop_sandbox.alipay.provider import AlipayProvider
    from shop_sandbox.settings import SandboxSettings
    from shop_sandbox.wechat.provider import WechatProvider

Words = tuple[str, str]  # Chinese, English


class RunningProvider(Protocol):
    """A provider that serves."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Open its database and send its notices, until the block ends."""

    def routes(self) -> Sequence[Route]:
        """Its gateway, and the pages for the buyer and the operator."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider: the code of its channel, the paths of its gateway and its page, and texts for the links.

    `open` starts nothing yet. `pages` are the channel's other settings that are URLs here, with their paths.
    """

    code: str
    gateway: str
    page: str
    name: Words
    about: Words
    programs: Sequence[tuple[str, Words]]
    open: Callable[[SandboxSettings, Callable[[], int]], RunningProvider]
    pages: Mapping[str, str] = field(default_factory=dict)


def _alipay(settings: SandboxSettings, clock_ms: Callable[[], int]) -> AlipayProvider:
    from shop_sandbox.alipay.provider import AlipayProvider

    return AlipayProvider(settings, clock_ms)


def _wechat(settings: SandboxSettings, clock_ms: Callable[[], int]) -> WechatProvider:
    from shop_sandbox.wechat.provider import WechatProvider

    return WechatProvider(settings, clock_ms)


PROVIDERS = (
    Provider(
        "alipay",
        gateway="/alipay/gateway.do",
        page="/alipay/sim",
        name=("支付宝模拟器", "Alipay simulator"),
        about=(
            "支付宝模拟器：交易，以及买家和支付机构的操作",
            "the Alipay simulator: trades, and the actions of buyer and provider",
        ),
        programs=(
            ("GET /alipay/sim", ("交易列表，JSON", "the trades as JSON")),
            ("POST /alipay/sim/{out_trade_no}/{action}", ("模拟器的操作", "an action of the simulator")),
        ),
        open=_alipay,
    ),
    Provider(
        "wechat",
        gateway="/wechat",
        page="/wechat/sim",
        name=("微信支付模拟器", "WeChat Pay simulator"),
        about=(
            "微信支付模拟器：扫码、H5、JSAPI 与小程序的付款，以及支付机构的操作",
            "the WeChat Pay simulator: pay by QR code, H5, JSAPI or mini program, and the provider's actions",
        ),
        programs=(
            ("GET /wechat/sim", ("交易列表，JSON", "the trades as JSON")),
            ("POST /wechat/sim/{out_trade_no}/{action}", ("模拟器的操作", "an action of the simulator")),
            ("POST /wechat/sim/faults", ("为下一次调用安排故障", "plant a fault for the next call")),
            ("GET /wechat/sim/bills/{day}", ("账单；POST 可改动", "a bill; POST alters it")),
            ("POST /wechat/sim/platform", ("平台证书与公钥", "platform certificates and the public key")),
        ),
        open=_wechat,
        pages={"openid_url": "/wechat/openid"},
    ),
)


def gateway_settings(base_url: str) -> dict[str, str]:
    """The order service's settings that point its channels to the sandbox at this URL, without a prefix."""
    return {
        f"PAY__{one.code}__{name}".upper(): base_url + path
        for one in PROVIDERS
        for name, path in {"gateway": one.gateway, **one.pages}.items()
    }
