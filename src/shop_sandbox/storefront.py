"""The sandbox's own pages: what is where, and what is on the shelves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from starlette.responses import HTMLResponse

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox.goods import Article
from shop_sandbox.inbox import TABLES
from shop_sandbox.page import Language, Words, page

_SANDBOX: Words = ("商城沙箱", "The Shop's sandbox")
_ABOUT: Words = (
    "订单服务以外的部分：商品、库存、用户，以及支付机构的模拟器。",
    "What stands around the order service: goods, inventory, users, and the provider's simulator.",
)
_PAGES: Sequence[tuple[str, Words]] = (
    ("/shop", ("货架上的商品与库存", "the goods on the shelves, with their stock")),
    (
        "/alipay/sim",
        (
            "支付宝模拟器：交易，以及买家、支付机构能做的事",
            "the Alipay simulator: trades, and what can be done to them",
        ),
    ),
)
_TABLES: Mapping[str, Words] = {
    "notifications": ("发给买家的发货通知，JSON", "what buyers were told of their parcels, as JSON"),
    "sales": ("商品销量，JSON", "how much of each goods was sold, as JSON"),
    "consumption": ("买家的消费记录，JSON", "what buyers have spent, as JSON"),
    "dead-letters": ("处理不了的事件，JSON", "events that could not be handled, as JSON"),
    "orders": ("订单状态的副本，JSON", "the copy of the orders' states, as JSON"),
    "": ("事件所留下的数据，JSON", "what the events led to, as JSON"),
}
_ADMIN: Sequence[tuple[str, Words]] = (
    ("GET /admin/goods", ("商品与库存，JSON；POST 可修改单件", "goods and stock as JSON; POST changes one")),
    *((f"GET /admin/{table}", _TABLES.get(table, _TABLES[""])) for table in TABLES),
    ("GET /alipay/sim", ("交易列表，JSON", "the trades as JSON")),
    ("POST /alipay/sim/{out_trade_no}/{action}", ("模拟器的动作", "an action of the simulator")),
    ("GET /healthz", ("是否存活", "whether it is alive")),
)
_GRPC: Words = (
    "gRPC：商品、库存、优惠券、用户、事件收件箱",
    "gRPC: goods, inventory, coupons, users, the inbox of events",
)
_HEADINGS: Mapping[str, Words] = {
    "pages": ("页面", "Pages"),
    "grpc": ("服务", "Services"),
    "admin": ("供程序使用", "For programs"),
}
_GOODS: Words = ("商品", "Goods")
_EMPTY: Words = ("货架上还没有商品。", "There is nothing on the shelves yet.")
_BUY: Words = (
    "这里只能看。下单请用订单服务的接口，商品编号就是 # 后面的数字。",
    "This page only shows. Orders are placed at the order service; the number after # is the goods_id.",
)
_STOCK: Words = ("库存 {}", "{} in stock")
_OFF: Words = ("已下架", "off sale")


def landing(grpc: str, language: Language) -> HTMLResponse:
    """The page at `/`; `grpc`: where the neighbours are, host:port."""
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
