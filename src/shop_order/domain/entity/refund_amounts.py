"""How much of an order can be refunded: shares of the goods, and the freight.

The goods' shares sum to total − discount, whatever the order of the parts; nothing exceeds what was paid.
"""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund, RefundLine
from shop_order.domain.refund_errors import NotRefundable
from shop_order.domain.status import OrderStatus
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.shares import share_of_pieces, split


def goods_fen(order: Order) -> int:
    """What the goods cost after the discount; what else was paid is freight."""
    return min(max(order.total_fen - order.discount_fen, 0), order.pay_fen)


def not_asked_for(order: Order) -> tuple[int, int]:
    """What nobody has asked for yet: of the goods, and of the freight."""
    own = order.money.own_refunds()
    freight_fen = sum(refund.freight_fen for refund in own)
    of_goods_fen = goods_fen(order) - sum(refund.amount_fen - refund.freight_fen for refund in own)
    return max(of_goods_fen, 0), order.pay_fen - goods_fen(order) - freight_fen


def _taken(order: Order, *, decided: bool = False) -> dict[int, tuple[int, int]]:
    """By goods the pieces of live (or decided) refunds, and their shares."""
    taken: dict[int, tuple[int, int]] = {}
    for refund in order.money.own_refunds():
        for line in refund.lines if refund.is_decided or not decided else ():
            nums, share_fen = taken.get(line.goods, (0, 0))
            taken[line.goods] = nums + line.nums, share_fen + line.share_fen
    return taken


def pieces_left(order: Order) -> Sequence[Line]:
    """The pieces that nobody has asked a refund for yet."""
    taken = _taken(order)
    left = [(item.goods, item.nums - taken.get(item.goods, (0, 0))[0]) for item in order.items]
    return [Line(goods, nums) for goods, nums in left if nums]


def lines_of(order: Order, wanted: Sequence[Line]) -> tuple[RefundLine, ...]:
    """The wanted pieces with their shares. Raises NotRefundable."""
    shares_fen = split(goods_fen(order), [item.total_fen for item in order.items])
    sold = {item.goods: (item.nums, line_fen) for item, line_fen in zip(order.items, shares_fen, strict=True)}
    taken, lines = _taken(order), []
    for line in wanted:
        nums, line_fen = sold.get(line.goods, (0, 0))
        pieces, pieces_fen = taken.get(line.goods, (0, 0))
        if line.nums > nums - pieces:
            raise NotRefundable("more_pieces_than_left", goods_id=line.goods, left=nums - pieces)
        share_fen = share_of_pieces(line_fen, nums, taken=pieces, taken_fen=pieces_fen, more=line.nums)
        lines.append(RefundLine(line.goods, line.nums, share_fen))
    return tuple(lines)


def amount(order: Order, lines: Sequence[RefundLine], wanted_fen: int) -> tuple[int, int]:
    """The amount of a new refund, and the freight in it. Raises NotRefundable."""
    goods_left_fen, freight_fen = not_asked_for(order)
    if order.status is not OrderStatus.PAID or (lines and not _sends_nothing(order, lines)):
        freight_fen = 0
        if lines:
            goods_left_fen = min(sum(line.share_fen for line in lines), goods_left_fen)
    most_fen = goods_left_fen + freight_fen
    if most_fen <= 0:  # below it: of two requests, the first of two admins gave one the other's freight too
        raise NotRefundable("nothing_left")
    if wanted_fen > most_fen:
        raise NotRefundable("more_than_left", left_fen=most_fen)
    amount_fen = wanted_fen or most_fen
    return amount_fen, max(amount_fen - goods_left_fen, 0)


def _sends_nothing(order: Order, lines: Sequence[RefundLine]) -> bool:
    """Whether these lines and all approved refunds leave no piece to send."""
    taken = {goods: nums for goods, (nums, _) in _taken(order, decided=True).items()}
    for line in lines:
        taken[line.goods] = taken.get(line.goods, 0) + line.nums
    return all(taken.get(item.goods, 0) >= item.nums for item in order.items)


def approved_amount(order: Order, refund: Refund, freight_fen: int) -> tuple[int, int]:
    """The amount of a refund that is approved now, and the freight in it. Raises NotRefundable."""
    decided = [r for r in order.money.own_refunds() if r.is_decided]
    left_fen = order.pay_fen - sum(r.amount_fen for r in decided)
    freight_left_fen = max(order.pay_fen - goods_fen(order) - sum(r.freight_fen for r in decided), 0)
    if left_fen <= 0:
        raise NotRefundable("nothing_left")
    if order.status is OrderStatus.PAID and refund.lines and _sends_nothing(order, refund.lines):
        return left_fen, freight_left_fen
    wanted_fen = max(freight_fen, refund.freight_fen)
    is_added = refund.lines or order.status is not OrderStatus.PAID  # by the first of two admins
    if (wanted_fen if is_added else freight_fen) > freight_left_fen:
        raise NotRefundable("more_freight_than_left", left_fen=freight_left_fen)
    amount_fen = refund.amount_fen + wanted_fen - refund.freight_fen
    if amount_fen > left_fen:
        raise NotRefundable("more_than_left", left_fen=left_fen)
    # Of an amount alone: if the freight it was asked of came back with another refund, it is of the goods.
    return amount_fen, min(wanted_fen, freight_left_fen)
