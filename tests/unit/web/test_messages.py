"""Every error has a status in both protocols and a text in both languages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import shop_order
from shop_order.domain import errors
from shop_order.domain.errors import IllegalTransition, InvalidArgument, Kind, OrderServiceError
from shop_order.domain.status import OrderStatus
from shop_order.web.messages import TEXTS, Language, accepted_language, error_text, status_text
from shop_order.web.status import STATUS, grpc_code, http_status

EXAMPLES: tuple[OrderServiceError, ...] = (
    errors.InvalidArgument("nums", "is required"),
    errors.EmptyOrder(),
    errors.KeyReused(),
    errors.PageTooDeep(),
    errors.AmountInexact(),
    errors.Unauthenticated(),
    errors.SignatureInvalid("notice"),
    errors.Forbidden(),
    errors.NotYourself(),
    errors.OrderNotFound(),
    errors.PaymentNotFound(),
    errors.GoodsNotFound(3),
    errors.CartLineNotFound(),
    errors.AddressNotFound(),
    errors.IllegalTransition("PAID", "PENDING"),
    errors.GoodsUnavailable([3]),
    errors.OutOfStock([3]),
    errors.PriceChanged(1, 2, {3: 2}, freight_fen=0),
    errors.QuoteUnknown(),
    errors.CouponUnknown("c"),
    errors.ChannelUnavailable("wechat"),
    errors.AmountNotPayable("alipay", smallest_fen=1, largest_fen=10_000_000_000),
    errors.TooManyUnpaid(20),
    errors.UseRefund(),
    errors.PayWindowClosed(),
    errors.RefundOpen(),
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
    errors.DependencyDown("goods"),
    errors.DeadlineExceeded(),
    errors.Unimplemented(),
)


def test_there_is_an_example_of_every_leaf() -> None:
    assert {type(example) for example in EXAMPLES} == set(OrderServiceError.__subclasses__())


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: e.code)
def test_every_leaf_has_both_languages_and_both_statuses(error: OrderServiceError) -> None:
    chinese, english = error_text(error, Language.ZH), error_text(error, Language.EN)
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert english.isascii() and "{" not in english + chinese
    assert grpc_code(error) is STATUS[error.kind].grpc
    assert 400 <= http_status(error) < 600


def test_no_text_is_left_without_its_error() -> None:
    assert set(TEXTS) == {example.code for example in EXAMPLES} | {"INTERNAL"}


def test_every_kind_has_a_row_and_no_two_share_a_code() -> None:
    assert set(STATUS) == set(Kind)
    assert len({status.grpc for status in STATUS.values()}) == len(Kind)


def test_a_leaf_may_have_its_own_http_status() -> None:
    assert (http_status(errors.KeyReused()), http_status(errors.BodyTooLarge())) == (422, 413)


@pytest.mark.parametrize(
    ("reason", "chinese"),
    [
        ("is longer than 50 characters", "参数 name 不能超过 50 个字符"),
        ("must be between 1 and 999", "参数 name 必须在 1 到 999 之间"),
        ("something nobody translated", "参数 name something nobody translated"),
    ],
)
def test_reasons_are_told_in_chinese(reason: str, chinese: str) -> None:
    error = InvalidArgument("name", reason)
    assert error_text(error, Language.ZH) == chinese
    assert error_text(error, Language.EN) == f"name: {reason}"


def reasons_in_code() -> Iterator[str]:
    """What `InvalidArgument` is given as its reason, with a number where something is put in."""
    for path in Path(str(shop_order.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InvalidArgument":
                match node.args[1]:
                    case ast.Constant(value=str(reason)):
                        yield reason
                    case ast.JoinedStr(values=parts):
                        yield "".join(str(p.value) if isinstance(p, ast.Constant) else "7" for p in parts)


@pytest.mark.parametrize("reason", sorted(set(reasons_in_code())))
def test_each_reason_in_our_code_has_its_chinese(reason: str) -> None:
    told = error_text(InvalidArgument("it", reason), Language.ZH).removeprefix("参数 it ")
    assert re.search(r"[\u4e00-\u9fff]", told)


def test_states_are_told_in_words() -> None:
    assert (
        error_text(IllegalTransition("PAID", "CANCELLED"), Language.ZH) == "当前状态 已支付 不能变更为 已取消"
    )


def test_the_words_of_states() -> None:
    assert [status_text(s, Language.ZH) for s in OrderStatus] == [
        "待支付",
        "已支付",
        "已发货",
        "已完成",
        "已取消",
    ]


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
