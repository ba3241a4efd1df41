"""The texts of the simulator's pages, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shop_sandbox.providers import Words

TEXTS: Mapping[str, Words] = {
    "title": ("支付宝收银台（模拟）", "Alipay cashier (simulated)"),
    "list": ("支付宝模拟器：交易", "Alipay simulator: trades"),
    "none": (
        "还没有交易。先在订单服务下单，打开响应中的 pay_url（收银台），选择支付宝并点击“立即支付”，"
        "交易就会出现在这里。",
        "There are no trades yet. Place an order with the order service, open the pay_url in the answer (the "
        "cashier), choose Alipay and press “Pay now”: the trade then appears here.",
    ),
    "refused": ("支付宝拒绝了请求", "Alipay refused the request"),
    "go_back": (
        "请用浏览器的“后退”返回商家，或点击上方的链接。",
        "Use your browser’s Back button to return to the shop, or follow a link above.",
    ),
    "back": ("返回商家", "Back to the shop"),
    "quit": ("退出支付", "Quit without paying"),
    "actions": ("操作", "Actions"),
    "notices": ("通知", "Notices"),
    "no_notice": ("尚未发送。", "None sent yet."),
    "waiting": ("买家正在等待，稍后逾期付款", "The buyer is waiting to pay late"),
    "waits": (
        "{time} 之后，或商家关闭这笔交易之后，买家会付款，商家随即收到通知。",
        "After {time}, or once the shop has closed this trade, the buyer pays, and the shop is notified.",
    ),
    "advance_clock": (
        "不想等待？拨快订单服务的测试时钟，订单随即超时取消（ADMIN 是 make run 打印的令牌）：",
        "To skip the wait, advance the order service's test clock: the order times out (ADMIN is the token "
        "that make run prints):",
    ),
    "refresh": ("刷新付款状态", "Refresh the payment status"),
}

# The label of each button and its hint.
ACTIONS: Mapping[str, tuple[Words, Words]] = {
    "pay": (("确认付款", "Pay"), ("在时限之内", "before the time limit")),
    "pay_late": (
        ("超时后付款", "Pay late"),
        ("已超时，款项照样到账", "after the time limit; the money still moves"),
    ),
    "wait_late": (
        ("超时后付款", "Pay late"),
        ("等到超时之后再付款", "wait for the time limit, then pay"),
    ),
    "pay_twice": (
        ("重复付款", "Pay twice"),
        (
            "同一订单的另一笔也付款；没有另一笔时，重复发送通知",
            "also pay the order's other attempt; if there is none, send the notice twice",
        ),
    ),
    "notify_again": (
        ("再次发送通知", "Send the notice again"),
        ("notify_id 不变", "with the same notify_id"),
    ),
    "forge_amount": (
        ("伪造金额通知", "Forge the amount"),
        ("签名正确，金额错误", "valid signature, wrong amount"),
    ),
    "forge_sign": (("伪造签名通知", "Forge the signature"), ("签名错误", "invalid signature")),
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

KINDS: Mapping[str, Words] = {
    "paid": ("付款", "paid"),
    "refund": ("退款", "refund"),
    "closed": ("关闭", "closed"),
    "forged": ("伪造", "forged"),
    "": ("其他", "other"),
}

COLUMNS: Sequence[Words] = (
    ("时间", "Sent"),
    ("类型", "Kind"),
    ("次数", "No."),
    ("HTTP", "HTTP"),
    ("答复", "Answer"),
    ("下次", "Next"),
)
LISTED: Sequence[Words] = (("交易", "Trade"), ("金额", "Amount"), ("状态", "State"))

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
