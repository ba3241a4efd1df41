"""How much is left to ask for, in the rarer stories."""

from __future__ import annotations

import pytest

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules
from shop_order.domain.refund_errors import NotRefundable
from tests.unit.domain.orders import ADMIN, NOW_MS, WEEK_MS
from tests.unit.domain.test_after_sales import ask, paid


def test_nothing_is_left_while_two_requests_have_the_same_freight() -> None:
    two = RefundRules(WEEK_MS, second_approval_fen=100)
    order = paid((1, 1), freight_fen=8, prices_fen=(100,))
    goods = ask(order, (1, 1), fen=1)
    ask(order, fen=107)  # with the freight
    after_sales.approve(order, goods.refund_sn, ADMIN, NOW_MS, two)  # the first of two: with the freight, too
    with pytest.raises(NotRefundable) as refused:
        ask(order)
    assert refused.value.details == {"problem": "nothing_left"}
