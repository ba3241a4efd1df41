"""The texts that the pages of both providers share, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shop_sandbox.providers import Words

TEXTS: Mapping[str, Words] = {
    "go_back": (
        "请用浏览器的“后退”返回商家，或点击上方的链接。",
        "Use your browser’s Back button to return to the shop, or follow a link above.",
    ),
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
    "forge_amount": (
        ("伪造金额通知", "Forge the amount"),
        ("签名正确，金额错误", "valid signature, wrong amount"),
    ),
    "forge_sign": (("伪造签名通知", "Forge the signature"), ("签名错误", "invalid signature")),
}

KINDS: Mapping[str, Words] = {
    "paid": ("付款", "paid"),
    "refund": ("退款", "refund"),
    "closed": ("关闭", "closed"),
    "forged": ("伪造", "forged"),
    "probe": ("探测", "probe"),
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
