"""A tiny instance behind the gateway, to be run as a process.

It says what reached it, and dies when it is told to: `x-die: a` ends instance a before it answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import grpc.aio
import uvicorn
import uvloop
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from shop_order.pkg.sockets import listen

EVENTS = 4
EVENT_S = 0.25


class Instance:
    """Both fronts of one instance."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.commands = 0  # POST calls that arrived

    def _reached(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        found = dict(headers)
        if self.name in found.get("x-die", "").split(","):
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    # ---- REST ----

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = self._reached((name.decode(), value.decode("latin-1")) for name, value in scope["headers"])
        length = 0
        while (message := await receive())["type"] == "http.request":
            length += len(message["body"])
            if not message.get("more_body"):
                break
        self.commands += scope["method"] == "POST"
        if scope["path"].endswith("/events"):
            return await self._events(send)
        await asyncio.sleep(float(headers.get("x-sleep", "0")))
        answer = {
            "instance": self.name,
            "method": scope["method"],
            "path": scope["raw_path"].decode(),
            "headers": headers,
            "body": length,
            "commands": self.commands,
            "peer": str(scope["client"][1]),
        }
        extra = [(b"access-control-allow-origin", b"*"), (b"x-frame-options", b"SAMEORIGIN")]
        await send(
            {
                "type": "http.response.start",
                "status": int(headers.get("x-status", "200")),
                "headers": [(b"content-type", b"application/json"), *extra],
            }
        )
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def _events(self, send: Any) -> None:
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        for number in range(EVENTS):
            event = f"id: {number}\ndata: {self.name}\n\n".encode()
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(EVENT_S)
        await send({"type": "http.response.body", "body": b""})

    # ---- gRPC: messages are bytes, answers JSON ----

    def services(self) -> list[grpc.GenericRpcHandler]:
        """What the published services' paths lead to."""
        unary: Any = grpc.unary_unary_rpc_method_handler(self._call)
        stream: Any = grpc.stream_stream_rpc_method_handler(self._watch)
        orders = dict.fromkeys(("GetOrder", "CreateOrder", "CancelOrder"), unary)
        return [
            grpc.method_handlers_generic_handler(
                "order.OrderService", {**orders, "WatchOrderStatus": stream}
            ),
            grpc.method_handlers_generic_handler("shop.order.Order", {"OrderDetail": unary}),
            grpc.method_handlers_generic_handler("shop.neighbours.Inventory", {"Reserve": unary}),
        ]

    async def _call(self, body: bytes, context: Any) -> bytes:
        headers = self._reached(context.invocation_metadata())
        self.commands += 1
        await asyncio.sleep(float(headers.get("x-sleep", "0")))
        if body == b"refuse":
            detail = AnyMessage()
            detail.Pack(ErrorInfo(reason="OUT_OF_STOCK", domain="order.shop"))
            status = Status(code=9, message="缺货", details=[detail])
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                "缺货",
                (("grpc-status-details-bin", status.SerializeToString()),),
            )
        answer = {"instance": self.name, "headers": headers, "peer": context.peer()}
        return json.dumps({**answer, "body": len(body), "commands": self.commands}).encode()

    async def _watch(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield self.name.encode() + b":" + request


def run(name: str, http_port: int, grpc_port: int) -> None:
    """Serve until killed; on uvloop, which sends the head and the body of an answer together."""
    uvloop.run(_serve(name, http_port, grpc_port))


async def _serve(name: str, http_port: int, grpc_port: int) -> None:
    one = Instance(name)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(one.services()))
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    # As the service itself does it (web/http.py).
    config = uvicorn.Config(
        one,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=30,
    )
    await uvicorn.Server(config).serve(sockets=[listen("127.0.0.1", http_port)])
