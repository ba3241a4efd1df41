"""The texts of WeChat Pay's pages, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping

from shop_sandbox.payments import wording
from shop_sandbox.providers import Words

TEXTS: Mapping[str, Words] = {
    **wording.TEXTS,
    "title": ("微信支付（模拟）", "WeChat Pay (simulated)"),
    "list": ("微信支付模拟器：交易", "WeChat Pay simulator: trades"),
    "none": (
        "还没有交易。先在订单服务下单，打开响应中的 pay_url（收银台），选择微信支付，交易就会出现在这里。",
        "There are no trades yet. Place an order with the order service, open the pay_url in the answer (the "
        "cashier) and choose WeChat Pay: the trade then appears here.",
    ),
    "refused": ("微信支付拒绝了请求", "WeChat Pay refused the request"),
    "back": ("返回商家", "Back to the shop"),
    "scan": ("扫一扫：粘贴二维码的内容", "Scan: paste what the QR code says"),
    "scan_button": ("扫码", "Scan"),
    "browser": ("微信内置浏览器（模拟）", "WeChat’s own browser (simulated)"),
    "browser_note": (
        "粘贴收银台的链接（响应中的 pay_url），在模拟的微信里打开：页面能使用 WeixinJSBridge。",
        "Paste the link of a cashier (the pay_url of an answer) to open it in a simulated WeChat: there the "
        "page has WeixinJSBridge, as on a phone.",
    ),
    "open": ("打开", "Open"),
    "confirm": ("付款", "Pay"),
    "shipping": ("小程序发货信息", "Mini-program shipping"),
    "frozen": (
        "尚未上传发货信息：款项冻结，商家暂时拿不到。",
        "No shipping was uploaded yet: the money is frozen, and the shop can’t have it.",
    ),
}

ACTIONS: Mapping[str, tuple[Words, Words]] = {
    **wording.ACTIONS,
    "start_paying": (
        ("开始输入密码", "Start paying"),
        ("USERPAYING：商家此时无法关单", "USERPAYING: the shop can’t close it now"),
    ),
    "fail_paying": (("付款失败", "Fail to pay"), ("PAYERROR，可以再付", "PAYERROR; may be paid again")),
    "notify_again": (("再次发送通知", "Send the notice again"), ("id 不变", "with the same id")),
    "old_notice": (
        ("迟到的付款通知", "A payment notice, late"),
        ("新的 id，乱序到达", "with a new id, out of order"),
    ),
    "probe": (
        ("签名探测", "Probe with a wrong signature"),
        ("WECHATPAY/SIGNTEST/", "WECHATPAY/SIGNTEST/"),
    ),
    "refund_stay": (
        ("下一笔退款停在处理中", "The next refund stays PROCESSING"),
        ("直到在此结束", "until it is ended here"),
    ),
    "refund_closed": (
        ("下一笔退款被关闭", "The next refund ends CLOSED"),
        ("商家须换新单号", "the shop needs a new number"),
    ),
    "refund_abnormal": (
        ("下一笔退款异常", "The next refund ends ABNORMAL"),
        ("款项到不了用户", "the money can’t reach the buyer"),
    ),
    "refund_lost": (
        ("下一笔退款的应答丢失", "The next refund’s answer is lost"),
        ("款项照样退回", "the money still goes back"),
    ),
    "end_refund_success": (("退款成功", "End the refund: SUCCESS"), ("处理中的那笔", "the one that is open")),
    "end_refund_closed": (("退款关闭", "End the refund: CLOSED"), ("处理中的那笔", "the one that is open")),
    "end_refund_abnormal": (
        ("退款异常", "End the refund: ABNORMAL"),
        ("处理中的那笔", "the one that is open"),
    ),
    "refund_notice": (("再次发送退款通知", "Send the refund’s notice again"), ("新的 id", "with a new id")),
}

KINDS: Mapping[str, Words] = {
    "native": ("扫码支付（Native）", "By QR code (Native)"),
    "jsapi": ("公众号或小程序支付（JSAPI）", "In WeChat or a mini program (JSAPI)"),
    "h5": ("手机网页支付（H5）", "On a phone’s browser (H5)"),
    "app": ("App 支付", "From the shop’s app"),
}

STATES: Mapping[str, Words] = {
    "NOTPAY": ("等待付款", "waiting"),
    "USERPAYING": ("正在付款", "paying"),
    "PAYERROR": ("付款失败", "failed"),
    "SUCCESS": ("付款成功", "paid"),
    "REFUND": ("转入退款", "paid, with refunds"),
    "CLOSED": ("已关闭", "closed"),
}

FIELDS: Mapping[str, Words] = {
    "subject": ("商品", "Subject"),
    "out_trade_no": ("商户单号", "out_trade_no"),
    "kind": ("方式", "Way"),
    "expires": ("截止（北京时间）", "Expires (GMT+8)"),
    "code_url": ("二维码内容", "QR code"),
    "trade_no": ("交易单号", "transaction_id"),
    "paid": ("付款时间", "Paid at"),
    "refund": ("退款", "Refund"),
}

# The codes that a button or a link can cause; others are shown with the provider's own text.
EXPLAINED: Mapping[str, Words] = {
    "ORDERPAID": ("这笔交易已经付款。", "This trade has already been paid."),
    "ORDER_CLOSED": ("付款已超时，或交易已关闭。", "The time limit has passed, or the trade was closed."),
    "ORDER_NOT_EXIST": (
        "没有这笔交易，或者买家尚未付款，没有通知可以发送。",
        "There is no such trade, or it has not been paid yet: there is no notice to send.",
    ),
    "RESOURCE_NOT_EXISTS": ("没有这样的退款。", "There is no such refund."),
    "REFERER_MISSING": (
        "商家参数格式有误，请联系商家解决：请求没有带上 Referer。",
        "The shop’s page sent no Referer: it must not forbid it (Referrer-Policy: origin).",
    ),
    "REFERER_OTHER": (
        "商家存在未配置的参数，请联系商家解决：Referer 或 redirect_url 不是商家的域名。",
        "The Referer or the redirect_url is not of the shop’s domain.",
    ),
    "H5_EXPIRED": (
        "支付请求已失效，请重新发起支付：链接只在 5 分钟内有效。",
        "The link has expired: it lives for five minutes.",
    ),
}
