"""The whole sandbox; the only place that wires its parts together."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from shop_order.api.client.tracing import TraceConfig, open_tracing
from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox import events, goods, leases, rocketmq, seed, users, wallet
from shop_sandbox.address import connectable, host_port
from shop_sandbox.answers import AnswerSender, BrokerCarrier, InboxCarrier
from shop_sandbox.checkback import CheckBack
from shop_sandbox.database import Database
from shop_sandbox.goods import Goods
from shop_sandbox.grpc_server import NeighbourServer, PortTaken, methods
from shop_sandbox.http import OperatorPages
from shop_sandbox.http_server import HttpServer, listen
from shop_sandbox.inbox import EventInbox
from shop_sandbox.inventory import Inventory
from shop_sandbox.order_link import OrderLink
from shop_sandbox.order_token import TokenFile
from shop_sandbox.page import error_page
from shop_sandbox.providers import PROVIDERS
from shop_sandbox.registry import Registration
from shop_sandbox.settings import SandboxSettings
from shop_sandbox.users import Users
from shop_sandbox.wallet import Wallet

logger = logging.getLogger("shop_sandbox")


class Sandbox:
    """`async with Sandbox(settings) as sandbox:` serves the neighbours until the block ends.

    `order_token` and `wallet_token` return the tokens of the inventory and of the wallet for the order
    service (default: the token file, or one signed with the development key). Raises PortTaken.
    """

    def __init__(
        self,
        settings: SandboxSettings,
        *,
        order_token: Callable[[], str] | None = None,
        wallet_token: Callable[[], str] | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        data_dir = settings.data_dir
        self.settings = settings
        self.tracing = open_tracing(TraceConfig(settings.trace, "shop-sandbox"))
        self.goods_db = Database(data_dir / "goods.db", goods.SCHEMA)
        self.inventory_db = Database(data_dir / "inventory.db", leases.SCHEMA)
        self.users_db = Database(data_dir / "users.db", users.SCHEMA + wallet.SCHEMA)
        self.inbox_db = Database(data_dir / "inbox.db", events.SCHEMA)
        self.goods = Goods(self.goods_db)
        self.inventory = Inventory(self.inventory_db, clock_ms)
        self.users = Users(self.users_db)
        self.inbox = EventInbox(self.inbox_db, self.inventory, clock_ms, tracing=self.tracing)
        self.stock_db = Database(data_dir / "stock_inbox.db", events.SCHEMA)
        self.stock_inbox = EventInbox(
            self.stock_db, self.inventory, clock_ms, lists=False, tracing=self.tracing
        )
        self.lists_inbox = EventInbox(
            self.inbox_db, self.inventory, clock_ms, stock=False, tracing=self.tracing
        )
        key = settings.keys_dir / "jwt_hs256.key"
        self.check_back = CheckBack(
            self.inventory,
            order=OrderLink(settings.order, order_token or TokenFile(settings.order_token_file, key)),
            clock_ms=clock_ms,
            interval_s=settings.check_interval_s,
        )
        self.wallet = Wallet(self.users_db, clock_ms)
        own = wallet_token or TokenFile(settings.order_wallet_token_file, key, service="wallet")
        self.wallet_link = OrderLink(settings.order, own)
        self.answers = AnswerSender(
            self.users_db,
            BrokerCarrier(settings.message, settings.wallet_key)
            if settings.message
            else InboxCarrier(self.wallet_link),
            clock_ms,
            interval_s=settings.check_interval_s,
        )
        self.wallet.on_answer = self.answers.hint
        self.providers = {one.code: one.open(settings, clock_ms) for one in PROVIDERS}
        self.grpc_port = 0
        self.http_port = 0

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        try:
            listener = listen(settings.host, settings.http_port)
        except OSError as error:
            raise PortTaken(f"{host_port(settings.host, settings.http_port)}: {error.strerror}") from error
        stack.callback(listener.close)
        if self.tracing is not None:
            self.tracing.open()
            stack.push_async_callback(self.tracing.close)
        self.http_port = listener.getsockname()[1]
        for database in (self.goods_db, self.inventory_db, self.users_db, self.inbox_db):
            database.open()
            stack.push_async_callback(database.close)
        await self._seed()
        neighbours = NeighbourServer(
            methods(self.goods, self.inventory, self.users, self._deliver), self.tracing
        )
        self.grpc_port = await neighbours.start(settings.host, settings.grpc_port)
        stack.push_async_callback(neighbours.stop)
        if settings.consul:
            await stack.enter_async_context(Registration(settings.consul, settings.host, self.grpc_port))
        for provider in self.providers.values():
            await stack.enter_async_context(provider.running())
        if settings.message:
            self.stock_db.open()
            stack.push_async_callback(self.stock_db.close)
            await stack.enter_async_context(
                rocketmq.consuming(
                    settings.message, stock=self.stock_inbox, lists=self.lists_inbox, wallet=self.wallet
                )
            )
        http_server = HttpServer(self._application(), listener)
        await http_server.start()
        stack.push_async_callback(http_server.stop)
        stack.push_async_callback(self.check_back.close)
        stack.push_async_callback(_cancel, asyncio.create_task(self.check_back.run(), name="check-back"))
        stack.push_async_callback(self.answers.close)
        stack.push_async_callback(_cancel, asyncio.create_task(self.answers.run(), name="answers"))
        logger.info("sandbox serves gRPC on %d and HTTP on %d", self.grpc_port, self.http_port)

    async def _deliver(self, batch: pb.EventBatch) -> pb.DeliverResult:
        """Give the wallet its commands, and all other events to the inbox. Raises ValueError above 500."""
        commands = [body for body in batch.cloud_events if wallet.is_command(body)]
        if not commands:
            return await self.inbox.deliver(batch)
        others = [body for body in batch.cloud_events if not wallet.is_command(body)]
        done = await self.wallet.deliver(pb.EventBatch(cloud_events=commands))
        told = await self.inbox.deliver(pb.EventBatch(cloud_events=others))
        return pb.DeliverResult(accepted_ids=[*done.accepted_ids, *told.accepted_ids])

    def _application(self) -> Starlette:
        more = (self.stock_inbox,) if self.settings.message else ()
        operator = OperatorPages(self.goods, self.inventory, self.inbox, *more, grpc=self._grpc)
        routes = [*operator.routes(), *(route for one in self.providers.values() for route in one.routes())]
        return Starlette(routes=routes, exception_handlers={HTTPException: error_page})

    def _grpc(self) -> str:
        host = self.settings.host
        return f"[{host}]:{self.grpc_port}" if ":" in host else f"{host}:{self.grpc_port}"

    async def _seed(self) -> None:
        count, available = self.settings.seed_goods, self.settings.seed_stock
        image_base = f"http://{host_port(connectable(self.settings.host), self.http_port)}"
        await self.goods.open([*seed.catalogue(), *seed.bench_goods(count)], image_base)
        await self.inventory.open([*seed.stock(), *seed.bench_stock(count, available)])
        await self.users.open(seed.users())


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
