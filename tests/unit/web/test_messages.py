"""Every error has a status in both protocols and a text in both languages, whatever its parameters."""

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

import shop_order
from shop_order.domain import errors
from shop_order.domain.errors import IllegalTransition, InvalidArgument, Kind, OrderServiceError
from shop_order.domain.problems import Dependency, Problem
from shop_order.domain.refund_errors import (
    NotRefundable,
    RefundAbnormal,
    RefundTooLate,
    SecondApprovalNeeded,
)
from shop_order.domain.status import ORDER_TRANSITIONS, OrderStatus, RefundState
from shop_order.web.handler.errors import _PROBLEMS as PYDANTIC
from shop_order.web.messages import (
    INTERNAL_CODE,
    ROUTING_CODES,
    STATUS,
    Language,
    accepted_language,
    error_text,
    grpc_code,
    http_status,
    operator_text,
    plain_error_text,
    status_text,
    texts,
)

SOURCE = Path(str(shop_order.__file__)).parent
# One of each leaf; those with several problems stand below.
EXAMPLES: tuple[OrderServiceError, ...] = (
    InvalidArgument("nums", "required"),
    errors.EmptyOrder(),
    errors.KeyReused(),
    errors.PageTooDeep(10_000),
    errors.AmountInexact(),
    errors.Unauthenticated(),
    errors.SignatureInvalid("notice"),
    errors.SignatureInvalid("cashier_link"),
    errors.Forbidden(),
    errors.Forbidden("buyer_only"),
    errors.Forbidden("user_only"),
    errors.NotYourself(),
    errors.OrderNotFound(),
    errors.PaymentNotFound(),
    errors.CartLineNotFound(),
    errors.AddressNotFound(),
    errors.GoodsUnavailable([3, 4]),
    errors.OutOfStock([3]),
    errors.PriceChanged(1, 2, {3: 2}, freight_fen=0),
    errors.QuoteUnknown(),
    errors.CouponUnknown("c"),
    errors.ChannelUnavailable("wechat"),
    errors.ChannelUnavailable("wechat", "bill"),
    errors.ChannelUnavailable("alipay", "too_many_attempts"),
    errors.ChannelUnavailable("alipay", "trade_type"),
    errors.ChannelUnavailable("alipay", "open_in_browser"),
    errors.ChannelUnavailable("balance", "balance_too_low"),
    errors.AmountNotPayable("alipay", smallest_fen=1, largest_fen=10_000_000_000),
    errors.TooManyUnpaid(20),
    errors.UseRefund(),
    errors.PayWindowClosed(),
    errors.RefundOpen(),
    errors.RefundNotFound(),
    NotRefundable("unpaid"),
    NotRefundable("cancelled"),
    NotRefundable("window_over"),
    NotRefundable("not_shipped"),
    NotRefundable("more_than_left", left_fen=1),
    NotRefundable("more_freight_than_left", left_fen=1),
    NotRefundable("more_pieces_than_left", goods_id=1, left=1),
    NotRefundable("nothing_left"),
    NotRefundable("too_many"),
    SecondApprovalNeeded(),
    RefundTooLate(),
    RefundAbnormal(),
    errors.AmountMismatch("amount"),
    errors.StateChanged("PAID"),
    errors.CartChanged(),
    errors.PlacingGivenUp(),
    errors.TooMuchContention(),
    errors.RateLimited(0.5),
    errors.Overloaded(),
    errors.BodyTooLarge(),
    errors.HeadersTooLarge(),
    errors.UnsupportedMediaType(),
    *(errors.DependencyDown(name) for name in get_args(Dependency)),
    errors.DeadlineExceeded(),
    errors.Unimplemented(),
)
NAMES = [status.name for status in OrderStatus]
MOVES = [
    IllegalTransition(now.name, to)
    for now, to in product(OrderStatus, NAMES)
    if OrderStatus[to] not in ORDER_TRANSITIONS[now]
] + [IllegalTransition("PENDING", "PAID"), IllegalTransition("CLOSED", "REFUNDED")]
ALL = (*EXAMPLES, *MOVES)
WITHOUT_A_CLASS = {INTERNAL_CODE, *ROUTING_CODES.values()}


def key(error: OrderServiceError) -> str:
    return f"{error.code}.{error.problem}" if error.problem else error.code


def names_in(*templates: str) -> set[str]:
    """What is put into them."""
    return {name for text in templates for _, name, _, _ in Formatter().parse(text) if name}


def must_be_told(error: OrderServiceError) -> None:
    """In both languages, whole."""
    chinese, english = error_text(error, Language.ZH), error_text(error, Language.EN)
    assert re.search(r"[\u4e00-\u9fff]", chinese), chinese
    assert english.isascii(), english
    assert "{" not in english + chinese


def test_there_is_an_example_of_every_leaf() -> None:
    assert {type(example) for example in ALL} == set(OrderServiceError.__subclasses__())


@pytest.mark.parametrize("error", ALL, ids=str)
def test_every_leaf_has_both_languages_and_both_statuses(error: OrderServiceError) -> None:
    must_be_told(error)
    assert grpc_code(error) is STATUS[error.kind].grpc
    assert 400 <= http_status(error) < 600


@pytest.mark.parametrize("language", list(Language))
def test_no_text_is_left_without_its_error(language: Language) -> None:
    codes = {error.code for error in ALL} | WITHOUT_A_CLASS
    cases = {key(error) for error in ALL if not isinstance(error, InvalidArgument)}
    assert texts()[language].errors.keys() == codes | cases
    assert texts()[language].problems.keys() == set(get_args(Problem))
    assert texts()[language].details["dependency"].keys() == set(get_args(Dependency))
    states = {status.name for status in (*OrderStatus, *RefundState)} | {
        "PARCEL_SENT",
        "ADMINS_REFUND",
        "PROCESSING",
    }
    assert texts()[language].details["state"].keys() == states


@pytest.mark.parametrize("language", list(Language))
def test_a_text_names_nothing_but_details(language: Language) -> None:
    details = {key(error): error.details.keys() for error in ALL}
    for code, told in texts()[language].errors.items():
        if code in details:
            assert names_in(*told) <= details[code], code
        else:
            assert not names_in(*told) or "." not in code, code


def test_both_languages_say_the_same_numbers() -> None:
    zh, en = texts()[Language.ZH], texts()[Language.EN]
    for code, told in en.errors.items():
        assert names_in(*told) == names_in(*zh.errors[code]), code
    for problem, text in en.problems.items():
        assert names_in(text) == names_in(zh.problems[problem]), problem


@pytest.mark.parametrize("code", sorted(WITHOUT_A_CLASS))
def test_what_is_no_refusal_of_ours_is_told_as_well(code: str) -> None:
    assert plain_error_text(code, Language.EN).isascii()
    assert re.search(r"[\u4e00-\u9fff]", plain_error_text(code, Language.ZH))


def test_every_kind_has_a_row_and_no_two_share_a_code() -> None:
    assert set(STATUS) == set(Kind)
    assert len({status.grpc for status in STATUS.values()}) == len(Kind)


def test_a_leaf_may_have_its_own_http_status() -> None:
    assert (http_status(errors.KeyReused()), http_status(errors.BodyTooLarge())) == (422, 413)


def test_numbers_are_numbers() -> None:
    changed = errors.PriceChanged(1998, 1999, {1: 1999}, freight_fen=0)
    assert changed.details == {
        "expected_fen": 1998,
        "actual_fen": 1999,
        "freight_fen": 0,
        "expected_amount": "19.98",
        "actual_amount": "19.99",
        "freight_amount": "0.00",
        "price_fen_by_goods": "1=1999",
    }


def test_people_are_told_yuan_and_machines_fen_too() -> None:
    refused = NotRefundable("more_than_left", left_fen=123_456_05)
    assert error_text(refused, Language.ZH) == "最多可退 123456.05 元，请减少退款金额"
    assert refused.details["left_fen"] == 123_456_05
    huge = errors.PriceChanged(-1, 2**62 + 1, {}, freight_fen=0)
    assert (huge.details["expected_amount"], huge.details["actual_amount"]) == (
        "-0.01",
        "46116860184273879.05",
    )
    for language in Language:
        told = {name for text in texts()[language].errors.values() for name in names_in(*text)}
        assert not {name for name in told if name.endswith("_fen")}


# ---- fields ----


def problems_in_code() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Where a field is refused: the place, the problem, the names of its parameters."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "id", "")
            at = {"InvalidArgument": 1, "FieldRefused": 0}.get(called)
            if at is None or any(keyword.arg is None for keyword in node.keywords):
                continue  # it hands on what was checked where it came from
            match node.args[at]:
                case ast.Constant(value=str(problem)):
                    given = frozenset(str(keyword.arg) for keyword in node.keywords)
                    yield f"{path.name}:{node.lineno}", problem, given
                case ast.Attribute(attr="problem"):
                    pass
                case other:
                    raise AssertionError(f"{path}:{node.lineno}: {ast.dump(other)} is no name of a problem")


def label(value: str | frozenset[str]) -> str:
    """The same in every process."""
    return value if isinstance(value, str) else ",".join(sorted(value))


@pytest.mark.parametrize(("place", "problem", "given"), sorted(problems_in_code()), ids=label)
def test_a_field_is_refused_with_the_parameters_its_text_needs(
    place: str, problem: str, given: frozenset[str]
) -> None:
    for known in texts().values():
        assert names_in(known.problems[problem]) <= given, place  # type: ignore[index]
    must_be_told(InvalidArgument("it", problem, **dict.fromkeys(given, 7)))  # type: ignore[arg-type]


def test_what_pydantic_refuses_has_the_parameters_its_text_needs() -> None:
    for problem, parameters in PYDANTIC.values():
        for known in texts().values():
            assert names_in(known.problems[problem]) == parameters.keys(), problem


def test_no_problem_is_unused() -> None:
    used = {problem for _, problem, _ in problems_in_code()} | {problem for problem, _ in PYDANTIC.values()}
    assert used | {"invalid"} == set(get_args(Problem))


def test_a_field_is_told_by_its_full_path() -> None:
    error = InvalidArgument("phone", "not_one_of", allowed="a,b").under("address")
    assert error.details == {"field": "address.phone", "problem": "not_one_of", "allowed": "a,b"}
    assert error_text(error, Language.EN) == "address.phone must be one of: a, b"
    assert error_text(error, Language.ZH) == "参数 address.phone 只能是：a、b"


# ---- states ----

CHECK = "refresh and check the status"
ALREADY_PAID = "this order is already paid; nothing is left to pay"


@pytest.mark.parametrize(
    ("now", "to", "english", "chinese"),
    [
        ("PAID", "PAID", ALREADY_PAID, "订单已支付，无需再次支付"),
        ("SHIPPED", "PAID", ALREADY_PAID, "订单已支付，无需再次支付"),
        ("CANCELLED", "PAID", "this order is cancelled; place a new order", "订单已取消，请重新下单"),
        (
            "PENDING",
            "SHIPPED",
            "this order is not paid yet; wait for the payment",
            "订单尚未支付，请等待支付完成",
        ),
        (
            "SHIPPED",
            "CANCELLED",
            "this order is shipped and can't be cancelled; request a refund instead",
            "订单已发货，不能取消，请申请退款",
        ),
        (
            "AWAITING_RETURN",
            "APPROVED",
            'the status can\'t change from "waiting for the goods" to "approved"; ' + CHECK,
            "“等待退货”不能变为“已批准”，请刷新后查看状态",
        ),
        (
            "ADMINS_REFUND",
            "WITHDRAWN",
            'the status can\'t change from "requested by an admin" to "withdrawn"; ' + CHECK,
            "“管理员发起的退款”不能变为“已撤回”，请刷新后查看状态",
        ),
    ],
)
def test_a_move_that_is_not_allowed_is_told_in_the_buyers_words(
    now: str, to: str, english: str, chinese: str
) -> None:
    error = IllegalTransition(now, to)
    assert error.code == "ILLEGAL_TRANSITION"
    assert (error.details["state"], error.details["wanted"]) == (now, to)
    assert (error_text(error, Language.EN), error_text(error, Language.ZH)) == (english, chinese)


def test_every_move_of_an_order_that_is_not_allowed_has_words_of_its_own() -> None:
    # Cancelling and completing again is no error, and a paid order is refunded instead.
    never = {("CANCELLED", "CANCELLED"), ("COMPLETED", "COMPLETED"), ("PAID", "CANCELLED")}
    for move in MOVES[:-1]:
        pair = (str(move.details["state"]), str(move.details["wanted"]))
        assert (move.problem == "other_state") == (pair in never), pair


def test_the_words_of_states() -> None:
    assert [status_text(s, Language.ZH) for s in OrderStatus] == [
        "待支付",
        "已支付",
        "已发货",
        "已完成",
        "已取消",
    ]


def test_an_address_is_told_to_operators_only() -> None:
    error = errors.DependencyDown("order_database", "10.0.0.1:3306")
    assert operator_text(error) == "the order database is not available; try again (10.0.0.1:3306)"
    assert str(error) == "DEPENDENCY_DOWN dependency=order_database (10.0.0.1:3306)"
    assert error_text(error, Language.ZH) == "订单数据库暂不可用，请重试"
    assert "10.0.0.1" not in f"{error_text(error, Language.EN)} {dict(error.details)}"


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", Language.ZH),
        ("en", Language.EN),
        ("en-US,en;q=0.9", Language.EN),
        ("zh-CN,zh;q=0.9,en;q=0.8", Language.ZH),
        ("zh;q=0.3,en;q=0.7", Language.EN),
        ("fr, en;q=0.2", Language.EN),
        ("fr", Language.ZH),
        ("en;q=0", Language.ZH),
        ("en;q=nonsense", Language.ZH),
    ],
)
def test_the_callers_language(accept: str, language: Language) -> None:
    assert accepted_language(accept) is language
