"""The texts of the cashier, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from shop_order.service.checkout import Stage
from shop_order.web.messages import Language

WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("收银台", "Checkout"),
    "amount": ("应付金额", "Amount due"),
    "total": ("订单金额", "Order total"),
    "freight": ("含运费", "Including freight"),
    "order": ("订单编号", "Order number"),
    "items": ("商品", "Items"),
    "others": ("其余 {n} 种商品", "{n} more"),
    "left": ("剩余支付时间", "Time left to pay"),
    "choose": ("选择支付方式", "Choose a payment method"),
    "pay": ("立即支付", "Pay now"),
    "too_late": (
        "剩余时间不足，已无法发起支付，请重新下单。",
        "Too little time is left to start paying. Please place a new order.",
    ),
    "soon": ("暂未开通", "Not available yet"),
    "bounds": ("单笔支付范围", "Limits per payment"),
    "alipay": ("支付宝", "Alipay"),
    "wechat": ("微信支付", "WeChat Pay"),
    "balance": ("余额支付", "Balance"),
    "safe": ("您将在支付机构的页面付款，本店不会获取您的支付密码", "You pay on the provider's own page"),
    "confirming": ("正在确认付款", "Confirming your payment"),
    "confirming_text": (
        "正在向支付机构核实，结果出来后本页会自动更新，请勿重复付款。",
        "We are checking with the provider. This page updates automatically; please don't pay twice.",
    ),
    "unpaid_text": (
        "支付机构尚未收到付款。若您已付款，请稍候，本页会自动更新；若还没有，可以继续支付。",
        "The provider has not received a payment yet. If you have paid, please wait: this page updates "
        "automatically. If not, you can continue.",
    ),
    "scan": ("请用手机扫码付款", "Scan this code to pay"),
    "again": ("还没有付款？继续支付或更换支付方式", "Not paid yet? Continue, or choose another method"),
    "over": ("支付时间已结束", "Payment time is over"),
    "over_text": (
        "若您已付款，我们正在核实，订单将生效或款项将自动原路退回；若未付款，订单即将取消。",
        "If you have paid, we are checking: either your order is confirmed, or you are refunded "
        "automatically. If not, the order will be cancelled.",
    ),
    "paid": ("支付成功", "Paid"),
    "paid_text": (
        "我们已收到您的付款，正在为您备货。",
        "We have received your payment and are preparing your parcel.",
    ),
    "shipped": ("已发货", "Shipped"),
    "shipped_text": ("包裹已在路上。", "Your parcel is on its way."),
    "completed": ("已完成", "Completed"),
    "completed_text": ("感谢您的购买。", "Thank you for your purchase."),
    "cancelled": ("订单已取消", "Cancelled"),
    "cancelled_text": (
        "此订单无法再支付；若您已付款，款项会自动原路退回。",
        "This order can no longer be paid. If you have paid, you are refunded automatically.",
    ),
    "refunding": ("正在退款", "Refund in progress"),
    "refunding_text": (
        "您的付款正在原路退回，到账后本页会自动更新。",
        "Your payment is being refunded to the original method. This page updates automatically.",
    ),
    "refunded": ("已退款", "Refunded"),
    "refunded_text": ("您的付款已原路退回。", "Your payment was refunded to the original method."),
    "going_back": ("正在退回", "Being refunded"),
    "went_back": ("已退回", "Refunded"),
    "to_shop": ("返回商店", "Back to the shop"),
    "no_answer": (
        "请求超时，请稍后再试。",
        "The request timed out. Please try again in a moment.",
    ),
    "refused": ("无法继续", "Something went wrong"),
    "back": ("返回收银台", "Back to checkout"),
    "minutes": ("分", "min"),
    "seconds": ("秒", "s"),
}
# Texts for errors whose own messages are for developers.
REFUSALS: Mapping[str, str] = {
    "DEADLINE_EXCEEDED": "no_answer",
    "DEPENDENCY_DOWN": "no_answer",
    "TOO_MUCH_CONTENTION": "no_answer",
}
MARKS: Mapping[Stage, tuple[str, str]] = {
    Stage.CONFIRMING: ("wait", "…"),
    Stage.OVER: ("bad", "!"),
    Stage.PAID: ("good", "✓"),
    Stage.SHIPPED: ("good", "✓"),
    Stage.COMPLETED: ("good", "✓"),
    Stage.CANCELLED: ("bad", "×"),
    Stage.REFUNDING: ("wait", "↩"),
    Stage.REFUNDED: ("good", "↩"),
}


class Phrases:
    """Looks up texts in one language, escaped for HTML."""

    def __init__(self, language: Language) -> None:
        self._index = int(language is Language.EN)

    def __call__(self, word: str, **values: object) -> str:
        return escape(WORDS[word][self._index].format_map(values))
