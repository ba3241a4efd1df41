"""The texts of the simulator's pages, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping

from shop_sandbox.payments import wording
from shop_sandbox.providers import Words

TEXTS: Mapping[str, Words] = {
    **wording.TEXTS,
    "title": ("支付宝收银台（模拟）", "Alipay cashier (simulated)"),
    "list": ("支付宝模拟器：交易", "Alipay simulator: trades"),
    "none": (
        "还没有交易。先在订单服务下单，打开响应中的 pay_url（收银台），选择支付宝并点击“立即支付”，"
        "交易就会出现在这里。",
        "There are no trades yet. Place an order with the order service, open the pay_url in the answer (the "
        "cashier), choose Alipay and press “Pay now”: the trade then appears here.",
    ),
    "refused": ("支付宝拒绝了请求", "Alipay refused the request"),
    "back": ("返回商家", "Back to the shop"),
    "quit": ("退出支付", "Quit without paying"),
}

# The label of each button and its hint.
ACTIONS: Mapping[str, tuple[Words, Words]] = {
    **wording.ACTIONS,
    "notify_again": (
        ("再次发送通知", "Send the notice again"),
        ("notify_id 不变", "with the same notify_id"),
    ),
}

# How the buyer came to the page.
METHODS: Mapping[str, Words] = {
    "alipay.trade.wap.pay": ("手机网站支付（wap）", "For phones (wap)"),
    "alipay.trade.precreate": ("扫码支付（当面付）", "By QR code"),
    "alipay.trade.app.pay": ("App 支付", "From the shop’s app"),
}

STATES: Mapping[str, Words] = {
    "": ("等待买家", "not started"),
    "WAIT_BUYER_PAY": ("等待付款", "waiting"),
    "TRADE_SUCCESS": ("付款成功", "paid"),
    "TRADE_CLOSED": ("交易关闭", "closed"),
    "TRADE_FINISHED": ("交易完结，不可退款", "finished, no refunds"),
}

FIELDS: Mapping[str, Words] = {
    "subject": ("商品", "Subject"),
    "out_trade_no": ("商户单号", "out_trade_no"),
    "expires": ("截止（北京时间）", "Expires (GMT+8)"),
    "trade_no": ("交易号", "trade_no"),
    "paid": ("付款时间", "Paid at"),
    "refund": ("退款", "Refund"),
}


# The provider's codes that a button can cause; others are shown with the provider's own text.
EXPLAINED: Mapping[str, Words] = {
    "ACQ.TRADE_HAS_SUCCESS": ("这笔交易已经付款。", "This trade has already been paid."),
    "ACQ.TRADE_HAS_CLOSE": (
        "付款已超时，或交易已关闭。",
        "The time limit has passed, or the trade was closed.",
    ),
    "ACQ.TRADE_NOT_EXIST": (
        "没有这笔交易，或者买家尚未付款，没有通知可以发送。",
        "There is no such trade, or it has not been paid yet: there is no notice to send.",
    ),
}
