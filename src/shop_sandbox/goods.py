"""The goods service: prices and availability. It is the only writer, so it reads from memory."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox.database import Database

MAX_IDS = 1_000
MAX_PRICE_FEN = 10_000_000_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS goods (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  image TEXT NOT NULL,
  price_fen INTEGER NOT NULL CHECK (price_fen > 0),
  on_sale INTEGER NOT NULL,
  weight_g INTEGER NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0
);
"""


class UnknownGoods(LookupError):
    """No goods with that id."""


class BadGoods(ValueError):
    """A value that is not valid for goods."""


@dataclass(frozen=True, slots=True)
class Article:
    """One row of the catalogue; `image` is a URL, or a path below the sandbox's own HTTP server."""

    id: int
    name: str
    image: str
    price_fen: int
    on_sale: bool = True
    weight_g: int = 500
    deleted: bool = False


class Goods:
    """`shop.neighbours.Goods` and the operator's changes to it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._articles: dict[int, Article] = {}
        self._encoded: dict[int, bytes] = {}
        self._image_base = ""

    async def open(self, seed: Iterable[Article], image_base: str) -> None:
        """Load the catalogue, or create it from `seed`; image paths are relative to `image_base`."""
        self._image_base = image_base

        def load(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            if not connection.execute("SELECT 1 FROM goods LIMIT 1").fetchone():
                connection.executemany("INSERT INTO goods VALUES (?,?,?,?,?,?,?)", map(_row, seed))
            return connection.execute("SELECT * FROM goods ORDER BY id").fetchall()

        for row in await self._database.run(load):
            self._remember(
                Article(
                    row[0],
                    row[1],
                    row[2],
                    row[3],
                    on_sale=bool(row[4]),
                    weight_g=row[5],
                    deleted=bool(row[6]),
                )
            )

    def articles(self) -> list[Article]:
        """All goods by id, including deleted ones."""
        return list(self._articles.values())

    def article(self, goods_id: int) -> Article:
        """The goods with this id. Raises UnknownGoods."""
        try:
            return self._articles[goods_id]
        except KeyError:
            raise UnknownGoods(str(goods_id)) from None

    async def add(self, article: Article) -> None:
        """Add an article. Raises BadGoods, also if its id is taken."""
        if article.id in self._articles:
            raise BadGoods(f"goods {article.id} already exist")
        _check(article)
        await self._store(article)

    async def change(self, goods_id: int, changes: Mapping[str, Any]) -> Article:
        """Set name, price_fen, on_sale, weight_g or deleted. Raises UnknownGoods, BadGoods."""
        unknown = set(changes) - {"name", "price_fen", "on_sale", "weight_g", "deleted"}
        if unknown:
            raise BadGoods(f"no such field: {', '.join(sorted(unknown))}")
        changed = replace(self.article(goods_id), **changes)
        _check(changed)
        await self._store(changed)
        return changed

    async def set_price(self, goods_id: int, price_fen: int) -> Article:
        """Set the price in fen. Raises UnknownGoods, BadGoods."""
        return await self.change(goods_id, {"price_fen": price_fen})

    async def set_on_sale(self, goods_id: int, on_sale: bool) -> Article:
        """Put goods on sale or take them off. Raises UnknownGoods."""
        return await self.change(goods_id, {"on_sale": on_sale})

    async def delete(self, goods_id: int) -> Article:
        """Hide the goods until `change` sets deleted=False. Raises UnknownGoods."""
        return await self.change(goods_id, {"deleted": True})

    async def batch_get(self, request: pb.GoodsIds) -> bytes:
        """The encoded GoodsList; unknown and deleted ids are left out. Raises ValueError above 1000 ids."""
        if len(request.ids) > MAX_IDS:
            raise ValueError(f"at most {MAX_IDS} ids")
        encoded = self._encoded
        return b"".join([encoded[goods_id] for goods_id in request.ids if goods_id in encoded])

    async def _store(self, article: Article) -> None:
        statement = "INSERT OR REPLACE INTO goods VALUES (?,?,?,?,?,?,?)"
        await self._database.run(lambda connection: connection.execute(statement, _row(article)))
        self._remember(article)

    def _remember(self, article: Article) -> None:
        self._articles[article.id] = article
        if article.deleted:
            self._encoded.pop(article.id, None)
            return
        image = self._image_base + article.image if article.image.startswith("/") else article.image
        info = pb.GoodsInfo(
            id=article.id,
            name=article.name,
            image=image,
            price_fen=article.price_fen,
            on_sale=article.on_sale,
            weight_g=article.weight_g,
        )
        # An encoded list of one is valid inside any GoodsList, so an answer is a concatenation.
        self._encoded[article.id] = pb.GoodsList(goods=[info]).SerializeToString()


def _row(article: Article) -> tuple[Any, ...]:
    return (
        article.id,
        article.name,
        article.image,
        article.price_fen,
        int(article.on_sale),
        article.weight_g,
        int(article.deleted),
    )


def _check(article: Article) -> None:
    if type(article.price_fen) is not int or not 0 < article.price_fen <= MAX_PRICE_FEN:
        raise BadGoods(f"price_fen must be a whole number from 1 to {MAX_PRICE_FEN}")
    if {type(article.on_sale), type(article.deleted)} != {bool}:
        raise BadGoods("on_sale and deleted must be true or false")
    if type(article.weight_g) is not int or not 0 <= article.weight_g < 2**31:
        raise BadGoods("weight_g must be a whole number of grams")
    if not 0 < len(str(article.name)) <= 100:
        raise BadGoods("name must have 1 to 100 characters")
