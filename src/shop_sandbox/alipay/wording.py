"""What the simulator's pages say, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shop_sandbox.page import Words

TEXTS: Mapping[str, Words] = {
    "title": ("支付宝收银台（模拟）", "Alipay cashier (simulated)"),
    "list": ("支付宝模拟器：交易", "Alipay simulator: trades"),
    "none": (
        "还没有交易。先在订单服务下单，打开应答里的 pay_url（收银台），选择支付宝并点击“立即支付”，"
        "交易就会出现在这里。",
        "There are no trades yet. Place an order at the order service, open the pay_url of its answer (the "
        "cashier), choose Alipay and press “Pay now”: the trade then stands here.",
    ),
    "refused": ("支付宝没有接受", "Alipay did not accept this"),
    "go_on": (
        "用浏览器的后退回到商家，或从上方的链接继续。",
        "Go back to the shop with your browser, or on by the links above.",
    ),
    "back": ("返回商家", "Back to the shop"),
    "phone": ("手机网站支付（wap）", "For phones (wap)"),
    "quit": ("退出支付", "Quit without paying"),
    "actions": ("操作", "Actions"),
    "notices": ("通知", "Notices"),
    "no_notice": ("尚未发送。", "None was sent yet."),
    "waiting": ("买家在等，付款会迟到", "The buyer waits, to pay late"),
    "waits": (
        "{time} 之后，或者商家关闭这笔交易之后，买家就会付款，商家随即收到通知。",
        "After {time}, or once the shop has closed this trade, the buyer pays, and the shop is notified.",
    ),
    "sooner": (
        "不想等？把订单服务的测试时钟拨快，订单随即超时取消（ADMIN 是 make run 打印的令牌）：",
        "Sooner: advance the order service's test clock, and the order times out (ADMIN is the token that "
        "make run prints):",
    ),
    "look": ("看看付款了没有", "See whether it was paid"),
}

# The button's words, and what happens.
ACTIONS: Mapping[str, tuple[Words, Words]] = {
    "pay": (("确认付款", "Pay"), ("在时限之内", "in time")),
    "pay_late": (
        ("超时后付款", "Pay late"),
        ("时间已过，款项照样到账", "the time is over, the money still moves"),
    ),
    "wait_late": (
        ("超时后付款", "Pay late"),
        ("等到时间已过，再付款", "wait until the time is over, then pay"),
    ),
    "pay_twice": (
        ("重复付款", "Pay twice"),
        (
            "同一订单的另一笔也付；没有，则通知两次",
            "this order's other attempt too, or else the notice twice",
        ),
    ),
    "notify_again": (
        ("再次发送通知", "Send the notice again"),
        ("notify_id 不变", "with the same notify_id"),
    ),
    "forge_amount": (
        ("伪造金额通知", "Forge the amount"),
        ("签名正确，金额不对", "signed rightly, wrong amount"),
    ),
    "forge_sign": (("伪造签名通知", "Forge the signature"), ("签名不对", "signed wrongly")),
}

STATES: Mapping[str, Words] = {
    "": ("等待买家", "not begun"),
    "WAIT_BUYER_PAY": ("等待付款", "waiting"),
    "TRADE_SUCCESS": ("付款成功", "paid"),
    "TRADE_CLOSED": ("交易关闭", "closed"),
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

# The provider's codes that a button can meet; others are told in the provider's own words.
EXPLAINED: Mapping[str, Words] = {
    "ACQ.TRADE_HAS_SUCCESS": ("这笔交易已经付过款。", "This trade has been paid already."),
    "ACQ.TRADE_HAS_CLOSE": (
        "付款时间已过，或交易已经关闭。",
        "The time to pay is over, or the trade was closed.",
    ),
    "ACQ.TRADE_NOT_EXIST": (
        "没有这笔交易，或者买家还没有付款，没有可以发送的通知。",
        "There is no such trade, or nobody has paid it yet: there is no notice to send.",
    ),
}
