"""The sandbox's HTTP routes other than the simulators: operator API, images, and a goods page."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox.goods import Article, BadGoods, Goods, UnknownGoods
from shop_sandbox.inbox import TABLES, EventInbox
from shop_sandbox.inventory import Inventory
from shop_sandbox.page import language_of
from shop_sandbox.seed import emblem
from shop_sandbox.storefront import landing, shelves

MAX_BODY_BYTES = 65_536

PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 120" width="240" height="240">'
    '<rect width="120" height="120" rx="12" fill="hsl({hue} 45% 88%)"/>'
    '<circle cx="60" cy="60" r="42" fill="hsl({hue} 45% 28%)"/>'
    '<text x="60" y="76" font-size="44" text-anchor="middle" fill="#fff" font-family="serif">'
    "{emblem}</text></svg>"
)
MAX_SHOWN = 200


class OperatorPages:
    """The routes `/`, /shop, and below /admin and /images."""

    def __init__(
        self,
        goods: Goods,
        inventory: Inventory,
        inbox: EventInbox,
        *more: EventInbox,
        grpc: Callable[[], str],
    ) -> None:
        """`more`: inboxes whose dead letters are also shown; `grpc` returns the neighbours' host:port."""
        self._grpc = grpc
        self._goods = goods
        self._inventory = inventory
        self._inbox = inbox
        self._more = more

    def routes(self) -> list[Route]:
        """All routes, for the application."""
        return [
            Route("/", self.home),
            Route("/healthz", _healthz),
            Route("/shop", self.shop),
            Route("/images/{goods_id:int}.svg", self.image),
            Route("/admin/goods", self.list_goods),
            Route("/admin/goods/{goods_id:int}", self.show_goods),
            Route("/admin/goods/{goods_id:int}", self.change_goods, methods=["POST", "PATCH"]),
            *(Route(f"/admin/{table}", self._table(table)) for table in TABLES),
        ]

    async def list_goods(self, request: Request) -> Response:
        """All goods with their stock, including deleted ones."""
        articles = self._goods.articles()[:MAX_SHOWN]
        stocks = await self._stocks([one.id for one in articles])
        return JSONResponse([_as_json(one, stocks) for one in articles])

    async def show_goods(self, request: Request) -> Response:
        """One article with its stock; 404 if unknown."""
        goods_id = request.path_params["goods_id"]
        try:
            article = self._goods.article(goods_id)
        except UnknownGoods:
            raise HTTPException(404, f"no goods {goods_id}") from None
        return JSONResponse(_as_json(article, await self._stocks([goods_id])))

    async def change_goods(self, request: Request) -> Response:
        """Change goods by JSON: any of name, price_fen, on_sale, weight_g, deleted, stock (available)."""
        goods_id = request.path_params["goods_id"]
        changes = await json_body(request)
        stock = changes.pop("stock", None)
        try:
            if changes:
                await self._goods.change(goods_id, changes)
            self._goods.article(goods_id)
            if stock is not None:
                await self._inventory.set_stock(goods_id, stock)
        except UnknownGoods:
            raise HTTPException(404, f"no goods {goods_id}") from None
        except (BadGoods, ValueError) as error:
            raise HTTPException(400, str(error)) from None
        return await self.show_goods(request)

    async def image(self, request: Request) -> Response:
        """The goods' image, drawn as SVG."""
        goods_id = request.path_params["goods_id"]
        picture = PICTURE.format(hue=goods_id * 47 % 360, emblem=emblem(goods_id))
        return Response(picture, media_type="image/svg+xml", headers={"cache-control": "max-age=86400"})

    async def home(self, request: Request) -> Response:
        """The home page."""
        return landing(self._grpc(), language_of(request))

    async def shop(self, request: Request) -> Response:
        """The page of all goods on sale."""
        articles = [one for one in self._goods.articles() if not one.deleted][:MAX_SHOWN]
        stocks = await self._stocks([one.id for one in articles])
        return shelves(articles, stocks, language_of(request))

    async def _stocks(self, ids: list[int]) -> dict[int, pb.Stock]:
        reply = await self._inventory.get_stock(pb.GoodsIds(ids=ids))
        return {stock.goods_id: stock for stock in reply.stocks}

    def _table(self, table: str) -> Callable[[Request], Awaitable[Response]]:
        async def show(request: Request) -> Response:
            rows = await self._inbox.rows(table)
            if table == "dead-letters":
                for inbox in self._more:
                    rows += await inbox.rows(table)
            return JSONResponse(rows)

        return show


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object of a request, {} without a body. Raises HTTPException 400, 413."""
    body = await bounded_body(request)
    if not body:
        return {}
    try:
        found = json.loads(body)
    except ValueError:
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return found


async def bounded_body(request: Request) -> bytes:
    """The raw body. Raises HTTPException 413 above 64 KiB."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise HTTPException(413, "the body is too large")
        parts.append(part)
    return b"".join(parts)


async def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _as_json(article: Article, stocks: dict[int, pb.Stock]) -> dict[str, object]:
    stock = stocks.get(article.id, pb.Stock())
    return {
        "id": article.id,
        "name": article.name,
        "image": article.image,
        "price_fen": article.price_fen,
        "on_sale": article.on_sale,
        "deleted": article.deleted,
        "weight_g": article.weight_g,
        "stock": stock.available,
        "reserved": stock.reserved,
        "sold": stock.sold,
    }
