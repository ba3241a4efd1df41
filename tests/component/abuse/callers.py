"""Rows about who asks, and about the state things are in."""

from __future__ import annotations

from grpc import StatusCode

from shop_order.api.proto.shop import neighbours_pb2
from shop_order.domain.valueobject.parties import Role
from tests.component.abuse import scenes, tokens
from tests.component.abuse.acts import (
    OK,
    VERBS,
    Act,
    Expect,
    Row,
    add,
    checkout,
    grpc,
    on_order,
    order,
    rest,
    row,
)
from tests.component.abuse.calls import Scene
from tests.component.abuse.lists import by_id, guess, listing
from tests.component.abuse.promises import (
    CHANGED,
    FORBIDDEN,
    GONE,
    ILLEGAL,
    LIMITED,
    NO_ORDER,
    NOBODY,
    NOT_YOURSELF,
    SHORT,
)

SLOW_LIMIT = {"LIMIT__USER_RATE": "1", "LIMIT__USER_BURST": "5"}
ANOTHER = 999_999

WHO: tuple[Row, ...] = (
    row(
        26,
        "no token",
        NOBODY,
        tokens.bearing("none", lambda _: ""),
        tokens.bearing("word", lambda _: "token"),
    ),
    row(
        27,
        "expired token",
        NOBODY,
        tokens.bearing("expired", tokens.signed(iat=1_600_000_000, exp=1_600_000_600)),
    ),
    row(28, "alg: none", NOBODY, tokens.bearing("unsigned", tokens.unsigned)),
    row(
        29,
        "HS256 signed with the RS256 public key",
        NOBODY,
        tokens.bearing("public key as secret", tokens.with_public_key_as_secret),
        tokens.bearing("right key", tokens.rightly_signed_rs256).gets(OK),
        AUTH__JWKS="<jwks>",
    ),
    row(
        30,
        "kid: ../../etc/passwd",
        NOBODY,
        tokens.bearing("path", tokens.signed(headers={"kid": "../../etc/passwd"})),
        tokens.bearing("SQL", tokens.signed(headers={"kid": "x' UNION SELECT 'key"})),
    ),
    row(
        31,
        "jku or x5u header",
        NOBODY,
        *map(tokens.luring, ("jku", "x5u")),
        *(
            tokens.bearing(
                f"{header}, though rightly signed", tokens.signed(headers={header: "http://127.0.0.1/"})
            )
            for header in ("jku", "x5u", "jwk", "x5c")
        ),
    ),
    row(
        32,
        "wrong aud or iss, missing exp",
        NOBODY,
        tokens.bearing("aud", tokens.signed(aud="another-service")),
        tokens.bearing("iss", tokens.signed(iss="another-shop")),
        *(
            tokens.bearing(f"no {claim}", tokens.signed(claim))
            for claim in ("exp", "aud", "iss", "sub", "role")
        ),
    ),
    row(33, "exp in the year 9999", NOBODY, tokens.bearing("9999", tokens.signed(exp=tokens.YEAR_9999))),
    row(
        34,
        "another user's order",
        NO_ORDER,
        *(on_order(verb).having(scenes.strangers(Scene.place)) for verb in VERBS if verb != "ship"),
        on_order("confirm", name="confirm a shipped one").having(scenes.strangers(Scene.ship)),
        by_id("by id").having(scenes.strangers(Scene.place)),
        on_order("get", user_id=ANOTHER).having(scenes.then_as(Scene.place, Role.ADMIN)),
        on_order("cancel", user_id=ANOTHER).having(scenes.then_as(Scene.place, Role.ADMIN)),
    ),
    row(
        35,
        "guessing order numbers in sequence",
        NO_ORDER,
        Act(
            "next numbers",
            {name: scenes.until_limited(send, first="ORDER_NOT_FOUND") for name, send in guess().items()},
        )
        .having(scenes.victim)
        .then(scenes.limited),
        **SLOW_LIMIT,
    ),
    row(
        37,
        "a user ships an order",
        FORBIDDEN,
        on_order("ship").having(Scene.pay),
        rest("moves the clock", "POST", "/admin/clock", {"advance_s": 1}),
    ),
    row(
        38,
        "user_id is not the token's subject",
        NOT_YOURSELF,
        order(user_id=ANOTHER),
        checkout(user_id=ANOTHER),
        add(110, 1, user_id=ANOTHER),
        listing("of another", user_id=ANOTHER, rest={"user_id": ANOTHER}),
        *(on_order(verb, user_id=ANOTHER).having(Scene.place) for verb in ("get", "payment", "pay")),
        on_order("cancel", user_id=ANOTHER).having(Scene.place),
    ),
    row(
        39,
        "a role that may not",
        FORBIDDEN,
        order().having(scenes.as_role(Role.SERVICE, subject="wallet")),
        add(110, 1).having(scenes.as_role(Role.SERVICE, subject="wallet")),
        listing("for nobody", rest={}).having(scenes.as_role(Role.SERVICE, subject="wallet")),
        on_order("ship", sn="261123134500123456789012349").having(
            scenes.as_role(Role.SERVICE, subject="wallet", act_for=7)
        ),
        order(name="admin buys").having(scenes.as_role(Role.ADMIN)),
        grpc(
            "user asks for verdicts",
            "shop.neighbours.ReservationCheck/CheckReservations",
            neighbours_pb2.OrderSns(),
        ),
        *(
            grpc(
                f"{name} asks for verdicts",
                "shop.neighbours.ReservationCheck/CheckReservations",
                neighbours_pb2.OrderSns(order_sns=["261123134500123456789012349"]),
            ).having(scenes.as_role(Role.SERVICE, subject=name))
            for name in ("wallet", "order-service", "inventory2")
        ),
        *(
            grpc(
                f"{name} speaks for the wallet",
                "shop.neighbours.EventInbox/Deliver",
                neighbours_pb2.EventBatch(cloud_events=[b"{}"]),
            ).having(scenes.as_role(role, subject=name))
            for role, name in ((Role.SERVICE, "inventory"), (Role.SERVICE, "wallet2"), (Role.USER, "7"))
        ),
        grpc(
            "the wallet says nothing that can be read",
            "shop.neighbours.EventInbox/Deliver",
            neighbours_pb2.EventBatch(cloud_events=[b"{}"]),
        )
        .having(scenes.as_role(Role.SERVICE, subject="wallet"))
        .gets(OK),
        grpc(
            "the owner of leases asks for verdicts",
            "shop.neighbours.ReservationCheck/CheckReservations",
            neighbours_pb2.OrderSns(order_sns=["261123134500123456789012349"]),
        )
        .having(scenes.as_role(Role.SERVICE, subject="inventory"))
        .gets(OK),
        order(name="service acting for a user")
        .having(scenes.as_role(Role.SERVICE, subject="user-operation", act_for=7))
        .gets(OK),
    ),
    row(
        48,
        "over the rate limit",
        LIMITED,
        Act(
            "ten at once",
            {name: scenes.until_limited(send, first="") for name, send in listing("", rest={}).sends.items()},
        ).then(scenes.limited),
        **SLOW_LIMIT,
    ),
)

STATES: tuple[Row, ...] = (
    row(25, "cancel twice", OK, on_order("cancel").having(scenes.cancelled).then(scenes.once_only)),
    row(
        36,
        "a product that was deleted or taken off sale",
        GONE,
        *(add(goods, 1) for goods in (113, 114, 99_999)),
        *(order((110, 1), (goods, 1)).then(scenes.names_goods(goods)) for goods in (113, 114)),
        checkout().having(scenes.taken_off_sale),
    ),
    row(
        41,
        "pay an order that is cancelled or already paid",
        ILLEGAL,
        on_order("pay", name="cancelled").having(Scene.cancel),
        on_order("pay", name="paid").having(Scene.pay),
        on_order("pay", name="shipped").having(Scene.ship),
    ),
    row(
        42,
        "cancel a shipped order",
        ILLEGAL,
        on_order("cancel").having(Scene.ship),
        on_order("cancel", name="paid")
        .having(Scene.pay)
        .gets(Expect(StatusCode.FAILED_PRECONDITION, 409, "USE_REFUND")),
    ),
    row(
        43,
        "ship an unpaid order",
        ILLEGAL,
        on_order("ship").having(scenes.then_as(Scene.place, Role.ADMIN)),
        on_order("ship", name="cancelled").having(scenes.then_as(Scene.cancel, Role.ADMIN)),
        on_order("confirm", name="confirm an unpaid one").having(Scene.place),
    ),
    row(
        44,
        "out of stock",
        SHORT,
        order((111, 4)).then(scenes.names_goods(111)),
        order((110, 1), (111, 4), (112, 6)).then(scenes.names_goods(111, 112)),
        checkout().having(scenes.cart((111, 4))).then(scenes.names_goods(111)),
    ),
    row(
        46,
        "same idempotency key still in flight",
        OK,
        scenes.at_once("over gRPC", scenes.KEYED["9.1"]).then(scenes.one_order),
        scenes.at_once("over REST", scenes.KEYED["rest"]).then(scenes.one_order),
        scenes.at_once("over gRPC and HTTP", scenes.KEYED["9.1"], scenes.KEYED["rest"]).then(
            scenes.one_order
        ),
        scenes.at_once("a checkout", scenes.KEYED_CHECKOUT).then(scenes.one_order),
    ),
    row(
        47,
        "the state the caller expected is no longer so",
        CHANGED,
        on_order("cancel", expected_status=1).having(Scene.cancel),
        on_order("cancel", expected_status=1, name="cancel what was paid").having(Scene.pay),
        on_order("confirm", expected_status=3).having(Scene.pay),
        on_order("ship", expected_status=2).having(scenes.then_as(Scene.place, Role.ADMIN)),
    ),
)
