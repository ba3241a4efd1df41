"""What reaches WeChat from a buyer's device: calls of the bridge and of apps, H5 links, scanned codes."""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from shop_sandbox.payments import rsa_signing
from shop_sandbox.wechat.errors import Refused, param_error, sign_error
from shop_sandbox.wechat.keys import MCH_ID, Keys
from shop_sandbox.wechat.signing import pay_text
from shop_sandbox.wechat.trades import H5_MS, PREPAY_MS, Trade, Trades

BRIDGE_FIELDS = ("appId", "timeStamp", "nonceStr", "package", "signType", "paySign")
APP_FIELDS = ("appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign")


class Buyers:
    """Checks what a buyer's device sends, as the real clients and servers do. All raise Refused."""

    def __init__(self, trades: Trades, keys: Keys, clock_ms: Callable[[], int]) -> None:
        self._trades = trades
        self._keys = keys
        self._clock_ms = clock_ms

    async def bridge_call(self, call: Mapping[str, Any]) -> Trade:
        """The trade of a getBrandWCPayRequest, or of a mini program's requestPayment."""
        found = _texts(call, BRIDGE_FIELDS)
        if found["signType"] != "RSA":
            raise param_error("/signType", "须为 RSA", found["signType"])
        name, _, prepay_id = found["package"].partition("=")
        if name != "prepay_id":
            raise param_error("/package", "须为 prepay_id=…", found["package"])
        text = pay_text(found["appId"], found["timeStamp"], found["nonceStr"], found["package"])
        return await self._trade(text, found["paySign"], prepay_id, found["appId"], "jsapi")

    async def app_call(self, call: Mapping[str, Any]) -> Trade:
        """The trade of an app's call."""
        found = _texts(call, APP_FIELDS)
        if found["partnerid"] != MCH_ID:
            raise param_error("/partnerid", "商户号不存在", found["partnerid"])
        if found["package"] != "Sign=WXPay":
            raise param_error("/package", "须为 Sign=WXPay", found["package"])
        text = pay_text(found["appid"], found["timestamp"], found["noncestr"], found["prepayid"])
        return await self._trade(text, found["sign"], found["prepayid"], found["appid"], "app")

    async def h5_link(self, query: Mapping[str, str], referer: str) -> tuple[Trade, str]:
        """The trade of an H5 link, and where to return to, or ""; the Referer must be the merchant's."""
        trade = await self._trades.trade(prepay_id=query.get("prepay_id", ""))
        if trade.kind != "h5" or query.get("package") != trade.prepay_id[-10:]:
            raise param_error("/prepay_id", "与 package 不匹配", location="query")
        if not referer:
            raise Refused(403, "REFERER_MISSING", "商家参数格式有误，请联系商家解决")
        redirect_url = query.get("redirect_url", "")
        own = _site(trade.notify_url)
        if _site(referer) != own or (redirect_url and _site(redirect_url) != own):
            raise Refused(403, "REFERER_OTHER", "商家存在未配置的参数，请联系商家解决")
        if trade.prepaid_ms + H5_MS <= self._clock_ms():
            raise Refused(403, "H5_EXPIRED", "支付请求已失效，请重新发起支付")
        return trade, redirect_url

    async def _trade(self, text: bytes, signature: str, prepay_id: str, app_id: str, kind: str) -> Trade:
        if not rsa_signing.verify(self._keys.merchant, text, signature):
            raise sign_error("支付验证签名失败")
        trade = await self._trades.trade(prepay_id=prepay_id)
        if (trade.app_id, trade.kind) != (app_id, kind):
            raise param_error("/appId", "与下单时的 AppID 或支付方式不一致", app_id)
        if trade.prepaid_ms + PREPAY_MS <= self._clock_ms():
            raise Refused(400, "INVALID_REQUEST", "prepay_id 已失效，请重新下单")
        return trade


def _texts(call: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    for name in names:
        if not isinstance(call.get(name), str) or not call[name]:
            raise param_error(f"/{name}", "缺少参数，或不是字符串")
    if extra := set(call) - set(names):
        raise param_error(f"/{min(extra)}", "是接口没有定义的字段")
    return {name: call[name] for name in names}


def _site(url: str) -> tuple[str, int | None]:
    """Host and port; all names of this machine are one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
        return "127.0.0.1" if local else host, parts.port
    except ValueError:
        return host, None
