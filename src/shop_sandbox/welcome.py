"""The text that `make run` prints: addresses, tokens, and two calls to paste."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shop_sandbox.providers import PROVIDERS

PYTHON = Path(".venv/bin/python")
ADDRESS = ("张三", "13800138000", "文三路 100 号")


@dataclass(frozen=True, slots=True)
class Running:
    """The addresses of a running Shop, and tokens by user id."""

    rest: str
    grpc: str
    sandbox_http: str
    sandbox_grpc: str
    data_dir: str
    log_file: str
    buyers: Mapping[int, str]
    admin: str


def text(shop: Running) -> str:
    """The whole text."""
    token = next(iter(shop.buyers.values()))
    tokens = "\n".join(f"  BUYER_{user}={one}" for user, one in shop.buyers.items())
    simulators = "\n".join(
        f"  {one.name[0]} / {one.name[1]}   {shop.sandbox_http}{one.page}" for one in PROVIDERS
    )
    return f"""
商城已启动 / The Shop is running                              Ctrl-C 停止 / to stop

  入口 / start    {shop.rest}/      {shop.sandbox_http}/
  REST            {shop.rest}/api/v1
  文档 / docs     {shop.rest}/api/v1/docs      {shop.rest}/api/v1/redoc
  gRPC            {shop.grpc}   order.OrderService, shop.order.Order
  商品 / goods    {shop.sandbox_http}/shop
{simulators}
  商品、库存、用户服务 / goods, inventory, users (gRPC)   {shop.sandbox_grpc}
  数据 / data     {shop.data_dir}
  日志 / log      {shop.log_file or "-"}

令牌，一天内有效 / tokens, valid for a day (buyers 7 and 8, admin 1)
{tokens}
  ADMIN={shop.admin}

第一个 curl：下单 / a first curl: place an order

{curl(shop.rest, token)}

  响应中的 pay_url 是收银台的地址，用浏览器打开即可付款。
  Open the pay_url of the answer in a browser: it is the cashier, which leads to the pages for paying.

第一个 gRPC 调用：再下一单 / a first gRPC call: another order

{grpc_call(shop.grpc, token)}

若已安装 grpcurl / the same with grpcurl, if you have it

{grpcurl(shop.grpc, token)}
"""


def curl(rest: str, token: str, ca: str = "") -> str:
    """A shell command that places an order over REST; `ca` is the CA file to trust for https."""
    name, phone, detail = ADDRESS
    trusting = f"--cacert {ca} " if ca else ""
    return f"""curl -sS {trusting}-X POST {shlex.quote(rest + "/api/v1/orders")} \\
  -H 'Authorization: Bearer {token}' \\
  -H 'Content-Type: application/json' \\
  -H "Idempotency-Key: curl-$(date +%s)" \\
  -d '{{"items": [{{"goods_id": 101, "nums": 1}}],
       "address": {{"name": "{name}", "phone": "{phone}", "detail": "{detail}"}}}}' \\
  | {python()} -m json.tool --no-ensure-ascii"""


def grpc_call(target: str, token: str, ca: str = "") -> str:
    """A shell command that places an order over gRPC, with the published client; with `ca`, over TLS."""
    secure = f'use_tls=True, cert_file="{ca}", ' if ca else ""
    return f"""{python()} - <<'PY'
from shop_order.api.client import AddressInfo, CreateOrderRequest, OrderItemRequest, new_sync_order_client

token = "{token}"
with new_sync_order_client("{target}", {secure}token=token) as orders:
    order = orders.create_order(
        CreateOrderRequest([OrderItemRequest(101, 1)], AddressInfo{ADDRESS!r})
    )
    print("order", order.order_sn, "pay", order.pay_amount_fen, "fen at", order.pay_url)
PY"""


def grpcurl(target: str, token: str, ca: str = "") -> str:
    """The same call with grpcurl, on one line so that it is easy to copy."""
    name, phone, detail = ADDRESS
    wanted = (
        '{"items": [{"product_id": 101, "quantity": 1}], '
        f'"address": {{"name": "{name}", "phone": "{phone}", "detail": "{detail}"}}}}'
    )
    return (
        f"grpcurl {f'-cacert {ca}' if ca else '-plaintext'} -H 'authorization: Bearer {token}' -d '{wanted}' "
        f"{shlex.quote(target)} order.OrderService/CreateOrder"
    )


def python() -> str:
    """The interpreter, relative to the project's folder if possible."""
    return str(PYTHON) if PYTHON.exists() and PYTHON.resolve().samefile(sys.executable) else sys.executable
