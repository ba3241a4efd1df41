"""Bodies and responses of refunds."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from shop_order.domain.entity.refund import Refund
from shop_order.domain.status import RefundState, RefundType
from shop_order.domain.valueobject.item import MAX_LINES
from shop_order.pkg.ids import is_refund_sn
from shop_order.web.dto.fields import (
    EXAMPLE_SN,
    Body,
    FieldRefused,
    ResponseData,
    argument,
    attribute,
    computed,
    fen,
    id_text,
    timestamp,
    yuan,
)
from shop_order.web.dto.requests import OrderLine
from shop_order.web.messages import Language, refund_state_text

MAX_FEN = 2**53  # what JavaScript's numbers hold exactly
STATES = [state.value for state in RefundState]
TYPES = [type.value for type in RefundType]


def _refund_sn(value: str) -> str:
    if not is_refund_sn(value):
        raise FieldRefused("not_a_refund_sn")
    return value


def _state(value: str) -> RefundState:
    if value not in STATES:
        raise FieldRefused("not_one_of", allowed=",".join(STATES))
    return RefundState(value)


def _type(value: str) -> RefundType:
    if value not in TYPES:
        raise FieldRefused("not_one_of", allowed=",".join(TYPES))
    return RefundType(value)


RefundSn = Annotated[
    str,
    AfterValidator(_refund_sn),
    WithJsonSchema(
        {"type": "string", "pattern": "^R[0-9]{27}$", "format": "refund-sn", "examples": ["R" + EXAMPLE_SN]}
    ),
]
State = Annotated[str, AfterValidator(_state), WithJsonSchema({"type": "string", "enum": STATES})]
Type = Annotated[str, AfterValidator(_type), WithJsonSchema({"type": "string", "enum": TYPES})]


# ---- requests ----


class RequestRefundBody(Body):
    """What to refund: pieces of some goods, an amount, or without both everything that is left."""

    type: Type = Field(
        RefundType.REFUND_ONLY.value,
        description="refund_only 仅退款；return 退货退款，先寄回商品 / return: the goods come back first",
        examples=["refund_only"],
    )
    items: list[OrderLine] | None = Field(
        None,
        min_length=1,
        max_length=MAX_LINES,
        description="退款的商品；不填才是按金额或全部 / "
        "The goods to refund; left out, not empty, for an amount or all that is left",
    )
    amount_fen: int = Field(
        0,
        ge=0,
        le=MAX_FEN,
        description="退款金额（分）；0 为所列商品应退的金额 / 0: the share of the items",
        examples=[500],
    )
    reason: str = Field("", max_length=255, description="原因 / Reason", examples=["不想要了"])

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"reason": "不想要了"},
                {"type": "return", "items": [{"goods_id": "101", "nums": 1}], "reason": "尺寸不合适"},
                {"amount_fen": 500, "reason": "包装破损"},
            ]
        }
    )


class ReturnParcelBody(Body):
    """The parcel that brings the goods back."""

    logistics_company: str = Field(max_length=50, description="快递公司 / Carrier", examples=["中通快递"])
    logistics_no: str = Field(
        max_length=64, description="运单号 / Tracking number", examples=["ZT1234567890"]
    )

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"logistics_company": "中通快递", "logistics_no": "ZT1234567890"}]}
    )


class ApproveRefundBody(Body):
    """An approval; `freight_fen` of the freight is refunded too."""

    freight_fen: int = Field(
        0, ge=0, le=MAX_FEN, description="另退的运费（分）/ Freight to refund", examples=[800]
    )
    reason: str = Field("", max_length=255, description="说明 / Reason", examples=["同意"])

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"freight_fen": 800, "reason": "同意"}]})


class RefundReasonBody(Body):
    """Why a refund is rejected, or how the buyer was paid."""

    reason: str = Field(max_length=255, description="原因，必填 / Reason", examples=["商品已使用"])

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "商品已使用"}]})


# ---- responses ----


class RefundLineData(ResponseData):
    """Pieces of one product, and their part of what the goods cost."""

    goods_id: str = id_text("101", source="goods")
    nums: int = attribute(example=1)
    share_amount: str = yuan("应退")
    share_fen: int = fen("应退")


def _state_text(refund: Refund, language: Language) -> str:
    return refund_state_text(refund.state, language)


class RefundData(ResponseData):
    """A refund."""

    refund_sn: str = attribute(example="R" + EXAMPLE_SN)
    order_sn: str = attribute(example=EXAMPLE_SN)
    payment_sn: str = attribute(example="P" + EXAMPLE_SN)
    user_id: str = id_text("7", source="user")
    type: str = attribute(
        "refund_only 仅退款 return 退货退款 / with or without a return", source="type.value"
    )
    state: str = attribute(
        "requested, withdrawn, rejected, approved, awaiting_return, returned, sent, unknown, succeeded, "
        "failed, settled",
        "requested",
        source="state.value",
    )
    state_text: str = computed(_state_text, example="待审核")
    amount: str = yuan("退款金额")
    amount_fen: int = fen("退款金额")
    freight_amount: str = yuan("其中运费", "0.00")
    freight_fen: int = fen("其中运费", 0)
    items: list[RefundLineData] = attribute(
        "空为仅按金额退款 / Empty: a refund of an amount only", source="lines"
    )
    reason: str | None = attribute("申请原因 / The reason given", "不想要了")
    requested_by: str = attribute("BUYER 买家 ADMIN 管理员 SYSTEM 多付款项 / Who asked for it", "BUYER")
    approvals: int = attribute("已批准人数 / How many admins approved it", 0)
    decision: str | None = attribute("处理说明 / The reason of the last decision", "同意")
    parcel_company: str | None = attribute("退货快递公司 / Carrier of the returned goods", "中通快递")
    parcel_no: str | None = attribute("退货运单号 / Its tracking number", "ZT1234567890")
    failure: str | None = attribute(
        "失败原因 / Why it failed: REFUSED, CLOSED, ABNORMAL, REFUND_TOO_LATE", "REFUSED"
    )
    out_refund_no: str = attribute("支付机构处的退款单号 / The number at the provider", "R" + EXAMPLE_SN)
    created_at: str = timestamp("申请时间 / Requested")
    finished_at: str | None = timestamp("结束时间 / Ended")


class RefundListData(ResponseData):
    """A page of refunds, newest first."""

    items: list[RefundData] = attribute(source="refunds")
    page_size: int = argument(example=20)
    next_cursor: str | None = argument("下一页的游标 / Cursor of the next page")
