"""Three real instances behind the gateway: one is killed while buyers buy, and no buyer hears of it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from deploy.nginx.render import Instance
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from tests.faults.processes import SANDBOX
from tests.gateway.running import Nginx
from tests.instances.town import INSTANCES, NEEDED, SECOND, THIRD, Engines, SharedTown, offered
from tests.shop import ADDRESS

ORDERS = "/api/v1/orders"
GOODS = 10_001  # of the bench: plenty
BUYERS = 3  # of each protocol

pytestmark = [pytest.mark.engine("nginx", *NEEDED), pytest.mark.slow]


class Buying:
    """Buyers who give every purchase a key and never repeat a call themselves."""

    def __init__(self, town: SharedTown, nginx: Nginx) -> None:
        self._town = town
        self._nginx = nginx
        self.answers: dict[str, set[str]] = defaultdict(set)  # key: order numbers
        self.over = False

    async def over_https(self, user: int) -> None:
        """Buy, then look at it."""
        me = {"Authorization": f"Bearer {self._town.token(user)}"}
        wanted = {"items": [{"goods_id": GOODS, "nums": 1}], "address": ADDRESS}
        number = 0
        async with self._nginx.http() as http:
            while not self.over:
                key = f"https-{user}-{(number := number + 1)}"
                bought = await http.post(ORDERS, json=wanted, headers=me | {"Idempotency-Key": key})
                assert bought.status_code == 200, (key, bought.text)
                order_sn = bought.json()["data"]["order_sn"]
                self.answers[key].add(order_sn)
                seen = await http.get(f"{ORDERS}/{order_sn}", headers=me)
                assert seen.status_code == 200, (key, seen.text)

    async def over_grpc(self, user: int) -> None:
        """The same."""
        wanted = pb.CreateOrderRequest(
            items=[pb.OrderItemRequest(product_id=GOODS, quantity=1)], address=pb.AddressInfo(**ADDRESS)
        )
        number = 0
        async with self._nginx.channel(retries=False) as channel:
            orders: Any = OrderServiceStub(channel)
            while not self.over:
                key = f"grpc-{user}-{(number := number + 1)}"
                me = self._town.metadata(user, idempotency_key=key)
                order = await orders.CreateOrder(wanted, metadata=me, timeout=20)
                self.answers[key].add(order.order_sn)
                seen = pb.GetOrderByOrderSnRequest(order_sn=order.order_sn)
                await orders.GetOrderByOrderSn(seen, metadata=self._town.metadata(user), timeout=20)


@pytest.mark.parametrize("engines", offered()[:1], ids=lambda _: "shared")
async def test_one_of_three_is_killed_and_no_buyer_hears_of_it(
    engine: str, engines: Engines, tmp_path: Path
) -> None:
    async with SharedTown(tmp_path, engines, SERVER__TRUSTED_PROXIES="127.0.0.1") as town:
        await town.start(SANDBOX)
        code, said = await town.says("migrate")
        assert code == 0, said
        await town.start(*INSTANCES)
        instances = {name: instance(town, name) for name in INSTANCES}
        with Nginx(tmp_path / "nginx", instances.values()) as nginx:
            buying = Buying(town, nginx)
            async with asyncio.TaskGroup() as buyers:
                for user in range(1, BUYERS + 1):
                    buyers.create_task(buying.over_https(user))
                    buyers.create_task(buying.over_grpc(100 + user))
                for name in (SECOND, THIRD, SECOND):
                    await asyncio.sleep(1.0)
                    town.kill(name)
                    await asyncio.sleep(0.5)
                    await town.start(name)
                buying.over = True
            tried = [line["instance_status"] for line in nginx.lines()]
            answered = await asked(nginx, len(instances))
        stored = town.rows("SELECT order_sn FROM order_info")
    assert all(len(order_sns) == 1 for order_sns in buying.answers.values())
    answers = Counter(order_sn for order_sns in buying.answers.values() for order_sn in order_sns)
    assert answers.most_common(1)[0][1] == 1
    assert {str(order_sn) for (order_sn,) in stored} == set(answers)
    assert {kind: any(key.startswith(kind) for key in buying.answers) for kind in ("https", "grpc")}
    print(f"{len(buying.answers)} orders, {sum('502' in status for status in tried)} calls sent twice")
    assert any("502" in status for status in tried)
    # All three are back behind the gateway.
    assert {f"127.0.0.1:{one.http_port}" for one in instances.values()} == set(answered)


def instance(town: SharedTown, name: str) -> Instance:
    """Where nginx finds an instance."""
    ports = (at.rpartition(":")[2] for at in (town.urls[name], town.addresses[name]))
    return Instance("127.0.0.1", *map(int, ports))


async def asked(nginx: Nginx, count: int) -> list[str]:
    """Who answers, until all were heard or twenty were asked."""
    heard: list[str] = []
    async with nginx.http() as http:
        for number in range(20):
            if len(set(heard)) == count:
                break
            id = f"who-{number}"
            assert (await http.get("/readyz", headers={"X-Request-ID": id})).status_code == 200
            heard.append((await nginx.log(id))["instance"])
            await asyncio.sleep(0.5)
    return heard
