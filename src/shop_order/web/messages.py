"""What callers read: texts in Chinese and English for every error, and the words of states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache

from shop_order.domain.errors import InvalidArgument, OrderServiceError
from shop_order.domain.order_log import action_of
from shop_order.domain.status import OrderStatus


class Language(StrEnum):
    """The languages we answer in; Chinese unless the caller prefers English."""

    ZH = "zh-CN"
    EN = "en"


# Code of the leaf -> Chinese, English; {names} are the error's details.
TEXTS: Mapping[str, tuple[str, str]] = {
    "INVALID_ARGUMENT": ("参数 {field} {reason}", "{field}: {reason}"),
    "EMPTY_ORDER": (
        "没有可下单的商品：未提供商品，或购物车中没有选中的商品",
        "nothing to order: no items, or no checked line",
    ),
    "KEY_REUSED": (
        "该幂等键已用于其他请求，请换用新的键",
        "this idempotency key was used with another request",
    ),
    "PAGE_TOO_DEEP": (
        "分页最多 10000 条，请改用 next_cursor",
        "pages end at 10000 rows; go on with next_cursor",
    ),
    "AMOUNT_INEXACT": (
        "金额不是整数分，请使用 amount_fen",
        "amount is not an exact number of fen; send amount_fen",
    ),
    "UNAUTHENTICATED": ("请先登录：需要有效的令牌", "a valid token is required"),
    "SIGNATURE_INVALID": ("签名无效或已过期", "the signature is not valid, or has expired"),
    "FORBIDDEN": ("没有权限执行此操作", "not allowed for this role"),
    "NOT_YOURSELF": ("user_id 不是当前用户", "user_id is not the caller"),
    "ORDER_NOT_FOUND": ("订单不存在", "no such order"),
    "PAYMENT_NOT_FOUND": ("该订单还没有支付记录", "this order has no payment yet"),
    "GOODS_NOT_FOUND": ("商品 {goods_ids} 不存在或已下架", "goods {goods_ids} do not exist or are off sale"),
    "CART_LINE_NOT_FOUND": ("购物车中没有该商品", "no such line in the cart"),
    "ADDRESS_NOT_FOUND": ("收货地址不存在", "no such address"),
    "ILLEGAL_TRANSITION": ("当前状态 {state} 不能变更为 {wanted}", "not possible: {state} to {wanted}"),
    "GOODS_UNAVAILABLE": (
        "商品 {goods_ids} 已删除或已下架，无法下单",
        "goods {goods_ids} can't be ordered: deleted or off sale",
    ),
    "OUT_OF_STOCK": ("商品 {goods_ids} 库存不足", "not enough stock of goods {goods_ids}"),
    "PRICE_CHANGED": (
        "价格已变化：原为 {expected_fen} 分，现为 {actual_fen} 分，其中运费 {freight_fen} 分",
        "the price changed: expected {expected_fen} fen, now {actual_fen} fen with {freight_fen} of freight",
    ),
    "QUOTE_UNKNOWN": ("报价不存在或已过期，请重新获取", "unknown or expired quote; ask for a new one"),
    "COUPON_UNKNOWN": ("优惠券 {coupon_id} 不可用", "coupon {coupon_id} can't be used"),
    "CHANNEL_UNAVAILABLE": (
        "支付方式 {channel} 暂不可用，请选择其他方式",
        "payment by {channel} is not available; choose another",
    ),
    "AMOUNT_NOT_PAYABLE": (
        "订单金额超出 {channel} 的单笔范围：{smallest_amount} 元至 {largest_amount} 元",
        "{channel} takes {smallest_amount} to {largest_amount} yuan in one payment; this order is outside",
    ),
    "TOO_MANY_UNPAID": (
        "未支付订单已达上限 {limit} 个，请先支付或取消",
        "pay or cancel first: {limit} unpaid orders are the limit",
    ),
    "USE_REFUND": ("已支付的订单不能取消，请申请退款", "a paid order can't be cancelled; request a refund"),
    "PAY_WINDOW_CLOSED": (
        "剩余支付时间不足，请重新下单",
        "too little time is left to pay; place a new order",
    ),
    "REFUND_OPEN": ("订单有进行中的退款", "a refund of this order is open"),
    "AMOUNT_MISMATCH": ("通知与支付记录不一致：{what}", "the notice does not agree with our payment: {what}"),
    "STATE_CHANGED": ("订单状态已变为 {state}，请刷新后重试", "the order is {state} now; look again"),
    "CART_CHANGED": (
        "结算期间购物车有变化，请确认后重试",
        "the cart changed during checkout; look at it and try again",
    ),
    "PLACING_GIVEN_UP": (
        "下单用时过长，已放弃，请重试",
        "placing the order took too long and was given up; try again",
    ),
    "TOO_MUCH_CONTENTION": ("同时修改过多，请重试", "too many changes at once; try again"),
    "RATE_LIMITED": ("请求过于频繁，请稍后再试", "too many requests; slow down"),
    "OVERLOADED": ("系统繁忙，请稍后再试", "overloaded; try again in a moment"),
    "BODY_TOO_LARGE": ("请求内容过大", "the message is too large"),
    "HEADERS_TOO_LARGE": ("请求头过大", "the headers are too large"),
    "UNSUPPORTED_MEDIA_TYPE": (
        "请求体必须是 UTF-8 编码的 application/json",
        "the body must be application/json in UTF-8",
    ),
    "DEPENDENCY_DOWN": ("依赖服务 {dependency} 暂不可用，请重试", "{dependency} is not available; try again"),
    "DEADLINE_EXCEEDED": (
        "处理超时，请用同一幂等键重试",
        "it took too long; ask again with the same idempotency key",
    ),
    "UNIMPLEMENTED": ("当前版本不支持此操作", "not available in this version"),
    "INTERNAL": ("服务器内部错误", "internal error"),
}

# The reasons of InvalidArgument in Chinese; what is not here is told in English.
_REASONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(english), chinese)
    for english, chinese in (
        (r"is required", "不能为空"),
        (r"is longer than (\d+) characters", r"不能超过 \1 个字符"),
        (r"is longer than (\d+) bytes", r"不能超过 \1 字节"),
        (r"are more than (\d+), or than (\d+) bytes", r"不能超过 \1 个，或合计 \2 字节"),
        (r"contains &", "不能含有 &"),
        (r"is unknown, or is not what the notice is written in", "未知，或与通知的实际编码不符"),
        (r"contains control characters", "含有控制字符"),
        (r"contains invisible or direction-changing characters", "含有不可见或改变文字方向的字符"),
        (r"is neither a mainland mobile number nor \+ and 6 to 15 digits", "不是有效的手机号"),
        (r"must be a positive id", "必须是正整数"),
        (r"must be positive", "必须大于 0"),
        (r"must not be negative", "不能为负数"),
        (r"must be between (\d+) and (\d+)", r"必须在 \1 到 \2 之间"),
        (r"more than (\d+) lines", r"不能超过 \1 种商品"),
        (r"more than (\d+) of one goods", r"同一商品不能超过 \1 件"),
        (r"the cart has (\d+) lines already", r"购物车已有 \1 种商品"),
        (r"the total is beyond what can be paid", "总金额超出可支付范围"),
        (r"is not a number of ours", "格式不正确"),
        (r"is not a known value", "不是可用的值"),
        (r"is none of (.+)", r"只能是 \1"),
        (r"is not a web address", "不是有效的网址"),
        (r"is no form", "不是有效的表单"),
        (r"has a key twice", "含有重复的字段"),
        (r"is not this message", "不是有效的消息"),
        (r"is not a day such as (\S+)", r"不是日期（例如 \1）"),
        (r"is before start", "早于 start"),
        (r"is more than (\d+) days before end", r"比 end 早 \1 天以上"),
        (r"(\S+) is still to come", r"\1 尚未到来"),
        (r"is after end_time", "晚于 end_time"),
        (r"is not a time with an offset, such as (\S+)", r"不是带时区的时间（例如 \1）"),
        (r"is outside the years 1970 to 9999", "超出可用的时间范围"),
        (r"is not from next_cursor of this list", "不是本列表返回的 next_cursor"),
        (r"differs from the metadata of the same name", "与同名元数据不一致"),
        (r"choose a channel", "请选择支付方式"),
        (r"is not on the list of allowed addresses", "不在允许的地址列表中"),
        (r"is sent twice, or has a comma in it", "重复发送，或含有逗号"),
        (r"starts or ends with blanks", "首尾不能有空格"),
        (r"page and page_size must be positive", "page 和 page_size 必须大于 0"),
        (r"goods_id or id must be positive", "goods_id 或 id 必须大于 0"),
        (r"names another line than goods_id", "与 goods_id 不是同一行"),
        (r"several parcels are not available yet; leave it empty", "暂不支持拆分发货，请留空"),
        (r"must be a whole number", "必须是整数"),
        (r"must be a text", "必须是字符串"),
        (r"must be true or false", "必须是 true 或 false"),
        (r"must be a list", "必须是数组"),
        (r"must be an object", "必须是对象"),
        (r"must be at least (\S+)", r"不能小于 \1"),
        (r"must be at most (\S+)", r"不能大于 \1"),
        (r"must be '(\w+)'", r"只能是 \1"),
        (r"has more than (\d+) entries", r"不能超过 \1 项"),
        (r"is not valid JSON", "不是有效的 JSON"),
        (r"is not valid HTTP", "不是有效的 HTTP"),
        (r"is not known here", "不是可用的字段"),
        (r"is given twice", "重复出现"),
        (r"has more than (\d+) parameters", r"不能超过 \1 个参数"),
        (r"is not valid", "无效"),
        (r"can't be read", "无法读取"),
        (r"is required, or (\S.*), but not both", r"与 \1 必须且只能填写一个"),
        (r"is a submit token of somebody else, or too old", "提交令牌已过期，或不属于当前用户"),
    )
)

_STATUS_WORDS: Mapping[OrderStatus, tuple[str, str]] = {
    OrderStatus.PENDING: ("待支付", "pending payment"),
    OrderStatus.PAID: ("已支付", "paid"),
    OrderStatus.SHIPPED: ("已发货", "shipped"),
    OrderStatus.COMPLETED: ("已完成", "completed"),
    OrderStatus.CANCELLED: ("已取消", "cancelled"),
}


def error_text(error: OrderServiceError, language: Language) -> str:
    """The message of a refusal in the caller's language."""
    english = language is Language.EN
    details: dict[str, str] = dict(error.details)
    if isinstance(error, InvalidArgument):
        reason = error.message.removeprefix(f"{details['field']}: ")
        details["reason"] = reason if english else _chinese_reason(reason)
    elif not english:
        for name in details.keys() & {"state", "wanted"}:
            if details[name] in OrderStatus.__members__:
                details[name] = _STATUS_WORDS[OrderStatus[details[name]]][0]
    return TEXTS[error.code][english].format_map(details)


def internal_text(language: Language) -> str:
    """What is said of an error that is ours."""
    return TEXTS["INTERNAL"][language is Language.EN]


def status_text(status: OrderStatus, language: Language) -> str:
    """The word for an order's state."""
    return _STATUS_WORDS[status][language is Language.EN]


def action_text(event_type: str) -> str:
    """The order log's word for an event (specification 6.4); what is not about the order keeps its type."""
    return action_of(event_type)


@lru_cache(maxsize=512)
def accepted_language(accept: str) -> Language:
    """The language an `Accept-Language` asks for; Chinese when it names neither."""
    best, best_quality = Language.ZH, 0.0
    for part in accept[:256].split(","):
        tag, _, parameter = part.strip().partition(";")
        known = {"zh": Language.ZH, "en": Language.EN}.get(tag.strip().lower().partition("-")[0])
        quality = _quality(parameter)
        if known and quality > best_quality:
            best, best_quality = known, quality
    return best


def _quality(parameter: str) -> float:
    match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", parameter)
    return float(match[1]) if match else (0.0 if parameter.strip() else 1.0)


def _chinese_reason(reason: str) -> str:
    for english, chinese in _REASONS:
        if match := english.fullmatch(reason):
            return match.expand(chinese)
    return reason
