"""Liveness, readiness and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from shop_order.domain.errors import Forbidden, Unauthenticated
from shop_order.pkg.http.server import METRICS_TYPE
from shop_order.web.handler.errors import JSON
from shop_order.web.handler.route import operation

TAG = "operation"
NOT_READY = (
    "数据库不可用或不接受写入，或正在停止 / "
    "The database is unavailable or read-only, or the service is stopping"
)
DATABASE = "database"  # the only part that is required


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service accepts requests, and which of its parts are unavailable."""

    serving: bool
    missing: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """ready, degraded, unavailable (without a database) or stopping."""
        if self.serving:
            return "degraded" if self.missing else "ready"
        return "unavailable" if DATABASE in self.missing else "stopping"


_ALIVE = orjson.dumps({"status": "ok", "missing": []})
_HEALTH: dict[str, Any] = {
    "type": "object",
    "required": ["status", "missing"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "ready", "degraded", "unavailable", "stopping"]},
        "missing": {"type": "array", "items": {"type": "string"}},
    },
}


def _health(status: str, words: str) -> dict[str, Any]:
    return {status: {"description": words, "content": {"application/json": {"schema": _HEALTH}}}}


class HealthHandler:
    """Routes outside /api/v1."""

    def __init__(
        self, *, readiness: Callable[[], Awaitable[Readiness]], metrics: Callable[[], bytes]
    ) -> None:
        self._readiness = readiness
        self._metrics = metrics

    @operation(
        "GET",
        "/healthz",
        id="healthz",
        tag=TAG,
        summary="存活 / Liveness",
        extra={"responses": _health("200", "ok")},
    )
    async def alive(self) -> Response:
        """The process is alive."""
        return Response(_ALIVE, media_type=JSON)

    @operation(
        "GET",
        "/readyz",
        id="readyz",
        tag=TAG,
        summary="就绪 / Readiness",
        description="`degraded` 仍为 200，并说明缺少什么。\n\n"
        "`degraded` is 200, too; `missing` has the unavailable parts.",
        extra={"responses": _health("200", "ready, or degraded") | _health("503", NOT_READY)},
    )
    async def ready(self) -> Response:
        """Whether the service accepts requests."""
        found = await self._readiness()
        body = orjson.dumps({"status": found.word, "missing": list(found.missing)})
        return Response(body, 200 if found.serving else 503, media_type=JSON)

    @operation(
        "GET",
        "/metrics",
        id="metrics",
        tag=TAG,
        summary="指标 / Metrics",
        description="Prometheus 文本；仅本机或管理员。\n\n"
        "Prometheus text format; from this machine or as an admin only.",
        errors=(Unauthenticated, Forbidden),
        extra={
            "responses": {
                "200": {
                    "description": "Prometheus",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                }
            },
            "security": [{"bearer": []}, {}],
        },
    )
    async def metrics(self) -> Response:
        """Metrics in the Prometheus text format."""
        text = await asyncio.to_thread(self._metrics)  # thousands of lines: keep the loop free
        return Response(text, media_type=METRICS_TYPE)
