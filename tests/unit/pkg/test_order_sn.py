import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.pkg.ids import OrderNumbers, is_order_sn

NOON_GMT8_MS = 1_795_406_400_123  # 2026-11-23T12:00:00.123+08:00


def numbers() -> OrderNumbers:
    return OrderNumbers(lambda: NOON_GMT8_MS, secrets.randbelow)


def luhn_holds(digits: str) -> bool:
    values = [int(d) for d in reversed(digits)]
    doubled = [sum(divmod(2 * v, 10)) for v in values[1::2]]
    return (sum(values[0::2]) + sum(doubled)) % 10 == 0


def test_a_number_is_the_time_in_china_random_digits_and_a_luhn_digit() -> None:
    sn = OrderNumbers(lambda: NOON_GMT8_MS, lambda n: n - 1).order_sn()
    assert sn[:26] == "261123120000" + "9" * 14
    assert luhn_holds(sn)


def test_the_time_moves_on() -> None:
    clock = iter([NOON_GMT8_MS, NOON_GMT8_MS + 900])
    drawn = OrderNumbers(lambda: next(clock), secrets.randbelow)
    assert [drawn.order_sn()[:12], drawn.order_sn()[:12]] == ["261123120000", "261123120001"]


def test_prefixes_tell_the_kinds_apart() -> None:
    order, payment, refund = numbers().order_sn(), numbers().payment_sn(), numbers().refund_sn()
    assert (payment[0], refund[0]) == ("P", "R")
    assert is_order_sn(order) and is_order_sn(payment[1:]) and is_order_sn(refund[1:])
    assert not is_order_sn(payment)


@given(st.integers(0, 26), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(place: int, shift: int) -> None:
    sn = numbers().order_sn()
    wrong = str((int(sn[place]) + shift) % 10)
    assert not is_order_sn(sn[:place] + wrong + sn[place + 1 :])


@pytest.mark.parametrize("text", ["", "1" * 26, "1" * 28, "٣" * 27, "26112312000000000000000001\n", "x" * 27])
def test_other_shapes_are_refused(text: str) -> None:
    assert not is_order_sn(text)


def test_a_date_that_is_none_is_refused_though_the_digit_fits() -> None:
    body = "261323120000" + "0" * 14
    candidates = [body + str(d) for d in range(10) if luhn_holds(body + str(d))]
    assert len(candidates) == 1
    assert not is_order_sn(candidates[0])
