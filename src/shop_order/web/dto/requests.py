"""Request bodies."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from shop_order.domain.valueobject.item import MAX_LINES, MAX_NUMS
from shop_order.pkg.clock import MAX_ADVANCE_S
from shop_order.service.pay import MAX_OPENID, MAX_TRADE_TYPE
from shop_order.web.dto.fields import AddressId, Body, GoodsId, PayType, Source, Status, UserId

Nums = Annotated[int, Field(ge=1, le=MAX_NUMS, description="件数 / Quantity", examples=[2])]


class Owned(Body):
    """A body with an optional user id."""

    user_id: UserId | None = Field(
        None, description="可省略；填写时必须是本人 / Optional; must be the caller"
    )


class AddCartItem(Owned):
    """Goods to add to the cart."""

    goods_id: GoodsId
    nums: Nums = 1
    checked: bool = Field(True, description="是否勾选 / Whether it is selected for checkout")

    model_config = ConfigDict(json_schema_extra={"examples": [{"goods_id": "101", "nums": 1}]})


class PatchCartItem(Body):
    """Changes of a line; absent fields are unchanged."""

    nums: Nums | None = None
    checked: bool | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"nums": 3}, {"checked": False}]})


class CheckCart(Body):
    """The check mark of one line, or of all lines without `goods_id`."""

    checked: bool
    goods_id: GoodsId | None = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"checked": True}, {"checked": False, "goods_id": "101"}]}
    )


class AddressBody(Body):
    """A delivery address."""

    name: str = Field(max_length=50, description="收货人 / Receiver", examples=["张三"])
    phone: str = Field(max_length=16, description="手机号 / Mobile number", examples=["13800138000"])
    detail: str = Field(max_length=255, description="详细地址 / Street address", examples=["文三路 100 号"])
    province: str = Field("", max_length=50, examples=["浙江省"])
    city: str = Field("", max_length=50, examples=["杭州市"])
    district: str = Field("", max_length=50, examples=["西湖区"])
    post: str = Field("", max_length=20, description="邮编 / Postcode", examples=["310012"])


class OrderLine(Body):
    """An item to order."""

    goods_id: GoodsId
    nums: Nums


_BUY_LISTED: JsonDict = {
    "items": [{"goods_id": "101", "nums": 1}, {"goods_id": "102", "nums": 2}],
    "address": {
        "name": "张三",
        "phone": "13800138000",
        "province": "浙江省",
        "city": "杭州市",
        "district": "西湖区",
        "detail": "文三路 100 号",
        "post": "310012",
    },
    "note": "请放门口",
}
_CHECK_OUT: JsonDict = {
    "from": "cart",
    "address": {"name": "张三", "phone": "13800138000", "detail": "文三路 100 号"},
}


class PlaceOrderBody(Owned):
    """Buy the checked lines of the cart (`"from": "cart"`), or these `items`."""

    from_: Source | None = Field(None, alias="from", description="从购物车下单 / Check out the cart")
    items: list[OrderLine] | None = Field(None, max_length=10 * MAX_LINES)
    address: AddressBody | None = None
    address_id: AddressId | None = Field(None, description="地址簿编号 / An entry of the address book")
    note: str = Field("", max_length=255, description="备注 / Note to the shop")
    pay_type: PayType | None = None
    expected_total_fen: int | None = Field(
        None,
        ge=0,
        le=2**53,
        description="预期应付金额（分，含运费）；不符则拒绝 / "
        "Expected pay_fen, including freight; refused if it differs",
    )
    coupon_id: str = Field("", max_length=64)
    quote_token: str = Field("", max_length=512)
    return_url: str = Field(
        "",
        max_length=512,
        description="付款后收银台链接到的页面，须在允许列表中 / "
        "The page the cashier links to after payment; must be on the allow-list",
    )
    cancel_url: str = Field(
        "",
        max_length=512,
        description="未付款或已取消时收银台链接到的页面 / "
        "The page the cashier links to if the order is unpaid or cancelled",
    )

    model_config = ConfigDict(json_schema_extra={"examples": [_BUY_LISTED, _CHECK_OUT]})


class PayBody(Owned):
    """How to pay."""

    payment_type: PayType
    trade_type: str = Field(
        "",
        max_length=MAX_TRADE_TYPE,
        description="支付场景，空为默认 / Empty means the channel's default: "
        "alipay `page`, `wap`, `qr`, `app`; wechat `native`, `jsapi`, `mini`, `h5`, `app`",
    )
    openid: str = Field(
        "",
        max_length=MAX_OPENID,
        description="买家在支付机构的编号，如微信 openid（用于 `jsapi`、`mini`） / "
        "The buyer's id at the provider, such as WeChat's openid (for `jsapi` and `mini`)",
    )
    return_url: str = Field(
        "", max_length=512, description="支付后返回的地址 / Where the buyer returns after paying"
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"payment_type": "alipay"}]})


class ConfirmBody(Owned):
    """A confirmation; refused if the order is not in `expected_status`."""

    expected_status: Status | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class CancelBody(ConfirmBody):
    """A cancellation."""

    reason: str = Field("", max_length=255, description="取消原因 / Reason")

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "拍错了"}]})


_PARCEL: JsonDict = {"logistics_company": "顺丰速运", "logistics_no": "SF1234567890"}


class ShipBody(Body):
    """The parcel."""

    logistics_company: str = Field(max_length=50, description="快递公司 / Carrier", examples=["顺丰速运"])
    logistics_no: str = Field(
        max_length=64, description="运单号 / Tracking number", examples=["SF1234567890"]
    )
    expected_status: Status | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [_PARCEL]})


class ClockBody(Body):
    """How far to move the test clock, forward only."""

    advance_s: int = Field(ge=1, le=MAX_ADVANCE_S, description="快进秒数 / Seconds", examples=[1800])
