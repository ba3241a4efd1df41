"""The sandbox's own pages: the home page and the goods page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from starlette.responses import HTMLResponse

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox.goods import Article
from shop_sandbox.inbox import TABLES
from shop_sandbox.page import Language, page
from shop_sandbox.providers import PROVIDERS, Words

_SANDBOX: Words = ("商城沙箱", "The Shop's sandbox")
_ABOUT: Words = (
    "订单服务以外的部分：商品、库存、用户，以及支付机构的模拟器。",
    "The services around the order service: goods, inventory, users, and simulated payment providers.",
)
_PAGES: Sequence[tuple[str, Words]] = (
    ("/shop", ("货架上的商品与库存", "goods and their stock")),
    *((one.page, one.about) for one in PROVIDERS),
)
_TABLES: Mapping[str, Words] = {
    "notifications": ("发给买家的发货通知，JSON", "shipping notifications to buyers, as JSON"),
    "sales": ("商品销量，JSON", "sales by goods, as JSON"),
    "consumption": ("买家的消费记录，JSON", "buyers' purchases, as JSON"),
    "dead-letters": ("无法处理的事件，JSON", "events that could not be processed, as JSON"),
    "orders": ("订单状态的副本，JSON", "a copy of the orders' statuses, as JSON"),
    "": ("由事件产生的数据，JSON", "data derived from events, as JSON"),
}
_ADMIN: Sequence[tuple[str, Words]] = (
    ("GET /admin/goods", ("商品与库存，JSON；POST 可修改单件", "goods and stock as JSON; POST changes one")),
    *((f"GET /admin/{table}", _TABLES.get(table, _TABLES[""])) for table in TABLES),
    *(program for one in PROVIDERS for program in one.programs),
    ("GET /healthz", ("健康检查", "health check")),
)
_GRPC: Words = (
    "gRPC：商品、库存、用户、事件收件箱",
    "gRPC: goods, inventory, users, event inbox",
)
_HEADINGS: Mapping[str, Words] = {
    "pages": ("页面", "Pages"),
    "grpc": ("服务", "Services"),
    "admin": ("供程序使用", "For programs"),
}
_GOODS: Words = ("商品", "Goods")
_EMPTY: Words = ("还没有商品。", "There are no goods yet.")
_BUY: Words = (
    "本页仅供浏览。下单请调用订单服务的接口，# 后面的数字就是商品编号。",
    "This page is read-only. Place orders with the order service; the number after # is the goods_id.",
)
_STOCK: Words = ("库存 {}", "{} in stock")
_OFF: Words = ("已下架", "off sale")


def landing(grpc: str, language: Language) -> HTMLResponse:
    """The page at `/`; `grpc` is the neighbours' host:port."""
    opened = [(f'<a href="{address}">{address}</a>', words) for address, words in _PAGES]
    programs = [(f"<code>{escape(address)}</code>", words) for address, words in _ADMIN]
    sections = (
        _section("pages", opened, language),
        _section("grpc", [(f"<code>{escape(grpc)}</code>", _GRPC)], language),
        _section("admin", programs, language),
    )
    return page(_SANDBOX[language], f'<p class="note">{_ABOUT[language]}</p>{"".join(sections)}', language)


def _section(name: str, rows: Sequence[tuple[str, Words]], language: Language) -> str:
    entries = "".join(f"<dt>{address}</dt><dd>{escape(words[language])}</dd>" for address, words in rows)
    return f'<section><h2>{_HEADINGS[name][language]}</h2><dl class="places">{entries}</dl></section>'


def shelves(articles: Sequence[Article], stocks: Mapping[int, pb.Stock], language: Language) -> HTMLResponse:
    """The page of all goods that were not deleted."""
    cards = "".join(_card(one, stocks.get(one.id), language) for one in articles)
    goods = f'<ul class="goods">{cards}</ul>' if cards else f"<p>{_EMPTY[language]}</p>"
    return page(_GOODS[language], f'<p class="note">{_BUY[language]}</p>{goods}', language, wide=True)


def _card(article: Article, stock: pb.Stock | None, language: Language) -> str:
    on_sale = article.on_sale and stock is not None
    state = _STOCK[language].format(stock.available) if stock is not None and on_sale else _OFF[language]
    return (
        f'<li><img src="/images/{article.id}.svg" alt="" width="240" height="240">'
        f'<div lang="zh-CN">{escape(article.name)}</div>'
        f"<b>¥{article.price_fen // 100}.{article.price_fen % 100:02d}</b>"
        f"<small>#{article.id} · {state}</small></li>"
    )
