"""A process of the Shop that kills itself with SIGKILL at the point that a file names.

`python -m tests.faults.mortal shop_order.cmd.main serve`. The file DIES_AT holds
"before|in|after PLACE WHAT", for example "after commit refund.sent"; whoever gets there first takes it away,
and dies.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

POINT = Path(os.environ.get("DIES_AT", "dies-at"))
REACHED = ".reached"
Labels = Callable[..., Collection[str]]


def reach(when: str, place: str, labels: Collection[str]) -> None:
    """Die, if this is the point."""
    try:
        wanted = POINT.read_text()
    except FileNotFoundError:
        return
    if any(wanted == f"{when} {place} {label}" for label in labels):
        try:
            POINT.rename(POINT.with_name(POINT.name + REACHED))
        except FileNotFoundError:
            return  # another process was there first
        os.kill(os.getpid(), signal.SIGKILL)


def watch(place: str, target: Any, name: str, labels: Labels) -> None:
    """Points before and after an async method; `labels` gets its arguments without `self`."""
    real = getattr(target, name)

    async def call(self: Any, *args: Any, **named: Any) -> Any:
        told = labels(*args)
        reach("before", place, told)
        result = await real(self, *args, **named)
        reach("after", place, told)
        return result

    setattr(target, name, call)


def watch_commits(orders: Any) -> None:
    """Points when a change is decided and not committed yet, and when it is committed and nobody knows."""
    real = orders.change

    async def change(self: Any, order_sn: str, decide: Callable[[Any], Any], **named: Any) -> Any:
        types: list[str] = []

        def decided(order: Any) -> Any:
            result = decide(order)
            types[:] = [event.type for event in order.new_events]
            reach("before", "commit", types)
            return result

        done = await real(self, order_sn, decided, **named)
        reach("after", "commit", types)
        return done

    orders.change = change


def watch_service() -> None:
    """Commits, publications, calls of the providers, and answers of the wallet."""
    from shop_order.gateway.events import MessageEventPublisher
    from shop_order.gateway.payment.alipay.channel import Alipay
    from shop_order.gateway.payment.wechat.channel import WechatPay
    from shop_order.repository.dao.orders import Orders
    from shop_order.service.wallet import WalletAnswers

    watch_commits(Orders)
    watch("publish", MessageEventPublisher, "deliver", lambda events: {event.type for event in events})
    for channel, name in ((Alipay, "alipay"), (WechatPay, "wechat")):
        for method in ("open", "refund"):
            watch("call", channel, method, lambda *_, label=f"{name}.{method}": [label])
    watch("take", WalletAnswers, "take", lambda answer: [answer.type])


def watch_sandbox() -> None:
    """The wallet's transactions and answers, the stock, and what the providers do."""
    from shop_sandbox import wallet
    from shop_sandbox.alipay.trades import Trades
    from shop_sandbox.answers import BrokerCarrier, InboxCarrier
    from shop_sandbox.inventory import Inventory
    from shop_sandbox.payments.notices import Notices
    from shop_sandbox.wechat.refunds import Refunds

    execute = wallet.execute

    def executed(connection: Any, command: Any, now_ms: int) -> None:
        execute(connection, command, now_ms)
        reach("in", "wallet", [wallet.REFUND if command.refund_sn else wallet.DEBIT])

    wallet.execute = executed
    watch("wallet", wallet.Wallet, "take", lambda body: [orjson.loads(body)["type"]])
    for carrier in (InboxCarrier, BrokerCarrier):
        watch("answer", carrier, "send", lambda answers: {answer.type for answer in answers})
    for method in ("confirm", "return_stock"):
        watch("stock", Inventory, method, lambda *_, label=method: [label])
    watch("provider", Trades, "refund", lambda *_: ["refund"])
    watch("provider", Refunds, "request", lambda *_: ["refund"])
    watch("notice", Notices, "_deliver", lambda notice, _: [notice.kind])


def main() -> None:
    """Run the module that the first word names with the others as its command line."""
    module = sys.argv.pop(1)
    (watch_sandbox if module.startswith("shop_sandbox") else watch_service)()
    import_module(module).main()


if __name__ == "__main__":
    main()
