"""Rows about what is in a request."""

from __future__ import annotations

import math

from google.protobuf.timestamp_pb2 import Timestamp

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_order.domain.valueobject.parties import Role
from tests.component.abuse import lists, notices, scenes
from tests.component.abuse.acts import (
    OK,
    VERBS,
    Row,
    act,
    add,
    checkout,
    grpc,
    on_order,
    order,
    rest,
    row,
    set_nums,
    to,
)
from tests.component.abuse.calls import ORDER, SHOP, Scene, address
from tests.component.abuse.lists import buys, by_id, json_body, listing
from tests.component.abuse.promises import EMPTY, INEXACT, INVALID, KEY_REUSED, TOO_LARGE, TOO_LARGE_FOR_GRPC

ANOTHER = 999_999
FAMILY = "👨‍👩‍👧"
UNSEEN = "\u202e\u200b\u2066\ufeff\u200f\u00ad\u2028\u2029\u3164\u115f\u180e\u200d\ufe0f\U000e0061"
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
QUOTES = "100% _ ' \" ; -- \\ $(x)"
CREATE = f"{ORDER}/CreateOrder"
FIVE_MIB = "x" * (5 * 1024 * 1024)

BUYING: tuple[Row, ...] = (
    row(
        1,
        "negative quantity",
        INVALID,
        order((110, -1)),
        add(110, -1),
        set_nums(110, -1).having(scenes.cart((110, 1))),
    ),
    row(
        2,
        "zero quantity on add",
        INVALID,
        add(110, 0).then(scenes.nothing_in_cart),
        order((110, 0)),
        set_nums(110, 0).having(scenes.cart((110, 1))),
    ),
    row(
        3,
        "quantity above the cap",
        INVALID,
        order((110, 1000)),
        add(110, 1000),
        set_nums(110, 1000).having(scenes.cart((110, 1))),
        add(110, 500).having(scenes.cart((110, 500))),
    ),
    row(
        4,
        "price × quantity beyond bounds",
        INVALID,
        order(*((goods, 999) for goods in scenes.DEAR)),
        checkout().having(scenes.cart(*((goods, 999) for goods in scenes.DEAR))),
    ),
    row(
        5,
        "checkout of an empty cart, or nothing checked",
        EMPTY,
        checkout(),
        checkout(name="nothing checked").having(scenes.cart((110, 1), unchecked=True)),
        act(
            "no items",
            grpc91=lambda s: s.grpc(CREATE, pb.CreateOrderRequest(address=pb.AddressInfo(**address()))),
            rest=lambda s: s.rest("POST", "/orders", buys(items=[])),
        ).having(scenes.cart((110, 1))),
    ),
    row(
        6,
        "more than 100 lines in an order or a cart",
        INVALID,
        order(*((goods, 1) for goods in scenes.MANY)),
        add(scenes.MANY[100], 1).having(scenes.full_cart),
        json_body("1001 lines", buys(items=[{"goods_id": 110, "nums": 1}] * 1001)),
    ),
    row(
        7,
        "missing name, phone or detail of the address",
        INVALID,
        *(a for field in ("name", "phone", "detail") for a in to(f"no {field}", **{field: ""})),
        *(a for field in ("name", "phone", "detail") for a in to(f"blank {field}", **{field: "  "})),
        json_body("no address", {"items": [{"goods_id": 110, "nums": 1}]}),
        json_body("no phone at all", buys(address={"name": "张三", "detail": "人民路"})),
        order(to={"province": "", "city": "", "district": ""}, name="no province").gets(OK),
    ),
    row(
        8,
        "NUL in a text",
        INVALID,
        *to("name", name="张\0三"),
        *to("detail", detail="人民路\0"),
        *to("province", province="浙\0江"),
        order(note="a\0b"),
        checkout(note="a\0b").having(scenes.cart((110, 1))),
        order(key="a\0b"),
        order(coupon_id="a\0b"),
        on_order("cancel", reason="a\0b").having(Scene.place),
        json_body("half a character", buys(note="\ud800")),
    ),
    row(
        9,
        "text too long, counted in code points",
        INVALID,
        *to("name", name="张" * 51),
        *to("detail", detail="路" * 256),
        *to("post", post="1" * 21),
        order(note="注" * 256, name="note"),
        checkout(note="注" * 256, name="note at checkout").having(scenes.cart((110, 1))),
        order(key="键" * 256, name="key"),
        order(coupon_id="c" * 9000, name="coupon"),
        on_order("cancel", reason="因" * 256, name="reason").having(Scene.place),
        order(to={"name": "😀" * 50, "detail": "🏠" * 255}, note="注" * 255, name="just short enough").gets(
            OK
        ),
        order(key="键" * 255, name="key just short enough").gets(OK),
    ),
    row(
        10,
        "invisible text, or nothing visible in a required one",
        INVALID,
        *(a for char in UNSEEN for a in to(f"name with U+{ord(char):04X}", name=f"张{char}三")),
        *(
            a
            for text in ("\u3164", "\u2800", "\ufeff", "\u00a0", "\u3000", "\u0301", "\u115f\uffa0")
            for field in ("name", "detail")
            for a in to(f"{field} of U+{ord(text[0]):04X} alone", **{field: text})
        ),
        *(order(note=f"放{char}门口") for char in "\u00ad\u2029\ufeff\U000e0001"),
        on_order("cancel", reason="拍\u00ad错了").having(Scene.place),
        order(
            to={"name": f"小明{FAMILY}", "detail": "幸福路 1️⃣ 号 🏳️‍🌈"}, note=f"❤️ {ENGLAND}", name="real emoji"
        )
        .then(scenes.stored(name=f"小明{FAMILY}", detail="幸福路 1️⃣ 号 🏳️‍🌈", note=f"❤️ {ENGLAND}"))
        .gets(OK),
    ),
    row(
        11,
        "malformed mobile",
        INVALID,
        *(
            a
            for phone in (
                "1380013800",
                "138001380000",
                "23800138000",
                "+12345",
                "+" + "1" * 16,
                "1３800138000",
            )
            for a in to(phone, phone=phone)
        ),
        order(to={"phone": "+33612345678"}, name="foreign").gets(OK),
    ),
)

LOOKING: tuple[Row, ...] = (
    row(
        12,
        "page below the first",
        INVALID,
        listing("page -1", page=-1, rest={"page": -1}),
        listing("page_size -1", page_size=-1, rest={"page_size": -1}),
        rest("list page 0", "GET", "/orders", params={"page": 0}),
        listing("page 0 over gRPC", page=0, page_size=0, rest={})
        .only("9.1", "3")
        .having(scenes.many_orders)
        .then(scenes.page_one)
        .gets(OK),
    ),
    row(
        13,
        "page_size 1e9",
        OK,
        listing("a billion", page_size=10**9, rest={"page_size": 10**9})
        .having(scenes.many_orders)
        .then(scenes.a_hundred),
    ),
    row(
        14,
        "start_time > end_time",
        INVALID,
        listing(
            "backwards",
            start_time=Timestamp(seconds=1_790_000_001),
            end_time=Timestamp(seconds=1_790_000_000),
            rest={"start_time": "2026-11-22T00:00:00+08:00", "end_time": "2026-11-21T00:00:00+08:00"},
        ),
        listing(
            "year 10000",
            start_time=Timestamp(seconds=253_402_300_800),
            rest={"start_time": "9999-99-99T00:00:00Z"},
        ),
    ),
    row(
        15,
        "unknown status or payment_type",
        INVALID,
        listing("status 9", status=9, rest={"status": 9}),
        listing("status -1", status=-1, rest={"status": -1}),
        order(payment_type=9).only("9.1"),
        order(pay_type="paypal").only("rest"),
        checkout(pay_type="paypal"),
        on_order("pay", payment_type=9).having(Scene.place),
        on_order("pay", payment_type=0).having(Scene.place),
        grpc(
            "set status 9",
            f"{SHOP}/UpdateOrderStatus",
            lambda s: shop_pb.OrderStatus(order_sn=s.sn, status=9),
        ),
        grpc(
            "callback",
            f"{SHOP}/OrderPayCallback",
            shop_pb.OrderPayCallbackRequest(raw_body=b"x", payment_type=9),
        ),
    ),
    row(
        16,
        "id ≤ 0",
        INVALID,
        by_id("id -1", -1),
        grpc("id 0", f"{ORDER}/GetOrder", pb.GetOrderRequest()),
        grpc("neither id nor order_sn", f"{SHOP}/OrderDetail", shop_pb.OrderRequest()),
        order((0, 1)),
        order((-1, 1)),
        add(0, 1),
        add(-5, 1),
        order(user_id=-1),
        checkout(user_id=-1),
        listing("user -1", user_id=-1, rest={"user_id": -1}),
        rest("cart line 0", "DELETE", "/cart/items/0"),
        json_body("beyond int64", {"goods_id": 2**63, "nums": 1}, "/cart/items"),
    ),
    row(
        17,
        "malformed order_sn",
        INVALID,
        *(
            on_order(verb, sn=sn, name=f"{verb} {name}")
            for verb in VERBS
            if verb != "ship"
            for name, sn in (
                ("too short", "12345"),
                ("check digit", "261123134500123456789012340"),
                ("no digits", "x" * 27),
                ("28 digits", "2611231345001234567890123499"),
            )
        ),
        *(
            on_order("ship", sn="12345", name=f"ship {name}").having(scenes.as_role(Role.ADMIN))
            for name in ("too short",)
        ),
    ),
    row(
        22,
        "% _ ' \" in a search",
        INVALID,  # the one text searched for is a number, and these are none
        *map(lists.search, ("%" * 27, "_" * 27, "' OR '1'='1", '"')),
        listing("cursor", cursor="' OR 1=1 --", rest={"cursor": "' OR 1=1 --"}),
        order(note=QUOTES, name="kept literally").then(scenes.stored(note=QUOTES)).gets(OK),
    ),
)

WIRE: tuple[Row, ...] = (
    row(
        18,
        "idempotency key reused with another body",
        KEY_REUSED,
        order((110, 2), key="k").having(scenes.used_key(order((110, 1), key="k"))),
        checkout(key="k").having(scenes.used_key(order((110, 1), key="k"))),
        scenes.paying_key(trade_type="wap").having(scenes.paid_with_key),
        act(
            "metadata and field differ",
            grpc91=lambda s: s.grpc(CREATE, pb.CreateOrderRequest(idempotency_key="a"), idempotency_key="b"),
        ).gets(INVALID),
    ),
    row(
        19,
        "NaN, infinite, not a whole fen, floats above 131,072.00",
        INEXACT,
        *(
            notices.gateway(str(amount), amount=amount).having(notices.opened).then(notices.still_pending)
            for amount in (math.nan, math.inf, -math.inf, 0.015, 131_072.01, -0.01)
        ),
        *(
            json_body(f"expected {fen}", buys(expected_total_fen=fen)).gets(INVALID)
            for fen in (math.nan, math.inf, 1.5, "1.999", 1e300)
        ),
    ),
    row(
        20,
        "duplicate product lines",
        OK,
        order((110, 1), (110, 2)).then(scenes.nums_are(3)),
        order((110, 500), (110, 500)).gets(INVALID),
    ),
    row(
        21,
        "emoji in the address",
        OK,
        order(to={"name": "小明😀", "detail": f"幸福路 🏠 {FAMILY}"}).then(
            scenes.stored(name="小明😀", detail=f"幸福路 🏠 {FAMILY}")
        ),
    ),
    row(
        23,
        "int32 varint that wraps",
        OK,
        grpc("2³²+5 is 5", CREATE, scenes.order_bytes(2**32 + 5)).then(scenes.nums_are(5)),
        grpc("2³² is 0", CREATE, scenes.order_bytes(2**32)).gets(INVALID),
        grpc("2³²+1000 is 1000", CREATE, scenes.order_bytes(2**32 + 1000)).gets(INVALID),
        grpc("2³¹ is negative", CREATE, scenes.order_bytes(2**31)).gets(INVALID),
        json_body("JSON does not wrap", {"goods_id": 110, "nums": 2**32 + 5}, "/cart/items").gets(INVALID),
        json_body("a hundred digits", {"goods_id": 110, "nums": 10**100}, "/cart/items").gets(INVALID),
    ),
    row(
        24,
        "unknown protobuf fields",
        OK,
        grpc("field 1000", CREATE, scenes.order_bytes(1, extra=b"\xc0\x3e\x05\xca\x3e\x03abc")),
    ),
    row(
        49,
        "message over 4 MiB",
        TOO_LARGE,
        grpc("note of 5 MiB", CREATE, pb.CreateOrderRequest(remark=FIVE_MIB)).gets(TOO_LARGE_FOR_GRPC),
        json_body("note of 5 MiB", buys(note=FIVE_MIB)),
    ),
    row(
        51,
        "bytes that are not the message",
        INVALID,
        *(
            grpc(method, f"{service}/{method}", b"\xff\xff\xff\xff")
            for service, methods in (
                (
                    ORDER,
                    ("CreateOrder", "GetOrder", "ListOrders", "CancelOrder", "PayOrder", "NotifyPayment"),
                ),
                (SHOP, ("AddShoppingCart", "CreateOrder", "OrderList", "PayOrder", "OrderPayCallback")),
            )
            for method in methods
        ),
        *(json_body(str(body), body) for body in (b"{", b"\x00", b"[]", b'"text"', b"", b"[" * 5000)),
    ),
    row(
        52,
        "invalid UTF-8 in a string field",
        INVALID,
        grpc("remark", CREATE, scenes.order_bytes(1, extra=b"\x22\x02\xff\xfe")),
        grpc("order_sn", f"{ORDER}/CancelOrder", b"\x0a\x02\xc3\x28"),
        grpc("name", f"{SHOP}/CreateOrder", b"\x2a\x02\xed\xa0"),
        json_body("note", b'{"items": [{"goods_id": 110, "nums": 1}], "note": "\xff\xfe"}'),
    ),
)
